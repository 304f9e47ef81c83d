"""A case of the fuzzer: its number and the run's seed say all that happens in it."""

import signal
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Final

from tests.fuzz.conversation import SILENT, SWAPPED, UNCHANGED, converse
from tests.fuzz.oracle import Finding
from tests.fuzz.story import tell

STORY_EVERY: Final = 64
"""Of so many cases one is a story of a whole bus: it takes twenty times as long."""
HANGS_AFTER_S: Final = 60.0
"""A case takes some milliseconds; one that takes so long on the slowest machine does not end."""


NO_FRAMES: Final = (UNCHANGED, SWAPPED, SILENT, f"bus: {SILENT}")
"""What is counted among the mutations, and changes or delays no frame by itself."""


@dataclass(slots=True)
class Tally:
    """What was done and what came of it. ``failed``: cases by number, with what was found."""

    cases: int = 0
    mutations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Mutated replies; what went unchanged between them, or never came, is not counted."""
        return self.mutations.total() - sum(self.mutations[name] for name in NO_FRAMES)

    def add(self, other: "Tally") -> None:
        """Takes the figures of another."""
        self.cases += other.cases
        self.mutations += other.mutations
        self.outcomes += other.outcomes
        self.failed |= other.failed


def play(seed: int, case: int, tally: Tally) -> None:
    """Plays one case into the tally. Raises what escapes from the driver, and ``Finding`` for what is wrong."""
    number = Random(f"{seed} {case}").getrandbits(64)
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.setitimer(signal.ITIMER_REAL, HANGS_AFTER_S)
    try:
        tally.cases += 1
        (tell if case % STORY_EVERY == STORY_EVERY - 1 else converse)(number, tally.mutations, tally.outcomes)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _hangs(number: int, frame: FrameType | None) -> None:
    raise Finding(f"hangs: not done after {HANGS_AFTER_S:g} s")
