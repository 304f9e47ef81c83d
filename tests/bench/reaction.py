"""Breach to valve closing at the simulator's sockets, on Modbus TCP: the whole station, and a bare pymodbus script.

Both speak with the same simulator process and poll with the same period. The time runs from the reply that carries
the breaching value to the arrival of the request that closes the valve.
"""

import asyncio
import contextlib
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import yaml
from pymodbus.client import AsyncModbusTcpClient

from edge.cli.station import Station, running
from tests.bench.figures import figure, line, percentile

SITE = Path(__file__).parent / "reaction-site.yaml"
BREACHES = 200
GOOD_NTU, BREACH_NTU, INSTANT_NTU = 2.0, 20.0, 10.0
POLL_S = 0.05
OPEN_REGISTER, OPEN_RAW = 10, 500


async def run() -> None:
    """Measures both and prints them."""
    print(f"reaction on Modbus TCP, {BREACHES} breaches each, poll {POLL_S * 1000:g} ms", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        async with running(Station(SITE, Path(directory), simulator=["--model", "generic"])) as station:
            ours = await _ours(station)
            scan = (await station.ask("status"))["scan"]
            await station.end_process("controller")
            bare = await _bare(station)
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        line(f"breach to close request {name}", percentile(ours, share), percentile(bare, share), "ms")
    figure("scan late by, p99", scan["lateness_p99_ms"], "ms")
    figure("scan takes, p99", scan["duration_p99_ms"], "ms")


async def _ours(station: Station) -> list[float]:
    async def opened() -> None:
        async def demands_water() -> bool:
            await station.ask("reset", dispenser="PIPE")
            return bool((await station.simulate("state"))["signals"]["D-1.position_command"] > 0)

        await station.until("the valve is commanded open", demands_water)

    return await _breaches(station, opened)


async def _bare(station: Station) -> list[float]:
    """The loop a script would have: read, compare, write."""
    link = yaml.safe_load(station.site.read_text("utf-8"))["links"]["io"]
    async with _bare_script(link["host"], link["port"]) as opened:
        return await _breaches(station, opened)


@contextlib.asynccontextmanager
async def _bare_script(host: str, port: int) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    client = AsyncModbusTcpClient(host, port=port)
    await client.connect()
    closed = False
    good = asyncio.Event()

    async def poll() -> None:
        nonlocal closed
        while True:
            reply = await client.read_holding_registers(0, count=11, device_id=1)
            turbidity = struct.unpack(">f", struct.pack(">HH", *reply.registers[:2]))[0]
            if turbidity <= INSTANT_NTU:
                good.set()
            if turbidity > INSTANT_NTU and not closed:
                closed = True
                await client.write_register(OPEN_REGISTER, 0, device_id=1)
            await asyncio.sleep(POLL_S)

    async def opened() -> None:
        nonlocal closed
        good.clear()
        await good.wait()
        await client.write_register(OPEN_REGISTER, OPEN_RAW, device_id=1)
        closed = False

    task = asyncio.create_task(poll())
    try:
        yield opened
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        client.close()


async def _breaches(station: Station, opened: Callable[[], Awaitable[None]]) -> list[float]:
    """Lets the value breach again and again, each time after the valve was opened; milliseconds of each."""
    taken: list[float] = []
    for _ in range(BREACHES):
        await station.simulate("set", name="D-1.turbidity", value=GOOD_NTU)
        await opened()
        began = (await station.simulate("set", name="D-1.turbidity", value=BREACH_NTU))["t_ns"]

        async def closed() -> bool:
            return bool((await station.simulate("state"))["signals"]["D-1.position_command"] == 0)

        await station.until("the valve is commanded closed", closed)
        taken.append(await station.reaction_ms(began, "D-1.turbidity", INSTANT_NTU, "D-1.position_command"))
    return taken
