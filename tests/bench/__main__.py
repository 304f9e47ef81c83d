"""``make bench``: all benchmarks, or those named (``core``, ``modbus``, ``libmodbus`` ...)."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import uvloop

from tests.bench import core, libmodbus, modbus, opcua, outage, reaction, scan

BENCHMARKS: dict[str, Callable[[], Any]] = {
    "core": core.run,
    "scan": scan.run,
    "modbus": modbus.run,
    "libmodbus": libmodbus.run,
    "reaction": lambda: asyncio.run(reaction.run()),
    "outage": lambda: asyncio.run(outage.run()),
    "opcua": lambda: uvloop.run(opcua.run()),
}


def main(names: list[str]) -> None:
    """Runs them one after the other."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
        print(flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
