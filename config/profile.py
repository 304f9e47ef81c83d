"""Device profiles: the register map or node list of a device model, as data.

A profile says where each value stands, how it is encoded, in which unit, and how far that was checked. The
drivers compile it into reads; the simulator encodes from it; nobody else looks at registers.
"""

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from config.model import FileModel, PositiveSeconds, Seconds
from config.sample import Reason
from config.units import unit


class Verified(StrEnum):
    """How far a map was checked: against the maker's manual, a recorded exchange, or not at all."""

    MANUAL = "manual"
    TRANSCRIPT = "transcript"
    UNVERIFIED = "unverified"


class Table(StrEnum):
    """The four Modbus data tables (Modbus Application Protocol V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"


class Encoding(StrEnum):
    """How a value stands in registers. ``bcd-time`` is YYMMDDhhmmss, two BCD digits a byte, local time."""

    BOOL = "bool"
    UINT16 = "uint16"
    INT16 = "int16"
    UINT32 = "uint32"
    INT32 = "int32"
    UINT64 = "uint64"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BCD_TIME = "bcd-time"


REGISTERS: dict[Encoding, int] = {
    Encoding.BOOL: 1,
    Encoding.UINT16: 1,
    Encoding.INT16: 1,
    Encoding.UINT32: 2,
    Encoding.INT32: 2,
    Encoding.UINT64: 4,
    Encoding.INT64: 4,
    Encoding.FLOAT32: 2,
    Encoding.FLOAT64: 4,
    Encoding.BCD_TIME: 3,
}
"""Registers that an encoding takes (a bool in a coil or discrete input takes one bit)."""


NO_NUMBERS = (Encoding.BOOL, Encoding.BCD_TIME)
LAST_ADDRESS = 0xFFFF


class Order(StrEnum):
    """Byte order of a value of more than one register; A is its most significant byte.

    For 64 bit the same rule is applied to registers and bytes: ``CDAB`` is least significant register first,
    ``DCBA`` all bytes reversed, ``BADC`` bytes swapped within each register.
    """

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


def _known_unit(symbol: object) -> str:
    return unit(str(symbol)).symbol


UnitSymbol = Annotated[str, BeforeValidator(_known_unit)]


def _not_nil(number: float) -> float:
    if not math.isfinite(number) or number == 0:
        raise ValueError("a finite number other than 0")
    return number


Scale = Annotated[float, AfterValidator(_not_nil)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Address = Annotated[int, Field(ge=0, le=65536)]


class QualityFrom(FileModel):
    """Takes a value's quality from another signal of the device: its code -> reason. Unlisted codes are bad."""

    signal: FieldName
    codes: dict[int, Reason]


class Fraction(FileModel):
    """The part of a composite total behind the decimal point, in registers of its own."""

    address: Address
    type: Encoding = Encoding.FLOAT32
    scale: float = 1.0

    @model_validator(mode="after")
    def _is_a_number(self) -> "Fraction":
        if self.type in NO_NUMBERS:
            raise ValueError("a fraction of a type of number")
        return self


class ModbusSignal(FileModel):
    """Where one value stands on a Modbus device and how it is read.

    ``value = (raw * scale + offset)`` in ``unit``; with ``fraction`` its decimals are added before scaling.
    ``range`` is in ``unit``: outside it the reading is bad. ``invalid`` lists raw values that mean "no value".
    """

    table: Table
    address: Address
    type: Encoding = Encoding.UINT16
    order: Order = Order.ABCD
    bit: Annotated[int, Field(ge=0, le=15)] | None = None
    scale: Scale = 1.0
    offset: float = 0.0
    unit: UnitSymbol = "1"
    range: tuple[float, float] | None = None
    invalid: tuple[float, ...] = ()
    fraction: Fraction | None = None
    quality_from: QualityFrom | None = None
    time_from: FieldName | None = None
    writable: bool = False
    description: str = ""

    def ends(self) -> list[int]:
        """The first and last address of the value, and of its fraction."""
        bits = self.table in (Table.COIL, Table.DISCRETE)
        ends = [self.address, self.address + (0 if bits else REGISTERS[self.type] - 1)]
        if self.fraction is not None:
            ends += [self.fraction.address, self.fraction.address + REGISTERS[self.fraction.type] - 1]
        return ends

    @model_validator(mode="after")
    def _consistent(self) -> "ModbusSignal":
        bits = self.table in (Table.COIL, Table.DISCRETE)
        if bits and self.type is not Encoding.BOOL:
            raise ValueError(f"type: bool, because a {self.table} is one bit")
        if not bits and self.type is Encoding.BOOL and self.bit is None:
            raise ValueError("a bit (0 to 15), because a bool in a register is one of its bits")
        if self.bit is not None and (bits or self.type is not Encoding.BOOL):
            raise ValueError("no bit, unless the type is bool and the table input or holding")
        if self.writable and self.table not in (Table.COIL, Table.HOLDING):
            raise ValueError("table: coil or holding, because a writable signal must be writable on the wire")
        if self.writable and (self.fraction or self.type is Encoding.BCD_TIME or self.bit is not None):
            raise ValueError("a plain number or a coil, because only those can be written and read back")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range: [low, high] with low below high")
        return self


