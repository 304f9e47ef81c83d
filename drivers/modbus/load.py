"""How much of a serial line's time the planned reads of its devices take, before anything is wired."""

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from config.link import ModbusRtuLink, ModbusTcpLink
from config.load import LoadedSite
from config.profile import ModbusProfile
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan
from drivers.modbus.transport import line_timing

USUAL_DELAY_S: Final = 0.02
"""What an instrument takes to think as a rule; its profile's ``response_delay`` is the longest (shared field notes, 2,
row 13)."""


@dataclass(frozen=True, slots=True)
class DeviceLoad:
    """``share`` of the line's time (1.0: all of it) that a device's polls take: ``requests`` a second."""

    device: str
    share: float
    requests: float
    fastest: float


@dataclass(frozen=True, slots=True)
class LinkLoad:
    """A serial line: the loads of its devices, the heaviest first."""

    link: str
    devices: tuple[DeviceLoad, ...]

    @property
    def share(self) -> float:
        """What all of them take together."""
        return sum(device.share for device in self.devices)


def serial_loads(loaded: LoadedSite) -> list[LinkLoad]:
    """The load of every serial line of a site, also of one behind a gateway or converter whose line is described."""
    loads: list[LinkLoad] = []
    zone = ZoneInfo(loaded.site.site.timezone)
    for name, link in loaded.site.links.items():
        if not isinstance(link, ModbusTcpLink | ModbusRtuLink):
            continue
        timing = line_timing(link)
        if not timing.byte_s:
            continue
        devices: list[DeviceLoad] = []
        for tag, signals in loaded.signals.by_device.items():
            profile = loaded.profiles[tag]
            if loaded.site.devices[tag].link != name or not isinstance(profile, ModbusProfile):
                continue
            reads = DevicePlan(signals, profile, zone, Parameters(lambda field, before, now: None)).reads
            delay = min(profile.limits.response_delay, USUAL_DELAY_S)
            # Before a request and before its reply the line is silent.
            took = [timing.transfer_s(len(read.pdu), read.reply_bytes) + 2 * timing.silence_s + delay for read in reads]
            share = sum(seconds / read.period for seconds, read in zip(took, reads, strict=True))
            requests = sum(1 / read.period for read in reads)
            fastest = min((read.period for read in reads), default=0.0)
            devices.append(DeviceLoad(tag, share, requests, fastest))
        loads.append(LinkLoad(name, tuple(sorted(devices, key=lambda device: -device.share))))
    return loads
