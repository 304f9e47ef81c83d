"""A quality permit that a plant outlet gives to take-off points downstream: fit, since when, and for how long.

It says fit as long as every guard it rests on says so, and is renewed each ``interval``. A breach of one of them makes
it say unfit at once, until that trip is reset. As long as the water is not known to be fit, or nothing may start, it is
renewed no more and ages at the far end like a link that is lost. A bypass of a guard changes nothing: the water is no
better for it. Source: DESIGN.md section 6, shared water notes 2.4.
"""

from dataclasses import dataclass
from typing import Any

from control.cause import Cause, to_json
from control.event import Event, Kind
from control.guard import GuardState, Verdict
from control.instant import Instant


@dataclass(frozen=True, slots=True)
class PermitState:
    """``fit``: what it says, ``None`` before the first; issued at ``issued_utc`` (``issued_at`` monotonic)."""

    fit: bool | None = None
    issued_utc: float = 0.0
    issued_at: float = 0.0
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Settings: the places of the ``guards`` that it rests on; seconds."""

    name: str
    guards: tuple[int, ...]
    interval: float
    ttl: float

    def step(
        self, state: PermitState, guards: tuple[GuardState, ...], now: Instant
    ) -> tuple[PermitState, Event | None]:
        """Issues anew when it is time, or when what it says changes; else the same state."""
        worst = max((guards[g] for g in self.guards), key=_verdict)
        fit = worst.verdict <= Verdict.AGING
        if not fit and worst.verdict is not Verdict.BREACH:
            return state, None
        if fit is state.fit and now.mono - state.issued_at < self.interval:
            return state, None
        cause = None if fit else worst.cause
        new = PermitState(fit, now.utc, now.mono, cause)
        if fit is state.fit:
            return new, None
        body: dict[str, Any] = {
            "fit": fit,
            "issued_utc": now.utc,
            "ttl_s": self.ttl,
            "cause": to_json(cause) if cause is not None else None,
        }
        return new, Event(Kind.EVENT, "permit", self.name, body)


def _verdict(state: GuardState) -> Verdict:
    return state.verdict
