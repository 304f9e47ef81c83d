"""The quota of a dispenser: how much it may give in a day and in a year of the site's calendar (配额).

Counted is what the meter's totaliser gave. At 80 % and 95 % there is a warning; at 100 % a batch dispenser takes no
order that would go beyond it, and a continuous one stops or goes on at a throttled flow, as the site file says.

The calendar is the site's, so that the clock matters: a clock may be stepped, and must neither give a quota twice nor
take it away. Every day and year keeps its own sum, so that a clock that comes back finds what was counted; and when
the clock leaps by half a day or more, what was counted since the leap before (or the start) goes along to the day it
shows now. A quota may be set otherwise by a command, with its reason; that stands until it is set anew.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

from control.cause import Cause, amount, from_json, to_json
from control.code import Code
from control.instant import Instant

WARN_AT: Final = 0.80
NEAR_AT: Final = 0.95
LEAP_S: Final = 12 * 3600.0
"""A clock that moved this much against the time that passed was wrong before or is wrong now."""
KEPT: Final = 10
"""Days and years whose sums are kept: more than a clock goes back to."""


class Span(StrEnum):
    """What a limit holds for."""

    DAY = "daily"
    YEAR = "yearly"


class AtLimit(StrEnum):
    """What a continuous dispenser does once a limit is reached."""

    STOP = "stop"
    THROTTLE = "throttle"


@dataclass(frozen=True, slots=True)
class SpanState:
    """The sums of one span. ``sums``: ``(day or year, m3)``, the present one last.

    ``begins_utc`` and ``ends_utc`` bound the present one; ``clock`` is UTC less monotonic time when it was entered,
    ``since_m3`` what of its sum was counted since then. ``limit_m3`` was set by a command because of ``changed``.
    """

    sums: tuple[tuple[int, float], ...] = ()
    begins_utc: float = 0.0
    ends_utc: float = 0.0
    clock: float | None = None
    since_m3: float = 0.0
    limit_m3: float | None = None
    changed: Cause | None = None
    warning: Cause | None = None

    @property
    def used_m3(self) -> float:
        """What was counted in the present day or year."""
        return self.sums[-1][1] if self.sums else 0.0


NOTHING: Final = SpanState()


@dataclass(frozen=True, slots=True)
class QuotaState:
    """``alarms``: warnings and changes that stand; ``reached``: the limit that is used up."""

    day: SpanState = NOTHING
    year: SpanState = NOTHING
    alarms: tuple[Cause, ...] = ()
    reached: Cause | None = None


UNUSED: Final = QuotaState()


@dataclass(frozen=True, slots=True)
class Quota:
    """Settings: limits in m3 (``None``: no limit), the throttled flow in m3/h, the site's time zone."""

    tag: str
    zone: ZoneInfo
    daily_m3: float | None
    yearly_m3: float | None
    at_limit: AtLimit = AtLimit.STOP
    throttle_m3h: float = 0.0

    def step(self, state: QuotaState, counted_m3: float, now: Instant) -> QuotaState:
        """Adds what the totaliser gave since the last step to the present day and year."""
        day = self._counted(Span.DAY, state.day, counted_m3, now)
        year = self._counted(Span.YEAR, state.year, counted_m3, now)
        if day is state.day and year is state.year:
            return state
        return _told(day, year)

    def limit_m3(self, span: Span, state: QuotaState) -> float | None:
        """The limit in force: the one last commanded, else the site file's."""
        own = _of(state, span).limit_m3
        if own is not None:
            return own
        return self.daily_m3 if span is Span.DAY else self.yearly_m3

    def left_m3(self, state: QuotaState) -> float | None:
        """What may still be given now, in m3; ``None`` where nothing limits it."""
        lefts = [limit - _of(state, span).used_m3 for span in Span if (limit := self.limit_m3(span, state)) is not None]
        return max(min(lefts), 0.0) if lefts else None

    def refusal(self, state: QuotaState, volume_m3: float) -> Cause | None:
        """Why a volume may not be given now, or ``None``."""
        left = self.left_m3(state)
        if left is None or volume_m3 <= left:
            return None
        return Cause(Code.QUOTA_EXCEEDED, self.tag, (amount(volume_m3, "m3"), amount(left, "m3")), state.reached)

    def changed(
        self, state: QuotaState, span: str, limit_m3: float | None, by: str, reason: str
    ) -> tuple[QuotaState, Cause | None]:
        """The state with another limit (``None``: that of the site file again); or why it is refused."""
        if span not in tuple(Span):
            return state, Cause(Code.NO_SUCH_QUOTA, self.tag, (span[:40],))
        if limit_m3 is not None and not (isfinite(limit_m3) and limit_m3 >= 0):
            return state, Cause(Code.QUOTA_NOT_ALLOWED, self.tag, (amount(limit_m3, "m3"),))
        if not reason.strip():
            return state, Cause(Code.REASON_MISSING, self.tag)
        which = Span(span)
        told = None
        if limit_m3 is not None:
            own = self.daily_m3 if which is Span.DAY else self.yearly_m3
            was = amount(own, "m3") if own is not None else "none"
            told = Cause(Code.QUOTA_CHANGED, self.tag, (str(which), amount(limit_m3, "m3"), was, by, reason))
        new = replace(_of(state, which), limit_m3=limit_m3, changed=told, warning=None)
        day, year = (new, state.year) if which is Span.DAY else (state.day, new)
        return _told(self._warned(Span.DAY, day), self._warned(Span.YEAR, year)), None

    def _counted(self, span: Span, state: SpanState, counted_m3: float, now: Instant) -> SpanState:
        leapt = state.clock is not None and abs(now.utc - now.mono - state.clock) >= LEAP_S
        if leapt or not state.begins_utc <= now.utc < state.ends_utc:
            state = self._entered(span, state, now)
        elif counted_m3 == 0:
            return state
        present, used = state.sums[-1]
        sums = (*state.sums[:-1], (present, used + counted_m3))
        return self._warned(span, replace(state, sums=sums, since_m3=state.since_m3 + counted_m3))

    def _entered(self, span: Span, state: SpanState, now: Instant) -> SpanState:
        """Another day or year begins, or the clock was stepped into another.

        A leap within the year ends what goes along, too: it must not be found again at the next turn of the year.
        """
        here = datetime.fromtimestamp(now.utc, UTC).astimezone(self.zone).date()
        key = here.toordinal() if span is Span.DAY else here.year
        clock = now.utc - now.mono
        leapt = state.clock is not None and abs(clock - state.clock) >= LEAP_S
        moved_m3 = state.since_m3 if leapt and state.sums else 0.0
        known = dict(state.sums)
        if moved_m3 and state.sums[-1][0] != key:
            known[state.sums[-1][0]] -= moved_m3
        else:
            moved_m3 = 0.0
        used = known.pop(key, 0.0) + moved_m3
        first = here if span is Span.DAY else date(here.year, 1, 1)
        next_first = here + timedelta(days=1) if span is Span.DAY else date(here.year + 1, 1, 1)
        return replace(
            state,
            sums=(*list(known.items())[-(KEPT - 1) :], (key, used)),
            begins_utc=self._midnight(first),
            ends_utc=self._midnight(next_first),
            clock=clock,
            since_m3=moved_m3,
        )

    def _midnight(self, day: date) -> float:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()

    def _warned(self, span: Span, state: SpanState) -> SpanState:
        limit = state.limit_m3
        if limit is None:
            limit = self.daily_m3 if span is Span.DAY else self.yearly_m3
        code = _level(state.used_m3, limit)
        if code is (state.warning.code if state.warning is not None else None):
            return state
        if code is None or limit is None:
            return replace(state, warning=None)
        share = {Code.QUOTA_WARNING: WARN_AT, Code.QUOTA_NEAR: NEAR_AT}.get(code, 1.0)
        values = (str(span), amount(limit, "m3"), f"{share:.0%}")
        return replace(state, warning=Cause(code, self.tag, values, state.changed))


