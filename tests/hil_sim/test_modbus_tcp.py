"""The TCP server, spoken to by pymodbus's client and, where that would not go wrong, by raw bytes."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from hil_sim.modbus_tcp import MAX_CONNECTIONS, ModbusTcpServer
from hil_sim.simulator import Simulator
from tests.hil_sim.sites import bench_site, simulated, until

LINK: dict[str, object] = {"type": "modbus-tcp", "host": "192.0.2.1"}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with simulated(bench_site(tmp_path, LINK)) as simulator:
        yield simulator


def server_of(simulator: Simulator) -> ModbusTcpServer:
    server = simulator.servers["bus"]
    assert isinstance(server, ModbusTcpServer)
    return server


@asynccontextmanager
async def client_of(simulator: Simulator) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=server_of(simulator).port, timeout=1, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def exchange(simulator: Simulator, request: str, size: int) -> bytes:
    """Sends raw bytes, returns ``size`` bytes of what comes back (fewer when the server hangs up)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server_of(simulator).port)
    try:
        writer.write(bytes.fromhex(request))
        async with asyncio.timeout(2):
            return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        return error.partial if isinstance(error, asyncio.IncompleteReadError) else b""
    finally:
        writer.close()


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """True when the server has ended the connection, in whichever way."""
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


async def refused_with(simulator: Simulator, pdu: str, unit: int = 1) -> int:
    """The exception code that a request PDU is answered with; 0 when it is answered well."""
    body = bytes.fromhex(pdu)
    head = struct.pack(">HHHB", 7, 0, len(body) + 1, unit)
    reply = await exchange(simulator, (head + body).hex(), 9)
    assert reply[:4] == b"\x00\x07\x00\x00"
    return reply[8] if reply[7] & 0x80 else 0


async def test_reads_give_the_present_values(bench: Simulator) -> None:
    async with client_of(bench) as client:
        await bench.request({"op": "set", "name": "D-2.flow", "value": 36.0})
        await bench.request({"op": "set", "name": "D-2.in1", "value": True})
        await bench.request({"op": "set", "name": "D-2.count", "value": 777})
        await bench.request({"op": "set", "name": "D-2.remote", "value": True})
        registers = (await client.read_holding_registers(0, count=6, device_id=2)).registers
        assert struct.unpack(">f", struct.pack(">HH", registers[1], registers[0])) == (10.0,)
        assert registers[2:] == [0, 0, 0, 0]
        assert (await client.read_holding_registers(8, count=1, device_id=2)).registers == [0x20]
        assert (await client.read_input_registers(5, count=1, device_id=2)).registers == [777]
        assert (await client.read_discrete_inputs(0, count=2, device_id=2)).bits[:2] == [False, True]
        assert (await client.read_holding_registers(0, count=6, device_id=1)).registers == [0] * 6


async def test_bits_and_words_of_one_register_share_it(bench: Simulator) -> None:
    async with client_of(bench) as client:
        for name, expected in (("fault", 0x200), ("remote", 0x220)):
            await bench.request({"op": "set", "name": f"D-1.{name}", "value": True})
            assert (await client.read_holding_registers(8, count=1, device_id=1)).registers == [expected]
        await bench.request({"op": "set", "name": "D-1.fault", "value": False})
        assert (await client.read_holding_registers(8, count=1, device_id=1)).registers == [0x20]


