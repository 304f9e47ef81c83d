"""Every master with every slave on one serial bus: ours, libmodbus, pymodbus, our simulator."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.drivers.sites import driving, site_of
from tests.hil_sim.sites import until
from tests.peers.everything import BASE, COILS, DISCRETE, INPUT, SETPOINT, holding, rtu_link
from tests.peers.libmodbus import LIBRARY, Client, rtu_client, rtu_server
from tests.peers.pymodbus_peers import Behaviour, connected, device, serial_client, serial_server
from tests.peers.serial_bus import SerialBus, serial_bus
from tests.peers.simulated import RTU, bad_frames, path_of, simulator

DEADLINE_S = 10.0
REGISTERS = 2
WRITTEN = 4711
PAIRS = [
    (master, slave) for master in ("ours", "libmodbus", "pymodbus") for slave in ("libmodbus", "pymodbus", "simulator")
]
SLOW_PAIRS = [("libmodbus", "simulator"), ("pymodbus", "simulator"), ("ours", "pymodbus"), ("ours", "simulator")]
"""What costs a second each and is not in ``test_line_speed``."""


@asynccontextmanager
async def slave_on(bus: SerialBus, kind: str, baudrate: int, folder: Path) -> AsyncIterator[None]:
    """Unit 1 of the device of ``everything``."""
    if kind == "simulator":
        async with simulator(folder, RTU | {"baudrate": baudrate}) as sim:
            bus.joined("slave", path_of(sim))
            yield
            assert bad_frames(sim) == 0
    elif kind == "pymodbus":
        async with serial_server(device(Behaviour()), bus.station("slave").path, baudrate):
            yield
    else:
        with rtu_server(bus.station("slave").path, baudrate) as server:
            server.fill(holding(), INPUT, COILS, DISCRETE)
            yield


async def ours_reads_and_writes(path: str, baudrate: int, folder: Path) -> None:
    signals: dict[str, dict[str, object]] = {
        f"r{address}": {"table": "holding", "address": address} for address in range(REGISTERS)
    }
    signals["setpoint"] = {"table": "holding", "address": SETPOINT, "writable": True}
    one = {"link": "bus", "unit": 1, "poll": "50 ms", "profile": BASE | {"signals": signals}}
    async with driving(site_of(folder, {"bus": rtu_link(path, baudrate)}, {"D-1": one})) as drivers:
        readings = drivers.readings
        await until(lambda: all(readings.is_good(f"D-1.r{i}", holding()[i]) for i in range(REGISTERS)))
        assert await drivers.write("D-1.setpoint", WRITTEN) == (True, WRITTEN, "")
        status = drivers.links["bus"].status()
        assert (status.stray_bytes, status.crc_errors, status.devices["D-1"].timeouts) == (0, 0, 0)


async def libmodbus_reads_and_writes(path: str, baudrate: int) -> None:
    def work(client: Client) -> None:
        client.unit(1)
        assert client.read("registers", 0, REGISTERS) == holding()[:REGISTERS]
        client.write_register(SETPOINT, WRITTEN)
        assert client.read("registers", SETPOINT, 1) == [WRITTEN]

    with rtu_client(path, baudrate) as client:
        await asyncio.to_thread(work, client)


async def pymodbus_reads_and_writes(path: str, baudrate: int) -> None:
    async with connected(serial_client(path, baudrate)) as client:
        reply = await client.read_holding_registers(0, count=REGISTERS, device_id=1)
        assert reply.registers == holding()[:REGISTERS]
        assert not (await client.write_register(SETPOINT, WRITTEN, device_id=1)).isError()
        assert (await client.read_holding_registers(SETPOINT, count=1, device_id=1)).registers == [WRITTEN]


@pytest.mark.parametrize(
    ("baudrate", "master", "slave"),
    [
        *((9600, *pair) for pair in PAIRS),
        *((115200, *pair) for pair in PAIRS),
        *((1200, *pair) for pair in SLOW_PAIRS),
    ],
)
async def test_a_master_reads_and_writes_a_slave(tmp_path: Path, baudrate: int, master: str, slave: str) -> None:
    if "libmodbus" in (master, slave) and LIBRARY is None:
        pytest.skip("libmodbus5 is not installed (Debian: apt-get install libmodbus5)")
    slaves, masters = tmp_path / "slave", tmp_path / "master"
    slaves.mkdir()
    masters.mkdir()
    async with (
        asyncio.timeout(DEADLINE_S),
        serial_bus(baudrate) as bus,
        slave_on(bus, slave, baudrate, slaves),
    ):
        path = bus.station("master").path
        match master:
            case "ours":
                await ours_reads_and_writes(path, baudrate, masters)
            case "libmodbus":
                await libmodbus_reads_and_writes(path, baudrate)
            case _:
                await pymodbus_reads_and_writes(path, baudrate)
        assert bus.collisions == 0
