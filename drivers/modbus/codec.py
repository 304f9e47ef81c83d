"""Registers to samples and values to registers, compiled once per signal from the profile.

A value that cannot be a measurement never becomes one: a NaN, an infinity, a sentinel, a value outside its range,
a broken BCD digit, a status code that is not listed. Word orders and their golden vectors: shared field notes,
section 2.
"""

import math
import struct
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Final

from config.encoding import REGISTERS, Encoding, Order, Table
from config.errors import DeviceError
from config.profile import ModbusSignal
from config.sample import Quality, Reason, Sample, Value, bad, quality_of
from config.signals import Signal

Reader = Callable[[bytes], int | float | None]
"""Reads one raw number from the data of a block; ``None`` when the bytes cannot be one."""
Decoder = Callable[[bytes, float], Sample]
"""Reads one sample from the data of a block; the second argument is when it was received."""

_FORMATS: Final = {
    Encoding.UINT16: "H",
    Encoding.INT16: "h",
    Encoding.UINT32: "I",
    Encoding.INT32: "i",
    Encoding.UINT64: "Q",
    Encoding.INT64: "q",
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
}
_FLOAT32_MAX: Final = (2 - 2**-23) * 2.0**127
_CENTURY: Final = 2000


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


def compile_decoder(signal: Signal, device: dict[str, Signal], start: int, base: int, zone: tzinfo) -> Decoder:
    """Compiles the decoder of a signal within a block that begins at wire address ``start``.

    ``device`` holds the signals of its device by field name: those it is bound to must be in the same block.
    """
    definition = _modbus(signal)
    offset = definition.address - base - start
    if definition.table in (Table.COIL, Table.DISCRETE):
        return _bit_decoder(offset)
    if definition.type is Encoding.BOOL:
        assert definition.bit is not None
        return _register_bit_decoder(2 * offset, definition.bit)
    if definition.type is Encoding.BCD_TIME:
        return _time_decoder(compile_time_reader(definition, start, base, zone), 2 * offset)
    return _number_decoder(signal, definition, device, start, base, zone)


def compile_reader(encoding: Encoding, order: Order, at: int) -> Reader:
    """Compiles the reader of a raw number that begins at byte ``at`` of a block's data."""
    unpack = struct.Struct(">" + _FORMATS[encoding]).unpack_from
    size = 2 * REGISTERS[encoding]
    places = byte_order(order, size) if size > 2 else [0, 1]
    if places == list(range(size)):

        def read_plain(data: bytes) -> int | float | None:
            value: int | float = unpack(data, at)[0]
            return value

        return read_plain
    indices = tuple(at + place for place in places)

    def read_ordered(data: bytes) -> int | float | None:
        value: int | float = unpack(bytes([data[i] for i in indices]))[0]
        return value

    return read_ordered


def compile_time_reader(definition: ModbusSignal, start: int, base: int, zone: tzinfo) -> Reader:
    """Compiles the reader of a BCD time: seconds UTC, ``None`` when a digit or the date is none."""
    at = 2 * (definition.address - base - start)

    def read(data: bytes) -> int | float | None:
        digits = data[at : at + 6].hex()
        if not digits.isdecimal():
            return None
        year, month, day, hour, minute, second = (int(digits[i : i + 2]) for i in range(0, 12, 2))
        try:
            return datetime(_CENTURY + year, month, day, hour, minute, second, tzinfo=zone).timestamp()
        except ValueError:
            return None

    return read


def encode(signal: Signal, value: Value) -> bytes:
    """The register bytes of a value. Raises ``DeviceError`` for one the register cannot hold."""
    definition = _modbus(signal)
    try:
        number = math.nan if isinstance(value, str | bool) or value is None else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise DeviceError(f"{signal.name}: {value!r} is not a number that can be written")
    raw = ((number - signal.bias) / signal.factor - definition.offset) / definition.scale
    try:
        if not math.isfinite(raw):
            raise OverflowError
        packed: int | float = raw if definition.type in (Encoding.FLOAT32, Encoding.FLOAT64) else round(raw)
        plain = struct.pack(">" + _FORMATS[definition.type], packed)
    except (struct.error, OverflowError) as error:
        raise DeviceError(f"{signal.name}: {value!r} does not fit a {definition.type}") from error
    wire = bytearray(len(plain))
    places = byte_order(definition.order, len(plain)) if len(plain) > 2 else [0, 1]
    for place, byte in zip(places, plain, strict=True):
        wire[place] = byte
    return bytes(wire)


