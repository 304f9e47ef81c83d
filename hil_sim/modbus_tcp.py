"""A Modbus TCP server for one link, holding every unit of it (MODBUS Messaging on TCP/IP V1.0b).

With ``framing: rtu`` it is a transparent converter: RTU frames over TCP. With certificates it speaks TLS
(MODBUS/TCP Security V2.1). Raw asyncio, no library: what it must do wrongly on demand, a library would do rightly.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hil_sim.bus import Bus, Request
from hil_sim.errors import SimulatorError
from hil_sim.faults import Faults
from hil_sim.framing import HEADER, MAX_LENGTH, RtuReceiver
from hil_sim.serial_line import SerialLine
from hil_sim.unit import Unit
from hil_sim.wire_log import WireLog

MAX_CONNECTIONS: Final = 32
"""As in the guide's 4.2.1: when one more comes, the oldest is closed."""
HANDSHAKE_S: Final = 5.0
"""A client that opens TLS and says nothing must not hold a connection for long."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a TLS server shows, and whom it lets in: with ``client_ca_file`` only clients with a certificate of that CA.

    Files in PEM.
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The TLS side of a server. Raises ``SimulatorError`` for files that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
            if self.client_ca_file is not None:
                context.load_verify_locations(self.client_ca_file)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            files = ", ".join(str(file) for file in (self.cert_file, self.key_file, self.client_ca_file) if file)
            raise SimulatorError(f"{files}: {error}; give a certificate, its key and a CA in PEM") from error
        return context


class ModbusTcpServer:
    """One TCP port.

    ``refuse(True)`` closes the port and drops every connection; ``refuse(False)`` opens the same port again. ``line``
    is the serial line behind a gateway or converter.
    """

    def __init__(
        self,
        link: str,
        units: Mapping[int, Unit],
        wire: WireLog,
        host: str = "127.0.0.1",
        *,
        framing: Literal["tcp", "rtu"] = "tcp",
        line: SerialLine | None = None,
        tls: ServerTls | None = None,
    ) -> None:
        self.link = link
        self.host = host
        self.port = 0
        self.rtu_framing = framing == "rtu"
        self.bad_frames_before = 0
        self.connections: dict[_Connection, None] = {}
        self.faults = Faults("link", "link on TCP", *([] if self.rtu_framing else ["link of Modbus TCP"]))
        self.bus = Bus(link, units, wire, self.faults, tcp_framing=not self.rtu_framing, line=line)
        self._tls = tls.context() if tls is not None else None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Opens the port; a free one the first time, the same one ever after."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self),
            self.host,
            self.port,
            reuse_address=True,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_S if self._tls is not None else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and drops the connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._drop_all()
        self.bus.forget()

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

    @property
    def bad_frames(self) -> int:
        """How often something came through a converter that was no frame."""
        return self.bad_frames_before + sum(connection.bad_frames for connection in self.connections)

    @property
    def counts(self) -> dict[str, int]:
        """What a person who looks at the link wants to know."""
        hurried = {"hurried": self.bus.line.hurried} if self.bus.line is not None else {}
        bad = {"bad_frames": self.bad_frames} if self.rtu_framing else {}
        return {"connections": len(self.connections), **bad, **hurried}

    async def refresh(self) -> None:
        """Nothing to do: values are encoded when a request asks for them."""

    def fault(self, name: str, on: bool, settings: Mapping[str, float], functions: tuple[int, ...] = ()) -> None:
        """Switches a fault of the link. Raises ``SimulatorError`` for one that makes no sense."""
        was_deaf = "half-open" in self.faults.active
        self.faults.switch(name, on, settings, functions)
        deaf = "half-open" in self.faults.active
        if was_deaf and not deaf:
            # What stands in between has forgotten these connections long ago.
            self._drop_all()
        for connection in self.connections:
            connection.listen(not deaf)

    def tick(self, now_s: float) -> None:
        """Lets time pass: idle connections are dropped, postponed and unasked things happen."""
        self.bus.tick(now_s)
        idle = self.faults.active.get("idle-drop")
        if idle is not None:
            for connection in list(self.connections):
                if now_s - connection.heard_s > idle.settings["after_s"]:
                    connection.close()

    def _drop_all(self) -> None:
        for connection in list(self.connections):
            connection.drop()


class _Connection(asyncio.Protocol):
    def __init__(self, server: ModbusTcpServer) -> None:
        self.held = b""
        self._server = server
        self._handle = server.bus.handle
        self._loop = asyncio.get_running_loop()
        self.heard_s = self._loop.time()
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._listening = True
        self._full = False
        silence_s = server.bus.line.silence_s if server.bus.line is not None else 0.0
        self._receiver = RtuReceiver(self._loop, self._rtu_frame, silence_s) if server.rtu_framing else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        server = self._server
        places = server.faults.active.get("connections")
        if places is not None and len(server.connections) >= places.settings["most"]:
            transport.close()
            return
        self._transport = transport
        if len(server.connections) >= MAX_CONNECTIONS:
            next(iter(server.connections)).drop()
        server.connections[self] = None
        server.bus.outlets[self] = None
        self.listen("half-open" not in server.faults.active)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def drop(self) -> None:
        """Breaks the connection at once, without sending what waits."""
        transport = self._transport
        self._forget()
        if transport is not None:
            transport.abort()

    def close(self) -> None:
        """Ends the connection in good order."""
        transport = self._transport
        self._forget()
        if transport is not None:
            transport.close()

    @property
    def bad_frames(self) -> int:
        """What came on this connection and was no frame."""
        return self._receiver.bad_frames if self._receiver is not None else 0

    def _forget(self) -> None:
        self._server.connections.pop(self, None)
        self._server.bus.outlets.pop(self, None)
        self._transport = None
        if self._receiver is not None:
            self._receiver.forget()
            self._server.bad_frames_before += self._receiver.bad_frames
            self._receiver = None

    def listen(self, on: bool) -> None:
        """Takes what comes, or leaves it where it is."""
        self._listening = on
        self._flow()

    def pause_writing(self) -> None:
        # Who does not fetch the replies gets no more of them: the write buffer stays bounded.
        self._full = True
        self._flow()

    def resume_writing(self) -> None:
        self._full = False
        self._flow()

    def _flow(self) -> None:
        if self._transport is None:
            return
        if self._listening and not self._full:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def send(self, data: bytes) -> bool:
        if self._transport is None:
            return False
        if self.held:
            data, self.held = self.held + data, b""
        self._transport.write(data)
        return True

    def data_received(self, data: bytes) -> None:
        received_ns = time.monotonic_ns()
        now_s = self.heard_s = self._loop.time()
        if self._receiver is not None:
            self._receiver.feed(data, received_ns)
            return
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
            if self._transport is None:
                return
            pdu = data[start + HEADER : end]
            self._handle(Request(data[start + 6], pdu, data[start : start + 4], received_ns), self, now_s)
            start = end
        self._rest = data[start:]

    def _rtu_frame(self, frame: bytes, received_ns: int) -> None:
        if self._transport is not None:
            self._handle(Request(frame[0], frame[1:-2], None, received_ns), self, self._loop.time())
