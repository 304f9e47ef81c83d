"""What a valve has done: its strokes, and how long the last ones took. Facts for maintenance, and a warning in time.

A stroke is timed when it covers at least half of the way; the time counts for the whole way. A valve whose stroke
takes longer than ``slow_factor`` times its nominal time is worn or stiff: a warning, long before it no longer arrives.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant

LEAST_TIMED_PERCENT: Final = 50.0
POLLS_S: Final = 0.5
"""What the polls of command and feedback add to a stroke."""


@dataclass(frozen=True, slots=True)
class Strokes:
    """``count`` of ends reached; ``opening_s`` and ``closing_s``: what the last whole strokes took.

    ``begun_at`` (monotonic) and ``distance`` (percent): the stroke that is being timed. ``slow``: the warning.
    """

    count: int = 0
    opening_s: float | None = None
    closing_s: float | None = None
    begun_at: float | None = None
    distance: float = 0.0
    slow: Cause | None = None


FRESH: Final = Strokes()


def begun(strokes: Strokes, distance: float, now: Instant) -> Strokes:
    """A stroke over ``distance`` percent begins; one that is too short to be timed ends the timing of another."""
    if distance < LEAST_TIMED_PERCENT:
        return dropped(strokes)
    return replace(strokes, begun_at=now.mono, distance=distance)


def dropped(strokes: Strokes) -> Strokes:
    """The stroke is not timed any more: it was turned round, or a person moved the valve."""
    return strokes if strokes.begun_at is None else replace(strokes, begun_at=None)


@dataclass(frozen=True, slots=True)
class StrokeWatch:
    """Settings: the nominal ``travel`` of a whole stroke in seconds, and the factor above which it is slow."""

    tag: str
    travel: float
    slow_factor: float

    def arrived(self, strokes: Strokes, now: Instant, *, opening: bool) -> Strokes:
        """The end of a stroke is reached."""
        if strokes.begun_at is None:
            return strokes
        taken = (now.mono - strokes.begun_at) * 100.0 / strokes.distance
        return self._judged(
            replace(
                strokes,
                count=strokes.count + 1,
                begun_at=None,
                opening_s=taken if opening else strokes.opening_s,
                closing_s=strokes.closing_s if opening else taken,
            )
        )

    def _judged(self, strokes: Strokes) -> Strokes:
        longest = max(strokes.opening_s or 0.0, strokes.closing_s or 0.0)
        if longest <= self.travel * self.slow_factor + POLLS_S:
            return strokes if strokes.slow is None else replace(strokes, slow=None)
        slow = Cause(Code.VALVE_SLOW, self.tag, (amount(longest, "s"), amount(self.travel, "s")))
        return replace(strokes, slow=slow)

    def restored(self, saved: dict[str, Any]) -> Strokes:
        """The strokes after a restart. Raises ``KeyError`` or ``TypeError`` on what is not from ``to_saved``."""
        return self._judged(Strokes(int(saved["count"]), saved["opening_s"], saved["closing_s"]))


def to_saved(strokes: Strokes) -> dict[str, Any]:
    """What of it survives a restart."""
    return {"count": strokes.count, "opening_s": strokes.opening_s, "closing_s": strokes.closing_s}