class OpcUaSignal(FileModel):
    """Where one value stands on an OPC UA server: namespace **URI** and identifier, never the index."""

    namespace: str
    node: Annotated[str, StringConstraints(pattern=r"^[isgb]=.+$")]
    type: Literal["bool", "number", "text"] = "number"
    unit: UnitSymbol = "1"
    scale: Scale = 1.0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    writable: bool = False
    description: str = ""


class Limits(FileModel):
    """What a Modbus device can take: registers and bits in one read, holes it lets one read across."""

    registers: Annotated[int, Field(ge=1, le=125)] = 125
    bits: Annotated[int, Field(ge=1, le=2000)] = 2000
    gap: Annotated[int, Field(ge=0, le=124)] = 0
    response_delay: Seconds = 0.1


class Watchdog(FileModel):
    """The device drives its outputs to their off state when nobody has spoken to it for ``timeout``."""

    timeout: PositiveSeconds


class _Profile(FileModel):
    title: str = ""
    vendor: str = ""
    source: str = ""
    verified: Verified = Verified.UNVERIFIED


class ModbusProfile(_Profile):
    """The register map of one device model. ``base: 1`` when the manual counts registers from 1."""

    protocol: Literal["modbus"]
    base: Literal[0, 1] = 0
    limits: Limits = Limits()
    watchdog: Watchdog | None = None
    signals: Annotated[dict[FieldName, ModbusSignal], Field(min_length=1)]

    @model_validator(mode="after")
    def _bindings_exist(self) -> "ModbusProfile":
        for name, signal in self.signals.items():
            bound = [signal.time_from, signal.quality_from.signal if signal.quality_from else None]
            for other in filter(None, bound):
                if other not in self.signals:
                    raise ValueError(f"{name}: bound to a signal of this profile ('{other}' is none)")
                if self.signals[other].table is not signal.table:
                    raise ValueError(f"{name}: bound to a signal of the same table ('{other}' is in another)")
            if signal.time_from and self.signals[signal.time_from].type is not Encoding.BCD_TIME:
                raise ValueError(f"{name}: time_from naming a signal of type bcd-time")
            if signal.quality_from and self.signals[signal.quality_from.signal].type in NO_NUMBERS:
                raise ValueError(f"{name}: quality_from naming a signal of a type of number")
            self._check_addresses(name, signal, [self.signals[other] for other in filter(None, bound)])
        return self

    def _check_addresses(self, name: str, signal: ModbusSignal, bound: list[ModbusSignal]) -> None:
        """What is read together must exist on the wire and fit one request."""
        ends = [end for one in (signal, *bound) for end in one.ends()]
        first, last = min(ends), max(ends)
        if first < self.base:
            raise ValueError(f"{name}: an address of at least {self.base} (base: {self.base})")
        if last - self.base > LAST_ADDRESS:
            raise ValueError(f"{name}: an address whose last register is at most {LAST_ADDRESS + self.base}")
        bits = signal.table in (Table.COIL, Table.DISCRETE)
        limit = self.limits.bits if bits else self.limits.registers
        if last - first + 1 > limit:
            found = f"{last - first + 1} {'bits' if bits else 'registers'}"
            raise ValueError(f"{name}: with all it is bound to within one read of {limit} ({found})")


class OpcUaProfile(_Profile):
    """The nodes of one OPC UA server model."""

    protocol: Literal["opcua"]
    signals: Annotated[dict[FieldName, OpcUaSignal], Field(min_length=1)]


Profile = Annotated[ModbusProfile | OpcUaProfile, Field(discriminator="protocol")]
