"""Two fill arms on one group of pumps, through whole scans: staging, fail-over, commands, waiting, a second command."""

from pathlib import Path

import pytest

from config.load import load_site
from config.sample import Reason
from control.arbitrate import at_stop
from control.arbitration import Rank
from control.cause import chain, root
from control.code import Code
from control.command import Answer, Op
from control.fill import BatchState
from control.saved import restored, to_saved
from control.valve import Position, Stage
from control.why import why
from control.witness import Witness
from tests.control.bench import PERIOD_S, Bench

SITE = Path(__file__).with_name("sites") / "pumps.yaml"


class Arms(Bench):
    """Valves of 4 s travel, pumps that follow at once unless they are dead, 60 m3/h for each open arm."""

    def __init__(self) -> None:
        super().__init__(load_site(SITE))
        self.at = [0.0, 0.0]
        self.dead: set[int] = set()
        self.drive_stuck = False
        self.seen: Witness | None = None
        self.total = [100.0, 200.0]
        self.values |= {"RIO.remote_2": True, "RIO.suction": 2.0, "RIO.turbidity": 2.0}
        self.plant()

    def written(self, name: str) -> bool:
        index = self.program.signal_names.index(name)
        return next(demand.value for demand in self.state.outputs if demand.signal == index) is True

    def plant(self) -> None:
        step = PERIOD_S / 4.0
        if self.written("RIO.open_1"):
            self.at[0] += step
        elif self.written("RIO.close_1"):
            self.at[0] -= step
        if self.values["RIO.remote_2"]:
            self.at[1] += step if self.written("RIO.open_2") else -step
        self.at = [min(max(round(one, 6), 0.0), 1.0) for one in self.at]
        runs = [self.written(f"RIO.pump_{n}") and n not in self.dead for n in (1, 2, 3)]
        for n, one in enumerate(self.at, 1):
            flow = 60.0 * one if any(runs) else 0.0
            self.total[n - 1] += flow / 3600 * PERIOD_S
            self.values |= {
                f"RIO.zso_{n}": one >= 1.0,
                f"RIO.zsc_{n}": one <= 0.0,
                f"RIO.flow_{n}": flow,
                f"RIO.total_{n}": self.total[n - 1],
                f"RIO.open_{n}": self.written(f"RIO.open_{n}"),
            }
        for n, on in enumerate(runs, 1):
            self.values |= {f"RIO.run_{n}": on, f"RIO.pump_{n}": self.written(f"RIO.pump_{n}")}
        self.values["RIO.close_1"] = self.written("RIO.close_1")
        self.values["RIO.shown_1"] = 0.0 if self.drive_stuck else float(self.output("SC-1") or 0.0)
        self.values["RIO.speed_1"] = float(self.output("SC-1") or 0.0)

    def ready(self) -> "Arms":
        self.run(8.0)
        return self

    def fill(self, arm: int) -> BatchState:
        state = self.state.dispensers[arm - 1]
        assert isinstance(state, BatchState)
        return state

    def order(self, arm: int, volume_m3: float, order_id: str) -> Answer:
        return self.ask(Op.ORDER, f"FILL-{arm}", order_id=order_id, volume_m3=volume_m3)

    @property
    def on(self) -> list[str]:
        return [tag for tag in ("P-1", "P-2", "P-3") if self.output(tag) is True]


def test_a_second_arm_brings_a_second_pump_and_they_stop_with_their_arms() -> None:
    station = Arms().ready()
    station.order(1, 1.0, "a")
    station.run(20)
    assert station.on == ["P-1"]
    station.order(2, 1.0, "b")
    station.run(20)
    assert station.on == ["P-1", "P-2"]
    station.run(120)
    assert station.on == []
    assert [station.fill(arm).phase for arm in (1, 2)] == ["idle", "idle"]
    assert sorted(station.alarms) == []


def test_a_pump_that_dies_in_a_fill_is_replaced_and_the_fill_goes_on() -> None:
    station = Arms().ready()
    station.order(1, 2.0, "a")
    station.run(20)
    station.dead.add(1)
    station.run(10)
    assert station.on == ["P-2"]
    assert station.fill(1).order is not None
    assert "P-1.pump-not-running" in sorted(station.alarms)
    assert not station.state.trips[0].latched
    station.run(200)
    assert station.fill(1).order is None


