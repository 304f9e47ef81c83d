"""Judgement: what the site does not believe is marked with its reason, never dropped, never put right."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, bad, quality_of
from control.cause import sentence
from control.instant import Instant
from control.judgement import NOTHING_JUDGED, Judgement

TURBIDITY = Judgement(
    "AIT-1.turbidity",
    "NTU",
    low=0.0,
    high=100.0,
    max_rate=1.0,
    frozen_after=60.0,
    zero_is_no_value=True,
    marks=((1, Reason.MAINTENANCE), (2, Reason.CALIBRATION)),
)
OFF = Sample(False, Quality.GOOD, Reason.OK, 0.0)
ON = OFF._replace(value=True)


class Judge:
    def __init__(self, judgement: Judgement = TURBIDITY) -> None:
        self.judgement, self.state, self.at = judgement, NOTHING_JUDGED, 0.0
        self.marks = [OFF, OFF]

    def read(self, value: float | None, later: float = 1.0) -> Sample:
        self.at += later
        raw = bad(Reason.NO_COMMUNICATION, self.at) if value is None else self.good(value)
        image, now = (raw, *self.marks), Instant(self.at, self.at)
        self.state, sample = self.judgement.step(self.state, raw, self.at, image, now)
        return sample

    def good(self, value: float) -> Sample:
        return Sample(value, Quality.GOOD, Reason.OK, self.at)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(100.0, Reason.OK), (100.1, Reason.OVER_RANGE), (-0.1, Reason.UNDER_RANGE), (0.0, Reason.NOT_A_NUMBER)],
)
def test_a_reading_that_is_not_possible_here_is_marked(value: float, reason: Reason) -> None:
    judge = Judge()
    sample = judge.read(value)
    assert sample.reason is reason
    assert (judge.state.fault is None) is (reason is Reason.OK)
    assert sample.value == (None if reason is Reason.NOT_A_NUMBER else value)


def test_a_jump_is_doubted_until_it_could_have_got_there_and_is_then_believed() -> None:
    judge = Judge()
    judge.read(2.0)
    jumped = judge.read(12.0)
    assert (jumped.reason, jumped.value) == (Reason.JUMPED, 12.0)
    assert judge.state.fault is not None
    assert sentence(judge.state.fault).startswith("AIT-1.turbidity went from 2 NTU to 12 NTU, faster than 1 NTU/s")
    doubted = [judge.read(12.1 + 0.01 * i).reason for i in range(8)]
    assert doubted == [Reason.JUMPED] * 8
    judge.read(12.5)
    assert judge.read(12.6).good
    assert judge.state.fault is None


def test_a_spike_of_one_reading_is_doubted_alone() -> None:
    judge = Judge()
    judge.read(2.0)
    assert judge.read(50.0).reason is Reason.JUMPED
    assert judge.read(2.1).good


def test_the_first_reading_and_one_after_a_long_silence_are_no_jump() -> None:
    judge = Judge()
    assert judge.read(90.0).good
    judge.read(None)
    assert judge.read(1.0, later=120.0).good


def test_a_number_that_stays_the_same_to_the_last_bit_while_it_is_renewed_is_frozen() -> None:
    judge = Judge()
    assert all(judge.read(2.5).good for _ in range(60))
    assert judge.read(2.5).reason is Reason.FROZEN
    assert judge.read(2.5).reason is Reason.FROZEN
    assert judge.read(2.500001).good


def test_a_reading_that_is_not_renewed_is_not_frozen_and_an_outage_begins_the_time_anew() -> None:
    judge = Judge()
    judge.read(2.5)
    same = judge.good(2.5)
    for now in (30.0, 61.0, 300.0):
        _, sample = TURBIDITY.step(judge.state, same, same.received, (same, OFF, OFF), Instant(now, now))
        assert sample.good
    judge.read(None, later=30.0)
    assert judge.read(2.5, later=31.0).good


def test_an_instrument_at_rest_that_shows_nil_is_not_frozen() -> None:
    judge = Judge(Judgement("FIT-1.flow", "m3/h", frozen_after=10.0))
    assert all(judge.read(0.0).good for _ in range(30))


@pytest.mark.parametrize(("place", "reason"), [(0, Reason.MAINTENANCE), (1, Reason.CALIBRATION)])
def test_a_mark_that_stands_leaves_no_value_and_is_no_fault(place: int, reason: Reason) -> None:
    judge = Judge()
    judge.marks[place] = ON
    sample = judge.read(2.5)
    assert (sample.reason, sample.value) == (reason, None)
    assert judge.state.fault is None


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        (bad(Reason.NO_COMMUNICATION, 0.0), Reason.NO_COMMUNICATION),
        (OFF.degraded(Reason.STALE), Reason.STALE),
        # A mark on the mark must not become a mark, which a guard waits for.
        (OFF.degraded(Reason.MAINTENANCE), Reason.OUT_OF_SERVICE),
    ],
)
def test_where_the_mark_is_not_known_neither_is_the_reading(mark: Sample, reason: Reason) -> None:
    judge = Judge()
    judge.marks[0] = mark
    assert judge.read(2.5).reason is reason


def test_a_mark_makes_no_excuse_for_a_reading_that_did_not_come() -> None:
    judge = Judge()
    judge.marks[0] = ON
    assert judge.read(None).reason is Reason.NO_COMMUNICATION


samples = st.builds(
    lambda reason, value: Sample(None if quality_of(reason) is Quality.BAD else value, quality_of(reason), reason, 0.0),
    st.sampled_from(Reason),
    st.sampled_from([-5.0, 0.0, 1.0, 50.0, 200.0]),
)
marks = st.sampled_from([OFF, ON, bad(Reason.NO_COMMUNICATION, 0.0), OFF.degraded(Reason.STALE)])


@settings(max_examples=100)
@given(st.lists(st.tuples(samples, marks, marks, st.floats(0.1, 100)), min_size=1, max_size=10))
def test_no_judgement_makes_a_reading_better_or_changes_its_number(
    course: list[tuple[Sample, Sample, Sample, float]],
) -> None:
    state, at = NOTHING_JUDGED, 0.0
    for came, first, second, later in course:
        at += later
        raw = came._replace(received=at)
        image = (raw, first, second)
        state, sample = TURBIDITY.step(state, raw, at, image, Instant(at, at))
        assert sample.quality >= raw.quality
        assert sample.value in (raw.value, None)
        assert sample.received == at
        assert sample.reason is raw.reason or not sample.good
        assert TURBIDITY.step(state, raw, at, image, Instant(at, at)) == (state, sample)
