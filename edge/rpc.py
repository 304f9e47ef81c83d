"""Requests over the controller's unix socket: one JSON object a line, answered in order.

It is the only door to the controller. The CLI, the forwarder and later the local web page all use it; every
request is checked and answered, and nothing that is asked can delay a scan.
"""

import asyncio
import contextlib
import json
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import structlog

from config.errors import LinkError
from edge.json_text import held, parsed

SOCKET_NAME: Final = "controller.sock"
MAX_LINE_BYTES: Final = 64 * 1024
"""A longer request is refused: the largest, an order, takes some 300 bytes."""
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""A longer answer is refused by the client: the image of 10,000 signals takes about 1.5 MB."""
MAX_CONNECTIONS: Final = 32
"""More at once are refused: a CLI, a forwarder and a few viewers need ten."""
IDLE_TIMEOUT_S: Final = 300.0
MAX_OP_SHOWN: Final = 50
"""Characters of an 'op' that go into the log."""
_SUN_PATH_BYTES: Final = 107

Handler = Callable[[dict[str, Any], str], Awaitable[dict[str, Any]]]
"""Answers a request; the second argument names the local user at the other end."""

log = structlog.get_logger(__name__)


def refused(code: str, error: str) -> dict[str, Any]:
    """An answer that says no."""
    return {"ok": False, "code": code, "error": error}


@contextlib.contextmanager
def _short_path(state_dir: Path) -> Iterator[str]:
    """The socket's path, through the directory's descriptor where the plain one is too long for the kernel."""
    plain = str(state_dir / SOCKET_NAME)
    if len(os.fsencode(plain)) <= _SUN_PATH_BYTES:
        yield plain
        return
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


async def call(state_dir: Path, request: dict[str, Any], timeout: float = 5.0) -> dict[str, Any]:
    """Asks the controller and returns its answer. Raises ``LinkError`` when it cannot be reached in time."""
    try:
        async with asyncio.timeout(timeout):
            with _short_path(state_dir) as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER_BYTES)
            try:
                writer.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError as error:
        raise LinkError(f"the controller in {state_dir} did not answer within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        hint = "is it running? (penstock run SITE --state DIR)"
        raise LinkError(f"no controller can be reached in {state_dir}: {error}; {hint}") from error
    if not line:
        raise LinkError(f"the controller in {state_dir} closed the connection without an answer")
    answer: dict[str, Any] = json.loads(line)
    return answer


@contextlib.asynccontextmanager
async def serve(state_dir: Path, handler: Handler) -> AsyncIterator[None]:
    """Serves requests while the context lasts. A socket left behind by a killed controller is replaced."""
    (state_dir / SOCKET_NAME).unlink(missing_ok=True)
    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        try:
            if len(open_connections) > MAX_CONNECTIONS:
                _send(writer, refused("busy", f"more than {MAX_CONNECTIONS} connections at once"))
                return
            await _serve_connection(reader, writer, handler)
        except (ConnectionError, TimeoutError):
            return
        finally:
            open_connections.discard(task)
            writer.close()

    with _short_path(state_dir) as path:
        server = await asyncio.start_unix_server(connected, path, limit=MAX_LINE_BYTES)
        os.chmod(path, 0o660)
    try:
        yield
    finally:
        server.close()
        for task in open_connections:
            task.cancel()
        with contextlib.suppress(FileNotFoundError):
            (state_dir / SOCKET_NAME).unlink()


async def _serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    user = _peer(writer)
    while True:
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                line = await reader.readline()
        except ValueError:
            _send(writer, refused("bad-request", f"a request longer than {MAX_LINE_BYTES} bytes"))
            return
        if not line:
            return
        _send(writer, await _answer(line, handler, user))
        await writer.drain()


async def _answer(line: bytes, handler: Handler, user: str) -> dict[str, Any]:
    try:
        request = parsed(line)
    except (ValueError, RecursionError):
        return refused("bad-request", "a request that is not JSON")
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        return refused("bad-request", "a request must be a JSON object with a text 'op'")
    try:
        return await handler(request, user)
    except Exception as error:
        # An error of ours: whoever asked must hear of it, and the next request must not suffer.
        log.exception("a request failed", op=request["op"][:MAX_OP_SHOWN], user=user)
        return refused(
            "internal-error",
            f"the controller could not answer this: {type(error).__name__}: {error}. It is an error of Penstock, not "
            "of the request: report it with the controller's log",
        )


def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(held(json.dumps(answer, ensure_ascii=False, allow_nan=False)).encode() + b"\n")


def _peer(writer: asyncio.StreamWriter) -> str:
    """The user at the other end, by the kernel's word (SO_PEERCRED)."""
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return user_name(uid)


def user_name(uid: int) -> str:
    """The name of a local user, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