def test_the_last_fit_pump_lost_stops_both_arms_without_a_trip_and_service_brings_them_back() -> None:
    station = Arms().ready()
    station.dead |= {1, 2, 3}
    station.order(1, 2.0, "a")
    station.run(60)
    assert station.fill(1).order is None
    refusal = station.order(2, 1.0, "b").refusal
    assert refusal is not None
    assert refusal.code is Code.GROUP_NO_PUMP
    assert root(refusal).code is Code.PUMP_NOT_RUNNING
    station.dead.clear()
    assert station.ask(Op.PUMP_IN_SERVICE, "P-3").accepted
    station.run(1.0)
    assert station.order(2, 1.0, "c").accepted


def test_a_pump_is_taken_out_with_a_reason_and_put_back() -> None:
    station = Arms().ready()
    refusal = station.ask(Op.PUMP_OUT_OF_SERVICE, "P-1").refusal
    assert refusal is not None
    assert refusal.code is Code.REASON_MISSING
    assert station.ask(Op.PUMP_OUT_OF_SERVICE, "P-1", reason="seal leaks").accepted
    station.order(1, 1.0, "a")
    station.run(20)
    assert station.on == ["P-2"]
    answer = why(station.program, station.state, tuple(station.image), "P-1", station.now)
    assert answer is not None
    assert [cause.code for cause in answer.causes] == [Code.PUMP_OUT_OF_SERVICE]
    [event] = station.events_named("pump-out-of-service")[-1:]
    assert event.body["reason"] == "seal leaks"
    assert station.ask(Op.PUMP_IN_SERVICE, "P-1").accepted
    again = station.ask(Op.PUMP_IN_SERVICE, "P-1").refusal
    assert again is not None
    assert again.code is Code.PUMP_IN_SERVICE


@pytest.mark.parametrize(
    ("op", "target", "code"),
    [
        (Op.PUMP_OUT_OF_SERVICE, "P-9", Code.NO_SUCH_PUMP),
        (Op.PUMP_IN_SERVICE, "PG-1", Code.NO_SUCH_PUMP),
        (Op.ROTATE, "P-1", Code.NO_SUCH_GROUP),
        (Op.ROTATE, "PG-1", Code.GROUP_AT_REST),
    ],
)
def test_what_cannot_be_done_to_a_pump_is_refused(op: Op, target: str, code: Code) -> None:
    refusal = Arms().ready().ask(op, target, reason="x").refusal
    assert refusal is not None
    assert refusal.code is code


def test_a_person_hands_a_run_over() -> None:
    station = Arms().ready()
    station.order(1, 5.0, "a")
    station.run(20)
    assert station.ask(Op.ROTATE, "PG-1").accepted
    station.run(10)
    assert station.on == ["P-2"]
    assert station.fill(1).order is not None


def test_a_fill_waits_armed_for_the_motors_and_says_so() -> None:
    station = Arms().ready()
    for pump in ("P-2", "P-3"):
        station.ask(Op.PUMP_OUT_OF_SERVICE, pump, reason="overhaul")
    station.order(1, 0.2, "a")
    station.run(40)
    assert station.fill(1).order is None
    assert station.order(1, 0.2, "b").accepted
    station.run(5)
    waits = station.fill(1)
    assert waits.phase == "armed"
    assert waits.cause is not None
    assert chain(waits.cause)[-1].code is Code.PUMP_START_INTERVAL
    assert station.output("XV-1") is False
    station.run(40)
    assert waits.order is not None
    assert station.events_named("receipt")[-1].body["order_id"] == "b"
    assert not station.state.trips[0].latched


def test_motor_limits_hold_over_a_restart() -> None:
    station = Arms().ready()
    station.order(1, 0.2, "a")
    station.run(40)
    saved = to_saved(station.program, station.state, station.now)
    station.state = restored(station.program, saved, station.now)
    pump = station.state.pumps[0]
    assert (pump.duty.starts, pump.failed) == (1, None)
    waits = station.program.pumps[0].waits(pump, station.now)
    assert waits is not None
    assert waits.code is Code.PUMP_START_INTERVAL
    assert station.state.valves[0].strokes.count == 2


def test_a_failed_pump_stays_out_over_a_restart() -> None:
    station = Arms().ready()
    station.dead.add(1)
    station.order(1, 1.0, "a")
    station.run(20)
    station.state = restored(station.program, to_saved(station.program, station.state, station.now), station.now)
    failed = station.state.pumps[0].failed
    assert failed is not None
    assert failed.code is Code.PUMP_NOT_RUNNING


