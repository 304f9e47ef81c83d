"""Turns what the drivers count into readings, so that the figures of links and devices are signals like any other."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from config.diagnostics import LINK_FIGURES
from config.sample import Quality, Reason, Sample, Value, bad
from config.signals import SignalTable
from drivers.port import DeviceStatus, LinkDriver, LinkStatus

_OF_LINK: Final[dict[str, Callable[[LinkStatus, float | None], Value]]] = {
    "connected": lambda link, load: link.connected,
    "connects": lambda link, load: link.connects,
    "bus_load": lambda link, load: load,
    "crc_errors": lambda link, load: link.crc_errors,
    "stray_bytes": lambda link, load: link.stray_bytes,
    "gaps": lambda link, load: link.gaps,
}
_OF_DEVICE: Final[dict[str, Callable[[DeviceStatus], Value]]] = {
    "comm_online": lambda device: device.online,
    "comm_polls": lambda device: device.polls,
    "comm_timeouts": lambda device: device.timeouts,
    "comm_exceptions": lambda device: device.exceptions,
    "comm_malformed": lambda device: device.malformed,
    "comm_missed": lambda device: device.missed,
    # How quick it was says nothing of one that does not answer now.
    "comm_round_trip_p50": lambda device: device.round_trip(0.5) if device.online else None,
    "comm_round_trip_p99": lambda device: device.round_trip(0.99) if device.online else None,
}


class Diagnostics:
    """Takes the figures of every link and device each ``period`` seconds, as samples of the signals ``indices``."""

    def __init__(self, table: SignalTable, drivers: Sequence[LinkDriver], period: float) -> None:
        self._signals = table.diagnostics
        self._drivers = drivers
        self._period = period
        self._due = float("-inf")
        self._taken_at = float("-inf")
        self._busy_s = {driver.name: 0.0 for driver in drivers}
        self.indices = tuple(signal.index for signal in self._signals)

    def due(self, now: float) -> bool:
        """True when figures are to be taken. ``now`` in seconds on the loop's clock."""
        return now >= self._due

    def take(self, now: float) -> list[Sample]:
        """A sample for each of ``indices``."""
        elapsed, self._taken_at, self._due = now - self._taken_at, now, now + self._period
        links = {driver.name: driver.status() for driver in self._drivers}
        loads = {name: self._load(name, link, elapsed) for name, link in links.items()}
        devices = {tag: device for link in links.values() for tag, device in link.devices.items()}
        samples: list[Sample] = []
        for signal in self._signals:
            if signal.field in LINK_FIGURES:
                value = _OF_LINK[signal.field](links[signal.device], loads[signal.device])
            else:
                value = _OF_DEVICE[signal.field](devices[signal.device])
            known = Sample(value, Quality.GOOD, Reason.OK, now)
            samples.append(known if value is not None else bad(Reason.NOT_YET_READ, now))
        return samples

    def _load(self, name: str, link: LinkStatus, elapsed: float) -> float | None:
        """Share of the time since the last figures in which the bus was taken, in percent; none before the second."""
        busy, self._busy_s[name] = link.busy_s - self._busy_s[name], link.busy_s
        if math.isinf(elapsed):
            return None
        return round(min(100.0 * busy / elapsed, 100.0), 1)
