"""Quotas: counted by the site's calendar, through restarts and clock steps, nothing twice and nothing lost."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from control.cause import Cause
from control.code import Code
from control.instant import Instant
from control.quota import KEPT, UNUSED, Quota, QuotaState, Span, from_saved, to_saved

SHANGHAI = ZoneInfo("Asia/Shanghai")
QUOTA = Quota("INDUSTRY", SHANGHAI, 100.0, 1000.0)


def at(text: str, mono: float = 0.0) -> Instant:
    """A moment by the clock on the wall in Shanghai."""
    return Instant(mono, datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp())


def codes(state: QuotaState) -> list[Code]:
    return [cause.code for cause in state.alarms]


def test_a_day_ends_at_midnight_of_the_site_and_a_year_with_its_december() -> None:
    state = QUOTA.step(UNUSED, 30.0, at("2026-12-31T23:59:59"))
    assert (state.day.used_m3, state.year.used_m3) == (30.0, 30.0)
    # 16:00 UTC is midnight in Shanghai.
    assert datetime.fromtimestamp(state.day.ends_utc, UTC).hour == 16
    state = QUOTA.step(state, 5.0, at("2027-01-01T00:00:00", 1.0))
    assert (state.day.used_m3, state.year.used_m3) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("used", "code"),
    [(79.9, None), (80.0, Code.QUOTA_WARNING), (95.0, Code.QUOTA_NEAR), (100.0, Code.QUOTA_REACHED)],
)
def test_it_warns_at_80_and_95_percent_and_is_used_up_at_100(used: float, code: Code | None) -> None:
    state = QUOTA.step(UNUSED, used, at("2026-06-01T12:00"))
    assert codes(state) == ([code] if code is not None else [])
    assert (state.reached is not None) is (code is Code.QUOTA_REACHED)
    assert QUOTA.left_m3(state) == pytest.approx(100.0 - used)


def test_a_step_that_counts_nothing_changes_nothing() -> None:
    state = QUOTA.step(UNUSED, 1.0, at("2026-06-01T12:00"))
    assert QUOTA.step(state, 0.0, at("2026-06-01T13:00", 3600.0)) is state


def test_a_clock_set_back_over_midnight_finds_what_was_counted_that_day() -> None:
    state = QUOTA.step(UNUSED, 60.0, at("2026-06-01T23:59:50", 0.0))
    state = QUOTA.step(state, 1.0, at("2026-06-02T00:00:01", 11.0))
    state = QUOTA.step(state, 1.0, at("2026-06-01T23:59:55", 12.0))
    assert state.day.used_m3 == 61.0
    state = QUOTA.step(state, 1.0, at("2026-06-02T00:00:02", 19.0))
    assert state.day.used_m3 == 2.0


def test_a_clock_that_leaps_takes_along_what_was_counted_under_it() -> None:
    """A gateway without a battery starts in 1970; what it gives before it knows the time counts today."""
    today = QUOTA.step(UNUSED, 50.0, at("2026-06-01T08:00"))
    restarted = from_saved(json.loads(json.dumps(to_saved(today))))
    lost = QUOTA.step(restarted, 10.0, at("1970-01-01T08:00", 100.0))
    found = QUOTA.step(lost, 1.0, at("2026-06-01T09:00", 200.0))
    assert found.day.used_m3 == 61.0
    assert found.year.used_m3 == 61.0


def test_a_clock_that_leaps_ahead_and_comes_back_gives_no_quota_twice() -> None:
    state = QUOTA.step(UNUSED, 90.0, at("2026-06-01T08:00", 0.0))
    ahead = QUOTA.step(state, 5.0, at("2026-06-03T08:00", 10.0))
    assert ahead.day.used_m3 == 95.0
    back = QUOTA.step(ahead, 1.0, at("2026-06-01T08:01", 60.0))
    assert back.day.used_m3 == 96.0


def test_a_leap_within_the_year_takes_nothing_along_at_the_next_turn_of_the_year() -> None:
    """A gateway that was off for five days starts where its clock stood, and is set right in the same year."""
    state = QUOTA.step(UNUSED, 1.0, at("2026-06-01T08:00", 0.0))
    state = QUOTA.step(state, 900.0, at("2026-06-06T08:00", 60.0))
    assert state.year.used_m3 == 901.0
    new_year = at("2027-01-01T00:00:01")
    mono = new_year.utc - at("2026-06-06T08:00").utc + 60.0
    state = QUOTA.step(state, 2.0, Instant(mono, new_year.utc))
    assert state.year.sums == ((2026, 901.0), (2027, 2.0))


def test_another_limit_is_set_by_a_person_who_says_why_and_taken_back() -> None:
    state = QUOTA.step(UNUSED, 100.0, at("2026-06-01T12:00"))
    state, refusal = QUOTA.changed(state, "daily", 150.0, "platform:dispatch", "fire at the works")
    assert refusal is None
    assert state.reached is None
    assert codes(state) == [Code.QUOTA_CHANGED]
    assert "fire at the works" in state.alarms[0].values
    kept = from_saved(json.loads(json.dumps(to_saved(state))))
    kept = QUOTA.step(kept, 30.0, at("2026-06-01T13:00", 9.0))
    assert QUOTA.limit_m3(Span.DAY, kept) == 150.0
    assert kept.day.used_m3 == 130.0
    assert Code.QUOTA_WARNING in codes(kept)
    kept, refusal = QUOTA.changed(kept, "daily", None, "platform:dispatch", "over")
    assert kept.reached is not None
    assert QUOTA.limit_m3(Span.DAY, kept) == 100.0


@pytest.mark.parametrize(
    ("span", "limit", "reason", "code"),
    [
        ("weekly", 1.0, "because", Code.NO_SUCH_QUOTA),
        ("daily", float("nan"), "because", Code.QUOTA_NOT_ALLOWED),
        ("daily", -1.0, "because", Code.QUOTA_NOT_ALLOWED),
        ("daily", 5.0, " ", Code.REASON_MISSING),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(span: str, limit: float, reason: str, code: Code) -> None:
    state, refusal = QUOTA.changed(UNUSED, span, limit, "local:x", reason)
    assert state is UNUSED
    assert isinstance(refusal, Cause)
    assert refusal.code is code


class Clocked(RuleBasedStateMachine):
    """Water counted under a clock that runs, is stepped, and is lost with the power."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.mono, self.utc, self.counted = UNUSED, 100.0, 1_790_000_000.0, 0.0

    @rule(volume=st.floats(0, 50), lapse=st.floats(0, 90_000))
    def pass_water(self, volume: float, lapse: float) -> None:
        self.mono += lapse
        self.utc += lapse
        self.state = QUOTA.step(self.state, volume, Instant(self.mono, self.utc))
        self.counted += volume

    @rule(by=st.one_of(st.floats(-100, 100), st.floats(-200_000, 200_000)))
    def step_clock(self, by: float) -> None:
        self.utc += by

    @rule()
    def restart(self) -> None:
        self.state = from_saved(json.loads(json.dumps(to_saved(self.state))))
        self.mono = 5.0

    @invariant()
    def nothing_is_counted_twice_or_lost(self) -> None:
        for span in (self.state.day, self.state.year):
            assert len(span.sums) <= KEPT
            assert all(used >= -1e-9 for _, used in span.sums)
            if len(span.sums) < KEPT:
                assert sum(used for _, used in span.sums) == pytest.approx(self.counted, abs=1e-6)
            assert len({key for key, _ in span.sums}) == len(span.sums)

    @invariant()
    def what_is_left_and_what_is_used_make_the_limit(self) -> None:
        left = QUOTA.left_m3(self.state)
        assert left is not None
        assert left == pytest.approx(
            max(min(100.0 - self.state.day.used_m3, 1000.0 - self.state.year.used_m3), 0.0), abs=1e-6
        )


Clocked.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
test_no_clock_doubles_or_loses_a_quota = Clocked.TestCase


@given(st.floats(0, 200), st.floats(0, 200))
def test_an_order_beyond_what_is_left_is_refused_and_any_other_is_not(used: float, asked: float) -> None:
    state = QUOTA.step(UNUSED, used, at("2026-06-01T12:00"))
    left = max(100.0 - used, 0.0)
    assert (QUOTA.refusal(state, asked) is None) is (asked <= left)
