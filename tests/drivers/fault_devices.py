"""Modbus devices that do what a test tells them, request by request: on TCP, TLS, RTU over TCP and a serial line.

Nothing here is the driver's own code: frames and check sums are made anew from the specification.
"""

import asyncio
import os
import ssl
import struct
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, cast

from tests.drivers.sites import free_port

FramingName = Literal["tcp", "rtu"]
DRIP_BYTES = 8
"""A simulated line speed is kept in pieces of so many bytes: a timer for each would cost more than the line."""


class Request(NamedTuple):
    """A request as it was received at ``at``, seconds of the loop's clock."""

    unit: int
    pdu: bytes
    transaction: int
    at: float

    @property
    def function(self) -> int:
        return self.pdu[0]

    @property
    def address(self) -> int:
        return int.from_bytes(self.pdu[1:3], "big")


class Replier(Protocol):
    """Where a request came from."""

    def reply(
        self, request: Request, pdu: bytes, *, unit: int | None = None, transaction: int | None = None
    ) -> None: ...

    def frame(
        self, request: Request, pdu: bytes, *, unit: int | None = None, transaction: int | None = None
    ) -> bytes: ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


Behaviour = Callable[[Request, Replier], object]


@dataclass
class Devices:
    """Units with memory; ``behave`` decides what a request is answered with (by default: rightly).

    ``broken``: what came and was no whole request.
    """

    requests: list[Request] = field(default_factory=list)
    registers: dict[tuple[int, int], int] = field(default_factory=dict)
    coils: set[tuple[int, int]] = field(default_factory=set)
    behaviour: Behaviour | None = None
    broken: list[bytes] = field(default_factory=list)

    def behave(self, behaviour: Behaviour | None) -> None:
        self.behaviour = behaviour

    def took(self, request: Request, replier: Replier) -> None:
        self.requests.append(request)
        if self.behaviour is not None:
            self.behaviour(request, replier)
        else:
            replier.reply(request, self.answer(request))

    def answer(self, request: Request) -> bytes:
        """The right reply; a write is carried out."""
        unit, (function, address, number) = request.unit, struct.unpack(">BHH", request.pdu[:5])
        match function:
            case 1 | 2:
                bits = sum(1 << i for i in range(number) if (unit, address + i) in self.coils)
                data = bits.to_bytes(-(-number // 8), "little")
                return bytes([function, len(data)]) + data
            case 3 | 4:
                data = b"".join(struct.pack(">H", self.registers.get((unit, address + i), 0)) for i in range(number))
                return bytes([function, len(data)]) + data
            case 5:
                (self.coils.add if number else self.coils.discard)((unit, address))
            case 6:
                self.registers[unit, address] = number
            case 15:
                for place in range(number):
                    on = request.pdu[6 + place // 8] >> place % 8 & 1
                    (self.coils.add if on else self.coils.discard)((unit, address + place))
            case 16:
                for place, word in enumerate(struct.unpack(f">{number}H", request.pdu[6:])):
                    self.registers[unit, address + place] = word
            case 22:
                keep, mask = struct.unpack(">HH", request.pdu[3:])
                word = self.registers.get((unit, address), 0)
                self.registers[unit, address] = word & keep | mask & ~keep & 0xFFFF
                return request.pdu
        return request.pdu[:5]

    def to(self, unit: int, function: int | None = None, address: int | None = None) -> list[Request]:
        """What one unit was asked."""
        return [
            request
            for request in self.requests
            if request.unit == unit and function in (None, request.function) and address in (None, request.address)
        ]


# -- frames ---------------------------------------------------------------------------------------------------------


def crc16(data: bytes) -> int:
    """The check sum of serial frames, bit by bit (MODBUS over Serial Line V1.02, 6.2.2)."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


def framed(unit: int, pdu: bytes) -> bytes:
    """A serial frame."""
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


def mbap(unit: int, pdu: bytes, transaction: int) -> bytes:
    """A Modbus TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def _serial_size(buffer: bytes) -> int:
    """The length of the request that a buffer begins with, as its function tells; 0 while that is not known."""
    match buffer[1] if len(buffer) > 1 else 0:
        case 15 | 16:
            return 9 + buffer[6] if len(buffer) > 6 else 0
        case 22:
            return 10
        case _:
            return 8


class Far:
    """The far end of one connection: cuts what the driver sends into requests, and frames what is answered."""

    def __init__(
        self, framing: FramingName, devices: Devices, write: Callable[[bytes], None], hang_up: Callable[[], None]
    ) -> None:
        self._framing = framing
        self._devices = devices
        self._write = write
        self._hang_up = hang_up
        self._buffer = b""

    def take(self, data: bytes) -> None:
        self._buffer += data
        at = asyncio.get_running_loop().time()
        for request in self._tcp(at) if self._framing == "tcp" else self._rtu(at):
            self._devices.took(request, self)

    def reply(self, request: Request, pdu: bytes, *, unit: int | None = None, transaction: int | None = None) -> None:
        self.send(self.frame(request, pdu, unit=unit, transaction=transaction))

    def frame(self, request: Request, pdu: bytes, *, unit: int | None = None, transaction: int | None = None) -> bytes:
        unit = request.unit if unit is None else unit
        if self._framing == "rtu":
            return framed(unit, pdu)
        return mbap(unit, pdu, request.transaction if transaction is None else transaction)

    def send(self, data: bytes) -> None:
        self._write(data)

    def close(self) -> None:
        self._hang_up()

    def _tcp(self, at: float) -> list[Request]:
        requests: list[Request] = []
        while len(self._buffer) >= 7:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._buffer)
            if protocol != 0:
                self._devices.broken.append(self._buffer)
            if len(self._buffer) < 6 + length:
                break
            pdu, self._buffer = self._buffer[7 : 6 + length], self._buffer[6 + length :]
            requests.append(Request(unit, pdu, transaction, at))
        return requests

    def _rtu(self, at: float) -> list[Request]:
        requests: list[Request] = []
        while size := _serial_size(self._buffer):
            if len(self._buffer) < size:
                break
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            if frame != framed(frame[0], frame[1:-2]):
                self._devices.broken.append(frame)
            requests.append(Request(frame[0], frame[1:-2], 0, at))
        return requests


# -- real sockets and terminals -------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    def __init__(self, server: "FaultServer") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._far = Far(server.framing, server.devices, self.send, self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.append(self)
        if self._server.greeting is not None:
            self._server.greeting(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._far.take(data)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class FaultServer:
    """A Modbus TCP server on a free port, or with ``framing`` rtu a transparent converter.

    ``greeting`` is called with each new connection.
    """

    def __init__(
        self, devices: Devices | None = None, framing: FramingName = "tcp", tls: ssl.SSLContext | None = None
    ) -> None:
        self.devices = devices or Devices()
        self.framing = framing
        self.connections: list[_Connection] = []
        self.port = free_port()
        self.greeting: Callable[[_Connection], None] | None = None
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, ssl=self._tls)

    def hang_up(self) -> None:
        for connection in self.connections:
            connection.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        self.hang_up()


@asynccontextmanager
async def fault_server(framing: FramingName = "tcp", tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    server = FaultServer(framing=framing, tls=tls)
    await server.open()
    try:
        yield server
    finally:
        server.close()
    assert server.devices.broken == [], "the driver sent a broken frame"


class FaultLine:
    """A serial line on a pseudo-terminal; the driver opens ``path``.

    ``byte_s``: how long a byte takes on the line, seconds; both ways of a half-duplex line are slowed by it.
    """

    def __init__(self, devices: Devices, byte_s: float = 0.0) -> None:
        self.devices = devices
        self._byte_s = byte_s
        self._busy_until = 0.0
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._far = Far("rtu", devices, self.send, self.close)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._readable)

    def _readable(self) -> None:
        data = os.read(self._master, 4096)
        if not self._byte_s:
            self._far.take(data)
            return
        self._busy_until = max(self._busy_until, self._loop.time()) + len(data) * self._byte_s
        self._loop.call_at(self._busy_until, self._far.take, data)

    def send(self, data: bytes) -> None:
        if not self._byte_s:
            self._put(data)
            return
        for first in range(0, len(data), DRIP_BYTES):
            piece = data[first : first + DRIP_BYTES]
            self._busy_until = max(self._busy_until, self._loop.time()) + len(piece) * self._byte_s
            self._loop.call_at(self._busy_until, self._put, piece)

    def _put(self, data: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, data)

    def close(self) -> None:
        """Takes the line away, as a pulled USB adapter does."""
        if self._master < 0:
            return
        self._loop.remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self._master = -1


@asynccontextmanager
async def fault_line(byte_s: float = 0.0) -> AsyncIterator[FaultLine]:
    line = FaultLine(Devices(), byte_s)
    try:
        yield line
    finally:
        line.close()
    assert line.devices.broken == [], "the driver sent a broken frame"
