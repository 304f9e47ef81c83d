"""A whole bus in virtual time: two devices of one site, mutated replies, and every Sample that reaches the sink.

Every register holds the number of the request that it is read by, so that a reading tells by itself what it answers: a
good one must answer a request that was made for its signal and was still in hand. Where replies name no request
(serial frames, ids of zero) the devices are what the driver counts on, and no more: they answer in order, however late,
badly, or not at all.
"""

import asyncio
import random
import struct
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pytest
import structlog

from config.load import LoadedSite
from config.sample import Sample
from config.signals import Signal
from drivers.modbus.decoder import modbus
from drivers.port import WriteResult
from tests.drivers.fault_devices import Replier, Request
from tests.drivers.sites import Drivers, device, driving, site_of
from tests.drivers.virtual import Wire as VirtualWire
from tests.drivers.virtual import World
from tests.fuzz.asked import Asked
from tests.fuzz.crc import check_sum
from tests.fuzz.mutation import ASTRAY, FORGED, SPOILED, Wire, framed, reply_frame
from tests.fuzz.oracle import Finding

SECONDS: Final = 15.0
HEALTHY_S: Final = 1.0
"""Devices are in order at first: what a unit has answered once is known of it."""
POLL_S: Final = 0.4
TIMEOUT_S: Final = 0.2
GRACE_S: Final = 0.05
"""What a request and its reply may be on the way beyond the time-out: the line itself."""
RECOVERY_S: Final = 10.0
"""A unit that is down is probed again within this, beside one that answers: twice 0.2 s in a twentieth of the time."""
IN_TURN_S: Final = 1e-4
"""Between two replies at least: timers for the same moment go off in any order."""
MOST_WRITES: Final = 8
UNITS: Final = (1, 2)
FOREIGN_UNITS: Final = (3, 17, 0x41, 200, 255)
FOREIGN_FUNCTIONS: Final = (7, 8, 11, 43, 0x64)
LATE, SILENT, SPLIT, TWICE, FOREIGN_UNIT, FOREIGN_FUNCTION = (
    "late",
    "no reply",
    "split",
    "twice at once",
    "foreign unit",
    "foreign function",
)
UNCHANGED: Final = "unchanged"
GOOD, CHANCE = "bus: good sample, true", "bus: good sample, undetectable"
_SIGNALS: Final[dict[str, dict[str, object]]] = {
    "a": {"table": "holding", "address": 0, "type": "uint16"},
    "b": {"table": "holding", "address": 30, "type": "uint16", "writable": True},
    "c": {"table": "input", "address": 0, "type": "uint16"},
    "w": {"table": "holding", "address": 60, "type": "uint32"},
    "d": {"table": "holding", "address": 90, "type": "uint64"},
}
_FUNCTIONS: Final = {"holding": 3, "input": 4}
_ANYWHERE: Final = (*FORGED, *SPOILED, *ASTRAY, LATE, LATE, SILENT, SPLIT)
"""Where replies have ids everything may happen at any time."""
_IN_ORDER: Final = (
    *SPOILED,
    "exception",
    *(LATE,) * 6,
    SILENT,
    SPLIT,
    TWICE,
    FOREIGN_UNIT,
    FOREIGN_FUNCTION,
)
"""Where they have not, no other reply in good order: nobody could tell it from the right one."""
_UNNAMED: Final = ("exception", *(LATE,) * 6, SILENT, SPLIT, FOREIGN_UNIT, FOREIGN_FUNCTION)
"""With ids of zero and no check sum, no changed data either."""


class Link(NamedTuple):
    """A link of a site, and what can happen on it. ``has_ids``: replies name their request."""

    settings: dict[str, object]
    wire: Wire
    mutations: tuple[str, ...]
    has_ids: bool = False


