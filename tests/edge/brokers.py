"""Brokers for tests: the embedded one, Mosquitto where it is installed, and one that can withhold its word."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from iotcore import Broker

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def reachable(port: int) -> None:
    """Waits until something listens."""
    async with asyncio.timeout(10.0):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def embedded(port: int) -> AsyncIterator[None]:
    """The broker of the demo."""
    broker = Broker(port=port, listen="127.0.0.1")
    await asyncio.to_thread(broker.start)
    try:
        await reachable(port)
        yield
    finally:
        await asyncio.to_thread(broker.stop)


@contextlib.asynccontextmanager
async def mosquitto(port: int, folder: Path) -> AsyncIterator[None]:
    """A real Mosquitto."""
    assert MOSQUITTO is not None
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", "utf-8")
    process = await asyncio.create_subprocess_exec(
        MOSQUITTO, "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await reachable(port)
        yield
    finally:
        process.terminate()
        await process.wait()


class WithholdingBroker:
    """Takes every MQTT 3.1.1 message and acknowledges publications only while ``acknowledging``."""

    CONNECT, PUBLISH, SUBSCRIBE, PINGREQ = 1, 3, 8, 12

    def __init__(self) -> None:
        self.acknowledging = False
        self.published: list[tuple[str, int]] = []
        self._withheld: list[tuple[asyncio.StreamWriter, bytes]] = []

    def acknowledge(self) -> None:
        """Gives its word for everything so far and from now on."""
        self.acknowledging = True
        for writer, packet_id in self._withheld:
            writer.write(b"\x40\x02" + packet_id)
        self._withheld.clear()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serves while the context lasts; gives the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await self._length(reader))
                self._take(head, body, writer)
        writer.close()

    @staticmethod
    async def _length(reader: asyncio.StreamReader) -> int:
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return length

    def _take(self, head: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        match head >> 4:
            case self.CONNECT:
                writer.write(b"\x20\x02\x00\x00")
            case self.SUBSCRIBE:
                writer.write(b"\x90\x03" + body[:2] + b"\x01")
            case self.PINGREQ:
                writer.write(b"\xd0\x00")
            case self.PUBLISH:
                size, qos = int.from_bytes(body[:2], "big"), head >> 1 & 3
                self.published.append((body[2 : 2 + size].decode(), qos))
                if qos:
                    packet_id = body[2 + size : 4 + size]
                    if self.acknowledging:
                        writer.write(b"\x40\x02" + packet_id)
                    else:
                        self._withheld.append((writer, packet_id))
