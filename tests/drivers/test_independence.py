"""A link that is dead takes nothing from the others."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.drivers.fault_devices import FaultServer, fault_line, fault_server
from tests.drivers.sites import BLOCK_COUNT, device, driving, free_port, site_of, tcp_link
from tests.hil_sim.sites import until

POLL_S = 0.05
PERIODS = 12
WAITING = {"timeout": "0.3 s", "retry": "50 ms"}
"""A dead link that waits nearly always: were that waited for, the other would be far too slow."""


@pytest.mark.parametrize("fault", ["closed port", "silent server", "silent line", "no opc ua server"])
async def test_the_polls_of_a_link_go_on_beside_a_dead_one(tmp_path: Path, fault: str) -> None:
    node = {"namespace": "urn:x", "node": "s=x"}
    async with fault_server() as healthy, fault_server() as silent, fault_line() as line:
        silent.devices.behave(lambda request, replier: None)
        line.devices.behave(lambda request, replier: None)
        dead: dict[str, dict[str, object]] = {
            "closed port": tcp_link(free_port()),
            "silent server": tcp_link(silent.port, **WAITING),
            "silent line": {"type": "modbus-rtu", "port": line.path, **WAITING},
            "no opc ua server": {"type": "opcua", "url": f"opc.tcp://127.0.0.1:{free_port()}/", "timeout": "0.2 s"},
        }
        other = device("dead", 1, "50 ms")
        if fault == "no opc ua server":
            other = {"link": "dead", "profile": {"protocol": "opcua", "signals": {"level": node}}}
        loaded = site_of(
            tmp_path,
            {"dead": dead[fault], "alive": tcp_link(healthy.port)},
            {"DEAD": other, "ALIVE": device("alive", 1, "50 ms")},
        )
        async with driving(loaded) as drivers:
            await until(lambda: drivers.readings.all_bad("DEAD") and drivers.readings.is_good("ALIVE.level", 0))
            first = len(drivers.readings.of["ALIVE.level"])
            begin = time.monotonic()
            await drivers.readings.more("ALIVE.level", PERIODS)
            took = time.monotonic() - begin
            assert took < 2 * PERIODS * POLL_S
            assert all(sample.good for sample in drivers.readings.of["ALIVE.level"][first:])
            assert len(healthy.connections) == 1
            assert drivers.readings.all_bad("DEAD")


async def test_a_write_is_not_held_up_by_a_dead_link(tmp_path: Path) -> None:
    async with fault_server() as healthy, fault_server() as silent:
        silent.devices.behave(lambda request, replier: None)
        links = {"dead": tcp_link(silent.port, timeout="2 s"), "alive": tcp_link(healthy.port)}
        devices = {"DEAD": device("dead", 1), "ALIVE": device("alive", 1)}
        async with driving(site_of(tmp_path, links, devices)) as drivers:
            await until(lambda: drivers.readings.is_good("ALIVE.setpoint", 0))
            waiting = drivers.write("DEAD.setpoint", 1)
            async with asyncio.timeout(1):
                assert (await drivers.write("ALIVE.setpoint", 42)).ok
            assert not waiting.done()


async def test_the_reads_of_one_period_are_spread_over_it(tmp_path: Path) -> None:
    server = FaultServer()
    await server.open()
    async with driving(site_of(tmp_path, {"bus": tcp_link(server.port)}, {"D": device("bus", 1, "0.5 s")})):
        await until(lambda: len(server.devices.requests) >= 2 * BLOCK_COUNT)
    server.close()
    times = [request.at for request in server.devices.requests[: 2 * BLOCK_COUNT]]
    assert min(after - before for before, after in pairwise(times)) > 0.5 / BLOCK_COUNT / 2
