"""Who is asked next: rhythm, priorities, and nobody left out for good."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.signals import Priority
from drivers.modbus.schedule import SLACK_PERIODS, Schedule, Turn, phases

PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")
Reads = list[tuple[float, Priority]]
READS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 1.0, 5.0]), st.sampled_from(PRIORITIES)), min_size=1, max_size=8)


def schedule_of(reads: Reads, phase: float = 0.0) -> Schedule[int]:
    schedule: Schedule[int] = Schedule()
    first = phases([period for period, _ in reads], phase)
    for number, ((period, priority), at) in enumerate(zip(reads, first, strict=True)):
        schedule.put(Turn(number, period, priority, at))
    return schedule


def played(reads: Reads, takes_s: float, seconds: float) -> tuple[list[tuple[float, int]], Counter[int]]:
    """A bus on which each read takes so long: when each was asked, and how many of each were left out."""
    schedule = schedule_of(reads)
    now, asked, missed = 0.0, [], Counter[int]()
    while now < seconds:
        turn = schedule.take(now)
        if turn is None:
            at = schedule.next_at()
            assert at is not None
            assert at > now
            now = at
            continue
        asked.append((now, turn.item))
        missed[turn.item] += turn.pass_on(now)
        schedule.put(turn)
        now += takes_s
    return asked, missed


def load_of(reads: Reads, takes_s: float) -> float:
    return sum(takes_s / period for period, _ in reads)


@given(READS, st.floats(0.001, 0.5))
def test_nobody_is_left_out_for_good_however_full_the_bus_is(reads: Reads, takes_s: float) -> None:
    # What waits gains on the others: it is asked before all that is due later than its own deadline.
    longest = max((1 + SLACK_PERIODS[priority]) * period for period, priority in reads)
    patience = longest + sum((longest / period + 1) * takes_s for period, _ in reads) + takes_s
    seconds = 3 * patience
    asked, _ = played(reads, takes_s, seconds)
    for number in range(len(reads)):
        times = [0.0, *(at for at, item in asked if item == number), seconds]
        assert max(after - before for before, after in pairwise(times)) <= patience + 1.0


@given(READS, st.floats(0.001, 0.05))
def test_a_bus_that_can_keep_up_leaves_nothing_out_and_keeps_each_rhythm(reads: Reads, takes_s: float) -> None:
    if load_of(reads, takes_s) > 0.5:
        return
    asked, missed = played(reads, takes_s, 20.0)
    waits = takes_s * (len(reads) + 1)
    starts = dict(enumerate(phases([period for period, _ in reads], 0.0)))
    for number, (period, _) in enumerate(reads):
        times = [at for at, item in asked if item == number]
        if waits < period:
            assert missed[number] == 0
            for turn, at in enumerate(times):
                due = starts[number] + turn * period
                assert due - 1e-6 <= at <= due + waits + 1e-6
        else:
            assert len(times) + missed[number] == pytest.approx(20.0 / period, abs=1 + waits / period)


@given(READS, st.floats(0.01, 1.0))
def test_every_poll_is_made_or_counted_as_missed(reads: Reads, takes_s: float) -> None:
    seconds = 30.0
    asked, missed = played(reads, takes_s, seconds)
    for number, (period, _) in enumerate(reads):
        times = [at for at, item in asked if item == number]
        if times:
            begun = next(iter([*phases([p for p, _ in reads], 0.0)][number : number + 1]))
            assert len(times) + missed[number] == pytest.approx((times[-1] - begun) / period + 1, abs=1.001)


def test_a_full_bus_delays_what_matters_least() -> None:
    reads: Reads = [(1.0, priority) for priority in PRIORITIES for _ in range(4)]
    asked, _ = played(reads, 0.15, 300.0)
    count = Counter(PRIORITIES.index(reads[item][1]) for _, item in asked)
    assert count[0] > count[1] > count[2] > 0
    assert count[0] > 0.95 * 4 * 300


# -- reads ahead of their time, and put off -------------------------------------------------------------------------


def test_a_read_ahead_of_its_time_does_not_cost_the_next_one() -> None:
    turn = Turn("x", 10.0, "normal", due=100.0)
    assert turn.pass_on(100.0) == 0
    assert turn.due == 110.0
    # Asked again at once, for it was torn or the device was busy.
    assert turn.pass_on(100.5) == 0
    assert turn.due == 110.0


def test_what_is_put_off_on_purpose_is_not_missed() -> None:
    schedule: Schedule[str] = Schedule()
    turn = Turn("x", 1.0, "normal", due=100.0)
    turn.pass_on(100.0)
    schedule.put_off(turn, 107.5)
    assert schedule.take(107.4) is None
    assert schedule.take(107.5) is turn
    assert turn.pass_on(107.5) == 0
    assert turn.due == 108.0


def test_what_is_late_counts_what_it_left_out_and_keeps_its_rhythm() -> None:
    turn = Turn("x", 1.0, "normal", due=100.0)
    assert turn.pass_on(103.2) == 3
    assert turn.due == 104.0


def test_the_chosen_are_hurried_and_keep_their_rhythm() -> None:
    schedule: Schedule[str] = Schedule()
    for name, due in (("a", 5.0), ("b", 6.0)):
        schedule.put(Turn(name, 10.0, "normal", due))
    schedule.hurry(lambda item: item == "b", 1.0)
    turn = schedule.take(1.0)
    assert turn is not None
    assert turn.item == "b"
    turn.pass_on(1.0)
    schedule.put(turn)
    assert schedule.take(1.0) is None
    assert len(schedule) == 2
    assert [schedule.take(at).item for at in (5.0, 6.0)] == ["a", "b"]  # type: ignore[union-attr]


def test_next_at_and_clear() -> None:
    schedule = schedule_of([(1.0, "normal"), (1.0, "normal")])
    assert schedule.next_at() == 0.0
    schedule.take(1.0)
    assert schedule.next_at() == float("-inf")
    schedule.clear()
    assert schedule.next_at() is None
    assert len(schedule) == 0


@given(st.lists(st.sampled_from([0.1, 1.0, 60.0]), min_size=1, max_size=30), st.floats(0, 0.999))
def test_the_first_reads_are_spread_over_their_period_and_a_second_at_most(periods: list[float], phase: float) -> None:
    firsts = list(phases(periods, phase))
    for period in set(periods):
        same = sorted(first for first, of in zip(firsts, periods, strict=True) if of == period)
        span = min(period, 1.0)
        assert same[0] >= 0
        assert same[-1] < span + 1e-9
        if len(same) > 1:
            gaps = [after - before for before, after in zip(same, [*same[1:], same[0] + span], strict=True)]
            assert min(gaps) == pytest.approx(span / len(same), rel=1e-6)
