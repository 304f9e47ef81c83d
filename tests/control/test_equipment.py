"""Equipment that does not do as told: each fault by its name, after its time, and an alarm exactly once."""

from dataclasses import dataclass, field

import pytest

from config.sample import Quality, Reason, Sample, Value, quality_of
from control import output
from control.arbitration import Demand, Rank
from control.cause import Cause, root
from control.code import Code
from control.device import SILENT_TOLERANCE_S, Device, DeviceState
from control.instant import Instant
from control.level import HYSTERESIS_M, LevelState, SupplyLevel
from control.output import FOLLOW_TOLERANCE_S, OutputState
from control.pump import Pump, PumpState
from control.valve import Position, Valve, ValveState
from tests.control.bench import PERIOD_S, FillStation

MOTOR = Valve("XV-1", opened=0, closed=1, position=None, closed_below=0.0, travel=4.0, output=2)
MODULATING = Valve("FV-1", opened=None, closed=None, position=0, closed_below=1.0, travel=20.0, output=1)
PUMP = Pump("P-1", running=0, start_timeout=3.0, output=1)
LEVEL = SupplyLevel(0, "PLC-1.level", low_m=1.0, low_low_m=0.6)

OPEN, CLOSED, BETWEEN, BOTH = (True, False), (False, True), (False, False), (True, True)


def reading(value: Value, reason: Reason = Reason.OK) -> Sample:
    quality = quality_of(reason)
    return Sample(None if quality is Quality.BAD else value, quality, reason, 0.0)


@dataclass
class Worked:
    """A valve or pump, told something each scan and shown what its feedback says."""

    part: Valve | Pump = MOTOR
    mono: float = 1000.0
    state: ValveState | PumpState = field(init=False)

    def __post_init__(self) -> None:
        self.state = ValveState() if isinstance(self.part, Valve) else PumpState()

    def show(self, told: Value, shown: tuple[Value, ...], seconds: float, reason: Reason = Reason.OK) -> Code | None:
        image = tuple(reading(value, reason) for value in shown)
        for _ in range(max(round(seconds / PERIOD_S), 1)):
            self.mono = round(self.mono + PERIOD_S, 6)
            now = Instant(self.mono, self.mono)
            match self.part, self.state:
                case Valve() as valve, ValveState() as state:
                    self.state = valve.commanded(valve.step(state, image, now), told, now)
                case Pump() as pump, PumpState() as state:
                    self.state = pump.commanded(pump.step(state, image, now), told, now)
        return self.code

    @property
    def code(self) -> Code | None:
        return self.state.fault.code if self.state.fault is not None else None

    @property
    def position(self) -> Position:
        assert isinstance(self.state, ValveState)
        return self.state.position


def test_a_valve_that_follows_has_no_fault() -> None:
    valve = Worked()
    codes = {
        valve.show(False, CLOSED, 10.0),
        valve.show(True, BETWEEN, 4.0),
        valve.show(True, OPEN, 10.0),
        valve.show(False, BETWEEN, 4.0),
        valve.show(False, CLOSED, 10.0),
    }
    assert codes == {None}


def test_a_valve_that_does_not_open_is_named_after_one_and_a_half_strokes() -> None:
    valve = Worked()
    valve.show(False, CLOSED, 10.0)
    assert valve.show(True, CLOSED, 6.0) is None
    assert valve.show(True, CLOSED, 0.2) is Code.VALVE_NOT_OPENED


def test_a_valve_that_stops_between_its_ends_is_not_open() -> None:
    valve = Worked()
    valve.show(False, CLOSED, 10.0)
    valve.show(True, BETWEEN, 1.0)
    assert valve.show(True, BETWEEN, 6.0) is Code.VALVE_NOT_OPENED


def test_a_valve_that_does_not_close_is_named_after_one_and_a_half_strokes() -> None:
    valve = Worked()
    valve.show(True, OPEN, 10.0)
    assert valve.show(False, OPEN, 6.0) is None
    assert valve.show(False, BETWEEN, 0.2) is Code.VALVE_NOT_CLOSED


