"""Many cases, one after the other or in several processes."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count, islice
from multiprocessing import get_context
from typing import Final

from tests.fuzz.case import STORY_EVERY, Tally, play

BATCH: Final = 4 * STORY_EVERY
"""Cases that are handed to a process at once: some tenths of a second."""
MOST_FAILED: Final = 5
"""After so many failed cases a run ends: more would hardly tell more."""


def batch(seed: int, first: int, enough: int | None = None) -> Tally:
    """Plays a batch of cases; ends early after ``enough`` frames, or when too many cases have failed."""
    tally = Tally()
    for case in range(first, first + BATCH):
        try:
            play(seed, case, tally)
        except Exception as error:
            # Whatever it is: nothing may escape from the driver.
            tally.failed[case] = f"{type(error).__name__}: {error}"
        if len(tally.failed) >= MOST_FAILED or (enough is not None and tally.frames >= enough):
            break
    return tally


def run(seed: int, frames: int, jobs: int = 1, progress: Callable[[Tally, float], None] | None = None) -> Tally:
    """Plays cases until so many mutated frames were delivered. ``progress`` is told the tally and the seconds taken."""
    total, begun = Tally(), time.monotonic()
    firsts = count(0, BATCH)
    if jobs == 1:
        _gather(total, (batch(seed, first, frames - total.frames) for first in firsts), frames, begun, progress)
        return total
    with get_context("spawn").Pool(jobs) as pool:
        while total.frames < frames and len(total.failed) < MOST_FAILED:
            # In rounds, so that the processes run no further ahead than a round.
            tallies = pool.imap_unordered(partial(batch, seed), islice(firsts, 4 * jobs))
            _gather(total, tallies, frames, begun, progress)
    return total


def _gather(
    total: Tally,
    tallies: Iterable[Tally],
    frames: int,
    begun: float,
    progress: Callable[[Tally, float], None] | None,
) -> None:
    for tally in tallies:
        total.add(tally)
        if progress is not None:
            progress(total, time.monotonic() - begun)
        if total.frames >= frames or len(total.failed) >= MOST_FAILED:
            return
