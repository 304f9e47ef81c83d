"""The OPC UA driver against node-opcua, a server that shares nothing with the library beneath the driver."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from config.load import LoadedSite
from config.sample import Quality, Reason
from drivers.opcua.certificate import own_certificate
from drivers.opcua.trust import TrustList
from tests.drivers.opcua_vault import secret_file
from tests.drivers.sites import Drivers, driving, free_port, site_of
from tests.hil_sim.sites import until

VERSION = "2.180.0"
CACHE = Path(os.environ.get("PENSTOCK_PEERS", Path.home() / ".cache" / "penstock" / "peers"))
PACKAGES = CACHE / f"node-opcua-{VERSION}"
SERVER = Path(__file__).with_name("node_opcua_server.cjs")
READY_S = 30.0
RECOVERED_S = 12.0
URI = "urn:peer:plant"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        shutil.which("node") is None or not (PACKAGES / "node_modules" / "node-opcua").is_dir(),
        reason=f"node-opcua {VERSION} is not installed under {CACHE}: tests/peers/install does that, with node and npm",
    ),
]


class Peer:
    """The server process, and a way to it that can be cut."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.pki = folder / "peer-pki"
        self.process: asyncio.subprocess.Process | None = None
        self._ways: set[asyncio.StreamWriter] = set()

    async def start(self, foreign: int = 1) -> None:
        arguments = [str(SERVER), str(PACKAGES), str(self.port), str(self.pki), str(foreign)]
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            "node", *arguments, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(READY_S):
            await self._reply("ready")

    async def set(self, name: str, **what: object) -> None:
        await self._ask({"set": name, **what})

    async def trust(self, certificate: Path) -> None:
        """Trusts a client, as an administrator of the server does."""
        await self._ask({"trust": str(certificate)})

    async def _ask(self, request: dict[str, object]) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(READY_S):
            await self._reply("ok")

    async def _reply(self, key: str) -> None:
        """node-opcua prints warnings between the lines of ours."""
        assert self.process is not None
        assert self.process.stdout is not None
        while True:
            line = await self.process.stdout.readline()
            assert line, "the peer has ended"
            if line.startswith(b"{") and json.loads(line).get(key):
                return

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def serve_way(self) -> asyncio.Server:
        """A port that leads to the server; ``cut`` breaks what goes through it."""
        return await asyncio.start_server(self._lead, "127.0.0.1", 0)

    def cut(self) -> None:
        for writer in list(self._ways):
            writer.transport.abort()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward = await asyncio.open_connection("127.0.0.1", self.port)
        self._ways |= {writer, onward}
        try:
            await asyncio.gather(_pass_on(reader, onward), _pass_on(onward_reader, writer))
        finally:
            self._ways -= {writer, onward}
            writer.close()
            onward.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peer]:
    one = Peer(tmp_path_factory.mktemp("peer"))
    await one.start()
    try:
        yield one
    finally:
        await one.end()


def site(folder: Path, port: int, poll: str = "100 ms", stale: str = "60 s", **link: Any) -> LoadedSite:
    """Verified late, unless ``stale`` says otherwise: what is good comes from the subscription."""
    node = {"namespace": URI}
    signals: dict[str, dict[str, object]] = {
        "level": {**node, "node": "s=LT-1.Level", "unit": "m"},
        "count": {**node, "node": "s=Count"},
        "demand": {**node, "node": "i=5001", "unit": "%", "scale": 0.1, "writable": True},
        "run": {**node, "node": "s=Run", "type": "bool", "writable": True},
    }
    profile = {"protocol": "opcua", "signals": signals}
    settings = {name: {"stale_after": stale} for name in signals}
    device = {"link": "plc", "poll": poll, "profile": profile, "signals": settings}
    base = {"type": "opcua", "url": f"opc.tcp://127.0.0.1:{port}", "retry": "1 s"}
    return site_of(folder, {"plc": base | link}, {"PLC": device})


def gaps(drivers: Drivers) -> list[dict[str, Any]]:
    return [dict(event.body) for event in drivers.events if event.name == "gap"]


async def level(drivers: Drivers, value: float, deadline_s: float = 5.0) -> None:
    await until(lambda: drivers.readings.is_good("PLC.level", value), deadline_s)


async def test_each_change_is_told_and_none_is_lost(tmp_path: Path, peer: Peer) -> None:
    await peer.set("level", value=2.5)
    async with driving(site(tmp_path, peer.port, poll="50 ms", publishing="0.5 s")) as drivers:
        await level(drivers, 2.5)
        await drivers.readings.more("PLC.count", 12)
        counts = [sample.value for sample in drivers.readings.of["PLC.count"][2:]]
        assert all(b == a + 1 for a, b in itertools.pairwise(counts) if isinstance(a, float) and isinstance(b, float))
        assert drivers.details["subscription"]["publishing_s"] == pytest.approx(0.5)
        assert drivers.details["subscription"]["queue"] > 10
        assert gaps(drivers) == []
        assert drivers.details["clock_skew_s"] == pytest.approx(0, abs=1)