def _level(used_m3: float, limit_m3: float | None) -> Code | None:
    if limit_m3 is None or used_m3 < WARN_AT * limit_m3:
        return None
    if used_m3 >= limit_m3:
        return Code.QUOTA_REACHED
    return Code.QUOTA_NEAR if used_m3 >= NEAR_AT * limit_m3 else Code.QUOTA_WARNING


def _of(state: QuotaState, span: Span) -> SpanState:
    return state.day if span is Span.DAY else state.year


def _told(day: SpanState, year: SpanState) -> QuotaState:
    standing = (day.warning, year.warning, day.changed, year.changed)
    alarms = tuple(cause for cause in standing if cause is not None)
    reached = next((cause for cause in alarms if cause.code is Code.QUOTA_REACHED), None)
    return QuotaState(day, year, alarms, reached)


def to_saved(state: QuotaState) -> dict[str, Any]:
    """What of a quota survives a restart, as JSON."""
    return {"day": _span_saved(state.day), "year": _span_saved(state.year)}


def from_saved(saved: dict[str, Any]) -> QuotaState:
    """The state after a restart. Raises ``KeyError``, ``TypeError``, ``ValueError`` on other data."""
    return _told(_span_restored(saved["day"]), _span_restored(saved["year"]))


def _span_saved(state: SpanState) -> dict[str, Any]:
    return {
        "sums": [list(one) for one in state.sums],
        "limit_m3": state.limit_m3,
        "changed": to_json(state.changed) if state.changed is not None else None,
    }


def _span_restored(saved: dict[str, Any]) -> SpanState:
    return SpanState(
        sums=tuple((int(key), float(used)) for key, used in saved["sums"]),
        limit_m3=saved["limit_m3"],
        changed=from_json(saved["changed"]) if saved["changed"] is not None else None,
    )
