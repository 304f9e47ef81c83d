"""The continuous dispenser in a closed loop: the plant outlet's program against two pipes of a few lines."""

import json
from math import sqrt

import pytest

from config.load import LoadedSite
from config.sample import NOT_YET_READ, Reason
from control.account import PERIOD_S as ACCOUNT_PERIOD_S
from control.cause import root
from control.code import Code
from control.command import Answer, Op
from control.continuous import ContinuousState, Phase
from control.saved import restored, to_saved
from tests.control.bench import PERIOD_S, Bench, load

TRAVEL_S = 20.0
METER_PERIOD_S = 0.5
FULL_FLOW = {"1": 240.0, "2": 180.0}


class PlantOutlet(Bench):
    """Two modulating valves of 20 s travel, each with the curve of a control valve in a pipe."""

    def __init__(self, loaded: LoadedSite | None = None) -> None:
        super().__init__(loaded or load("plant-outlet"))
        self.opening = {"1": 0.0, "2": 0.0}
        self.flow = {"1": 0.0, "2": 0.0}
        self.total = {"1": 500.0, "2": 900.0}
        self.leak_m3h = 0.0
        self.stuck: set[str] = set()
        self.values |= {
            "AIT-201.turbidity": 2.5,
            "PLC-200.outlet_ph": 7.4,
            "PLC-200.level": 3.0,
            "AIT-202.cod": 18.0,
            "AIT-203.ammonia": 0.6,
            "AIT-205.chlorine": 1.0,
        }
        self.source_times = {"AIT-202.cod": self.now.utc, "AIT-203.ammonia": self.now.utc}
        self.plant()

    def plant(self) -> None:
        self.values["P-301.speed_command"] = self.output("SC-301")
        shows = round(self.mono / PERIOD_S) % round(METER_PERIOD_S / PERIOD_S) == 0
        for number, full_flow in FULL_FLOW.items():
            demand = self.output(f"FV-20{number}")
            assert isinstance(demand, float)
            opening = self.opening[number]
            if number not in self.stuck:
                reach = PERIOD_S / TRAVEL_S
                opening += min(max(demand / 100 - opening, -reach), reach)
            self.opening[number] = opening
            valve = opening**1.5
            flow = full_flow / sqrt(0.3 + 0.7 / valve**2) if valve > 0 else 0.0
            self.flow[number] = flow + self.leak_m3h
            self.total[number] += self.flow[number] / 3600 * PERIOD_S
            self.values |= {f"FCV-20{number}.position": 100 * opening, f"FCV-20{number}.position_command": demand}
            if shows or f"FIT-20{number}.flow" not in self.values:
                self.values |= {
                    f"FIT-20{number}.flow": self.flow[number],
                    f"FIT-20{number}.total": self.total[number],
                }

    def loop(self, index: int) -> ContinuousState:
        state = self.state.dispensers[index]
        assert isinstance(state, ContinuousState)
        return state

    def setpoint(self, dispenser: str, flow_m3h: float) -> Answer:
        return self.ask(Op.SETPOINT, dispenser, flow_m3h=flow_m3h)

    def started(self) -> "PlantOutlet":
        for _ in range(100):
            if all(self.loop(i).phase is not Phase.STOPPED for i in (0, 1)):
                return self
            self.scan()
        raise AssertionError("not started after 10 s")

    def holding(self) -> "PlantOutlet":
        self.started().run(60.0)
        assert self.loop(0).phase is Phase.HOLDING
        return self


def curve(outlet: PlantOutlet, number: str, seconds: float) -> list[float]:
    flows = []
    for _ in range(round(seconds / PERIOD_S)):
        outlet.scan()
        flows.append(outlet.flow[number])
    return flows


BOTH = pytest.mark.parametrize(("dispenser", "number", "wanted"), [("INDUSTRY", "1", 120.0), ("RIVER", "2", 60.0)])


@BOTH
def test_a_start_from_closed_settles_within_a_minute_and_without_overshoot(
    dispenser: str, number: str, wanted: float
) -> None:
    outlet = PlantOutlet().started()
    flows = curve(outlet, number, 180.0)
    assert all(flow == pytest.approx(wanted, rel=0.03) for flow in flows[600:])
    assert max(flows) <= 1.1 * wanted
    assert root(next(d.cause for d in outlet.state.outputs if d.tag == f"FV-20{number}")).subject == dispenser


@BOTH
@pytest.mark.parametrize("share", [0.25, 0.5, 1.2, 1.6])
def test_another_setpoint_settles_within_a_minute_and_without_overshoot(
    dispenser: str, number: str, wanted: float, share: float
) -> None:
    outlet = PlantOutlet().holding()
    assert outlet.setpoint(dispenser, share * wanted).accepted
    flows = curve(outlet, number, 120.0)
    assert all(flow == pytest.approx(share * wanted, rel=0.03) for flow in flows[600:])
    assert max(flows) <= max(1.1 * share * wanted, 1.03 * wanted)
    assert min(flows) >= min(0.9 * share * wanted, 0.97 * wanted)


