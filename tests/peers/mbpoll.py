"""mbpoll of Debian: a master for the command line that technicians have on their laptops."""

import asyncio
import re
import shutil
from typing import Final, NamedTuple

import pytest

MBPOLL: Final = shutil.which("mbpoll")
needs_mbpoll: Final = pytest.mark.skipif(
    MBPOLL is None, reason="mbpoll is not installed (Debian: apt-get install mbpoll)"
)
DEADLINE_S: Final = 10.0
_VALUE: Final = re.compile(r"^\[(\d+)\]:\s+(\S+)", re.MULTILINE)


class Polled(NamedTuple):
    """How a call ended: values by address as printed, and what it complained of."""

    ok: bool
    values: dict[int, str]
    complaint: str


async def mbpoll(where: list[str], table: str, address: int, count: int = 1, write: tuple[str, ...] = ()) -> Polled:
    """One call. ``where``: options of the connection and, last, the device or host; ``table`` as mbpoll's ``-t``."""
    assert MBPOLL is not None
    what = ["-0", "-1", "-t", table, "-r", str(address)]
    what += ["--", *write] if write else []
    size = [] if write else ["-c", str(count)]
    *options, target = where
    # Negative numbers to be written stand behind two dashes, and so does the target then.
    command = [MBPOLL, *options, *size, *what[:6], target, *what[6:]]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    values = {int(place): value for place, value in _VALUE.findall(out.decode())}
    return Polled(process.returncode == 0, values, err.decode().strip())


def over_tcp(port: int, unit: int = 1) -> list[str]:
    """Modbus TCP on this machine."""
    return ["-m", "tcp", "-p", str(port), "-a", str(unit), "-o", "3", "127.0.0.1"]


def over_rtu(path: str, baudrate: int, unit: int = 1, timeout_s: float = 3.0) -> list[str]:
    """A serial port without parity."""
    line = ["-b", str(baudrate), "-P", "none", "-a", str(unit), "-o", f"{timeout_s:.2f}"]
    return ["-m", "rtu", *line, path]
