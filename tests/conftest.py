"""What holds for every test."""

import signal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

# The machines are noisy: an example that was slow once says nothing.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

# Started in the background by a shell, tests and what they start would not hear a Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONG: Final = (
    "edge/test_demo.py",
    "edge/test_cli.py",
    "edge/test_station.py",
    "edge/test_restart.py",
    "edge/test_walk_through.py",
    "fuzz/test_fuzz.py",
    "prove/test_prove.py",
    "control/test_accounting.py",
    "hil_sim/test_serve.py",
)
"""The files that take longest, the longest first: begun last, one of them would run alone on one of the cores."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take longest. A file's own order stays."""
    here = Path(__file__).parent
    places = {str(here / name): place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(str(item.path), len(LONG)))
