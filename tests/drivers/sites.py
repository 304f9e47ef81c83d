"""Small sites for the tests of the drivers, what they read, and free ports."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from config.load import LoadedSite, load_site
from config.sample import Reason, Sample, Value
from config.signals import SignalTable, signal_table
from config.site import Site
from drivers.links import open_links
from drivers.port import LinkDriver, LinkEvent, WriteResult
from tests.hil_sim.sites import until

Fields = Mapping[str, Mapping[str, object]]

BLOCKS: dict[str, object] = {
    "protocol": "modbus",
    "limits": {"response_delay": "0 s"},
    "signals": {
        "level": {"table": "holding", "address": 0},
        "flow": {"table": "holding", "address": 10},
        "setpoint": {"table": "holding", "address": 20, "writable": True},
        "wide": {"table": "holding", "address": 30, "type": "float32", "writable": True},
        "run": {"table": "coil", "address": 0, "type": "bool", "writable": True},
    },
}
"""Every signal is a block of its own."""
BLOCK_COUNT = 5
TEST_DEADLINE_S = 15.0


def site_of(folder: Path, links: Mapping[str, object], devices: Mapping[str, object]) -> LoadedSite:
    """Writes a site file and loads it."""
    text = {"site": {"id": "bench"}, "links": dict(links), "devices": dict(devices)}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return load_site(path)


def tcp_link(port: int, **settings: object) -> dict[str, object]:
    """A Modbus TCP link that gives up soon."""
    return {"type": "modbus-tcp", "host": "127.0.0.1", "port": port, "timeout": "150 ms", "retry": "0.25 s"} | settings


def device(link: str, unit: int, poll: str = "30 ms", profile: object = None) -> dict[str, object]:
    """A device of five blocks, or of a given profile."""
    return {"link": link, "unit": unit, "poll": poll, "profile": profile or BLOCKS}


def table_of(fields: Fields, base: int = 0, limits: Mapping[str, object] | None = None) -> tuple[Site, SignalTable]:
    """The signals of one Modbus device ``D``, without a file."""
    profile = {"protocol": "modbus", "base": base, "limits": dict(limits or {}), "signals": dict(fields)}
    site = Site.model_validate(
        {
            "site": {"id": "bench"},
            "links": {"bus": tcp_link(502)},
            "devices": {"D": {"link": "bus", "unit": 1, "profile": profile}},
        }
    )
    inline = site.devices["D"].profile
    assert not isinstance(inline, str)
    return site, signal_table(site, {"D": inline})


class Readings:
    """A sink that keeps everything by signal name. ``also``: what is done with the names of each reply."""

    def __init__(self, loaded: LoadedSite) -> None:
        self._names = [signal.name for signal in loaded.signals.field]
        self.of: dict[str, list[Sample]] = {name: [] for name in self._names}
        self.also: Callable[[list[str]], object] = lambda names: None

    def __call__(self, indices: Sequence[int], samples: Sequence[Sample]) -> None:
        for index, sample in zip(indices, samples, strict=True):
            self.of[self._names[index]].append(sample)
        self.also([self._names[index] for index in indices])

    def values(self, name: str) -> list[Value]:
        """Every value that the signal ever had."""
        return [sample.value for sample in self.of[name] if sample.value is not None]

    def last(self, name: str) -> Sample | None:
        return self.of[name][-1] if self.of[name] else None

    def is_good(self, name: str, value: Value) -> bool:
        last = self.last(name)
        return last is not None and last.good and last.value == value

    def is_bad(self, name: str, reason: Reason = Reason.NO_COMMUNICATION) -> bool:
        last = self.last(name)
        return last is not None and last.value is None and last.reason is reason

    def all_bad(self, device: str = "") -> bool:
        return all(self.is_bad(name) for name in self._names if name.startswith(device))

    async def more(self, name: str, count: int = 3) -> None:
        """Waits for ``count`` further readings."""
        enough = len(self.of[name]) + count
        await until(lambda: len(self.of[name]) >= enough)


class Drivers:
    """The running links of a site and what they read."""

    def __init__(self, loaded: LoadedSite) -> None:
        self.loaded = loaded
        self.readings = Readings(loaded)
        self.events: list[LinkEvent] = []
        pki = loaded.path.parent / "pki"
        drivers = open_links(loaded, self.readings, self.events.append, pki)
        self.links: dict[str, LinkDriver] = {link.name: link for link in drivers}

    @property
    def details(self) -> dict[str, Any]:
        """What the only link says of itself beside its counters."""
        [link] = self.links.values()
        return link.status().details

    def write(self, name: str, value: Value) -> asyncio.Future[WriteResult]:
        signal = self.loaded.signals[name]
        return self.links[signal.link].write(signal.index, value)


@asynccontextmanager
async def driving(loaded: LoadedSite, deadline_s: float = TEST_DEADLINE_S) -> AsyncIterator[Drivers]:
    """Runs the links of a site while the block does, ``deadline_s`` at most; a link that ends by itself is an error."""
    drivers = Drivers(loaded)
    tasks = [asyncio.create_task(link.run()) for link in drivers.links.values()]
    try:
        # A write that is never answered fails its test here.
        async with asyncio.timeout(deadline_s):
            yield drivers
        for task in tasks:
            if task.done():
                task.result()
                raise AssertionError("a link stopped running")
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
