"""Does a positioner follow its demand? Judged by the position that it reports.

A move is given the time of its distance, and a dead time to begin. Four things go wrong: it stands still under a new
demand (sticking, then stuck), it moves and does not arrive, or it leaves where it had arrived. A demand that creeps, as
that of a loop does, begins a new move with each ``tolerance``; how long the valve has stood still is counted through.
"""

from dataclasses import dataclass, replace
from typing import Final

from control.instant import Instant
from control.timer import lasted, since

MARGIN: Final = 1.5
"""A move may take this many times its nominal time (shared water notes 3.5)."""
LEFT_TOLERANCES: Final = 3.0
"""A valve that had arrived has left when it is this many tolerances away: the demand itself may move one of them."""


@dataclass(frozen=True, slots=True)
class PositionerState:
    """The move: to ``aim`` from ``start`` (percent), begun at ``aimed_at`` (monotonic); ``arrived``.

    ``stood``: where it was when it last moved noticeably, at ``moved_at``. ``astray_since``: away after it had arrived.
    """

    aim: float
    start: float
    aimed_at: float
    arrived: bool
    stood: float
    moved_at: float
    astray_since: float | None = None


@dataclass(frozen=True, slots=True)
class Positioner:
    """Settings: ``travel`` of a whole stroke in s, ``tolerance`` of the position in percent.

    ``stick_after``: standing still this many seconds under a new demand is sticking; also the dead time of a move.
    """

    travel: float
    tolerance: float
    stick_after: float

    def limit(self, state: PositionerState) -> float:
        """How long the move may take, in seconds."""
        return MARGIN * self.travel * abs(state.aim - state.start) / 100.0 + self.stick_after

    def step(self, state: PositionerState | None, demand: float, shown: float, now: Instant) -> PositionerState:
        """One look at the position; the same state while nothing of it changes."""
        near = abs(shown - demand) <= self.tolerance
        if state is None:
            return PositionerState(demand, shown, now.mono, near, shown, now.mono)
        if abs(demand - state.aim) > self.tolerance or (demand != state.aim and demand in (0.0, 100.0)):
            rested = state.arrived or abs(shown - state.stood) >= self.tolerance
            stood, moved_at = (shown, now.mono) if rested else (state.stood, state.moved_at)
            return PositionerState(demand, shown, now.mono, near, stood, moved_at)
        if state.arrived:
            away = abs(shown - state.aim) > LEFT_TOLERANCES * self.tolerance
            astray_since = since(state.astray_since, away, now)
            return state if astray_since == state.astray_since else replace(state, astray_since=astray_since)
        if near:
            return replace(state, arrived=True, stood=shown, moved_at=now.mono)
        if abs(shown - state.stood) >= self.tolerance:
            return replace(state, stood=shown, moved_at=now.mono)
        return state

    def sticks(self, state: PositionerState, now: Instant) -> bool:
        """It should move and stands still."""
        return not state.arrived and now.mono - state.moved_at > self.stick_after

    def stuck(self, state: PositionerState, now: Instant) -> bool:
        """It has stood still for as long as a whole stroke may take."""
        return not state.arrived and now.mono - state.moved_at > MARGIN * self.travel + self.stick_after

    def late(self, state: PositionerState, now: Instant) -> bool:
        """It did not arrive in the time of its distance."""
        return not state.arrived and now.mono - state.aimed_at > self.limit(state)

    def left(self, state: PositionerState, now: Instant) -> bool:
        """It had arrived and is gone from there, without a demand."""
        return lasted(state.astray_since, self.stick_after, now)
