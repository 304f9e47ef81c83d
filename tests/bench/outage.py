"""What a forwarder or a broker that is gone for 30 s costs the scan and the record: nothing, if all is well."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from edge.cli.station import Station, example_site, running
from tests.bench.figures import figure

OUTAGE_S = 30.0
FILL = "FILL-1"
VOLUME_M3 = 0.25


async def run() -> None:
    """Fills once undisturbed, once without a forwarder and once without a broker, 30 s each."""
    print(f"outages of {OUTAGE_S:g} s during a fill of {VOLUME_M3 * 1000:g} L", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        async with running(Station(example_site("fill-station"), Path(directory))) as station:
            await _phase(station, "nothing is gone")
            await station.end_process("forwarder", kill=True)
            await _phase(station, "forwarder killed")
            await station.start_process("forwarder")
            await station.until_delivered()
            assert station.relay is not None
            await station.relay.cut()
            await _phase(station, "broker out of reach")
            await station.relay.restore()
            await station.until_delivered()
            await station.end_process("controller")
            await station.until_delivered()
            _, produced = station.produced()
            result = station.completeness.to_json()
    figure("records produced", produced, "")
    figure("records delivered", result["received"], "")
    figure("records lost", produced - result["received"], "")
    figure("records sent again and dropped by identity", result["duplicates"], "")


async def _phase(station: Station, name: str) -> None:
    order_id = name.replace(" ", "-")
    await station.until_ready(FILL)
    before = await _scan(station)
    answer = await station.ask("order", dispenser=FILL, order_id=order_id, volume_m3=VOLUME_M3)
    assert answer["ok"], answer
    receipt, _ = await asyncio.gather(station.receipt(order_id), asyncio.sleep(OUTAGE_S))
    after = await _scan(station)
    figure(f"{name}: delivered", receipt["delivered_m3"] * 1000, "L")
    figure(f"{name}: periods missed", after["missed_periods"] - before["missed_periods"], "")
    figure(f"{name}: late by p99 (since the start)", after["lateness_p99_ms"], "ms")


async def _scan(station: Station) -> dict[str, Any]:
    figures: dict[str, Any] = (await station.ask("status"))["scan"]
    return figures
