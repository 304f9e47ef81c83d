"""A serial bus of pseudo-terminals, on which characters take their time.

Every station opens a terminal of its own. What one sends, all others hear, a character after the other, each when its
last bit would have left; two that talk at once spoil each other's characters, as on two wires (RS-485, half duplex).
So t3.5, deadlines and turnaround count between programs that know nothing of each other.
"""

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

BITS_PER_CHARACTER: Final = 11
CHUNK: Final = 4096
SPOILED: Final = 0x55
"""A spoiled character is exclusive-or'ed with this: never what was sent."""
OUTPUT_SPEED: Final = 5
"""Where ``termios.tcgetattr`` gives it."""
SPEEDS: Final = {getattr(termios, f"B{baud}"): baud for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)}


class Frame(NamedTuple):
    """Characters that one station sent without a pause; times, in seconds of the loop's clock, are of the wire."""

    station: "Station"
    begin: float
    end: float
    data: bytes


@dataclass(slots=True)
class _Character:
    station: "Station"
    begin: float
    end: float
    byte: int
    spoiled: bool = False


@dataclass(slots=True, eq=False)
class Station:
    """One place on the bus. ``path`` is the terminal that its program opens.

    ``holds_s``: how long it drives the wires after its last character; what others send meanwhile is spoiled.
    ``echoes``: its adapter hears what it sends itself. ``spoils_each``: one in so many of its characters arrives
    changed (0: none); ``sent`` counts them.
    """

    name: str
    path: str
    file: int
    holds_s: float = 0.0
    echoes: bool = False
    spoils_each: int = 0
    sent: int = 0
    busy_until: float = float("-inf")
    sending: list[_Character] = field(default_factory=list)

    @property
    def speed(self) -> int | None:
        """The speed that its program has set on the terminal."""
        return SPEEDS.get(termios.tcgetattr(self.file)[OUTPUT_SPEED])


class SerialBus:
    """The wires. ``frames`` is all that was sent; ``collisions`` counts characters that were spoiled by another."""

    def __init__(self, baudrate: int) -> None:
        self.frames: list[Frame] = []
        self.collisions = 0
        self.character_s = BITS_PER_CHARACTER / baudrate
        self._baudrate = baudrate
        self._loop = asyncio.get_running_loop()
        self._stations: list[Station] = []
        self._files: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._nobody = Station("noise", "", -1)

    def station(self, name: str, *, holds_s: float = 0.0, echoes: bool = False) -> Station:
        """A new terminal for a program to open."""
        master, slave = os.openpty()
        tty.setraw(slave)
        # Held open, so that a program that closes its end does not hang up the bus.
        self._files.append(slave)
        return self._join(Station(name, os.ttyname(slave), master, holds_s, echoes))

    def joined(self, name: str, path: str) -> Station:
        """A station whose program has made the terminal itself and lets others open it."""
        file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(file)
        attributes = termios.tcgetattr(file)
        attributes[OUTPUT_SPEED] = attributes[OUTPUT_SPEED - 1] = getattr(termios, f"B{self._baudrate}")
        termios.tcsetattr(file, termios.TCSANOW, attributes)
        return self._join(Station(name, path, file))

    def noise(self, data: bytes) -> None:
        """Puts characters on the wires now, which no station has sent."""
        self._transmit(self._nobody, data)

    def of(self, station: Station) -> list[Frame]:
        """What a station has sent."""
        return [frame for frame in self.frames if frame.station is station]

    def close(self) -> None:
        """Takes the terminals away."""
        if self._timer is not None:
            self._timer.cancel()
        for station in self._stations:
            self._loop.remove_reader(station.file)
            os.close(station.file)
        for file in self._files:
            os.close(file)
        self._stations.clear()

    def _join(self, station: Station) -> Station:
        os.set_blocking(station.file, False)
        self._stations.append(station)
        self._loop.add_reader(station.file, self._readable, station)
        return station

    def _readable(self, station: Station) -> None:
        self._transmit(station, os.read(station.file, CHUNK))

    def _transmit(self, station: Station, data: bytes) -> None:
        begin = max(self._loop.time(), station.busy_until)
        others = [other for other in (*self._stations, self._nobody) if other is not station]
        wrong_speed = station is not self._nobody and station.speed != self._baudrate
        for byte in data:
            character = _Character(station, begin, begin + self.character_s, byte, wrong_speed)
            begin = character.end
            station.sent += 1
            if station.spoils_each and station.sent % station.spoils_each == 0:
                character.spoiled = True
            for other in others:
                self._collide(character, other)
            station.sending.append(character)
        self._note(station, station.sending[-len(data)].begin, begin, data)
        station.busy_until = begin
        self._wait()

    def _collide(self, character: _Character, other: Station) -> None:
        if other.busy_until <= character.begin < other.busy_until + other.holds_s:
            character.spoiled = True
            self.collisions += 1
        for overlaid in other.sending:
            if overlaid.begin < character.end and character.begin < overlaid.end:
                self.collisions += (not character.spoiled) + (not overlaid.spoiled)
                character.spoiled = overlaid.spoiled = True

    def _note(self, station: Station, begin: float, end: float, data: bytes) -> None:
        last = self.frames[-1] if self.frames else None
        if last is not None and last.station is station and begin - last.end < 1.5 * self.character_s:
            self.frames[-1] = last._replace(end=end, data=last.data + data)
        else:
            self.frames.append(Frame(station, begin, end, data))

    def _wait(self) -> None:
        """Sets the timer for the next character whose last bit leaves."""
        ends = [station.sending[0].end for station in (*self._stations, self._nobody) if station.sending]
        if ends and self._timer is None:
            self._timer = self._loop.call_at(min(ends), self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._loop.time()
        arrived: list[_Character] = []
        for station in (*self._stations, self._nobody):
            while station.sending and station.sending[0].end <= now:
                arrived.append(station.sending.pop(0))
        arrived.sort(key=lambda character: character.end)
        for hearer in self._stations:
            lost = hearer.speed != self._baudrate
            heard = [character for character in arrived if hearer.echoes or character.station is not hearer]
            if heard:
                data = bytes(c.byte ^ SPOILED if lost or c.spoiled else c.byte for c in heard)
                # Where nobody reads the terminal fills up; what a serial port has no room for is lost just so.
                with suppress(BlockingIOError):
                    os.write(hearer.file, data)
        self._wait()


@asynccontextmanager
async def serial_bus(baudrate: int) -> AsyncIterator[SerialBus]:
    """A bus while the block runs."""
    bus = SerialBus(baudrate)
    try:
        yield bus
    finally:
        bus.close()
