"""A maintenance or calibration mark on an instrument: how long it lasts, and how long it may.

While an instrument is marked (HJ 212-2017 table 8, flags M and C) what was known of the water is held. So that this is
no way round a guard, each marked period has a cap, and so has their sum in 24 hours, which are counted from the first
mark on, whatever the clock shows. A period that has passed a cap stays so until the mark ends. Source: shared water
notes 2.3.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from config.sample import Reason
from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant

DAY_S: Final = 86_400.0
MARKS: Final = (Reason.MAINTENANCE, Reason.CALIBRATION)


@dataclass(frozen=True, slots=True)
class Mark:
    """``reason``: the mark that stands, since ``begun_at``; ``window_at``: when the 24 hours began, in which the
    periods that have ended took ``spent_s``; ``over``: this period has passed a cap. Times are monotonic seconds.
    """

    reason: Reason | None = None
    begun_at: float | None = None
    begun_utc: float = 0.0
    window_at: float | None = None
    spent_s: float = 0.0
    over: Cause | None = None


UNMARKED: Final = Mark()


@dataclass(frozen=True, slots=True)
class MarkCap:
    """Settings, in seconds: the longest single ``period``, and the longest sum in 24 hours, ``day``."""

    signal_name: str
    period: float
    day: float

    def step(self, mark: Mark, reason: Reason, now: Instant) -> Mark:
        """Follows the reason of the newest reading. The same object unless a mark begins, ends or passes a cap."""
        if reason not in MARKS:
            return mark if mark.begun_at is None else self._ended(mark, now)
        if mark.begun_at is None:
            mark = self._begun(mark, reason, now)
        if mark.over is None:
            over = self._over(mark, reason, now)
            if over is not None:
                return replace(mark, over=over)
        return mark

    def _begun(self, mark: Mark, reason: Reason, now: Instant) -> Mark:
        fresh = mark.window_at is None or now.mono - mark.window_at >= DAY_S
        window_at, spent_s = (now.mono, 0.0) if fresh else (mark.window_at, mark.spent_s)
        return Mark(reason, now.mono, now.utc, window_at, spent_s)

    def _ended(self, mark: Mark, now: Instant) -> Mark:
        # More than the cap is told apart from the cap by nothing.
        return Mark(window_at=_window(mark, now), spent_s=min(marked_in_window_s(mark, now), self.day))

    def _over(self, mark: Mark, reason: Reason, now: Instant) -> Cause | None:
        assert mark.begun_at is not None
        word = str(reason)
        if now.mono - mark.begun_at >= self.period:
            return Cause(Code.MARK_TOO_LONG, self.signal_name, (word, amount(self.period, "s")))
        if marked_in_window_s(mark, now) >= self.day:
            return Cause(Code.MARK_DAY_USED, self.signal_name, (word, amount(self.day, "s")))
        return None


def marked_in_window_s(mark: Mark, now: Instant) -> float:
    """How long the instrument was marked in the 24 hours that are counted, the present period included."""
    window_at = _window(mark, now)
    spent_s = mark.spent_s if window_at == mark.window_at else 0.0
    if mark.begun_at is None or window_at is None:
        return spent_s
    return spent_s + now.mono - max(mark.begun_at, window_at)


def _window(mark: Mark, now: Instant) -> float | None:
    """When the 24 hours that count now began: a period may run from one into the next."""
    if mark.window_at is None or mark.begun_at is None:
        return mark.window_at
    return mark.window_at + DAY_S * ((now.mono - mark.window_at) // DAY_S)


def to_saved(mark: Mark, now: Instant) -> dict[str, Any] | None:
    """What was spent survives a restart, so that a restart does not give the time again."""
    window_at = _window(mark, now)
    if window_at is None:
        return None
    return {"spent_s": marked_in_window_s(mark, now), "window_utc": now.utc - (now.mono - window_at)}


def from_saved(saved: dict[str, Any] | None, now: Instant) -> Mark:
    """The inverse of ``to_saved``; after a clock that went back the 24 hours begin anew, with what was spent."""
    if saved is None:
        return UNMARKED
    age = max(now.utc - saved["window_utc"], 0.0)
    return Mark(window_at=now.mono - age, spent_s=float(saved["spent_s"]))
