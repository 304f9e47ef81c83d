"""The continuous dispenser under limits: pressure, quotas, allocation, ramps, and flow that is not as it should be."""

from dataclasses import replace
from typing import Any

import pytest

from config.sample import Reason
from control.cause import root
from control.code import Code
from control.command import Op
from control.continuous import ContinuousDispenser, ContinuousInputs, Phase
from control.valve import Position
from tests.control.bench import PERIOD_S, SITES, edited
from tests.control.test_continuous import TRAVEL_S, PlantOutlet

AT_1_BAR_M3H = 60.0
SETTINGS = "    setpoint: 120 m3/h\n    max_setpoint: 200 m3/h\n    ramp: 5 m3/h\n"
PID = "    pid: {gain: 0.15, integral_time: 1.5 s}\n"
LEVEL = "        outlet_ph: {namespace:"


class Outlet(PlantOutlet):
    """The plant outlet, with other settings of INDUSTRY, and a network that takes more the higher its pressure."""

    def __init__(self, settings: str, pid: str = PID) -> None:
        pressure = '        pressure: {namespace: "urn:changzhi:wwtp", node: s=PT-201.P, unit: bar, range: [0, 16]}\n'
        text = (SITES / "plant-outlet.yaml").read_text(encoding="utf-8")
        begin = text.index("    setpoint: 120 m3/h")
        own = text[begin : text.index(PID, begin)] + PID
        # Nobody allocates: these are the limits of the dispenser alone.
        allocation = text[text.index("allocation:\n") : text.index("uplink:\n")]
        super().__init__(edited("plant-outlet", (own, settings + pid), (LEVEL, pressure + LEVEL), (allocation, "")))

    def started(self) -> "Outlet":
        super().started()
        return self

    def holding(self) -> "Outlet":
        super().holding()
        return self

    def plant(self) -> None:
        super().plant()
        self.values["PLC-200.pressure"] = (self.flow["1"] / AT_1_BAR_M3H) ** 2

    @property
    def alarms(self) -> set[str]:
        return {alarm.id for alarm in self.state.alarms.standing if alarm.id.startswith("INDUSTRY.")}


UNDER_PRESSURE = (
    "    control: pressure\n    pressure: PLC-200.pressure\n    setpoint: 3 bar\n    max_setpoint: 5 bar\n"
    "    ramp: 0.1 bar\n    high_flow: 220 m3/h\n"
)
PRESSURE_PID = "    pid: {gain: 4.0, integral_time: 3 s}\n"


def test_pressure_is_held_and_a_set_point_of_pressure_is_taken() -> None:
    outlet = Outlet(UNDER_PRESSURE, PRESSURE_PID)
    outlet.started().run(120.0)
    assert outlet.values["PLC-200.pressure"] == pytest.approx(3.0, rel=0.03)
    assert outlet.ask(Op.SETPOINT, "INDUSTRY", value=2.0).accepted
    outlet.run(90.0)
    assert outlet.values["PLC-200.pressure"] == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize(("arguments"), [{"flow_m3h": 100.0}, {"value": 5.1}, {"value": -0.1}])
def test_a_set_point_of_another_kind_or_beyond_the_most_is_refused(arguments: dict[str, Any]) -> None:
    outlet = Outlet(UNDER_PRESSURE, PRESSURE_PID).started()
    answer = outlet.ask(Op.SETPOINT, "INDUSTRY", **arguments)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.SETPOINT_NOT_ALLOWED


def test_a_pressure_that_is_not_read_closes_after_its_tolerance() -> None:
    outlet = Outlet(UNDER_PRESSURE, PRESSURE_PID)
    outlet.started().run(60.0)
    outlet.reasons["PLC-200.pressure"] = Reason.NO_COMMUNICATION
    outlet.run(2.8)
    assert outlet.output("FV-201") != 0.0
    outlet.run(0.4)
    assert outlet.output("FV-201") == 0.0
    assert outlet.alarms == {"INDUSTRY.pressure-unknown"}


def test_under_control_of_pressure_a_used_up_quota_throttles_the_flow() -> None:
    quota = "    quota: {daily: 1 m3, at_limit: throttle, throttle: 40 m3/h}\n"
    limit = PRESSURE_PID + "    limit_pid: {gain: 0.15, integral_time: 1.5 s}\n"
    outlet = Outlet(UNDER_PRESSURE + quota, limit)
    outlet.started().run(130.0)
    assert outlet.loop(0).quota.reached is not None
    assert outlet.flow["1"] == pytest.approx(40.0, rel=0.03)
    outlet.ask(Op.QUOTA, "INDUSTRY", value="daily", volume_m3=1000.0, reason="works")
    outlet.run(90.0)
    assert outlet.values["PLC-200.pressure"] == pytest.approx(3.0, rel=0.03)


def test_up_and_down_each_at_its_own_ramp() -> None:
    outlet = Outlet(SETTINGS + "    ramp_down: 2 m3/h\n").holding()
    outlet.setpoint("INDUSTRY", 60.0)
    outlet.run(10.0)
    assert outlet.loop(0).ramped == pytest.approx(120.0 - 2 * 10.0, abs=0.5)
    outlet.run(25.0)
    outlet.setpoint("INDUSTRY", 120.0)
    outlet.run(10.0)
    assert outlet.loop(0).ramped == pytest.approx(60.0 + 5 * 10.0, abs=1.0)


