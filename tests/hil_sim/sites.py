"""Small sites for the tests of the simulator, and the one way to wait."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import yaml

from config.load import LoadedSite, load_site
from hil_sim.base_station import Settings
from hil_sim.modbus_tcp import ServerTls
from hil_sim.opcua_server import OpcUaOptions
from hil_sim.simulator import Simulator

SITES = Path(__file__).parents[2] / "config" / "sites"
DEADLINE_S = 5.0

BENCH_PROFILE: dict[str, object] = {
    "protocol": "modbus",
    "limits": {"registers": 10, "bits": 16, "gap": 1},
    "watchdog": {"timeout": "0.4 s"},
    "signals": {
        "in0": {"table": "discrete", "address": 0, "type": "bool"},
        "in1": {"table": "discrete", "address": 1, "type": "bool"},
        "out0": {"table": "coil", "address": 16, "type": "bool", "writable": True},
        "out1": {"table": "coil", "address": 17, "type": "bool", "writable": True},
        "count": {"table": "input", "address": 5, "type": "uint16"},
        "flow": {"table": "holding", "address": 0, "type": "float32", "order": "CDAB", "unit": "L/s"},
        "setpoint": {
            "table": "holding",
            "address": 3,
            "type": "int16",
            "scale": 0.1,
            "unit": "%",
            "writable": True,
        },
        "wide": {"table": "holding", "address": 4, "type": "float32", "unit": "m", "writable": True},
        "remote": {"table": "holding", "address": 8, "type": "bool", "bit": 5},
        "fault": {"table": "holding", "address": 8, "type": "bool", "bit": 9},
    },
}
"""Holding registers 0 1 . 3 4 5 . . 8: one hole of one register, which may be crossed, and one of two."""


def bench_site(folder: Path, link: dict[str, object], units: int = 2) -> LoadedSite:
    """A generic site of ``units`` equal devices D-1, D-2, ... on one link ``bus``."""
    text = {
        "site": {"id": "bench"},
        "links": {"bus": link},
        "devices": {
            f"D-{unit}": {"link": "bus", "unit": unit, "poll": "100 ms", "profile": BENCH_PROFILE}
            for unit in range(1, units + 1)
        },
    }
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return load_site(path)


@asynccontextmanager
async def simulated(
    loaded: LoadedSite,
    settings: Settings | None = None,
    tls: ServerTls | None = None,
    opcua: OpcUaOptions | None = None,
) -> AsyncIterator[Simulator]:
    """A simulator that runs while the block does."""
    simulator = Simulator(loaded, settings or Settings(), tls=tls, opcua=opcua)
    await simulator.start()
    running = asyncio.create_task(simulator.run())
    try:
        yield simulator
        if running.done():
            running.result()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await simulator.stop()


async def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Waits for ``condition``; fails after ``deadline_s``."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - what is waited for lies behind a socket and sets no event
            await asyncio.sleep(0.005)
