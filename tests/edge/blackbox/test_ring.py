"""The ring holds what it must, and no more than it may."""

from config.sample import Quality, Reason, Sample
from control.command import Command
from control.instant import Instant
from control.scan import ScanResult
from edge.blackbox.ring import SEGMENT_ENTRIES, SEGMENT_S, Ring, Span
from tests.edge.blackbox.stations import Recorded


def _entries(spans: tuple[Span, ...]) -> int:
    return sum(scanned.entries for span in spans for scanned in span.scans)


def _fed(ring: Ring, seconds: int, changing: int) -> Ring:
    """A ring that is given ten scans a second of 50 readings, ``changing`` of which are new in each."""
    state = Recorded().state
    image = [Sample(0.0, Quality.GOOD, Reason.OK, 0.0)] * 50
    for number in range(10 * seconds):
        mono = 100.0 + number / 10
        for place in range(changing):
            image[place] = Sample(float(number), Quality.GOOD, Reason.OK, mono)
        ring.note(state, tuple(image), (), Instant(mono, mono), None)
    return ring


def test_it_keeps_the_last_minutes_and_lets_go_of_what_is_older() -> None:
    ring = _fed(Ring(60.0, 1_000_000), 200, 3)
    spans = ring.spans()
    held = spans[-1].scans[-1].now.mono - spans[0].scans[0].now.mono
    assert 60.0 <= held <= 60.0 + 2 * SEGMENT_S
    assert ring.seconds_held(spans[-1].scans[-1].now) == held
    assert ring.entries == _entries(spans)


def test_it_holds_no_more_readings_than_it_may() -> None:
    ring = Ring(600.0, 5_000)
    for seconds in (10, 40, 90):
        spans = _fed(ring, seconds, 30).spans()
        assert ring.entries == _entries(spans) <= 5_000 + SEGMENT_ENTRIES
    assert ring.entries > 5_000 - SEGMENT_ENTRIES


def test_the_spans_join_without_a_gap_and_give_every_image_again() -> None:
    given: list[tuple[tuple[Sample, ...], ScanResult]] = []

    class Watched(Recorded):
        def scanned(self, image: tuple[Sample, ...], commands: tuple[Command, ...], result: ScanResult) -> None:
            given.append((image, result))
            super().scanned(image, commands, result)

    station = Watched()
    station.run(25.0)
    spans = station.ring.spans()
    assert len(spans) > 2
    image, number = list(spans[0].image), 0
    for span in spans:
        assert span.image == tuple(image)
        for scanned in span.scans:
            for place, sample in zip(scanned.places, scanned.samples, strict=True):
                image[place] = sample
            assert all(one is other for one, other in zip(image, given[number][0], strict=True))
            number += 1
        assert span.after is given[number - 1][1].state
    assert number == len(given) == 250


def test_each_whole_segment_is_told_once_and_in_order() -> None:
    told: list[Span] = []
    ring = _fed(Ring(30.0, 1_000_000, told.append), 100, 1)
    times = [scanned.now.mono for span in [*told, ring.spans()[-1]] for scanned in span.scans]
    assert times == sorted(set(times))
    assert len(times) == 1000


def test_what_has_not_changed_is_not_kept_again() -> None:
    station = Recorded()
    station.run(1.0)
    image = tuple(station.image)
    scanned = station.ring.note(station.state, image, (), station.now, None, "ValueError: x")
    assert (scanned.places, scanned.outputs, scanned.raised) == ((), (), "ValueError: x")
