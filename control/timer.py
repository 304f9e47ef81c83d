"""The on-delay timer (TON of IEC 61131-3) as a value: since when a condition holds."""

from control.instant import Instant


def since(start: float | None, holds: bool, now: Instant) -> float | None:
    """When a condition that ``holds`` began (monotonic seconds); ``None`` while it does not hold."""
    if not holds:
        return None
    return now.mono if start is None else start


def lasted(start: float | None, delay_s: float, now: Instant) -> bool:
    """True once a condition has held for ``delay_s``."""
    return start is not None and now.mono - start >= delay_s
