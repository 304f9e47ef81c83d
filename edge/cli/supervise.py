"""Runs processes side by side in one terminal and starts each again when it ends by itself."""

import asyncio
import sys
import time
from typing import Final

import structlog

from config.errors import LinkError
from edge.cli import exit_codes

FIRST_RESTART_S: Final = 0.5
LONGEST_RESTART_S: Final = 10.0
STEADY_S: Final = 30.0
"""A process that ran this long is started again without delay growing."""
STOP_S: Final = 8.0

log = structlog.get_logger(__name__)


def command_line(arguments: list[str]) -> list[str]:
    """A ``penstock`` command as a process of the same interpreter."""
    return [sys.executable, "-m", "edge", *arguments]


async def supervise(commands: dict[str, list[str]]) -> None:
    """Runs ``penstock`` commands by name until cancelled, then stops them in order.

    Raises ``LinkError`` when one finds another of its kind at work: to wait for its place would be to take over the
    valves some day, unasked.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for name, arguments in commands.items():
                group.create_task(_keep(name, arguments), name=name)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _keep(name: str, arguments: list[str]) -> None:
    delay = FIRST_RESTART_S
    while True:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(*command_line(arguments))
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await stop(process)
            raise
        if code == exit_codes.UNREACHABLE:
            raise LinkError(f"the {name} cannot run here, so nothing is run")
        if time.monotonic() - began > STEADY_S:
            delay = FIRST_RESTART_S
        log.warning("process ended; it is started again", process_name=name, exit_code=code, in_s=delay)
        await asyncio.sleep(delay)
        delay = min(delay * 2, LONGEST_RESTART_S)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Asks a process to end, and ends it when it does not."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
