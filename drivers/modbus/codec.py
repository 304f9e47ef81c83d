"""One value: from the bytes of a block to a raw number, and from a value to the bytes of its registers.

Every reader is compiled once per signal. Word orders and their golden vectors: shared field notes, section 2. What
cannot be a number (a BCD digit above nine, a date that is none) reads as ``None``.
"""

import contextlib
import math
import struct
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Final

from config.encoding import FLOATS, Encoding, Order
from config.errors import DeviceError
from config.modbus_signal import ModbusSignal
from config.sample import Value
from config.signals import Signal

Number = int | float
Convert = Callable[[Number], Number | None]
"""Turns what stands in a register into the number that is meant."""

STRUCT_LETTER: Final = {
    Encoding.UINT16: "H",
    Encoding.INT16: "h",
    Encoding.SM16: "H",
    Encoding.BCD16: "H",
    Encoding.UINT32: "I",
    Encoding.INT32: "i",
    Encoding.SM32: "I",
    Encoding.BCD32: "I",
    Encoding.UINT64: "Q",
    Encoding.INT64: "q",
    Encoding.BCD64: "Q",
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
}
"""The letter of ``struct`` under which the registers of an encoding are unpacked."""

_SIGN_BIT: Final = {Encoding.SM16: 1 << 15, Encoding.SM32: 1 << 31}
_BCD_DIGITS: Final = {Encoding.BCD16: 4, Encoding.BCD32: 8, Encoding.BCD64: 16}
_CENTURY: Final = 2000
RANGE_SLACK: Final = 1e-9
"""Relative: what a bound of a range may be missed by on the way from one unit to another."""
FLOAT32_PRECISION: Final = 1e-6
"""Relative: how nearly a float register gives back what was written to it."""


def byte_order(order: Order, size: int) -> list[int]:
    """Where each byte of a value, most significant first, stands among its ``size`` bytes on the wire."""
    places = list(range(size))
    match order:
        case Order.ABCD:
            return places
        case Order.DCBA:
            return places[::-1]
        case Order.CDAB:
            return [place ^ 1 for place in reversed(places)]
        case Order.BADC:
            return [place ^ 1 for place in places]


def converter(encoding: Encoding) -> Convert | None:
    """What turns the unpacked register into the number meant; ``None`` where it is that number."""
    if encoding in _SIGN_BIT:
        sign = _SIGN_BIT[encoding]

        def signed_magnitude(raw: Number) -> Number:
            assert isinstance(raw, int)
            return -(raw ^ sign) if raw & sign else raw

        return signed_magnitude
    if encoding in _BCD_DIGITS:

        def decimal(raw: Number) -> Number | None:
            digits = f"{raw:x}"
            return int(digits) if digits.isdecimal() else None

        return decimal
    return None


def read_time(encoding: Encoding, data: bytes, order: Order, zone: tzinfo) -> float | None:
    """The time in the registers ``data``, seconds UTC; ``None`` when a digit or the date is none."""
    plain = bytes(data[place] for place in _register_order(order, len(data)))
    if encoding is Encoding.UNIX_TIME:
        whole = bytes(data[place] for place in byte_order(order, 4))
        seconds: int = struct.unpack(">I", whole)[0]
        return float(seconds) if seconds else None
    if encoding is Encoding.BCD_TIME:
        digits = plain.hex()
        if not digits.isdecimal():
            return None
        fields = [int(digits[i : i + 2]) for i in range(0, 12, 2)]
    else:
        fields = list(struct.unpack(">6H", plain))
    year, month, day, hour, minute, second = fields
    if year < 100:
        year += _CENTURY
    elif year < _CENTURY:
        return None  # a clock that was never set
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None


def read_text(data: bytes, order: Order, charset: str) -> str | None:
    """The characters in the registers ``data`` up to a NUL, without spaces at the ends; ``None`` if they are none."""
    plain = bytes(data[place] for place in _register_order(order, len(data)))
    try:
        text = plain.split(b"\x00", 1)[0].decode(charset).strip()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def encode(signal: Signal, value: Value) -> bytes:
    """The register bytes of a value.

    Raises ``DeviceError`` for one that the register cannot hold, that is outside the signal's range, or that would be
    read as no value.
    """
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    if definition.switch is not None:
        if not isinstance(value, bool):
            raise DeviceError(f"{signal.name}: {value!r} is not on or off")
        return encode_raw(definition, (definition.switch.on if value else definition.switch.off)[0])
    try:
        number = math.nan if isinstance(value, str | bool) or value is None else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DeviceError(f"{signal.name}: {value!r} is not a number that can be written")
    declared = (number - signal.bias) / signal.factor
    if definition.range is not None:
        low, high = definition.range
        slack = RANGE_SLACK * max(abs(low), abs(high))
        if not low - slack <= declared <= high + slack:
            shown = "" if definition.unit == "1" else f" {definition.unit}"
            raise DeviceError(f"{signal.name}: {declared:g}{shown} is outside its range, {low:g} to {high:g}{shown}")
    raw = (declared - definition.offset) / definition.scale
    try:
        held = encode_raw(definition, raw)
    except (struct.error, OverflowError, ValueError) as error:
        raise DeviceError(f"{signal.name}: {value!r} does not fit a {definition.type}") from error
    if held in _sentinels(definition):
        raise DeviceError(f"{signal.name}: {value!r} means 'no value' to this device (invalid: {raw:g})")
    return held


def _sentinels(definition: ModbusSignal) -> set[bytes]:
    held: set[bytes] = set()
    for invalid in definition.invalid:
        # A sentinel that the register cannot hold is never read, nor written.
        with contextlib.suppress(struct.error, OverflowError, ValueError):
            held.add(encode_raw(definition, invalid))
    return held


def encode_raw(definition: ModbusSignal, raw: Number) -> bytes:
    """The register bytes of a raw number. Raises ``struct.error``, ``OverflowError`` or ``ValueError``."""
    encoding = definition.type
    if not math.isfinite(raw):
        raise OverflowError
    packed = raw if encoding in FLOATS else round(raw)
    if encoding in _SIGN_BIT:
        sign = _SIGN_BIT[encoding]
        if abs(packed) >= sign:
            raise OverflowError
        packed = abs(int(packed)) | (sign if packed < 0 else 0)
    elif encoding in _BCD_DIGITS:
        if packed < 0 or len(str(packed)) > _BCD_DIGITS[encoding]:
            raise OverflowError
        packed = int(str(packed), 16)
    plain = struct.pack(">" + STRUCT_LETTER[encoding], packed)
    wire = bytearray(len(plain))
    for place, byte in zip(byte_order(definition.order, len(plain)), plain, strict=True):
        wire[place] = byte
    return bytes(wire)


def is_written(signal: Signal, read: Value, written: Value) -> bool:
    """True when what was read back is what was written, as nearly as its registers can hold it."""
    if isinstance(written, bool) or isinstance(read, bool) or not isinstance(written, int | float):
        return read == written
    if not isinstance(read, int | float):
        return False
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    if definition.type in FLOATS:
        return math.isclose(read, written, rel_tol=FLOAT32_PRECISION, abs_tol=FLOAT32_PRECISION)
    return abs(read - written) <= abs(definition.scale * signal.factor) / 2 + 1e-9


def _register_order(order: Order, size: int) -> list[int]:
    """Byte places of registers read one after the other, each high or low byte first."""
    swapped = order in (Order.BADC, Order.DCBA)
    return [place ^ 1 for place in range(size)] if swapped else list(range(size))
