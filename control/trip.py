"""The trip of a dispenser: a latched shut-off with its first cause.

It is set by a breach of a guard or a fault of equipment, survives a restart, and ends only by a reset: a person's
act, taken only when the cause is gone on fresh good data. The first-out cause is kept until then; what trips it again
meanwhile is listed after it, in the order in which it came.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from control.cause import Cause
from control.code import Code
from control.instant import Instant


@dataclass(frozen=True, slots=True)
class TripState:
    """``cause`` is the whole chain (tripped because of the first-out), ``None`` while not tripped.

    ``later``: other causes that would have tripped it since, at most ``MAX_LATER``.
    """

    cause: Cause | None = None
    since_utc: float = 0.0
    later: tuple[Cause, ...] = ()

    @property
    def latched(self) -> bool:
        return self.cause is not None


MAX_LATER: Final = 16


def also(state: TripState, reason: Cause) -> TripState:
    """Lists a further cause of a latched trip; the same object when that cause is listed already, or the list full."""
    known = (state.cause.because if state.cause is not None else None, *state.later)
    if len(state.later) >= MAX_LATER or any(_same(cause, reason) for cause in known):
        return state
    return replace(state, later=(*state.later, reason))


def _same(cause: Cause | None, other: Cause) -> bool:
    """The same thing again: a value that moves on makes no new cause."""
    if cause is None or cause is other:
        return cause is other
    return cause.code is other.code and cause.subject == other.subject


def latch(state: TripState, tag: str, reason: Cause | None, now: Instant) -> TripState:
    """Latches on the first reason; later ones change nothing."""
    if state.latched or reason is None:
        return state
    since = datetime.fromtimestamp(now.utc, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return TripState(Cause(Code.TRIPPED, tag, (since,), reason), now.utc)
