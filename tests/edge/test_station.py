"""A whole station: simulator, broker, controller and forwarder as processes on real sockets, ptys and a real broker."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from edge.cli.client import forwarder_status
from edge.cli.station import Station, example_site, running
from tests.edge.envelopes import order as order_body
from tests.edge.envelopes import signed

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILL = "FILL-1"
ORDERED_M3 = 0.05
STALLS = 5
"""Periods that a busy test machine may cost; a scan that waited for a broker would lose a hundred in a fill."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Station]:
    async with running(Station(example_site("fill-station"), tmp_path_factory.mktemp("station"))) as station:
        yield station


async def _fill(station: Station, order_id: str, volume_m3: float = ORDERED_M3) -> None:
    await station.until_ready(FILL)
    answer = await station.ask("order", dispenser=FILL, order_id=order_id, volume_m3=volume_m3, vehicle="晋D·12345")
    assert answer["ok"], answer


async def _flowing(station: Station) -> None:
    async def flows() -> bool:
        return bool((await station.dispenser(FILL))["phase"] == "full-flow")

    await station.until("water flows", flows)


async def _scan(station: Station) -> dict[str, Any]:
    figures: dict[str, Any] = (await station.ask("status"))["scan"]
    return figures


async def test_a_fill_ends_with_a_receipt_that_agrees_with_what_left_the_tank(station: Station) -> None:
    await station.until_ready(FILL)
    before = (await station.simulate("state"))["truth"]["dispensed_m3"]["FIT-101"]
    await _fill(station, "story-1", 0.1)
    receipt = await station.receipt("story-1")
    dispensed = (await station.simulate("state"))["truth"]["dispensed_m3"]["FIT-101"] - before
    assert receipt["complete"]
    assert receipt["delivered_m3"] == pytest.approx(0.1, abs=0.02)
    assert receipt["delivered_m3"] == pytest.approx(dispensed, abs=0.002)
    assert receipt["total_end_m3"] - receipt["total_start_m3"] == pytest.approx(receipt["delivered_m3"], abs=1e-6)
    assert {quality["parameter"] for quality in receipt["quality"]} == {"turbidity", "ph", "cod", "ammonia"}
    await station.until_ready(FILL)
    again = await station.ask("order", dispenser=FILL, order_id="story-1", volume_m3=0.1)
    assert again["refusal"]["code"] == "order-seen"


async def test_the_platform_gets_the_receipt_and_every_record(station: Station) -> None:
    await station.until_delivered()
    receipts = [message for message in station.received if message.kind == "receipt"]
    assert [receipt.values["order_id"] for receipt in receipts] == ["story-1"]
    assert station.completeness.missing() == {}
    assert {message.device for message in station.received if message.kind == "DBIRTH"} >= {"FIT-101", "PLC-100", FILL}


async def test_a_killed_forwarder_changes_no_fill_and_loses_nothing(station: Station) -> None:
    missed = (await _scan(station))["missed_periods"]
    await _fill(station, "forwarder")
    await _flowing(station)
    await station.end_process("forwarder", kill=True)
    assert (await station.receipt("forwarder"))["complete"]
    assert (await _scan(station))["missed_periods"] <= missed + STALLS
    await station.start_process("forwarder")
    await station.until_delivered()
    assert station.completeness.missing() == {}


async def test_a_broker_out_of_reach_changes_no_fill_and_loses_nothing(station: Station) -> None:
    assert station.relay is not None
    missed = (await _scan(station))["missed_periods"]
    await _fill(station, "broker")
    await _flowing(station)
    await station.relay.cut()
    assert (await station.receipt("broker"))["complete"]
    assert (await _scan(station))["missed_periods"] <= missed + STALLS

    def noticed() -> bool:
        status = forwarder_status(station.state)
        return status is not None and not status["connected"] and status["waiting"] > 0

    await station.until("records wait", noticed)
    await station.relay.restore()
    await station.until_delivered()
    assert station.completeness.missing() == {}


