"""The batch dispenser over whole fills, in virtual time."""

import pytest

from config.sample import Reason
from control.cause import root
from control.code import Code
from control.command import Op
from control.fill_phase import DISPENSING, Phase
from control.instant import Instant
from control.saved import restored, to_saved
from tests.control.bench import FillStation


def test_a_fill_runs_from_order_to_receipt_and_books_what_the_meter_counted() -> None:
    station = FillStation().ready()
    before = station.total_m3
    assert station.order(0.5).accepted
    station.until("full-flow")
    station.until("idle")
    [receipt] = station.events_named("receipt")
    assert receipt.body["complete"] is True
    assert receipt.body["delivered_m3"] == pytest.approx(station.total_m3 - before, abs=1e-6)
    assert receipt.body["delivered_m3"] == pytest.approx(0.5, abs=0.04)
    assert receipt.body["stop"]["code"] == "preset-reached"
    assert [q["parameter"] for q in receipt.body["quality"]] == ["turbidity", "ph", "cod", "ammonia"]
    assert station.output("XV-101") is False
    assert station.output("P-101") is False


def test_pre_act_learns_from_the_overrun_of_complete_fills() -> None:
    station = FillStation().ready()
    errors = []
    for number in range(4):
        station.order(0.5, f"o-{number}")
        station.until("full-flow")
        station.until("idle")
        errors.append(abs(station.events_named("receipt")[-1].body["delivered_m3"] - 0.5))
    assert len(station.fill.overruns_m3) == 3
    assert errors[-1] <= 0.003


def test_the_pump_starts_after_the_valve_has_left_closed() -> None:
    station = FillStation().ready()
    station.order()
    while station.output("P-101") is not True:
        assert station.position == 0.0 or station.output("XV-101") is True
        station.scan()
    assert station.position > 0.0


@pytest.mark.parametrize(
    ("volume", "order_id", "code"),
    [
        (0.0, "n", Code.VOLUME_NOT_ALLOWED),
        (-1.0, "n", Code.VOLUME_NOT_ALLOWED),
        (20.1, "n", Code.VOLUME_NOT_ALLOWED),
        (float("nan"), "n", Code.VOLUME_NOT_ALLOWED),
        (float("inf"), "n", Code.VOLUME_NOT_ALLOWED),
    ],
)
def test_an_order_of_a_volume_that_is_not_allowed_is_refused(volume: float, order_id: str, code: Code) -> None:
    station = FillStation().ready()
    answer = station.order(volume, order_id)
    assert answer.refusal is not None
    assert answer.refusal.code is code
    assert station.fill.phase is Phase.IDLE


def test_an_order_id_is_filled_at_most_once() -> None:
    station = FillStation().ready()
    station.order(0.2, "same")
    station.until("full-flow")
    busy = station.order(0.2, "other")
    assert busy.refusal is not None
    assert busy.refusal.code is Code.BUSY
    station.until("idle")
    again = station.order(0.2, "same")
    assert again.refusal is not None
    assert again.refusal.code is Code.ORDER_SEEN


def test_a_cancelled_order_stops_and_still_gets_its_receipt() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    assert station.ask(Op.CANCEL, "FILL-1").accepted
    assert station.output("XV-101") is False
    station.until("idle")
    [receipt] = station.events_named("receipt")
    assert receipt.body["complete"] is False
    assert receipt.body["stop"]["code"] == "cancelled"
    assert station.fill.overruns_m3 == ()


def test_turbidity_above_instant_closes_in_the_same_scan_and_latches() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.values["AIT-101.turbidity"] = 15.5
    station.scan()
    assert station.output("XV-101") is False
    assert station.output("P-101") is False
    trip = station.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.ABOVE_INSTANT
    assert root(trip).seen is not None
    assert root(trip).seen.value == 15.5  # type: ignore[union-attr]
    station.values["AIT-101.turbidity"] = 2.0
    station.until("idle")
    refused = station.order(0.2, "after")
    assert refused.refusal is not None
    assert refused.refusal.code is Code.TRIPPED


def test_turbidity_above_stop_closes_after_its_delay_and_not_before() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.values["AIT-101.turbidity"] = 8.5
    station.run(2.9)
    assert station.output("XV-101") is True
    station.run(0.3)
    assert station.output("XV-101") is False


def test_a_reset_is_refused_until_the_water_has_been_good_for_the_clear_time() -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 16.0
    station.scan()
    station.values["AIT-101.turbidity"] = 2.0
    station.run(5.0)
    early = station.ask(Op.RESET, "FILL-1")
    assert early.refusal is not None
    assert early.refusal.because is not None
    assert early.refusal.because.code is Code.NOT_CLEAR_YET
    station.run(6.0)
    assert station.ask(Op.RESET, "FILL-1").accepted
    assert station.order(0.2).accepted


def test_a_reset_from_afar_is_refused_where_a_person_on_site_is_demanded() -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 16.0
    station.scan()
    station.values["AIT-101.turbidity"] = 2.0
    station.run(12.0)
    answer = station.ask(Op.RESET, "FILL-1", source="platform:dispatch")
    assert answer.refusal is not None
    assert answer.refusal.code is Code.RESET_ONLY_LOCAL


