"""The pump group: pumps that stand in for each other, one on duty and others on standby, as many as are needed.

The group runs while somebody draws from it and a way out is open. How many pumps run follows a measure: one more when
it has been beyond ``up`` for a time, one fewer when it has been beyond ``down``; the two are apart, so that it does not
hunt. The pump with the fewest hours starts next, or each in its turn. A pump that fails is replaced at once and stays
out until a person puts it back. A pump that has stood idle for long runs for some seconds while the group runs, against
seizing (shared water notes 3.6).

When nobody draws, every pump stops at once: no pump is held on against a closed path, whatever its least run.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant
from control.pump import Pump, PumpState
from control.pump_duty import run_seconds
from control.timer import lasted, since

Measure = Literal["flow", "pressure", "openings"]


@dataclass(frozen=True, slots=True)
class Staging:
    """Settings: by what the number of pumps is chosen. ``signal``: image index of a flow or pressure.

    By flow (m3/h) and by openings (the sum of the dispensers' openings, in dispensers) ``up`` and ``down`` are for
    each pump: with n pumps, one more above n times ``up``, one fewer below (n - 1) times ``down``. By pressure (bar)
    one more below ``up``, one fewer above ``down``. Delays in seconds.
    """

    measure: Measure
    signal: int | None
    name: str
    unit: str
    up: float
    down: float
    up_after: float
    down_after: float

    def beyond(self, value: float | None, count: int) -> tuple[bool, bool]:
        """Whether ``value`` asks for one pump more than ``count``, and whether for one fewer."""
        if value is None:
            return False, False
        if self.measure == "pressure":
            return value < self.up, value > self.down and count > 1
        return value > self.up * count, count > 1 and value < self.down * (count - 1)


@dataclass(frozen=True, slots=True)
class GroupInputs:
    """``drawing``: why somebody wants water and has a way open, or ``None``; ``value``: what staging looks at.

    ``held``, by member: an interlock, a permissive or a person keeps it off.
    """

    drawing: Cause | None
    value: float | None
    pumps: tuple[PumpState, ...]
    held: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupState:
    """``on`` and ``held`` off, by member; ``needed``: how many are wanted. ``last``: the member that was started last.

    ``leaving`` is to stop once another runs in its place; ``exercised`` runs until ``exercised_until`` against seizing.
    ``idle_since``: since when those count as idle that have not run since the start of the controller.
    """

    on: tuple[bool, ...]
    needed: int = 0
    last: int | None = None
    started_at: float | None = None
    up_since: float | None = None
    down_since: float | None = None
    leaving: int | None = None
    exercised: int | None = None
    exercised_until: float = 0.0
    idle_since: float | None = None
    held: tuple[bool, ...] = ()
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class PumpGroup:
    """Settings. ``place``: its own in the program, ``places``: those of ``pumps``. ``duty``: how many may run at once.

    ``stagger``: seconds between two starts; ``rotate_after``: a longer run is handed over. Times in seconds.
    """

    tag: str
    place: int
    places: tuple[int, ...]
    pumps: tuple[Pump, ...]
    duty: int
    rotation: Literal["hours", "alternate"]
    rotate_after: float | None
    staging: Staging | None
    stagger: float
    exercise_idle: float | None
    exercise_run: float

    def initial(self) -> GroupState:
        return GroupState((False,) * len(self.pumps))

    def unavailable(self, pumps: tuple[PumpState, ...]) -> Cause | None:
        """Why the group can pump nothing: not one of its pumps is fit to run."""
        faults = [pumps[place].fault for place in self.places]
        if None in faults:
            return None
        return Cause(Code.GROUP_NO_PUMP, self.tag, (str(len(self.pumps)),), faults[0])

    def waits(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> Cause | None:
        """Why none of its pumps may be started yet, or ``None``: also while one is on."""
        if any(state.on):
            return None
        fit = [i for i, place in enumerate(self.places) if pumps[place].fault is None]
        causes = [(i, self.pumps[i].waits(pumps[self.places[i]], now)) for i in fit]
        if not causes or any(cause is None for _, cause in causes):
            return None
        soonest = min(fit, key=lambda i: pumps[self.places[i]].duty.free_at or now.mono)
        return dict(causes)[soonest]

    def rotate(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> tuple[GroupState, Cause | None]:
        """Hands the longest run over to another pump; or why that cannot be."""
        running = [i for i, on in enumerate(state.on) if on and i != state.exercised]
        if not running:
            return state, Cause(Code.GROUP_AT_REST, self.tag)
        if self._next(state, pumps, now) is None:
            return state, Cause(Code.GROUP_NO_STANDBY, self.tag)
        return replace(state, leaving=self._longest(running, pumps)), None

    def step(self, state: GroupState, inputs: GroupInputs, now: Instant) -> GroupState:
        """Chooses the pumps that run in this scan."""
        if state.idle_since is None:
            state = replace(state, idle_since=now.mono)
        if inputs.drawing is None:
            return self._rest(state)
        pumps = inputs.pumps
        if inputs.held != state.held:
            state = replace(state, held=inputs.held)
        on = tuple(one and self._fit(state, i, pumps) for i, one in enumerate(state.on))
        if on != state.on:
            state = self._without(replace(state, on=on))
        state = self._staged(state, inputs.value, now)
        state = self._exercise(state, pumps, now)
        state = self._handed_over(state, pumps, now)
        count = self._count(state)
        if count < state.needed:
            state = self._start(state, pumps, now)
        elif count > state.needed and state.leaving is None:
            state = self._stop_one(state, pumps, now)
        if state.cause is not inputs.drawing:
            state = replace(state, cause=inputs.drawing)
        return state

    def _rest(self, state: GroupState) -> GroupState:
        if state.needed == 0 and not any(state.on) and state.cause is None:
            return state
        return replace(self.initial(), last=state.last, started_at=state.started_at, idle_since=state.idle_since)

    def _without(self, state: GroupState) -> GroupState:
        """Forgets what was meant for a pump that has dropped out."""
        leaving = state.leaving if state.leaving is not None and state.on[state.leaving] else None
        exercised = state.exercised if state.exercised is not None and state.on[state.exercised] else None
        return replace(state, leaving=leaving, exercised=exercised)

    def _count(self, state: GroupState) -> int:
        """The pumps that run for the water."""
        return sum(on for i, on in enumerate(state.on) if i != state.exercised)

    def _staged(self, state: GroupState, value: float | None, now: Instant) -> GroupState:
        if state.needed == 0:
            return replace(state, needed=1, up_since=None, down_since=None)
        if self.staging is None:
            return state
        more, fewer = self.staging.beyond(value, state.needed)
        up_since = since(state.up_since, more and state.needed < self.duty, now)
        down_since = since(state.down_since, fewer, now)
        if lasted(up_since, self.staging.up_after, now):
            return replace(state, needed=state.needed + 1, up_since=None, down_since=None)
        if lasted(down_since, self.staging.down_after, now):
            return replace(state, needed=state.needed - 1, up_since=None, down_since=None)
        if up_since == state.up_since and down_since == state.down_since:
            return state
        return replace(state, up_since=up_since, down_since=down_since)

    def _fit(self, state: GroupState, member: int, pumps: tuple[PumpState, ...]) -> bool:
        """True when nothing keeps a pump from being run."""
        return pumps[self.places[member]].fault is None and not (state.held and state.held[member])

    def _next(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> int | None:
        """The pump to start next, of those that are fit and may be started."""
        fit = [
            i
            for i, place in enumerate(self.places)
            if not state.on[i] and self._fit(state, i, pumps) and self.pumps[i].waits(pumps[place], now) is None
        ]
        if not fit:
            return None
        if self.rotation == "hours":
            return min(fit, key=lambda i: (run_seconds(pumps[self.places[i]].duty, now), i))
        after = -1 if state.last is None else state.last
        return min(fit, key=lambda i: (i - after - 1) % len(self.pumps))

    def _start(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> GroupState:
        if any(state.on) and state.started_at is not None and now.mono - state.started_at < self.stagger:
            return state
        chosen = self._next(state, pumps, now)
        if chosen is None:
            if state.exercised is None:
                return state
            # A pump that is being exercised is there when it is needed.
            return replace(state, exercised=None)
        return self._turned(replace(state, last=chosen, started_at=now.mono), chosen, on=True)

    def _stop_one(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> GroupState:
        running = [i for i, on in enumerate(state.on) if on and i != state.exercised]
        rested = [i for i in running if self.pumps[i].duty.may_rest(pumps[self.places[i]].duty, now)]
        if not rested:
            return state
        if self.rotation == "hours":
            return self._turned(
                state, max(rested, key=lambda i: run_seconds(pumps[self.places[i]].duty, now)), on=False
            )
        return self._turned(state, self._longest(rested, pumps), on=False)

    def _longest(self, members: list[int], pumps: tuple[PumpState, ...]) -> int:
        """The one that has been on for longest."""
        return min(members, key=lambda i: pumps[self.places[i]].duty.on_at or 0.0)

    def _handed_over(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> GroupState:
        """One pump takes the place of another: it runs before the other stops."""
        if state.leaving is None:
            if self.rotate_after is None:
                return state
            running = [i for i, on in enumerate(state.on) if on and i != state.exercised]
            if not running or self._next(state, pumps, now) is None:
                return state
            longest = self._longest(running, pumps)
            on_at = pumps[self.places[longest]].duty.on_at
            if on_at is None or now.mono - on_at < self.rotate_after:
                return state
            state = replace(state, leaving=longest)
        leaving = state.leaving
        assert leaving is not None
        if self._count(state) <= state.needed:
            if self._next(state, pumps, now) is None:
                return replace(state, leaving=None)
            return self._start(state, pumps, now)
        others = [i for i, on in enumerate(state.on) if on and i not in (leaving, state.exercised)]
        ready = all(pumps[self.places[i]].running for i in others)
        if ready and self.pumps[leaving].duty.may_rest(pumps[self.places[leaving]].duty, now):
            return self._turned(replace(state, leaving=None), leaving, on=False)
        return state

    def _exercise(self, state: GroupState, pumps: tuple[PumpState, ...], now: Instant) -> GroupState:
        if state.exercised is not None:
            if now.mono < state.exercised_until:
                return state
            return self._turned(replace(state, exercised=None), state.exercised, on=False)
        if self.exercise_idle is None or self._count(state) == 0:
            return state
        for i, place in enumerate(self.places):
            pump = pumps[place]
            idle_since = pump.duty.off_at if pump.duty.off_at is not None else state.idle_since
            assert idle_since is not None
            idle = not state.on[i] and not pump.duty.on and now.mono - idle_since >= self.exercise_idle
            if idle and self._fit(state, i, pumps) and self.pumps[i].waits(pump, now) is None:
                until = now.mono + max(self.exercise_run, self.pumps[i].duty.min_on)
                return self._turned(replace(state, exercised=i, exercised_until=until), i, on=True)
        return state

    @staticmethod
    def _turned(state: GroupState, member: int, *, on: bool) -> GroupState:
        return replace(state, on=(*state.on[:member], on, *state.on[member + 1 :]))

    def restored(self, saved: dict[str, Any]) -> GroupState:
        """What it was before a restart: whose turn is next. Raises ``KeyError`` on what is not from ``to_saved``."""
        tags = [pump.tag for pump in self.pumps]
        return replace(self.initial(), last=tags.index(saved["last"]) if saved["last"] in tags else None)

    def to_saved(self, state: GroupState) -> dict[str, Any]:
        """What of it survives a restart."""
        return {"last": self.pumps[state.last].tag if state.last is not None else None}

    def cause(self, state: GroupState, member: int) -> Cause:
        """Why a member runs, or stands by."""
        if member == state.exercised:
            return Cause(Code.GROUP_EXERCISES, self.tag, (amount(self.exercise_idle or 0.0, "s"),), state.cause)
        code = Code.GROUP_RUNS if state.on[member] else Code.GROUP_STANDBY
        return Cause(code, self.tag, (str(self._count(state)), str(state.needed)), state.cause)