async def test_writes_reach_the_station_and_read_back(bench: Simulator) -> None:
    async with client_of(bench) as client:
        await client.write_coil(16, True, device_id=1)
        await client.write_register(3, 655, device_id=1)
        await client.write_registers(4, [0x3FC0, 0], device_id=1)
        signals = (await bench.request({"op": "state"}))["signals"]
        assert isinstance(signals, dict)
        assert signals["D-1.out0"] is True
        assert signals["D-1.setpoint"] == pytest.approx(65.5)
        assert signals["D-1.wide"] == 1.5
        assert signals["D-2.out0"] is False
        assert (await client.read_coils(16, count=2, device_id=1)).bits[:2] == [True, False]
        await client.write_coils(16, [False, True], device_id=1)
        assert (await client.read_coils(16, count=2, device_id=1)).bits[:2] == [False, True]
        await client.write_registers(3, [0xFFFF, 0x4000, 0], device_id=1)
        assert (await client.read_holding_registers(3, count=3, device_id=1)).registers == [0xFFFF, 0x4000, 0]
        signals = (await bench.request({"op": "state"}))["signals"]
        assert isinstance(signals, dict)
        assert signals["D-1.setpoint"] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ("03 0000 0002", 0),
        ("03 0000 0006", 0),  # across the hole of one register
        ("03 0001 0001", 0),  # half a float: devices give it
        ("03 0002 0001", 2),  # the hole itself
        ("03 0001 0002", 2),  # ends in a hole
        ("03 0004 0005", 2),  # across the hole of two registers
        ("03 0008 0002", 2),
        ("03 FFFF 0001", 2),
        ("03 FFFF 0002", 2),
        ("04 0000 0001", 2),
        ("02 0000 0003", 2),
        ("03 0000 0000", 3),
        ("03 0000 000B", 3),  # the profile takes ten registers in one read
        ("03 0000 007E", 3),
        ("02 0000 0011", 3),
        ("01 0010 0000", 3),
        ("03 0000", 3),
        ("05 0010 0001", 3),
        ("05 0010 FF00", 0),
        ("05 0012 FF00", 2),
        ("05 0000 FF00", 2),
        ("06 0003 0001", 0),
        ("06 0000 0001", 2),  # not writable
        ("06 0004 0001", 2),  # half a float
        ("10 0003 0002 04 0000 0000", 2),  # one register and half a float
        ("10 0003 0003 06 0000 0000 0000", 0),
        ("10 0003 0003 04 0000 0000", 3),
        ("10 0003 0000 00", 3),
        ("0F 0010 0002 01 03", 0),
        ("0F 0010 0003 01 03", 2),
        ("0F 0010 0002 02 03 00", 3),
        ("07", 1),
        ("2B 0E 01 00", 1),
        ("17 0000 0001 0003 0001 02 0000", 0),
        ("17 0000 0001 0002 0001 02 0000", 2),
        ("16 0003 FFFF 0000", 1),  # the profile writes bits by reading, changing, writing
        ("08 0000 1234", 0),
    ],
)
async def test_what_is_refused_and_with_which_code(bench: Simulator, pdu: str, code: int) -> None:
    assert await refused_with(bench, pdu) == code


async def test_a_unit_that_is_not_there_is_answered_as_by_a_gateway(bench: Simulator) -> None:
    assert await refused_with(bench, "03 0000 0001", unit=9) == 0x0B


async def test_pipelined_and_split_requests_are_each_answered(bench: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server_of(bench).port)
    request = bytes.fromhex("0001 0000 0006 01 03 0000 0001 0002 0000 0006 02 04 0005 0001")
    async with asyncio.timeout(2):
        for byte in request:
            writer.write(bytes((byte,)))
            await writer.drain()
        reply = await reader.readexactly(22)
    assert reply == bytes.fromhex("0001 0000 0005 01 03 02 0000 0002 0000 0005 02 04 02 0000")
    writer.close()


@pytest.mark.parametrize("rubbish", ["0001 0001 0006 01 03 0000 0001", "0001 0000 0001 01 03", "0001 0000 00FF 01 03"])
async def test_what_is_not_modbus_loses_the_connection(bench: Simulator, rubbish: str) -> None:
    assert await exchange(bench, rubbish, 1) == b""


async def test_too_many_connections_cost_the_oldest_one(bench: Simulator) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", server_of(bench).port) for _ in range(MAX_CONNECTIONS + 1)]
    async with asyncio.timeout(2):
        assert await hung_up(opened[0][0])
    opened[-1][1].write(bytes.fromhex("0001 0000 0006 01 03 0000 0001"))
    async with asyncio.timeout(2):
        assert len(await opened[-1][0].readexactly(11)) == 11
    for _, writer in opened:
        writer.close()