def _modbus(signal: Signal) -> ModbusSignal:
    assert isinstance(signal.definition, ModbusSignal)
    return signal.definition


def _bit_decoder(offset: int) -> Decoder:
    byte, mask = offset >> 3, 1 << (offset & 7)

    def decode(data: bytes, received: float) -> Sample:
        return Sample(bool(data[byte] & mask), Quality.GOOD, Reason.OK, received, None, data[byte : byte + 1])

    return decode


def _register_bit_decoder(at: int, bit: int) -> Decoder:
    byte, mask = at + (1 if bit < 8 else 0), 1 << (bit & 7)

    def decode(data: bytes, received: float) -> Sample:
        return Sample(bool(data[byte] & mask), Quality.GOOD, Reason.OK, received, None, data[at : at + 2])

    return decode


def _time_decoder(read: Reader, at: int) -> Decoder:
    def decode(data: bytes, received: float) -> Sample:
        raw, utc = data[at : at + 6], read(data)
        if utc is None:
            return bad(Reason.NOT_A_NUMBER, received, raw)
        return Sample(float(utc), Quality.GOOD, Reason.OK, received, None, raw)

    return decode


def _number_decoder(
    signal: Signal, definition: ModbusSignal, device: dict[str, Signal], start: int, base: int, zone: tzinfo
) -> Decoder:
    at = 2 * (definition.address - base - start)
    end = at + 2 * REGISTERS[definition.type]
    read = compile_reader(definition.type, definition.order, at)
    read_fraction: Reader | None = None
    fraction_scale = 1.0
    if definition.fraction is not None:
        fraction_at = 2 * (definition.fraction.address - base - start)
        read_fraction = compile_reader(definition.fraction.type, definition.order, fraction_at)
        fraction_scale = definition.fraction.scale
    read_code, codes = _quality_reader(definition, device, start, base)
    read_time = _source_time_reader(definition, device, start, base, zone)
    # A sentinel is compared as both can hold it: a float32 has -99.9 only nearly, a double 2**64 - 1.
    invalid = frozenset(_as_held(definition.type, number) for number in definition.invalid)
    scale, offset, factor, bias = definition.scale, definition.offset, signal.factor, signal.bias
    low, high = definition.range if definition.range is not None else (-math.inf, math.inf)

    def decode(data: bytes, received: float) -> Sample:
        raw = data[at:end]
        number = read(data)
        if number is not None and read_fraction is not None:
            fraction = read_fraction(data)
            number = number + fraction * fraction_scale if fraction is not None else None
        if number is None or not math.isfinite(number) or float(number) in invalid:
            return bad(Reason.NOT_A_NUMBER, received, raw)
        value = number * scale + offset
        shown = value * factor + bias
        if not math.isfinite(shown):
            return bad(Reason.NOT_A_NUMBER, received, raw)
        reason = Reason.OK
        if read_code is not None:
            code = read_code(data)
            reason = codes.get(code, Reason.DEVICE_FAULT) if code is not None else Reason.DEVICE_FAULT
        if reason is Reason.OK and not low <= value <= high:
            reason = Reason.OUT_OF_RANGE
        source_time: float | None = None
        if read_time is not None:
            source_time = read_time(data)
            if source_time is None:
                return bad(Reason.NOT_A_NUMBER, received, raw)
        quality = quality_of(reason)
        return Sample(None if quality is Quality.BAD else shown, quality, reason, received, source_time, raw)

    return decode


def _as_held(encoding: Encoding, number: float) -> float:
    if encoding is not Encoding.FLOAT32 or not abs(number) <= _FLOAT32_MAX:
        return number
    held: float = struct.unpack(">f", struct.pack(">f", number))[0]
    return held


def _quality_reader(
    definition: ModbusSignal, device: dict[str, Signal], start: int, base: int
) -> tuple[Reader | None, dict[float, Reason]]:
    if not definition.quality_from:
        return None, {}
    code = _modbus(device[definition.quality_from[0].signal])
    reader = compile_reader(code.type, code.order, 2 * (code.address - base - start))
    return reader, {float(number): reason for number, reason in definition.quality_from[0].codes.items()}


def _source_time_reader(
    definition: ModbusSignal, device: dict[str, Signal], start: int, base: int, zone: tzinfo
) -> Reader | None:
    if definition.time_from is None:
        return None
    return compile_time_reader(_modbus(device[definition.time_from]), start, base, zone)
