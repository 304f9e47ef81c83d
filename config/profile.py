"""Device profiles: the register map or node list of a device model, as data.

A profile says where each value stands, how it is encoded, in which unit, how it is commanded, and how far each of
these was checked. The drivers compile it into requests; the simulator encodes from it; nobody else looks at
registers.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from config.command import Action, Expected, Watchdog, Writing
from config.encoding import (
    BIT_TABLES,
    INTEGERS,
    NUMBERS,
    TIMES,
    UNSIGNED,
    Table,
)
from config.modbus_signal import LAST_ADDRESS, Kind, ModbusSignal, Scale, UnitSymbol, Verified
from config.model import Address, FieldName, FileModel, PositiveSeconds, Seconds

_IDENTIFIERS: Final = {
    "i": (re.compile(r"i=\d{1,10}"), "i= and a number, such as 'i=2001'"),
    "s": (re.compile(r"s=.+", re.DOTALL), "s= and a text"),
    "g": (re.compile(r"g=[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"), "g= and a GUID with its dashes"),
    "b": (re.compile(r"b=(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"), "b= and base64"),
}


def _node(identifier: str) -> str:
    pattern, expected = _IDENTIFIERS[identifier[0]]
    if not pattern.fullmatch(identifier):
        raise ValueError(expected)
    return identifier


class OpcUaSignal(FileModel):
    """Where one value stands on an OPC UA server: namespace **URI** and identifier, never the index."""

    namespace: Annotated[str, StringConstraints(min_length=1)]
    node: Annotated[str, StringConstraints(pattern=r"^[isgb]=.+$"), AfterValidator(_node)]
    type: Literal["bool", "number", "text"] = "number"
    unit: UnitSymbol = "1"
    scale: Scale = 1.0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    rollover: Annotated[float, Field(gt=0)] | None = None
    poll: PositiveSeconds | None = None
    writable: bool = False
    verified: Verified | None = None
    source: str = ""
    description: str = ""

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return self.type


def _ascending(span: tuple[int, int]) -> tuple[int, int]:
    if span[0] > span[1]:
        raise ValueError("[first, last] in ascending order")
    return span


Span = Annotated[tuple[Address, Address], AfterValidator(_ascending)]


class Limits(FileModel):
    """What a Modbus device can take.

    ``registers``, ``bits``: most in one read. ``gap``: unlisted registers that a read may cross. ``areas``: [first,
    last] of the areas that no read may leave. ``response_delay``: the longest it takes to think.
    """

    registers: Annotated[int, Field(ge=1, le=125)] = 125
    bits: Annotated[int, Field(ge=1, le=2000)] = 2000
    gap: Annotated[int, Field(ge=0, le=124)] = 0
    areas: tuple[Span, ...] = ()
    response_delay: Seconds = 0.1


class _Profile(FileModel):
    title: str = ""
    vendor: str = ""
    models: str = ""
    source: str = ""
    verified: Verified = Verified.UNVERIFIED
    notes: tuple[str, ...] = ()


class SerialDefaults(FileModel):
    """How the device is set when it leaves the factory; for finding it, and for the person who wires it."""

    baudrate: int | None = None
    parity: Literal["N", "E", "O"] | None = None
    stopbits: Literal[1, 2] | None = None
    unit: Annotated[int, Field(ge=0, le=255)] | None = None


class ModbusProfile(_Profile):
    """The register map of one device model. ``base: 1`` when the manual counts registers from 1.

    ``identify``: signals and what they read on this model and no other. ``on_connect``: writable signals and what they
    are set to each time the device begins to answer, if they read otherwise.
    """

    protocol: Literal["modbus"]
    base: Literal[0, 1] = 0
    serial: SerialDefaults = SerialDefaults()
    limits: Limits = Limits()
    writing: Writing = Writing()
    watchdog: Watchdog | None = None
    identify: dict[FieldName, Expected] = {}
    on_connect: dict[FieldName, Expected] = {}
    actions: dict[FieldName, Action] = {}
    signals: Annotated[dict[FieldName, ModbusSignal], Field(min_length=1)]

    @model_validator(mode="after")
    def _bindings_exist(self) -> "ModbusProfile":
        for name, signal in self.signals.items():
            for other in signal.together():
                self._check_known(name, other)
                if self.signals[other].table is not signal.table:
                    raise ValueError(f"{name}: bound to a signal of the same table ('{other}' is in another)")
            for other in signal.parameters():
                self._check_known(name, other)
                if self.signals[other].type not in INTEGERS:
                    raise ValueError(f"{name}: unit or exponent from a whole number ('{other}' is none)")
            if signal.time_from and self.signals[signal.time_from].type not in TIMES:
                raise ValueError(f"{name}: time_from naming a signal of a type of time, such as bcd-time")
            for binding in signal.quality_from:
                source = self.signals[binding.signal]
                if source.type not in NUMBERS:
                    raise ValueError(f"{name}: quality_from naming a signal of a type of number")
                if binding.bits and source.type not in UNSIGNED:
                    raise ValueError(f"{name}: quality_from with bits naming an unsigned whole number")
            self._check_addresses(name, signal, [self.signals[other] for other in signal.together()])
            self._check_command(name, signal)
        self._check_writes()
        return self

    def _check_known(self, name: str, other: str) -> None:
        if other not in self.signals:
            raise ValueError(f"{name}: bound to a signal of this profile ('{other}' is none)")
        if not self.signals[other].readable:
            raise ValueError(f"{name}: bound to a signal that can be read ('{other}' only takes orders)")

    def _check_command(self, name: str, signal: ModbusSignal) -> None:
        command = signal.command
        if command is None:
            return
        confirm = [command.confirm.signal] if command.confirm else []
        for other in (*command.require, *confirm, *([command.ack] if command.ack else [])):
            self._check_known(name, other)
        if command.safe is not None:
            self._check_value(f"{name}: safe", name, command.safe)
        for other, wanted in command.require.items():
            self._check_value(f"{name}: require", other, wanted)
        if command.ack is not None and self.signals[command.ack].kind != "bool":
            found = f"'{command.ack}' is a {self.signals[command.ack].kind}"
            raise ValueError(f"{name}: ack naming a signal that is on or off ({found})")
        if command.confirm is not None:
            feedback = self.signals[command.confirm.signal]
            if feedback.kind != signal.kind:
                found = f"'{command.confirm.signal}' is a {feedback.kind}, '{name}' a {signal.kind}"
                raise ValueError(f"{name}: confirm naming a signal that reads as what is demanded ({found})")

    def _check_value(self, where: str, field: str, wanted: Expected) -> None:
        """What a signal is to read or to be set to must be a value that it can have."""
        signal = self.signals[field]
        found = f"found {wanted!r}"
        match signal.kind:
            case "bool" if not isinstance(wanted, bool):
                raise ValueError(f"{where}: true or false for '{field}', which is on or off ({found})")
            case "number" | "time" if isinstance(wanted, bool | str):
                raise ValueError(f"{where}: a number for '{field}', which is a {signal.kind} ({found})")
            case "text" if not isinstance(wanted, str):
                hint = "; YAML reads a bare on, off, yes or no as true or false: put it in quotes"
                raise ValueError(f"{where}: a text for '{field}' ({found}{hint if isinstance(wanted, bool) else ''})")
            case "text" if signal.enum and wanted not in signal.enum.values():
                words = ", ".join(signal.enum.values())
                raise ValueError(f"{where}: a word that '{field}' can read: {words} ({found})")

    def _check_register(self, where: str, address: int) -> None:
        if not self.base <= address <= LAST_ADDRESS + self.base:
            expected = f"{self.base} to {LAST_ADDRESS + self.base} (base: {self.base})"
            raise ValueError(f"{where}: an address of {expected}, found {address}")

    def _check_writes(self) -> None:
        for name, signal in self.signals.items():
            wide = signal.writable and signal.table is Table.HOLDING and signal.registers > 1
            if wide and self.writing.registers == "single":
                raise ValueError(f"{name}: one register, because this device takes single writes only")
        heartbeat = self.watchdog.heartbeat if self.watchdog is not None else None
        for name in (*self.on_connect, *([heartbeat.signal] if heartbeat is not None else [])):
            if name not in self.signals or not self.signals[name].writable:
                raise ValueError(f"{name}: a writable signal of this profile")
        for name, wanted in self.on_connect.items():
            self._check_value("on_connect", name, wanted)
        for name, wanted in self.identify.items():
            if name not in self.signals:
                raise ValueError(f"identify: a signal of this profile ('{name}' is none)")
            self._check_value("identify", name, wanted)
        if self.writing.unlock is not None:
            self._check_register("writing.unlock", self.writing.unlock.address)
        for span in self.writing.allow:
            self._check_register("writing.allow", span.first)
            self._check_register("writing.allow", span.last)

    def _check_addresses(self, name: str, signal: ModbusSignal, bound: list[ModbusSignal]) -> None:
        """What is read together must exist on the wire and fit one request."""
        ends = [end for one in (signal, *bound) for end in one.ends()]
        first, last = min(ends), max(ends)
        if first < self.base:
            raise ValueError(f"{name}: an address of at least {self.base} (base: {self.base})")
        if last - self.base > LAST_ADDRESS:
            raise ValueError(f"{name}: an address whose last register is at most {LAST_ADDRESS + self.base}")
        bits = signal.table in BIT_TABLES
        limit = self.limits.bits if bits else self.limits.registers
        if last - first + 1 > limit:
            found = f"{last - first + 1} {'bits' if bits else 'registers'}"
            raise ValueError(f"{name}: with all it is bound to within one read of {limit} ({found})")
        if not bits and self.limits.areas and not self._in_one_area(first, last):
            raise ValueError(f"{name}: with all it is bound to within one area of the device")

    def _in_one_area(self, first: int, last: int) -> bool:
        return any(start <= first and last <= end for start, end in self.limits.areas)


class OpcUaProfile(_Profile):
    """The nodes of one OPC UA server model."""

    protocol: Literal["opcua"]
    signals: Annotated[dict[FieldName, OpcUaSignal], Field(min_length=1)]


Profile = Annotated[ModbusProfile | OpcUaProfile, Field(discriminator="protocol")]
