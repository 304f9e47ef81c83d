"""A device on a bus, as it was configured: its unit, its reads, and what may be done to it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from config.load import LoadedSite
from config.profile import ModbusProfile
from config.sample import Sample
from config.signals import Signal
from drivers.modbus.command import DeviceCommands
from drivers.modbus.decoder import modbus
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from drivers.modbus.unit import BROADCAST, Unit
from drivers.port import DeviceStatus, LinkEvent, Notify

_ANY_PROFILE: Final = ModbusProfile.model_validate(
    {"protocol": "modbus", "signals": {"register": {"table": "holding", "address": 0}}}
)
"""What is supposed of a unit that the site does not list."""

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


def by_hand(number: int, device: Device | None) -> Device:
    """A unit as a person asks it: what it refuses or says nothing to tells nothing of its health.

    ``device`` is the one of the site with that number, if there is one. Its late replies are minded in common.
    """
    if device is not None:
        return replace(device, device="", status=DeviceStatus(), silent=0, held_until=0.0, unanswered={})
    parameters = Parameters(lambda field, before, now: None)
    plan = DevicePlan([], _ANY_PROFILE, ZoneInfo("UTC"), parameters)
    commands = DeviceCommands([], _ANY_PROFILE, plan, lambda read, samples: None, lambda signal, what: None)
    return Device(
        device="",
        number=number,
        accept_any=False,
        response_delay=_ANY_PROFILE.limits.response_delay,
        signals=(),
        status=DeviceStatus(),
        plan=plan,
        parameters=parameters,
        commands=commands,
        everybody=False,
        write_only=(),
    )
