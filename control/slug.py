"""The slug: water that left the plant while it was not known to be fit and is still in the pipe.

When a permit is fit again, good water only enters the pipe; what comes out of it is the bad water before. The slug is
flushed when the travel time of the pipe has passed since, or, where a flow in the pipe is measured, when the volume of
the pipe has passed. A flow that is not known flushes nothing. Source: shared water notes 2.4, pipe travel time.
"""

from dataclasses import dataclass
from typing import Final

from config.sample import Sample
from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant

MAX_STEP_S: Final = 5.0
"""A flow that was not looked at for longer is not taken to have gone on."""


@dataclass(frozen=True, slots=True)
class Slug:
    """``standing``: there is water to flush. ``flushing_since``: good water has entered the pipe since; ``flushed_m3``
    of it up to ``looked_at``. Times are monotonic seconds.
    """

    standing: bool = False
    flushing_since: float | None = None
    flushed_m3: float = 0.0
    looked_at: float = 0.0


NO_SLUG: Final = Slug()
STANDING: Final = Slug(standing=True)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Settings: ``travel`` in s, or ``volume_m3`` with the image index of the ``flow`` that passes through the pipe."""

    travel: float = 0.0
    volume_m3: float = 0.0
    flow: int | None = None

    @property
    def none(self) -> bool:
        """True where bad water reaches the take-off at once, so that nothing is left to flush."""
        return self.travel <= 0 and self.volume_m3 <= 0

    def step(self, slug: Slug, image: tuple[Sample, ...], now: Instant) -> Slug:
        """Flushes on, while good water enters the pipe. The same object when there is nothing to flush."""
        if not slug.standing:
            return slug
        if slug.flushing_since is None:
            return Slug(True, now.mono, 0.0, now.mono)
        if self.flow is None:
            return NO_SLUG if now.mono - slug.flushing_since >= self.travel else slug
        flow_m3h = image[self.flow].number
        passed_s = min(now.mono - slug.looked_at, MAX_STEP_S)
        flushed_m3 = slug.flushed_m3 + max(flow_m3h or 0.0, 0.0) * passed_s / 3600
        return NO_SLUG if flushed_m3 >= self.volume_m3 else Slug(True, slug.flushing_since, flushed_m3, now.mono)

    def cause(self, slug: Slug, subject: str, now: Instant) -> Cause:
        """That the slug is not flushed yet, with how far it is."""
        if self.flow is None:
            left = self.travel - (now.mono - slug.flushing_since if slug.flushing_since is not None else 0.0)
            return Cause(Code.FLUSHING, subject, (amount(max(left, 0.0), "s"),))
        left_m3 = max(self.volume_m3 - slug.flushed_m3, 0.0)
        return Cause(Code.FLUSHING, subject, (amount(left_m3, "m3"),))
