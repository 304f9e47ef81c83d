"""What must be in place at the fill arm, through whole scans."""

import pytest

from config.load import LoadedSite
from config.sample import Reason
from control.code import Code
from control.command import Op
from control.fill_phase import Phase
from tests.control.bench import FillStation, edited

HOSE, OVERFILL, START, STOP = "RIO-101.hose", "RIO-101.overfill_ok", "RIO-101.start", "RIO-101.stop"


def with_arm(settings: str) -> LoadedSite:
    return edited(
        "fill-station",
        (
            "        yl_101: {table: discrete, address: 2, type: bool, description: P-101 running}\n",
            "        yl_101: {table: discrete, address: 2, type: bool, description: P-101 running}\n"
            "        hose: {table: discrete, address: 13, type: bool}\n"
            "        overfill_ok: {table: discrete, address: 14, type: bool}\n"
            "        start: {table: discrete, address: 15, type: bool}\n"
            "        stop: {table: discrete, address: 16, type: bool}\n",
        ),
        ("    arm: {overfill: RIO-101.lsh_101}\n", f"    arm: {{{settings}, timeout: 30 s}}\n"),
    )


class Arm(FillStation):
    def __init__(self, settings: str = f"hose: {HOSE}, overfill: {OVERFILL}, start: {START}, stop: {STOP}") -> None:
        super().__init__(with_arm(settings))
        self.values |= {HOSE: True, OVERFILL: True, START: False, STOP: False}
        self.ready()

    def press(self) -> None:
        self.values[START] = True
        self.run(0.3)
        self.values[START] = False

    def filling(self) -> "Arm":
        self.order(5.0)
        self.until(Phase.ARMED)
        self.run(0.3)
        self.press()
        self.until(Phase.FULL_FLOW)
        return self

    @property
    def stopped_by(self) -> str:
        return str(self.events_named("receipt")[-1].body["stop"]["code"])


def test_an_armed_fill_waits_for_hose_and_start_and_says_so() -> None:
    station = Arm()
    station.values[HOSE] = False
    assert station.order(0.2).accepted
    station.run(2.0)
    assert station.fill.phase is Phase.ARMED
    assert station.output("XV-101") is False
    cause = station.fill.cause
    assert cause is not None
    assert cause.because is not None
    assert cause.because.code is Code.HOSE_NOT_CONNECTED
    station.values[HOSE] = True
    station.run(1.0)
    assert station.fill.phase is Phase.ARMED
    assert station.fill.cause is not None
    assert station.fill.cause.because is not None
    assert station.fill.cause.because.code is Code.WAITS_FOR_START
    station.press()
    station.until(Phase.FULL_FLOW)


def test_a_button_that_is_held_from_before_starts_nothing() -> None:
    station = Arm()
    station.values[START] = True
    station.order(0.2)
    station.run(5.0)
    assert station.fill.phase is Phase.ARMED
    station.values[START] = False
    station.run(1.0)
    assert station.fill.phase is Phase.ARMED
    station.press()
    station.until(Phase.FULL_FLOW)


def test_start_may_be_given_by_a_person_on_site_and_by_nobody_else() -> None:
    station = Arm(f"overfill: {OVERFILL}, start: command")
    assert station.ask(Op.START, "FILL-1").refusal is not None
    station.order(0.2)
    station.run(1.0)
    far = station.ask(Op.START, "FILL-1", source="platform:dispatch")
    assert far.refusal is not None
    assert far.refusal.code is Code.ONLY_LOCAL
    assert station.ask(Op.START, "FILL-1").accepted
    station.until(Phase.FULL_FLOW)
    late = station.ask(Op.START, "FILL-1")
    assert late.refusal is not None
    assert late.refusal.code is Code.NOTHING_TO_START


def test_a_fill_that_nobody_starts_ends_without_water() -> None:
    station = Arm()
    station.order(0.2)
    station.until(Phase.IDLE, 60.0)
    assert station.stopped_by == "arm-timeout"
    assert station.events_named("receipt")[0].body["delivered_m3"] == 0.0
    assert station.alarms == set()


def test_an_order_that_expires_while_it_waits_does_not_begin() -> None:
    station = Arm()
    station.order(0.2, expires_utc=station.now.utc + 10.0)
    station.until(Phase.ARMED)
    # The clock is set back by an hour: the order is valid no longer than it was.
    station.utc_offset -= 3600.0
    station.run(11.0)
    station.until(Phase.IDLE)
    assert station.stopped_by == "order-expired"


def test_a_full_tank_closes_in_the_same_scan_and_fast() -> None:
    station = Arm().filling()
    station.values[OVERFILL] = False
    station.scan()
    assert station.output("XV-101") is False
    assert station.output("P-101") is False
    station.until(Phase.SETTLING)
    assert "FILL-1.overfill" in station.alarms
    station.until(Phase.IDLE)
    assert station.stopped_by == "overfill"
    assert not station.state.trips[0].latched


@pytest.mark.parametrize(("name", "code"), [(HOSE, "hose-not-connected"), (STOP, "stopped-by-driver")])
def test_a_lost_hose_and_the_stop_button_end_the_fill(name: str, code: str) -> None:
    station = Arm().filling()
    station.values[name] = name == STOP
    station.scan()
    assert station.output("XV-101") is False
    station.until(Phase.IDLE)
    assert station.stopped_by == code


def test_a_probe_that_is_not_read_is_tolerated_for_a_poll_or_two_and_no_longer() -> None:
    station = Arm().filling()
    station.reasons[OVERFILL] = Reason.NO_COMMUNICATION
    station.run(0.8)
    assert station.output("XV-101") is True
    station.reasons.clear()
    station.run(3.0)
    assert station.output("XV-101") is True
    station.reasons[OVERFILL] = Reason.NO_COMMUNICATION
    station.run(1.2)
    assert station.output("XV-101") is False
    station.reasons.clear()
    station.until(Phase.IDLE)
    assert station.stopped_by == "permissive-unknown"


def test_water_that_flows_while_a_fill_only_waits_trips_and_is_nobodys() -> None:
    station = Arm()
    station.order(0.2)
    station.until(Phase.ARMED)
    station.leak_m3h = 3.6
    station.run(6.0)
    assert station.state.trips[0].latched
    station.leak_m3h = 0.0
    station.run(5.0)
    assert station.events_named("receipt")[-1].body["delivered_m3"] == 0.0
    assert station.fill.meter.unattributed_m3 > 0.005
