"""What a site file must hold beyond its form: every reference leads somewhere, units fit, limits are lawful."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.command import Watchdog
from config.device import Device
from config.diagnostics import DEVICE_FIGURES
from config.dispenser import BatchDispenser, ContinuousDispenser, Dispenser
from config.equipment import ModulatingValve, MotorValve
from config.guard import BatchGuard, FastGuard, Guard
from config.link import ModbusRtuLink, ModbusTcpLink, OpcUaLink
from config.modbus_signal import ModbusSignal
from config.model import Measured
from config.profile import ModbusProfile, OpcUaProfile, OpcUaSignal
from config.site import Site
from config.standard import PARAMETERS, AppliedLimit, applied_limits, column_names, parameter_kind, uses
from config.units import CANONICAL, unit

Where = tuple[str | int, ...]
Profiles = Mapping[str, ModbusProfile | OpcUaProfile]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: at which path of the file, what was found, what was expected."""

    path: Where
    found: str
    expected: str


def dispenser_limits(dispenser: Dispenser) -> dict[str, AppliedLimit]:
    """The strictest limit per parameter over the dispenser's use and its further standards."""
    return applied_limits((*uses()[dispenser.use].standards, *dispenser.standards))


def check_site(site: Site, profiles: Profiles, unknown: frozenset[str]) -> list[Finding]:
    """Every finding on a well-formed site. Tags in ``unknown`` were left out and are not reported again."""
    return [*_Checker(site, profiles, unknown).findings()]


