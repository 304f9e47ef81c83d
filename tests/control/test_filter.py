"""The first-order filter: the textbook answer at any times, never outside its inputs, never across a gap."""

from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, bad
from control.filter import Filtered, filtered


def step(state: Filtered | None, sample: Sample, tau: float) -> tuple[Filtered | None, Sample]:
    return filtered(state, sample, sample.received, tau)


def good(value: float, at: float) -> Sample:
    return Sample(value, Quality.GOOD, Reason.OK, at)


def test_a_step_is_followed_by_one_less_the_exponential_however_the_readings_are_spaced() -> None:
    state, _ = step(None, good(0.0, 0.0), 5.0)
    for at in (0.3, 1.1, 1.2, 4.0, 10.0):
        state, sample = step(state, good(1.0, at), 5.0)
        assert sample.value == pytest.approx(1.0 - exp(-at / 5.0), abs=1e-12)
        assert sample.received == at


def test_it_begins_anew_after_a_reading_that_is_not_good_and_hands_that_on() -> None:
    state, _ = step(None, good(1.0, 0.0), 5.0)
    state, lost = step(state, bad(Reason.NO_COMMUNICATION, 1.0), 5.0)
    assert state is None
    assert lost.reason is Reason.NO_COMMUNICATION
    _, sample = step(state, good(9.0, 2.0), 5.0)
    assert sample.value == 9.0


def test_the_same_reading_again_changes_nothing() -> None:
    state, first = step(Filtered(3.0, 1.0), good(4.0, 2.0), 5.0)
    again, second = step(state, good(4.0, 2.0), 5.0)
    assert (again, second) == (state, first)


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e6), st.booleans()), min_size=1, max_size=12),
    st.floats(1e-3, 1e5),
)
def test_it_never_leaves_the_hull_of_the_readings_since_it_began(
    course: list[tuple[float, float, bool]], tau: float
) -> None:
    state, at, seen = None, 0.0, list[float]()
    for value, later, is_good in course:
        at += later
        if not is_good:
            state, _ = step(state, bad(Reason.NO_COMMUNICATION, at), tau)
            seen.clear()
            continue
        seen.append(value)
        state, sample = step(state, good(value, at), tau)
        assert isinstance(sample.value, float)
        assert min(seen) <= sample.value <= max(seen)
