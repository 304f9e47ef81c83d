"""The valve as equipment: where it is, and whether it does what it was told.

Three kinds. A motor valve that is energised to open closes by itself when de-energised. One with two commands, open and
close, stays where it is without both: it is driven closed until its closed limit is made, and then rests. A modulating
valve follows a demand in percent and reports a position; it may have limit switches too.

Faults (shared water notes 3.5): end not reached within 1.5 times the stroke time, of its distance where it modulates;
left its position without a command; both limit switches on, or against the position; stuck; position not known; the
actuator's own fault bit. While the selector at the actuator is on local the controller cannot command it: nothing may
run, and what a person does there is no fault. Back on remote it is closed first, with the time that takes.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from config.sample import Sample, Value
from control.cause import Cause, amount, reason_text
from control.code import Code
from control.instant import Instant
from control.positioner import Positioner, PositionerState
from control.renewed import renewed
from control.strokes import FRESH, Strokes, StrokeWatch, begun, dropped
from control.timer import lasted, since

TRAVEL_MARGIN = 1.5
UNKNOWN_TOLERANCE_S = 3.0
"""Position feedback may be missing this long (a poll or two lost) before the valve counts as faulty."""
LEFT_TOLERANCE_S = 1.0
"""A limit switch may flicker this long without the valve counting as having left its position."""
SWITCH_TOLERANCE_PERCENT = 10.0
"""A limit switch may make this far from its end of the position before the two contradict each other."""
CONTRADICTION_TOLERANCE_S = 3.0
"""Switch and position come with different polls and may disagree this long."""
LONGEST_STEP_S = 0.5
"""A valve that stood still is not closed by more than this time is worth in the first scan."""
REVERSAL_S = 0.5
"""Between open and close both commands rest, so that never both are on, whatever order the writes arrive in."""


class Position(StrEnum):
    """Where the valve is."""

    UNKNOWN = "unknown"
    CLOSED = "closed"
    BETWEEN = "between"
    OPEN = "open"


class Stage(StrEnum):
    """What the valve does."""

    UNKNOWN = "unknown"
    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    LOCAL = "local"
    FAULT = "fault"


STAGES: Final[dict[Stage, str]] = {
    Stage.UNKNOWN: "its position is not known",
    Stage.CLOSED: "told to close and proved closed",
    Stage.OPENING: "on its way to open, or to the opening that it was given",
    Stage.OPEN: "open, or where it was told to be",
    Stage.CLOSING: "on its way to closed",
    Stage.LOCAL: "a person has it, at the actuator",
    Stage.FAULT: "it did not do what it was told",
}
"""What each stage means."""

_MOVES: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.CLOSED: frozenset({Stage.OPENING, Stage.CLOSING}),
    Stage.OPENING: frozenset({Stage.OPEN, Stage.CLOSING}),
    Stage.OPEN: frozenset({Stage.OPENING, Stage.CLOSING}),
    Stage.CLOSING: frozenset({Stage.CLOSED, Stage.OPENING}),
}
_OUT: Final = frozenset({Stage.UNKNOWN, Stage.LOCAL, Stage.FAULT})
TRANSITIONS: Final[dict[Stage, frozenset[Stage]]] = {
    stage: _MOVES[stage] | _OUT if stage in _MOVES else frozenset(Stage) - {stage} for stage in Stage
}
"""Every transition there is; ``step`` and ``commanded`` take no other."""


@dataclass(frozen=True, slots=True)
class ValveState:
    """``commanded_open`` since ``commanded_at``; ``fault``: what is wrong now.

    ``written``: the opening last written to a modulating valve, in percent, at ``written_at``. ``driven`` (two
    commands): ``open``, ``close`` or ``rest``; the last since ``rest_at``.
    """

    commanded_open: bool = False
    commanded_at: float | None = None
    position: Position = Position.UNKNOWN
    stage: Stage = Stage.UNKNOWN
    unknown_since: float | None = None
    astray_since: float | None = None
    contradiction_since: float | None = None
    positioner: PositionerState | None = None
    driven: Literal["open", "close", "rest"] = "rest"
    rest_at: float | None = None
    fault: Cause | None = None
    written: float = 0.0
    written_at: float | None = None
    sticking: Cause | None = None
    strokes: Strokes = FRESH


@dataclass(frozen=True, slots=True)
class Valve:
    """Settings. Signals are image indices: limit switches ``opened`` and ``closed``, ``position`` for modulating.

    ``travel``: the whole stroke in seconds. ``closed_below``: percent up to which a position is closed.
    ``close_time``: how long closing takes at least, in seconds; nil for as long as the actuator takes.
    ``close_output``: the second command of a valve that has two. ``remote``: on while the controller has it;
    ``own_fault``: the actuator's fault bit. ``stays``: without power it stays where it is.
    """

    tag: str
    opened: int | None
    closed: int | None
    position: int | None
    closed_below: float
    travel: float
    output: int
    close_time: float = 0.0
    close_output: int | None = None
    remote: int | None = None
    own_fault: int | None = None
    stays: bool = False
    positioner: Positioner | None = None
    strokes: StrokeWatch | None = None

    def step(self, state: ValveState, image: tuple[Sample, ...], now: Instant) -> ValveState:
        """Reads the feedback and judges it against the last command."""
        position, percent, why, disagrees = self._read(image)
        local, selector = self._selector(image)
        broken, bit = self._broken(image)
        missing = why or selector or bit if why != "contradiction" else selector or bit
        unknown_since = since(state.unknown_since, bool(missing), now)
        contradiction_since = since(state.contradiction_since, disagrees, now)
        commanded_at = state.commanded_at
        if state.stage is Stage.LOCAL and local is False:
            commanded_at = now.mono
        aimed = state.positioner
        if local or commanded_at is None or percent is None or self.positioner is None:
            aimed = None if local else aimed
        else:
            aimed = self.positioner.step(aimed, state.written, percent, now)
        astray = self._astray(state, position) and not local and not disagrees
        astray_since = since(None if commanded_at != state.commanded_at else state.astray_since, astray, now)
        fault = self._wrong(why, local, contradiction_since, now, broken=broken)
        if fault is None and unknown_since is not None:
            unknown = Cause(Code.VALVE_UNKNOWN, self.tag, (missing,))
            fault = state.fault if now.mono - unknown_since < UNKNOWN_TOLERANCE_S else unknown
        elif fault is None and local is not True and commanded_at is not None:
            fault = self._not_followed(state, position, percent, aimed, astray_since, commanded_at, now)
        fault = _same(state.fault, fault)
        return renewed(
            state,
            position=position,
            stage=self._stage(state.commanded_open, position, fault, aimed),
            unknown_since=unknown_since,
            astray_since=astray_since,
            contradiction_since=contradiction_since,
            commanded_at=commanded_at,
            positioner=aimed,
            fault=fault,
            sticking=self._sticking(state, aimed, now),
            strokes=self._timed(state, position, aimed, now, local=local is True),
        )

    def commanded(self, state: ValveState, value: Value, now: Instant, *, close: bool = False) -> ValveState:
        """Notes the output that this scan gives the valve; ``close`` is its second command, where it has one."""
        if isinstance(value, float) and value != state.written:
            state = replace(state, written=value, written_at=now.mono)
        is_open = value is True or (isinstance(value, float) and value > self.closed_below)
        if self.close_output is not None:
            state = self._drives(state, value is True, close, now)
        if state.commanded_at is not None and is_open == state.commanded_open:
            return state
        stage, strokes = state.stage, state.strokes
        if stage in _MOVES:
            stage = Stage.OPENING if is_open else Stage.CLOSING
        if self.positioner is None:
            whole = state.position is (Position.CLOSED if is_open else Position.OPEN)
            strokes = begun(strokes, 100.0 if whole and stage is not Stage.LOCAL else 0.0, now)
        return replace(
            state,
            commanded_open=is_open,
            commanded_at=now.mono,
            astray_since=None,
            stage=stage,
            strokes=strokes,
        )

    def lowered(self, state: ValveState, opening: float, fast: bool, now: Instant) -> float:
        """The opening to write on the way to ``opening``: no faster towards closed than ``close_time`` allows.

        Water that is stopped at 1 m/s hits the pipe with some 10 bar (Joukowsky, shared water notes 3.5). ``fast``: a
        burst or an overfill, which is worse.
        """
        if fast or self.close_time <= 0 or opening >= state.written or state.written_at is None:
            return opening
        lapse_s = min(now.mono - state.written_at, LONGEST_STEP_S)
        return max(opening, state.written - 100.0 * lapse_s / self.close_time)

    def drive(self, state: ValveState, now: Instant, *, opens: bool) -> tuple[bool, bool]:
        """The open and the close command of a valve with two, when it is to open or to be closed.

        Closing is driven until the closed limit is made. Between one direction and the other both rest a moment.
        """
        wanted = "open" if opens else "rest" if state.position is Position.CLOSED else "close"
        turning = state.driven != "rest" or (state.rest_at is not None and now.mono - state.rest_at < REVERSAL_S)
        if wanted != state.driven and turning:
            wanted = "rest"
        return wanted == "open", wanted == "close"

    def _drives(self, state: ValveState, opens: bool, close: bool, now: Instant) -> ValveState:
        driven: Literal["open", "close", "rest"] = "open" if opens else "close" if close else "rest"
        if driven == state.driven:
            return state
        return replace(state, driven=driven, rest_at=now.mono if driven == "rest" else None)

    def warnings(self, state: ValveState) -> tuple[Cause, ...]:
        """What is not right and stops nothing yet: sticking, slow."""
        found = (state.sticking, state.strokes.slow)
        return tuple(cause for cause in found if cause is not None) if found != (None, None) else ()

    def _read(self, image: tuple[Sample, ...]) -> tuple[Position, float | None, str, bool]:
        """Where it is, its percent, why that is not known, and whether a switch disagrees with the percent."""
        percent: float | None = None
        if self.position is not None:
            sample = image[self.position]
            percent = sample.number
            if percent is None:
                return Position.UNKNOWN, None, reason_text(sample), False
        opened = closed = None
        for index in (self.opened, self.closed):
            if index is not None and not image[index].good:
                return Position.UNKNOWN, percent, reason_text(image[index]), False
        if self.opened is not None:
            opened = bool(image[self.opened].value)
        if self.closed is not None:
            closed = bool(image[self.closed].value)
        if opened and closed:
            return Position.UNKNOWN, percent, "contradiction", False
        if percent is None:
            at = Position.CLOSED if closed else Position.OPEN if opened else Position.BETWEEN
            return at, None, "", False
        shut = percent <= self.closed_below
        disagrees = (closed is True and percent > self.closed_below + SWITCH_TOLERANCE_PERCENT) or (
            opened is True and percent < 100.0 - SWITCH_TOLERANCE_PERCENT
        )
        if shut and closed is False:
            return Position.BETWEEN, percent, "", disagrees
        return (Position.CLOSED if shut else Position.OPEN), percent, "", disagrees

    def _selector(self, image: tuple[Sample, ...]) -> tuple[bool | None, str]:
        """True while on local; ``None`` and why where that is not known."""
        if self.remote is None:
            return False, ""
        sample = image[self.remote]
        return (sample.value is not True, "") if sample.good else (None, reason_text(sample))

    def _broken(self, image: tuple[Sample, ...]) -> tuple[bool, str]:
        if self.own_fault is None:
            return False, ""
        sample = image[self.own_fault]
        return (sample.value is True, "") if sample.good else (False, reason_text(sample))

    def _astray(self, state: ValveState, position: Position) -> bool:
        if position is Position.UNKNOWN or state.commanded_at is None:
            return False
        if self.positioner is not None:
            return not state.commanded_open and position is not Position.CLOSED
        return position is not (Position.OPEN if state.commanded_open else Position.CLOSED)

    def _wrong(
        self, why: str, local: bool | None, contradiction_since: float | None, now: Instant, *, broken: bool
    ) -> Cause | None:
        """What is wrong whatever was commanded."""
        if why == "contradiction" or lasted(contradiction_since, CONTRADICTION_TOLERANCE_S, now):
            return Cause(Code.VALVE_CONTRADICTION, self.tag)
        if broken:
            return Cause(Code.VALVE_FAULT, self.tag)
        return Cause(Code.VALVE_LOCAL, self.tag) if local else None

    def _not_followed(
        self,
        state: ValveState,
        position: Position,
        percent: float | None,
        aimed: PositionerState | None,
        astray_since: float | None,
        commanded_at: float,
        now: Instant,
    ) -> Cause | None:
        limit = self.travel * TRAVEL_MARGIN
        if astray_since is not None and not state.commanded_open and astray_since > commanded_at + limit:
            left = lasted(astray_since, LEFT_TOLERANCE_S, now)
            return Cause(Code.VALVE_LEFT_POSITION, self.tag) if left else None
        if self.positioner is not None and aimed is not None and percent is not None:
            return self._not_positioned(self.positioner, position, percent, aimed, astray_since, now)
        if astray_since is None or now.mono - astray_since < limit:
            return None
        code = Code.VALVE_NOT_OPENED if state.commanded_open else Code.VALVE_NOT_CLOSED
        return Cause(code, self.tag, (amount(limit, "s"),))

    def _not_positioned(
        self,
        positioner: Positioner,
        position: Position,
        percent: float,
        aimed: PositionerState,
        astray_since: float | None,
        now: Instant,
    ) -> Cause | None:
        if positioner.stuck(aimed, now):
            values = (amount(aimed.stood, "%"), amount(now.mono - aimed.moved_at, "s"), amount(aimed.aim, "%"))
            return Cause(Code.VALVE_STUCK, self.tag, values)
        limit = positioner.limit(aimed)
        if lasted(astray_since, limit, now):
            return Cause(Code.VALVE_NOT_CLOSED, self.tag, (amount(limit, "s"),))
        if positioner.late(aimed, now) and aimed.aim > self.closed_below:
            if position is Position.CLOSED:
                return Cause(Code.VALVE_NOT_OPENED, self.tag, (amount(limit, "s"),))
            values = (amount(percent, "%"), amount(aimed.aim, "%"), amount(limit, "s"))
            return Cause(Code.VALVE_NOT_REACHED, self.tag, values)
        if positioner.left(aimed, now) and aimed.aim > self.closed_below:
            return Cause(Code.VALVE_DRIFTED, self.tag, (amount(aimed.aim, "%"),))
        return None

    def _sticking(self, state: ValveState, aimed: PositionerState | None, now: Instant) -> Cause | None:
        if aimed is None or self.positioner is None or not self.positioner.sticks(aimed, now):
            return None
        if state.sticking is not None:
            return state.sticking
        values = (amount(aimed.stood, "%"), amount(self.positioner.stick_after, "s"), amount(aimed.aim, "%"))
        return Cause(Code.VALVE_STICKING, self.tag, values)

    def _timed(
        self, state: ValveState, position: Position, aimed: PositionerState | None, now: Instant, *, local: bool
    ) -> Strokes:
        if self.strokes is None:
            return state.strokes
        if local:
            return dropped(state.strokes)
        before = state.positioner
        if aimed is not None:
            if before is None or aimed.aimed_at != before.aimed_at:
                return begun(state.strokes, 0.0 if aimed.arrived else abs(aimed.aim - aimed.start), now)
            if aimed.arrived and not before.arrived:
                return self.strokes.arrived(state.strokes, now, opening=aimed.aim > aimed.start)
            return state.strokes
        if position is (Position.OPEN if state.commanded_open else Position.CLOSED):
            return self.strokes.arrived(state.strokes, now, opening=state.commanded_open)
        return state.strokes

    def _stage(
        self, commanded_open: bool, position: Position, fault: Cause | None, aimed: PositionerState | None
    ) -> Stage:
        if fault is not None and fault.code is not Code.VALVE_UNKNOWN:
            return Stage.LOCAL if fault.code is Code.VALVE_LOCAL else Stage.FAULT
        if position is Position.UNKNOWN or fault is not None:
            return Stage.UNKNOWN
        if not commanded_open:
            return Stage.CLOSED if position is Position.CLOSED else Stage.CLOSING
        there = aimed.arrived if aimed is not None else position is Position.OPEN
        return Stage.OPEN if there else Stage.OPENING


def _same(before: Cause | None, present: Cause | None) -> Cause | None:
    """The cause that stood, as long as it is of the same kind."""
    return before if before is not None and present is not None and before.code is present.code else present
