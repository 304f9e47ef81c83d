"""Early warning: when the water will pass its limit, if it goes on as it does.

A bounded number of points is kept: of a fast signal one each ``spacing``, of a batch analyzer its last results. Through
them goes a line by Theil and Sen: its slope is the median of the slopes between every two points, so that a third of
the points may be wrong without moving it (H. Theil, Proc. KNAW 53, 1950; P. K. Sen, J. Am. Stat. Assoc. 63, 1968,
1379-1389). Where the line meets a limit within ``horizon`` an alarm says so. It is never a reason to stop.
"""

from dataclasses import dataclass
from statistics import median
from typing import Final

from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant

MIN_POINTS: Final = 5
"""Fewer points are no trend."""
ABOVE_NOISE: Final = 2.0
"""The line must rise over its points by more than this many times their median distance from it."""
RETURN: Final = 1.2
"""A warning ends only when the breach is further ahead than this many horizons: else it would come and go."""


@dataclass(frozen=True, slots=True)
class Trend:
    """``points``: moment (monotonic seconds) and value, oldest first; ``warning``: what the line foretells."""

    points: tuple[tuple[float, float], ...] = ()
    warning: Cause | None = None


NO_TREND: Final = Trend()


@dataclass(frozen=True, slots=True)
class EarlyWarning:
    """Settings. Limits in ``unit``, times in seconds; ``spacing`` 0: every result is a point."""

    signal_name: str
    unit: str
    high: float | None
    low: float | None
    horizon: float
    spacing: float
    points: int
    forget: float

    def step(self, trend: Trend, value: float | None, now: Instant) -> Trend:
        """Takes a good reading, or forgets when there was none for ``forget``. Mostly the same object."""
        last = trend.points[-1][0] if trend.points else None
        if value is None:
            return trend if last is None or now.mono - last < self.forget else NO_TREND
        if last is not None and now.mono - last < self.spacing:
            return trend
        oldest = now.mono - self.points * self.forget
        points = (*(point for point in trend.points if point[0] >= oldest), (now.mono, value))[-self.points :]
        return Trend(points, self._foretold(points, trend.warning is not None, now))

    def _foretold(self, points: tuple[tuple[float, float], ...], warned: bool, now: Instant) -> Cause | None:
        if len(points) < MIN_POINTS:
            return None
        slope, level = theil_sen(points, now.mono)
        noise = median([abs(y - level - slope * (x - now.mono)) for x, y in points])
        if abs(slope) * (points[-1][0] - points[0][0]) <= ABOVE_NOISE * noise:
            return None
        limit = self.high if slope > 0 else self.low
        if limit is None or slope == 0:
            return None
        ahead = max((limit - level) / slope, 0.0)
        if ahead > self.horizon * (RETURN if warned else 1.0):
            return None
        per_hour = f"{slope * 3600:+.3g} {self.unit}/h"
        return Cause(
            Code.BREACH_AHEAD,
            self.signal_name,
            (amount(limit, self.unit), amount(ahead, "s"), amount(level, self.unit), per_hour),
        )


def theil_sen(points: tuple[tuple[float, float], ...], at: float) -> tuple[float, float]:
    """Slope per second, and level at the moment ``at``, of the line through points of different moments."""
    slopes = [(y - v) / (x - u) for i, (x, y) in enumerate(points) for u, v in points[:i]]
    slope = median(slopes)
    return slope, median([y - slope * (x - at) for x, y in points])