def test_a_stop_by_protect_stops_the_pumps_at_once_whatever_their_least_run() -> None:
    station = Arms().ready()
    station.order(1, 5.0, "a")
    station.run(9)
    assert station.on == ["P-1"]
    station.values["RIO.turbidity"] = 20.0
    station.scan()
    assert station.on == []
    assert station.output("XV-1") is False
    station.run(3.0)
    assert "P-1.pump-short-run" in station.alarms


def test_a_valve_with_two_commands_is_driven_closed_and_then_rests() -> None:
    station = Arms().ready()
    assert not station.written("RIO.close_1")
    station.order(1, 5.0, "a")
    station.run(20)
    assert (station.written("RIO.open_1"), station.written("RIO.close_1")) == (True, False)
    station.ask(Op.CANCEL, "FILL-1")
    assert (station.written("RIO.open_1"), station.written("RIO.close_1")) == (False, False)
    station.run(1.0)
    assert station.written("RIO.close_1")
    station.run(6.0)
    assert not station.written("RIO.close_1")
    assert station.state.valves[0].position is Position.CLOSED


def test_a_valve_that_stays_is_given_neither_command_at_a_stop() -> None:
    station = Arms().ready()
    given = {station.program.signal_names[demand.signal]: demand.value for demand in at_stop(station.program)}
    assert given["RIO.open_1"] is False
    assert given["RIO.close_1"] is False
    assert given["RIO.open_2"] is False


def test_a_valve_taken_on_local_ends_the_fill_without_a_trip_and_closes_when_it_is_back() -> None:
    station = Arms().ready()
    station.order(2, 5.0, "b")
    station.run(20)
    station.values["RIO.remote_2"] = False
    station.run(1.0)
    assert station.output("XV-2") is False
    assert station.fill(2).phase == "stopping"
    assert "FILL-2.valve-local" in sorted(station.alarms)
    assert station.order(2, 1.0, "c").refusal is not None
    station.run(60.0)
    assert not station.state.trips[1].latched
    station.values["RIO.remote_2"] = True
    station.run(8.0)
    assert station.state.valves[1].stage is Stage.CLOSED
    assert not station.state.trips[1].latched


def test_a_drive_runs_at_the_speed_of_the_site_file_within_its_limits_and_stands_with_its_pump() -> None:
    station = Arms().ready()
    assert station.output("SC-1") == 0.0
    station.order(1, 5.0, "a")
    station.run(20)
    assert station.output("SC-1") == 75.0
    station.values["RIO.turbidity"] = 20.0
    station.scan()
    speed = next(demand for demand in station.state.outputs if demand.tag == "SC-1")
    assert (speed.value, speed.rank) == (0.0, Rank.PROTECT)


def test_a_drive_that_does_not_follow_is_an_alarm_until_it_does() -> None:
    station = Arms().ready()
    station.drive_stuck = True
    station.order(1, 5.0, "a")
    station.run(20)
    assert "SC-1.analog-not-followed" in station.alarms
    station.drive_stuck = False
    station.run(1)
    assert "SC-1.analog-not-followed" not in station.alarms


def test_no_water_at_the_suction_of_one_pump_leaves_the_others() -> None:
    station = Arms().ready()
    station.values["RIO.suction"] = 0.3
    station.run(5)
    station.order(1, 1.0, "a")
    station.run(20)
    assert station.on == ["P-2"]
    station.values["RIO.suction"] = 2.0
    station.run(1)
    assert station.state.pumps[0].fault is None


def test_an_unread_selector_forbids_until_it_is_known() -> None:
    station = Arms().ready()
    station.reasons["RIO.remote_2"] = Reason.NO_COMMUNICATION
    station.run(4)
    refusal = station.order(2, 1.0, "b").refusal
    assert refusal is not None
    assert refusal.code is Code.VALVE_UNKNOWN


def test_an_order_that_one_arm_has_taken_is_not_filled_at_the_other_once_more() -> None:
    arms = Arms().ready()
    assert arms.ask(Op.ORDER, "FILL-1", order_id="o-1", volume_m3=0.2).accepted
    arms.run(60.0)
    again = arms.ask(Op.ORDER, "FILL-2", order_id="o-1", volume_m3=0.2)
    assert again.refusal is not None
    assert (again.refusal.code, again.refusal.subject) == (Code.ORDER_SEEN, "FILL-1")
    arms.state = restored(arms.program, to_saved(arms.program, arms.state, arms.now), arms.now)
    arms.run(8.0)
    assert not arms.ask(Op.ORDER, "FILL-2", order_id="o-1", volume_m3=0.2).accepted
    assert arms.ask(Op.ORDER, "FILL-2", order_id="o-2", volume_m3=0.2).accepted
