"""A TCP relay that can be cut: the link between gateway and broker, for the demo and for tests."""

import asyncio
from collections.abc import Callable


class Relay:
    """Listens on a free port of 127.0.0.1 and passes bytes on to ``host:port`` while it is not cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def restore(self) -> None:
        """Opens the port, the same one every time."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Drops every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        if self._pipes:
            await asyncio.wait(self._pipes)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._pipe(reader, far_writer, writer)
        self._pipe(far_reader, writer, far_writer)

    def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, other: asyncio.StreamWriter) -> None:
        self._writers |= {sink, other}
        task = asyncio.get_running_loop().create_task(_pass_on(source, sink, other))
        self._pipes.add(task)
        task.add_done_callback(self._ended(sink, other))

    def _ended(self, *writers: asyncio.StreamWriter) -> Callable[[asyncio.Task[None]], None]:
        def ended(task: asyncio.Task[None]) -> None:
            self._pipes.discard(task)
            self._writers.difference_update(writers)

        return ended


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, other: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        return
    finally:
        sink.transport.abort()
        other.transport.abort()
