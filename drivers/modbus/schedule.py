"""Who is asked next on a bus: every read at its period, the more important first when there is not time for all.

A read that waits gains on the others: its deadline is its due time plus some of its periods, few for a high
priority and more for a low one, and the earliest deadline goes first. So a full bus delays what matters least, and
stops nothing.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from config.signals import Priority

SLACK_PERIODS: Final[dict[Priority, float]] = {"high": 0.0, "normal": 1.0, "low": 4.0}

T = TypeVar("T")


@dataclass(slots=True)
class Turn(Generic[T]):
    """One read in the schedule. ``due``: when it is to be asked by its period, on the loop's clock, in seconds."""

    item: T
    period: float
    priority: Priority
    due: float

    def pass_on(self, now: float) -> int:
        """Moves ``due`` to the next period after ``now``, keeping the rhythm; returns how many were left out.

        A turn ahead of its time (something was to be read once more) keeps its place.
        """
        if self.due > now:
            return 0
        behind = int((now - self.due) / self.period)
        self.due += self.period * (behind + 1)
        return behind


class Schedule(Generic[T]):
    """All reads of one bus."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Turn[T]]] = []
        self._ready: list[tuple[float, int, Turn[T]]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._ready)

    def put(self, turn: Turn[T], at: float | None = None) -> None:
        """Lets a turn wait until it is due, or until ``at``."""
        self._count += 1
        heapq.heappush(self._waiting, (turn.due if at is None else at, self._count, turn))

    def put_off(self, turn: Turn[T], at: float) -> None:
        """Lets a turn wait until ``at`` on purpose: what is left out until then counts as nothing."""
        turn.pass_on(at)
        self.put(turn, at)

    def take(self, now: float) -> Turn[T] | None:
        """The turn whose deadline is the earliest of those that are due; ``None`` when none is."""
        waiting, ready = self._waiting, self._ready
        while waiting and waiting[0][0] <= now:
            at, _, turn = heapq.heappop(waiting)
            if not ready and (not waiting or waiting[0][0] > now):
                return turn
            self._count += 1
            deadline = at + SLACK_PERIODS[turn.priority] * turn.period
            heapq.heappush(ready, (deadline, self._count, turn))
        return heapq.heappop(ready)[2] if ready else None

    def next_at(self) -> float | None:
        """When something is due next; in the past when something is due already, ``None`` when nothing ever is."""
        if self._ready:
            return float("-inf")
        return self._waiting[0][0] if self._waiting else None

    def clear(self) -> None:
        """Forgets every turn."""
        self._waiting.clear()
        self._ready.clear()

    def hurry(self, chosen: Callable[[T], bool], now: float) -> None:
        """Makes what is ``chosen`` due now."""
        hurried = [turn for _, _, turn in self._waiting if chosen(turn.item)]
        self._waiting = [entry for entry in self._waiting if not chosen(entry[2].item)]
        heapq.heapify(self._waiting)
        for turn in hurried:
            self.put(turn, now)


def phases(periods: list[float], phase: float) -> Iterator[float]:
    """When each of some reads is first asked, in seconds after the start.

    Reads of one period are spread evenly over it (over its first second, if it is longer), shifted by ``phase``, 0
    to 1, so that neither the reads of a bus nor the buses of a gateway all ask at the same moment.
    """
    total, seen = Counter(periods), Counter[float]()
    for period in periods:
        yield min(period, 1.0) * ((seen[period] / total[period] + phase) % 1.0)
        seen[period] += 1
