"""What goes wrong at a dispenser: for each cause its alarm and its action, as the table says, through whole scans."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from config.sample import Reason
from control.alarm import Priority
from control.cause import root
from control.code import Code
from control.fill_phase import DISPENSING, Phase
from control.response import BATCH, CONTINUOUS, TRIPS, Action, Response
from tests.control.bench import FillStation, edited


def nothing_flows(station: FillStation) -> None:
    station.full_flow_m3h = 0.0


def little_flows(station: FillStation) -> None:
    station.full_flow_m3h = 8.0


def hose_bursts(station: FillStation) -> None:
    station.full_flow_m3h = 130.0


def meter_is_lost(station: FillStation) -> None:
    station.reasons["FIT-101.total"] = Reason.NO_COMMUNICATION


def flow_alone_is_lost(station: FillStation) -> None:
    station.reasons["FIT-101.flow"] = Reason.NO_COMMUNICATION


def totaliser_stands_still(station: FillStation) -> None:
    stands_m3 = station.total_m3
    plant = station.plant

    def plant_with_a_dead_total() -> None:
        plant()
        station.values["FIT-101.total"] = stands_m3

    station.plant = plant_with_a_dead_total  # type: ignore[method-assign]


def takes_too_long(station: FillStation) -> None:
    station.full_flow_m3h = 20.0


Upset = Callable[[FillStation], None]
UPSETS: list[tuple[Upset, Code]] = [
    (nothing_flows, Code.NO_FLOW),
    (little_flows, Code.LOW_FLOW),
    (hose_bursts, Code.HIGH_FLOW),
    (meter_is_lost, Code.METER_UNKNOWN),
    (flow_alone_is_lost, Code.METER_UNKNOWN),
    (totaliser_stands_still, Code.METER_DISAGREES),
    (takes_too_long, Code.ORDER_TIMEOUT),
]


@pytest.mark.parametrize(("upset", "code"), UPSETS)
def test_a_fill_that_goes_wrong_ends_as_the_table_says(upset: Upset, code: Code) -> None:
    limits = "full_flow: 60 m3/h\n    low_flow_after: 5 s\n    order_timeout: 60 s\n"
    station = FillStation(edited("fill-station", ("full_flow: 60 m3/h\n", limits))).ready()
    station.order(20.0)
    station.until(Phase.FULL_FLOW)
    station.run(5.0)
    upset(station)
    raised: set[str] = set()
    priorities: set[Priority] = set()
    for _ in range(720):
        station.scan()
        for alarm in station.state.alarms.standing:
            if alarm.id == f"FILL-1.{code}":
                raised.add(alarm.id)
                priorities.add(alarm.priority)
        if BATCH[code].action is not Action.CONTINUE and station.fill.phase is Phase.IDLE:
            break
    assert raised == {f"FILL-1.{code}"}
    assert priorities == {BATCH[code].alarm}
    match BATCH[code].action:
        case Action.CONTINUE:
            # What ends it at last is the time that an order may take.
            assert station.events_named("receipt")[-1].body["stop"]["code"] == "order-timeout"
        case Action.STOP:
            assert station.events_named("receipt")[-1].body["stop"]["code"] == code
            assert not station.state.trips[0].latched
        case _:
            trip = station.state.trips[0].cause
            assert trip is not None
            assert root(trip).code is code


def test_a_dead_totaliser_never_fills_a_tanker_beyond_what_its_flow_adds_up_to() -> None:
    station = FillStation().ready()
    station.order(20.0)
    station.until(Phase.FULL_FLOW)
    station.run(20.0)
    before = station.total_m3
    totaliser_stands_still(station)
    station.until(Phase.IDLE)
    # 5 % of what had flowed, or 50 L, and what passes while the valve closes.
    assert station.total_m3 - before < 0.05 + 0.05 * before / 1000 + 0.12
    receipt = station.events_named("receipt")[-1].body
    assert receipt["meter_disagrees"] is True
    assert receipt["by_flow_m3"] > receipt["delivered_m3"]


def test_an_empty_pipe_counts_no_water_and_ends_the_fill_for_want_of_flow() -> None:
    station = FillStation(
        edited(
            "fill-station",
            ("        yl_101: {", "        fs_101: {table: discrete, address: 13, type: bool}\n        yl_101: {"),
            ("rollover: 1000000 m3}", "rollover: 1000000 m3, empty_pipe: RIO-101.fs_101}"),
        )
    )
    station.values["RIO-101.fs_101"] = False
    station.ready()
    station.order(20.0)
    station.until(Phase.FULL_FLOW)
    station.values["RIO-101.fs_101"] = True
    delivered = station.fill.delivered_m3
    station.run(5.0)
    assert "FILL-1.pipe-empty" in station.alarms
    assert station.fill.delivered_m3 == pytest.approx(delivered, abs=0.002)
    station.until(Phase.SETTLING, 30.0)
    assert station.fill.stop is not None
    assert station.fill.stop.code is Code.NO_FLOW


def test_flow_after_closing_trips_and_the_receipt_still_comes() -> None:
    station = FillStation().ready()
    station.order(0.3)
    station.until(Phase.SETTLING)
    station.leak_m3h = 3.0
    station.run(29.0)
    assert not station.state.trips[0].latched
    station.run(2.0)
    trip = station.state.trips[0].cause
    assert trip is not None
    assert root(trip).code is Code.FLOW_AFTER_CLOSE
    station.until(Phase.IDLE, 60.0)
    [receipt] = station.events_named("receipt")
    assert receipt.body["complete"] is True
    assert receipt.body["delivered_m3"] > 0.3


def test_a_meter_lost_while_it_settles_is_no_leak() -> None:
    station = FillStation().ready()
    station.order(0.3)
    station.until(Phase.SETTLING)
    station.reasons |= {"FIT-101.flow": Reason.NO_COMMUNICATION, "FIT-101.total": Reason.NO_COMMUNICATION}
    station.until(Phase.IDLE, 70.0)
    assert not station.state.trips[0].latched
    assert len(station.events_named("receipt")) == 1


def test_more_than_the_pre_act_limit_beyond_the_preset_is_an_alarm() -> None:
    station = FillStation().ready()
    station.order(0.3)
    station.until(Phase.CLOSING)
    station.valve_stuck = True
    station.leak_m3h = 40.0
    station.run(60.0)
    assert "FILL-1.overrun" in station.alarms


@pytest.mark.parametrize(("table", "heading"), [(BATCH, "## Batch"), (CONTINUOUS, "## Continuous")])
def test_the_document_says_what_the_table_says(table: dict[Code, Response], heading: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "dispensers.md").read_text(encoding="utf-8")
    part = text[text.index(heading) :].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \| ([a-z-]+) \| ([a-z ]+) \|$", part, re.MULTILINE)
    said = {code: (alarm, action) for code, alarm, action in rows}
    assert said == {
        str(code): (one.alarm.name.lower() if one.alarm is not None else "-", str(one.action))
        for code, one in table.items()
    }


def test_every_trip_and_every_fast_close_is_an_alarm_of_high_priority() -> None:
    for table in (BATCH, CONTINUOUS):
        for code, response in table.items():
            loud = response.action in TRIPS or response.action is Action.STOP_FAST
            assert not loud or response.alarm is Priority.HIGH, code
    assert Phase.FULL_FLOW in DISPENSING
