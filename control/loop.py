"""The control loop: one measurement, one set-point, one PID, and what its output moves.

Modes: *manual*, a person gives the output; *auto*, the loop holds its own set-point; *cascade*, the set-point comes
from another loop or as a ratio of a signal. Every change of mode goes on at the output that stands. Beside its mode a
loop may not be free: its dispenser stands still, somebody of higher rank has the actuator, the measurement or the
feed-forward is not known, the inner loop of its cascade does not listen. Then the PID tracks the output that is really
in force, so that nothing has wound up when the loop is free again, and ``limited`` says why.

A measurement that is not known holds the output; after ``bad_pv_after`` the output goes to ``bad_pv_output``, where
the site gives one. Dosing holds its trim, and after that time doses by the flow alone. Nothing is integrated over a
gap between two scans.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from config.sample import Sample
from control import autotune
from control.autotune import Autotune, AutotuneState, Tuning
from control.cause import Cause, amount, reason_text, to_json
from control.code import Code
from control.event import Event, Kind
from control.feed_forward import Dosing, FeedForward, Ratio
from control.instant import Instant
from control.loop_state import Chosen, LoopInputs, LoopState, Mode, kept, wrapped
from control.pid import Pid, PidState
from control.timer import lasted, since


@dataclass(frozen=True, slots=True)
class Loop:
    """Settings. The measurement (image index ``pv``) is in ``unit``, the output in ``output_unit``.

    ``low`` and ``high`` bound the output; the PID's own limits are the same, or those of the trim where it doses.
    ``safe``: the output while its dispenser stands still, and at the start. ``remote``: what gives the set-point in
    cascade: a ratio, the name of another loop, or nothing.
    """

    tag: str
    pid: Pid
    pv: int
    pv_name: str
    unit: str
    output_unit: str
    mode: Mode
    setpoint: float | None
    setpoint_low: float
    setpoint_high: float
    low: float
    high: float
    safe: float
    remote: Ratio | str | None = None
    feed_forward: FeedForward | Dosing | None = None
    bad_pv_after: float = 30.0
    bad_pv_output: float | None = None
    tune: Autotune | None = None

    @property
    def remote_name(self) -> str:
        """What gives the set-point in cascade; "" where nothing does."""
        return self.remote.name if isinstance(self.remote, Ratio) else self.remote or ""

    def initial(self) -> LoopState:
        """As the site file has it, with the safe output."""
        return self.restored(Chosen(self.mode, self.setpoint), None)

    def restored(self, chosen: Chosen, tuned: Tuning | None) -> LoopState:
        """What people chose, with the safe output: a restart moves nothing by hand."""
        cause = Cause(Code.LOOP_BEGINS, self.tag)
        return LoopState(chosen, PidState(), self.safe, None, 0.0, None, None, tuned, None, None, cause)

    def step(
        self, state: LoopState, image: tuple[Sample, ...], inputs: LoopInputs, dt_s: float | None, now: Instant
    ) -> tuple[LoopState, tuple[Event, ...]]:
        """One scan; ``dt_s`` is ``None`` at the first one and after a gap."""
        measured, feed = image[self.pv].number, self._feed(image)
        remote = self._remote(image, inputs) if state.chosen.mode is Mode.CASCADE else None
        setpoint = self._setpoint(state, remote, measured)
        if state.tune is not None:
            return self._tune(state, state.tune, image, inputs, measured, now)
        dt = dt_s or 0.0
        if inputs.stopped is not None:
            limited = wrapped(state, Code.LOOP_STOPPED, self.tag, inputs.stopped)
            return self._follow(state, self.safe, setpoint, feed, limited, measured, dt), ()
        if inputs.taken is not None:
            in_force = state.output if inputs.in_force is None else inputs.in_force
            output = min(max(in_force, self.low), self.high)
            limited = wrapped(state, Code.LOOP_TAKEN, self.tag, inputs.taken)
            return self._follow(state, output, setpoint, feed, limited, measured, dt), ()
        if state.chosen.mode is Mode.MANUAL:
            wanted = state.output if state.chosen.output is None else state.chosen.output
            return self._follow(state, self._towards(state, wanted, dt), setpoint, feed, None, measured, dt), ()
        if measured is None or setpoint is None or feed is None:
            return self._blind(state, image, setpoint, feed, dt, now), ()
        return self._regulate(state, inputs, remote, measured, setpoint, feed, dt_s), ()

    # -- what it sees ------------------------------------------------------------------------------------------------

    def _feed(self, image: tuple[Sample, ...]) -> float | None:
        if self.feed_forward is None:
            return 0.0
        value = image[self.feed_forward.signal].number
        return None if value is None else self.feed_forward.feed(value)

    def _remote(self, image: tuple[Sample, ...], inputs: LoopInputs) -> float | None:
        """The set-point from outside; ``None`` while it is not known."""
        if not isinstance(self.remote, Ratio):
            return inputs.outer
        value = image[self.remote.signal].number
        return None if value is None else self.remote.factor * value + self.remote.bias

    def _setpoint(self, state: LoopState, remote: float | None, measured: float | None) -> float | None:
        """The set-point in force; a remote one that is not known leaves the last one standing."""
        wanted = remote if state.chosen.mode is Mode.CASCADE else state.chosen.setpoint
        if wanted is None:
            wanted = measured if state.setpoint is None else state.setpoint
        return None if wanted is None else min(max(wanted, self.setpoint_low), self.setpoint_high)

    # -- what it does ------------------------------------------------------------------------------------------------

    def _regulate(
        self,
        state: LoopState,
        inputs: LoopInputs,
        remote: float | None,
        measured: float,
        setpoint: float,
        feed: float,
        dt_s: float | None,
    ) -> LoopState:
        pid, dosing = state.pid, isinstance(self.feed_forward, Dosing)
        if dt_s is None or pid.output is None or state.bad_since is not None:
            standing = self.pid_output_of(state.output, feed)
            pid = self.pid.follow(PidState(), standing, setpoint, measured, 0.0, self._sum(feed))
        if dosing and feed <= 0:
            nil = kept(state, Code.LOOP_NO_FLOW) or Cause(Code.LOOP_NO_FLOW, self.tag)
            return self._settled(state, pid, self.output_of(0.0, feed), setpoint, feed, None, nil)
        in_force = None if inputs.in_force is None else self.pid_output_of(inputs.in_force, feed)
        if dosing and state.output in (self.low, self.high):
            in_force = self.pid_output_of(state.output, state.feed)
        pid, wanted = self.pid.step(pid, setpoint, measured, dt_s or 0.0, self._sum(feed), in_force)
        output = self.output_of(wanted, feed)
        limited: Cause | None = None
        if inputs.held is not None:
            limited = wrapped(state, Code.LOOP_INNER_HELD, self.tag, inputs.held)
        elif wanted in (self.pid.low, self.pid.high) or output in (self.low, self.high):
            at_end = kept(state, Code.LOOP_AT_LIMIT) if output == state.output else None
            limited = at_end or Cause(Code.LOOP_AT_LIMIT, self.tag, (amount(output, self.output_unit),))
        elif remote is None and state.chosen.mode is Mode.CASCADE:
            limited = kept(state, Code.LOOP_REMOTE_UNKNOWN)
            limited = limited or Cause(Code.LOOP_REMOTE_UNKNOWN, self.tag, (self.remote_name,))
        return self._settled(state, pid, output, setpoint, feed, None, limited)

    def _blind(
        self,
        state: LoopState,
        image: tuple[Sample, ...],
        setpoint: float | None,
        feed: float | None,
        dt_s: float,
        now: Instant,
    ) -> LoopState:
        """Nothing to regulate by: the output is held, then goes where the site file says."""
        bad_since = since(state.bad_since, True, now)
        over, output, pid = lasted(bad_since, self.bad_pv_after, now), state.output, state.pid
        if isinstance(self.feed_forward, Dosing) and feed is not None:
            output = self.output_of(0.0 if over or pid.output is None else pid.output, feed)
        elif over and self.bad_pv_output is not None:
            output = self._towards(state, self.bad_pv_output, dt_s)
        last_feed = state.feed if feed is None else feed
        return self._settled(state, pid, output, setpoint, last_feed, bad_since, self._why_blind(state, image))

    def _why_blind(self, state: LoopState, image: tuple[Sample, ...]) -> Cause:
        ahead = self.feed_forward
        known = image[self.pv].number is not None
        name = ahead.name if known and ahead is not None else self.pv_name
        sample = image[ahead.signal if known and ahead is not None else self.pv]
        standing = state.limited
        if standing is not None and standing.code is Code.LOOP_BLIND and standing.subject == name:
            return standing
        return Cause(Code.LOOP_BLIND, name, (reason_text(sample),))

    def _follow(
        self,
        state: LoopState,
        output: float,
        setpoint: float | None,
        feed: float | None,
        limited: Cause | None,
        measured: float | None,
        dt_s: float,
    ) -> LoopState:
        """The output is not the PID's: it goes along, so that it takes over without a bump."""
        pid, ahead = state.pid, state.feed if feed is None else feed
        if measured is not None and setpoint is not None:
            pid = self.pid.follow(pid, self.pid_output_of(output, ahead), setpoint, measured, dt_s, self._sum(ahead))
        elif pid.output is not None:
            pid = PidState()
        return self._settled(state, pid, output, setpoint, ahead, None, limited)

    def _tune(
        self,
        state: LoopState,
        tune: AutotuneState,
        image: tuple[Sample, ...],
        inputs: LoopInputs,
        measured: float | None,
        now: Instant,
    ) -> tuple[LoopState, tuple[Event, ...]]:
        """One scan of the relay. However it ends, the mode before goes on at the output before."""
        assert self.tune is not None
        found: AutotuneState | Tuning | Cause | None = inputs.stopped or inputs.taken
        if found is None and measured is None:
            found = self._why_blind(state, image)
        if found is None:
            assert measured is not None
            found = self.tune.step(tune, self.tag, self.unit, measured, reverse=self.pid.reverse, now=now)
        if isinstance(found, AutotuneState):
            output = self.output_of(found.output, state.feed)
            limited = kept(state, Code.LOOP_TUNES)
            limited = limited or Cause(Code.LOOP_TUNES, self.tag, (amount(tune.amplitude, self.output_unit),))
            if found is not tune:
                state = replace(state, tune=found)
            return self._settled(state, state.pid, output, state.setpoint, state.feed, None, limited), ()
        ended = replace(state, tune=None, pid=PidState(), output=self.output_of(tune.centre, state.feed))
        if isinstance(found, Cause):
            ended = replace(ended, gave_up=found)
            return ended, (Event(Kind.EVENT, "tune-ended", self.tag, to_json(found)),)
        body = {**autotune.to_saved(found), "unit": self.unit, "output_unit": self.output_unit}
        tuned = Event(Kind.EVENT, "tuned", self.tag, body | {"proposals": found.proposals()})
        return replace(ended, tuned=found), (tuned,)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _sum(self, feed: float) -> float:
        """What is added to the PID's output."""
        return feed if isinstance(self.feed_forward, FeedForward) else 0.0

    def output_of(self, wanted: float, feed: float) -> float:
        """The output that an output of the PID makes: the same, or the dose with its trim."""
        if not isinstance(self.feed_forward, Dosing):
            return wanted
        return min(max(Dosing.output(feed, wanted), self.low), self.high)

    def pid_output_of(self, output: float, feed: float) -> float:
        """The output of the PID that makes an output."""
        if not isinstance(self.feed_forward, Dosing):
            return output
        return min(max(Dosing.trim(feed, output), self.pid.low), self.pid.high)

    def _towards(self, state: LoopState, wanted: float, dt_s: float) -> float:
        reach = self.pid.rate * dt_s if dt_s > 0 else 0.0
        return min(max(state.output + min(max(wanted - state.output, -reach), reach), self.low), self.high)

    def _settled(
        self,
        state: LoopState,
        pid: PidState,
        output: float,
        setpoint: float | None,
        feed: float,
        bad_since: float | None,
        limited: Cause | None,
    ) -> LoopState:
        """The new state, or the same one when nothing has changed."""
        cause = self._cause(state, setpoint, limited)
        if (
            pid is state.pid
            and output == state.output
            and setpoint == state.setpoint
            and feed == state.feed
            and bad_since == state.bad_since
            and limited is state.limited
            and cause is state.cause
        ):
            return state
        return LoopState(
            state.chosen,
            pid,
            output,
            setpoint,
            feed,
            bad_since,
            state.tune,
            state.tuned,
            state.gave_up,
            limited,
            cause,
        )

    def _cause(self, state: LoopState, setpoint: float | None, limited: Cause | None) -> Cause:
        """Why the output is what it is; the standing one while it says the same."""
        if limited is not None and limited.code in _MOVED_BY:
            return limited
        mode, standing = state.chosen.mode, state.cause
        code = _SAID_OF[mode]
        same = mode is not Mode.AUTO or setpoint == state.setpoint
        if standing.code is code and standing.because is limited and same:
            return standing
        match mode:
            case Mode.MANUAL:
                output = state.output if state.chosen.output is None else state.chosen.output
                values = (amount(output, self.output_unit), state.chosen.by)
            case Mode.AUTO:
                values = (self.pv_name, amount(setpoint or 0.0, self.unit))
            case Mode.CASCADE:
                values = (self.pv_name, self.remote_name)
        return Cause(code, self.tag, values, limited)


