"""A device on a bus, as it was configured: its unit, its reads, and what may be done to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog

from config.load import LoadedSite
from config.profile import ModbusProfile
from config.sample import Sample
from config.signals import Signal
from drivers.modbus.block import modbus
from drivers.modbus.command import DeviceCommands
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from drivers.modbus.unit import BROADCAST, Unit
from drivers.port import DeviceStatus, LinkEvent, Notify

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Device(Unit):
    """A unit with what may be done to it.

    ``everybody``: it stands for every device of the bus (unit 0, broadcast): it can be told, and never answers.
    ``write_only``: the signals that cannot be read.
    """

    commands: DeviceCommands = field(kw_only=True)
    everybody: bool = field(kw_only=True)
    write_only: tuple[int, ...] = field(kw_only=True)


def device_of(
    tag: str,
    signals: list[Signal],
    loaded: LoadedSite,
    take: Callable[[Read, list[Sample]], None],
    notify: Notify,
) -> Device:
    """The device of a tag. ``take`` gets what is read while it is commanded, ``notify`` what is worth a record."""
    settings, profile = loaded.site.devices[tag], loaded.profiles[tag]
    assert isinstance(profile, ModbusProfile)
    assert settings.unit is not None
    status = DeviceStatus()

    def unit_changed(field: str, before: int, now: int) -> None:
        log.warning("unit changed", device=tag, signal=field, before=before, now=now)
        notify(LinkEvent("unit-changed", settings.link, tag, {"signal": field, "before": before, "now": now}))

    def unconfirmed(signal: Signal, what: str) -> None:
        if not what:
            status.unconfirmed.pop(signal.field, None)
            return
        status.unconfirmed[signal.field] = what
        log.warning("command without effect", device=tag, signal=signal.name, seen=what)
        notify(LinkEvent("not-confirmed", settings.link, tag, {"signal": signal.name, "seen": what}))

    parameters = Parameters(unit_changed)
    plan = DevicePlan(signals, profile, ZoneInfo(loaded.site.site.timezone), parameters)
    everybody = settings.unit == BROADCAST and settings.broadcast_writes
    commands = DeviceCommands(signals, profile, plan, take, unconfirmed, answers=not everybody)
    return Device(
        device=tag,
        number=settings.unit,
        accept_any=settings.accept_any_unit,
        response_delay=profile.limits.response_delay,
        signals=tuple(signal.index for signal in signals),
        status=status,
        plan=plan,
        parameters=parameters,
        commands=commands,
        everybody=everybody,
        write_only=tuple(signal.index for signal in signals if everybody or not modbus(signal).readable),
    )
