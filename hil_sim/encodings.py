"""The bytes of one raw value on the wire: numbers, decimal digits, texts and clocks in every byte order.

Written from the definitions in ``config.encoding`` and the shared field notes, section 2, apart from the
drivers: an error made twice in the same way would not be found. What a raw value means is ``registers``' affair.
"""

import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from config.encoding import FLOATS, REGISTERS, Encoding, Order
from config.sample import Value

_STRUCT: Final = {
    Encoding.UINT16: "H",
    Encoding.INT16: "h",
    Encoding.UINT32: "I",
    Encoding.INT32: "i",
    Encoding.UINT64: "Q",
    Encoding.INT64: "q",
    Encoding.UNIX_TIME: "I",
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
}
_SIGN_MAGNITUDE: Final = frozenset({Encoding.SM16, Encoding.SM32})
_BCD: Final = frozenset({Encoding.BCD16, Encoding.BCD32, Encoding.BCD64})
_LARGEST_FLOAT32: Final = 3.4028234663852886e38
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CENTURY: Final = 100

Text = Callable[[Value], bytes]
"""A value to its bytes; ``None`` is a value too."""
Meaning = Callable[[bytes], Value]
"""The way back. Raises ``ValueError`` for bytes that mean nothing."""


class Packing(NamedTuple):
    """A raw number to its bytes and back; ``whole`` when only whole numbers have a place.

    ``pack`` holds what lies beyond the range at its end and raises ``ValueError`` for NaN where there is none.
    ``unpack`` raises ``ValueError`` for bytes that are no number, such as a BCD digit above 9.
    """

    pack: Callable[[float], bytes]
    unpack: Callable[[bytes], float]
    whole: bool


def reorder(data: bytes, order: Order) -> bytes:
    """Big-endian bytes of a value to the order on the wire. Its own inverse."""
    if order is Order.ABCD:
        return data
    if order is Order.DCBA:
        return data[::-1]
    registers = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order is Order.CDAB:
        return b"".join(reversed(registers))
    return b"".join(register[::-1] for register in registers)


def packing(encoding: Encoding, order: Order) -> Packing:
    """How the numbers of an encoding stand in its registers."""
    if encoding in FLOATS:
        return _float(encoding, order)
    size = 2 * REGISTERS[encoding]
    if encoding in _BCD:
        digits = 2 * size
        return _whole(
            (0, 10**digits - 1),
            order,
            lambda number: bytes.fromhex(f"{number:0{digits}d}"),
            lambda data: int(data.hex()),
        )
    if encoding in _SIGN_MAGNITUDE:
        minus = 1 << 8 * size - 1

        def signed(data: bytes) -> int:
            magnitude = int.from_bytes(data, "big")
            return minus - magnitude if magnitude & minus else magnitude

        return _whole(
            (1 - minus, minus - 1),
            order,
            lambda number: (-number | minus if number < 0 else number).to_bytes(size, "big"),
            signed,
        )
    layout = struct.Struct(f">{_STRUCT[encoding]}")
    states = 256**size
    bounds = (-states // 2, states // 2 - 1) if _STRUCT[encoding].islower() else (0, states - 1)
    return _whole(bounds, order, layout.pack, lambda data: int(layout.unpack(data)[0]))


def bit_packing(low: int, high: int, order: Order) -> Packing:
    """A number in the bits ``low`` to ``high`` of a register; the other bits are 0."""
    ones = (1 << high - low + 1) - 1
    return _whole(
        (0, ones),
        order,
        lambda number: (number << low).to_bytes(2, "big"),
        lambda data: int.from_bytes(data, "big") >> low & ones,
    )


def bit_mask(low: int, high: int, order: Order) -> bytes:
    """The bits ``low`` to ``high`` of a register as they stand on the wire."""
    return reorder(((1 << high + 1) - (1 << low)).to_bytes(2, "big"), order)


def text(length: int, charset: str, order: Order) -> tuple[Text, Meaning]:
    """Characters in ``length`` registers, filled up with zeros; what is too long is cut between two characters."""
    size = 2 * length

    def encode(value: Value) -> bytes:
        data = ("" if value is None else str(value)).encode(charset, "replace")[:size]
        # A character of several bytes goes in whole or not at all.
        data = data.decode(charset, "ignore").encode(charset)
        return reorder(data.ljust(size, b"\0"), order)

    def decode(data: bytes) -> Value:
        return reorder(data, order).split(b"\0", 1)[0].decode(charset).rstrip(" ")

    return encode, decode


def clock(encoding: Encoding, order: Order, zone: ZoneInfo, never: float) -> tuple[Text, Meaning]:
    """Seconds UTC as one of the encodings of time. ``None`` is all zeros, or the raw ``never`` of a unix-time."""
    size = 2 * REGISTERS[encoding]
    if encoding is Encoding.UNIX_TIME:
        seconds = packing(encoding, order)

        def stamp(value: Value) -> bytes:
            return seconds.pack(never if _is_never(value) else math.floor(float(value or 0.0)))

        def stamped(data: bytes) -> Value:
            raw = seconds.unpack(data)
            return None if raw in (0, never) else raw

        return stamp, stamped

    def encode(value: Value) -> bytes:
        if _is_never(value):
            return bytes(size)
        local = (_EPOCH + timedelta(seconds=math.floor(float(value or 0.0)))).astimezone(zone)
        if encoding is Encoding.BCD_TIME:
            return reorder(bytes.fromhex(local.strftime("%y%m%d%H%M%S")), order)
        return reorder(struct.pack(">6H", *local.timetuple()[:6]), order)

    def decode(data: bytes) -> Value:
        data = reorder(data, order)
        if not any(data):
            return None
        bcd = encoding is Encoding.BCD_TIME
        fields = [int(f"{byte:02x}") for byte in data] if bcd else struct.unpack(">6H", data)
        year, month, day, hour, minute, second = fields
        year += 20 * _CENTURY if year < _CENTURY else 0
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()

    return encode, decode


def _is_never(value: Value) -> bool:
    return value is None or isinstance(value, str) or not math.isfinite(value)


def _float(encoding: Encoding, order: Order) -> Packing:
    layout = struct.Struct(f">{_STRUCT[encoding]}")
    narrow = encoding is Encoding.FLOAT32

    def pack(number: float) -> bytes:
        if narrow and math.isfinite(number):
            number = max(-_LARGEST_FLOAT32, min(_LARGEST_FLOAT32, number))
        return reorder(layout.pack(number), order)

    def unpack(data: bytes) -> float:
        number: float = layout.unpack(reorder(data, order))[0]
        return number

    return Packing(pack, unpack, whole=False)


def _whole(
    bounds: tuple[int, int], order: Order, write: Callable[[int], bytes], read: Callable[[bytes], int]
) -> Packing:
    def pack(number: float) -> bytes:
        if math.isnan(number):
            raise ValueError("NaN has no place in an integer")
        # Compared before rounded: infinity has no integer.
        inside = bounds[0] < number < bounds[1]
        return reorder(write(round(number) if inside else bounds[number > bounds[0]]), order)

    return Packing(pack, lambda data: read(reorder(data, order)), whole=True)
