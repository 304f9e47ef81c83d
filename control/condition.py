"""Phase 1, condition: what of the image may be trusted now.

Range, sentinels and status were judged when the value was decoded; what is left to time is judged here: a good
reading that was not renewed within its limit is no longer good.
"""

from config.sample import Quality, Reason, Sample
from control.instant import Instant


def condition(image: tuple[Sample, ...], stale_after: tuple[float, ...], now: Instant) -> tuple[Sample, ...]:
    """The image with every aged reading marked stale; the same tuple when there is none."""
    mono = now.mono
    aged = [
        index
        for index, (sample, limit) in enumerate(zip(image, stale_after, strict=True))
        if mono - sample.received > limit and sample.quality is not Quality.BAD
    ]
    if not aged:
        return image
    conditioned = list(image)
    for index in aged:
        conditioned[index] = image[index].degraded(Reason.STALE)
    return tuple(conditioned)
