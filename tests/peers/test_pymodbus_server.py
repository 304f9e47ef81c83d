"""Our driver against pymodbus' own servers: TCP, TLS, serial frames on TCP, and a serial port."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from config.sample import Reason, Value
from tests.drivers.sites import driving
from tests.hil_sim.certificates import Authority
from tests.hil_sim.sites import until
from tests.peers.everything import (
    FLAGS,
    HOLDING_END,
    SETPOINT,
    UNIT,
    VALUES,
    bench,
    holding,
    reads_all,
    rtu_link,
    tcp_link,
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
        assert all(sample.good for samples in drivers.readings.of.values() for sample in samples)
        status = drivers.links["bus"].status()
        assert (status.stray_bytes, status.crc_errors, status.connects) == (0, 0, 1)


WRITES: dict[str, Value] = {"setpoint": 4711, "wide": -2.5, "run": False, "open": True, "alarm": True, "flag": False}


@pytest.mark.parametrize(
    ("writing", "functions"),
    [({}, {5, 6, 16}), ({"registers": "multiple", "coils": "multiple", "bits": "mask"}, {15, 16, 22})],
    ids=["05 06 16", "15 16 22"],
)
async def test_writes_arrive_and_are_read_back(
    tmp_path: Path, peer: Peer, writing: dict[str, str], functions: set[int]
) -> None:
    async with driving(bench(tmp_path, peer.link, **writing)) as drivers:
        await reads_all(drivers)
        for name, value in WRITES.items():
            assert await drivers.write(f"D-1.{name}", value) == (True, value, "")
        assert await peer.server.async_getValues(UNIT, 3, FLAGS, 4) == [1 << 9, 4711, 0xC020, 0]
        assert await peer.server.async_getValues(UNIT, 1, 0, 2) == [False, True]
        assert {function for function, _ in peer.behaviour.asked} - {1, 2, 3, 4} == functions
        assert await peer.server.async_getValues(UNIT, 3, 0, FLAGS) == holding()[:FLAGS]


async def test_a_register_that_is_not_there_is_refused_and_costs_the_others_nothing(tmp_path: Path) -> None:
    words = [SimData(0, values=holding()[:FLAGS], datatype=DataType.REGISTERS)]
    words.append(SimData(SETPOINT, values=holding()[SETPOINT:], datatype=DataType.REGISTERS))
    bits = [SimData(0, values=[True] * 16, datatype=DataType.BITS)]
    others: list[Any] = [SimData(0, values=[1, 2, 3], datatype=DataType.REGISTERS)]
    async with tcp_server(SimDevice(UNIT, (bits, bits, words, others))) as (_, port):
        async with driving(bench(tmp_path, tcp_link(port))) as drivers:
            readings = drivers.readings
            await until(lambda: readings.is_bad("D-1.flag", Reason.DEVICE_REFUSED) and readings.is_good("D-1.u16", 54321))
            await until(lambda: readings.is_good("D-1.setpoint", 250) and readings.is_good("D-1.wide", 1.5))
            assert "exception 02" in drivers.links["bus"].status().devices["D-1"].last_error
