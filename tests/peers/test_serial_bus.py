"""The serial bus of the tests: characters take their time, and two that talk at once are not understood."""

import asyncio
import os
import termios

import pytest

from tests.hil_sim.sites import until
from tests.peers.serial_bus import SPEEDS, SerialBus, Station, serial_bus

CODES = {baudrate: code for code, baudrate in SPEEDS.items()}


class Program:
    """What has opened a station's terminal."""

    def __init__(self, station: Station, baudrate: int) -> None:
        self.file = os.open(station.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        attributes = termios.tcgetattr(self.file)
        attributes[4] = attributes[5] = CODES[baudrate]
        termios.tcsetattr(self.file, termios.TCSANOW, attributes)
        self.heard = b""
        self.at: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.file, self._read)

    def _read(self) -> None:
        data = os.read(self.file, 4096)
        self.heard += data
        self.at += [self._loop.time()] * len(data)

    def say(self, data: bytes) -> float:
        begin = self._loop.time()
        os.write(self.file, data)
        return begin

    def close(self) -> None:
        self._loop.remove_reader(self.file)
        os.close(self.file)


def programs(bus: SerialBus, *baudrates: int) -> list[Program]:
    return [Program(bus.station(str(place)), baudrate) for place, baudrate in enumerate(baudrates)]


@pytest.mark.parametrize("baudrate", [1200, 9600, 115200])
async def test_everybody_else_hears_each_character_when_its_last_bit_has_left(baudrate: int) -> None:
    async with serial_bus(baudrate) as bus:
        speaker, *hearers = programs(bus, baudrate, baudrate, baudrate)
        text = b"twelve chars"
        begin = speaker.say(text)
        await until(lambda: all(hearer.heard == text for hearer in hearers))
        for hearer in hearers:
            for place, at in enumerate(hearer.at):
                assert at - begin >= (place + 1) * 11 / baudrate
        assert speaker.heard == b""
        [frame] = bus.frames
        assert frame.data == text
        assert frame.end - frame.begin == pytest.approx(len(text) * 11 / baudrate)
        for program in (speaker, *hearers):
            program.close()


async def test_two_that_talk_at_once_spoil_each_others_characters_where_they_overlap() -> None:
    async with serial_bus(9600) as bus:
        one, two, three = programs(bus, 9600, 9600, 9600)
        one.say(b"a" * 200)
        await until(lambda: len(three.heard) >= 10)
        two.say(b"X" * 5)
        await until(lambda: len(three.heard) == 205)
        assert three.heard.startswith(b"a" * 10)
        assert three.heard.endswith(b"a" * 10)
        assert three.heard.count(b"a") in (194, 195)
        assert b"X" not in three.heard + one.heard
        assert len(one.heard) == 5
        assert bus.collisions in (10, 11)
        for program in (one, two, three):
            program.close()


async def test_a_station_that_holds_the_wires_spoils_what_comes_too_soon() -> None:
    async with serial_bus(9600) as bus:
        holding = Program(bus.station("holding", holds_s=0.05), 9600)
        [other] = programs(bus, 9600)
        holding.say(b"a")
        await until(lambda: other.heard == b"a")
        other.say(b"b")
        await until(lambda: len(holding.heard) == 1)
        assert holding.heard != b"b"
        assert bus.collisions == 1
        held_until = bus.frames[0].end + 0.05
        await until(lambda: asyncio.get_running_loop().time() > held_until)
        other.say(b"b")
        await until(lambda: len(holding.heard) == 2)
        assert holding.heard[1:] == b"b"
        for program in (holding, other):
            program.close()


async def test_who_has_set_another_speed_neither_hears_nor_is_heard() -> None:
    async with serial_bus(9600) as bus:
        right, wrong = programs(bus, 9600, 19200)
        right.say(b"a")
        await until(lambda: len(wrong.heard) == 1)
        assert wrong.heard != b"a"
        wrong.say(b"b")
        await until(lambda: len(right.heard) == 1)
        assert right.heard != b"b"
        assert bus.collisions == 0
        for program in (right, wrong):
            program.close()


async def test_noise_is_heard_by_all() -> None:
    async with serial_bus(9600) as bus:
        both = programs(bus, 9600, 9600)
        bus.noise(b"\xff\x00")
        await until(lambda: all(program.heard == b"\xff\x00" for program in both))
        for program in both:
            program.close()
