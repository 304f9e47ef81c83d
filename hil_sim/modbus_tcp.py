"""A Modbus TCP server for one link, holding every unit of it (MODBUS Messaging on TCP/IP V1.0b).

Raw asyncio, no library: what it must do wrongly on demand, a library would do rightly.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from hil_sim.unit import GATEWAY_TARGET_SILENT, Unit
from hil_sim.wire_log import Event, WireLog

HEADER: Final = 7
MAX_LENGTH: Final = 254
"""Unit byte and the largest PDU (253 bytes)."""
MAX_CONNECTIONS: Final = 32
"""As in the guide's 4.2.1: when one more comes, the oldest is closed."""


class ModbusTcpServer:
    """One TCP port. A unit that the site has not is answered as a gateway does: target silent (0B).

    ``refuse(True)`` closes the port and drops every connection; ``refuse(False)`` opens the same port again.
    """

    def __init__(self, link: str, units: Mapping[int, Unit], wire: WireLog, host: str = "127.0.0.1") -> None:
        self.link = link
        self.units = units
        self.wire = wire
        self.host = host
        self.port = 0
        self.connections: dict[_Connection, None] = {}
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Opens the port; a free one the first time, the same one ever after."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), self.host, self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and drops the connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.drop()

    async def refuse(self, on: bool) -> None:
        """Behaves as a host that is gone, or is back."""
        if on:
            await self.stop()
        elif self._server is None:
            await self.start()

    @property
    def endpoint(self) -> dict[str, object]:
        """What the site file says of this link."""
        return {"host": self.host, "port": self.port}

    async def refresh(self) -> None:
        """Nothing to do: values are encoded when a request asks for them."""


class _Connection(asyncio.Protocol):
    def __init__(self, server: ModbusTcpServer) -> None:
        self._server = server
        self._units = server.units
        self._wire = server.wire
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._server.connections) >= MAX_CONNECTIONS:
            next(iter(self._server.connections)).drop()
        self._server.connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.pop(self, None)
        self._transport = None

    def drop(self) -> None:
        """Breaks the connection at once, without sending what waits."""
        self._server.connections.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        # Who does not fetch the replies gets no more of them: the write buffer stays bounded.
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        received_ns = time.monotonic_ns()
        if self._rest:
            data = self._rest + data
        start = 0
        while len(data) - start >= HEADER + 1:
            length = data[start + 4] << 8 | data[start + 5]
            if data[start + 2] or data[start + 3] or not 2 <= length <= MAX_LENGTH:
                # Not Modbus, or out of step: there is no way back into step on a stream.
                self.drop()
                return
            end = start + 6 + length
            if end > len(data):
                break
            self._request(data[start : start + 4], data[start + 6], data[start + HEADER : end], received_ns)
            start = end
        self._rest = data[start:]

    def _request(self, head: bytes, number: int, pdu: bytes, received_ns: int) -> None:
        transport = self._transport
        unit = self._units.get(number)
        if transport is None or (unit is not None and unit.silent):
            return
        if unit is None:
            transport.write(head + bytes((0, 3, number, pdu[0] | 0x80, GATEWAY_TARGET_SILENT)))
            return
        reply, address, values = unit.respond(pdu, self._loop.time())
        # Taken before: the other side may have the reply, and this process be set aside, before the call returns.
        sent_ns = time.monotonic_ns()
        transport.write(head + (len(reply) + 1).to_bytes(2, "big") + bytes((number,)) + reply)
        if values is not None:
            if pdu[0] > 4:
                event = Event(received_ns, self._server.link, number, "write", pdu[0], address, values)
            else:
                event = Event(sent_ns, self._server.link, number, "reply", pdu[0], address, values)
            self._wire.add(event)
