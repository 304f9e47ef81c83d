"""What a guard says of the water, and what it remembers to say it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from control.cause import Cause
from control.mark import UNMARKED, Mark
from control.slug import NO_SLUG, Slug
from control.trend import NO_TREND, Trend


class Verdict(IntEnum):
    """What a guard allows, from best to worst."""

    FIT = 0
    AGING = 1
    """Fit, with a warning: the newest result is late."""
    HOLD = 2
    """Nothing may start; what runs may go on."""
    UNKNOWN = 3
    """Not known to be fit: nothing may run. Ends by itself when good data return."""
    BREACH = 4
    """Not fit: trips, and stays so until it is clear *and* reset."""


_KNOWN_OR_NOT: Final = frozenset({Verdict.FIT, Verdict.AGING, Verdict.HOLD, Verdict.UNKNOWN})

TRANSITIONS: Final[dict[Verdict, frozenset[Verdict]]] = {
    Verdict.FIT: (_KNOWN_OR_NOT | {Verdict.BREACH}) - {Verdict.FIT},
    Verdict.AGING: (_KNOWN_OR_NOT | {Verdict.BREACH}) - {Verdict.AGING},
    Verdict.HOLD: (_KNOWN_OR_NOT | {Verdict.BREACH}) - {Verdict.HOLD},
    Verdict.UNKNOWN: (_KNOWN_OR_NOT | {Verdict.BREACH}) - {Verdict.UNKNOWN},
    Verdict.BREACH: frozenset({Verdict.FIT}),
}
"""Every change of a verdict there is: what is known of the water comes and goes; a breach ends by a reset alone."""

CHINESE: Final[dict[Verdict, str]] = {
    Verdict.FIT: "合格",
    Verdict.AGING: "数据变旧",
    Verdict.HOLD: "不得开始",
    Verdict.UNKNOWN: "未知",
    Verdict.BREACH: "超标",
}


@dataclass(frozen=True, slots=True)
class GuardState:
    """What a guard remembers. Times are monotonic seconds, but where they are called ``utc`` or ``time``.

    ``breached``: a breach stands since the last reset, since ``breached_at``. ``beyond_since``: outside a limit since;
    ``inside_since``: good and inside since; ``clear_since``: the same less hysteresis; ``unknown_since``;
    ``warn_since``: beyond the warning threshold since; ``warning``: that has lasted. ``mark`` and ``trend`` have their
    own files. ``good_utc``, ``bad_utc``: when the water was last known good before, and first known bad since, where it
    is no longer good (of results: by the analyzer's own time).

    Of results and permits: ``result_time`` (UTC, by who made it), ``result_at`` (when it was first seen, less its age
    then), ``result_value`` (``None``: over range), ``result_lag_s`` (how old it was when it came), ``result_arrived``:
    one has come since the start, ``good_results`` in a row. ``refused_time``, ``refused``: the newest that was not
    taken, and why. ``sampled``, ``ended_at``: by the analyzer's work state, a sample has been run since the last
    result, and when it ended. ``local``: the newest permit was given by hand. ``ttl_s``: how long it holds. ``slug``:
    what must still be flushed.
    """

    verdict: Verdict = Verdict.UNKNOWN
    cause: Cause | None = None
    breached: bool = False
    beyond_since: float | None = None
    inside_since: float | None = None
    clear_since: float | None = None
    unknown_since: float | None = None
    warn_since: float | None = None
    warning: Cause | None = None
    breached_at: float | None = None
    mark: Mark = UNMARKED
    trend: Trend = NO_TREND
    good_utc: float | None = None
    bad_utc: float | None = None
    result_time: float | None = None
    result_at: float | None = None
    result_value: float | None = None
    result_lag_s: float = 0.0
    result_arrived: bool = False
    good_results: int = 0
    refused_time: float | None = None
    refused: Cause | None = None
    sampled: bool = False
    ended_at: float | None = None
    local: bool = False
    ttl_s: float = 0.0
    slug: Slug = NO_SLUG
