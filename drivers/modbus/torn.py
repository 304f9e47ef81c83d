"""When a total of several parts may be believed, of a device that does not change them all at once.

Water moves a total on by little from one reading to the next. One that has risen by a whole unit or more, or has
fallen, may hold an old part beside a new one: it is read again until it fits what was believed last, until it has gone
on over a whole unit while it was watched, or until it has stood so for longer than a device takes to change all parts.

What cannot be seen: a total that has risen by a whole unit since it was last read and still shows its old whole number.
It is read by a unit too low until the next reading; so a total is to be read more often than once a unit.
"""

from itertools import pairwise
from math import isfinite
from typing import Final

from drivers.modbus.codec import Number

SETTLED_S: Final = 2.0
"""No device takes longer from its whole number to its decimals: most publish both once a second."""
FALL: Final = 0.05
"""A share of the unit by which a total may fall and be whole: water that runs back, or the last digit's noise."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.4
"""It is read again after the first, then twice as long and so on up to the longest."""
TORN_FOR_S: Final = 1.0
"""Longest excursion that is known for one by its end."""
NEVER_WHOLE_S: Final = 10.0
"""What has not settled after this has parts that do not belong together."""


class Settling:
    """The totals of one read.

    ``units``: by how much each moves when a part other than its smallest does. ``settled``: how many seconds one that
    fits nothing must stand.
    """

    def __init__(self, units: tuple[float, ...], settled: float = SETTLED_S) -> None:
        self._units = units
        self._settled = settled
        self._believed: list[float] | None = None
        self._watched: list[tuple[float, list[float]]] = []
        self._before_fall: list[tuple[float, list[float]]] = []
        self._doubted_at: float | None = None

    def never_whole(self, now: float) -> bool:
        """True when they have been in doubt for longer than any device takes."""
        return self._doubted_at is not None and now - self._doubted_at >= NEVER_WHOLE_S

    def pause(self, read: tuple[Number | None, ...], now: float) -> float | None:
        """How many seconds to wait before they are read again; ``None`` when these are to be believed."""
        totals = [float(total) for total in read if total is not None and isfinite(total)]
        if len(totals) < len(read):
            # There is nothing to be torn in what is no number.
            self.interrupted()
            return None
        if self._believed is not None and self._goes_on(self._believed, totals):
            self._believe(totals)
            return None
        if self._watched and self._falls(self._watched[-1][1], totals):
            self._before_fall, self._watched = self._watched, []
        self._watched.append((now, totals))
        if self._has_stood(now) or self._rolled_over() or self._is_back(now, totals):
            self._believe(totals)
            return None
        if self._doubted_at is None:
            self._doubted_at = now
        return min(FIRST_PAUSE_S * 2.0 ** (len(self._watched) - 1), LONGEST_PAUSE_S)

    def interrupted(self) -> None:
        """It could not be read: what was seen last was too long ago to say anything."""
        self._watched, self._before_fall, self._doubted_at = [], [], None

    def _believe(self, totals: list[float]) -> None:
        self._believed = totals
        self.interrupted()

    def _goes_on(self, before: list[float], after: list[float]) -> bool:
        return not self._falls(before, after) and all(
            new - old < unit for old, new, unit in zip(before, after, self._units, strict=True)
        )

    def _falls(self, before: list[float], after: list[float]) -> bool:
        return any(new - old < -FALL * unit for old, new, unit in zip(before, after, self._units, strict=True))

    def _has_stood(self, now: float) -> bool:
        """It is as it was for long enough, or has gone on by little."""
        since = self._watched[0][0]
        for (_, before), (at, after) in pairwise(self._watched):
            if not self._goes_on(before, after):
                since = at
        return now - since >= self._settled

    def _is_back(self, now: float, totals: list[float]) -> bool:
        """It fits again what was read a moment ago: what was read between the two was torn."""
        seen = [*self._before_fall, *self._watched[:-1]]
        jumped = [not self._goes_on(before, after) for (_, before), (_, after) in pairwise((*seen, self._watched[-1]))]
        return any(
            now - at <= TORN_FOR_S and sum(jumped[i:]) >= 2 and self._goes_on(one, totals)
            for i, (at, one) in enumerate(seen)
        )

    def _rolled_over(self) -> bool:
        """A meter this fast was seen to go on over a whole unit. What is torn does so in one step: that is left out."""
        for unit, *seen in zip(self._units, *(totals for _, totals in self._watched), strict=True):
            steps = [after - before for before, after in pairwise(seen)]
            if steps and sum(steps) - max(steps) >= unit:
                return True
        return False