class _Checker:
    def __init__(self, site: Site, profiles: Profiles, unknown: frozenset[str]) -> None:
        self.site = site
        self.profiles = profiles
        self.unknown = unknown

    def findings(self) -> Iterator[Finding]:
        yield from self._timezone()
        yield from self._links()
        yield from self._devices()
        yield from self._valves()
        yield from self._pumps()
        yield from self._shared_outputs()
        for tag, dispenser in self.site.dispensers.items():
            yield from self._dispenser(("dispensers", tag), dispenser)
        yield from self._uplink()

    def _timezone(self) -> Iterator[Finding]:
        try:
            ZoneInfo(self.site.site.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            yield Finding(("site", "timezone"), f"'{self.site.site.timezone}'", "a time zone such as 'Asia/Shanghai'")

    def _links(self) -> Iterator[Finding]:
        seen: dict[object, str] = {}
        for tag, link in self.site.links.items():
            match link:
                case ModbusTcpLink():
                    key: object = (_numeric(link.host), link.port)
                case ModbusRtuLink():
                    key = link.port
                case OpcUaLink():
                    key = link.url
            if key in seen:
                yield Finding(("links", tag), f"the same address as link '{seen[key]}'", "one link per bus or server")
            seen.setdefault(key, tag)
            if tag in self.site.devices:
                yield Finding(("links", tag), f"'{tag}', which is also a device", "a name of its own")

    def _devices(self) -> Iterator[Finding]:
        seen: dict[tuple[str, int], str] = {}
        for tag, device in self.site.devices.items():
            here: Where = ("devices", tag)
            link = self.site.links.get(device.link)
            profile = self.profiles.get(tag)
            if link is None:
                if device.link not in self.unknown:
                    yield self._no_such((*here, "link"), device.link, self.site.links, "link")
                continue
            modbus_link = isinstance(link, ModbusTcpLink | ModbusRtuLink)
            if profile is not None and isinstance(profile, ModbusProfile) is not modbus_link:
                expected = f"a profile for a link of type {link.type}"
                yield Finding((*here, "profile"), f"a profile with protocol {profile.protocol}", expected)
            if modbus_link:
                if device.unit is None:
                    yield Finding((*here, "unit"), "nothing", "the Modbus unit (1 to 247) that the device answers as")
                elif device.accept_any_unit and self._neighbours(tag, device.link):
                    found = f"accept_any_unit beside {self._neighbours(tag, device.link)[0]} on link '{device.link}'"
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
                yield from self._device_signals(here, device, profile)
                for field, settings in device.signals.items():
                    definition = profile.signals.get(field)
                    if definition is None:
                        yield self._no_such((*here, "signals", field), field, profile.signals, "signal of its profile")
                    elif settings.deadband is not None:
                        yield from self._kind(
                            (*here, "signals", field, "deadband"),
                            settings.deadband,
                            unit(definition.unit).kind,
                        )

    def _neighbours(self, tag: str, link: str) -> list[str]:
        return [other for other, device in self.site.devices.items() if device.link == link and other != tag]

    def _device_signals(self, here: Where, device: Device, profile: ModbusProfile | OpcUaProfile) -> Iterator[Finding]:
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

    def _valves(self) -> Iterator[Finding]:
        for tag, valve in self.site.valves.items():
            here: Where = ("valves", tag)
            if isinstance(valve, MotorValve):
                yield from self._signal((*here, "open_command"), valve.open_command, "bool", writable=True)
                yield from self._signal((*here, "opened"), valve.opened, "bool")
                yield from self._signal((*here, "closed"), valve.closed, "bool")
            else:
                yield from self._signal((*here, "position_command"), valve.position_command, "ratio", writable=True)
                yield from self._signal((*here, "position"), valve.position, "ratio")

    def _pumps(self) -> Iterator[Finding]:
        for tag, pump in self.site.pumps.items():
            yield from self._signal(("pumps", tag, "run_command"), pump.run_command, "bool", writable=True)
            yield from self._signal(("pumps", tag, "running"), pump.running, "bool")

    def _shared_outputs(self) -> Iterator[Finding]:
        owners: dict[str, str] = {}
        outputs = [
            (("valves", tag, field), getattr(valve, field))
            for tag, valve in self.site.valves.items()
            for field in ("open_command", "position_command")
            if hasattr(valve, field)
        ] + [(("pumps", tag, "run_command"), pump.run_command) for tag, pump in self.site.pumps.items()]
        for path, signal in outputs:
            if signal in owners:
                yield Finding(path, f"'{signal}', which {owners[signal]} commands", "an output of its own")
            owners.setdefault(signal, path[1])
        for kind in ("valve", "pump"):
            users: dict[str, str] = {}
            for tag, dispenser in self.site.dispensers.items():
                equipment = getattr(dispenser, kind)
                if equipment is not None and equipment in users:
                    found = f"'{equipment}', which belongs to dispenser {users[equipment]}"
                    yield Finding(("dispensers", tag, kind), found, f"a {kind} of its own")
                users.setdefault(equipment, tag)

    def _dispenser(self, here: Where, dispenser: Dispenser) -> Iterator[Finding]:
        yield from self._signal((*here, "meter", "flow"), dispenser.meter.flow, "flow")
        yield from self._signal((*here, "meter", "total"), dispenser.meter.total, "volume")
        valve = self.site.valves.get(dispenser.valve)
        if valve is None and dispenser.valve not in self.unknown:
            yield self._no_such((*here, "valve"), dispenser.valve, self.site.valves, "valve")
        if dispenser.pump is not None and dispenser.pump not in {*self.site.pumps, *self.unknown}:
            yield self._no_such((*here, "pump"), dispenser.pump, self.site.pumps, "pump")
        level = dispenser.supply_level
        if level is not None:
            yield from self._signal((*here, "supply_level", "signal"), level.signal, "length")
            if level.low_low >= level.low:
                expected = f"below supply_level.low, {level.low:g} m"
                yield Finding((*here, "supply_level", "low_low"), f"{level.low_low:g} m", expected)
        match dispenser:
            case ContinuousDispenser():
                if valve is not None and not isinstance(valve, ModulatingValve):
                    yield Finding((*here, "valve"), f"'{dispenser.valve}', a {valve.type} valve", "a modulating valve")
                if dispenser.setpoint > dispenser.max_setpoint:
                    found = f"{dispenser.setpoint:g} m3/h"
                    yield Finding((*here, "setpoint"), found, f"at most max_setpoint, {dispenser.max_setpoint:g} m3/h")
            case BatchDispenser():
                slow = dispenser.slow_opening is not None or dispenser.slow_start or dispenser.slow_finish
                if slow and valve is not None and not isinstance(valve, ModulatingValve):
                    found = f"slow stages with '{dispenser.valve}', a {valve.type} valve"
                    yield Finding((*here, "valve"), found, "a modulating valve, or no slow stages")
                if (dispenser.slow_start or dispenser.slow_finish) and dispenser.slow_opening is None:
                    yield Finding((*here, "slow_opening"), "nothing", "the opening in % for the slow stages")
        yield from self._guards(here, dispenser)

    def _guards(self, here: Where, dispenser: Dispenser) -> Iterator[Finding]:
        if dispenser.use not in uses():
            yield self._no_such((*here, "use"), dispenser.use, uses(), "end use")
            return
        columns = column_names()
        for index, column in enumerate(dispenser.standards):
            if column not in columns:
                yield self._no_such((*here, "standards", index), column, dict.fromkeys(columns), "standard/column")
        if any(column not in columns for column in dispenser.standards):
            return
        limits = dispenser_limits(dispenser)
        for parameter, guard in dispenser.guards.items():
            at: Where = (*here, "guards", parameter)
            if parameter not in PARAMETERS:
                yield self._no_such(at, parameter, PARAMETERS, "parameter")
                continue
            kind = parameter_kind(parameter)
            yield from self._signal((*at, "signal"), guard.signal, kind)
            if parameter not in limits:
                named = ", ".join((*uses()[dispenser.use].standards, *dispenser.standards))
                expected = f"a parameter that use '{dispenser.use}' limits ({named}: {', '.join(sorted(limits))})"
                yield Finding(at, f"'{parameter}'", expected)
                continue
            yield from self._guard_limits(at, guard, limits[parameter], kind)

    def _guard_limits(self, at: Where, guard: Guard, limit: AppliedLimit, kind: str) -> Iterator[Finding]:
        wrong = [
            finding
            for field in ("high", "low", "instant", "instant_low")
            if (measured := getattr(guard, field, None)) is not None
            for finding in self._kind((*at, field), measured, kind)
        ]
        yield from wrong
        if wrong:
            return
        symbol = CANONICAL[kind]
        high, low = _effective(guard, limit)
        if guard.high is not None and limit.high is not None and guard.high.value > limit.high:
            expected = f"at most {limit.high:g} {symbol}, the limit of {limit.origin} (a site may only be stricter)"
            yield Finding((*at, "high"), f"{guard.high.value:g} {symbol}", expected)
        if guard.low is not None and limit.low is not None and guard.low.value < limit.low:
            expected = f"at least {limit.low:g} {symbol}, the limit of {limit.origin} (a site may only be stricter)"
            yield Finding((*at, "low"), f"{guard.low.value:g} {symbol}", expected)
        if isinstance(guard, FastGuard):
            if guard.instant is not None and high is not None and guard.instant.value < high:
                expected = f"at least the stop limit, {high:g} {symbol}"
                yield Finding((*at, "instant"), f"{guard.instant.value:g} {symbol}", expected)
            if guard.instant_low is not None and low is not None and guard.instant_low.value > low:
                expected = f"at most the lower stop limit, {low:g} {symbol}"
                yield Finding((*at, "instant_low"), f"{guard.instant_low.value:g} {symbol}", expected)
        if isinstance(guard, BatchGuard):
            definition = self._definition(guard.signal)
            if definition is not None and getattr(definition, "time_from", None) is None:
                expected = "a signal with time_from: a batch guard tells results apart by the analyzer's own time"
                yield Finding((*at, "signal"), f"'{guard.signal}', which has no result time", expected)

    def _uplink(self) -> Iterator[Finding]:
        uplink = self.site.uplink
        if uplink is None:
            return
        tls = [name for name in ("ca_file", "cert_file", "key_file") if getattr(uplink, name) is not None]
        if tls and not uplink.broker.startswith("mqtts://"):
            yield Finding(
                ("uplink", "broker"),
                f"'{uplink.broker}' with {tls[0]}",
                "mqtts://, because TLS files are given",
            )
        if (uplink.cert_file is None) != (uplink.key_file is None):
            missing = "key_file" if uplink.key_file is None else "cert_file"
            yield Finding(("uplink", missing), "nothing", "cert_file and key_file together")
        if uplink.password_file is not None and uplink.username is None:
            yield Finding(("uplink", "username"), "nothing", "a username, because password_file is given")

    def _definition(self, name: str) -> ModbusSignal | OpcUaSignal | None:
        device, _, field = name.partition(".")
        profile = self.profiles.get(device)
        return profile.signals.get(field) if profile else None

    def _signal(self, path: Where, name: str, kind: str, *, writable: bool = False) -> Iterator[Finding]:
        """A reference to a signal of a kind of quantity, or of ``bool``."""
        device, _, field = name.partition(".")
        if device in self.unknown:
            return
        if device not in self.site.devices:
            yield self._no_such(path, device, self.site.devices, "device")
            return
        definition = self._definition(name)
        if definition is None:
            yield self._no_such(path, field, self.profiles[device].signals, f"signal of {device}")
            return
        number = definition.kind == "number"
        found_kind = unit(definition.unit).kind if number else definition.kind
        if found_kind != kind:
            found = f"in {definition.unit} ({found_kind})" if number else f"a {found_kind}"
            expected = "a bool signal" if kind == "bool" else f"a signal in a unit of {kind}, such as {CANONICAL[kind]}"
            yield Finding(path, f"'{name}', {found}", expected)
        if writable and not definition.writable:
            yield Finding(path, f"'{name}', which is read-only", "a signal that its profile marks 'writable: true'")
        command = definition.command if isinstance(definition, ModbusSignal) else None
        if writable and command is not None and command.kind in ("edge", "handshake"):
            found = f"'{name}', whose command is of kind {command.kind}: a pulse, that ends by itself"
            yield Finding(path, found, "a command of kind level or latched, because an output must stand")

    def _kind(self, path: Where, measured: Measured, kind: str) -> Iterator[Finding]:
        if measured.kind != kind:
            found = f"{measured.value:g} {CANONICAL[measured.kind]}, a {measured.kind}"
            yield Finding(path, found, f"a {kind}, such as '5 {CANONICAL[kind]}'")

    @staticmethod
    def _no_such(path: Where, name: object, known: Mapping[str, object], what: str) -> Finding:
        close = difflib.get_close_matches(str(name), list(known), 1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        article = "an" if what[0] in "aeiou" else "a"
        names = _MANY if len(known) > 20 else ", ".join(known) or "none"
        return Finding(path, f"'{name}'", f"{article} {what}: {names}{hint}")


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


_MANY: Final = "one of those in this file"


def _effective(guard: Guard, limit: AppliedLimit) -> tuple[float | None, float | None]:
    high = guard.high.value if guard.high is not None else limit.high
    low = guard.low.value if guard.low is not None else limit.low
    return high, low


def _numeric(host: str) -> str:
    """One spelling of a host that is given by number; 'localhost' is 127.0.0.1."""
    try:
        return str(ip_address("127.0.0.1" if host.lower() == "localhost" else host))
    except ValueError:
        return host.lower()