_MOVED_BY = frozenset({Code.LOOP_STOPPED, Code.LOOP_TAKEN, Code.LOOP_TUNES, Code.LOOP_BLIND})
"""Limitations that say by themselves why the output is what it is."""
_SAID_OF = {Mode.MANUAL: Code.LOOP_BY_HAND, Mode.AUTO: Code.LOOP_HOLDS, Mode.CASCADE: Code.LOOP_FOLLOWS}


def to_saved(state: LoopState) -> dict[str, Any]:
    """What of a loop survives a restart, as JSON: what people chose, but no output by hand, and the last auto-tune."""
    chosen = state.chosen
    return {
        "mode": str(chosen.mode),
        "setpoint": chosen.setpoint,
        "by": chosen.by,
        "tuned": autotune.to_saved(state.tuned) if state.tuned is not None else None,
    }


def from_saved(loop: Loop, saved: Mapping[str, Any]) -> LoopState:
    """The state after a restart. Raises ``KeyError``, ``TypeError`` or ``ValueError`` on other data.

    A set-point that the site file no longer allows, and a cascade that it no longer has, are those of the site file.
    """
    mode, setpoint = Mode(saved["mode"]), saved["setpoint"]
    if mode is Mode.CASCADE and loop.remote is None:
        mode = loop.mode
    if setpoint is not None and not loop.setpoint_low <= setpoint <= loop.setpoint_high:
        setpoint = loop.setpoint
    tuned = autotune.from_saved(saved["tuned"]) if saved["tuned"] is not None else None
    return loop.restored(Chosen(mode, setpoint, None, saved["by"]), tuned)
