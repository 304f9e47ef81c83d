"""Where one value stands in the registers of a Modbus device, how it is encoded, and what judges it."""

import math
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.command import Command
from config.encoding import (
    BIT_TABLES,
    BY_REGISTER,
    INTEGER_RANGE,
    INTEGERS,
    NUMBERS,
    REGISTERS,
    TIMES,
    Encoding,
    Order,
    Table,
)
from config.model import Address, FieldName, FileModel, PositiveSeconds, Register
from config.sample import Reason
from config.units import unit

Kind = Literal["number", "bool", "text", "time"]
"""What a signal's values are: a number with a unit, on or off, words, or seconds UTC."""
LAST_ADDRESS = 0xFFFF


class Verified(StrEnum):
    """How far a map was checked: against the maker's manual, a recorded exchange, or not at all."""

    MANUAL = "manual"
    TRANSCRIPT = "transcript"
    UNVERIFIED = "unverified"


def _known_unit(symbol: object) -> str:
    return unit(str(symbol)).symbol


UnitSymbol = Annotated[str, BeforeValidator(_known_unit, json_schema_input_type=str)]


def _not_nil(number: float) -> float:
    if not math.isfinite(number) or number == 0:
        raise ValueError("a finite number other than 0")
    return number


Scale = Annotated[float, AfterValidator(_not_nil)]
Bit = Annotated[int, Field(ge=0, le=15)]


class QualityFrom(FileModel):
    """Takes a value's quality from another signal of the device, read in the same request.

    ``codes``: its whole number -> reason; a code that is not listed is bad. Or ``bits``: of those that are set the
    worst counts, the first of equally bad ones; none set is good.
    """

    signal: FieldName
    codes: dict[int, Reason] = {}
    bits: dict[Bit, Reason] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "QualityFrom":
        if bool(self.codes) is bool(self.bits):
            raise ValueError("either codes or bits")
        return self


class UnitFrom(FileModel):
    """Takes a value's unit from another signal of the device: its code -> unit. A code not listed is bad."""

    signal: FieldName
    codes: dict[int, UnitSymbol]


class ExponentFrom(FileModel):
    """Multiplies a value by ten to the power of another signal of the device, plus ``offset``."""

    signal: FieldName
    offset: Annotated[int, Field(ge=-18, le=18)] = 0


class Part(FileModel):
    """A part of a value in registers of its own, added to it before scaling: ``raw * scale``.

    ``latched``: the device changes both parts at once. Otherwise a total that has jumped is read again until
    its parts fit, so that an old part never stands beside a new one.
    """

    address: Address
    type: Encoding = Encoding.FLOAT32
    order: Order | None = None
    scale: Scale = 1.0
    latched: bool = False

    @model_validator(mode="after")
    def _is_a_number(self) -> "Part":
        if self.type not in NUMBERS:
            raise ValueError("a part of a type of number")
        return self


def _as_codes(value: object) -> object:
    return (value,) if isinstance(value, int) else value


Codes = Annotated[
    tuple[Register, ...],
    BeforeValidator(_as_codes, json_schema_input_type=Register | tuple[Register, ...]),
    Field(min_length=1),
]


_YAML_WORDS: Final = {True: "on", False: "off"}


class Switch(FileModel):
    """Whole numbers that stand for on and off. The first of each is what is written; a number of neither is bad."""

    on: Codes
    off: Codes

    @model_validator(mode="before")
    @classmethod
    def _unquoted(cls, data: object) -> object:
        """YAML 1.1 takes the bare words ``on`` and ``off`` for truth values, as keys too."""
        if not isinstance(data, dict):
            return data
        return {_YAML_WORDS[key] if isinstance(key, bool) else key: codes for key, codes in data.items()}

    @model_validator(mode="after")
    def _apart(self) -> "Switch":
        if set(self.on) & set(self.off):
            raise ValueError("no number that means on and off")
        return self


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, dict) else value


