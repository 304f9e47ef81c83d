"""What every scan was given and gave, held in memory for some minutes.

Everything a scan handles is immutable, so that keeping it costs no copy: a segment begins with the state and the image
as they stood, and of each scan it keeps the readings that changed, the commands, and what came out anew. Whole segments
go, the oldest first, when their time is over or when too much is held.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import compress
from operator import is_not
from typing import Final, NamedTuple

from config.sample import Sample
from control.arbitration import Demand
from control.command import Answer, Command
from control.event import Event
from control.instant import Instant
from control.scan import ScanResult
from control.state import ScanState

SEGMENT_S: Final = 10.0
SEGMENT_ENTRIES: Final = 2_000
"""A segment is no longer, so that letting go of one takes no time that a scan would feel."""


class Scanned(NamedTuple):
    """One scan: ``places`` and ``samples`` are the readings that changed since the scan before.

    ``outputs``: the demands that changed, with their place. ``raised``: the error that ended it, in words.
    """

    now: Instant
    places: tuple[int, ...]
    samples: tuple[Sample, ...]
    commands: tuple[Command, ...] = ()
    outputs: tuple[tuple[int, Demand], ...] = ()
    events: tuple[Event, ...] = ()
    answers: tuple[Answer, ...] = ()
    raised: str = ""

    @property
    def entries(self) -> int:
        """How much it holds: itself, its readings, and what came out of it."""
        return 1 + len(self.places) + len(self.outputs) + len(self.events) + len(self.commands)


@dataclass(frozen=True, slots=True)
class Span:
    """Some scans on end, and the state and image before the first; ``after`` is the state after the last."""

    state: ScanState
    image: tuple[Sample, ...]
    scans: tuple[Scanned, ...]
    after: ScanState


@dataclass(slots=True)
class _Segment:
    state: ScanState
    image: tuple[Sample, ...]
    after: ScanState
    began: float
    scans: list[Scanned] = field(default_factory=list)
    entries: int = 0

    def span(self) -> Span:
        return Span(self.state, self.image, tuple(self.scans), self.after)


class Ring:
    """Holds the scans of the last ``seconds``, of at most ``max_entries``. ``closed`` is told each whole segment."""

    def __init__(self, seconds: float, max_entries: int, closed: Callable[[Span], None] | None = None) -> None:
        self._seconds = seconds
        self._max_entries = max_entries
        self._closed = closed
        self._segments: deque[_Segment] = deque()
        self._image: tuple[Sample, ...] = ()
        self.entries = 0

    def note(
        self,
        before: ScanState,
        image: tuple[Sample, ...],
        commands: tuple[Command, ...],
        now: Instant,
        result: ScanResult | None,
        raised: str = "",
    ) -> Scanned:
        """Takes a scan: the state before it, what it was given, and its result, or the error that it raised."""
        segment = self._segment(before, image, now)
        last = self._image
        places = tuple(compress(range(len(image)), map(is_not, image, last))) if image is not last else ()
        samples = tuple([image[place] for place in places])
        if result is None:
            scanned = Scanned(now, places, samples, commands, raised=raised)
        else:
            outputs = changed(before.outputs, result.state.outputs)
            scanned = Scanned(now, places, samples, commands, outputs, result.events, result.answers)
            segment.after = result.state
        segment.scans.append(scanned)
        segment.entries += scanned.entries
        self.entries += scanned.entries
        self._image = image
        return scanned

    def spans(self) -> tuple[Span, ...]:
        """All that is held, the oldest first."""
        return tuple([segment.span() for segment in self._segments])

    def seconds_held(self, now: Instant) -> float:
        """How far back it reaches."""
        return now.mono - self._segments[0].began if self._segments else 0.0

    def _segment(self, before: ScanState, image: tuple[Sample, ...], now: Instant) -> _Segment:
        """The segment that a scan goes into, after what is too old or too much is gone."""
        newest = self._segments[-1] if self._segments else None
        if newest is not None and newest.entries < SEGMENT_ENTRIES and now.mono - newest.began < SEGMENT_S:
            return newest
        if newest is not None and self._closed is not None:
            self._closed(newest.span())
        self._image = self._image or image
        segment = _Segment(before, self._image, before, now.mono)
        self._segments.append(segment)
        while len(self._segments) > 2 and (
            now.mono - self._segments[1].began > self._seconds or self.entries > self._max_entries
        ):
            self.entries -= self._segments.popleft().entries
        return segment


def changed(before: tuple[Demand, ...], after: tuple[Demand, ...]) -> tuple[tuple[int, Demand], ...]:
    """The demands that are no longer what they were, with their place."""
    return tuple(
        [
            (place, new)
            for place, (old, new) in enumerate(zip(before, after, strict=True))
            if new is not old and new != old
        ]
    )
