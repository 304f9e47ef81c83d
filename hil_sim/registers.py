"""From values to registers and back, after a profile: the simulator's own encoder.

``encodings`` knows the bytes of a raw value; here stands what the raw value means: scale, unit, parts, roll-over,
codes, bits. A value whose unit or exponent stands in another register (a *parameter*) is encoded with the code that
this register holds at the moment.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from config.encoding import BIT_TABLES, REGISTERS, TIMES, Encoding, Table
from config.modbus_signal import ModbusSignal, Part
from config.sample import Value
from config.signals import Signal
from config.units import unit
from hil_sim.encodings import Packing, bit_mask, bit_packing, clock, packing, text
from hil_sim.errors import SimulatorError

ADDRESSES: Final = 65536
MAX_EXPONENT: Final = 30
"""A code beyond it is no exponent of ten that an instrument means, and would overflow a float."""
_JUST_BELOW_ONE: Final = 0.99999994
"""The largest float32 below 1: the decimal part of a total never shows a whole unit."""

Codes = tuple[int, ...]
"""What the parameters of a field read now: whole numbers, in the order of ``Field.parameters``."""
Encode = Callable[[Value, Codes], tuple[bytes, ...]]
Decode = Callable[[tuple[bytes, ...], Codes], Value]


class Span(NamedTuple):
    """``length`` registers (or bits) of a table from wire ``address`` on."""

    address: int
    length: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.length


@dataclass(frozen=True, slots=True)
class Field:
    """Where one signal stands on the wire and how its value gets there.

    ``spans`` holds the value, then its carry, then its fraction, as far as it has them. ``mask``: the bits of its
    register that are its own, ``None`` for all. ``words``: a number of several registers, whose order can be wrong.
    ``encode`` gives the bytes of each span for a value in the canonical unit, ``decode`` the way back; it raises
    ``ValueError`` for bytes that mean nothing. ``code`` is the raw whole number in the bytes of the first span. A
    bit of a bit table is given as the byte 1 or 0.
    """

    name: str
    table: Table
    spans: tuple[Span, ...]
    mask: bytes | None
    readable: bool
    words: bool
    parameters: tuple[str, ...]
    encode: Encode
    decode: Decode
    code: Callable[[bytes], float]


def compile_field(signal: Signal, base: int, zone: ZoneInfo) -> Field:
    """The field of a Modbus signal; ``base`` is the profile's, ``zone`` the site's for clocks.

    Raises ``SimulatorError`` for a signal that reaches past the last address.
    """
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    spans = [Span(definition.address - base, definition.registers)]
    spans += [Span(part.address - base, REGISTERS[part.type]) for part in definition.parts]
    for span in spans:
        if span.address < 0 or span.end > ADDRESSES:
            raise SimulatorError(f"{signal.name} stands at {span.address} to {span.end - 1}; there is 0 to 65535")
    raw, mask = _raw(definition)
    encode, decode = _codec(signal, definition, raw, zone)
    wide = definition.registers > 1 and definition.type is not Encoding.STRING and definition.type not in TIMES
    return Field(
        name=signal.name,
        table=definition.table,
        spans=tuple(spans),
        mask=mask,
        readable=definition.readable,
        words=wide,
        parameters=tuple(definition.parameters()),
        encode=encode,
        decode=decode,
        code=raw.unpack,
    )


def _raw(definition: ModbusSignal) -> tuple[Packing, bytes | None]:
    """How the raw number stands in the registers of the value itself, and the bits of a register that are its own."""
    order = definition.order
    if definition.table in BIT_TABLES:
        return Packing(lambda number: b"\x01" if number else b"\x00", lambda data: data[0] & 1, whole=True), None
    bits = (definition.bit, definition.bit) if definition.bit is not None else definition.bits
    if bits is not None:
        return bit_packing(*bits, order), bit_mask(*bits, order)
    plain = Encoding.UINT16 if definition.type in (Encoding.STRING, *TIMES) else definition.type
    return packing(plain, order), None


def _codec(signal: Signal, definition: ModbusSignal, raw: Packing, zone: ZoneInfo) -> tuple[Encode, Decode]:
    if definition.switch is not None:
        on, off = definition.switch.on, definition.switch.off
        return _listed(
            {True: on[0], False: off[0]}, dict.fromkeys(on, True) | dict.fromkeys(off, False), definition, raw
        )
    if definition.enum:
        first: dict[Value, int] = {word: code for code, word in reversed(definition.enum.items())}
        return _listed(first, definition.enum, definition, raw)
    if definition.type is Encoding.BOOL:
        return _listed({True: 1, False: 0}, {1: True, 0: False}, definition, raw)
    if definition.type is Encoding.STRING or definition.type in TIMES:
        if definition.type is Encoding.STRING:
            write, read = text(definition.length, definition.charset, definition.order)
        else:
            never = definition.invalid[0] if definition.invalid else 0.0
            write, read = clock(definition.type, definition.order, zone, never)
        return (lambda value, _codes: (write(value),)), (lambda parts, _codes: read(parts[0]))
    return _number(signal, definition, raw)


def _listed(
    codes: Mapping[Value, int], meanings: Mapping[int, Value], definition: ModbusSignal, raw: Packing
) -> tuple[Encode, Decode]:
    """Values that stand for one of a list of whole numbers."""
    invalid = definition.invalid

    def encode(value: Value, _codes: Codes) -> tuple[bytes, ...]:
        if value is None and invalid:
            return (raw.pack(invalid[0]),)
        if value not in codes:
            raise ValueError(f"{value!r} is none of {', '.join(map(str, codes))}")
        return (raw.pack(codes[value]),)

    def decode(parts: tuple[bytes, ...], _codes: Codes) -> Value:
        number = raw.unpack(parts[0])
        if number in invalid:
            return None
        if number not in meanings:
            raise ValueError(f"{number} is none of {', '.join(map(str, meanings))}")
        return meanings[int(number)]

    return encode, decode


def _number(signal: Signal, definition: ModbusSignal, raw: Packing) -> tuple[Encode, Decode]:
    """``value = (raw + parts) * 10**exponent * scale + offset``, then from the declared unit to the canonical one."""
    scaling = _Scaling(signal, definition)
    split, join = _parts(definition, raw)
    period = definition.rollover * signal.factor if definition.rollover is not None else None
    no_value = definition.invalid[0] if definition.invalid else math.nan
    silent = tuple(pack(0) for pack in (_part(part, definition).pack for part in definition.parts))

    def encode(value: Value, codes: Codes) -> tuple[bytes, ...]:
        if value is None:
            return (raw.pack(no_value), *silent)
        assert not isinstance(value, str)
        if period is not None and math.isfinite(value):
            value %= period
        number = scaling.raw(value, codes)
        if not math.isfinite(number):
            return (raw.pack(number), *silent)
        if raw.whole and definition.fraction is None:
            number = round(number)
            if period is not None and scaling.value(number, codes) >= period:
                number = round(scaling.raw(0.0, codes))
        return split(number)

    def decode(parts: tuple[bytes, ...], codes: Codes) -> Value:
        number = raw.unpack(parts[0])
        if math.isnan(number) or number in definition.invalid:
            return None
        return scaling.value(join(number, parts), codes)

    return encode, decode


class _Scaling:
    """Between raw numbers and values in the canonical unit, by the present codes of the parameters."""

    def __init__(self, signal: Signal, definition: ModbusSignal) -> None:
        self._declared = signal.factor, signal.bias
        self._scale, self._offset = definition.scale, definition.offset
        self._unscaled = (self._scale, self._offset) == (1.0, 0.0)
        self._exponent = definition.exponent_from
        codes = definition.unit_from.codes if definition.unit_from is not None else {}
        self._units = {code: (unit(symbol).factor, unit(symbol).offset) for code, symbol in codes.items()}

    def raw(self, value: float, codes: Codes) -> float:
        """The raw number of a value."""
        factor, bias, power = self._now(codes)
        # Without this short way a 64-bit integer would pass through a float and lose its last digits.
        if self._unscaled and (factor, bias, power) == (1.0, 0.0, 1.0):
            return value
        return ((value - bias) / factor - self._offset) / self._scale / power

    def value(self, number: float, codes: Codes) -> float:
        """The value of a raw number."""
        factor, bias, power = self._now(codes)
        if self._unscaled and (factor, bias, power) == (1.0, 0.0, 1.0):
            return number
        return (number * power * self._scale + self._offset) * factor + bias

    def _now(self, codes: Codes) -> tuple[float, float, float]:
        factor, bias = self._units.get(codes[0], self._declared) if self._units else self._declared
        if self._exponent is None:
            return factor, bias, 1.0
        exponent = codes[-1] + self._exponent.offset
        return factor, bias, 10.0 ** max(-MAX_EXPONENT, min(MAX_EXPONENT, exponent))


def _part(part: Part, definition: ModbusSignal) -> Packing:
    return packing(part.type, part.order or definition.order)


def _parts(
    definition: ModbusSignal, raw: Packing
) -> tuple[Callable[[float], tuple[bytes, ...]], Callable[[float, tuple[bytes, ...]], float]]:
    """Splits a raw number over its parts, and puts it together again.

    The carry counts whole steps that the value has overflowed by, the fraction is what stands behind the decimal
    point; of a negative number all parts are negative.
    """
    carry, fraction = definition.carry, definition.fraction
    packings = [(part.scale, _part(part, definition)) for part in definition.parts]

    def split(number: float) -> tuple[bytes, ...]:
        parts = []
        if carry is not None:
            step = int(carry.scale) if carry.scale.is_integer() else carry.scale
            carried = int(abs(number) // abs(step)) * (1 if number * step >= 0 else -1)
            parts.append(packings[0][1].pack(carried))
            number -= carried * step
        if fraction is None:
            return (raw.pack(number), *parts)
        whole = math.trunc(number)
        decimals = max(-_JUST_BELOW_ONE, min(_JUST_BELOW_ONE, number - whole))
        step, part = packings[-1]
        counted: float = decimals / step
        if part.whole:
            counted = round(counted)
            if abs(counted * step) >= 1.0:
                # A count never makes a whole unit: it is the next one down.
                counted -= math.copysign(1.0, counted)
        return (raw.pack(whole), *parts, part.pack(counted))

    def join(number: float, parts: tuple[bytes, ...]) -> float:
        for data, (step, part) in zip(parts[1:], packings, strict=True):
            number += part.unpack(data) * step
        return number

    return split, join
