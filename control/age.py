"""The four ages of what is known of the water: fresh, aging, stale, expired, and what each of them allows.

Ages count from when a result or a permit was first seen, in multiples of the interval at which it should come (shared
water notes 2.4): fresh to 1.5, aging to 2.5, then stale, then expired. What stale and expired allow is the staleness
policy of the use: ``fail-closed``, ``fail-hold`` or, where the site file says so, ``warn-only``.
"""

from typing import Final

from config.standard import Staleness
from control.code import Code
from control.verdict import Verdict

FRESH_INTERVALS: Final = 1.5
AGING_INTERVALS: Final = 2.5
RESULT: Final = (Code.RESULT_AGING, Code.RESULT_STALE, Code.RESULT_EXPIRED)
PERMIT: Final = (Code.PERMIT_AGING, Code.PERMIT_STALE, Code.PERMIT_EXPIRED)
"""Why, for what is aging, stale and expired."""


def by_age(
    age: float, interval: float, expires: float, staleness: Staleness, codes: tuple[Code, Code, Code]
) -> tuple[Verdict, Code | None]:
    """The verdict on something good that is ``age`` old, and why; ``expires`` is the age at which it expires.

    All in seconds; ``codes`` for aging, stale and expired.
    """
    expired = age > expires
    if age <= FRESH_INTERVALS * interval and not expired:
        return Verdict.FIT, None
    if age <= AGING_INTERVALS * interval and not expired:
        return Verdict.AGING, codes[0]
    match staleness:
        case Staleness.FAIL_CLOSED:
            verdict = Verdict.UNKNOWN if expired else Verdict.HOLD
        case Staleness.FAIL_HOLD:
            verdict = Verdict.HOLD if expired else Verdict.AGING
        case Staleness.WARN_ONLY:
            verdict = Verdict.AGING
    return verdict, codes[2] if expired else codes[1]


def none_yet(staleness: Staleness) -> Verdict:
    """The verdict as long as nothing has come at all."""
    return Verdict.AGING if staleness is Staleness.WARN_ONLY else Verdict.UNKNOWN
