"""Voting: one rule, the M-th worst; what is not good is never better than what is."""

from itertools import permutations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, quality_of
from control.cause import sentence
from control.code import Code
from control.instant import Instant
from control.voting import AGREED, Trip, Vote, VoteState


def reading(value: float | bool, reason: Reason = Reason.OK, at: float = 10.0) -> Sample:
    quality = quality_of(reason)
    return Sample(None if quality is Quality.BAD else value, quality, reason, at)


BAD = reading(0.0, Reason.NO_COMMUNICATION)


def vote(needed: int, of: int, trip: Trip = "high", *, leave_out: bool = False) -> Vote:
    names = tuple(f"AIT-{i}.turbidity" for i in range(of))
    return Vote("AIT-100.turbidity", names, "NTU", needed, trip, 1.0, 30.0, leave_out)


def chosen(block: Vote, *samples: Sample) -> float | bool | str:
    result = block.choose(samples)
    if result.good:
        assert isinstance(result.value, float | bool)
        return result.value
    return str(result.reason)


@pytest.mark.parametrize(
    ("needed", "readings", "result"),
    [
        (1, [3.0, 8.0], 8.0),
        (2, [3.0, 8.0], 3.0),
        (2, [3.0, 8.0, 5.0], 5.0),
        (1, [3.0, None], "no-communication"),
        (2, [3.0, None], 3.0),
        (2, [3.0, 8.0, None], 8.0),
        (2, [3.0, None, None], "no-communication"),
        (3, [3.0, 8.0, None], 3.0),
    ],
)
def test_m_out_of_n_gives_the_mth_worst_and_a_bad_one_is_the_worst(
    needed: int, readings: list[float | None], result: float | str
) -> None:
    samples = [BAD if one is None else reading(one) for one in readings]
    assert chosen(vote(needed, len(samples)), *samples) == result


@pytest.mark.parametrize(("trip", "result"), [("high", 8.0), ("low", 6.0), (7.0, 8.0), (7.2, 6.0), (6.9, 8.0)])
def test_worst_is_what_goes_in_the_direction_of_the_trip(trip: Trip, result: float) -> None:
    assert chosen(vote(1, 3, trip), reading(6.0), reading(8.0), reading(7.1)) == pytest.approx(result)


def test_signals_that_are_on_or_off_vote_too() -> None:
    on, off = reading(True), reading(False)
    assert chosen(vote(2, 3, True), on, off, on) is True
    assert chosen(vote(2, 3, True), on, off, off) is False
    assert chosen(vote(2, 3, False), on, off, off) is False
    assert chosen(vote(2, 3, False), on, on, off) is True
    assert chosen(vote(2, 3, True), on, off, BAD) is True


def test_over_range_is_evidence_where_high_is_worse_even_beside_one_that_is_lost() -> None:
    over = reading(100.0, Reason.OVER_RANGE)
    assert chosen(vote(1, 2), over, BAD) == "over-range"
    assert chosen(vote(2, 3), over, over, reading(2.0)) == "over-range"
    assert chosen(vote(2, 3), over, reading(4.0), reading(2.0)) == 4.0
    assert chosen(vote(1, 2, "low"), over, BAD) == "no-communication"
    assert chosen(vote(1, 2, "low"), reading(0.0, Reason.UNDER_RANGE), BAD) == "under-range"


def test_left_out_are_bad_ones_while_one_is_good_but_never_evidence() -> None:
    assert chosen(vote(1, 2, leave_out=True), reading(3.0), BAD) == 3.0
    assert chosen(vote(2, 3, leave_out=True), reading(3.0), reading(8.0), BAD) == 3.0
    assert chosen(vote(2, 3, leave_out=True), reading(3.0), BAD, BAD) == 3.0
    assert chosen(vote(2, 3, leave_out=True), BAD, BAD, BAD) == "no-communication"
    over = reading(100.0, Reason.OVER_RANGE)
    assert chosen(vote(1, 2, leave_out=True), reading(3.0), over) == "over-range"


def test_the_result_is_as_old_as_the_oldest_reading_that_it_was_chosen_from() -> None:
    result = vote(2, 3).choose((reading(3.0, at=10.0), reading(4.0, at=4.0), reading(5.0, at=9.0)))
    assert (result.value, result.received) == (4.0, 4.0)
    result = vote(1, 2).choose((reading(3.0, at=2.0), reading(4.0, at=9.0)))
    assert (result.value, result.received) == (4.0, 2.0)


