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


def usable(sample: Sample, low: float | None, high: float | None) -> float | None:
    """The number to judge. Anything that is not known is ``None``.

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
    value = float(sample.value)
    if sample.quality is Quality.GOOD:
        return value
    return value if sample.reason is Reason.JUMPED and outside(value, low, high) else None
