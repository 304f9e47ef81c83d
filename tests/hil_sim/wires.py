"""Raw clients: the controller's end of a socket or of a terminal, byte by byte."""

import asyncio
import os
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from hil_sim.framing import crc16

DEADLINE_S = 2.0


def rtu(body: str) -> bytes:
    """A frame: unit and PDU in hex, with their CRC."""
    data = bytes.fromhex(body)
    return data + crc16(data).to_bytes(2, "little")


def mbap(transaction: int, unit: int, pdu: str) -> bytes:
    """A Modbus TCP frame."""
    data = bytes.fromhex(pdu)
    return struct.pack(">HHHB", transaction, 0, len(data) + 1, unit) + data


class Wire:
    """One end of something that carries bytes."""

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    async def some(self) -> bytes:
        """What has come since the last time; waits until something has, empty at the end of the stream."""
        raise NotImplementedError

    async def receive(self, size: int) -> bytes:
        """``size`` bytes; fails when they do not come, or more."""
        got = b""
        async with asyncio.timeout(DEADLINE_S):
            while len(got) < size:
                more = await self.some()
                assert more, f"hung up after {got.hex(' ')}"
                got += more
        assert len(got) == size, got.hex(" ")
        return got

    async def quiet(self, seconds: float) -> bytes:
        """What comes within ``seconds``: nothing, if all is as it should."""
        got = b""
        try:
            async with asyncio.timeout(seconds):
                while more := await self.some():
                    got += more
        except TimeoutError:
            pass
        return got


class Socket(Wire):
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def some(self) -> bytes:
        try:
            return await self._reader.read(4096)
        except ConnectionError:
            return b""

    async def hung_up(self) -> bool:
        """True when the other side ends the connection before the deadline."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.some() == b""

    def close(self) -> None:
        self._writer.close()


class Terminal(Wire):
    """The slave side of a pseudo-terminal."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def send(self, data: bytes) -> None:
        os.write(self.file, data)

    async def some(self) -> bytes:
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.file, arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(self.file)
        return os.read(self.file, 4096)

    def close(self) -> None:
        os.close(self.file)


@asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Socket]:
    """A connection to a port of this machine."""
    socket = Socket(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
    try:
        yield socket
    finally:
        socket.close()


@contextmanager
def opened(path: str) -> Iterator[Terminal]:
    """A terminal, open while the block runs."""
    terminal = Terminal(path)
    try:
        yield terminal
    finally:
        terminal.close()
