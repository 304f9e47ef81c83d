"""Devices: on a link of their kind, one per unit, polled often enough for their watchdog."""

from collections.abc import Iterator

from config.check.measurements import check_conditioning
from config.check.references import Finding, References, Where, no_such, of_kind
from config.command import Watchdog
from config.device import Device
from config.diagnostics import DEVICE_FIGURES
from config.link import ModbusRtuLink, ModbusTcpLink
from config.profile import ModbusProfile, OpcUaProfile
from config.units import unit


def check_devices(known: References) -> Iterator[Finding]:
    seen: dict[tuple[str, int], str] = {}
    for tag, device in known.site.devices.items():
        here: Where = ("devices", tag)
        link = known.site.links.get(device.link)
        profile = known.profiles.get(tag)
        if link is None:
            if device.link not in known.unknown:
                yield no_such((*here, "link"), device.link, known.site.links, "link")
            continue
        modbus_link = isinstance(link, ModbusTcpLink | ModbusRtuLink)
        if profile is not None and isinstance(profile, ModbusProfile) is not modbus_link:
            expected = f"a profile for a link of type {link.type}"
            yield Finding((*here, "profile"), f"a profile with protocol {profile.protocol}", expected)
        if modbus_link:
            if device.unit is None:
                yield Finding((*here, "unit"), "nothing", "the Modbus unit (1 to 247) that the device answers as")
            elif device.accept_any_unit and _neighbours(known, tag, device.link):
                found = f"accept_any_unit beside {_neighbours(known, tag, device.link)[0]} on link '{device.link}'"
                yield Finding((*here, "accept_any_unit"), found, "a device that is alone on its link")
            elif (device.link, device.unit) in seen:
                other = seen[device.link, device.unit]
                found = f"unit {device.unit} on link '{device.link}', which is also {other}"
                yield Finding((*here, "unit"), found, "one device per unit on a link")
            else:
                seen[device.link, device.unit] = tag
        elif device.unit is not None:
            yield Finding((*here, "unit"), str(device.unit), "no unit, because an OPC UA server has none")
        if profile is not None:
            yield from _device_signals(here, device, profile)
            for field, settings in device.signals.items():
                definition = profile.signals.get(field)
                if definition is None:
                    yield no_such((*here, "signals", field), field, profile.signals, "signal of its profile")
                    continue
                kind = unit(definition.unit).kind
                if settings.deadband is not None:
                    yield from of_kind((*here, "signals", field, "deadband"), settings.deadband, kind)
                poll = settings.poll or definition.poll or device.poll
                yield from check_conditioning(known, (*here, "signals", field), f"{tag}.{field}", settings, poll)


def _neighbours(known: References, tag: str, link: str) -> list[str]:
    return [other for other, device in known.site.devices.items() if device.link == link and other != tag]


def _device_signals(here: Where, device: Device, profile: ModbusProfile | OpcUaProfile) -> Iterator[Finding]:
    for field in profile.signals:
        if field in DEVICE_FIGURES:
            expected = "another name: the figures of every device are called so"
            yield Finding((*here, "profile", "signals", field), f"'{field}'", expected)
    if isinstance(profile, ModbusProfile) and profile.watchdog is not None:
        where, pause = _longest_silence(device, profile, profile.watchdog)
        # 0.1 s three times is a little more than 0.3 s in binary.
        if 3 * pause > profile.watchdog.timeout * (1 + 1e-9):
            timeout = profile.watchdog.timeout
            expected = f"at most {timeout / 3:g} s: the device drops its outputs after {timeout:g} s"
            yield Finding((*here, *where), f"{pause:g} s", expected)


def _longest_silence(device: Device, profile: ModbusProfile, watchdog: Watchdog) -> tuple[Where, float]:
    """How long a device is not spoken to, in seconds, and where that is said: its heartbeat, else its fastest poll."""
    if watchdog.heartbeat is not None:
        return ("profile", "watchdog", "heartbeat", "period"), watchdog.heartbeat.period
    polls: list[tuple[float, Where]] = []
    for field, definition in profile.signals.items():
        settings = device.signals.get(field)
        if not definition.readable:
            continue
        if settings is not None and settings.poll is not None:
            polls.append((settings.poll, ("signals", field, "poll")))
        elif definition.poll is not None:
            polls.append((definition.poll, ("profile", "signals", field, "poll")))
        else:
            polls.append((device.poll, ("poll",)))
    # A device of which nothing can be read is never polled.
    pause, where = min(polls, key=lambda one: one[0], default=(float("inf"), ("profile", "watchdog")))
    return where, pause