class ModbusSignal(FileModel):
    """Where one value stands on a Modbus device and how it is read.

    ``value = (raw + parts) * 10**exponent * scale + offset`` in ``unit``. ``fraction`` is what stands behind the
    decimal point, ``carry`` what has overflowed from the value. ``range`` is in ``unit``: outside it the reading is
    bad. ``invalid`` lists raw values that mean "no value"; NaN always does. ``bits`` takes some bits of a register
    as a number. ``enum`` turns a code into a word, ``switch`` into on and off. ``rollover``: the value begins anew
    at this, in ``unit``. ``poll``: how often it is worth reading, where the site says nothing. ``verified`` and
    ``source`` are those of the profile where they are not given.
    """

    table: Table
    address: Address
    type: Encoding = Encoding.UINT16
    order: Order = Order.ABCD
    bit: Bit | None = None
    bits: tuple[Bit, Bit] | None = None
    length: Annotated[int, Field(ge=1, le=125)] = 1
    charset: Literal["ascii", "utf-8", "gbk"] = "ascii"
    scale: Scale = 1.0
    offset: float = 0.0
    unit: UnitSymbol = "1"
    range: tuple[float, float] | None = None
    invalid: tuple[float, ...] = ()
    rollover: Annotated[float, Field(gt=0)] | None = None
    fraction: Part | None = None
    carry: Part | None = None
    unit_from: UnitFrom | None = None
    exponent_from: ExponentFrom | None = None
    quality_from: Annotated[
        tuple[QualityFrom, ...],
        BeforeValidator(_as_list, json_schema_input_type=QualityFrom | tuple[QualityFrom, ...]),
    ] = ()
    time_from: FieldName | None = None
    enum: dict[int, str] = {}
    switch: Switch | None = None
    poll: PositiveSeconds | None = None
    writable: bool = False
    command: Command | None = None
    verified: Verified | None = None
    source: str = ""
    description: str = ""

    @property
    def kind(self) -> Kind:
        """What its values are."""
        if self.type is Encoding.BOOL or self.switch is not None:
            return "bool"
        if self.type is Encoding.STRING or self.enum:
            return "text"
        return "time" if self.type in TIMES else "number"

    @property
    def registers(self) -> int:
        """Registers, or bits of a bit table, that it takes at ``address``."""
        if self.table in BIT_TABLES:
            return 1
        return self.length if self.type is Encoding.STRING else REGISTERS[self.type]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is added to it."""
        return tuple(part for part in (self.carry, self.fraction) if part is not None)

    @property
    def readable(self) -> bool:
        """False for a register that only takes orders."""
        return self.command is None or self.command.kind != "latched"

    def ends(self) -> list[int]:
        """The first and last address of the value, and of its parts."""
        ends = [self.address, self.address + self.registers - 1]
        for part in self.parts:
            ends += [part.address, part.address + REGISTERS[part.type] - 1]
        return ends

    def together(self) -> list[str]:
        """The signals that must be read in the same request."""
        return [*(binding.signal for binding in self.quality_from), *([self.time_from] if self.time_from else [])]

    def parameters(self) -> list[str]:
        """The signals whose last value says how this one is to be read."""
        return [binding.signal for binding in (self.unit_from, self.exponent_from) if binding is not None]

    @model_validator(mode="after")
    def _consistent(self) -> "ModbusSignal":
        bits = self.table in BIT_TABLES
        if bits and self.type is not Encoding.BOOL:
            raise ValueError(f"type: bool, because a {self.table} is one bit")
        if not bits and self.type is Encoding.BOOL and self.bit is None:
            raise ValueError("a bit (0 to 15), because a bool in a register is one of its bits")
        if self.bit is not None and (bits or self.type is not Encoding.BOOL):
            raise ValueError("no bit, unless the type is bool and the table input or holding")
        if self.bits is not None and (self.type is not Encoding.UINT16 or self.bits[0] > self.bits[1]):
            raise ValueError("bits: [lowest, highest] of a register of type uint16")
        if self.type is not Encoding.STRING and (self.length != 1 or self.charset != "ascii"):
            raise ValueError("no length or charset, unless the type is string")
        if self.type in BY_REGISTER and self.order not in (Order.ABCD, Order.BADC):
            raise ValueError(f"order: ABCD or BADC for a {self.type}, which is read register by register")
        if (self.enum or self.switch) and self.type not in INTEGERS:
            raise ValueError("a type of whole number, because enum and switch list whole numbers")
        if self.enum and self.switch:
            raise ValueError("either enum or switch")
        if self.switch is not None:
            low, high = INTEGER_RANGE[self.type]
            for code in (*self.switch.on, *self.switch.off):
                if not low <= code <= high:
                    raise ValueError(f"switch: numbers that {self.type} can hold, {low} to {high} (found {code})")
        self._check_number()
        self._check_writable()
        return self

    def _check_number(self) -> None:
        if self.kind != "number" or self.type not in NUMBERS:
            wanted = [
                word
                for word, given in (
                    ("scale", self.scale != 1.0 or self.offset != 0.0),
                    ("range", self.range is not None),
                    ("fraction or carry", self.parts),
                    ("unit_from or exponent_from", self.parameters()),
                    ("rollover", self.rollover is not None),
                )
                if given
            ]
            if wanted:
                raise ValueError(f"no {wanted[0]}, because it is no plain number")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range: [low, high] with low below high")
        if self.unit_from is not None:
            kind = unit(self.unit).kind
            for code, symbol in self.unit_from.codes.items():
                if unit(symbol).kind != kind:
                    raise ValueError(f"unit_from: code {code} a unit of {kind}, as {self.unit} is")

    def _check_writable(self) -> None:
        if self.command is not None and not self.writable:
            raise ValueError("writable: true, because it has a command")
        if not self.writable:
            return
        if self.table not in (Table.COIL, Table.HOLDING):
            raise ValueError("table: coil or holding, because a writable signal must be writable on the wire")
        if self.parts or self.parameters() or self.bits or self.type in (*TIMES, Encoding.STRING) or self.enum:
            raise ValueError(
                "a plain number, a switch, a bit or a coil, because only those can be written and read back"
            )
        if self.command is not None and self.command.kind in ("edge", "handshake") and self.kind != "bool":
            raise ValueError(f"a bool or a switch, because a command of kind {self.command.kind} is on or off")
        if self.command is not None and self.command.prepare is not None and self.switch is None:
            raise ValueError("a switch, because prepare is written before its 'on'")