async def test_a_status_comes_whole_with_the_servers_own_time(tmp_path: Path, peer: Peer) -> None:
    async with driving(site(tmp_path, peer.port)) as drivers:
        await level(drivers, 2.5)
        await peer.set("level", status="UncertainLastUsableValue")
        await until(lambda: drivers.readings.of["PLC.level"][-1].reason is Reason.STALE)
        uncertain = drivers.readings.of["PLC.level"][-1]
        assert (uncertain.quality, uncertain.raw) == (Quality.UNCERTAIN, b"40900000")
        assert uncertain.source_time is not None
        await peer.set("level", status="BadSensorFailure")
        await until(lambda: drivers.readings.is_bad("PLC.level", Reason.DEVICE_FAULT))
        await peer.set("level", value=2.5)
        await level(drivers, 2.5)


async def test_silent_values_are_confirmed_by_reading(tmp_path: Path, peer: Peer) -> None:
    async with driving(site(tmp_path, peer.port, stale="0.5 s")) as drivers:
        await level(drivers, 2.5)
        await drivers.readings.more("PLC.level", 5)
        assert {sample.value for sample in drivers.readings.of["PLC.level"]} == {2.5}
        assert gaps(drivers) == []


async def test_a_small_server_is_polled(tmp_path: Path, peer: Peer) -> None:
    async with driving(site(tmp_path, peer.port, mode="poll")) as drivers:
        await level(drivers, 2.5)
        await peer.set("level", value=2.75)
        await level(drivers, 2.75)
        await peer.set("level", value=2.5)
        await level(drivers, 2.5)


async def test_a_write_is_taken_over_and_read_back(tmp_path: Path, peer: Peer) -> None:
    async with driving(site(tmp_path, peer.port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.run", False))
        assert await drivers.write("PLC.run", True) == (True, True, "")
        assert (await drivers.write("PLC.demand", 45.5)).ok
        refused = await drivers.write("PLC.demand", 4000.0)
        assert "a Int16 takes" in refused.detail
        assert (await drivers.write("PLC.run", False)).ok


async def test_a_session_survives_a_cut_and_what_it_missed_is_told(tmp_path: Path, peer: Peer) -> None:
    way = await peer.serve_way()
    async with way:
        port = way.sockets[0].getsockname()[1]
        async with driving(site(tmp_path, port)) as drivers:
            await level(drivers, 2.5)
            peer.cut()
            await until(lambda: drivers.readings.is_bad("PLC.level"))
            for value in (2.6, 2.7):
                await peer.set("level", value=value)
                await asyncio.sleep(0.2)  # longer than the server's sampling: each is a change of its own
            await level(drivers, 2.7, RECOVERED_S)
            await until(lambda: drivers.links["plc"].status().connected)
            assert 2.6 in drivers.readings.values("PLC.level")
            assert gaps(drivers) == []
    await peer.set("level", value=2.5)


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
async def test_both_sides_must_trust_each_other(tmp_path: Path, peer: Peer, policy: str) -> None:
    password = secret_file(tmp_path, "password", b"pump house 7")
    secure: dict[str, Any] = {"security": {"policy": policy}, "username": "operator", "password_file": password}
    own = own_certificate(tmp_path / "pki", "bench")
    async with driving(site(tmp_path, peer.port, **secure)) as drivers:
        status = drivers.links["plc"].status()
        await until(lambda: "is not trusted" in status.last_error, RECOVERED_S)
        assert drivers.readings.values("PLC.level") == []
        trust = TrustList(tmp_path / "pki")
        trust.add(trust.rejected()[0].thumbprint)
        await until(lambda: "'penstock opcua trust show own'" in status.last_error, RECOVERED_S)
        assert drivers.readings.values("PLC.level") == []
        await peer.trust(own.path)
        await level(drivers, 2.5, RECOVERED_S)


async def test_a_server_that_was_killed_and_counts_its_namespaces_anew_is_read_rightly(
    tmp_path: Path, peer: Peer
) -> None:
    async with driving(site(tmp_path, peer.port)) as drivers:
        await level(drivers, 2.5)
        await peer.end()
        await until(lambda: drivers.readings.is_bad("PLC.level"))
        await peer.start(foreign=3)
        await level(drivers, 2.5, RECOVERED_S)
        assert set(drivers.readings.values("PLC.level")) == {2.5}
        assert [gap["cause"] for gap in gaps(drivers)] == ["outage"]