_TCP: Final[dict[str, object]] = {"type": "modbus-tcp", "host": "127.0.0.1"}
LINKS: Final = (
    Link(_TCP, Wire(rtu=False), _ANYWHERE, has_ids=True),
    Link(_TCP | {"in_flight": 4}, Wire(rtu=False), _ANYWHERE, has_ids=True),
    Link(_TCP | {"strict_ids": False}, Wire(rtu=False, zero_ids=True), _UNNAMED),
    Link(_TCP | {"framing": "rtu"}, Wire(rtu=True), _IN_ORDER),
    Link({"type": "modbus-rtu", "port": "/dev/nowhere", "baudrate": 115200}, Wire(rtu=True), _IN_ORDER),
)


@cache
def _site(link: int) -> LoadedSite:
    profile = {"protocol": "modbus", "limits": {"response_delay": "0 s"}, "signals": _SIGNALS}
    devices = {f"D-{unit}": device("bus", unit, f"{POLL_S} s", profile) for unit in UNITS}
    settings = LINKS[link].settings | {"timeout": f"{TIMEOUT_S} s", "retry": "0.5 s"}
    with tempfile.TemporaryDirectory() as folder:
        return site_of(Path(folder), {"bus": settings}, devices)


class _Arrival(NamedTuple):
    """What came at a moment, and how many requests had been sent on its connection until then."""

    at: float
    data: bytes
    asked: int


