"""One client process of the Modbus benchmark: ours, pymodbus' own, libmodbus', or a bare asyncio protocol.

``python -m tests.bench.modbus_client KIND PERIOD SECONDS PORT...`` prints figures as JSON. PERIOD 0: as fast as it
goes. Every reply is decoded into fifty numbers. Ours takes a port that is given several times for a gateway with so
many units.
"""

import asyncio
import gc
import json
import logging
import resource
import struct
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import uvloop
import yaml
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from config.load import load_site
from config.sample import Sample
from drivers.links import open_links
from edge.controller.process import YOUNG_OBJECTS
from tests.bench.modbus_peer import REGISTERS
from tests.peers.libmodbus import tcp_client

SETTLE_S = 1.5
"""Connecting is not measured."""
FASTEST_S = 0.0005
"""A poll period that is over before the reply is there."""
REQUEST = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, REGISTERS)


class Polls:
    """When each device was polled, on the monotonic clock."""

    def __init__(self) -> None:
        self.times: dict[int, list[float]] = {}
        self.checked: float = 0.0
        self.over = False

    def took(self, device: int, values: Sequence[float]) -> None:
        self.times.setdefault(device, []).append(time.monotonic())
        self.checked = values[-1]


async def ours(ports: list[int], period: float, polls: Polls) -> list[asyncio.Task[None]]:
    signals = {
        f"v{i}": {"table": "holding", "address": 2 * i, "type": "float32", "order": "CDAB"}
        for i in range(REGISTERS // 2)
    }
    profile = {"protocol": "modbus", "limits": {"response_delay": "0 s"}, "signals": signals}
    site = {
        "site": {"id": "bench"},
        "links": {f"l{port}": {"type": "modbus-tcp", "host": "127.0.0.1", "port": port} for port in ports},
        "devices": {
            f"D{i}": {
                "link": f"l{port}",
                "unit": 1 + ports[:i].count(port),
                "poll": f"{period or FASTEST_S} s",
                "profile": profile,
            }
            for i, port in enumerate(ports)
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        path.write_text(yaml.safe_dump(site), "utf-8")
        loaded = load_site(path)
    device_of = [int(signal.device[1:]) for signal in loaded.signals.field]

    def sink(indices: Sequence[int], samples: Sequence[Sample]) -> None:
        value = samples[-1].value
        if isinstance(value, float):
            polls.took(device_of[indices[0]], (value,))

    links = open_links(loaded, sink, lambda event: None, Path("pki"))
    return [asyncio.ensure_future(link.run()) for link in links]


def _by_pymodbus(registers: Sequence[int]) -> Sequence[float]:
    """Values as pymodbus itself makes them of registers."""
    kind = AsyncModbusTcpClient.DATATYPE.FLOAT32
    return cast("list[float]", AsyncModbusTcpClient.convert_from_registers(list(registers), kind, word_order="little"))


_FLOATS = struct.Struct(f"<{REGISTERS // 2}f")


def _by_struct(registers: Sequence[int]) -> Sequence[float]:
    """Values by one ``struct``. Low word first: the registers as little-endian words are little-endian floats."""
    return _FLOATS.unpack(array("H", registers).tobytes())


async def pymodbus(
    ports: list[int],
    period: float,
    polls: Polls,
    decode: Callable[[Sequence[int]], Sequence[float]] = _by_pymodbus,
) -> list[asyncio.Task[None]]:
    async def poll(device: int, port: int) -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1.0, retries=0)
        await client.connect()
        due = time.monotonic() + period * device / len(ports)
        # Not by cancelling it: its wait_for of Python 3.11 loses a cancellation that comes with the reply.
        while not polls.over:
            try:
                reply = await client.read_holding_registers(0, count=REGISTERS, device_id=1)
            except ModbusException:
                await client.connect()
                continue
            if not reply.isError():
                polls.took(device, decode(reply.registers))
            if period:
                due += period
                await asyncio.sleep(due - time.monotonic())

    return [asyncio.ensure_future(poll(i, port)) for i, port in enumerate(ports)]


async def libmodbus(ports: list[int], period: float, polls: Polls) -> list[asyncio.Task[None]]:
    unpack = struct.Struct(f"<{REGISTERS // 2}f").unpack

    def work() -> None:
        with tcp_client(ports[0]) as client:
            while not polls.over:
                polls.took(0, unpack(array("H", client.read("registers", 0, REGISTERS)).tobytes()))

    return [asyncio.ensure_future(asyncio.to_thread(work))]


class _Bare(asyncio.Protocol):
    def __init__(self, device: int, period: float, polls: Polls) -> None:
        self._device, self._period, self._polls = device, period, polls
        self._unpack = struct.Struct(f"<{REGISTERS // 2}f").unpack
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._due = self._loop.time()
        self._send()

    def _send(self) -> None:
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        registers = array("H", data[9:])
        registers.byteswap()
        self._polls.took(self._device, self._unpack(registers.tobytes()))
        if self._period:
            self._due += self._period
            self._loop.call_at(self._due, self._send)
        else:
            self._send()


async def bare(ports: list[int], period: float, polls: Polls) -> list[asyncio.Task[None]]:
    loop = asyncio.get_running_loop()
    for i, port in enumerate(ports):
        await loop.create_connection(lambda i=i: _Bare(i, period, polls), "127.0.0.1", port)  # type: ignore[misc]
    return []


Client = Callable[[list[int], float, Polls], Awaitable[list[asyncio.Task[None]]]]
CLIENTS: dict[str, Client] = {
    "ours": ours,
    "pymodbus": pymodbus,
    "pymodbus-struct": partial(pymodbus, decode=_by_struct),
    "libmodbus": libmodbus,
    "bare": bare,
}


async def _measure(kind: str, period: float, seconds: float, ports: list[int]) -> dict[str, Any]:
    polls = Polls()
    tasks = await CLIENTS[kind](ports, period, polls)
    # As the controller does at its start; here for all alike.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    await asyncio.sleep(SETTLE_S)
    polls.times.clear()
    began, cpu = time.monotonic(), _cpu_s()
    await asyncio.sleep(seconds)
    took, cpu = time.monotonic() - began, _cpu_s() - cpu
    polls.over = True
    for task in tasks if kind == "ours" else ():
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=5.0)
    count = sum(len(times) for times in polls.times.values())
    off = sorted(abs(after - before - period) for times in polls.times.values() for before, after in pairwise(times))
    return {
        "requests": count,
        "devices": len(polls.times),
        "cpu_s": cpu,
        "seconds": took,
        "off_p50_ms": 1000 * off[len(off) // 2] if off else None,
        "off_p99_ms": 1000 * off[int(0.99 * len(off))] if off else None,
        "off_max_ms": 1000 * off[-1] if off else None,
        "last_value": polls.checked,
    }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    name, period_s, seconds_s, *rest = sys.argv[1:]
    print(json.dumps(uvloop.run(_measure(name, float(period_s), float(seconds_s), [int(port) for port in rest]))))
