"""Our driver against pymodbus' own servers: TCP, TLS, serial frames on TCP, and a serial port."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from config.sample import Reason
from tests.drivers.sites import driving
from tests.hil_sim.certificates import Authority
from tests.hil_sim.sites import until
from tests.peers.everything import (
    FLAGS,
    SETPOINT,
    UNIT,
    VALUES,
    WAYS_TO_WRITE,
    assert_flawless,
    bench,
    holding,
    reads_all,
    rtu_link,
    tcp_link,
    writes_all,
)
from tests.peers.pymodbus_peers import Behaviour, Server, device, serial_server, tcp_server
from tests.peers.serial_bus import serial_bus

BAUDRATE = 115200


@dataclass
class Peer:
    """A server, and the link of a site file that leads to it."""

    server: Server
    link: dict[str, object]
    behaviour: Behaviour = field(default_factory=Behaviour)


@pytest.fixture(params=["tcp", "tls", "rtu-over-tcp", "rtu"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    behaviour = Behaviour()
    match request.param:
        case "tcp":
            async with tcp_server(device(behaviour)) as (server, port):
                yield Peer(server, tcp_link(port), behaviour)
        case "tls":
            authority = Authority(tmp_path)
            identity = authority.issue("localhost", "127.0.0.1")
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(identity.cert, identity.key)
            async with tcp_server(device(behaviour), FramerType.TLS, tls) as (server, port):
                yield Peer(server, tcp_link(port, tls={"ca_file": str(authority.file)}), behaviour)
        case "rtu-over-tcp":
            async with tcp_server(device(behaviour), FramerType.RTU) as (server, port):
                yield Peer(server, tcp_link(port, framing="rtu"), behaviour)
        case _:
            async with serial_bus(BAUDRATE) as bus:
                slave, master = bus.station("slave"), bus.station("master")
                async with serial_server(device(behaviour), slave.path, BAUDRATE) as server:
                    yield Peer(server, rtu_link(master.path, BAUDRATE), behaviour)
                assert bus.collisions == 0


@pytest.fixture
async def tcp_peer() -> AsyncIterator[Peer]:
    behaviour = Behaviour()
    async with tcp_server(device(behaviour)) as (server, port):
        yield Peer(server, tcp_link(port), behaviour)


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
        assert await peer.server.async_getValues(UNIT, 3, FLAGS, 4) == [1 << 9, 4711, 0xC020, 0]
        assert await peer.server.async_getValues(UNIT, 1, 0, 2) == [False, True]
        assert {function for function, _ in peer.behaviour.asked} - {1, 2, 3, 4} == functions
        assert await peer.server.async_getValues(UNIT, 3, 0, FLAGS) == holding()[:FLAGS]


async def test_a_register_that_is_not_there_costs_the_others_nothing(tmp_path: Path) -> None:
    words = [SimData(0, values=holding()[:FLAGS], datatype=DataType.REGISTERS)]
    words.append(SimData(SETPOINT, values=holding()[SETPOINT:], datatype=DataType.REGISTERS))
    bits = [SimData(0, values=[True] * 16, datatype=DataType.BITS)]
    inputs = [SimData(0, values=[1, 2, 3], datatype=DataType.REGISTERS)]
    async with (
        tcp_server(SimDevice(UNIT, (bits, bits, words, inputs))) as (_, port),
        driving(bench(tmp_path, tcp_link(port))) as drivers,
    ):
        readings = drivers.readings
        await until(lambda: readings.is_bad("D-1.flag", Reason.DEVICE_REFUSED) and readings.is_good("D-1.u16", 54321))
        await until(lambda: readings.is_good("D-1.setpoint", 250) and readings.is_good("D-1.wide", 1.5))
        assert "exception 02" in drivers.links["bus"].status().devices["D-1"].last_error


async def test_a_device_that_is_busy_is_asked_again_and_reads_nothing_bad(tmp_path: Path, tcp_peer: Peer) -> None:
    behaviour = tcp_peer.behaviour

    def busy_twice(function: int, address: int) -> ExcCodes | None:
        return ExcCodes.DEVICE_BUSY if function == 4 and behaviour.count(4, 0) <= 2 else None

    behaviour.refuse = busy_twice
    async with driving(bench(tmp_path, tcp_peer.link)) as drivers:
        await reads_all(drivers)
        assert behaviour.count(4, 0) >= 3
        assert all(sample.good for sample in drivers.readings.of["D-1.count"])


async def test_a_write_that_is_acknowledged_and_carried_out_later_is_sent_once(tmp_path: Path, tcp_peer: Peer) -> None:
    behaviour = tcp_peer.behaviour
    behaviour.refuse = lambda function, address: ExcCodes.ACKNOWLEDGE if function == 6 else None
    async with driving(bench(tmp_path, tcp_peer.link)) as drivers:
        await reads_all(drivers)
        write = drivers.write("D-1.setpoint", 4711)
        await until(lambda: behaviour.count(6, SETPOINT) == 1)
        # Function 16 is what the test itself writes by.
        await tcp_peer.server.async_setValues(UNIT, 16, SETPOINT, [4711])
        assert await write == (True, 4711, "")
        assert behaviour.count(6, SETPOINT) == 1


async def test_a_write_that_the_device_refuses_fails_with_its_reason(tmp_path: Path, tcp_peer: Peer) -> None:
    tcp_peer.behaviour.refuse = lambda function, address: ExcCodes.ILLEGAL_VALUE if function == 16 else None
    async with driving(bench(tmp_path, tcp_peer.link)) as drivers:
        await reads_all(drivers)
        assert await drivers.write("D-1.wide", 2.5) == (False, None, "refused with exception 03 illegal data value")
        assert drivers.readings.is_good("D-1.wide", 1.5)


async def test_a_unit_that_is_not_there_is_bad_beside_one_that_is(tmp_path: Path, tcp_peer: Peer) -> None:
    """pymodbus answers for a unit that it does not have with 04, device failure; a gateway would say 0B."""
    async with driving(bench(tmp_path, tcp_peer.link, units=2)) as drivers:
        await reads_all(drivers)
        await until(lambda: drivers.readings.is_bad("D-2.u16", Reason.DEVICE_REFUSED))
        assert "exception 04" in drivers.links["bus"].status().devices["D-2"].last_error
        assert [value for name in VALUES for value in drivers.readings.values(f"D-2.{name}")] == []
        assert drivers.links["bus"].status().connects == 1


async def test_writes_go_one_at_a_time_to_a_server_that_drops_requests_sent_together(
    tmp_path: Path, tcp_peer: Peer
) -> None:
    """Of several requests that arrive in one piece pymodbus answers the last only: ``in_flight`` is not for it."""
    # So seldom that on a busy machine too no two of its reads are sent together.
    loaded = bench(tmp_path, tcp_peer.link | {"in_flight": 4, "timeout": "0.2 s"}, poll="1 s")
    async with driving(loaded) as drivers:
        await reads_all(drivers)
        together = {"setpoint": 4711, "wide": -2.5, "run": False, "open": True}
        writes = [drivers.write(f"D-1.{name}", value) for name, value in together.items()]
        results = [await write for write in writes]
        assert [result.detail for result in results if not result.ok] == []
        assert drivers.links["bus"].status().connects == 1
        assert drivers.links["bus"].status().devices["D-1"].online


async def test_two_slaves_that_talk_at_once_make_no_value(tmp_path: Path) -> None:
    """On a serial bus pymodbus answers for every unit, with 04 for those it has not, and even answers such answers.

    Two of them on one bus (each alone is in order) talk into each other's frames without end. Nothing that comes of it
    may be taken for a value that was not sent.
    """
    async with serial_bus(BAUDRATE) as bus:
        master, one, two = bus.station("master"), bus.station("one"), bus.station("two")
        async with (
            serial_server(device(Behaviour(), 1), one.path, BAUDRATE),
            serial_server(device(Behaviour(), 2), two.path, BAUDRATE),
            driving(bench(tmp_path, rtu_link(master.path, BAUDRATE, timeout="0.1 s"), units=2)) as drivers,
        ):
            await until(lambda: bus.collisions > 20 and len(bus.of(master)) >= 5)
            await until(lambda: drivers.links["bus"].status().stray_bytes > 0)
            for unit in ("D-1", "D-2"):
                for name, value in VALUES.items():
                    assert set(drivers.readings.values(f"{unit}.{name}")) <= {value}