def run(block: Vote, course: list[tuple[float, tuple[Sample, ...]]]) -> VoteState:
    state = AGREED
    for at, samples in course:
        state = block.watch(state, samples, Instant(at, at))
    return state


def test_readings_that_are_too_far_apart_for_a_time_are_an_alarm_that_names_them() -> None:
    apart = (reading(2.0), reading(3.5), BAD)
    assert run(vote(2, 3), [(0.0, apart), (29.0, apart)]).disagrees is None
    cause = run(vote(2, 3), [(0.0, apart), (30.0, apart)]).disagrees
    assert cause is not None
    assert sentence(cause) == (
        "the readings of AIT-100.turbidity (AIT-0.turbidity 2 NTU, AIT-1.turbidity 3.5 NTU, AIT-2.turbidity no "
        "communication) are farther apart than 1 NTU for 30 s"
    )
    together = (reading(2.0), reading(3.0), reading(2.5))
    assert run(vote(2, 3), [(0.0, apart), (30.0, apart), (31.0, together)]) is AGREED


def test_a_reading_that_is_not_good_for_a_time_is_an_alarm_of_its_own() -> None:
    short = (reading(2.0), reading(2.1), BAD)
    state = run(vote(2, 3), [(0.0, short), (30.0, short)])
    assert state.disagrees is None
    assert state.short is not None
    assert state.short.code is Code.VOTE_SHORT
    assert "AIT-2.turbidity (no communication) not good for 30 s" in sentence(state.short)
    left = run(vote(2, 3, leave_out=True), [(0.0, short), (30.0, short)]).short
    assert left is not None
    assert left.code is Code.VOTE_LEAVES_OUT


def test_switches_disagree_when_they_differ() -> None:
    block = Vote("LS-1.high", ("A.x", "B.x"), "", 1, True, None, 5.0, False)
    differs = run(block, [(0.0, (reading(True), reading(False))), (5.0, (reading(True), reading(False)))]).disagrees
    assert differs is not None
    assert sentence(differs) == "the readings of LS-1.high (A.x on, B.x off) have differed for 5 s"
    assert run(block, [(0.0, (reading(True), reading(True))), (5.0, (reading(True), reading(True)))]) is AGREED


readings = st.lists(
    st.builds(
        lambda reason, value, at: reading(value, reason, at),
        st.sampled_from(
            [Reason.OK, Reason.OK, Reason.STALE, Reason.OVER_RANGE, Reason.NO_COMMUNICATION, Reason.MAINTENANCE]
        ),
        st.sampled_from([1.0, 2.0, 3.0, 9.0]),
        st.sampled_from([1.0, 2.0]),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=150)
@given(readings, st.integers(1, 4), st.sampled_from(["high", "low", 2.5]), st.booleans())
def test_the_order_of_the_readings_does_not_matter(
    samples: list[Sample], needed: int, trip: Trip, leave_out: bool
) -> None:
    block = vote(min(needed, len(samples)), len(samples), trip, leave_out=leave_out)
    results = {block.choose(tuple(order))[:5] for order in permutations(samples)}
    assert len(results) == 1


@settings(max_examples=150)
@given(readings, st.integers(1, 4), st.sampled_from(["high", "low"]), st.booleans())
def test_the_result_is_never_better_than_the_rule_allows(
    samples: list[Sample], needed: int, trip: Trip, leave_out: bool
) -> None:
    needed = min(needed, len(samples))
    result = vote(needed, len(samples), trip, leave_out=leave_out).choose(tuple(samples))
    sign = 1.0 if trip == "high" else -1.0
    good = [sign * float(sample.value) for sample in samples if sample.good and isinstance(sample.value, float)]
    wrong = len(samples) - len(good)
    if not leave_out:
        # As if every reading that is not good were infinitely bad.
        worst_first = sorted([*good, *[inf] * wrong], reverse=True)
        assert result.good is (worst_first[needed - 1] < inf)
        if result.good and isinstance(result.value, float):
            assert sign * result.value == worst_first[needed - 1]
    if result.good:
        assert good
        assert result.received <= max(sample.received for sample in samples if sample.good)
    # No number is made up.
    assert result.value is None or any(result.value == sample.value for sample in samples)
