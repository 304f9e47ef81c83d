"""A server that is killed, frozen, or comes back as another: its values are right or bad, within 5 s."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from config.load import LoadedSite, load_site
from tests.drivers.sites import Drivers, driving, free_port
from tests.hil_sim.sites import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

READY_S = 20.0
LEVEL, SPEED = 3.5, 48.0
PROMISED_S = 5.0
RECOVERED_S = 8.0


class Simulated:
    """A simulator process on a port of its own, and both ways of reading it."""

    def __init__(self, folder: Path) -> None:
        node = {"namespace": "urn:test:plant", "type": "number"}
        signals = {
            "level": {**node, "node": "s=LT-1.Level", "unit": "m"},
            "speed": {**node, "node": "i=2001", "unit": "Hz", "writable": True},
        }
        self.folder = folder
        self.control = folder / "control.sock"
        url = f"opc.tcp://127.0.0.1:{free_port()}/"
        self._text = {
            "site": {"id": "faults"},
            "links": {"plc": {"type": "opcua", "url": url, "retry": "1 s"}},
            "devices": {"PLC": {"link": "plc", "profile": {"protocol": "opcua", "signals": signals}}},
        }
        self.process: asyncio.subprocess.Process | None = None

    def site(self, mode: str) -> LoadedSite:
        """The site, read in one mode. Subscribed values are verified late: what shows a fault is not the reading."""
        text = json.loads(json.dumps(self._text))
        text["links"]["plc"]["mode"] = mode
        text["devices"]["PLC"]["poll"] = "200 ms"
        if mode == "subscribe":
            text["devices"]["PLC"]["signals"] = {name: {"stale_after": "60 s"} for name in ("level", "speed")}
        path = self.folder / mode / "site.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(text), encoding="utf-8")
        return load_site(path)

    async def start(self) -> None:
        self.site("poll")
        out = self.folder / "out.yaml"
        command = [sys.executable, "-m", "hil_sim", "serve", str(self.folder / "poll" / "site.yaml"), "--fixed-ports"]
        self.process = await asyncio.create_subprocess_exec(
            *command, "--site-out", str(out), "--control", str(self.control), stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_S):
            assert await self.process.stdout.readline()
        await self.ask("set", name="PLC.level", value=LEVEL)
        await self.ask("set", name="PLC.speed", value=SPEED)

    async def ask(self, op: str, **fields: object) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(self.control))
        writer.write(json.dumps({"op": op, **fields}).encode() + b"\n")
        reply: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        assert reply["ok"], reply
        return reply

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulated]:
    server = Simulated(tmp_path_factory.mktemp("faults"))
    await server.start()
    try:
        yield server
    finally:
        await server.end()


@asynccontextmanager
async def both(server: Simulated) -> AsyncIterator[list[Drivers]]:
    """The server read by subscription and by poll at a time, both good."""
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(driving(server.site(mode))) for mode in ("subscribe", "poll")]
        await until(lambda: all_right(readers))
        yield readers


def all_right(readers: list[Drivers]) -> bool:
    return all(r.readings.is_good("PLC.level", LEVEL) and r.readings.is_good("PLC.speed", SPEED) for r in readers)


def all_bad(readers: list[Drivers]) -> bool:
    return all(reader.readings.all_bad() for reader in readers)


async def test_a_frozen_server_is_bad_within_5_s_and_good_when_it_thaws(simulated: Simulated) -> None:
    async with both(simulated) as readers:
        simulated.send(signal.SIGSTOP)
        try:
            await until(lambda: all_bad(readers), PROMISED_S)
            assert not any(reader.links["plc"].status().connected for reader in readers)
            refused = await readers[0].write("PLC.speed", 10.0)
            assert not refused.ok
        finally:
            simulated.send(signal.SIGCONT)
        await until(lambda: all_right(readers), RECOVERED_S)


async def test_a_server_that_comes_back_with_shifted_namespaces_is_never_read_wrongly(simulated: Simulated) -> None:
    async with both(simulated) as readers:
        await simulated.ask("restart", link="plc", foreign=2)
        statuses = [reader.links["plc"].status() for reader in readers]
        await until(lambda: all(status.connects >= 2 for status in statuses) and all_right(readers), RECOVERED_S)
        for reader in readers:
            assert set(reader.readings.values("PLC.level")) <= {0.0, LEVEL}
            assert set(reader.readings.values("PLC.speed")) <= {0.0, SPEED}
        # The subscription is a live one, and what is written goes where it should.
        await simulated.ask("set", name="PLC.level", value=4.25)
        await until(lambda: all(reader.readings.is_good("PLC.level", 4.25) for reader in readers))
        assert (await readers[0].write("PLC.speed", 25.0)).ok
        assert (await simulated.ask("state"))["signals"]["PLC.speed"] == 25.0
        await simulated.ask("set", name="PLC.level", value=LEVEL)
        await simulated.ask("set", name="PLC.speed", value=SPEED)


async def test_a_killed_server_is_bad_at_once_and_good_when_it_is_back(simulated: Simulated) -> None:
    async with both(simulated) as readers:
        await simulated.end()
        await until(lambda: all_bad(readers), PROMISED_S)
        for reader in readers:
            assert not reader.links["plc"].status().connected
            refused = reader.write("PLC.speed", 10.0)
            assert refused.done()
            assert refused.result().detail.startswith("link plc is down: ")
        await simulated.start()
        await until(lambda: all_right(readers), RECOVERED_S)
        gaps = [event.body["cause"] for event in readers[0].events if event.name == "gap"]
        assert gaps == ["outage"]
        assert readers[1].events == []
