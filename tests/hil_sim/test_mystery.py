"""The instrument to practise on: it can be found by what a technician has, and by nothing less."""

import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from config.encoding import Order
from config.profile import ModbusProfile
from hil_sim.main import main
from hil_sim.mystery import HIGHEST_UNIT, Mystery
from tests.hil_sim.test_encodings import swapped
from tests.hil_sim.wires import mbap, opened, rtu

COMMAND = [sys.executable, "-m", "hil_sim", "mystery"]
READY_S = 20.0
AGREE_S = 10.0
DISPLAY = re.compile(r"flow +([\d.]+) m3/h +total +([\d.]+) m3")


def revealed(seed: int, printed: pytest.CaptureFixture[str]) -> ModbusProfile:
    assert main(["mystery", "--seed", str(seed), "--reveal"]) == 0
    return ModbusProfile.model_validate(yaml.safe_load(printed.readouterr().out))


class Shown:
    """A running instrument: where it is, and its display."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        first = self._line()
        found = re.search(r"--seed (\d+), on (\S+)\. Its display", first)
        assert found is not None, first
        self.seed, self.place = int(found[1]), found[2]

    def _line(self) -> str:
        out = self._process.stdout
        assert out is not None
        assert select.select([out], [], [], READY_S)[0], "nothing is printed"
        return out.readline()

    def display(self) -> tuple[float, float]:
        found = DISPLAY.search(self._line())
        assert found is not None
        return float(found[1]), float(found[2])


@contextmanager
def shown(*options: str) -> Iterator[Shown]:
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True, bufsize=1)
    try:
        yield Shown(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def request_of(profile: ModbusProfile, name: str) -> tuple[str, int]:
    """The PDU that reads a signal, and its registers."""
    signal = profile.signals[name]
    ends = signal.ends()
    size = max(ends) - min(ends) + 1
    function = {"holding": 3, "input": 4}[signal.table]
    return struct.pack(">BHH", function, signal.address, size).hex(), size


def read(wire: socket.socket, profile: ModbusProfile, unit: int, name: str) -> float:
    pdu, size = request_of(profile, name)
    wire.sendall(mbap(1, unit, pdu))
    reply = wire.recv(300)
    assert len(reply) == 9 + 2 * size
    return meaning(profile, name, reply[9:])


def meaning(profile: ModbusProfile, name: str, data: bytes) -> float:
    """A signal out of its registers, by what the profile says and ``struct``."""
    signal = profile.signals[name]
    plain = swapped(data[:4], signal.order)
    if name != "total":
        number: float = struct.unpack(">f", plain)[0]
        return number
    whole = struct.unpack(">I", plain)[0]
    assert signal.fraction is not None
    rest = swapped(data[4:], signal.order)
    decimals = struct.unpack(">f" if len(rest) == 4 else ">H", rest)[0]
    return float(whole + decimals * signal.fraction.scale)


def test_on_tcp_the_registers_show_what_the_display_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("--tcp", "--seed", "5") as instrument:
        profile = revealed(instrument.seed, capsys)
        host, _, port = instrument.place.partition(":")
        unit = profile.serial.unit
        assert unit is not None
        with socket.create_connection((host, int(port)), 5) as wire:
            wire.settimeout(5)
            agreed, end_s = False, time.monotonic() + AGREE_S
            while not agreed and time.monotonic() < end_s:
                # A display that comes out of the pipe late is followed by one that does not.
                display = instrument.display()
                flow, total = (read(wire, profile, unit, name) for name in ("flow", "total"))
                agreed = (round(flow, 2), round(total, 3)) == display
            assert agreed
            outside = min(signal.address for signal in profile.signals.values()) + 60
            wire.sendall(mbap(2, unit, struct.pack(">BHH", 3, outside, 1).hex()))
            assert wire.recv(300)[7:] == b"\x83\x02"
            wire.sendall(mbap(3, HIGHEST_UNIT + 1, request_of(profile, "flow")[0]))
            assert wire.recv(300)[8:] == b"\x0b"


def test_on_a_serial_line_it_is_heard_at_its_own_speed_only(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("--seed", "5") as instrument:
        profile = revealed(5, capsys)
        pdu, size = request_of(profile, "flow")
        frame = rtu(f"{profile.serial.unit:02x}" + pdu)
        own = getattr(termios, f"B{profile.serial.baudrate}")
        with opened(instrument.place) as line:
            for speed, wait_s in ((termios.B115200, 0.3), (own, 5.0)):
                attributes = termios.tcgetattr(line.file)
                attributes[4] = attributes[5] = speed
                termios.tcsetattr(line.file, termios.TCSANOW, attributes)
                line.send(frame)
                answered = bool(select.select([line.file], [], [], wait_s)[0])
                assert answered is (speed == own)
        assert size == 2


def test_an_instrument_is_drawn_from_its_seed() -> None:
    maps = [Mystery(seed, tcp=True).data for seed in range(40)]
    assert Mystery(7, tcp=True).data == maps[7]
    orders = {one["signals"]["flow"]["order"] for one in maps}
    assert orders == {Order.CDAB, Order.BADC, Order.DCBA}
    assert {one["signals"]["flow"]["table"] for one in maps} == {"holding", "input"}
    assert {_fraction(one)["type"] for one in maps} == {"float32", "uint16"}
    assert len({str(one) for one in maps}) > 30
    for seed in range(40):
        instrument = Mystery(seed, tcp=True)
        assert not instrument.server.bus.units[instrument.unit_number].report()[0] & 0x80


def _fraction(data: dict[str, Any]) -> dict[str, Any]:
    fraction: dict[str, Any] = data["signals"]["total"]["fraction"]
    return fraction


def test_flow_and_total_go_together() -> None:
    instrument = Mystery(1, tcp=True)
    before = instrument.total_m3
    flows = []
    for _ in range(900):
        instrument.step(2.0)
        flows.append(instrument.flow_m3h)
    mean = sum(flows) / len(flows)
    assert instrument.total_m3 - before == pytest.approx(mean * 0.5, rel=1e-3)
    assert max(flows) - min(flows) > 0.2 * mean


def test_it_is_revealed_only_by_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mystery", "--reveal"]) == 1
    assert "--reveal needs the --seed" in capsys.readouterr().err