def test_a_valve_that_leaves_closed_uncommanded_is_named_within_about_a_second() -> None:
    valve = Worked()
    valve.show(False, CLOSED, 20.0)
    assert valve.show(False, BETWEEN, 0.9) is None
    assert valve.show(False, BETWEEN, 0.2) is Code.VALVE_LEFT_POSITION


def test_a_limit_switch_that_flickers_is_no_fault() -> None:
    valve = Worked()
    valve.show(False, CLOSED, 20.0)
    for _ in range(20):
        assert valve.show(False, BETWEEN, 0.5) is None
        assert valve.show(False, CLOSED, 0.1) is None


def test_a_valve_that_leaves_open_is_not_open() -> None:
    valve = Worked()
    valve.show(True, OPEN, 20.0)
    assert valve.show(True, BETWEEN, 6.2) is Code.VALVE_NOT_OPENED


def test_both_limit_switches_on_are_a_contradiction_at_once() -> None:
    valve = Worked()
    valve.show(False, CLOSED, 10.0)
    assert valve.show(False, BOTH, 0.1) is Code.VALVE_CONTRADICTION
    assert valve.position is Position.UNKNOWN


@pytest.mark.parametrize("reason", [Reason.NO_COMMUNICATION, Reason.STALE, Reason.DEVICE_FAULT])
@pytest.mark.parametrize("valve", [MOTOR, MODULATING])
def test_feedback_that_is_missing_is_tolerated_for_a_poll_or_two_only(valve: Valve, reason: Reason) -> None:
    worked = Worked(valve)
    closed: tuple[Value, ...] = CLOSED if valve is MOTOR else (0.0,)
    worked.show(False, closed, 10.0)
    assert worked.show(False, closed, 3.0, reason) is None
    assert worked.position is Position.UNKNOWN
    assert worked.show(False, closed, 0.2, reason) is Code.VALVE_UNKNOWN
    assert worked.show(False, closed, 0.1) is None


def test_a_fault_of_a_valve_outlasts_a_gap_in_its_feedback() -> None:
    valve = Worked()
    valve.show(False, CLOSED, 10.0)
    valve.show(True, CLOSED, 7.0)
    assert valve.show(True, CLOSED, 1.0, Reason.NO_COMMUNICATION) is Code.VALVE_NOT_OPENED


def test_a_modulating_valve_is_closed_only_at_or_below_its_threshold() -> None:
    valve = Worked(MODULATING)
    positions = []
    for percent in (1.0, 1.1):
        valve.show(0.0, (percent,), 0.1)
        positions.append(valve.position)
    assert positions == [Position.CLOSED, Position.OPEN]


def test_a_modulating_valve_that_does_not_close_is_named() -> None:
    valve = Worked(MODULATING)
    valve.show(50.0, (50.0,), 40.0)
    assert valve.show(0.0, (50.0,), 30.0) is None
    assert valve.show(0.0, (50.0,), 0.2) is Code.VALVE_NOT_CLOSED


def test_a_pump_that_follows_has_no_fault() -> None:
    pump = Worked(PUMP)
    assert {pump.show(True, (False,), 2.9), pump.show(True, (True,), 9.0), pump.show(False, (True,), 2.9)} == {None}


def test_a_pump_that_does_not_start_is_named_after_its_time() -> None:
    pump = Worked(PUMP)
    pump.show(False, (False,), 5.0)
    assert pump.show(True, (False,), 3.0) is None
    assert pump.show(True, (False,), 0.2) is Code.PUMP_NOT_RUNNING


def test_a_pump_that_does_not_stop_is_named_after_its_time() -> None:
    pump = Worked(PUMP)
    pump.show(True, (True,), 5.0)
    assert pump.show(False, (True,), 3.0) is None
    assert pump.show(False, (True,), 0.2) is Code.PUMP_NOT_STOPPED


def test_a_pump_that_falls_off_is_named_after_its_time() -> None:
    pump = Worked(PUMP)
    pump.show(True, (True,), 60.0)
    assert pump.show(True, (False,), 3.2) is Code.PUMP_NOT_RUNNING


