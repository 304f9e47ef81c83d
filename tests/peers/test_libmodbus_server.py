"""Our driver against libmodbus' server, on TCP and on a serial bus."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.sample import Reason
from tests.drivers.sites import driving, site_of
from tests.hil_sim.sites import until
from tests.peers.everything import (
    BASE,
    COILS,
    DISCRETE,
    FLAGS,
    INPUT,
    SETPOINT,
    VALUES,
    WAYS_TO_WRITE,
    WRITES,
    assert_flawless,
    bench,
    holding,
    reads_all,
    rtu_link,
    tcp_link,
    writes_all,
)
from tests.peers.libmodbus import Server, float_of, gets_floats_right, needs_libmodbus, rtu_server, tcp_server
from tests.peers.serial_bus import SerialBus, serial_bus

pytestmark = needs_libmodbus
BAUDRATE = 115200
ORDERS = ("abcd", "cdab", "badc", "dcba")


@dataclass
class Peer:
    """A server, and the link of a site file that leads to it."""

    server: Server
    link: dict[str, object]


@pytest.fixture(params=["tcp", "rtu"])
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    if request.param == "tcp":
        with tcp_server() as (server, port):
            server.fill(holding(), INPUT, COILS, DISCRETE)
            yield Peer(server, tcp_link(port))
    else:
        async with serial_bus(BAUDRATE) as bus:
            slave, master = bus.station("slave"), bus.station("master")
            with rtu_server(slave.path, BAUDRATE) as server:
                server.fill(holding(), INPUT, COILS, DISCRETE)
                yield Peer(server, rtu_link(master.path, BAUDRATE))
            assert bus.collisions == 0


async def test_every_table_and_every_encoding_is_read(tmp_path: Path, peer: Peer) -> None:
    async with driving(bench(tmp_path, peer.link)) as drivers:
        await reads_all(drivers)
        assert_flawless(drivers)


@pytest.mark.parametrize(("writing", "functions"), WAYS_TO_WRITE, ids=["05 06 16", "15 16 22"])
async def test_writes_arrive_and_are_read_back(
    tmp_path: Path, peer: Peer, writing: dict[str, str], functions: set[int]
) -> None:
    async with driving(bench(tmp_path, peer.link, writing=writing)) as drivers:
        await writes_all(drivers)
        assert peer.server.holding[FLAGS:50] == [1 << 9, 4711, 0xC020, 0]
        assert peer.server.coils[0:2] == [0, 1]
        assert {request[1] for request in peer.server.requests} - {1, 2, 3, 4} == functions
        assert peer.server.holding[0:FLAGS] == holding()[:FLAGS]


async def test_floats_of_every_order_are_written_as_libmodbus_reads_them(tmp_path: Path, peer: Peer) -> None:
    if not gets_floats_right():
        pytest.skip("this build of libmodbus reads floats in another order than it says (its issues 611, 665)")
    signals = {
        order: {"table": "holding", "address": 2 * i, "type": "float32", "order": order.upper(), "writable": True}
        for i, order in enumerate(ORDERS)
    }
    device = {"link": "bus", "unit": 1, "poll": "30 ms", "profile": BASE | {"signals": signals}}
    async with driving(site_of(tmp_path, {"bus": peer.link}, {"D-1": device})) as drivers:
        await until(lambda: drivers.readings.last("D-1.dcba") is not None)
        for i, order in enumerate(ORDERS):
            number = 17.625 + i
            assert (await drivers.write(f"D-1.{order}", number)).ok
            assert float_of(order, peer.server.holding[2 * i : 2 * i + 2]) == number


async def test_writes_sent_together_are_all_carried_out(tmp_path: Path) -> None:
    with tcp_server() as (server, port):
        server.fill(holding(), INPUT, COILS, DISCRETE)
        async with driving(bench(tmp_path, tcp_link(port, in_flight=8))) as drivers:
            await reads_all(drivers)
            writes = {name: drivers.write(f"D-1.{name}", value) for name, value in WRITES.items() if name != "flag"}
            for name, write in writes.items():
                assert await write == (True, WRITES[name], "")


async def test_a_device_with_fewer_registers_than_its_profile_says_gives_those_it_has(tmp_path: Path) -> None:
    with tcp_server(size=SETPOINT) as (server, port):
        for place, word in enumerate(holding()[:SETPOINT]):
            server.holding[place] = word
        async with driving(bench(tmp_path, tcp_link(port))) as drivers:
            readings = drivers.readings
            await until(lambda: readings.is_good("D-1.flag", True) and readings.is_good("D-1.u16", 54321))
            await until(lambda: readings.is_bad("D-1.setpoint", Reason.DEVICE_REFUSED))
            await until(lambda: readings.is_bad("D-1.wide", Reason.DEVICE_REFUSED))
            assert (await drivers.write("D-1.setpoint", 1)).detail == "refused with exception 02 illegal data address"


@asynccontextmanager
async def two_slaves() -> AsyncIterator[tuple[SerialBus, list[Server]]]:
    """A serial bus with units 1 and 2."""
    async with serial_bus(BAUDRATE) as bus:
        with ExitStack() as slaves:
            servers = [
                slaves.enter_context(rtu_server(bus.station(f"slave {unit}").path, BAUDRATE, unit)) for unit in (1, 2)
            ]
            for server in servers:
                server.fill(holding(), INPUT, COILS, DISCRETE)
            yield bus, servers


async def test_units_share_a_bus(tmp_path: Path) -> None:
    async with two_slaves() as (bus, servers):
        servers[1].input[0] = 1234
        link = rtu_link(bus.station("master").path, BAUDRATE)
        async with driving(bench(tmp_path, link, units=2)) as drivers:
            await reads_all(drivers)
            await until(lambda: drivers.readings.is_good("D-2.count", 1234))
            assert (await drivers.write("D-2.setpoint", 4711)).ok
            assert [server.holding[SETPOINT] for server in servers] == [250, 4711]
            assert {request[0] for request in servers[0].requests} == {1}
            assert all(sample.good for samples in drivers.readings.of.values() for sample in samples)
            status = drivers.links["bus"].status()
            assert (status.stray_bytes, status.crc_errors, bus.collisions) == (0, 0, 0)


async def test_a_unit_that_is_not_there_does_not_stop_the_bus(tmp_path: Path) -> None:
    """libmodbus' servers take the frame after a request to somebody else for his reply, whatever it is.

    So beside a unit that is not there each of them misses the request that follows, once per probe of that unit. That
    reads as no communication, once, and then they answer again.
    """
    async with two_slaves() as (bus, _):
        link = rtu_link(bus.station("master").path, BAUDRATE, timeout="40 ms")
        async with driving(bench(tmp_path, link, units=3)) as drivers:
            await until(lambda: drivers.readings.is_bad("D-3.count", Reason.NO_COMMUNICATION))
            probes = drivers.links["bus"].status().devices["D-3"].polls
            await until(lambda: drivers.links["bus"].status().devices["D-3"].polls > probes)
            for unit in ("D-1", "D-2"):
                await reads_all(drivers, unit)
                assert set(drivers.readings.values(f"{unit}.u16")) == {54321}
            assert [value for name in VALUES for value in drivers.readings.values(f"D-3.{name}")] == []


async def test_a_broadcast_is_carried_out_by_all_and_answered_by_none(tmp_path: Path) -> None:
    async with two_slaves() as (bus, servers):
        master = bus.station("master")
        signals = {"setpoint": {"table": "holding", "address": SETPOINT, "writable": True}}
        one = {"link": "bus", "unit": 1, "poll": "30 ms", "profile": BASE | {"signals": signals}}
        everybody = one | {"unit": 0, "broadcast_writes": True}
        link = rtu_link(master.path, BAUDRATE)
        async with driving(site_of(tmp_path, {"bus": link}, {"ONE": one, "ALL": everybody})) as drivers:
            await until(lambda: drivers.readings.is_good("ONE.setpoint", 250))
            assert await drivers.write("ALL.setpoint", 4711) == (True, None, "sent; nobody answers")
            await until(lambda: drivers.readings.is_good("ONE.setpoint", 4711))
            assert [server.holding[SETPOINT] for server in servers] == [4711, 4711]
            assert [frame.data[1] for frame in bus.of(master) if frame.data[0] == 0] == [6]
            assert bus.collisions == 0
