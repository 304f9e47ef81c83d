"""A hundred Modbus TCP devices of a hundred registers: how much a request costs, and how well the schedule is kept.

Beside ours stand pymodbus' own client and a bare asyncio protocol that checks nothing, all on uvloop, against the same
server in the same run.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from tests.bench.figures import figure, line

DEVICES, DEAD = 100, 10
QUICK = "pymodbus-struct"
"""pymodbus with values decoded by one ``struct`` of ours, which is twenty times as quick as its own way."""
ROUNDS = 7
"""The clients take turns, so that what else the machine does falls on all of them."""
FAST_S, SLOW_S, SCHEDULE_S = 1.5, 2.0, 20.0
PERIOD_S = 0.1


def run() -> None:
    """Measures and prints."""
    print(f"Modbus TCP, {DEVICES} devices of 100 registers, every reply decoded into 50 numbers", flush=True)
    with _peer(DEVICES, 0) as ports:
        fast = _in_turn(("ours", "pymodbus", QUICK, "bare"), 0.0, FAST_S, ports)
        per_second = {kind: 1 / cpu_s for kind, cpu_s in fast.items()}
        for kind, decoded in (("pymodbus", "its own decoding"), (QUICK, "one struct")):
            what = f"requests per CPU second (pymodbus: {decoded})"
            line(what, per_second["ours"], per_second[kind], "1/s", higher_is_better=True)
        figure("the same, a bare asyncio protocol", per_second["bare"], "1/s")
        slow = _in_turn(("ours", QUICK, "bare"), PERIOD_S, SLOW_S, ports)
        cost = {kind: 1e6 * cpu_s for kind, cpu_s in slow.items()}
        line(
            "CPU per poll, each device every 100 ms; one struct",
            cost["ours"],
            cost[QUICK],
            "us",
        )
        figure("the same, a bare asyncio protocol", cost["bare"], "us")
    with _peer(DEVICES, DEAD // 2) as ports:
        # Half of the dead accept connections and say nothing, the others' ports are closed.
        closed = list(range(1, DEAD // 2 + 1))
        results = {kind: client(kind, PERIOD_S, SCHEDULE_S, ports[DEAD // 2 :] + closed) for kind in ("ours", QUICK)}
    alive = DEVICES - DEAD
    for name in ("p50", "p99", "max"):
        key = f"off_{name}_ms"
        line(
            f"poll interval off 100 ms, {DEAD} dead, {name}",
            results["ours"][key],
            results[QUICK][key],
            "ms",
        )
    expected = int(alive * results["ours"]["seconds"] / PERIOD_S)
    figure("polls of the living that were missed", max(expected - results["ours"]["requests"], 0), f"of {expected}")


def _in_turn(kinds: tuple[str, ...], period_s: float, seconds: float, ports: list[int]) -> dict[str, float]:
    """CPU seconds a request of each kind of client: the median of some rounds, for one of them may meet other work."""
    costs: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind in kinds:
            result = client(kind, period_s, seconds, ports)
            costs[kind].append(result["cpu_s"] / result["requests"])
    return {kind: median(found) for kind, found in costs.items()}


@contextmanager
def _peer(count: int, silent: int) -> Iterator[list[int]]:
    command = [sys.executable, "-m", "tests.bench.modbus_peer", str(count), str(silent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()


def client(kind: str, period_s: float, seconds: float, ports: list[int]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.modbus_client", kind, str(period_s), str(seconds), *map(str, ports)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 + 2 * seconds)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
