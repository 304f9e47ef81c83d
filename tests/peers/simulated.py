"""Our simulator as the device of ``everything``, on a link of any kind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.modbus_tcp import ModbusTcpServer, ServerTls
from hil_sim.simulator import Simulator
from tests.hil_sim.sites import simulated
from tests.peers.everything import VALUES, bench

TCP: Final[dict[str, object]] = {"type": "modbus-tcp", "host": "192.0.2.1"}
RTU: Final[dict[str, object]] = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200}


@asynccontextmanager
async def simulator(
    folder: Path, link: Mapping[str, object], units: int = 1, tls: ServerTls | None = None
) -> AsyncIterator[Simulator]:
    """A simulator of devices D-1, D-2 ... that takes every function, and holds what ``everything`` says."""
    async with simulated(bench(folder, link, units, writing={"bits": "mask"}), tls=tls) as simulator:
        for unit in range(1, units + 1):
            for name, value in VALUES.items():
                await simulator.request({"op": "set", "name": f"D-{unit}.{name}", "value": value})
        yield simulator


def port_of(simulator: Simulator) -> int:
    """The port of its link."""
    server = simulator.servers["bus"]
    assert isinstance(server, ModbusTcpServer)
    return server.port


def path_of(simulator: Simulator) -> str:
    """The terminal of its link."""
    server = simulator.servers["bus"]
    assert isinstance(server, ModbusRtuServer)
    return server.path


def bad_frames(simulator: Simulator) -> int:
    """How often it was sent something that was no frame; 0 on Modbus TCP."""
    return simulator.servers["bus"].counts.get("bad_frames", 0)


async def signals_of(simulator: Simulator, *names: str, device: str = "D-1") -> list[object]:
    """What its signals hold."""
    state = (await simulator.request({"op": "state"}))["signals"]
    assert isinstance(state, dict)
    return [state[f"{device}.{name}"] for name in names]
