"""The quality guard: when water counts as unfit or as not known to be fit, and when it counts as fit again."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, quality_of
from config.standard import Staleness
from control.code import Code
from control.cold import ColdLimit
from control.guard import RETURN_DELAY_S, BatchGuard, FastGuard, GuardState, Verdict, WorkState, reset
from control.instant import Instant
from control.mark import MarkCap
from control.trend import EarlyWarning

UTC = 1_790_000_000.0
HOUR = 3600.0

TURBIDITY = FastGuard(
    name="FILL-1.turbidity",
    parameter="turbidity",
    signal=0,
    signal_name="AIT-1.turbidity",
    unit="NTU",
    high=8.0,
    low=None,
    instant_high=15.0,
    instant_low=None,
    stop_delay=3.0,
    clear_time=10.0,
    hysteresis=10.0,
    mark_cap=MarkCap("AIT-1.turbidity", 600.0, 3600.0),
    limit_origin="GB/T 18920-2020 table 1",
    limit_status="verified",
)
PH = replace(TURBIDITY, parameter="ph", unit="pH", high=9.0, low=6.0, instant_high=None, instant_low=5.0)

COD = BatchGuard(
    name="FILL-1.cod",
    parameter="cod",
    signal=0,
    signal_name="AIT-2.cod",
    unit="mg/L",
    high=30.0,
    low=None,
    interval=2 * HOUR,
    staleness=Staleness.FAIL_CLOSED,
    expired_after=4.0,
    results_to_clear=2,
    hysteresis=10.0,
    mark_cap=MarkCap("AIT-2.cod", 4 * HOUR, 6 * HOUR),
    limit_origin="class IV",
    limit_status="unverified",
)


def reading(value: float | None, reason: Reason = Reason.OK, at: float = 0.0, source: float | None = None) -> Sample:
    quality = quality_of(reason)
    return Sample(None if quality is Quality.BAD else value, quality, reason, at, source)


@dataclass
class Watched:
    """A fast guard stepped every 100 ms."""

    guard: FastGuard = TURBIDITY
    mono: float = 1000.0
    state: GuardState = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.guard.initial()

    @property
    def now(self) -> Instant:
        return Instant(self.mono, UTC + self.mono)

    def show(self, value: float | None, seconds: float, reason: Reason = Reason.OK) -> Verdict:
        for _ in range(max(round(seconds / 0.1), 1)):
            self.mono = round(self.mono + 0.1, 6)
            self.state = self.guard.step(self.state, (reading(value, reason, self.mono),), self.now)
        return self.state.verdict

    def fit(self) -> "Watched":
        """A guard that has known good water for long enough."""
        value = 2.0 if self.guard is not PH else 7.4
        assert self.show(value, 6.0) is Verdict.FIT
        return self

    @property
    def code(self) -> Code | None:
        return self.state.cause.code if self.state.cause is not None else None

    def not_clear(self) -> Code | None:
        cause = self.guard.not_clear(self.state, self.now)
        return cause.code if cause is not None else None


def test_nothing_is_known_after_a_start_until_it_has_been_good_for_a_while() -> None:
    watched = Watched()
    assert watched.state.verdict is Verdict.UNKNOWN
    assert watched.show(2.0, 2.9) is Verdict.UNKNOWN
    assert watched.show(2.0, 0.2) is Verdict.FIT


def test_above_stop_is_a_breach_only_after_the_stop_delay() -> None:
    watched = Watched().fit()
    assert watched.show(8.5, 3.0) is Verdict.FIT
    assert watched.show(8.5, 0.1) is Verdict.BREACH
    assert watched.code is Code.ABOVE_LIMIT


def test_one_reading_inside_the_limit_starts_the_stop_delay_anew() -> None:
    watched = Watched().fit()
    watched.show(8.5, 2.9)
    watched.show(7.9, 0.1)
    assert watched.show(8.5, 2.9) is Verdict.FIT


def test_the_limit_itself_is_still_fit() -> None:
    assert Watched().fit().show(8.0, 60.0) is Verdict.FIT


def test_above_instant_is_a_breach_at_once() -> None:
    watched = Watched().fit()
    assert watched.show(15.1, 0.1) is Verdict.BREACH
    assert watched.code is Code.ABOVE_INSTANT
    assert watched.state.cause is not None
    assert watched.state.cause.seen is not None
    assert watched.state.cause.seen.value == 15.1


def test_a_lower_limit_stops_as_an_upper_one_does() -> None:
    watched = Watched(PH).fit()
    assert watched.show(5.9, 3.0) is Verdict.FIT
    assert watched.show(5.9, 0.1) is Verdict.BREACH
    assert watched.code is Code.BELOW_LIMIT


def test_below_the_lower_instant_limit_is_a_breach_at_once() -> None:
    watched = Watched(PH).fit()
    assert watched.show(4.9, 0.1) is Verdict.BREACH
    assert watched.code is Code.BELOW_INSTANT


def test_over_range_counts_as_beyond_the_limit_at_once() -> None:
    watched = Watched().fit()
    assert watched.show(4000.0, 0.1, Reason.OVER_RANGE) is Verdict.BREACH
    assert watched.code is Code.OVER_RANGE


def test_under_range_counts_as_below_a_lower_limit_and_is_unknown_where_there_is_none() -> None:
    assert Watched(PH).fit().show(0.0, 0.1, Reason.UNDER_RANGE) is Verdict.BREACH
    watched = Watched().fit()
    assert watched.show(0.0, 2.9, Reason.UNDER_RANGE) is Verdict.FIT
    assert watched.show(0.0, 0.2, Reason.UNDER_RANGE) is Verdict.UNKNOWN


def test_a_jump_is_evidence_against_the_water_and_never_for_it() -> None:
    assert Watched().fit().show(15.1, 0.1, Reason.JUMPED) is Verdict.BREACH
    watched = Watched().fit()
    assert watched.show(8.5, 3.1, Reason.JUMPED) is Verdict.BREACH
    assert watched.show(2.0, 600.0, Reason.JUMPED) is Verdict.BREACH
    assert watched.state.clear_since is None
    inside = Watched().fit()
    assert inside.show(7.5, 3.1, Reason.JUMPED) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "reason",
    [
        Reason.NO_COMMUNICATION,
        Reason.NOT_A_NUMBER,
        Reason.DEVICE_FAULT,
        Reason.OUT_OF_RANGE,
        Reason.STALE,
        Reason.FROZEN,
        Reason.MANUAL,
        Reason.SERVER_UNCERTAIN,
        Reason.OUT_OF_SERVICE,
    ],
)
def test_what_is_not_a_present_measurement_is_unknown_after_the_stop_delay(reason: Reason) -> None:
    watched = Watched().fit()
    assert watched.show(2.0, 3.0, reason) is Verdict.FIT
    assert watched.show(2.0, 0.1, reason) is Verdict.UNKNOWN
    assert watched.code is Code.QUALITY_UNKNOWN


def test_without_a_stop_delay_an_unknown_reading_forbids_at_once() -> None:
    watched = Watched(replace(TURBIDITY, stop_delay=0.0)).fit()
    assert watched.show(None, 0.1, Reason.NO_COMMUNICATION) is Verdict.UNKNOWN


def test_not_a_number_under_a_good_status_is_unknown() -> None:
    watched = Watched().fit()
    assert watched.show(nan, 3.1) is Verdict.UNKNOWN


def test_exactly_0_is_no_measurement_where_no_lower_limit_judges_it() -> None:
    watched = Watched().fit()
    assert watched.show(0.0, 2.9) is Verdict.FIT
    assert watched.show(-0.0, 0.2) is Verdict.UNKNOWN
    assert watched.state.cause is not None
    assert watched.state.cause.values == ("exactly 0 is no measurement",)
    assert watched.show(0.01, 4.0) is Verdict.FIT


def test_exactly_0_clears_no_breach() -> None:
    watched = Watched().fit()
    watched.show(20.0, 0.1)
    watched.show(0.0, 60.0)
    assert watched.not_clear() is Code.QUALITY_UNKNOWN


def test_a_zero_is_a_measurement_beside_a_lower_limit_and_where_the_site_says_so() -> None:
    chlorine = replace(TURBIDITY, parameter="free_chlorine", low=0.2, high=None)
    assert Watched(chlorine).show(0.0, 4.0) is Verdict.BREACH
    assert Watched(replace(TURBIDITY, zero_counts=True)).fit().show(0.0, 60.0) is Verdict.FIT


def test_silence_while_beyond_the_limit_is_no_return_to_normal() -> None:
    watched = Watched().fit()
    watched.show(8.5, 2.0)
    watched.show(None, 1.0, Reason.NO_COMMUNICATION)
    assert watched.show(8.5, 0.1) is Verdict.BREACH


def test_after_having_been_unknown_one_good_reading_is_not_enough() -> None:
    watched = Watched(replace(TURBIDITY, stop_delay=30.0))
    watched.show(2.0, 6.0)
    watched.show(None, 31.0, Reason.NO_COMMUNICATION)
    assert watched.show(2.0, RETURN_DELAY_S) is Verdict.UNKNOWN
    assert watched.show(2.0, 0.1) is Verdict.FIT


def test_returning_beyond_the_limit_does_not_end_being_unknown() -> None:
    watched = Watched(replace(TURBIDITY, stop_delay=30.0))
    watched.show(2.0, 6.0)
    watched.show(None, 31.0, Reason.NO_COMMUNICATION)
    assert watched.show(9.0, 29.9) is Verdict.UNKNOWN
    assert watched.show(9.0, 0.2) is Verdict.BREACH


@pytest.mark.parametrize("mark", [Reason.MAINTENANCE, Reason.CALIBRATION])
def test_a_mark_holds_a_fit_verdict_up_to_its_cap(mark: Reason) -> None:
    watched = Watched().fit()
    assert watched.show(None, 600.0, mark) is Verdict.FIT
    assert watched.show(None, 0.2, mark) is Verdict.UNKNOWN
    assert watched.code is Code.MARK_TOO_LONG


def test_the_cap_runs_on_when_one_mark_follows_the_other() -> None:
    watched = Watched().fit()
    watched.show(None, 300.0, Reason.MAINTENANCE)
    assert watched.show(None, 300.2, Reason.CALIBRATION) is Verdict.UNKNOWN


def test_a_mark_beyond_its_cap_is_named_as_such_as_long_as_it_lasts() -> None:
    watched = Watched().fit()
    watched.show(None, 620.0, Reason.MAINTENANCE)
    assert watched.code is Code.MARK_TOO_LONG


@pytest.mark.parametrize("mark", [Reason.MAINTENANCE, Reason.CALIBRATION])
def test_a_mark_never_improves_a_verdict(mark: Reason) -> None:
    breached, unknown = Watched().fit(), Watched()
    breached.show(20.0, 0.1)
    unknown.show(None, 1.0, Reason.NO_COMMUNICATION)
    assert breached.show(None, 700.0, mark) is Verdict.BREACH
    assert unknown.show(None, 700.0, mark) is Verdict.UNKNOWN


def test_a_mark_set_while_beyond_the_limit_does_not_keep_the_water_flowing() -> None:
    watched = Watched().fit()
    watched.show(8.5, 1.0)
    assert watched.show(None, 2.5, Reason.MAINTENANCE) is Verdict.UNKNOWN


def test_a_breach_stays_when_the_water_is_good_again() -> None:
    watched = Watched().fit()
    watched.show(20.0, 0.1)
    assert watched.show(2.0, 3600.0) is Verdict.BREACH
    assert watched.code is Code.ABOVE_INSTANT


def test_a_breach_clears_only_after_clear_time_inside_the_limit_less_hysteresis() -> None:
    watched = Watched().fit()
    watched.show(20.0, 0.1)
    watched.show(7.5, 60.0)
    assert watched.not_clear() is Code.NOT_CLEAR_YET
    watched.show(7.1, 10.0)
    assert watched.not_clear() is Code.NOT_CLEAR_YET
    watched.show(7.1, 0.1)
    assert watched.not_clear() is None


def test_hysteresis_of_a_lower_limit_lies_above_it() -> None:
    watched = Watched(PH).fit()
    watched.show(4.0, 0.1)
    watched.show(6.5, 60.0)
    assert watched.not_clear() is Code.NOT_CLEAR_YET
    watched.show(6.7, 10.1)
    assert watched.not_clear() is None


def test_an_unknown_reading_starts_the_clear_time_anew() -> None:
    watched = Watched().fit()
    watched.show(20.0, 0.1)
    watched.show(2.0, 9.0)
    watched.show(None, 0.1, Reason.NO_COMMUNICATION)
    assert watched.not_clear() is Code.QUALITY_UNKNOWN
    watched.show(2.0, 9.9)
    assert watched.not_clear() is Code.NOT_CLEAR_YET
    watched.show(2.0, 0.3)
    assert watched.not_clear() is None


def test_an_over_range_reading_never_clears() -> None:
    watched = Watched(replace(PH, high=None))
    watched.show(7.4, 6.0)
    watched.show(4.0, 0.1)
    watched.show(14.0, 60.0, Reason.OVER_RANGE)
    assert watched.not_clear() is Code.NOT_CLEAR_YET


def test_a_reset_makes_a_clear_guard_fit_and_the_next_breach_trips_again() -> None:
    watched = Watched().fit()
    watched.show(20.0, 0.1)
    watched.show(2.0, 11.0)
    watched.state = reset(watched.state)
    assert watched.show(2.0, 0.1) is Verdict.FIT
    assert watched.show(20.0, 0.1) is Verdict.BREACH


def test_a_reset_leaves_a_guard_that_is_only_unknown_as_it_is() -> None:
    watched = Watched()
    watched.show(None, 1.0, Reason.NO_COMMUNICATION)
    assert reset(watched.state) is watched.state


readings = st.lists(
    st.tuples(
        st.sampled_from([2.0, 7.5, 8.5, 16.0]),
        st.sampled_from([0.1, 1.0, 4.0, 12.0]),
        st.sampled_from([Reason.OK, Reason.NO_COMMUNICATION, Reason.STALE, Reason.MAINTENANCE, Reason.OVER_RANGE]),
    ),
    max_size=12,
)


@given(readings)
def test_no_sequence_of_readings_ends_a_breach(shown: Iterable[tuple[float, float, Reason]]) -> None:
    watched = Watched().fit()
    watched.show(20.0, 0.1)
    for value, seconds, reason in shown:
        assert watched.show(value, seconds, reason) is Verdict.BREACH


@given(readings)
def test_water_is_never_fit_longer_than_the_stop_delay_after_its_last_good_reading(
    shown: Iterable[tuple[float, float, Reason]],
) -> None:
    watched = Watched().fit()
    last_good = watched.mono
    for value, seconds, reason in shown:
        for _ in range(round(seconds / 0.1)):
            verdict = watched.show(value, 0.1, reason)
            if reason is Reason.MAINTENANCE or (reason is Reason.OK and value <= 8.0):
                last_good = watched.mono
            if watched.mono - last_good > 2 * TURBIDITY.stop_delay + 0.05:
                assert verdict >= Verdict.UNKNOWN


@dataclass
class Analysed:
    """A batch guard with an analyzer whose results are put in by hand."""

    guard: BatchGuard = COD
    mono: float = 100_000.0
    utc_offset: float = UTC
    shown: Sample = field(default_factory=lambda: reading(None, Reason.NOT_YET_READ))
    state: GuardState = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.guard.initial()

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.utc_offset + self.mono)

    def step(self) -> Verdict:
        self.state = self.guard.step(self.state, (self.shown,), self.now)
        return self.state.verdict

    def result(self, value: float, age: float = 0.0, reason: Reason = Reason.OK) -> Verdict:
        self.shown = reading(value, reason, self.mono, self.now.utc - age)
        return self.step()

    def wait(self, seconds: float) -> Verdict:
        self.mono += seconds
        return self.step()

    @property
    def code(self) -> Code | None:
        return self.state.cause.code if self.state.cause is not None else None

    def not_clear(self) -> Code | None:
        cause = self.guard.not_clear(self.state, self.now)
        return cause.code if cause is not None else None


def test_without_a_result_the_water_is_unknown() -> None:
    analysed = Analysed()
    assert analysed.step() is Verdict.UNKNOWN
    assert analysed.code is Code.NO_RESULT


def test_one_result_above_the_limit_is_a_breach() -> None:
    analysed = Analysed()
    assert analysed.result(18.0) is Verdict.FIT
    analysed.mono += 2 * HOUR
    assert analysed.result(30.1) is Verdict.BREACH
    assert analysed.code is Code.RESULT_ABOVE


def test_one_result_below_a_lower_limit_is_a_breach() -> None:
    analysed = Analysed(replace(COD, high=None, low=2.0))
    assert analysed.result(1.9) is Verdict.BREACH
    assert analysed.code is Code.RESULT_BELOW


def test_an_over_range_result_is_a_breach_and_can_be_written_as_json() -> None:
    analysed = Analysed()
    assert analysed.result(2000.0, reason=Reason.OVER_RANGE) is Verdict.BREACH
    json.dumps(analysed.state.result_value, allow_nan=False)


def test_reading_the_same_result_again_is_no_news() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    for _ in range(4):
        analysed.wait(HOUR)
    assert analysed.state.verdict is Verdict.AGING
    assert analysed.state.good_results == 1


def test_a_result_rewritten_under_the_same_time_is_no_news() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    analysed.shown = analysed.shown._replace(value=99.0)
    assert analysed.step() is Verdict.FIT


def test_an_older_result_changes_nothing() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    before = analysed.state
    analysed.result(99.0, age=60.0)
    assert analysed.state == before


def test_a_result_from_a_backlog_is_ignored() -> None:
    analysed = Analysed()
    assert analysed.result(18.0, age=3 * 2 * HOUR + 1) is Verdict.UNKNOWN
    assert analysed.result(18.0, age=3 * 2 * HOUR - 1) is Verdict.HOLD


@pytest.mark.parametrize("reason", [Reason.MAINTENANCE, Reason.DEVICE_FAULT, Reason.MANUAL, Reason.STALE])
def test_a_result_that_is_no_measurement_is_not_taken(reason: Reason) -> None:
    analysed = Analysed()
    analysed.result(18.0)
    analysed.mono += 2 * HOUR
    analysed.result(17.0, reason=reason)
    assert analysed.state.result_value == 18.0


def test_a_result_of_exactly_0_is_not_taken_and_said() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    analysed.mono += 2 * HOUR
    analysed.result(0.0)
    assert analysed.state.result_value == 18.0
    assert analysed.state.refused is not None
    assert analysed.state.refused.code is Code.RESULT_ZERO
    before = analysed.state
    analysed.step()
    assert analysed.state is before
    assert analysed.wait(3.1 * HOUR) is Verdict.HOLD
    assert analysed.result(17.0) is Verdict.FIT
    counted = Analysed(replace(COD, zero_counts=True))
    counted.result(0.0)
    assert counted.state.result_value == 0.0


def test_a_result_without_a_time_of_its_own_is_not_taken() -> None:
    analysed = Analysed()
    analysed.shown = reading(18.0, at=analysed.mono)
    assert analysed.step() is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("staleness", "verdicts"),
    [
        (Staleness.FAIL_CLOSED, (Verdict.FIT, Verdict.AGING, Verdict.HOLD, Verdict.UNKNOWN)),
        (Staleness.FAIL_HOLD, (Verdict.FIT, Verdict.AGING, Verdict.AGING, Verdict.HOLD)),
        (Staleness.WARN_ONLY, (Verdict.FIT, Verdict.AGING, Verdict.AGING, Verdict.AGING)),
    ],
)
def test_a_result_ages_as_its_staleness_policy_says(staleness: Staleness, verdicts: tuple[Verdict, ...]) -> None:
    analysed = Analysed(replace(COD, staleness=staleness))
    analysed.result(18.0)
    interval = COD.interval
    seen = [(analysed.wait(seconds), analysed.code) for seconds in (1.5 * interval, 1.0, interval, 1.5 * interval)]
    assert tuple(verdict for verdict, _ in seen) == verdicts
    assert [code for _, code in seen] == [None, Code.RESULT_AGING, Code.RESULT_STALE, Code.RESULT_EXPIRED]


def test_a_new_good_result_ends_staleness_by_itself() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    assert analysed.wait(9 * HOUR) is Verdict.UNKNOWN
    assert analysed.result(18.0) is Verdict.FIT


def test_a_first_result_is_as_old_as_its_own_time_says() -> None:
    assert Analysed().result(18.0, age=1.6 * COD.interval) is Verdict.AGING


def test_a_breach_clears_after_so_many_good_new_results() -> None:
    analysed = Analysed()
    analysed.result(31.0)
    codes = []
    for value in (18.0, 28.0, 18.0, 18.0):
        analysed.mono += 2 * HOUR
        assert analysed.result(value) is Verdict.BREACH
        codes.append(analysed.not_clear())
    assert codes == [Code.RESULTS_NEEDED, Code.RESULTS_NEEDED, Code.RESULTS_NEEDED, None]
    assert reset(analysed.state).verdict is Verdict.FIT


def test_a_breach_does_not_clear_on_results_that_have_gone_stale() -> None:
    analysed = Analysed()
    for value in (31.0, 18.0, 18.0):
        analysed.mono += 2 * HOUR
        analysed.result(value)
    analysed.wait(2.6 * COD.interval)
    assert analysed.not_clear() is Code.RESULT_STALE


@pytest.mark.parametrize("jump", [-86_400.0, -3600.0, 3600.0, 86_400.0])
def test_a_jump_of_the_clock_ages_no_result_in_hand(jump: float) -> None:
    analysed = Analysed()
    analysed.result(18.0)
    analysed.utc_offset += jump
    assert analysed.wait(1.4 * COD.interval) is Verdict.FIT
    assert analysed.wait(0.2 * COD.interval) is Verdict.AGING


def test_a_result_after_the_clock_went_back_is_still_news() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    taken = analysed.now.utc
    analysed.utc_offset -= 86_400.0
    analysed.mono += 2 * HOUR
    analysed.shown = reading(31.0, at=analysed.mono, source=taken + 2 * HOUR)
    assert analysed.step() is Verdict.BREACH


def test_an_analyzer_that_once_dated_a_result_ahead_is_heard_again_when_its_clock_is_right() -> None:
    analysed = Analysed()
    analysed.result(18.0, age=-86_400.0)
    analysed.mono += 2 * HOUR
    assert analysed.result(31.0) is Verdict.BREACH


WARNED = replace(TURBIDITY, warn_high=6.0, warn_delay=30.0)


def warning_of(state: GuardState) -> Code | None:
    return state.warning.code if state.warning is not None else None


def test_beyond_the_warning_threshold_for_its_delay_is_an_alarm_and_no_stop() -> None:
    watched = Watched(WARNED).fit()
    watched.show(6.5, 29.9)
    assert warning_of(watched.state) is None
    assert watched.show(6.5, 0.3) is Verdict.FIT
    assert warning_of(watched.state) is Code.ABOVE_WARN
    assert watched.show(6.5, 3600.0) is Verdict.FIT


def test_a_warning_ends_inside_its_threshold_by_the_hysteresis() -> None:
    watched = Watched(WARNED).fit()
    watched.show(6.5, 31.0)
    watched.show(5.5, 10.0)
    assert warning_of(watched.state) is Code.ABOVE_WARN
    watched.show(5.3, 0.1)
    assert warning_of(watched.state) is None


def test_a_short_silence_does_not_end_a_warning() -> None:
    watched = Watched(WARNED).fit()
    watched.show(6.5, 31.0)
    watched.show(None, 1.0, Reason.NO_COMMUNICATION)
    assert warning_of(watched.state) is Code.ABOVE_WARN


def test_a_lower_warning_threshold_warns_too() -> None:
    watched = Watched(replace(PH, warn_low=6.5, warn_delay=0.0))
    watched.show(7.4, 6.0)
    watched.show(6.4, 0.1)
    assert warning_of(watched.state) is Code.BELOW_WARN


def test_an_early_warning_never_stops() -> None:
    early = EarlyWarning("AIT-1.turbidity", "NTU", 8.0, None, 600.0, 10.0, 8, 30.0)
    watched = Watched(replace(TURBIDITY, early=early)).fit()
    for n in range(20):
        assert watched.show(4.0 + 0.1 * n, 10.0) is Verdict.FIT
    assert watched.state.trend.warning is not None
    assert watched.state.trend.warning.code is Code.BREACH_AHEAD


def test_marks_that_come_and_go_use_up_the_day() -> None:
    watched = Watched(replace(TURBIDITY, mark_cap=MarkCap("AIT-1.turbidity", 600.0, 900.0))).fit()
    assert watched.show(None, 500.0, Reason.MAINTENANCE) is Verdict.FIT
    watched.show(2.0, 60.0)
    assert watched.show(None, 399.0, Reason.CALIBRATION) is Verdict.FIT
    assert watched.show(None, 2.0, Reason.CALIBRATION) is Verdict.UNKNOWN
    assert watched.code is Code.MARK_DAY_USED


def test_a_trip_lasts_at_least_min_hold() -> None:
    watched = Watched(replace(TURBIDITY, min_hold=60.0)).fit()
    watched.show(20.0, 0.1)
    watched.show(2.0, 59.0)
    assert watched.not_clear() is Code.HELD
    watched.show(2.0, 1.2)
    assert watched.not_clear() is None


def test_a_guard_knows_when_the_water_was_last_good_and_first_bad() -> None:
    watched = Watched().fit()
    last_good = watched.now.utc
    watched.show(None, 1.0, Reason.NO_COMMUNICATION)
    first_bad = watched.now.utc + 0.1
    assert watched.show(8.5, 3.2) is Verdict.BREACH
    assert watched.state.good_utc == pytest.approx(last_good, abs=0.2)
    assert watched.state.bad_utc == pytest.approx(first_bad, abs=0.2)


def test_an_unchanged_reading_costs_no_new_state() -> None:
    watched = Watched().fit()
    before = watched.state
    watched.show(2.1, 5.0)
    assert watched.state is before


def test_in_cold_water_the_other_limit_holds_and_an_unknown_temperature_selects_the_stricter() -> None:
    ammonia = replace(TURBIDITY, high=5.0, instant_high=None, stop_delay=0.0, cold=ColdLimit(1, 12.0, 8.0))
    verdicts = []
    for temperature in (reading(11.9), reading(12.1), reading(None, Reason.STALE)):
        state = replace(ammonia.initial(), verdict=Verdict.FIT)
        verdicts.append(ammonia.step(state, (reading(6.0), temperature), Instant(0.0, UTC)).verdict)
    assert verdicts == [Verdict.FIT, Verdict.BREACH, Verdict.BREACH]


@pytest.mark.parametrize("staleness", list(Staleness))
def test_no_breach_clears_on_stale_results_whatever_the_use_allows(staleness: Staleness) -> None:
    analysed = Analysed(replace(COD, staleness=staleness))
    for value in (31.0, 18.0, 18.0):
        analysed.mono += 2 * HOUR
        analysed.result(value)
    assert analysed.not_clear() is None
    analysed.wait(2.6 * COD.interval)
    assert analysed.not_clear() is Code.RESULT_STALE


def test_a_good_result_dated_ahead_is_not_believed_and_a_bad_one_is() -> None:
    analysed = Analysed()
    assert analysed.result(18.0, age=-HOUR) is Verdict.UNKNOWN
    assert analysed.state.refused is not None
    assert analysed.state.refused.code is Code.RESULT_AHEAD
    assert analysed.result(31.0, age=-2 * HOUR) is Verdict.BREACH


def test_a_refused_result_is_read_over_and_over_without_a_new_state() -> None:
    analysed = Analysed()
    analysed.result(31.0, age=-HOUR)
    before = analysed.state
    analysed.step()
    assert analysed.state is before


def test_the_age_of_a_result_on_arrival_is_kept() -> None:
    analysed = Analysed()
    analysed.result(18.0)
    analysed.mono += 2 * HOUR
    assert analysed.result(18.0, age=1.5 * HOUR) is Verdict.FIT
    assert analysed.state.result_lag_s == 1.5 * HOUR


@pytest.mark.parametrize("staleness", list(Staleness))
def test_a_mark_on_an_analyzer_has_its_cap_whatever_the_use_allows(staleness: Staleness) -> None:
    analysed = Analysed(replace(COD, staleness=staleness, mark_cap=MarkCap("AIT-2.cod", 2 * HOUR, 6 * HOUR)))
    analysed.result(18.0)
    analysed.result(18.0, reason=Reason.MAINTENANCE)
    assert analysed.wait(1.9 * HOUR) is Verdict.FIT
    assert analysed.wait(0.2 * HOUR) is Verdict.UNKNOWN
    assert analysed.code is Code.MARK_TOO_LONG


def test_no_breach_clears_while_the_analyzer_is_marked() -> None:
    analysed = Analysed()
    for value in (31.0, 18.0, 18.0):
        analysed.mono += 2 * HOUR
        analysed.result(value)
    analysed.result(18.0, reason=Reason.MAINTENANCE)
    assert analysed.not_clear() is Code.QUALITY_UNKNOWN


def test_the_end_of_a_mark_beyond_its_cap_tells_nothing_of_the_water() -> None:
    analysed = Analysed(replace(COD, interval=24 * HOUR))
    analysed.result(18.0)
    analysed.result(18.0, reason=Reason.MAINTENANCE)
    analysed.wait(4 * HOUR)
    assert analysed.result(18.0, reason=Reason.NO_COMMUNICATION) is Verdict.UNKNOWN
    assert analysed.wait(HOUR) is Verdict.UNKNOWN
    assert analysed.result(18.0) is Verdict.FIT


def test_a_result_warns_above_its_warning_threshold() -> None:
    analysed = Analysed(replace(COD, warn_high=25.0))
    assert analysed.result(26.0) is Verdict.FIT
    assert warning_of(analysed.state) is Code.RESULT_ABOVE_WARN
    analysed.mono += 2 * HOUR
    analysed.result(24.0)
    assert warning_of(analysed.state) is None


@dataclass
class Worked(Analysed):
    """An analyzer whose results have no time; its work state tells (0 idle, 1 sample, 2 standard check, 10 clean)."""

    guard: BatchGuard = field(default_factory=lambda: replace(COD, timed=False, work_state=WorkState(1, 1, 0, (10,))))
    works: float = 0.0

    def step(self) -> Verdict:
        state = reading(self.works, at=self.mono)
        self.state = self.guard.step(self.state, (self.shown, state), self.now)
        return self.state.verdict

    def run(self, value: float, *states: float) -> Verdict:
        for works in states:
            self.works = works
            self.wait(600.0)
        self.shown = reading(value, at=self.mono)
        self.works = 0.0
        return self.wait(1.0)


def test_without_a_time_a_result_is_what_stands_there_after_a_sample_was_run() -> None:
    worked = Worked()
    worked.shown = reading(18.0, at=worked.mono)
    assert worked.wait(60.0) is Verdict.UNKNOWN
    assert worked.run(18.0, 1) is Verdict.UNKNOWN
    worked.shown = reading(18.0, at=worked.mono)
    assert worked.step() is Verdict.FIT


def test_a_changed_value_alone_is_no_result() -> None:
    worked = Worked()
    worked.run(18.0, 1)
    worked.shown = reading(18.0, at=worked.mono)
    worked.step()
    before = worked.state.result_at
    worked.shown = reading(99.0, at=worked.mono)
    assert worked.wait(60.0) is Verdict.FIT
    assert worked.state.result_at == before


@pytest.mark.parametrize("check", [2, 3, 4, 9])
def test_a_check_result_never_enters(check: float) -> None:
    worked = Worked()
    worked.run(18.0, 1, check)
    worked.shown = reading(99.0, at=worked.mono)
    assert worked.step() is Verdict.UNKNOWN


def test_cleaning_between_sample_and_idle_is_no_check() -> None:
    worked = Worked()
    worked.run(99.0, 1, 10)
    worked.shown = reading(99.0, at=worked.mono)
    assert worked.step() is Verdict.BREACH


results = st.lists(
    st.tuples(
        st.sampled_from([18.0, 26.0, 28.0, 31.0]),
        st.sampled_from([-10 * HOUR, -HOUR, 0.0, HOUR, 3 * HOUR, 10 * HOUR]),
        st.sampled_from([0.0, HOUR, 3 * HOUR]),
        st.sampled_from([Reason.OK, Reason.OVER_RANGE, Reason.MAINTENANCE, Reason.MANUAL, Reason.NO_COMMUNICATION]),
    ),
    max_size=10,
)


@given(results)
def test_only_a_newer_good_result_makes_the_verdict_better(shown: list[tuple[float, float, float, Reason]]) -> None:
    analysed = Analysed()
    analysed.result(18.0)
    newest = analysed.now.utc
    for value, age, pause, reason in shown:
        analysed.wait(pause)
        before, dated = analysed.state, analysed.now.utc - age
        after = analysed.result(value, age, reason)
        if after < before.verdict or analysed.state.good_results > before.good_results:
            assert reason is Reason.OK
            assert newest < dated <= analysed.now.utc + 300.0
        if dated <= analysed.now.utc + 300.0 and analysed.state.result_time == dated:
            newest = dated
        again = analysed.state
        assert analysed.step() is again.verdict