def test_flow_rises_no_faster_than_the_ramp() -> None:
    outlet = PlantOutlet().started()
    flows = curve(outlet, "1", 60.0)
    ramp = outlet.loaded.site.dispensers["INDUSTRY"].ramp.value  # type: ignore[union-attr]
    for seconds, flow in enumerate(flows[9::10], 1):
        assert flow <= ramp * seconds + 5.0


def test_a_breach_closes_and_after_its_reset_the_flow_starts_from_nil() -> None:
    outlet = PlantOutlet().holding()
    outlet.values["AIT-201.turbidity"] = 25.0
    outlet.scan()
    assert outlet.output("FV-201") == outlet.output("FV-202") == 0.0
    outlet.values["AIT-201.turbidity"] = 2.0
    outlet.run(TRAVEL_S + 61.0)
    assert outlet.flow["1"] == 0.0
    assert outlet.ask(Op.RESET, "INDUSTRY").accepted
    flows = curve(outlet, "1", 120.0)
    assert max(flows[:20]) < 20.0
    assert max(flows) <= 132.0
    assert flows[-1] == pytest.approx(120.0, rel=0.03)
    assert outlet.output("FV-202") == 0.0


def test_a_breach_of_one_use_alone_leaves_the_other_running() -> None:
    outlet = PlantOutlet().holding()
    outlet.values["PLC-200.outlet_ph"] = 5.5
    outlet.run(31.0)
    assert outlet.output("FV-201") == 0.0
    assert outlet.flow["2"] == pytest.approx(60.0, rel=0.03)


def test_water_that_becomes_unknown_closes_and_returns_from_nil_by_itself() -> None:
    outlet = PlantOutlet().holding()
    outlet.reasons["AIT-201.turbidity"] = Reason.NO_COMMUNICATION
    outlet.run(10.2)
    assert outlet.output("FV-201") == 0.0
    outlet.run(30.0)
    outlet.reasons.clear()
    flows = curve(outlet, "1", 120.0)
    assert max(flows[:48]) == 0.0
    assert max(flows) <= 132.0
    assert flows[-1] == pytest.approx(120.0, rel=0.03)


def test_a_lost_meter_closes_after_its_tolerance_and_is_an_alarm() -> None:
    outlet = PlantOutlet().holding()
    outlet.reasons["FIT-201.flow"] = Reason.NO_COMMUNICATION
    outlet.run(2.9)
    assert outlet.output("FV-201") != 0.0
    outlet.run(0.3)
    assert outlet.output("FV-201") == 0.0
    assert "INDUSTRY.meter-unknown" in {alarm.id for alarm in outlet.state.alarms.standing}
    assert outlet.flow["2"] == pytest.approx(60.0, rel=0.03)
    outlet.reasons.clear()
    outlet.run(90.0)
    assert outlet.flow["1"] == pytest.approx(120.0, rel=0.03)


def test_a_short_loss_of_the_meter_moves_nothing() -> None:
    outlet = PlantOutlet().holding()
    before = outlet.output("FV-201")
    outlet.reasons["FIT-201.flow"] = Reason.NO_COMMUNICATION
    outlet.run(2.5)
    assert outlet.output("FV-201") == before
    outlet.reasons.clear()
    assert all(flow == pytest.approx(120.0, rel=0.05) for flow in curve(outlet, "1", 30.0))


def test_a_setpoint_of_nil_closes_and_the_account_holds_what_was_served() -> None:
    outlet = PlantOutlet()
    outlet.scan()
    first = outlet.loop(0).meter.total_m3
    assert first is not None
    outlet.holding()
    assert outlet.setpoint("INDUSTRY", 0.0).accepted
    assert outlet.output("FV-201") == 0.0
    outlet.run(TRAVEL_S + 5.0)
    [account] = outlet.events_named("served")
    assert account.subject == "INDUSTRY"
    assert account.body["served_m3"] == pytest.approx(outlet.total["1"] - first, abs=0.01)
    assert account.body["total_end_m3"] - account.body["total_start_m3"] == pytest.approx(account.body["served_m3"])
    assert account.body["from_utc"] < account.body["to_utc"] <= outlet.now.utc
    assert outlet.loop(0).phase is Phase.STOPPED


def test_an_account_is_closed_each_hour_and_the_accounts_add_up() -> None:
    outlet = PlantOutlet().holding()
    dispenser = outlet.program.dispensers[0].dispenser
    start = outlet.loop(0).account.since_utc
    outlet.run(10.0)
    outlet.mono += ACCOUNT_PERIOD_S
    outlet.total["1"] += 120.0
    outlet.run(10.0)
    accounts = [event.body for event in outlet.events_named("served") if event.subject == "INDUSTRY"]
    assert len(accounts) == 1
    assert accounts[0]["from_utc"] == start
    assert accounts[0]["use"] == dispenser.use
    assert accounts[0]["served_m3"] + outlet.loop(0).account.served_m3 == pytest.approx(outlet.loop(0).served_m3)