class _Tapped(VirtualWire):
    """A wire that keeps what goes over it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.arrivals: list[_Arrival] = []
        self.asked: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.asked.append(bytes(data))
        super().write(data)

    def _arrive(self, data: bytes) -> None:
        if self.open:
            self.arrivals.append(_Arrival(self._loop.time(), data, len(self.asked)))
        super()._arrive(data)


class Story:
    """One story of one link. ``mutations`` and ``outcomes`` are counted."""

    def __init__(self, rng: Random, mutations: Counter[str], outcomes: Counter[str], link: int | None = None) -> None:
        self._rng = rng
        self._mutations = mutations
        self._outcomes = outcomes
        place = int(rng.random() * len(LINKS)) if link is None else link
        self._link = LINKS[place]
        self._loaded = _site(place)
        self._share = rng.choice((0.1, 0.3, 0.5, 0.9))
        self._latest = rng.choice((0.3, 1.0, 4.0))
        self._asked: list[Request] = []
        self._earlier: list[Asked] = []
        self._genuine: set[bytes] = set()
        self._spoiled: set[bytes] = set()
        self._answered_until: dict[int, float] = {}
        self._mutating_from = 0.0

    def run(self) -> None:
        """Runs it. Raises ``Finding``."""
        with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs():
            self._world = World(patch, Path(), _Tapped)
            self._world.lay(self._loaded)
            self._world.run(self._live)

    async def _live(self) -> None:
        loop, rng = asyncio.get_running_loop(), self._rng
        begin = loop.time()
        self._mutating_from = begin + HEALTHY_S
        self._world["bus"].devices.behave(self._behave)
        async with driving(self._loaded, 1e6) as drivers:
            writes: list[asyncio.Future[WriteResult]] = []
            for _ in range(int(rng.random() * MOST_WRITES)):
                await asyncio.sleep(rng.random() * SECONDS / MOST_WRITES)
                writes.append(drivers.write(f"D-{rng.choice(UNITS)}.b", rng.randrange(0x10000)))
            await asyncio.sleep(max(0.0, begin + SECONDS - loop.time()))
            # From here on all is well again.
            self._share = 0.0
            await asyncio.sleep(self._latest + RECOVERY_S)
            if not all(write.done() for write in writes):
                raise Finding("a write was never answered for")
            self._check(drivers)

    # -- the devices -------------------------------------------------------------------------------------------------

    def _behave(self, request: Request, replier: Replier) -> None:
        loop, rng = asyncio.get_running_loop(), self._rng
        reply = request.pdu[:5]
        if request.function <= 4:
            data = struct.pack(">H", len(self._asked)) * int.from_bytes(request.pdu[3:5])
            reply = bytes((request.function, len(data))) + data
        start = reply[:2] if request.function <= 4 else reply
        asked = Asked(request.unit, request.pdu, start, reply, request.transaction)
        self._asked.append(request)
        pieces, delay = self._answered(asked)
        self._earlier.append(asked)
        at = loop.time() + delay
        if not self._link.has_ids:
            at = max(at, self._answered_until.get(request.unit, 0.0) + IN_TURN_S)
        for piece in pieces:
            if piece:
                loop.call_at(at, self._send, replier, piece)
                self._answered_until[request.unit] = at
            at += IN_TURN_S + rng.random() * (1.5 * TIMEOUT_S if rng.random() < 0.3 else 0.0)

    def _send(self, replier: Replier, data: bytes) -> None:
        # A converter does not know for whom it was: whoever is connected then gets it.
        (self._world["bus"].wires[-1].far if self._link.wire.rtu else replier).send(data)

    def _answered(self, asked: Asked) -> tuple[list[bytes], float]:
        """What comes in place of the reply, and after how many seconds."""
        rng, wire = self._rng, self._link.wire
        right = reply_frame(wire, asked)
        self._genuine.add(right)
        if asyncio.get_running_loop().time() < self._mutating_from or rng.random() >= self._share:
            self._mutations[UNCHANGED] += 1
            return [right], 0.001
        name, delay = rng.choice(self._link.mutations), 0.001
        pieces = [right]
        if name in FORGED:
            pieces = [FORGED[name](rng, wire, asked)]
            if name == "exception":
                self._genuine.add(pieces[0])
        elif name in SPOILED:
            pieces = [SPOILED[name](rng, right)]
        elif name in ASTRAY:
            stray = ASTRAY[name](rng, wire, asked, self._earlier)
            pieces = [stray, right] if rng.random() < 0.5 else [right, stray]
        elif name == LATE:
            delay = rng.random() * self._latest
        elif name == SILENT:
            pieces = []
        elif name == SPLIT:
            at = int(rng.random() * len(right))
            pieces = [right[:at], right[at:]]
        elif name == TWICE:
            pieces = [right + right]
        elif name == FOREIGN_UNIT:
            pieces = [framed(wire, rng.choice(FOREIGN_UNITS), asked.reply, asked.transaction)]
        else:
            pdu = bytes((rng.choice(FOREIGN_FUNCTIONS),)) + asked.reply[1:]
            pieces = [framed(wire, asked.unit, pdu, asked.transaction)]
        self._spoiled.update(piece for piece in pieces if piece not in self._genuine)
        self._mutations[f"bus: {name}"] += 1
        return pieces, delay

    # -- what came of it ---------------------------------------------------------------------------------------------

    def _check(self, drivers: Drivers) -> None:
        for signal in self._loaded.signals.field:
            for sample in drivers.readings.of[signal.name]:
                if sample.good:
                    wrong = self._wrong(signal, sample)
                    if wrong and not self._undetectable(signal, sample):
                        raise Finding(f"{signal.name} reads {sample.raw.hex(' ')}: {wrong}")
                    self._outcomes[CHANCE if wrong else GOOD] += 1
        for tag, status in drivers.links["bus"].status().devices.items():
            if not status.online:
                raise Finding(f"{tag} counts as absent though all has been well for {RECOVERY_S:g} s")

    def _wrong(self, signal: Signal, sample: Sample) -> str:
        """Why a good sample cannot be the answer to a request for it; "" if it is one."""
        number = int.from_bytes(sample.raw[:2])
        if sample.raw != sample.raw[:2] * (len(sample.raw) // 2) or number >= len(self._asked):
            return "no register ever held this"
        request = self._asked[number]
        if request.unit != self._loaded.site.devices[signal.device].unit or not _covers(request.pdu, signal):
            return f"this was the answer to {request.pdu.hex(' ')} of unit {request.unit}"
        late = sample.received - request.at
        if late > TIMEOUT_S + GRACE_S:
            return f"this was the answer to a request {late:.3f} s before"
        return ""

    def _undetectable(self, signal: Signal, sample: Sample) -> bool:
        """True when bytes that no master could have refused came in, at that moment or, without ids, before it."""
        wires = [wire for wire in self._world["bus"].wires if isinstance(wire, _Tapped)]
        if self._link.has_ids:
            unit = self._loaded.site.devices[signal.device].unit or 0
            return any(_names(wire, unit, signal, sample) for wire in wires)
        # One such frame misleads about all that is still to come.
        return any(frame not in self._genuine for wire in wires for frame in self._acceptable(wire, sample.received))

    def _acceptable(self, wire: _Tapped, until: float) -> list[bytes]:
        """Frames on a connection without ids that answer what was asked last."""
        frames: list[bytes] = []
        heard, asked = b"", 0
        for arrival in wire.arrivals:
            if arrival.at > until:
                break
            # A serial frame answers the request before it; MBAP frames go on from one to the next.
            heard = heard + arrival.data if asked == arrival.asked or not self._link.wire.rtu else arrival.data
            asked = arrival.asked
            if not asked:
                continue
            if self._link.wire.rtu:
                frames += _serial_frames(heard, wire.asked[asked - 1])
            else:
                found, heard = _cut(heard)
                frames += found
        return frames


def _covers(pdu: bytes, signal: Signal) -> bool:
    first, count = struct.unpack(">HH", pdu[1:5])
    definition = modbus(signal)
    return pdu[0] == _FUNCTIONS[definition.table] and first <= definition.address < first + count


def _serial_frames(heard: bytes, request: bytes) -> list[bytes]:
    """The frames with a right sum that have the unit and function of a request, whatever else they are."""
    found = []
    for at in range(len(heard) - 4):
        if heard[at] == request[0] and heard[at + 1] & 0x7F == request[1]:
            size = 5 if heard[at + 1] & 0x80 else 5 + heard[at + 2] if request[1] <= 4 else 8
            frame = heard[at : at + size]
            if len(frame) == size and check_sum(frame[:-2]) == frame[-2:]:
                found.append(frame)
    return found


def _cut(stream: bytes) -> tuple[list[bytes], bytes]:
    """The MBAP frames of a stream, and what is left over."""
    frames = []
    while len(stream) >= 7 and len(stream) >= 6 + int.from_bytes(stream[4:6]):
        size = 6 + int.from_bytes(stream[4:6])
        frames.append(stream[:size])
        stream = stream[size:]
    return frames, stream


def _names(wire: _Tapped, unit: int, signal: Signal, sample: Sample) -> bool:
    """True when a frame came at the moment of a sample, by its id a reply to a request for it, that holds it."""
    rest = b""
    for arrival in wire.arrivals:
        frames, rest = _cut(rest + arrival.data)
        if arrival.at != sample.received:
            continue
        for frame in frames:
            for request in wire.asked[: arrival.asked]:
                same_ids = frame[:2] == request[:2] and frame[6] == request[6] == unit
                if same_ids and _covers(request[7:], signal) and _holds(frame[7:], request[7:], signal, sample.raw):
                    return True
    return False


def _holds(reply: bytes, request: bytes, signal: Signal, raw: bytes) -> bool:
    first, count = struct.unpack(">HH", request[1:5])
    at = 2 + 2 * (modbus(signal).address - first)
    return reply[:2] == bytes((request[0], 2 * count)) and len(reply) == 2 + 2 * count and raw == reply[at:][: len(raw)]


def tell(seed: int, mutations: Counter[str], outcomes: Counter[str]) -> None:
    """One story, the same for the same seed."""
    random.seed(seed)
    Story(Random(seed), mutations, outcomes).run()
