"""Answers with flipped bytes: a connection ends over them, never the driver."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from config.load import LoadedSite
from drivers.opcua import session
from tests.drivers.flipping import Flipping, flipped, flipping
from tests.drivers.opcua_plc import Plc, plc_site

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEEDS = (1, 2, 3)


async def test_a_driver_goes_on_over_every_broken_answer_and_recovers(
    tmp_path: Path, server: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RECOVERY_S", 1.0)
    async with AsyncExitStack() as stack:
        sites: list[tuple[LoadedSite, Flipping]] = []
        for seed in SEEDS:
            for mode in ("subscribe", "poll"):
                way = await stack.enter_async_context(flipping(server.port, seed))
                folder = tmp_path / f"{seed}-{mode}"
                folder.mkdir()
                sites.append((plc_site(folder, way.port, mode, timeout="0.5 s"), way))
        readers = await flipped(server, sites)
    devices = [reader.links["plc"].status().devices["PLC"] for reader in readers]
    assert any(device.malformed for device in devices)