def test_run_feedback_that_is_missing_is_tolerated_for_a_poll_or_two_only() -> None:
    pump = Worked(PUMP)
    pump.show(True, (True,), 5.0)
    assert pump.show(True, (True,), 3.0, Reason.NO_COMMUNICATION) is None
    assert pump.show(True, (True,), 0.2, Reason.NO_COMMUNICATION) is Code.PUMP_UNKNOWN


def level(state: LevelState, metres: Value, mono: float, reason: Reason = Reason.OK) -> LevelState:
    return LEVEL.step(state, (reading(metres, reason),), Instant(mono, mono))


def test_a_low_level_forbids_to_start_and_a_very_low_one_to_run() -> None:
    low = level(LevelState(), 0.99, 1.0)
    assert low.forbids_start is not None
    assert low.forbids_start.code is Code.LEVEL_LOW
    assert low.forbids_run is None
    very_low = level(low, 0.59, 2.0)
    assert very_low.forbids_run is not None
    assert very_low.forbids_run.code is Code.LEVEL_LOW_LOW


def test_a_level_must_rise_above_its_limit_by_the_hysteresis() -> None:
    low = level(LevelState(), 0.59, 1.0)
    held = level(low, 0.6 + HYSTERESIS_M - 0.01, 2.0)
    assert held.forbids_run is not None
    free = level(held, 0.6 + HYSTERESIS_M, 3.0)
    assert free.forbids_run is None
    assert free.forbids_start is not None
    assert level(free, 1.0 + HYSTERESIS_M, 4.0).forbids_start is None


def test_a_level_never_read_counts_as_empty() -> None:
    unread = level(LevelState(), None, 1.0, Reason.NOT_YET_READ)
    assert unread.forbids_run is not None
    assert unread.forbids_run.code is Code.LEVEL_UNKNOWN


def test_a_level_that_is_lost_counts_as_empty_after_its_tolerance() -> None:
    lost = level(level(LevelState(), 3.0, 1.0), None, 2.0, Reason.NO_COMMUNICATION)
    assert lost.forbids_run is None
    assert level(lost, None, 6.9, Reason.NO_COMMUNICATION).forbids_run is None
    gone = level(lost, None, 7.0, Reason.NO_COMMUNICATION)
    assert gone.forbids_run is not None
    assert level(gone, 3.0, 8.0).forbids_run is None


def test_not_a_number_as_a_level_counts_as_empty() -> None:
    assert level(level(LevelState(), 3.0, 1.0), float("nan"), 2.0).forbids_run is not None


@pytest.mark.parametrize(
    ("demanded", "read_back", "follows"),
    [
        (True, True, True),
        (True, False, False),
        (42.0, 42.1, True),
        (42.0, 42.3, False),
        (42.0, 42, True),
        (0.0, None, False),
    ],
)
def test_an_output_follows_when_it_reads_back_what_was_demanded(
    demanded: Value, read_back: Value, follows: bool
) -> None:
    demand = Demand("XV-1", 0, demanded, Rank.SEQUENCE, Cause(Code.FILLING, "FILL-1"))
    assert output.follows(demand, reading(read_back)) is follows


def test_an_output_without_a_read_back_is_not_judged() -> None:
    demand = Demand("XV-1", 0, True, Rank.SEQUENCE, Cause(Code.FILLING, "FILL-1"))
    assert output.follows(demand, reading(False, Reason.NO_COMMUNICATION))


def test_an_output_that_does_not_follow_is_an_alarm_after_its_tolerance() -> None:
    demand = Demand("XV-1", 0, True, Rank.SEQUENCE, Cause(Code.FILLING, "FILL-1"))
    state = OutputState()
    for mono, alarm in ((10.0, False), (10.0 + FOLLOW_TOLERANCE_S - 0.1, False), (10.0 + FOLLOW_TOLERANCE_S, True)):
        state = output.step(state, demand, "RIO-1.xv", reading(False), Instant(mono, mono))
        assert (state.alarm is not None) is alarm
    assert output.step(state, demand, "RIO-1.xv", reading(True), Instant(20.0, 20.0)).alarm is None