def test_a_quota_warns_at_80_and_95_percent_stops_at_100_and_is_never_exceeded_by_more_than_the_closing_valve() -> None:
    outlet = Outlet(SETTINGS + "    quota: {daily: 2 m3}\n")
    outlet.started()
    raised: list[str] = []
    for _ in range(3000):
        outlet.scan()
        raised += [alarm for alarm in sorted(outlet.alarms) if alarm not in raised]
        if outlet.loop(0).phase is Phase.STOPPED:
            break
    outlet.run(TRAVEL_S + 5.0)
    assert raised == ["INDUSTRY.quota-warning", "INDUSTRY.quota-near", "INDUSTRY.quota-reached"]
    used = outlet.loop(0).quota.day.used_m3
    # The stated error: what passes from full flow while the valve closes, and one reading of the meter.
    assert 2.0 <= used <= 2.0 + 120 / 3600 * (TRAVEL_S + 1.0)
    assert used == pytest.approx(outlet.loop(0).served_m3)
    cause = next(demand.cause for demand in outlet.state.outputs if demand.tag == "FV-201")
    assert cause.code is Code.QUOTA_REACHED
    # The next day it serves again, by itself and from nil.
    outlet.mono += 86_400.0
    outlet.source_times = dict.fromkeys(outlet.source_times, outlet.now.utc)
    outlet.run(55.0)
    assert outlet.flow["1"] == pytest.approx(120.0, rel=0.05)


def test_a_quota_may_throttle_instead() -> None:
    outlet = Outlet(SETTINGS + "    quota: {yearly: 1.5 m3, at_limit: throttle, throttle: 20 m3/h}\n")
    outlet.started().run(120.0)
    assert outlet.flow["1"] == pytest.approx(20.0, rel=0.05)
    cause = next(demand.cause for demand in outlet.state.outputs if demand.tag == "FV-201")
    assert [cause.code, root(cause).code] == [Code.REGULATING, Code.QUOTA_REACHED]


def test_another_quota_is_recorded_with_who_and_why() -> None:
    outlet = Outlet(SETTINGS + "    quota: {daily: 2000 m3}\n").started()
    refused = outlet.ask(Op.QUOTA, "INDUSTRY", value="daily", volume_m3=5.0)
    assert refused.refusal is not None
    assert refused.refusal.code is Code.REASON_MISSING
    assert outlet.ask(Op.QUOTA, "INDUSTRY", value="daily", volume_m3=5.0, reason="drought").accepted
    event = outlet.events_named("quota-changed")[-1].body
    assert (event["was_m3"], event["limit_m3"], event["by"], event["reason"]) == (2000.0, 5.0, "local:test", "drought")
    assert outlet.alarms == {"INDUSTRY.quota-changed"}
    no_number = outlet.ask(Op.QUOTA, "INDUSTRY", value="daily", volume_m3=float("nan"), reason="typed wrongly")
    assert no_number.refusal is not None
    assert no_number.refusal.code is Code.QUOTA_NOT_ALLOWED
    assert outlet.ask(Op.QUOTA, "INDUSTRY", value="daily", volume_m3=-1.0, reason="rain").accepted
    outlet.scan()
    assert outlet.alarms == set()
    none = Outlet(SETTINGS).ask(Op.QUOTA, "INDUSTRY", value="daily", volume_m3=5.0, reason="drought")
    assert none.refusal is not None
    assert none.refusal.code is Code.NO_SUCH_QUOTA


def test_no_low_and_high_flow_each_lead_to_what_the_table_says() -> None:
    outlet = Outlet(SETTINGS + "    low_flow: 30 m3/h\n    low_flow_after: 10 s\n    high_flow: 220 m3/h\n").holding()
    true_plant = outlet.plant

    def shows(flow: float) -> None:
        def plant() -> None:
            true_plant()
            outlet.values["FIT-201.flow"] = flow

        outlet.plant = plant  # type: ignore[method-assign]

    shows(20.0)
    outlet.run(11.0)
    assert "INDUSTRY.low-flow" in outlet.alarms
    shows(0.0)
    outlet.run(61.0)
    assert "INDUSTRY.no-flow" in outlet.alarms
    assert outlet.output("FV-201") != 0.0
    assert not outlet.state.trips[0].latched
    shows(230.0)
    outlet.run(3.2)
    trip = outlet.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.HIGH_FLOW
    assert outlet.output("FV-201") == 0.0


def test_a_totaliser_that_stands_still_is_an_alarm_and_supply_goes_on() -> None:
    outlet = PlantOutlet().holding()
    stands = outlet.values["FIT-201.total"]
    true_plant = outlet.plant

    def plant() -> None:
        true_plant()
        outlet.values["FIT-201.total"] = stands

    outlet.plant = plant  # type: ignore[method-assign]
    outlet.run(10.0)
    assert "INDUSTRY.meter-disagrees" in {alarm.id for alarm in outlet.state.alarms.standing}
    assert outlet.output("FV-201") != 0.0


@pytest.mark.parametrize(("allocated", "expected"), [(None, 120.0), (200.0, 120.0), (45.0, 45.0), (0.0, 0.0)])
def test_what_is_allocated_caps_the_set_point(allocated: float | None, expected: float) -> None:
    """The step alone."""
    outlet = PlantOutlet().holding()
    dispenser, state = outlet.program.dispensers[0].dispenser, outlet.loop(0)
    assert isinstance(dispenser, ContinuousDispenser)
    inputs = ContinuousInputs(None, Position.OPEN, allocated)
    for _ in range(400):
        outlet.mono += PERIOD_S
        shown = {"FIT-201.flow": state.ramped, "FIT-201.total": outlet.values["FIT-201.total"]}
        outlet.values |= shown
        outlet.refresh()
        state, result = dispenser.step(state, tuple(outlet.image), inputs, outlet.now)
    assert state.ramped == pytest.approx(expected)
    if allocated == 0.0:
        assert result.cause.code is Code.NOTHING_ALLOCATED
        assert result.opening == 0.0
    capped = allocated is not None and 0 < allocated < 120
    assert (result.cause.because is not None) is capped
    assert replace(state) == state
