"""The figures of ISA-18.2: flood, chattering, fleeting, most frequent; exact at their limits, bounded in memory."""

import pytest

from control.alarm_figures import (
    DAYS,
    FLEETING_S,
    FLOOD_ABOVE,
    FLOOD_ENDS_BELOW,
    MOST_RECENT,
    WINDOW_S,
    Figures,
    from_saved,
    to_saved,
)
from control.instant import Instant

UTC = 1_790_000_000.0


def at(mono: float) -> Instant:
    return Instant(mono, UTC + mono)


def announced(*moments: float) -> Figures:
    figures = Figures()
    for moment in moments:
        figures, _ = figures.step(["X.y"], [], at(moment))
    return figures


def test_a_flood_begins_above_ten_in_ten_minutes_and_ends_below_five() -> None:
    figures = Figures()
    for count in range(1, FLOOD_ABOVE + 3):
        figures, events = figures.step(["X.y"], [], at(10.0 * count))
        assert [event.name for event in events] == (["alarm-flood"] if count == FLOOD_ABOVE + 1 else [])
    assert (figures.floods, figures.most_in_window) == (1, FLOOD_ABOVE + 2)
    ended = None
    for second in range(200, 900):
        figures, events = figures.step([], [], at(float(second)))
        if events:
            assert (events[0].name, ended) == ("alarm-flood-ended", None)
            ended = second
    # Of twelve alarms, 10 s apart, the eighth leaves the window of 600 s just after 680 s: four are left.
    assert ended == 10 * (FLOOD_ABOVE + 2 - FLOOD_ENDS_BELOW + 1) + WINDOW_S + 1
    assert figures.flood_since_utc is None


def test_ten_in_ten_minutes_are_no_flood() -> None:
    assert announced(*range(0, 600, 60)).flood_since_utc is None


def test_an_alarm_is_in_the_window_for_ten_minutes() -> None:
    figures = announced(100.0)
    assert figures.in_window(at(100.0 + WINDOW_S)) == 1
    assert figures.in_window(at(100.1 + WINDOW_S)) == 0
    assert figures.step([], [], at(100.0 + WINDOW_S))[0] is figures
    assert figures.step([], [], at(100.1 + WINDOW_S))[0].recent == ()
    assert announced(0.0, 1.0).step([], [], at(601.0))[0].recent == (1.0,)


@pytest.mark.parametrize(("third", "chatters"), [(60.0, True), (60.1, False)])
def test_three_within_a_minute_chatter(third: float, chatters: bool) -> None:
    figures = announced(0.0, 30.0, third)
    assert (figures.chattering(at(third)) == ["X.y"]) is chatters
    assert figures.counts["X.y"].chatters == chatters
    assert figures.chattering(at(third + 31.0)) == []


def test_chattering_that_goes_on_counts_once() -> None:
    assert announced(*range(0, 100, 5)).counts["X.y"].chatters == 1


@pytest.mark.parametrize(("after", "fleeting"), [(FLEETING_S, 1), (FLEETING_S + 0.1, 0)])
def test_what_returns_before_anybody_could_act_is_fleeting(after: float, fleeting: int) -> None:
    figures, _ = announced(50.0).step([], ["X.y"], at(50.0 + after))
    assert figures.counts["X.y"].fleeting == fleeting


def test_the_most_frequent_are_counted_over_seven_days_and_no_longer() -> None:
    figures = Figures()
    for day in range(DAYS + 3):
        figures, _ = figures.step(["often"] * 3 + ["once"] * (day == 5) + ["past"] * (day == 0), [], at(day * 86400.0))
    assert len(figures.days) == DAYS
    assert figures.most_frequent() == [("often", 3 * DAYS), ("once", 1)]
    assert figures.most_frequent(1) == [("often", 3 * DAYS)]


def test_memory_is_bounded_whatever_comes() -> None:
    figures, _ = Figures().step(["X.y"] * (MOST_RECENT + 500), [], at(1.0))
    assert figures.in_window(at(1.0)) == MOST_RECENT
    assert figures.most_frequent() == [("X.y", MOST_RECENT + 500)]


def test_counts_survive_a_restart_and_the_minutes_do_not() -> None:
    figures = announced(0.0, 1.0, 2.0)
    after = from_saved(to_saved(figures))
    assert (after.days, after.most_in_window, after.counts["X.y"].chatters) == (figures.days, 3, 1)
    assert after.recent == ()
