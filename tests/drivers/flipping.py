"""A way to a server on which bytes of what it answers are flipped."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from config.load import LoadedSite
from tests.drivers.opcua_plc import Plc
from tests.drivers.sites import Drivers, driving, free_port
from tests.hil_sim.sites import until

FLIPPED_S = 1.5
"""Long enough for each way to break a connection at every stage: while it is opened, read, subscribed, repaired."""
SHARE = 0.2
LEVELS = (*range(200, 250), 250, 333)
"""What is served while bytes are flipped, what the server shows at first, and what it shows in the end."""

MIN_BYTES = 24
"""What is shorter is left alone."""


class Flipping:
    """``share`` of the pieces that pass have one byte flipped while it is above 0; ``flips`` counts them."""

    def __init__(self, to_port: int, seed: int) -> None:
        self.port = free_port()
        self.share = 0.0
        self.flips = 0
        self._to_port = to_port
        self._random = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to_port)
            await asyncio.gather(self._pass(reader, to_server, False), self._pass(from_server, writer, True))
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flip: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(self._flipped(data) if flip else data)
                await writer.drain()
        writer.close()

    def _flipped(self, data: bytes) -> bytes:
        if len(data) <= MIN_BYTES or self._random.random() >= self.share:
            return data
        self.flips += 1
        flipped = bytearray(data)
        flipped[self._random.randrange(len(data))] ^= self._random.randrange(1, 256)
        return bytes(flipped)


@asynccontextmanager
async def flipping(to_port: int, seed: int) -> AsyncIterator[Flipping]:
    """The way from a free port to ``to_port``, while the block runs."""
    way = Flipping(to_port, seed)
    async with await asyncio.start_server(way.serve, "127.0.0.1", way.port):
        yield way


async def vary(server: Plc) -> None:
    """Serves one level after the other."""
    while True:
        for level in LEVELS:
            await server.show("level", float(level))
            await asyncio.sleep(0.02)


async def flipped(server: Plc, sites: list[tuple[LoadedSite, Flipping]]) -> list[Drivers]:
    """Drives every site over its way, flipped for a while, until all are good again; fails when a driver ends."""
    readers: list[Drivers] = []
    async with AsyncExitStack() as stack:
        for site, _ in sites:
            readers.append(await stack.enter_async_context(driving(site)))
        varying = asyncio.create_task(vary(server))
        stack.callback(varying.cancel)
        await until(lambda: all(reader.readings.values("PLC.level") for reader in readers))
        for _, way in sites:
            way.share = SHARE
        await asyncio.sleep(FLIPPED_S)
        for _, way in sites:
            way.share = 0.0
        varying.cancel()
        await server.show("level", float(LEVELS[-1]))
        await until(lambda: all(reader.readings.is_good("PLC.level", 3.33) for reader in readers))
    assert all(way.flips for _, way in sites)
    return readers