async def test_a_breach_closes_the_valve_and_why_leads_to_the_bytes_on_the_wire(station: Station) -> None:
    await _fill(station, "breach", 5.0)
    await _flowing(station)
    await station.simulate("upset", parameter="turbidity", value=18.0)

    async def tripped() -> bool:
        return bool((await station.dispenser(FILL))["tripped"])

    await station.until("the guard trips", tripped)
    why = await station.ask("why", name="XV-101")
    assert [cause["code"] for cause in why["causes"]] == ["tripped", "above-instant-limit"]
    seen = why["causes"][-1]["seen"]
    assert seen["value"] > 15.0
    assert len(bytes.fromhex(seen["raw"])) == 4
    wire = why["wire"]["AIT-101.turbidity"]
    assert (wire["link"], wire["unit"]) == ("field", 2)
    receipt = await station.receipt("breach")
    assert not receipt["complete"]
    assert receipt["stop"]["because"]["code"] == "above-instant-limit"
    assert (await station.simulate("state"))["signals"]["RIO-101.xv_101"] is False

    refused = await station.ask("reset", dispenser=FILL)
    assert refused["refusal"]["code"] == "fault-stands"
    await station.simulate("calm", parameter="turbidity")

    async def accepted() -> bool:
        return bool((await station.ask("reset", dispenser=FILL))["ok"])

    await station.until("the reset is accepted", accepted)
    await _fill(station, "after-reset")
    assert (await station.receipt("after-reset"))["complete"]


@pytest.mark.parametrize("dead", ["AIT-103", "RIO-101"])
async def test_a_dead_device_delays_nobody_on_another_bus(station: Station, dead: str) -> None:
    await station.until_ready(FILL)
    link = "field" if dead == "AIT-103" else "io"
    if link == "field":
        await station.simulate("silence", device=dead, on=True)
    else:
        await station.simulate("refuse", link="io", on=True)

    async def devices() -> dict[str, dict[str, Any]]:
        links = (await station.ask("status"))["links"]
        return {tag: device | {"link": name} for name, one in links.items() for tag, device in one["devices"].items()}

    async def offline() -> bool:
        return not (await devices())[dead]["online"]

    await station.until(f"{dead} is offline", offline)
    at_first = await devices()

    async def others_polled() -> bool:
        now = await devices()
        return all(
            now[tag]["replies"] >= before["replies"] + 3
            for tag, before in at_first.items()
            if tag != dead and (before["link"] != link or link == "field")
        )

    await station.until("every other device is read on and on", others_polled)
    others = [device for tag, device in (await devices()).items() if tag != dead]
    assert all(device["online"] for device in others)
    why = await station.ask("why", name=FILL)
    assert not why["state"].endswith("ready") or dead == "AIT-103"
    if link == "field":
        await station.simulate("silence", device=dead, on=False)
    else:
        await station.simulate("refuse", link="io", on=False)
    await station.until(f"{dead} is back", lambda: _online(station, dead))


async def _online(station: Station, device: str) -> bool:
    links: dict[str, dict[str, dict[str, dict[str, bool]]]] = (await station.ask("status"))["links"]
    return any(link["devices"][device]["online"] for link in links.values() if device in link["devices"])


async def test_a_malformed_command_from_upstream_is_refused_answered_and_recorded(station: Station) -> None:
    import aiomqtt

    assert station.broker is not None
    topic = "penstock/changzhi/fill-07/request"
    scans = (await _scan(station))["scans"]
    async with aiomqtt.Client("127.0.0.1", station.broker.port) as client:
        for payload in (b"open!", b"\xff\x00", json.dumps({"body": 1}).encode(), signed(order_body("c", 1))):
            await client.publish(topic, payload, qos=1)

    def answered() -> bool:
        return sum(message.kind == "answer" for message in station.received) == 4

    await station.until("every one is answered", answered)
    answers = [message.values["code"] for message in station.received if message.kind == "answer"]
    assert answers == ["malformed", "malformed", "malformed", "unknown-signer"]

    def recorded() -> bool:
        commands = [message.values["name"] for message in station.received if message.kind == "command"]
        return commands.count("refused-upstream") == 4

    await station.until("every one is recorded", recorded)
    assert (await _scan(station))["scans"] > scans


async def test_a_pump_out_of_service_takes_no_order_until_it_is_back(station: Station) -> None:
    await station.until_ready(FILL)
    assert (await station.ask("pump-out-of-service", target="P-101", reason="seal leaks"))["ok"]
    refused = await station.ask("order", dispenser=FILL, order_id="no-pump", volume_m3=ORDERED_M3)
    assert refused["refusal"]["code"] == "pump-out-of-service"
    pump = (await station.ask("status"))["pumps"]["P-101"]
    assert pump["stage"] == "out-of-service"
    assert pump["starts"] > 0
    assert pump["run_hours"] > 0
    assert (await station.ask("pump-in-service", target="P-101"))["ok"]
    await station.until_ready(FILL)


async def test_nothing_was_lost_in_all_of_this(station: Station) -> None:
    await station.until_ready(FILL)
    await station.end_process("controller")
    await station.until_delivered()
    _, produced = station.produced()
    result = station.completeness.to_json()
    assert (result["received"], result["missing"], result["out_of_order"]) == (produced, 0, 0)
