"""What the parts of a site file refer to: signals, equipment and each other, with what was meant where it is wrong."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from config.measurement import Derived
from config.modbus_signal import ModbusSignal
from config.model import Measured
from config.profile import ModbusProfile, OpcUaProfile, OpcUaSignal
from config.site import Site
from config.units import CANONICAL, unit

Where = tuple[str | int, ...]
Profiles = Mapping[str, ModbusProfile | OpcUaProfile]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong: at which path of the file, what was found, what was expected."""

    path: Where
    found: str
    expected: str


class References:
    """Everything that a site file may refer to. Tags in ``unknown`` were left out and are not reported again."""

    def __init__(self, site: Site, profiles: Profiles, unknown: frozenset[str]) -> None:
        self.site = site
        self.profiles = profiles
        self.unknown = unknown

    def definition(self, name: str) -> ModbusSignal | OpcUaSignal | None:
        """What the profile says of a signal; ``None`` where there is no such signal, and for a measurement."""
        device, _, field = name.partition(".")
        profile = self.profiles.get(device)
        return profile.signals.get(field) if profile else None

    def kind(self, name: str) -> str | None:
        """What a signal measures: a kind of quantity, or ``bool``, ``text``, ``time``; ``None`` when not known."""
        seen: set[str] = set()
        while name in self.site.measurements and name not in seen:
            seen.add(name)
            measurement = self.site.measurements[name]
            if isinstance(measurement, Derived) and measurement.scale is not None:
                return measurement.scale.to[0].kind
            name = measurement.inputs[0]
        definition = self.definition(name)
        if definition is None:
            return None
        return unit(definition.unit).kind if definition.kind == "number" else definition.kind

    def has_result_time(self, name: str) -> bool:
        """True when the readings of a signal carry the time of the result that they are."""
        seen: set[str] = set()
        while name in self.site.measurements and name not in seen:
            seen.add(name)
            measurement = self.site.measurements[name]
            if not isinstance(measurement, Derived) or measurement.filter > 0:
                return False
            name = measurement.signal
        return getattr(self.definition(name), "time_from", None) is not None

    def has_source_time(self, name: str) -> bool:
        """True when the readings of a signal carry a time of their own: every OPC UA value does."""
        return isinstance(self.definition(name), OpcUaSignal) or self.has_result_time(name)

    def there_is(self, path: Where, name: str) -> Iterator[Finding]:
        """A reference to a signal of any kind."""
        device, _, field = name.partition(".")
        if device in self.unknown or name in self.unknown or name in self.site.measurements:
            return
        if device not in self.site.devices:
            measured = {one.partition(".")[0]: None for one in self.site.measurements}
            if device in measured:
                yield no_such(path, name, self.site.measurements, "measurement")
            else:
                yield no_such(path, device, {**self.site.devices, **measured}, "device")
        elif self.definition(name) is None:
            yield no_such(path, field, self.profiles[device].signals, f"signal of {device}")

    def signal(self, path: Where, name: str, kind: str, *, writable: bool = False) -> Iterator[Finding]:
        """A reference to a signal of a kind of quantity, or of ``bool``."""
        missing = list(self.there_is(path, name))
        if missing:
            yield from missing
            return
        found_kind = self.kind(name)
        if found_kind is None:
            return
        definition = self.definition(name)
        if found_kind != kind:
            number = found_kind in CANONICAL
            symbol = definition.unit if definition is not None else CANONICAL.get(found_kind, "")
            found = f"in {symbol} ({found_kind})" if number else f"a {found_kind}"
            expected = "a bool signal" if kind == "bool" else f"a signal in a unit of {kind}, such as {CANONICAL[kind]}"
            yield Finding(path, f"'{name}', {found}", expected)
        if not writable:
            return
        if definition is None:
            yield Finding(path, f"'{name}', which is calculated", "a signal of a device that can be written")
            return
        if not definition.writable:
            yield Finding(path, f"'{name}', which is read-only", "a signal that its profile marks 'writable: true'")
        command = definition.command if isinstance(definition, ModbusSignal) else None
        if command is not None and command.kind in ("edge", "handshake"):
            found = f"'{name}', whose command is of kind {command.kind}: a pulse, that ends by itself"
            yield Finding(path, found, "a command of kind level or latched, because an output must stand")


def of_kind(path: Where, measured: Measured, kind: str) -> Iterator[Finding]:
    """A quantity that is to be of a kind."""
    if measured.kind != kind:
        found = f"{measured.value:g} {CANONICAL[measured.kind]}, a {measured.kind}"
        yield Finding(path, found, f"a {kind}, such as '5 {CANONICAL[kind]}'")


def no_such(path: Where, name: object, known: Mapping[str, object], what: str) -> Finding:
    """A name that leads nowhere, with what it may be."""
    close = difflib.get_close_matches(str(name), list(known), 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    article = "an" if what[0] in "aeiou" else "a"
    names = _MANY if len(known) > 20 else ", ".join(known) or "none"
    return Finding(path, f"'{name}'", f"{article} {what}: {names}{hint}")


_MANY: Final = "one of those in this file"