def device(state: DeviceState, mono: float, *reasons: Reason) -> DeviceState:
    image = tuple(reading(1.0, reason) for reason in reasons)
    return Device("FIT-1", tuple(range(len(reasons)))).step(state, image, Instant(mono, mono))


@pytest.mark.parametrize("reason", [Reason.NO_COMMUNICATION, Reason.STALE, Reason.NOT_YET_READ])
def test_a_device_is_offline_when_nothing_of_it_is_answered_for_a_while(reason: Reason) -> None:
    silent = device(DeviceState(), 10.0, reason, Reason.NO_COMMUNICATION)
    assert silent.offline is None
    gone = device(silent, 10.0 + SILENT_TOLERANCE_S, reason, Reason.NO_COMMUNICATION)
    assert gone.offline is not None
    assert gone.offline.code is Code.DEVICE_OFFLINE
    assert device(gone, 20.0, reason, Reason.OK).offline is None


@pytest.mark.parametrize("reason", [Reason.DEVICE_FAULT, Reason.MAINTENANCE, Reason.DEVICE_REFUSED])
def test_a_device_that_answers_anything_is_online(reason: Reason) -> None:
    state = device(DeviceState(), 10.0, reason)
    assert device(state, 100.0, reason).offline is None


def alarms(station: FillStation, name: str) -> list[str]:
    return [event.body["alarm"] for event in station.events_named(name)]


@pytest.mark.parametrize(
    ("silent", "alarm"),
    [("AIT-102", "AIT-102.offline"), ("FIT-101", "FIT-101.offline"), ("PLC-100", "FILL-1.level-unknown")],
)
def test_an_alarm_is_raised_once_and_cleared_once(silent: str, alarm: str) -> None:
    station = FillStation().ready()
    station.events.clear()
    station.silent.add(silent)
    station.run(60.0)
    assert alarms(station, "alarm").count(alarm) == 1
    assert alarms(station, "alarm-returned").count(alarm) == 0
    station.silent.clear()
    station.run(60.0)
    assert alarms(station, "alarm").count(alarm) == 1
    assert alarms(station, "alarm-returned").count(alarm) == 1
    assert station.state.alarms.standing == ()


def test_a_station_in_order_has_no_alarm_after_a_start_and_over_a_fill() -> None:
    station = FillStation().ready()
    station.events.clear()
    station.order(0.5)
    station.until("full-flow")
    station.until("idle")
    assert alarms(station, "alarm") == []
    assert station.state.alarms.standing == ()


def test_a_trip_is_the_alarm_of_highest_priority_until_its_reset() -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 16.0
    station.scan()
    [trip] = [alarm for alarm in station.state.alarms.standing if alarm.id == "FILL-1.trip"]
    assert trip.priority.name == "HIGH"
    assert trip.since_utc == station.now.utc


def test_the_meter_lost_without_an_order_refuses_the_next_one() -> None:
    station = FillStation().ready()
    station.reasons["FIT-101.total"] = Reason.NOT_A_NUMBER
    station.scan()
    answer = station.order()
    assert answer.refusal is not None
    assert answer.refusal.code is Code.METER_UNKNOWN


def test_lost_run_feedback_ends_the_fill_and_needs_no_reset() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.reasons["RIO-101.yl_101"] = Reason.NO_COMMUNICATION
    station.run(3.3)
    assert station.output("XV-101") is False
    assert not station.state.trips[0].latched


class DeadPump(FillStation):
    """The fill station with a pump whose contactor does not pull in."""

    def plant(self) -> None:
        super().plant()
        self.values["RIO-101.yl_101"] = False


def test_a_pump_that_does_not_start_trips_and_closes_the_valve() -> None:
    station = DeadPump().ready()
    station.order(5.0)
    station.run(8.0)
    trip = station.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.PUMP_NOT_RUNNING
    assert station.output("XV-101") is False
