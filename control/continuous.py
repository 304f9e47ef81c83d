"""The continuous dispenser: serves a pipe at a set-point of flow.

The set-point moves at a ramp; a PID holds it on a modulating valve. Whatever protect forbids closes the valve;
when it is allowed again the set-point starts from nil, so that the network is never hit by a full opening. Served
volume is the meter's totaliser; what it counts with the valve proved closed is unattributed. Each hour, and at
each stop, what was served goes into the ledger.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from config.sample import Sample
from control.cause import Cause, amount, to_json
from control.code import Code
from control.command import Command
from control.event import Event, Kind
from control.instant import Instant
from control.pid import Pid, PidState
from control.timer import lasted, since
from control.totaliser import advance
from control.valve import Position

ACCOUNT_PERIOD_S = 3600.0
METER_TOLERANCE_S = 3.0
"""How long the meter may be unread while water flows."""
MAX_STEP_S = 1.0
"""The loop never integrates over a longer gap between two scans than this."""


AT_REST = PidState()


class Phase(StrEnum):
    """What the off-take does."""

    STOPPED = "stopped"
    RAMPING = "ramping"
    HOLDING = "holding"


@dataclass(frozen=True, slots=True)
class ContinuousState:
    """What a continuous dispenser remembers. Flows in m3/h, volumes in m3, times monotonic."""

    phase: Phase = Phase.STOPPED
    setpoint_m3h: float | None = None
    ramped_m3h: float = 0.0
    opening: float = 0.0
    pid: PidState = AT_REST
    stepped_at: float | None = None
    total_m3: float | None = None
    served_m3: float = 0.0
    account_m3: float = 0.0
    account_start_m3: float | None = None
    account_at: float | None = None
    account_utc: float = 0.0
    unattributed_m3: float = 0.0
    idle_m3: float = 0.0
    idle_changed_at: float = 0.0
    meter_unknown_since: float | None = None
    unauthorised_since: float | None = None


@dataclass(frozen=True, slots=True)
class ContinuousResult:
    """``opening`` in percent and why; ``trip`` and ``events`` raised by this step."""

    opening: float
    cause: Cause
    trip: Cause | None = None
    alarms: tuple[Cause, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class ContinuousDispenser:
    """Settings. Signals are image indices; flows in m3/h, ``ramp_m3h_s`` in m3/h per second."""

    tag: str
    use: str
    flow: int
    flow_name: str
    total: int
    total_name: str
    rollover_m3: float | None
    setpoint_m3h: float
    max_setpoint_m3h: float
    ramp_m3h_s: float
    no_flow_below_m3h: float
    unauthorised_after: float
    settle: float
    pid: Pid

    def wanted_m3h(self, state: ContinuousState) -> float:
        """The set-point in force: the one last commanded, else the site file's."""
        return self.setpoint_m3h if state.setpoint_m3h is None else state.setpoint_m3h

    def refusal(self, command: Command) -> Cause | None:
        """Why a set-point cannot be taken, or ``None``."""
        if 0 <= command.flow_m3h <= self.max_setpoint_m3h:
            return None
        values = (amount(command.flow_m3h, "m3/h"), amount(self.max_setpoint_m3h, "m3/h"))
        return Cause(Code.SETPOINT_NOT_ALLOWED, self.tag, values)

    def step(
        self,
        state: ContinuousState,
        image: tuple[Sample, ...],
        forbids: Cause | None,
        valve: Position,
        now: Instant,
    ) -> tuple[ContinuousState, ContinuousResult]:
        """One scan of the loop."""
        flow = image[self.flow].number
        state, counted = self._count(state, image[self.total], valve, now)
        state = self._watch(state, flow, valve, now)
        blind = lasted(state.meter_unknown_since, METER_TOLERANCE_S, now)
        unmetered = Cause(Code.METER_UNKNOWN, self.flow_name, ("no good reading",)) if blind else None
        stop = forbids or unmetered or self._not_wanted(state)
        trip = None
        if lasted(state.unauthorised_since, self.unauthorised_after, now):
            shown = amount(flow, "m3/h") if flow is not None else "?"
            trip = Cause(Code.FLOW_WITHOUT_ORDER, self.tag, (shown,))
        if stop is not None:
            state, stopped = self._stopped(state, valve, now)
            alarms = (unmetered,) if unmetered is not None else ()
            return state, ContinuousResult(0.0, stop, trip, alarms, (*counted, *stopped))
        state, accounts = self._account(self._regulate(state, flow, now), now)
        cause = Cause(Code.REGULATING, self.tag, (amount(self.wanted_m3h(state), "m3/h"),))
        return state, ContinuousResult(state.opening, cause, trip, (), (*counted, *accounts))

    def _not_wanted(self, state: ContinuousState) -> Cause | None:
        return Cause(Code.SETPOINT_NIL, self.tag) if self.wanted_m3h(state) <= 0 else None

    def _count(
        self, state: ContinuousState, total: Sample, valve: Position, now: Instant
    ) -> tuple[ContinuousState, tuple[Event, ...]]:
        present = total.number
        if present is None:
            return state, ()
        if state.total_m3 is None:
            return replace(state, total_m3=present, account_start_m3=present), ()
        moved = advance(state.total_m3, present, self.rollover_m3)
        if moved.volume_m3 == 0 and not moved.backward:
            return self._book_idle(state, now)
        events: tuple[Event, ...] = ()
        if moved.backward:
            values = (amount(state.total_m3, "m3"), amount(present, "m3"))
            went = to_json(Cause(Code.TOTALISER_BACKWARD, self.tag, values))
            events = (Event(Kind.EVENT, "totaliser-backward", self.tag, went),)
        idle = state.phase is Phase.STOPPED and valve is Position.CLOSED and state.account_m3 <= 0
        if idle or state.account_start_m3 is None:
            changed = now.mono if moved.volume_m3 > 0 else state.idle_changed_at
            return replace(
                state,
                total_m3=present,
                idle_m3=state.idle_m3 + moved.volume_m3,
                idle_changed_at=changed,
                account_start_m3=present,
            ), events
        return replace(
            state,
            total_m3=present,
            served_m3=state.served_m3 + moved.volume_m3,
            account_m3=state.account_m3 + moved.volume_m3,
        ), events

    def _book_idle(self, state: ContinuousState, now: Instant) -> tuple[ContinuousState, tuple[Event, ...]]:
        if state.idle_m3 <= 0 or now.mono - state.idle_changed_at < self.settle:
            return state, ()
        body = {"volume_m3": round(state.idle_m3, 6), "total_m3": state.total_m3}
        booked = replace(state, idle_m3=0.0, unattributed_m3=state.unattributed_m3 + state.idle_m3)
        return booked, (Event(Kind.EVENT, "unattributed", self.tag, body),)

    def _watch(self, state: ContinuousState, flow: float | None, valve: Position, now: Instant) -> ContinuousState:
        flows = flow is not None and flow >= self.no_flow_below_m3h
        closed = state.phase is Phase.STOPPED and valve is Position.CLOSED
        unknown = since(state.meter_unknown_since, flow is None, now)
        unauthorised = since(state.unauthorised_since, flows and closed, now)
        if unknown == state.meter_unknown_since and unauthorised == state.unauthorised_since:
            return state
        return replace(state, meter_unknown_since=unknown, unauthorised_since=unauthorised)

    def _regulate(self, state: ContinuousState, flow: float | None, now: Instant) -> ContinuousState:
        wanted = self.wanted_m3h(state)
        if flow is None:
            return state
        if state.phase is Phase.STOPPED or state.stepped_at is None:
            # Stopped for less than the valve takes to close, the account was never closed: it goes on.
            open_account = state.account_m3 > 0
            return replace(
                state,
                phase=Phase.RAMPING,
                ramped_m3h=flow,
                pid=self.pid.track(state.opening, flow, flow),
                stepped_at=now.mono,
                account_at=state.account_at if open_account and state.account_at is not None else now.mono,
                account_utc=state.account_utc if open_account else now.utc,
            )
        dt = min(max(now.mono - state.stepped_at, 0.0), MAX_STEP_S)
        reach = self.ramp_m3h_s * dt
        ramped = state.ramped_m3h + min(max(wanted - state.ramped_m3h, -reach), reach)
        pid, opening = self.pid.step(state.pid, ramped, flow, dt)
        phase = Phase.HOLDING if ramped == wanted else Phase.RAMPING
        return replace(state, phase=phase, ramped_m3h=ramped, pid=pid, opening=opening, stepped_at=now.mono)

    def _account(self, state: ContinuousState, now: Instant) -> tuple[ContinuousState, tuple[Event, ...]]:
        if state.account_at is None or now.mono - state.account_at < ACCOUNT_PERIOD_S:
            return state, ()
        return self._closed_account(state, now)

    def _stopped(
        self, state: ContinuousState, valve: Position, now: Instant
    ) -> tuple[ContinuousState, tuple[Event, ...]]:
        if state.phase is Phase.STOPPED:
            if state.account_m3 > 0 and valve is Position.CLOSED:
                return self._closed_account(state, now)
            return state, ()
        return replace(
            state,
            phase=Phase.STOPPED,
            ramped_m3h=0.0,
            opening=0.0,
            pid=PidState(),
            stepped_at=None,
        ), ()

    def _closed_account(self, state: ContinuousState, now: Instant) -> tuple[ContinuousState, tuple[Event, ...]]:
        body = {
            "use": self.use,
            "served_m3": round(state.account_m3, 6),
            "meter": self.total_name,
            "total_start_m3": state.account_start_m3,
            "total_end_m3": state.total_m3,
            "from_utc": state.account_utc,
            "to_utc": now.utc,
        }
        new = replace(state, account_m3=0.0, account_start_m3=state.total_m3, account_at=now.mono, account_utc=now.utc)
        return new, (Event(Kind.RECEIPT, "served", self.tag, body),)


def to_saved(state: ContinuousState) -> dict[str, Any]:
    """What of a continuous dispenser survives a restart, as JSON."""
    return {
        "setpoint_m3h": state.setpoint_m3h,
        "total_m3": state.total_m3,
        "served_m3": state.served_m3,
        "account_m3": state.account_m3,
        "account_start_m3": state.account_start_m3,
        "account_utc": state.account_utc,
        "idle_m3": state.idle_m3,
        "unattributed_m3": state.unattributed_m3,
    }


def from_saved(saved: dict[str, Any]) -> ContinuousState:
    """The state after a restart: stopped. Raises ``KeyError``, ``TypeError`` on other data."""
    return ContinuousState(**{key: value for key, value in saved.items() if key != "mode"})