@pytest.mark.parametrize("reason", [Reason.NO_COMMUNICATION, Reason.NOT_A_NUMBER, Reason.DEVICE_FAULT])
def test_an_unknown_turbidity_stops_a_fill_within_its_delay_and_does_not_latch(reason: Reason) -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.reasons["AIT-101.turbidity"] = reason
    station.run(3.2)
    assert station.output("XV-101") is False
    assert not station.state.trips[0].latched
    del station.reasons["AIT-101.turbidity"]
    station.until("idle")
    station.run(4.0)
    assert station.order(0.2, "next").accepted


def test_a_silent_analyzer_goes_stale_and_stops_the_fill() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.silent.add("AIT-101")
    station.run(station.loaded.signals["AIT-101.turbidity"].stale_after + 3.3)
    assert station.output("XV-101") is False


def test_over_range_counts_as_above_the_limit() -> None:
    station = FillStation().ready()
    station.reasons["AIT-101.turbidity"] = Reason.OVER_RANGE
    station.scan()
    assert station.state.trips[0].latched


def test_a_maintenance_mark_holds_the_verdict_up_to_its_cap_and_never_opens_what_was_closed() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.reasons["AIT-101.turbidity"] = Reason.MAINTENANCE
    station.run(60.0)
    assert station.output("XV-101") is True
    station.run(600.0)
    assert station.ask(Op.CANCEL, "FILL-1").refusal is not None or station.output("XV-101") is False


def test_no_flow_ends_the_fill() -> None:
    station = FillStation().ready()
    station.full_flow_m3h = 0.0
    station.order(5.0)
    station.until("idle", 60.0)
    [receipt] = station.events_named("receipt")
    assert receipt.body["stop"]["code"] == "no-flow"
    assert receipt.body["delivered_m3"] == 0.0


def test_high_flow_trips() -> None:
    station = FillStation().ready()
    station.full_flow_m3h = 120.0
    station.order(5.0)
    station.until("idle", 60.0)
    assert station.state.trips[0].latched
    assert station.events_named("receipt")[0].body["stop"]["code"] in ("high-flow", "tripped")


def test_a_valve_that_does_not_open_trips_and_names_itself() -> None:
    station = FillStation().ready()
    station.valve_stuck = True
    station.order(5.0)
    station.run(8.0)
    trip = station.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.VALVE_NOT_OPENED


def test_a_valve_that_does_not_close_trips_and_stops_the_pump() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.run(5.0)
    station.valve_stuck = True
    station.ask(Op.CANCEL, "FILL-1")
    station.run(8.0)
    trip = station.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.VALVE_NOT_CLOSED
    assert station.output("P-101") is False


def test_flow_without_an_order_trips_and_is_booked_as_unattributed() -> None:
    station = FillStation().ready()
    station.leak_m3h = 3.6
    station.run(10.0)
    trip = station.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.FLOW_WITHOUT_ORDER
    station.leak_m3h = 0.0
    station.run(5.0)
    [booked] = station.events_named("unattributed")
    assert booked.body["volume_m3"] == pytest.approx(0.01, rel=0.02)


def test_a_low_level_refuses_new_orders_and_a_very_low_one_stops() -> None:
    station = FillStation().ready()
    station.values["PLC-100.level"] = 0.9
    low = station.order(1.0, "low")
    assert low.refusal is not None
    assert low.refusal.code is Code.LEVEL_LOW
    station.values["PLC-100.level"] = 3.0
    station.scan()
    station.order(5.0, "full")
    station.until("full-flow")
    station.values["PLC-100.level"] = 0.5
    station.scan()
    assert station.output("XV-101") is False


def test_after_a_restart_the_order_is_ended_and_the_water_in_between_is_unattributed() -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.run(10.0)
    delivered = station.fill.delivered_m3
    saved = to_saved(station.program, station.state, station.now)
    station.total_m3 += 0.125
    station.position = 0.0
    station.mono += 50.0
    station.utc_offset += 30.0
    station.state = restored(station.program, saved, station.now)
    station.events.clear()
    assert all(demand.value in (False, 0.0) for demand in station.state.outputs)
    station.until("idle")
    station.run(3.0)
    [receipt] = station.events_named("receipt")
    assert receipt.body["delivered_m3"] == pytest.approx(delivered, abs=1e-6)
    assert receipt.body["stop"]["code"] == "restarted"
    [booked] = station.events_named("unattributed")
    assert booked.body["volume_m3"] == pytest.approx(0.125, abs=1e-5)
    again = station.order(1.0, "o-1")
    assert again.refusal is not None


def test_trip_survives_restart_and_still_needs_its_reset() -> None:
    station = FillStation().ready()
    station.values["AIT-101.turbidity"] = 16.0
    station.scan()
    station.values["AIT-101.turbidity"] = 2.0
    saved = to_saved(station.program, station.state, station.now)
    station.state = restored(station.program, saved, station.now)
    station.run(5.0)
    assert station.state.trips[0].latched
    assert station.ask(Op.RESET, "FILL-1").refusal is not None
    station.run(20.0)
    assert station.ask(Op.RESET, "FILL-1").accepted


def test_a_scan_is_a_pure_function_of_its_inputs() -> None:
    one, two = FillStation().ready(), FillStation().ready()
    for station in (one, two):
        station.order(0.3)
        station.run(30.0)
    assert one.state == two.state
    assert one.events == two.events


def test_now_is_two_clocks() -> None:
    assert Instant(1.0, 2.0).mono == 1.0
    assert DISPENSING
