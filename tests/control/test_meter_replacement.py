"""A meter is replaced: the count goes on, nothing is booked for it, and nobody does it by mistake."""

import json

import pytest

from config.sample import Reason
from control.cause import to_json
from control.code import Code
from control.command import Answer, Op
from control.event import Kind
from control.saved import restored, to_saved
from tests.control.bench import FillStation
from tests.control.test_continuous import PlantOutlet

METER = ("FIT-101.flow", "FIT-101.total")


def replaced(station: FillStation, reads_m3: object = 12.3, reason: str = "worn", source: str = "local:li") -> Answer:
    return station.ask(Op.METER_REPLACED, "FILL-1", source=source, value=reads_m3, reason=reason)


def disconnected() -> FillStation:
    station = FillStation().ready()
    station.reasons |= dict.fromkeys(METER, Reason.NO_COMMUNICATION)
    station.run(1.0)
    return station


def test_the_count_goes_on_from_the_new_register_and_the_difference_is_no_water() -> None:
    station = disconnected()
    assert replaced(station).accepted
    station.total_m3 = 12.345
    for name in METER:
        del station.reasons[name]
    station.run(5.0)
    assert station.fill.meter.total_m3 == 12.345
    station.order(0.5)
    station.until("idle")
    [receipt] = station.events_named("receipt")
    assert receipt.body["total_start_m3"] == pytest.approx(12.345)
    assert receipt.body["delivered_m3"] == pytest.approx(station.total_m3 - 12.345, abs=1e-6)
    assert station.fill.meter.unattributed_m3 + station.fill.meter.idle_m3 == pytest.approx(0.045)
    assert station.events_named("totaliser-backward") == []


def test_it_is_recorded_with_both_readings_who_and_why_and_survives_a_restart() -> None:
    station = disconnected()
    replaced(station)
    event, command = station.events_named("meter-replaced")
    assert (event.kind, event.subject) == (Kind.EVENT, "FILL-1")
    said = {"by": "local:li", "reason": "worn", "old_total_m3": 1000.0, "new_total_m3": 12.3}
    assert said.items() <= event.body.items()
    assert command.kind is Kind.COMMAND
    assert (command.body["accepted"], command.body["value"]) == (True, 12.3)
    saved = json.loads(json.dumps(to_saved(station.program, station.state, station.now), allow_nan=False))
    after = restored(station.program, saved, station.now).dispensers[0]
    assert after.meter.total_m3 == 12.3


def test_what_was_learned_of_the_old_meter_is_forgotten() -> None:
    station = FillStation().ready()
    station.order(0.5)
    station.until("idle")
    assert station.fill.overruns_m3 != ()
    station.run(5.0)
    assert replaced(station, station.total_m3).accepted
    assert station.fill.overruns_m3 == ()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"source": "platform:dispatch"}, Code.REPLACED_ONLY_LOCAL),
        ({"reason": " "}, Code.REASON_MISSING),
        ({"reads_m3": -1.0}, Code.READING_NOT_ALLOWED),
        ({"reads_m3": 1e6}, Code.READING_NOT_ALLOWED),
        ({"reads_m3": None}, Code.READING_NOT_ALLOWED),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(arguments: dict[str, object], code: Code) -> None:
    station = disconnected()
    before = station.fill
    answer = replaced(station, **arguments)  # type: ignore[arg-type]
    assert answer.refusal is not None
    assert answer.refusal.code is code
    json.dumps(to_json(answer.refusal), allow_nan=False)
    assert station.fill.meter.total_m3 == before.meter.total_m3
    [command] = station.events_named("meter-replaced")
    assert command.body["accepted"] is False


def test_a_meter_that_sends_something_else_than_it_is_said_to_read_is_refused() -> None:
    answer = replaced(FillStation().ready(), 12.3)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.READING_DIFFERS
    assert answer.refusal.values == ("12.3 m3", "1000 m3")


def test_it_is_refused_while_an_order_is_open() -> None:
    station = FillStation().ready()
    station.order(0.5)
    station.run(1.0)
    answer = replaced(station, station.total_m3)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.BUSY


def test_it_is_refused_while_water_flows_or_the_valve_is_not_proved_closed() -> None:
    station = FillStation().ready()
    station.leak_m3h = 3.0
    station.run(0.5)
    answer = replaced(station, station.total_m3)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.WATER_FLOWS
    station = FillStation().ready()
    station.silent.add("RIO-101")
    station.run(3.0)
    answer = replaced(station, station.total_m3)
    assert answer.refusal is not None
    assert answer.refusal.code is Code.VALVE_UNKNOWN


def test_a_continuous_dispenser_must_have_stopped_and_closed_its_account() -> None:
    station = PlantOutlet()
    station.run(60.0)
    answer = station.ask(Op.METER_REPLACED, "INDUSTRY", value=5.0, reason="worn")
    assert answer.refusal is not None
    assert answer.refusal.code is Code.SUPPLY_GOES_ON
    assert station.ask(Op.SETPOINT, "INDUSTRY", flow_m3h=0.0).accepted
    station.run(40.0)
    station.reasons |= dict.fromkeys(("FIT-201.flow", "FIT-201.total"), Reason.NO_COMMUNICATION)
    station.run(1.0)
    assert station.ask(Op.METER_REPLACED, "INDUSTRY", value=5.0, reason="worn").accepted
    state = station.state.dispensers[0]
    assert state.meter.total_m3 == 5.0
    assert station.ask(Op.METER_REPLACED, "NOWHERE", value=5.0, reason="worn").refusal is not None
