"""The valve as equipment: where it is, and whether it does what it was told.

A motor valve is energised to open; de-energised it closes by itself. It reports by two limit switches. A
modulating valve reports a position in percent. Faults (shared water notes 3.5): end not reached within 1.5 times
the stroke time, left closed without a command, both limit switches on, position not known.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from config.sample import Sample
from control.cause import Cause, amount, reason_text
from control.code import Code
from control.instant import Instant
from control.timer import since

TRAVEL_MARGIN = 1.5
UNKNOWN_TOLERANCE_S = 3.0
"""Position feedback may be missing this long (a poll or two lost) before the valve counts as faulty."""
LEFT_TOLERANCE_S = 1.0
"""A limit switch may flicker this long without the valve counting as having left its position."""


LONGEST_STEP_S = 0.5
"""A valve that stood still is not closed by more than this time is worth in the first scan."""


class Position(StrEnum):
    """Where the valve is."""

    UNKNOWN = "unknown"
    CLOSED = "closed"
    BETWEEN = "between"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class ValveState:
    """``commanded_open`` since ``commanded_at``; ``position``; ``fault``: what is wrong now.

    ``written``: the opening last written to a modulating valve, in percent, at ``written_at``.
    """

    commanded_open: bool = False
    commanded_at: float | None = None
    position: Position = Position.UNKNOWN
    unknown_since: float | None = None
    astray_since: float | None = None
    fault: Cause | None = None
    written: float = 0.0
    written_at: float | None = None


@dataclass(frozen=True, slots=True)
class Valve:
    """Settings: which signals tell the position (``position`` for modulating), ``travel`` in seconds.

    ``close_time``: how long closing takes at least, in seconds; nil for as long as the actuator takes.
    """

    tag: str
    opened: int | None
    closed: int | None
    position: int | None
    closed_below: float
    travel: float
    output: int
    close_time: float = 0.0

    def step(self, state: ValveState, image: tuple[Sample, ...], now: Instant) -> ValveState:
        """Reads the feedback and judges it against the last command."""
        position, why = self._read(image)
        unknown_since = since(state.unknown_since, position is Position.UNKNOWN, now)
        astray = self._astray(state, position)
        astray_since = since(state.astray_since, astray, now)
        fault = self._fault(state, position, why, unknown_since, astray_since, now)
        if state.fault is not None and fault is not None and fault.code is state.fault.code:
            fault = state.fault
        new = replace(state, position=position, unknown_since=unknown_since, astray_since=astray_since, fault=fault)
        return state if new == state else new

    def commanded(self, state: ValveState, value: object, now: Instant) -> ValveState:
        """Notes the output that this scan gives the valve."""
        if isinstance(value, float) and value != state.written:
            state = replace(state, written=value, written_at=now.mono)
        is_open = value is True or (isinstance(value, float) and value > self.closed_below)
        if state.commanded_at is not None and is_open == state.commanded_open:
            return state
        return replace(state, commanded_open=is_open, commanded_at=now.mono, astray_since=None)

    def lowered(self, state: ValveState, opening: float, fast: bool, now: Instant) -> float:
        """The opening to write on the way to ``opening``: no faster towards closed than ``close_time`` allows.

        Water that is stopped at 1 m/s hits the pipe with some 10 bar (Joukowsky, shared water notes 3.5). ``fast``: a
        burst or an overfill, which is worse.
        """
        if fast or self.close_time <= 0 or opening >= state.written or state.written_at is None:
            return opening
        lapse_s = min(now.mono - state.written_at, LONGEST_STEP_S)
        return max(opening, state.written - 100.0 * lapse_s / self.close_time)

    def _read(self, image: tuple[Sample, ...]) -> tuple[Position, str]:
        if self.position is not None:
            sample = image[self.position]
            if not sample.good or not isinstance(sample.value, int | float):
                return Position.UNKNOWN, reason_text(sample)
            return (Position.CLOSED if sample.value <= self.closed_below else Position.OPEN), ""
        assert self.opened is not None
        assert self.closed is not None
        opened, closed = image[self.opened], image[self.closed]
        if not (opened.good and closed.good):
            return Position.UNKNOWN, reason_text(closed if opened.good else opened)
        if opened.value and closed.value:
            return Position.UNKNOWN, "contradiction"
        if closed.value:
            return Position.CLOSED, ""
        return (Position.OPEN if opened.value else Position.BETWEEN), ""

    def _astray(self, state: ValveState, position: Position) -> bool:
        if position is Position.UNKNOWN or state.commanded_at is None:
            return False
        return position is not (Position.OPEN if state.commanded_open else Position.CLOSED)

    def _fault(
        self,
        state: ValveState,
        position: Position,
        why: str,
        unknown_since: float | None,
        astray_since: float | None,
        now: Instant,
    ) -> Cause | None:
        if why == "contradiction":
            return Cause(Code.VALVE_CONTRADICTION, self.tag)
        if unknown_since is not None:
            if now.mono - unknown_since < UNKNOWN_TOLERANCE_S:
                return state.fault
            return Cause(Code.VALVE_UNKNOWN, self.tag, (why,))
        if astray_since is None or state.commanded_at is None:
            return None
        limit = self.travel * TRAVEL_MARGIN
        astray_for = now.mono - astray_since
        if not state.commanded_open and astray_since > state.commanded_at + limit:
            return Cause(Code.VALVE_LEFT_POSITION, self.tag) if astray_for >= LEFT_TOLERANCE_S else None
        if astray_for < limit:
            return None
        code = Code.VALVE_NOT_OPENED if state.commanded_open else Code.VALVE_NOT_CLOSED
        return Cause(code, self.tag, (amount(limit, "s"),))
