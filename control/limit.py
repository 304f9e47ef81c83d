"""The limits of a guard: beyond them, inside them less hysteresis, and a reading that may be held against them."""

from math import inf, isfinite

from config.sample import Quality, Reason, Sample


def outside(value: float, low: float | None, high: float | None, hysteresis: float = 0.0) -> bool:
    """True beyond a limit, drawn in by ``hysteresis`` percent. The limit itself is inside."""
    return (high is not None and value > high - abs(high) * hysteresis / 100) or (
        low is not None and value < low + abs(low) * hysteresis / 100
    )


def band(low: float | None, high: float | None, hysteresis: float, unit: str) -> str:
    """Where a value must be to count as clear, in words: ``6.6 to 8.1 pH``."""
    from_low = f"{low + abs(low) * hysteresis / 100:g} to " if low is not None else ""
    to_high = f"{high - abs(high) * hysteresis / 100:g}" if high is not None else "any"
    return f"{from_low}{to_high} {unit}"


def is_zero(sample: Sample, low: float | None) -> bool:
    """True for a reading of exactly 0 that no lower limit judges.

    Instruments that start, gateways that have lost theirs and unwired inputs show it: it would pass for the best of
    waters (shared water notes, data flags: never a zero for a measurement).
    """
    return low is None and sample.value == 0 and not isinstance(sample.value, bool)


def usable(sample: Sample, low: float | None, high: float | None, *, zero_counts: bool) -> float | None:
    """The number to judge. Anything that is not known is ``None``, and so is a zero unless ``zero_counts``.

    A good one; an over-range one as infinitely high; an under-range one as infinitely low where there is a lower limit
    (else it tells of a failure, not of water). One that moved faster than the water can is evidence against the water
    where it is beyond a limit, and nothing for it.
    """
    if sample.reason is Reason.OVER_RANGE:
        return inf
    if sample.reason is Reason.UNDER_RANGE and low is not None:
        return -inf
    if isinstance(sample.value, str | bool) or sample.value is None or not isfinite(sample.value):
        return None
    if not zero_counts and is_zero(sample, low):
        return None
    value = float(sample.value)
    if sample.quality is Quality.GOOD:
        return value
    return value if sample.reason is Reason.JUMPED and outside(value, low, high) else None
