"""The control channel: what a test or a demonstration asks of the running simulator.

Newline-delimited JSON on a unix socket; every request line gets one reply line, in order.
docs/simulators.md lists the operations.
"""

import asyncio
import json
import math
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from hil_sim.errors import SimulatorError

MAX_LINE_BYTES: Final = 64 * 1024
MAX_CLIENTS: Final = 16
DRAIN_TIMEOUT_S: Final = 10.0
MAX_SOCKET_PATH_BYTES: Final = 107
"""``sockaddr_un`` holds 108 bytes with the closing zero (unix(7))."""

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, object]]]


class ControlChannel:
    """The socket at ``path``.

    ``handle`` carries out one request; its ``SimulatorError`` becomes the reply.
    """

    def __init__(self, path: Path, handle: Handler) -> None:
        self.path = path
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Opens the socket, readable and writable for its owner only.

        A socket left by a dead process is replaced.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            short = len(os.fsencode(self.path)) <= MAX_SOCKET_PATH_BYTES
            address = str(self.path) if short else f"/proc/self/fd/{folder}/{self.path.name}"
            self._server = await asyncio.start_unix_server(self._serve, address, limit=MAX_LINE_BYTES)
            self.path.chmod(0o600)
        finally:
            os.close(folder)

    async def stop(self) -> None:
        """Closes the socket, drops the clients and removes the file."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._clients):
                writer.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MAX_CLIENTS:
            writer.close()
            return
        self._clients.add(writer)
        try:
            while line := await _line(reader):
                reply = await self._answer(line)
                writer.write(json.dumps(_legal(reply), ensure_ascii=False).encode() + b"\n")
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    await writer.drain()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()
        finally:
            self._clients.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
        except ValueError:
            return _refusal("bad-request", "not a line of JSON")
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            return _refusal("bad-request", 'not an object with an "op"')
        try:
            return {"ok": True, **await self._handle(request)}
        except SimulatorError as error:
            return _refusal("refused", error.message)


def _refusal(code: str, error: str) -> dict[str, object]:
    return {"ok": False, "code": code, "error": error}


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; nothing when the client has gone or its line exceeds ``MAX_LINE_BYTES``."""
    try:
        return await reader.readline()
    except ValueError:
        return b""


def _legal(value: object) -> object:
    """NaN and infinity are no JSON; they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _legal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_legal(item) for item in value]
    return value
