"""From values to registers and back, after a profile: the simulator's own encoder.

Written from the definitions in ``config.profile`` and the shared field notes, section 2, apart from the
drivers: an error made twice in the same way would not be found.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from config.encoding import REGISTERS, Encoding, Order, Table
from config.profile import ModbusSignal
from config.sample import Value
from config.signals import Signal
from hil_sim.errors import SimulatorError

BIT_TABLES: Final = frozenset({Table.COIL, Table.DISCRETE})

_STRUCT: Final = {
    Encoding.UINT16: "H",
    Encoding.INT16: "h",
    Encoding.UINT32: "I",
    Encoding.INT32: "i",
    Encoding.UINT64: "Q",
    Encoding.INT64: "q",
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
}
_BOUNDS: Final = {
    Encoding.UINT16: (0, 2**16 - 1),
    Encoding.INT16: (-(2**15), 2**15 - 1),
    Encoding.UINT32: (0, 2**32 - 1),
    Encoding.INT32: (-(2**31), 2**31 - 1),
    Encoding.UINT64: (0, 2**64 - 1),
    Encoding.INT64: (-(2**63), 2**63 - 1),
}
_LARGEST_FLOAT32: Final = 3.4028234663852886e38
_JUST_BELOW_ONE: Final = 0.99999994
"""The largest float32 below 1: the decimal part of a total never shows a whole unit."""

Encode = Callable[[Value], tuple[bytes, ...]]
Decode = Callable[[tuple[bytes, ...]], Value]


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

    ``spans`` holds one entry, or two for a composite total. ``encode`` gives the bytes of each span for a
    value in the canonical unit, ``decode`` the way back. A bit (``bit`` of a register, or any place of a
    bit table) is given as the byte 1 or 0.
    """

    name: str
    table: Table
    spans: tuple[Span, ...]
    bit: int | None
    is_bool: bool
    encode: Encode
    decode: Decode


def compile_field(signal: Signal, base: int, zone: ZoneInfo) -> Field:
    """The field of a Modbus signal; ``base`` is the profile's, ``zone`` the site's for clocks.

    Raises ``SimulatorError`` for a signal that reaches past the last address.
    """
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    spans = [Span(definition.address - base, REGISTERS[definition.type])]
    if definition.fraction is not None:
        spans.append(Span(definition.fraction.address - base, REGISTERS[definition.fraction.type]))
    for span in spans:
        if span.address < 0 or span.end > 65536:
            raise SimulatorError(f"{signal.name} stands at {span.address} to {span.end - 1}; there is 0 to 65535")
    encode: Encode
    decode: Decode
    is_bool = definition.type is Encoding.BOOL
    if is_bool:
        encode, decode = _encode_bit, _decode_bit
    elif definition.type is Encoding.BCD_TIME:
        encode, decode = _clock(definition.order, zone)
    else:
        encode, decode = _number(signal, definition)
    return Field(signal.name, definition.table, tuple(spans), definition.bit, is_bool, encode, decode)


def reorder(data: bytes, order: Order) -> bytes:
    """Big-endian bytes of a value to the order on the wire. Its own inverse. One register has no order."""
    if len(data) <= 2 or order is Order.ABCD:
        return data
    if order is Order.DCBA:
        return data[::-1]
    registers = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order is Order.CDAB:
        return b"".join(reversed(registers))
    return b"".join(register[::-1] for register in registers)


def _encode_bit(value: Value) -> tuple[bytes, ...]:
    return (b"\x01" if value else b"\x00",)


def _decode_bit(parts: tuple[bytes, ...]) -> Value:
    return parts[0] != b"\x00"


def _packing(encoding: Encoding, order: Order) -> tuple[Callable[[float], bytes], Callable[[bytes], float]]:
    """Number to bytes on the wire and back; numbers out of range are held at the end of the range."""
    layout = struct.Struct(f">{_STRUCT[encoding]}")
    shuffle = order is not Order.ABCD and layout.size > 2
    bounds = _BOUNDS.get(encoding)

    def pack(number: float) -> bytes:
        if bounds is not None:
            if math.isnan(number):
                raise ValueError("NaN has no place in an integer")
            # Compared before rounded: infinity has no integer.
            inside = bounds[0] < number < bounds[1]
            data = layout.pack(round(number) if inside else bounds[number > 0])
        elif encoding is Encoding.FLOAT32 and math.isfinite(number):
            data = layout.pack(max(-_LARGEST_FLOAT32, min(_LARGEST_FLOAT32, number)))
        else:
            data = layout.pack(number)
        return reorder(data, order) if shuffle else data

    def unpack(data: bytes) -> float:
        number: float = layout.unpack(reorder(data, order) if shuffle else data)[0]
        return number

    return pack, unpack


def _number(signal: Signal, definition: ModbusSignal) -> tuple[Encode, Decode]:
    pack, unpack = _packing(definition.type, definition.order)
    factor, bias, scale, offset = signal.factor, signal.bias, definition.scale, definition.offset
    plain = (factor, bias, scale, offset) == (1.0, 0.0, 1.0, 0.0)
    no_value = definition.invalid[0] if definition.invalid else math.nan

    def raw(value: Value) -> float:
        if value is None:
            return no_value
        assert not isinstance(value, str)
        # Without this short way a 64-bit integer would pass through a float and lose its last digits.
        return value if plain else ((value - bias) / factor - offset) / scale

    def canonical(number: float) -> Value:
        return number if plain else (number * scale + offset) * factor + bias

    if definition.fraction is None:
        return (lambda value: (pack(raw(value)),)), (lambda parts: canonical(unpack(parts[0])))

    step = definition.fraction.scale
    pack_decimals, unpack_decimals = _packing(definition.fraction.type, definition.order)
    counted = definition.fraction.type in _BOUNDS

    def encode(value: Value) -> tuple[bytes, ...]:
        number = raw(value)
        if not math.isfinite(number) or value is None:
            return pack(number), pack_decimals(0.0)
        whole = math.trunc(number)
        decimals = max(-_JUST_BELOW_ONE, min(_JUST_BELOW_ONE, number - whole)) / step
        return pack(whole), pack_decimals(math.trunc(decimals) if counted else decimals)

    def decode(parts: tuple[bytes, ...]) -> Value:
        return canonical(unpack(parts[0]) + unpack_decimals(parts[1]) * step)

    return encode, decode


def _clock(order: Order, zone: ZoneInfo) -> tuple[Encode, Decode]:
    """Seconds UTC as YYMMDDhhmmss in BCD, local time; no value is all zeros."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def encode(value: Value) -> tuple[bytes, ...]:
        if value is None or isinstance(value, str) or not math.isfinite(value):
            return (bytes(6),)
        local = (epoch + timedelta(seconds=math.floor(value))).astimezone(zone)
        return (reorder(bytes.fromhex(local.strftime("%y%m%d%H%M%S")), order),)

    def decode(parts: tuple[bytes, ...]) -> Value:
        digits = reorder(parts[0], order).hex()
        if not digits.strip("0"):
            return None
        return datetime.strptime(digits, "%y%m%d%H%M%S").replace(tzinfo=zone).timestamp()

    return encode, decode
