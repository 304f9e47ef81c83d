"""What the tests of the drivers share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.drivers.opcua_plc import Plc, plc
from tests.drivers.sites import free_port
from tests.drivers.virtual import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A site's links in virtual time."""
    return World(monkeypatch, tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_plc() -> AsyncIterator[Plc]:
    """One OPC UA server for all tests of a module, because building its address space takes a second."""
    async with plc(free_port()) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(module_plc: Plc) -> Plc:
    """The server of the module as if it had just been started."""
    await module_plc.restore()
    return module_plc
