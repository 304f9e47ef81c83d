"""Phase 1, condition: what of the image may be trusted now, and what is calculated from it.

Range, sentinels and status were judged when a value was decoded. Here a good reading that was not renewed within its
limit is no longer good; then the signals that the site has judged by more than that, and the measurements, each after
those that it is calculated from (``measurement.py``).
"""

from operator import is_

from config.sample import Quality, Reason, Sample
from control.instant import Instant
from control.measurement import ConditionedState
from control.program import Program

Conditions = tuple[ConditionedState, ...]


def condition(
    program: Program, before: Conditions, image: tuple[Sample, ...], now: Instant
) -> tuple[Conditions, tuple[Sample, ...]]:
    """What is remembered of each conditioned signal, and the image to use; the same objects when nothing changed."""
    image = _aged(image, program.stale_after, now)
    if not program.conditioned:
        return before, image
    slots = list(image)
    after: list[ConditionedState] = []
    for block, old in zip(program.conditioned, before, strict=True):
        state = block.step(old, slots, now)
        slots[block.index] = state.output
        after.append(state)
    same = all(map(is_, after, before))
    return (before if same else tuple(after)), tuple(slots)


def _aged(image: tuple[Sample, ...], stale_after: tuple[float, ...], now: Instant) -> tuple[Sample, ...]:
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
