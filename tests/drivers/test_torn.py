"""Totals whose parts a device changes one after the other: what is believed was true at some moment."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.torn import NEVER_WHOLE_S, SETTLED_S, Settling

POLL_S = 1.0


def believed(settling: Settling, meter: object, until: float, poll: float = POLL_S) -> list[tuple[float, float]]:
    """What is believed of a meter, a function of time, that is read each ``poll`` seconds and again when asked for."""
    assert callable(meter)
    found, now = [], 0.0
    while now < until:
        total = meter(now)
        pause = settling.pause((total,), now)
        if pause is None:
            found.append((now, total))
            now += poll
        else:
            assert pause > 0
            now += pause
    return found


@given(
    flow=st.floats(0.0, 0.5),
    start=st.floats(1, 1000),
    share=st.floats(0.0, 0.1),
    whole_lags=st.booleans(),
    unit=st.sampled_from([1.0, 100.0]),
)
def test_no_old_part_stands_beside_a_new_one(
    flow: float, start: float, share: float, whole_lags: bool, unit: float
) -> None:
    # How much of the time the device shows an old part beside a new one.
    lag = min(share / flow, 0.9) if flow else 0.9

    def true(now: float) -> float:
        return (start + flow * now) * unit

    def torn(now: float) -> float:
        whole, rest = (true(now - lag), true(now)) if whole_lags else (true(now), true(now - lag))
        return math.floor(whole / unit) * unit + rest % unit

    found = believed(Settling((unit,)), torn, 120)
    for (_, before), (at, after) in pairwise(found):
        assert after >= before - 0.05 * unit
        assert abs(after - true(at)) <= (flow * lag + 0.051) * unit
    assert len(found) > 60


def test_a_total_that_moves_on_by_little_is_believed_at_once() -> None:
    settling = Settling((1.0,))
    believed(settling, lambda now: 5.98, 1.0)
    assert settling.pause((6.02,), 2.0) is None
    assert settling.pause((6.02,), 3.0) is None
    assert settling.pause((6.01,), 4.0) is None


def test_a_fast_meter_is_believed_when_it_was_seen_to_go_on_over_a_whole_unit() -> None:
    found = believed(Settling((1.0,)), lambda now: 16 * now, 60)
    assert len(found) > 40


@pytest.mark.parametrize("after", [0.0, 3.5, 1e6])
def test_a_total_that_was_set_is_believed_when_it_stays_so(after: float) -> None:
    found = believed(Settling((1.0,)), lambda now: 7.5 if now < 10 else after, 20)
    assert next(at for at, total in found if total == after) == pytest.approx(10 + SETTLED_S, abs=0.9)


def test_the_first_reading_is_watched_until_all_parts_must_have_changed() -> None:
    found = believed(Settling((1.0,)), lambda now: 7.5, 5)
    assert SETTLED_S <= found[0][0] < SETTLED_S + 0.4


def test_what_never_fits_is_told_after_a_while() -> None:
    settling, now = Settling((1.0,)), 0.0
    for step in range(200):
        assert settling.never_whole(now) is (now >= NEVER_WHOLE_S)
        pause = settling.pause((-0.5 * step,), now)
        assert pause is not None
        now += pause


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_what_is_no_number_is_nobody_to_wait_for(nothing: float | None) -> None:
    settling = Settling((1.0, 1.0))
    assert settling.pause((nothing, 1.0), 0.0) is None


def test_what_was_seen_before_a_silence_proves_nothing() -> None:
    settling = Settling((1.0,))
    assert settling.pause((5.0,), 0.0) is not None
    settling.interrupted()
    assert settling.pause((5.0,), 60.0) is not None
