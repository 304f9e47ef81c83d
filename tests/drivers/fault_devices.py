"""Modbus devices that do what a test tells them, request by request: on a TCP server and on a serial line."""

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pymodbus.framer.rtu import FramerRTU

from tests.drivers.sites import free_port

RTU_REQUEST_BYTES = 8


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

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


Behaviour = Callable[[Request, Replier], None]


@dataclass
class Devices:
    """Units with memory; ``behave`` decides what a request is answered with (by default: rightly)."""

    requests: list[Request] = field(default_factory=list)
    registers: dict[tuple[int, int], int] = field(default_factory=dict)
    coils: set[tuple[int, int]] = field(default_factory=set)
    behaviour: Behaviour | None = None

    def behave(self, behaviour: Behaviour) -> None:
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
            case 16:
                for place, word in enumerate(struct.unpack(f">{number}H", request.pdu[6:])):
                    self.registers[unit, address + place] = word
        return request.pdu[:5]

    def to(self, unit: int, function: int | None = None, address: int | None = None) -> list[Request]:
        """What one unit was asked."""
        return [
            request
            for request in self.requests
            if request.unit == unit and function in (None, request.function) and address in (None, request.address)
        ]


class _Connection(asyncio.Protocol):
    def __init__(self, server: "FaultServer") -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 7:
            transaction, _, length, unit = struct.unpack_from(">HHHB", self._buffer)
            if len(self._buffer) < 6 + length:
                return
            pdu, self._buffer = self._buffer[7 : 6 + length], self._buffer[6 + length :]
            at = asyncio.get_running_loop().time()
            self._server.devices.took(Request(unit, pdu, transaction, at), self)

    def reply(self, request: Request, pdu: bytes, *, unit: int | None = None, transaction: int | None = None) -> None:
        unit = request.unit if unit is None else unit
        transaction = request.transaction if transaction is None else transaction
        self.send(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class FaultServer:
    """A Modbus TCP server on a free port."""

    def __init__(self, devices: Devices | None = None) -> None:
        self.devices = devices or Devices()
        self.connections: list[_Connection] = []
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)

    def hang_up(self) -> None:
        for connection in self.connections:
            connection.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        self.hang_up()


@asynccontextmanager
async def fault_server() -> AsyncIterator[FaultServer]:
    server = FaultServer()
    await server.open()
    try:
        yield server
    finally:
        server.close()


def framed(unit: int, pdu: bytes) -> bytes:
    """A serial frame."""
    body = bytes([unit]) + pdu
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


class FaultLine:
    """A serial line on a pseudo-terminal; the driver opens ``path``."""

    def __init__(self, devices: Devices) -> None:
        self.devices = devices
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._readable)

    def _readable(self) -> None:
        self._buffer += os.read(self._master, 4096)
        while len(self._buffer) >= RTU_REQUEST_BYTES:
            # Function 16 is the only longer one, and tells its length.
            size = 9 + self._buffer[6] if self._buffer[1] == 16 else RTU_REQUEST_BYTES
            if len(self._buffer) < size:
                return
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            assert frame == framed(frame[0], frame[1:-2]), "the driver sent a broken frame"
            self.devices.took(Request(frame[0], frame[1:-2], 0, self._loop.time()), self)

    def reply(self, request: Request, pdu: bytes, *, unit: int | None = None, transaction: int | None = None) -> None:
        self.send(framed(request.unit if unit is None else unit, pdu))

    def send(self, data: bytes) -> None:
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
async def fault_line() -> AsyncIterator[FaultLine]:
    line = FaultLine(Devices())
    try:
        yield line
    finally:
        line.close()