async def test_a_silent_device_does_not_answer_and_its_neighbour_does(bench: Simulator) -> None:
    await bench.request({"op": "silence", "device": "D-1", "on": True})
    reply = await exchange(bench, "0001 0000 0006 01 03 0000 0001 0002 0000 0006 02 03 0000 0001", 11)
    assert reply[:2] == b"\x00\x02"
    await bench.request({"op": "silence", "device": "D-1", "on": False})
    assert await refused_with(bench, "03 0000 0001") == 0


async def test_a_device_answers_with_the_exception_it_was_given(bench: Simulator) -> None:
    await bench.request({"op": "exception", "device": "D-1", "on": True, "code": 6})
    assert await refused_with(bench, "03 0000 0001") == 6
    assert await refused_with(bench, "03 0000 0001", unit=2) == 0
    await bench.request({"op": "exception", "device": "D-1", "on": False})
    assert await refused_with(bench, "03 0000 0001") == 0


async def test_a_refusing_link_drops_connections_and_comes_back_on_the_same_port(bench: Simulator) -> None:
    server = server_of(bench)
    port = server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: len(server.connections) == 1)
    await bench.request({"op": "refuse", "link": "bus", "on": True})
    async with asyncio.timeout(2):
        assert await hung_up(reader)
    writer.close()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", port)
    await bench.request({"op": "refuse", "link": "bus", "on": False})
    assert server.port == port
    assert await refused_with(bench, "03 0000 0001") == 0


async def test_watchdog_drops_the_outputs_of_the_device_that_nobody_speaks_to(bench: Simulator) -> None:
    values = bench.station.points
    async with client_of(bench) as client:
        for unit in (1, 2):
            await client.write_coil(16, True, device_id=unit)
            await client.write_register(3, 500, device_id=unit)
        async with asyncio.timeout(5):
            while values["D-2.out0"].get():
                # The neighbour is polled all the while, ten times within its watchdog's time.
                await client.read_coils(16, count=1, device_id=1)
                await asyncio.sleep(0.03)
        assert (values["D-1.out0"].get(), values["D-1.setpoint"].get()) == (True, 50.0)
        assert (values["D-2.out0"].get(), values["D-2.setpoint"].get()) == (False, 0.0)
        assert (await client.read_coils(16, count=1, device_id=2)).bits[0] is False
        assert not bench.units["bus", 2].watchdog.tripped


async def test_exceptions_do_not_feed_the_watchdog(bench: Simulator) -> None:
    values = bench.station.points
    async with client_of(bench) as client:
        await client.write_coil(16, True, device_id=1)
        async with asyncio.timeout(5):
            while values["D-1.out0"].get():
                assert (await client.read_coils(90, count=1, device_id=1)).isError()
                await asyncio.sleep(0.03)


async def test_the_wire_log_tells_replies_and_writes_apart(bench: Simulator) -> None:
    async with client_of(bench) as client:
        await bench.request({"op": "set", "name": "D-2.flow", "value": 36.0})
        await client.read_holding_registers(0, count=2, device_id=2)
        await client.write_coil(17, True, device_id=1)
        await client.read_coils(90, count=1, device_id=1)
        wire = await bench.request({"op": "wire", "since_ns": 0})
        events = wire["events"]
        assert isinstance(events, list)
        assert [(e["kind"], e["device"], e["function"], e["address"], e["values"], e["signals"]) for e in events] == [
            ("reply", "D-2", 3, 0, [0, 0x4120], {"D-2.flow": 36.0}),
            ("write", "D-1", 5, 17, [1], {"D-1.out1": True}),
        ]
        assert events[0]["t_ns"] < events[1]["t_ns"]
        later = await bench.request({"op": "wire", "since_ns": events[0]["t_ns"]})
        assert later["events"] == [events[1]]
        only = await bench.request({"op": "wire", "signal": "D-2.flow"})
        assert only["events"] == [events[0]]
        first = await bench.request({"op": "wire", "limit": 1})
        assert (first["events"], first["more"]) == ([events[0]], True)
        await bench.request({"op": "record", "on": False})
        await client.read_holding_registers(0, count=2, device_id=2)
        assert (await bench.request({"op": "wire"}))["events"] == events
