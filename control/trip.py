"""The trip of a dispenser: a latched shut-off with its first cause.

It is set by a breach of a guard or a fault of equipment, survives a restart, and ends only by a reset: a person's
act, taken only when the cause is gone on fresh good data. The first-out cause is kept until then.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from control.cause import Cause
from control.code import Code
from control.instant import Instant


@dataclass(frozen=True, slots=True)
class TripState:
    """``cause`` is the whole chain (tripped because of the first-out), ``None`` while not tripped."""

    cause: Cause | None = None
    since_utc: float = 0.0

    @property
    def latched(self) -> bool:
        return self.cause is not None


def latch(state: TripState, tag: str, reason: Cause | None, now: Instant) -> TripState:
    """Latches on the first reason; later ones change nothing."""
    if state.latched or reason is None:
        return state
    since = datetime.fromtimestamp(now.utc, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return TripState(Cause(Code.TRIPPED, tag, (since,), reason), now.utc)
