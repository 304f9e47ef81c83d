"""What the parts of a site file refer to: signals, equipment and each other, with what was meant where it is wrong."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

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
        """What the profile says of a signal; ``None`` where there is no such signal."""
        device, _, field = name.partition(".")
        profile = self.profiles.get(device)
        return profile.signals.get(field) if profile else None

    def signal(self, path: Where, name: str, kind: str, *, writable: bool = False) -> Iterator[Finding]:
        """A reference to a signal of a kind of quantity, or of ``bool``."""
        device, _, field = name.partition(".")
        if device in self.unknown:
            return
        if device not in self.site.devices:
            yield no_such(path, device, self.site.devices, "device")
            return
        definition = self.definition(name)
        if definition is None:
            yield no_such(path, field, self.profiles[device].signals, f"signal of {device}")
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
