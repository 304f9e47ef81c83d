"""A controller that is killed in the middle of a fill: the water stops, and every litre is still accounted for."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from config.errors import LinkError
from edge.cli import exit_codes
from edge.cli.station import Station, example_site, running
from edge.cli.supervise import command_line

FILL = "FILL-1"


async def test_the_watchdog_closes_the_valve_and_the_order_ends_with_one_receipt(tmp_path: Path) -> None:
    async with running(Station(example_site("fill-station"), tmp_path)) as station:
        await station.until_ready(FILL)
        before = (await station.simulate("state"))["truth"]["dispensed_m3"]["FIT-101"]
        assert (await station.ask("order", dispenser=FILL, order_id="killed", volume_m3=5.0))["ok"]

        async def flowing() -> bool:
            return bool((await station.dispenser(FILL))["delivered_m3"] > 0.05)

        await station.until("water flows", flowing)
        await station.end_process("controller", kill=True)

        async def dry() -> bool:
            truth = (await station.simulate("state"))["truth"]
            return bool(truth["valves"]["XV-101"]["opening_percent"] == 0 and truth["flow_m3h"]["FIT-101"] < 0.1)

        await station.until("the device's own watchdog has closed the valve", dry)
        assert (await station.simulate("state"))["watchdogs"]["RIO-101"] is True

        await station.start_process("controller")
        await station.until("the controller answers", station.answers)
        receipt = await station.receipt("killed")
        await station.until_ready(FILL)
        dispensed = (await station.simulate("state"))["truth"]["dispensed_m3"]["FIT-101"] - before
        unattributed = (await station.dispenser(FILL))["unattributed_m3"]
        assert receipt["stop"]["code"] == "restarted"
        assert not receipt["complete"]
        assert receipt["delivered_m3"] + unattributed == pytest.approx(dispensed, abs=0.003)
        assert unattributed > 0
        receipts = (await station.ask("receipts", limit=100))["receipts"]
        assert [one["order_id"] for one in receipts] == ["killed"]
        again = await station.ask("order", dispenser=FILL, order_id="killed", volume_m3=1.0)
        assert again["refusal"]["code"] == "order-seen"
        await station.end_process("controller")
        await station.until_delivered()
        assert station.completeness.missing() == {}


async def test_run_starts_a_killed_process_again_and_ends_both_in_order(tmp_path: Path) -> None:
    station = Station(example_site("fill-station"), tmp_path)
    await station.start_broker()
    await station.start_simulator()
    run = await asyncio.create_subprocess_exec(
        *command_line(["run", str(station.site), "--state", str(station.state)]),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        first = await _boot_after(station, 0)
        os.kill(int((await station.ask("status"))["pid"]), signal.SIGKILL)
        assert await _boot_after(station, first) == first + 1
        run.terminate()
        async with asyncio.timeout(20.0):
            await run.wait()
        assert run.returncode == 0
        with pytest.raises(LinkError):
            await station.ask("ping")
        assert (await station.simulate("state"))["signals"]["RIO-101.xv_101"] is False
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
        await station.stop()


async def _boot_after(station: Station, boot: int) -> int:
    """The boot number of the controller, once it is a later one."""
    found: dict[str, Any] = {}

    async def later() -> bool:
        try:
            found.update(await station.ask("status"))
        except LinkError:
            return False
        return bool(found["boot"] > boot)

    await station.until("a controller answers", later)
    return int(found["boot"])


async def test_run_beside_a_running_controller_ends_and_says_why(tmp_path: Path) -> None:
    station = Station(example_site("fill-station"), tmp_path)
    await station.start_broker()
    await station.start_simulator()
    await station.start_process("controller")
    try:
        await station.until("the controller answers", station.answers)
        run = await asyncio.create_subprocess_exec(
            *command_line(["run", str(station.site), "--state", str(station.state)]),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20.0):
            _, told = await run.communicate()
        assert run.returncode == exit_codes.UNREACHABLE
        assert b"another controller already runs" in told
        assert (await station.ask("ping"))["ok"]
    finally:
        await station.stop()
