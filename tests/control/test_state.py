"""What survives a restart, and that a restart never makes anything less safe."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import StoreError
from config.sample import NOT_YET_READ, Quality, Reason, Sample
from config.standard import Staleness
from control.account import Account
from control.cause import Cause, Seen, from_json, root, to_json
from control.code import Code
from control.command import Op
from control.compiler import compile_site
from control.continuous import ContinuousState
from control.fill import BatchState
from control.fill_phase import Phase as BatchPhase
from control.fill_quality import FillQuality, QualityReading
from control.guard import BatchGuard, FastGuard, GuardState, Verdict
from control.instant import Instant
from control.meter import MeterState
from control.order import Order
from control.program import Program
from control.quota import QuotaState, SpanState
from control.saved import restored, state_lost, to_saved
from control.state import ScanState, initial_state
from control.trip import TripState, latch
from tests.control.bench import START_UTC, FillStation, load
from tests.control.test_continuous import PlantOutlet

FILL, OUTLET = compile_site(load("fill-station")), compile_site(load("plant-outlet"))
NOW = Instant(5000.0, START_UTC)


def over_a_restart(program: Program, state: ScanState, before: Instant = NOW, after: Instant = NOW) -> ScanState:
    saved: dict[str, Any] = json.loads(json.dumps(to_saved(program, state, before), allow_nan=False))
    return restored(program, saved, after)


numbers = st.floats(-1e9, 1e9)
volumes = st.floats(0, 1e6)
texts = st.text(max_size=12)
seens = st.builds(
    Seen,
    signal=texts,
    value=st.one_of(numbers, st.booleans(), texts, st.none()),
    unit=texts,
    reason=texts,
    utc=numbers,
    source_time=st.none() | numbers,
    raw=texts,
)
causes = st.recursive(
    st.builds(Cause, st.just(Code.VALVE_CONTRADICTION), texts, st.just(()), st.none(), st.none() | seens),
    lambda inner: st.builds(Cause, st.just(Code.TRIPPED), texts, st.tuples(texts), inner, st.none() | seens),
    max_leaves=3,
)
guards = st.builds(
    GuardState,
    breached=st.just(True),
    cause=causes,
    result_time=numbers,
    result_value=st.none() | numbers,
    result_at=st.floats(-1e6, 5000.0),
)
orders = st.builds(Order, texts, volumes, texts, texts, numbers, texts)
readings = st.builds(QualityReading, st.none() | numbers, texts, st.integers(0, 4), texts, st.none() | numbers)
fill_qualities = st.builds(
    FillQuality, readings, readings, st.none() | numbers, st.none() | numbers, st.integers(), texts
)
meters = st.builds(
    MeterState,
    total_m3=volumes,
    counted_m3=volumes,
    unattributed_m3=volumes,
    idle_m3=volumes,
    air_m3=st.none() | volumes,
)
quotas = st.builds(
    QuotaState,
    day=st.builds(
        SpanState,
        sums=st.lists(st.tuples(st.integers(1, 900_000), volumes), max_size=3).map(tuple),
        limit_m3=st.none() | volumes,
    ),
)
fills = st.builds(
    BatchState,
    phase=st.sampled_from(BatchPhase),
    order=orders,
    stop=st.none() | causes,
    meter=meters,
    quota=quotas,
    total_start_m3=st.none() | volumes,
    delivered_m3=volumes,
    overruns_m3=st.lists(volumes, max_size=3).map(tuple),
    seen_orders=st.lists(texts, max_size=5).map(tuple),
    max_flow_m3h=volumes,
    quality=st.lists(fill_qualities, max_size=3).map(tuple),
    overrides=st.lists(texts, max_size=2).map(tuple),
)


@given(causes)
def test_a_cause_is_the_same_after_json(cause: Cause) -> None:
    assert from_json(json.loads(json.dumps(to_json(cause)))) == cause


@given(st.lists(guards, min_size=4, max_size=4), st.none() | causes, fills)
def test_trips_totals_orders_and_results_are_the_same_after_a_restart(
    guard_states: list[GuardState], trip: Cause | None, fill: BatchState
) -> None:
    trips = (latch(TripState(), "FILL-1", trip, NOW),)
    state = replace(initial_state(FILL), guards=tuple(guard_states), trips=trips, dispensers=(fill,))
    after = over_a_restart(FILL, state)
    assert after.trips == trips
    for guard, old, new in zip(FILL.guards, guard_states, after.guards, strict=True):
        assert (new.breached, new.cause) == (True, old.cause)
        if isinstance(guard, BatchGuard):
            assert (new.result_time, new.result_value) == (old.result_time, old.result_value)
            by_date = None if old.result_time is None else NOW.mono - (NOW.utc - old.result_time)
            oldest = min([at for at in (old.result_at, by_date) if at is not None], default=None)
            assert new.result_at == (None if old.result_at is None else pytest.approx(oldest, abs=1e-3))
    [ended] = after.dispensers
    assert isinstance(ended, BatchState)
    for name in ("meter", "quota", "overruns_m3", "seen_orders"):
        assert getattr(ended, name) == getattr(fill, name)
    if fill.phase is BatchPhase.RECEIPT:
        assert ended.order is None
    else:
        for name in ("order", "total_start_m3", "delivered_m3", "quality", "overrides"):
            assert getattr(ended, name) == getattr(fill, name)
        assert ended.phase is BatchPhase.STOPPING
        assert ended.stop == (fill.stop or Cause(Code.RESTARTED, "FILL-1"))


@given(meters, quotas, st.tuples(volumes, volumes), st.none() | volumes)
def test_the_books_of_a_pipe_are_the_same_after_a_restart(
    meter: MeterState, quota: QuotaState, figures: tuple[float, float], setpoint: float | None
) -> None:
    served, account = figures
    pipe = ContinuousState(
        setpoint=setpoint, meter=meter, quota=quota, served_m3=served, account=Account(account, 0.0, None, START_UTC)
    )
    state = replace(initial_state(OUTLET), dispensers=(pipe, ContinuousState()))
    assert over_a_restart(OUTLET, state).dispensers == (pipe, ContinuousState())


def test_a_restart_forgets_that_water_was_fit() -> None:
    station = FillStation().ready()
    assert all(guard.verdict is Verdict.FIT for guard in station.state.guards)
    after = over_a_restart(station.program, station.state, station.now, station.now)
    assert all(guard.verdict is Verdict.UNKNOWN for guard in after.guards)
    assert all(demand.value in (False, 0.0) for demand in after.outputs)


@pytest.mark.parametrize("restarts", [1, 5])
def test_restarts_never_clear_a_trip(restarts: int) -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 16.0
    station.scan()
    first_out = station.state.trips
    station.values["AIT-101.turbidity"] = 2.0
    for _ in range(restarts):
        station.state = over_a_restart(station.program, station.state, station.now, station.now)
        station.run(30.0)
        assert station.state.trips == first_out
        assert station.state.guards[0].verdict is Verdict.BREACH
        assert not station.order().accepted


def test_a_result_ages_on_while_the_controller_is_off() -> None:
    station = FillStation().ready()
    saved = to_saved(station.program, station.state, station.now)
    interval = 2 * 3600.0
    after = Instant(20.0, station.now.utc + 1.6 * interval)
    state = restored(station.program, saved, after)
    cod = station.program.guards[2]
    assert isinstance(cod, BatchGuard)
    shown = tuple(NOT_YET_READ for _ in station.program.signal_names)
    assert cod.step(state.guards[2], shown, after).verdict is Verdict.AGING


def test_a_result_from_while_the_controller_was_off_is_as_old_as_its_own_time_says() -> None:
    cod = FILL.guards[2]
    assert isinstance(cod, BatchGuard)
    assert cod.staleness is Staleness.FAIL_CLOSED
    known = replace(GuardState(), result_time=START_UTC, result_at=5000.0, result_value=18.0)
    guards = tuple(
        known if guard is cod else state for guard, state in zip(FILL.guards, initial_state(FILL).guards, strict=True)
    )
    after = Instant(20.0, START_UTC + 3.6 * cod.interval)
    state = over_a_restart(FILL, replace(initial_state(FILL), guards=guards), NOW, after)
    result = Sample(17.0, Quality.GOOD, Reason.OK, 20.0, START_UTC + cod.interval)
    image = tuple(result if i == cod.signal else NOT_YET_READ for i in range(len(FILL.signal_names)))
    assert cod.step(state.guards[2], image, after).verdict is Verdict.HOLD


def test_a_clock_behind_the_saved_time_makes_a_result_no_younger() -> None:
    station = FillStation().ready()
    saved = to_saved(station.program, station.state, station.now)
    state = restored(station.program, saved, Instant(20.0, station.now.utc - 3600.0))
    assert state.guards[2].result_at is None
    assert state.guards[2].result_time is not None


@pytest.mark.parametrize(("off", "known"), [(0.0, True), (-30.0, True), (-1200.0, False)])
def test_a_clock_that_was_put_back_while_the_controller_was_off_makes_a_result_no_younger(
    off: float, known: bool
) -> None:
    station = FillStation().ready()
    cod = station.state.guards[2]
    assert cod.result_at is not None
    later = Instant(station.now.mono + 4000.0, station.now.utc + 4000.0)
    saved = to_saved(station.program, station.state, later)
    again = restored(station.program, saved, Instant(20.0, later.utc + off)).guards[2]
    assert (again.result_at is not None) is known
    if again.result_at is not None:
        assert 20.0 - again.result_at >= later.mono - cod.result_at - 1e-3


def test_a_clock_that_was_ahead_when_the_state_was_saved_makes_a_result_no_younger() -> None:
    station = FillStation().ready()
    cod = station.state.guards[2]
    assert cod.result_at is not None
    assert cod.result_time is not None
    true = station.now.utc + 4000.0
    saved = to_saved(station.program, station.state, Instant(station.now.mono + 4000.0, true + 1800.0))
    again = restored(station.program, saved, Instant(20.0, true + 2000.0)).guards[2]
    assert again.result_at is not None
    assert 20.0 - again.result_at >= 4000.0 + 200.0


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 1},
        {"version": None},
        {"guards": None},
        {"trips": {"FILL-1": {}}},
        {"trips": {"FILL-1": {"cause": {"code": "no-such-code", "subject": "", "values": []}, "since_utc": 0.0}}},
        {"dispensers": {"FILL-1": {"mode": "batch"}}},
        {"dispensers": {"FILL-1": 3}},
        {"guards": []},
    ],
)
def test_a_saved_state_that_cannot_be_read_is_refused(damage: dict[str, Any]) -> None:
    saved = {**to_saved(FILL, initial_state(FILL), NOW), **damage}
    with pytest.raises(StoreError):
        restored(FILL, saved, NOW)


@pytest.mark.parametrize("program", [FILL, OUTLET])
def test_a_lost_state_trips_every_dispenser(program: Program) -> None:
    state = state_lost(program, "file is not JSON", NOW)
    assert len(state.trips) == len(program.dispensers)
    for trip in state.trips:
        assert trip.cause is not None
        assert root(trip.cause).code is Code.STATE_LOST
    assert all(demand.value in (False, 0.0) for demand in state.outputs)


def test_a_lost_state_is_reset_like_any_trip_once_the_water_is_known() -> None:
    station = FillStation()
    station.state = state_lost(station.program, "file is not JSON", station.now)
    early = station.ask(Op.RESET, "FILL-1")
    assert early.refusal is not None
    assert early.refusal.code is Code.FAULT_STANDS
    station.run(6.0)
    assert station.ask(Op.RESET, "FILL-1").accepted
    assert station.order().accepted


def test_names_that_a_changed_site_no_longer_knows_are_dropped_and_new_ones_begin_anew() -> None:
    saved = to_saved(FILL, initial_state(FILL), NOW)
    saved["guards"] = {"FILL-9.tds": saved["guards"]["FILL-1.turbidity"]}
    saved["dispensers"] = {"FILL-9": saved["dispensers"]["FILL-1"]}
    assert restored(FILL, saved, NOW) == initial_state(FILL)


def test_a_dispenser_whose_mode_was_changed_begins_anew() -> None:
    saved = to_saved(OUTLET, initial_state(OUTLET), NOW)
    saved["dispensers"]["RIVER"] = to_saved(FILL, initial_state(FILL), NOW)["dispensers"]["FILL-1"]
    assert restored(OUTLET, saved, NOW).dispensers == initial_state(OUTLET).dispensers


def test_a_breach_seen_by_the_guard_alone_survives_too() -> None:
    outlet = PlantOutlet().holding()
    outlet.values["AIT-201.turbidity"] = 25.0
    outlet.scan()
    after = over_a_restart(outlet.program, outlet.state, outlet.now, outlet.now)
    breached = [guard.name for guard, state in zip(outlet.program.guards, after.guards, strict=True) if state.breached]
    assert breached == ["INDUSTRY.turbidity", "RIVER.turbidity"]
    assert isinstance(outlet.program.guards[0], FastGuard)
    assert [trip.latched for trip in after.trips] == [True, True]


def test_a_guard_that_had_breached_is_in_breach_after_a_restart_though_nothing_is_read_yet() -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 9.0
    station.run(4.0)
    station.silent.add("AIT-101.turbidity")
    station.state = over_a_restart(station.program, station.state, station.now, station.now)
    station.run(1.0)
    guard = station.state.guards[station.program.guard_index["FILL-1.turbidity"]]
    assert guard.verdict is Verdict.BREACH
    assert guard.cause is not None
    assert guard.cause.code is Code.ABOVE_LIMIT
