"""One server of libmodbus, one connection to it, a hundred registers a request, as fast as they come.

Beside ours stand pymodbus' own client, which has one request under way at a time as ours has, and libmodbus' in C.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.figures import figure, line
from tests.bench.modbus import client
from tests.bench.modbus_peer import float_registers
from tests.peers.libmodbus import LIBRARY

SECONDS_S = 4.0
ROUNDS = 3
UNITS = 16
"""Ours is not asked to poll one device more often than each half millisecond; so many keep the connection busy."""
KINDS = ("ours", "pymodbus", "libmodbus")


def run() -> None:
    """Measures and prints."""
    if LIBRARY is None:
        print("libmodbus5 is not installed: nothing to measure against", flush=True)
        return
    print("libmodbus' server on Modbus TCP, one connection, 100 registers a request", flush=True)
    requests, seconds, cpu = (dict.fromkeys(KINDS, 0.0) for _ in range(3))
    with _server() as port:
        for _ in range(ROUNDS):
            for kind in KINDS:
                result = client(kind, 0.0, SECONDS_S, [port] * (UNITS if kind == "ours" else 1))
                requests[kind] += result["requests"]
                seconds[kind] += result["seconds"]
                cpu[kind] += result["cpu_s"]
    rate = {kind: requests[kind] / seconds[kind] for kind in KINDS}
    line("requests per second", rate["ours"], rate["pymodbus"], "1/s", higher_is_better=True)
    figure("the same, libmodbus' client", rate["libmodbus"], "1/s")
    rate = {kind: requests[kind] / cpu[kind] for kind in KINDS}
    line("requests per CPU second", rate["ours"], rate["pymodbus"], "1/s", higher_is_better=True)
    figure("the same, libmodbus' client", rate["libmodbus"], "1/s")


@contextmanager
def _server() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.peers.libmodbus", float_registers().hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)
