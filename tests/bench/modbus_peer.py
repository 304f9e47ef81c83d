"""A hundred Modbus TCP devices in one process, as cheap as can be, for benchmarks: each on a port of its own.

``python -m tests.bench.modbus_peer COUNT SILENT`` prints the ports as JSON, the last SILENT of which accept a
connection
and never answer. It runs until it is terminated.
"""

import asyncio
import json
import struct
import sys
from typing import Final, cast

import uvloop

REGISTERS: Final = 100
_FLOATS: Final = [round(0.5 + 1.25 * i, 3) for i in range(REGISTERS // 2)]


def float_registers() -> bytes:
    """Fifty float32 with the low word first, as a device would hold them."""
    words = struct.unpack(f">{REGISTERS}H", struct.pack(f">{REGISTERS // 2}f", *_FLOATS))
    return struct.pack(f">{REGISTERS}H", *(word for i in range(0, REGISTERS, 2) for word in (words[i + 1], words[i])))


class _Device(asyncio.Protocol):
    """Answers every request for the hundred registers."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._rest = b""
        data = float_registers()
        self._reply = struct.pack(">HHBBB", 0, len(data) + 3, 1, 3, len(data)) + data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while len(data) >= 12:
            if not self._silent:
                self._transport.write(data[:2] + self._reply)
            data = data[12:]
        self._rest = data


async def _serve(count: int, silent: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda quiet=i >= count - silent: _Device(silent=quiet), "127.0.0.1", 0)  # type: ignore[misc]
        for i in range(count)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
