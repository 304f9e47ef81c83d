"""Maintenance and calibration marks: how long one may last, and all of them in 24 hours."""

from hypothesis import given
from hypothesis import strategies as st

from config.sample import Reason
from control.code import Code
from control.instant import Instant
from control.mark import DAY_S, UNMARKED, Mark, MarkCap, from_saved, marked_in_window_s, to_saved

CAP = MarkCap("AIT-1.turbidity", period=600.0, day=1500.0)
UTC = 1_790_000_000.0


def at(mono: float) -> Instant:
    return Instant(mono, UTC + mono)


def marked(mark: Mark, start: float, seconds: float) -> Mark:
    """A period of maintenance, looked at when it begins, just before its end, and at its end."""
    mark = CAP.step(mark, Reason.MAINTENANCE, at(start))
    mark = CAP.step(mark, Reason.MAINTENANCE, at(start + seconds - 0.1))
    return CAP.step(mark, Reason.OK, at(start + seconds))


def test_an_unmarked_instrument_costs_nothing() -> None:
    assert CAP.step(UNMARKED, Reason.OK, at(5.0)) is UNMARKED


def test_a_mark_that_stands_is_the_same_object() -> None:
    mark = CAP.step(UNMARKED, Reason.CALIBRATION, at(0.0))
    assert CAP.step(mark, Reason.CALIBRATION, at(10.0)) is mark


def test_a_period_passes_its_cap() -> None:
    mark = CAP.step(UNMARKED, Reason.MAINTENANCE, at(0.0))
    assert CAP.step(mark, Reason.MAINTENANCE, at(599.9)).over is None
    over = CAP.step(mark, Reason.MAINTENANCE, at(600.0)).over
    assert over is not None
    assert over.code is Code.MARK_TOO_LONG


def test_periods_add_up_within_24_hours() -> None:
    mark = marked(UNMARKED, 0.0, 500.0)
    mark = marked(mark, 3600.0, 500.0)
    mark = CAP.step(mark, Reason.CALIBRATION, at(7200.0))
    assert CAP.step(mark, Reason.CALIBRATION, at(7699.0)).over is None
    over = CAP.step(mark, Reason.CALIBRATION, at(7700.0)).over
    assert over is not None
    assert over.code is Code.MARK_DAY_USED


def test_a_mark_that_begins_when_the_day_is_used_holds_nothing() -> None:
    mark = marked(marked(marked(UNMARKED, 0.0, 500.0), 1000.0, 500.0), 2000.0, 500.0)
    assert CAP.step(mark, Reason.MAINTENANCE, at(3000.0)).over is not None


def test_after_24_hours_the_sum_begins_anew() -> None:
    mark = marked(marked(marked(UNMARKED, 0.0, 500.0), 1000.0, 500.0), 2000.0, 500.0)
    assert CAP.step(mark, Reason.MAINTENANCE, at(DAY_S)).over is None


def test_of_a_period_over_the_end_of_24_hours_only_what_lies_in_the_new_ones_counts() -> None:
    mark = CAP.step(Mark(window_at=0.0, spent_s=1000.0), Reason.MAINTENANCE, at(DAY_S - 100.0))
    assert marked_in_window_s(mark, at(DAY_S - 50.0)) == 1050.0
    assert marked_in_window_s(mark, at(DAY_S + 30.0)) == 30.0


def test_a_period_that_is_over_stays_so_until_the_mark_ends() -> None:
    mark = CAP.step(UNMARKED, Reason.MAINTENANCE, at(0.0))
    mark = CAP.step(mark, Reason.MAINTENANCE, at(700.0))
    assert CAP.step(mark, Reason.CALIBRATION, at(DAY_S + 1.0)).over is not None


@given(st.floats(0, 2 * DAY_S), st.floats(0, DAY_S))
def test_a_restart_gives_no_time_back(spent: float, age: float) -> None:
    mark = Mark(window_at=1000.0, spent_s=spent)
    saved = to_saved(mark, at(1000.0 + age))
    again = from_saved(saved, Instant(5.0, UTC + 1000.0 + age))
    assert again.spent_s == spent
    assert again.window_at is not None
    assert abs((5.0 - again.window_at) - age) < 1e-3


def test_a_mark_in_hand_at_a_restart_counts_as_spent() -> None:
    mark = CAP.step(UNMARKED, Reason.MAINTENANCE, at(0.0))
    again = from_saved(to_saved(mark, at(400.0)), at(400.0))
    assert again.spent_s == 400.0
