"""How well the scan keeps its time: lateness of each periodic scan and duration of every scan."""

from collections import deque
from typing import Final

WINDOW: Final = 6000
"""Scans remembered: ten minutes at 100 ms."""


class Timing:
    """Keeps the last ``WINDOW`` figures, in seconds."""

    def __init__(self) -> None:
        self._lateness: deque[float] = deque(maxlen=WINDOW)
        self._duration: deque[float] = deque(maxlen=WINDOW)
        self.scans = 0
        self.on_demand = 0
        self.missed = 0

    def periodic(self, lateness_s: float, missed: int) -> None:
        """Notes how late a periodic scan began and how many periods were lost before it."""
        self._lateness.append(lateness_s)
        self.missed += missed

    def ran(self, duration_s: float, *, on_demand: bool) -> None:
        """Notes how long a scan took."""
        self.scans += 1
        self.on_demand += on_demand
        self._duration.append(duration_s)

    def figures(self) -> dict[str, float | int]:
        """Percentiles in milliseconds, and counts."""
        return {
            "scans": self.scans,
            "on_demand": self.on_demand,
            "missed_periods": self.missed,
            "lateness_p50_ms": _percentile(self._lateness, 0.50),
            "lateness_p99_ms": _percentile(self._lateness, 0.99),
            "lateness_max_ms": _percentile(self._lateness, 1.0),
            "duration_p50_ms": _percentile(self._duration, 0.50),
            "duration_p99_ms": _percentile(self._duration, 0.99),
        }


def _percentile(values: deque[float], share: float) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1000, 3)
