"""The physics, stepped by hand: nothing is lost, and everything takes the time it should."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import load_site
from hil_sim.analyzer import ANALYSIS_SHARE, BatchAnalyzer, Probe
from hil_sim.base_station import Settings
from hil_sim.fill_station import FillStation
from hil_sim.line import Line
from hil_sim.meter import Meter
from hil_sim.plant_outlet import PlantOutlet
from hil_sim.pump import Pump
from hil_sim.tank import Tank
from hil_sim.valve import ModulatingValve, MotorValve
from hil_sim.water import Parameter, TransportDelay, Water
from tests.hil_sim.sites import SITES

DT_S = 0.02
NO_START = Settings(seed=1, start_s=1_800_000_000.0)


def fill_station() -> FillStation:
    return FillStation(load_site(SITES / "fill-station.yaml"), NO_START)


def plant_outlet() -> PlantOutlet:
    return PlantOutlet(load_site(SITES / "plant-outlet.yaml"), NO_START)


def run(station: FillStation | PlantOutlet, seconds: float) -> None:
    for _ in range(round(seconds / DT_S)):
        station.step(DT_S)


def put(station: FillStation | PlantOutlet, signal: str, value: float) -> None:
    setter = station.points[signal].set
    assert setter is not None
    setter(value)


def number(station: FillStation | PlantOutlet, signal: str) -> float:
    value = station.points[signal].get()
    assert isinstance(value, int | float)
    return value


steps = st.lists(
    st.tuples(st.floats(0, 60), st.floats(0, 0.1), st.floats(0, 0.1)),
    max_size=200,
)


@given(steps, st.floats(0, 5.5))
def test_tank_keeps_every_drop(moves: list[tuple[float, float, float]], level_m: float) -> None:
    tank = Tank.at_level(20.0, 5.5, level_m)
    start_m3, drawn_m3 = tank.volume_m3, 0.0
    for dt_s, inflow_m3s, demand_m3s in moves:
        drawn_m3 += tank.step(dt_s, inflow_m3s, demand_m3s)
        assert 0.0 <= tank.volume_m3 <= 20.0 * 5.5 + 1e-12
    assert tank.volume_m3 + drawn_m3 + tank.overflow_m3 - tank.inflow_m3 == pytest.approx(start_m3, abs=1e-9)
    assert tank.drawn_m3 == drawn_m3


def test_level_set_by_hand_is_booked() -> None:
    tank = Tank.at_level(10.0, 5.0, 3.0)
    tank.set_level(1.0)
    assert (tank.level_m, tank.adjusted_m3) == (1.0, -20.0)
    with pytest.raises(ValueError, match="0 to 5 m"):
        tank.set_level(5.1)


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.floats(0.1, 20), st.sampled_from([0.005, 0.02, 0.25])),
        min_size=1,
        max_size=12,
    )
)
def test_fill_station_conserves_mass(phases: list[tuple[bool, bool, float, float]]) -> None:
    station = fill_station()
    tank, meter = station.tank, station.meter
    start_m3, start_total_m3 = tank.volume_m3, meter.total_m3
    for is_open, runs, seconds, dt_s in phases:
        put(station, "RIO-101.xv_101", is_open)
        put(station, "RIO-101.p_101", runs)
        for _ in range(round(seconds / dt_s)):
            station.step(dt_s)
        balance = tank.volume_m3 + meter.passed_m3 + tank.overflow_m3 - tank.inflow_m3
        assert balance == pytest.approx(start_m3, abs=1e-9)
        assert meter.total_m3 - start_total_m3 == pytest.approx(meter.passed_m3, abs=1e-9)


def test_plant_outlet_conserves_mass_down_to_the_empty_tank() -> None:
    station = plant_outlet()
    station.set_level(0.001)
    start_m3 = station.tank.volume_m3
    put(station, "FCV-201.position_command", 100.0)
    put(station, "FCV-202.position_command", 60.0)
    run(station, 60)
    passed = sum(meter.passed_m3 for meter in station.meters.values())
    assert station.tank.volume_m3 + passed - station.tank.inflow_m3 == pytest.approx(start_m3, abs=1e-9)
    assert station.tank.level_m == pytest.approx(0, abs=1e-6)
    assert all(meter.passed_m3 > 0 for meter in station.meters.values())


@given(st.floats(0.5, 60), st.sampled_from([0.001, 0.02, 0.1]))
def test_motor_valve_takes_its_travel_time_each_way(travel_s: float, dt_s: float) -> None:
    valve = MotorValve(travel_s, energised=True)
    needed = math.ceil(round(travel_s / dt_s, 6))
    assert valve.closed
    for _ in range(needed - 1):
        valve.step(dt_s)
    assert 0.0 < valve.opening < 1.0
    valve.step(dt_s)
    assert valve.opening == 1.0
    valve.energised = False
    valve.step(dt_s)
    assert 0.0 < valve.opening < 1.0
    for _ in range(needed):
        valve.step(dt_s)
    assert valve.closed


def test_stuck_valves_stay_where_they_are() -> None:
    motor, modulating = MotorValve(4.0, energised=True), ModulatingValve(20.0)
    modulating.demand(50.0)
    for valve in (motor, modulating):
        valve.step(1.0)
        valve.stuck = True
        valve.step(1.0)
    assert (motor.opening, modulating.opening) == (0.25, 0.05)
    motor.stuck = False
    motor.step(1.0)
    assert motor.opening == 0.5


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), max_size=30))
def test_modulating_valve_never_moves_faster_than_its_travel(demands: list[tuple[float, float]]) -> None:
    valve = ModulatingValve(20.0)
    for percent, seconds in demands:
        before = valve.opening
        valve.demand(percent)
        valve.step(seconds)
        assert abs(valve.opening - before) <= seconds / 20.0 + 1e-8
        if seconds >= 20.0:
            assert valve.position_percent == pytest.approx(percent, abs=1e-6)


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_modulating_valve_refuses_a_demand_beyond_its_stroke(percent: float) -> None:
    with pytest.raises(ValueError, match="0 to 100"):
        ModulatingValve(20.0).demand(percent)


def test_pump_runs_up_and_trips_until_reset() -> None:
    pump = Pump(run_up_s=1.0, run_down_s=2.0, commanded=True)
    pump.step(0.4)
    assert not pump.running
    pump.step(0.6)
    assert (pump.speed, pump.running) == (1.0, True)
    pump.tripped = True
    pump.step(2.0)
    assert (pump.speed, pump.running) == (0.0, False)
    pump.step(5.0)
    assert not pump.running
    pump.tripped = False
    pump.step(1.0)
    assert pump.running


@given(st.floats(-5, 40), st.floats(0, 1), st.floats(0, 1))
def test_line_flow_grows_with_opening_and_is_nil_when_closed(head_m: float, one: float, other: float) -> None:
    line = Line(60.0, 20.0)
    assert line.flow_m3s(head_m, 0.0) == 0.0
    low, high = sorted((line.flow_m3s(head_m, one), line.flow_m3s(head_m, other)))
    assert 0.0 <= low <= high
    if head_m <= 0:
        assert high == 0.0
    elif one < other:
        assert line.flow_m3s(head_m, one) <= line.flow_m3s(head_m, other)


def test_line_gives_its_full_flow_at_nominal_head() -> None:
    assert Line(60.0, 20.0).flow_m3s(20.0, 1.0) * 3600 == pytest.approx(60.0)


def test_meter_rolls_over_and_totals_the_true_flow() -> None:
    meter = Meter(rollover_m3=1000.0, total_m3=999.9, noise=0.01, random=Random(3))
    for _ in range(100):
        meter.step(0.1, 0.002)
    assert meter.total_m3 == pytest.approx(0.1)
    assert meter.passed_m3 == pytest.approx(0.2)
    assert meter.true_flow_m3h == pytest.approx(72.0)
    assert meter.flow_m3h != meter.true_flow_m3h


def test_still_water_shows_no_flow_in_spite_of_noise() -> None:
    meter = Meter(noise=0.01)
    meter.step(0.1, 0.0)
    assert meter.flow_m3h == 0.0


def test_a_fill_reaches_full_flow_and_closes_to_nothing() -> None:
    station = fill_station()
    put(station, "RIO-101.xv_101", True)
    run(station, 2.0)
    assert number(station, "FIT-101.flow") == 0.0
    put(station, "RIO-101.p_101", True)
    run(station, 3.0)
    assert station.points["RIO-101.zso_101"].get() is True
    assert station.points["RIO-101.yl_101"].get() is True
    assert number(station, "FIT-101.flow") == pytest.approx(60.0, rel=0.02)
    put(station, "RIO-101.p_101", False)
    put(station, "RIO-101.xv_101", False)
    run(station, 4.1)
    assert station.points["RIO-101.zsc_101"].get() is True
    assert number(station, "FIT-101.flow") == 0.0


def test_flow_changes_smoothly() -> None:
    station = fill_station()
    put(station, "RIO-101.xv_101", True)
    put(station, "RIO-101.p_101", True)
    last = 0.0
    for _ in range(400):
        station.step(DT_S)
        assert abs(station.meter.true_flow_m3h - last) < 6.0
        last = station.meter.true_flow_m3h


def test_natural_quality_stays_in_its_band_for_a_day() -> None:
    water = Water.reclaimed(5)
    for _ in range(24 * 60):
        water.step(60.0)
        assert 2.0 <= water["turbidity"] <= 3.0
        assert 7.0 <= water["ph"] <= 7.6
        assert 16.0 <= water["cod"] <= 20.0
        assert 0.45 <= water["ammonia"] <= 0.75


def test_the_seed_decides_the_water() -> None:
    def course(seed: int) -> list[float]:
        water, values = Water.reclaimed(seed), []
        for _ in range(20):
            water.step(5.0)
            values.append(water["turbidity"])
        return values

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_upset_ramps_holds_and_ends_by_itself() -> None:
    parameter = Parameter(2.0, 0.0, Random(0))
    parameter.lead(12.0, ramp_s=4.0, for_s=10.0)
    course = []
    for _ in range(15):
        parameter.step(1.0)
        course.append(round(parameter.value, 6))
    assert course == [4.5, 7.0, 9.5, 12, 12, 12, 12, 12, 12, 12, 9.5, 7.0, 4.5, 2.0, 2.0]
    assert not parameter.upset


def test_a_second_upset_starts_from_where_the_first_has_led() -> None:
    parameter = Parameter(2.0, 0.0, Random(0))
    parameter.lead(12.0, ramp_s=10.0)
    parameter.step(5.0)
    parameter.lead(0.0, ramp_s=7.0)
    parameter.step(1.0)
    assert parameter.value == pytest.approx(6.0)
    parameter.calm()
    assert parameter.value == 2.0


@pytest.mark.parametrize("delay_s", [0.0, 1.0, 5.0])
def test_transport_delay_lets_a_step_arrive_late_and_unmixed(delay_s: float) -> None:
    delay = TransportDelay(delay_s, 2.0)
    arrived = next(n for n in range(1, 1000) if delay.step(DT_S, 9.0) == 9.0)
    assert arrived * DT_S == pytest.approx(max(delay_s + DT_S, DT_S), abs=0.05)


def test_probe_follows_by_first_order_whatever_the_step() -> None:
    fine, coarse = Probe(2.0, 1.0), Probe(2.0, 1.0)
    for _ in range(100):
        fine.step(0.02, 11.0)
    coarse.step(2.0, 11.0)
    assert fine.reading == pytest.approx(1.0 + 10.0 * (1 - math.exp(-1)))
    assert coarse.reading == pytest.approx(fine.reading)


def test_probe_with_an_error_measures_no_more() -> None:
    probe = Probe(1.0, 2.0, noise=0.1, random=Random(1))
    probe.step(1.0, 2.0)
    probe.error, before = 0xFF, probe.reading
    probe.step(10.0, 50.0)
    assert probe.reading == before


def test_batch_analyzer_publishes_once_per_interval_what_it_sampled() -> None:
    analyzer = BatchAnalyzer(100.0, 18.0, 1000.4)
    assert analyzer.result == (1000.0, 18.0, 0)
    now_s, results, states = 1000.4, [analyzer.result], set()
    for tick in range(1, 301):
        now_s += 1.0
        analyzer.step(1.0, 18.0 + tick, now_s)
        states.add(analyzer.work_state)
        if analyzer.result != results[-1]:
            results.append(analyzer.result)
    assert len(results) == 4
    assert states == {0, 1}
    sampled_after_s = 100.0 * (1 - ANALYSIS_SHARE)
    assert results[1] == (1000.0 + sampled_after_s, 18.0 + sampled_after_s, 0)


def test_two_results_never_carry_the_same_second() -> None:
    analyzer = BatchAnalyzer(3600.0, 18.0, 1000.0)
    analyzer.publish(45.0, 0, 1000.2)
    assert analyzer.result == (1001.0, 45.0, 0)


def test_only_the_analyzer_lives_faster() -> None:
    slow, fast = BatchAnalyzer(100.0, 1.0, 0.0), BatchAnalyzer(100.0, 1.0, 0.0)
    fast.speed = 10.0
    for tick in range(1, 101):
        slow.step(1.0, 1.0, tick)
        fast.step(1.0, 1.0, tick)
    assert (slow.results, fast.results) == (2, 11)


def test_intervals_come_from_the_guards_unless_given() -> None:
    loaded = load_site(SITES / "fill-station.yaml")
    station = FillStation(loaded, Settings())
    assert {tag: a.interval_s for tag, a in station.analyzers.items()} == {"AIT-102": 7200, "AIT-103": 3600}
    station = FillStation(loaded, Settings(analyzer_interval_s=20))
    assert {a.interval_s for a in station.analyzers.values()} == {20}


def test_pipe_delay_holds_the_station_probe_back_but_not_the_plants() -> None:
    station = FillStation(load_site(SITES / "fill-station.yaml"), Settings(pipe_delay_s=30.0))
    station.upset("turbidity", 50.0, 0.0, None)
    run(station, 20)
    assert number(station, "PLC-100.outlet_turbidity") > 40
    assert number(station, "AIT-101.turbidity") < 4
    run(station, 20)
    assert number(station, "AIT-101.turbidity") > 40