def test_an_interruption_shorter_than_the_valves_travel_keeps_the_accounts_beginning() -> None:
    outlet = PlantOutlet().holding()
    start = outlet.loop(0).account.since_utc
    outlet.reasons["FIT-201.flow"] = Reason.NO_COMMUNICATION
    outlet.run(5.0)
    outlet.reasons.clear()
    outlet.run(10.0)
    assert outlet.loop(0).phase is not Phase.STOPPED
    assert outlet.setpoint("INDUSTRY", 0.0).accepted
    outlet.run(TRAVEL_S + 5.0)
    [account] = outlet.events_named("served")
    assert account.body["from_utc"] == start


@pytest.mark.parametrize("flow_m3h", [-0.1, 200.1, float("inf"), float("nan")])
def test_a_setpoint_out_of_range_is_refused_and_changes_nothing(flow_m3h: float) -> None:
    outlet = PlantOutlet().holding()
    answer = outlet.setpoint("INDUSTRY", flow_m3h)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.SETPOINT_NOT_ALLOWED
    outlet.run(20.0)
    assert outlet.flow["1"] == pytest.approx(120.0, rel=0.03)


def test_a_continuous_dispenser_takes_no_order() -> None:
    outlet = PlantOutlet().started()
    answer = outlet.ask(Op.ORDER, "RIVER", order_id="o-1", volume_m3=1.0)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.WRONG_MODE


def test_flow_through_a_closed_valve_trips_and_is_unattributed() -> None:
    outlet = PlantOutlet().started()
    outlet.setpoint("INDUSTRY", 0.0)
    outlet.run(TRAVEL_S + 10.0)
    served = outlet.loop(0).served_m3
    outlet.leak_m3h = 3.6
    outlet.run(6.0)
    trip = outlet.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.FLOW_WITHOUT_ORDER
    outlet.leak_m3h = 0.0
    outlet.run(5.0)
    assert outlet.loop(0).served_m3 == served
    assert outlet.loop(0).meter.unattributed_m3 == pytest.approx(0.006, rel=0.1)


def test_a_valve_that_stays_open_trips() -> None:
    outlet = PlantOutlet().holding()
    outlet.stuck.add("1")
    outlet.setpoint("INDUSTRY", 0.0)
    outlet.run(1.5 * TRAVEL_S + 1.0)
    trip = outlet.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.VALVE_NOT_CLOSED


def test_after_a_restart_the_loop_starts_from_nil_and_the_account_before_it_is_closed() -> None:
    outlet = PlantOutlet().holding()
    outlet.setpoint("INDUSTRY", 90.0)
    outlet.run(30.0)
    before = outlet.loop(0)
    saved = json.loads(json.dumps(to_saved(outlet.program, outlet.state, outlet.now), allow_nan=False))
    outlet.opening = {"1": 0.0, "2": 0.0}
    outlet.mono += 60.0
    outlet.image = [NOT_YET_READ] * len(outlet.image)
    outlet.state = restored(outlet.program, saved, outlet.now)
    assert outlet.output("FV-201") == 0.0
    flows = curve(outlet.started(), "1", 100.0)
    assert max(flows[:20]) < 20.0
    assert flows[-1] == pytest.approx(90.0, rel=0.03)
    [account] = [event.body for event in outlet.events_named("served") if event.subject == "INDUSTRY"]
    assert account["from_utc"] == before.account.since_utc
    assert account["served_m3"] == pytest.approx(before.account.served_m3, abs=0.02)
    assert outlet.loop(0).served_m3 == pytest.approx(account["served_m3"] + outlet.loop(0).account.served_m3, abs=1e-5)


def test_water_before_an_account_is_not_in_its_meter_readings() -> None:
    outlet = PlantOutlet()
    outlet.leak_m3h = 3.0
    outlet.run(3.0)
    outlet.leak_m3h = 0.0
    outlet.holding()
    outlet.setpoint("INDUSTRY", 0.0)
    outlet.run(TRAVEL_S + 5.0)
    [account] = outlet.events_named("served")
    assert outlet.loop(0).meter.unattributed_m3 > 0.002
    assert account.body["total_end_m3"] - account.body["total_start_m3"] == pytest.approx(account.body["served_m3"])


def test_the_books_of_a_pipe_hold_all_that_its_meter_counted() -> None:
    outlet = PlantOutlet()
    outlet.scan()
    first = outlet.loop(0).meter.total_m3
    outlet.holding()
    outlet.reasons["FIT-201.flow"] = Reason.NO_COMMUNICATION
    outlet.run(40.0)
    outlet.leak_m3h = 2.0
    outlet.run(4.0)
    outlet.leak_m3h = 0.0
    outlet.reasons.clear()
    outlet.run(60.0)
    outlet.setpoint("INDUSTRY", 0.0)
    outlet.run(40.0)
    state = outlet.loop(0)
    assert first is not None
    assert state.meter.total_m3 is not None
    assert state.served_m3 + state.meter.unattributed_m3 + state.meter.idle_m3 == pytest.approx(
        state.meter.total_m3 - first, abs=1e-6
    )
    accounts = sum(event.body["served_m3"] for event in outlet.events_named("served"))
    assert accounts == pytest.approx(state.served_m3, abs=1e-5)
