"""What the tests of the drivers share."""

from pathlib import Path

import pytest

from tests.drivers.virtual import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A site's links in virtual time."""
    return World(monkeypatch, tmp_path)
