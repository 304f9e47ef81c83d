"""The driver in virtual time: a loop that jumps to its next timer, and links that are wires in memory.

What takes hours on a plant takes a moment here, and comes out the same every time. Only the opening of the connection
is replaced; everything from the frames up is the driver as it runs.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from config.errors import LinkError
from config.link import ModbusLink, ModbusRtuLink, ModbusTcpLink
from config.load import LoadedSite
from drivers.modbus.transaction import Exchange
from drivers.modbus.transport import framing_of, line_timing
from tests.drivers.fault_devices import Devices, Far, FramingName
from tests.drivers.sites import site_of

LATENCY_S: Final = 0.0005
"""One way through a network."""


class _Selector(selectors.DefaultSelector):
    """Lets time pass by itself when there is nothing else to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the loop waits for what will never happen")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is its own."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class Wire(asyncio.Transport):
    """One connection: the driver's transport, and the far end of it.

    ``silences``: how long the line had been silent before each request, in seconds.
    """

    def __init__(self, network: "Network", exchange: Exchange) -> None:
        super().__init__()
        self.far = Far(network.framing, network.devices, self._from_far, self.end)
        self.network = network
        self.open = True
        self.silences: list[float] = []
        self._heard_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self._exchange = exchange
        self._free_at = 0.0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.open:
            if self._heard_at is not None:
                self.silences.append(self._loop.time() - self._heard_at)
            self._loop.call_at(self._over_line(len(data)), self.far.take, bytes(data))

    def abort(self) -> None:
        self.open = False

    def end(self, error: Exception | None = None) -> None:
        """The far end hangs up."""
        if self.open:
            self.open = False
            self._loop.call_soon(self._exchange.connection_lost, error)

    def _from_far(self, data: bytes) -> None:
        self._loop.call_at(self._over_line(len(data)), self._arrive, data)

    def noise(self, data: bytes) -> None:
        """Something that comes at once, from nobody."""
        self._arrive(data)

    def _arrive(self, data: bytes) -> None:
        if self.open:
            self._heard_at = self._loop.time()
            self._exchange.data_received(data)

    def _over_line(self, size: int) -> float:
        """When so many bytes that are sent now have arrived."""
        begin = max(self._free_at, self._loop.time())
        self._free_at = begin + size * self.network.byte_s
        return self._free_at + LATENCY_S


class Network:
    """What a link leads to. ``refuses``: no connection can be opened; ``wires``: those that were.

    ``greeting`` is called with each new connection.
    """

    def __init__(self, link: ModbusLink) -> None:
        self.devices = Devices()
        self.framing: FramingName = link.framing if isinstance(link, ModbusTcpLink) else "rtu"
        self.byte_s = line_timing(link).byte_s
        self.refuses = False
        self.greeting: Callable[[Wire], object] | None = None
        self.wires: list[Wire] = []
        self.exchanges: list[Exchange] = []

    @property
    def asked(self) -> bool:
        """True while the driver awaits a reply."""
        return any(not exchange.idle for exchange in self.exchanges)

    def hang_up(self) -> None:
        for wire in self.wires:
            wire.end()


class World:
    """The links of one site, and the time in which they live. ``wire``: what a connection is made of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, wire: type[Wire] = Wire) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        self._wire = wire
        self._networks: dict[str, Network] = {}
        self._by_link: dict[int, Network] = {}

    def site(self, links: Mapping[str, Mapping[str, object]], devices: Mapping[str, object]) -> LoadedSite:
        """Loads a site and lays a network for each of its Modbus links."""
        loaded = site_of(self._folder, links, devices)
        self.lay(loaded)
        return loaded

    def lay(self, loaded: LoadedSite) -> None:
        """Lays a new network for each link of a site."""
        for name, link in loaded.site.links.items():
            assert isinstance(link, ModbusTcpLink | ModbusRtuLink)
            self._networks[name] = self._by_link[id(link)] = Network(link)

    def __getitem__(self, link: str) -> Network:
        return self._networks[link]

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a story in virtual time. An exception in a callback fails it."""
        loop = VirtualLoop()
        failures: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: failures.append(context))
        self._monkeypatch.setattr("drivers.modbus.line.connect", self._connect)
        for module in ("transaction", "health"):
            self._monkeypatch.setattr(f"drivers.modbus.{module}.time", SimpleNamespace(perf_counter=loop.time))
        try:
            loop.run_until_complete(story())
        finally:
            loop.close()
        assert failures == [], failures

    async def _connect(self, link: ModbusLink, lost: Callable[[str], None]) -> Exchange:
        network = self._by_link[id(link)]
        await asyncio.sleep(LATENCY_S)
        if network.refuses:
            raise LinkError("refused")
        loop = asyncio.get_running_loop()
        in_flight = link.in_flight if isinstance(link, ModbusTcpLink) else 1
        exchange = Exchange(framing_of(link), loop, lost, in_flight, line_timing(link).silence_s)
        wire = self._wire(network, exchange)
        network.wires.append(wire)
        network.exchanges.append(exchange)
        exchange.connection_made(wire)
        if network.greeting is not None:
            network.greeting(wire)
        return exchange
