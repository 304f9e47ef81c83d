"""Take-off points without analyzers: a permit of the plant, its age, and the water still in the pipe."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sample import NOT_YET_READ, Quality, Reason, Sample, Value
from config.standard import Staleness
from control.code import Code
from control.command import Command, Op
from control.guard import GuardState, PermitGuard, Verdict, from_saved, reset, to_saved
from control.instant import Instant
from control.slug import Pipe

UTC = 1_790_000_000.0
GUARD = PermitGuard(
    name="FILL-1.permit",
    parameter="permit",
    signal=0,
    signal_name="PLC-1.fit",
    fit_value=1.0,
    by_platform=True,
    by_local=False,
    interval=60.0,
    ttl=240.0,
    staleness=Staleness.FAIL_CLOSED,
    permits_to_clear=1,
    pipe=Pipe(),
)
TRAVEL = replace(GUARD, pipe=Pipe(travel=1200.0))
VOLUME = replace(GUARD, pipe=Pipe(volume_m3=12.0, flow=1))

STILL = Sample(0.0, Quality.GOOD, Reason.OK, 0.0)


@dataclass
class Taker:
    """A permit guard whose permits are put in by hand; image: the permit, and the flow in the pipe."""

    guard: PermitGuard = GUARD
    mono: float = 10_000.0
    utc_offset: float = UTC
    shown: Sample = NOT_YET_READ
    flow: Sample = STILL
    state: GuardState = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.guard.initial()

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.utc_offset + self.mono)

    def step(self) -> Verdict:
        self.state = self.guard.step(self.state, (self.shown, self.flow), self.now)
        return self.state.verdict

    def permit(self, fit: bool | int, age: float = 0.0, reason: Reason = Reason.OK) -> Verdict:
        quality = Quality.GOOD if reason is Reason.OK else Quality.BAD
        self.shown = Sample(fit, quality, reason, self.mono, self.now.utc - age)
        return self.step()

    def wait(self, seconds: float) -> Verdict:
        self.mono += seconds
        return self.step()

    def renewed(self, seconds: float, fit: bool = True) -> Verdict:
        """Time with a new permit each 30 s."""
        for _ in range(round(seconds / 30)):
            self.mono += 30
            self.permit(fit)
        return self.state.verdict

    def command(self, fit: Value, age: float = 0.0, ttl: float = 0.0, source: str = "platform:city") -> Code | None:
        given = Command(
            "c",
            Op.PERMIT,
            self.guard.name,
            source,
            value=fit,
            duration_s=ttl,
            issued_utc=self.now.utc - age,
        )
        refusal = self.guard.refusal(self.state, given, self.now)
        if refusal is None:
            self.state = self.guard.accept(self.state, given, self.now)
        return refusal.code if refusal is not None else None

    @property
    def code(self) -> Code | None:
        return self.state.cause.code if self.state.cause is not None else None

    def not_clear(self) -> Code | None:
        cause = self.guard.not_clear(self.state, self.now)
        return cause.code if cause is not None else None


def test_without_a_permit_the_water_is_unknown() -> None:
    taker = Taker()
    assert taker.step() is Verdict.UNKNOWN
    assert taker.code is Code.NO_PERMIT


@pytest.mark.parametrize(("value", "verdict"), [(True, Verdict.FIT), (False, Verdict.BREACH), (1, Verdict.FIT)])
def test_a_permit_says_fit_or_not(value: bool | int, verdict: Verdict) -> None:
    assert Taker().permit(value) is verdict


@pytest.mark.parametrize("value", [0, 2, -1])
def test_any_other_number_is_unfit(value: int) -> None:
    assert Taker().permit(value) is Verdict.BREACH


def test_a_permit_ages_by_the_table_and_expires_after_its_time_to_live() -> None:
    taker = Taker()
    taker.permit(True)
    assert [taker.wait(s) for s in (90.0, 1.0, 60.0, 90.0)] == [
        Verdict.FIT,
        Verdict.AGING,
        Verdict.HOLD,
        Verdict.UNKNOWN,
    ]
    assert taker.code is Code.PERMIT_EXPIRED


def test_the_staleness_of_the_use_counts() -> None:
    taker = Taker(replace(GUARD, staleness=Staleness.FAIL_HOLD))
    taker.permit(True)
    assert taker.wait(300.0) is Verdict.HOLD


def test_the_same_permit_again_is_no_news() -> None:
    taker = Taker()
    taker.permit(True)
    for _ in range(10):
        taker.wait(30.0)
    assert taker.state.verdict is Verdict.UNKNOWN


def test_a_permit_is_as_old_as_its_time_of_issue_says() -> None:
    assert Taker().permit(True, age=100.0) is Verdict.AGING


def test_an_earlier_permit_changes_nothing() -> None:
    taker = Taker()
    taker.permit(True)
    before = taker.state
    taker.permit(False, age=30.0)
    assert taker.state == before


def test_a_fit_permit_dated_ahead_is_not_believed_and_an_unfit_one_is() -> None:
    taker = Taker()
    assert taker.permit(True, age=-61.0) is Verdict.UNKNOWN
    assert taker.state.refused is not None
    assert taker.state.refused.code is Code.PERMIT_AHEAD
    assert taker.permit(False, age=-62.0) is Verdict.BREACH


@pytest.mark.parametrize("reason", [Reason.NO_COMMUNICATION, Reason.MANUAL, Reason.STALE, Reason.MAINTENANCE])
def test_a_reading_that_is_not_good_is_no_permit(reason: Reason) -> None:
    assert Taker().permit(True, reason=reason) is Verdict.UNKNOWN


def test_an_unfit_permit_stays_a_breach_until_it_is_reset_on_a_fit_one() -> None:
    taker = Taker()
    taker.permit(False)
    assert taker.not_clear() is Code.PERMITS_NEEDED
    assert taker.renewed(60.0) is Verdict.BREACH
    assert taker.not_clear() is None
    taker.state = reset(taker.state)
    assert taker.step() is Verdict.FIT


def test_a_breach_does_not_clear_on_a_permit_that_went_stale() -> None:
    taker = Taker(replace(GUARD, staleness=Staleness.WARN_ONLY))
    taker.permit(False)
    taker.renewed(60.0)
    taker.wait(200.0)
    assert taker.not_clear() is Code.PERMIT_STALE


def test_after_unfit_water_the_pipe_is_flushed_for_its_travel_time() -> None:
    taker = Taker(TRAVEL)
    taker.renewed(1260.0)
    assert taker.state.verdict is Verdict.FIT
    taker.renewed(30.0, fit=False)
    taker.renewed(1200.0)
    assert taker.not_clear() is Code.FLUSHING
    taker.renewed(60.0)
    assert taker.not_clear() is None


def test_what_stands_in_the_pipe_at_the_first_start_is_not_known() -> None:
    taker = Taker(TRAVEL)
    assert taker.permit(True) is Verdict.UNKNOWN
    assert taker.code is Code.FLUSHING


def test_after_an_expired_permit_the_pipe_is_flushed_too() -> None:
    taker = Taker(TRAVEL)
    taker.renewed(1260.0)
    taker.wait(300.0)
    assert taker.permit(True) is Verdict.UNKNOWN
    assert taker.code is Code.FLUSHING
    assert taker.renewed(1260.0) is Verdict.FIT


def test_a_late_permit_that_has_not_expired_leaves_nothing_to_flush() -> None:
    taker = Taker(TRAVEL)
    taker.renewed(1260.0)
    taker.wait(200.0)
    assert taker.permit(True) is Verdict.FIT


def test_the_pipe_is_flushed_by_the_volume_that_passes() -> None:
    taker = Taker(VOLUME)
    taker.flow = Sample(60.0, Quality.GOOD, Reason.OK, 0.0)
    for _ in range(359):
        taker.mono += 2.0
        taker.permit(True)
    assert taker.state.verdict is Verdict.UNKNOWN
    taker.mono += 5.0
    assert taker.permit(True) is Verdict.FIT


@pytest.mark.parametrize("flow", [STILL, NOT_YET_READ])
def test_no_flow_or_an_unknown_flow_flushes_nothing(flow: Sample) -> None:
    taker = Taker(VOLUME)
    taker.flow = flow
    assert taker.renewed(36_000.0) is Verdict.UNKNOWN


def test_flushing_begins_anew_when_the_water_is_unfit_again() -> None:
    taker = Taker(TRAVEL)
    taker.renewed(1100.0)
    taker.renewed(30.0, fit=False)
    taker.state = reset(taker.state)
    assert taker.renewed(1200.0) is Verdict.UNKNOWN
    assert taker.renewed(60.0) is Verdict.FIT


def test_the_platform_may_say_fit() -> None:
    taker = Taker(replace(GUARD, signal=None))
    assert taker.command(True, source="local:li") is Code.PERMIT_NOT_FROM
    assert taker.command(True) is None
    assert taker.state.verdict is Verdict.FIT


def test_anybody_may_say_unfit() -> None:
    taker = Taker(replace(GUARD, signal=None, by_platform=False))
    taker.command(True)
    taker.mono += 1.0
    assert taker.command(False, source="local:li") is None
    assert taker.state.verdict is Verdict.BREACH


def test_a_command_must_be_newer_and_not_ahead_and_say_something() -> None:
    taker = Taker(replace(GUARD, signal=None))
    assert taker.command(True) is None
    assert taker.command(True) is Code.PERMIT_NOT_NEWER
    assert taker.command(True, age=-100.0) is Code.PERMIT_AHEAD
    assert taker.command("yes") is Code.PERMIT_UNREADABLE


def test_a_command_may_shorten_the_time_to_live_and_not_lengthen_it() -> None:
    taker = Taker(replace(GUARD, signal=None))
    taker.command(True, ttl=30.0)
    assert taker.wait(31.0) is Verdict.UNKNOWN
    taker.command(True, ttl=86_400.0)
    assert taker.wait(241.0) is Verdict.UNKNOWN


def test_a_permit_given_by_hand_ends_no_trip() -> None:
    taker = Taker(replace(GUARD, signal=None, by_local=True))
    taker.command(False)
    taker.mono += 1.0
    assert taker.command(True, source="local:li") is None
    assert taker.not_clear() is Code.PERMITS_NEEDED
    taker.mono += 1.0
    taker.command(True)
    assert taker.not_clear() is None


def test_a_trip_lasts_as_long_as_the_site_says() -> None:
    taker = Taker(replace(GUARD, min_hold=600.0))
    taker.permit(False)
    taker.renewed(570.0)
    assert taker.not_clear() is Code.HELD
    taker.renewed(30.0)
    assert taker.not_clear() is None


def test_a_restart_keeps_the_breach_the_permit_and_the_slug() -> None:
    taker = Taker(TRAVEL)
    taker.renewed(1260.0)
    kept = from_saved(TRAVEL, to_saved(taker.state, taker.now), Instant(5.0, taker.now.utc + 20.0))
    assert TRAVEL.step(kept, (taker.shown, taker.flow), Instant(5.0, taker.now.utc + 20.0)).verdict is Verdict.FIT
    taker.renewed(30.0, fit=False)
    again = from_saved(TRAVEL, to_saved(taker.state, taker.now), taker.now)
    assert again.breached
    assert again.slug.standing


permits = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([-7200.0, -100.0, 0.0, 20.0, 100.0, 500.0]),
        st.sampled_from([0.0, 10.0, 100.0]),
    ),
    max_size=12,
)


@given(permits)
def test_only_a_newer_fit_permit_makes_the_verdict_better(shown: list[tuple[bool, float, float]]) -> None:
    taker = Taker()
    taker.permit(True)
    newest, refused = taker.now.utc, None
    for fit, age, pause in shown:
        taker.wait(pause)
        before, issued = taker.state.verdict, taker.now.utc - age
        after = taker.permit(fit, age)
        if after < before:
            assert fit
            assert newest < issued <= taker.now.utc + 60.0
        if issued > taker.now.utc + 60.0:
            refused = issued
        elif fit and issued != refused:
            # What was dated ahead stays refused when its time has come.
            newest = max(newest, issued)


@given(st.sampled_from([-86_400.0, -3600.0, 3600.0, 86_400.0]), st.floats(0, 300))
def test_a_step_of_the_clock_ages_no_permit_in_hand(step: float, pause: float) -> None:
    stepped, steady = Taker(), Taker()
    for taker in (stepped, steady):
        taker.permit(True)
    stepped.utc_offset += step
    assert stepped.wait(pause) is steady.wait(pause)
