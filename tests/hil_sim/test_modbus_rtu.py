"""The RTU server on its pseudo-terminal, with pymodbus's client and with raw frames."""

import asyncio
import os
import struct
import termios
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.framer.rtu import FramerRTU

from config.load import load_site
from hil_sim.framing import crc16
from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.simulator import Simulator
from tests.hil_sim.sites import bench_site, simulated, until

LINK: dict[str, object] = {"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with simulated(bench_site(tmp_path, LINK)) as simulator:
        yield simulator


def server_of(simulator: Simulator) -> ModbusRtuServer:
    server = simulator.servers["bus"]
    assert isinstance(server, ModbusRtuServer)
    return server


class Line:
    """The controller's end of the bus, byte by byte."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def send(self, frame: str, crc: bool = True) -> None:
        body = bytes.fromhex(frame)
        os.write(self.file, body + (crc16(body).to_bytes(2, "little") if crc else b""))

    async def receive(self, size: int, deadline_s: float = 2.0) -> bytes:
        """``size`` bytes, or what came before the deadline."""
        got = b""
        end = asyncio.get_running_loop().time() + deadline_s
        while len(got) < size and asyncio.get_running_loop().time() < end:
            try:
                got += os.read(self.file, 256)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        return got


@pytest.fixture
def line(bench: Simulator) -> Iterator[Line]:
    line = Line(server_of(bench).path)
    yield line
    os.close(line.file)


@pytest.mark.parametrize("text", ["123456789", "", "\x00", "Penstock"])
def test_crc_agrees_with_the_independent_one(text: str) -> None:
    data = text.encode()
    assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


async def test_terminal_is_raw(bench: Simulator, line: Line) -> None:
    attributes = termios.tcgetattr(line.file)
    assert not attributes[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    assert not attributes[1] & termios.OPOST


async def test_two_units_on_one_bus_answer_pymodbus(bench: Simulator) -> None:
    await bench.request({"op": "set", "name": "D-2.count", "value": 4711})
    client = AsyncModbusSerialClient(server_of(bench).path, baudrate=115200, timeout=1, retries=0)
    assert await client.connect()
    try:
        assert (await client.read_input_registers(5, count=1, device_id=2)).registers == [4711]
        assert (await client.read_input_registers(5, count=1, device_id=1)).registers == [0]
        await client.write_registers(3, [250], device_id=1)
        await client.write_coils(16, [True, True], device_id=2)
        assert (await client.read_coils(16, count=2, device_id=2)).bits[:2] == [True, True]
        assert (await client.read_holding_registers(3, count=1, device_id=1)).registers == [250]
        assert (await client.read_holding_registers(90, count=1, device_id=1)).exception_code == 2
    finally:
        client.close()


async def test_golden_frames_of_the_turbidity_probe(tmp_path: Path) -> None:
    site = {
        "site": {"id": "probe"},
        "links": {"bus": LINK},
        "devices": {"AIT-1": {"link": "bus", "unit": 1, "profile": "yosemitech-y511"}},
    }
    path = tmp_path / "probe.yaml"
    path.write_text(yaml.safe_dump(site))
    async with simulated(load_site(path)) as simulator:
        for field in ("temperature", "turbidity"):
            await simulator.request({"op": "set", "name": f"AIT-1.{field}", "value": 17.625})
        line = Line(server_of(simulator).path)
        line.send("01 03 26 00 00 05 8E 81", crc=False)
        assert await line.receive(15) == bytes.fromhex("01 03 0A 00 00 8D 41 00 00 8D 41 00 00 C7 33")
        os.close(line.file)


async def test_only_frames_for_this_bus_are_answered(bench: Simulator, line: Line) -> None:
    line.send("09 03 00 00 00 01")
    line.send("02 04 00 05 00 01")
    assert await line.receive(7) == bytes.fromhex("02 04 02 00 00") + crc16(bytes.fromhex("0204020000")).to_bytes(
        2, "little"
    )


async def test_a_wrong_crc_gets_no_answer_and_the_next_frame_does(bench: Simulator, line: Line) -> None:
    server = server_of(bench)
    line.send("01 03 00 00 00 01 00 00", crc=False)
    await until(lambda: server.bad_frames == 1)
    line.send("01 03 00 00 00 01")
    assert len(await line.receive(7)) == 7


async def test_a_frame_in_pieces_is_one_frame_and_a_fragment_is_none(bench: Simulator, line: Line) -> None:
    line.send("01 03 00", crc=False)
    await asyncio.sleep(0)
    line.send("00 00 01 84 0A", crc=False)
    assert await line.receive(7) == bytes.fromhex("01 03 02 00 00 B8 44")
    line.send("01 03 00", crc=False)
    await until(lambda: server_of(bench).bad_frames == 1)


async def test_a_pause_shorter_than_the_silence_of_a_slow_line_does_not_end_a_frame(tmp_path: Path) -> None:
    """At 1200 baud 3.5 characters take 32 ms."""
    async with simulated(bench_site(tmp_path, LINK | {"baudrate": 1200})) as simulator:
        line = Line(server_of(simulator).path)
        line.send("01 03 00", crc=False)
        await asyncio.sleep(0.022)
        line.send("00 00 01 84 0A", crc=False)
        assert await line.receive(7) == bytes.fromhex("01 03 02 00 00 B8 44")
        assert server_of(simulator).bad_frames == 0
        os.close(line.file)


async def test_an_unknown_function_is_refused_by_exception_one(bench: Simulator, line: Line) -> None:
    line.send("01 07")
    assert (await line.receive(5))[:3] == bytes.fromhex("01 87 01")


async def test_a_broadcast_is_carried_out_by_all_and_answered_by_none(bench: Simulator, line: Line) -> None:
    line.send("00 05 00 10 FF 00")
    points = bench.station.points
    await until(lambda: points["D-1.out0"].get() is True and points["D-2.out0"].get() is True)
    line.send("00 03 00 00 00 01")
    line.send("01 03 00 00 00 01")
    assert (await line.receive(7))[:2] == b"\x01\x03"


async def test_silence_and_a_cut_cable(bench: Simulator, line: Line) -> None:
    await bench.request({"op": "silence", "device": "D-1", "on": True})
    line.send("01 03 00 00 00 01")
    line.send("02 03 00 00 00 01")
    assert (await line.receive(7))[:1] == b"\x02"
    await bench.request({"op": "refuse", "link": "bus", "on": True})
    line.send("02 03 00 00 00 01")
    assert await line.receive(1, 0.1) == b""
    await bench.request({"op": "refuse", "link": "bus", "on": False})
    line.send("02 03 00 00 00 01")
    assert len(await line.receive(7)) == 7


@pytest.mark.parametrize("baudrate", [1200, 9600])
async def test_a_reply_takes_the_time_of_its_characters(tmp_path: Path, baudrate: int) -> None:
    async with simulated(bench_site(tmp_path, {**LINK, "baudrate": baudrate})) as simulator:
        line = Line(server_of(simulator).path)
        began_s = time.monotonic()
        line.send("01 03 00 00 00 06")
        assert len(await line.receive(17)) == 17
        took_s = time.monotonic() - began_s
        os.close(line.file)
    on_wire_s = (8 + 17) * 11 / baudrate
    assert on_wire_s < took_s < on_wire_s + 0.25


async def test_a_reply_is_logged_when_it_has_been_given(bench: Simulator, line: Line) -> None:
    before_ns = time.monotonic_ns()
    line.send("01 10 00 04 00 02 04 3F C0 00 00")
    assert len(await line.receive(8)) == 8
    line.send("01 03 00 04 00 02")
    reply = await line.receive(9)
    after_ns = time.monotonic_ns()
    assert struct.unpack(">f", reply[3:7]) == (1.5,)
    events = (await bench.request({"op": "wire"}))["events"]
    assert isinstance(events, list)
    assert [(e["kind"], e["signals"]) for e in events] == [
        ("write", {"D-1.wide": 1.5}),
        ("reply", {"D-1.wide": 1.5}),
    ]
    assert before_ns < events[0]["t_ns"] < events[1]["t_ns"] < after_ns
