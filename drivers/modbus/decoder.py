"""The decoder of one signal: what a profile says of its registers, compiled to a function of a block's data.

A value that cannot be a measurement never becomes one: a NaN, an infinity, a sentinel, a value outside its range, a
broken BCD digit, a code that is not listed.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

from config.encoding import BIT_TABLES, TIMES, Encoding
from config.modbus_signal import ModbusSignal, QualityFrom
from config.sample import Quality, Reason, Sample, bad, quality_of
from config.signals import Signal
from config.units import unit
from drivers.modbus.codec import Number, converter, read_text, read_time
from drivers.modbus.layout import Place, Values, place_of
from drivers.modbus.parameters import Parameters

Decode = Callable[[Values, bytes, float], Sample]
"""Makes a sample of the unpacked numbers, the bytes of the block, and when it was received."""
Read = Callable[[Values], Number | None]
"""Takes one number out of the unpacked ones; ``None`` when it is none."""

GOOD: Final = Quality.GOOD
OK: Final = Reason.OK
FLOAT32_MAX: Final = (2 - 2**-23) * 2.0**127
_LARGEST_POWER: Final = 18
"""Of ten, either way. What an exponent register holds beyond that is none: a register that is not there, or garbage."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a block is compiled with.

    ``device``: the signals of the device by field name; ``start``: wire address of the block's first register or bit;
    ``base``: what the profile counts its addresses from; ``zone``: that of the device's clock; ``needed``: the signals
    whose codes say how others are to be read.
    """

    device: Mapping[str, Signal]
    start: int
    base: int
    zone: tzinfo
    parameters: Parameters
    needed: frozenset[str]

    def at(self, address: int) -> int:
        """The first byte of a register in the block's data."""
        return 2 * (address - self.base - self.start)

    def source(self, field: str) -> ModbusSignal:
        """The definition of another signal of the device."""
        return modbus(self.device[field])


def modbus(signal: Signal) -> ModbusSignal:
    """The definition of a signal that stands in registers."""
    assert isinstance(signal.definition, ModbusSignal)
    return signal.definition


# -- where numbers stand ---------------------------------------------------------------------------------------------


def main_place(definition: ModbusSignal, around: Around) -> Place:
    """Where the number at the signal's own address stands in a block."""
    encoding = Encoding.UINT16 if definition.type is Encoding.BOOL else definition.type
    return place_of(around.at(definition.address), encoding, definition.order)


def _part_places(definition: ModbusSignal, around: Around) -> list[Place]:
    return [place_of(around.at(part.address), part.type, part.order or definition.order) for part in definition.parts]


def needs(definition: ModbusSignal, around: Around) -> list[Place]:
    """The places of every number that a signal is decoded from."""
    timed = [around.source(definition.time_from)] if definition.time_from is not None else []
    sources = [around.source(binding.signal) for one in (definition, *timed) for binding in one.quality_from]
    by_bytes = definition.type is Encoding.STRING or definition.type in TIMES
    return [
        *([] if by_bytes else [main_place(definition, around), *_part_places(definition, around)]),
        *(main_place(source, around) for source in sources),
    ]


def raw_slice(definition: ModbusSignal, around: Around) -> slice:
    """The bytes of a signal in a block, as they are shown to a person."""
    at = around.at(definition.address)
    return slice(at, at + 2 * definition.registers)


def _raw_parts(definition: ModbusSignal, around: Around) -> list[slice]:
    return [slice(place.at, place.end) for place in _part_places(definition, around)]


# -- everything else -------------------------------------------------------------------------------------------------


def decoder(signal: Signal, around: Around, places: Mapping[Place, int]) -> Decode:
    """What makes a sample of a signal; ``places``: where each number stands among the unpacked ones."""
    definition = modbus(signal)
    if definition.table in BIT_TABLES:
        return _bit_decoder(definition.address - around.base - around.start)
    if definition.type is Encoding.STRING:
        decode = _text_decoder(definition, around, places)
    elif definition.type in TIMES:
        decode = _time_decoder(definition, around, places)
    elif definition.type is Encoding.BOOL:
        decode = _register_bit_decoder(definition, around, places)
    elif definition.enum or definition.switch is not None:
        decode = _code_decoder(signal, around, places)
    else:
        return number_decoder(signal, around, places)
    read_result_time = _result_time(definition, around, places)
    return _timed(decode, read_result_time) if read_result_time is not None else decode


def _timed(decode: Decode, read_result_time: Callable[[Values, bytes], float | None]) -> Decode:
    """The same with the time of the result; without that time there is no value."""

    def timed(values: Values, data: bytes, received: float) -> Sample:
        sample = decode(values, data, received)
        if sample.quality is Quality.BAD:
            return sample
        source_time = read_result_time(values, data)
        if source_time is None:
            return bad(Reason.NOT_A_NUMBER, received, sample.raw)
        return sample._replace(source_time=source_time)

    return timed


def _bit_decoder(offset: int) -> Decode:
    byte, mask = offset >> 3, 1 << (offset & 7)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        return Sample(bool(data[byte] & mask), GOOD, OK, received, None, data[byte : byte + 1])

    return decode


def _register_bit_decoder(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Decode:
    assert definition.bit is not None
    place, mask, raw = places[main_place(definition, around)], 1 << definition.bit, raw_slice(definition, around)
    quality = _quality(definition, around, places)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        word = values[place]
        assert isinstance(word, int)
        return _judged(bool(word & mask), quality(values), received, data[raw])

    return decode


def _text_decoder(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Decode:
    place, order, charset = raw_slice(definition, around), definition.order, definition.charset
    quality = _quality(definition, around, places)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw = data[place]
        text = read_text(raw, order, charset)
        return (
            bad(Reason.NOT_A_NUMBER, received, raw) if text is None else _judged(text, quality(values), received, raw)
        )

    return decode


def _time_decoder(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Decode:
    place, encoding, order, zone = raw_slice(definition, around), definition.type, definition.order, around.zone
    quality = _quality(definition, around, places)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw = data[place]
        utc = read_time(encoding, raw, order, zone)
        return bad(Reason.NOT_A_NUMBER, received, raw) if utc is None else _judged(utc, quality(values), received, raw)

    return decode


def _code_decoder(signal: Signal, around: Around, places: Mapping[Place, int]) -> Decode:
    """A whole number that stands for a word, or for on and off. One that is not listed has no value."""
    definition = modbus(signal)
    read, raw_place = _main_number(definition, around, places), raw_slice(definition, around)
    quality = _quality(definition, around, places)
    meaning: dict[Number, str | bool] = dict(definition.enum.items())
    if definition.switch is not None:
        meaning = {**dict.fromkeys(definition.switch.on, True), **dict.fromkeys(definition.switch.off, False)}
    keep = around.parameters.note if signal.field in around.needed else None

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw, code = data[raw_place], read(values)
        if keep is not None:
            keep(signal.field, int(code) if code is not None else None)
        value = meaning.get(code) if code is not None else None
        if value is None:
            return bad(Reason.OUT_OF_RANGE, received, raw)
        return _judged(value, quality(values), received, raw)

    return decode


def number_decoder(signal: Signal, around: Around, places: Mapping[Place, int]) -> Decode:
    """What makes a sample of a number with everything that its profile binds to it."""
    definition = modbus(signal)
    raw_place, raw_parts = raw_slice(definition, around), _raw_parts(definition, around)
    read = total(definition, around, places)
    quality = _quality(definition, around, places)
    measure = _measure(signal, around.parameters)
    read_result_time = _result_time(definition, around, places)
    invalid = frozenset(as_held(definition.type, number) for number in definition.invalid)
    main = _main_number(definition, around, places)
    keep = around.parameters.note if signal.field in around.needed else None
    low, high = definition.range if definition.range is not None else (-math.inf, math.inf)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw, number = data[raw_place], read(values)
        for part in raw_parts:
            raw += data[part]
        if number is None or not math.isfinite(number) or _in(main(values), invalid) or _in(number, invalid):
            if keep is not None:
                keep(signal.field, None)
            return bad(Reason.NOT_A_NUMBER, received, raw)
        if keep is not None:
            keep(signal.field, int(number))
        measured = measure(number)
        if isinstance(measured, Reason):
            return bad(measured, received, raw)
        value, shown, unit_reason = measured
        if not math.isfinite(shown):
            return bad(Reason.NOT_A_NUMBER, received, raw)
        reason = quality(values)
        if reason is OK and not low <= value <= high:
            reason = Reason.OUT_OF_RANGE
        source_time = None
        if read_result_time is not None:
            source_time = read_result_time(values, data)
            if source_time is None:
                return bad(Reason.NOT_A_NUMBER, received, raw)
        return _judged(shown, unit_reason if reason is OK else reason, received, raw, source_time)

    return decode


def _main_number(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Read:
    """What stands at the signal's own address."""
    place, convert = places[main_place(definition, around)], converter(definition.type)
    if definition.bits is not None:
        shift, mask = definition.bits[0], (1 << (definition.bits[1] - definition.bits[0] + 1)) - 1
        return lambda values: int(values[place]) >> shift & mask
    if convert is not None:
        return lambda values: convert(values[place])
    return lambda values: values[place]


def total(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Read:
    """The raw number with its parts."""
    main = _main_number(definition, around, places)
    parts = [
        (places[place], converter(part.type), part.scale)
        for place, part in zip(_part_places(definition, around), definition.parts, strict=True)
    ]
    if not parts:
        return main

    def read(values: Values) -> Number | None:
        total = main(values)
        for place, convert, scale in parts:
            part = convert(values[place]) if convert is not None else values[place]
            if total is None or part is None:
                return None
            total += part * scale
        return total

    return read


def _measure(signal: Signal, parameters: Parameters) -> Callable[[Number], tuple[float, float, Reason] | Reason]:
    """From a raw number to (value in the profile's unit, value in the canonical unit, what is to be said of it)."""
    definition = modbus(signal)
    scale, offset, factor, bias = definition.scale, definition.offset, signal.factor, signal.bias
    if not definition.parameters():
        return lambda number: ((value := number * scale + offset), value * factor + bias, OK)
    exponent, unit_from = definition.exponent_from, definition.unit_from
    units = {code: unit(symbol) for code, symbol in unit_from.codes.items()} if unit_from is not None else {}

    def measure(number: Number) -> tuple[float, float, Reason] | Reason:
        reason = OK
        if exponent is not None:
            power = parameters.get(exponent.signal)
            if power is None:
                return Reason.NOT_YET_READ
            reason = Reason.UNIT_CHANGED if parameters.strayed(exponent.signal) else reason
            if abs(power + exponent.offset) > _LARGEST_POWER:
                return Reason.OUT_OF_RANGE
            number = number * 10.0 ** (power + exponent.offset)
        value = number * scale + offset
        if unit_from is None:
            return value, value * factor + bias, reason
        code = parameters.get(unit_from.signal)
        if code is None:
            return Reason.NOT_YET_READ
        given = units.get(code)
        if given is None:
            return Reason.OUT_OF_RANGE
        reason = Reason.UNIT_CHANGED if parameters.strayed(unit_from.signal) else reason
        shown = value * given.factor + given.offset
        return (shown - bias) / factor, shown, reason

    return measure


def _quality(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Callable[[Values], Reason]:
    """The worst of what the status registers of a value say."""
    readers = [_one_quality(binding, around, places) for binding in definition.quality_from]
    if not readers:
        return lambda values: OK
    if len(readers) == 1:
        return readers[0]

    def worst(values: Values) -> Reason:
        return max((reader(values) for reader in readers), key=_severity)

    return worst


def _severity(reason: Reason) -> int:
    return quality_of(reason) * 2 + (reason is not OK)


def _one_quality(binding: QualityFrom, around: Around, places: Mapping[Place, int]) -> Callable[[Values], Reason]:
    read = _main_number(around.source(binding.signal), around, places)
    codes: dict[Number | None, Reason] = dict(binding.codes.items())
    if codes:
        return lambda values: codes.get(read(values), Reason.DEVICE_FAULT)
    flags = [(1 << bit, reason) for bit, reason in binding.bits.items()]

    def worst_set(values: Values) -> Reason:
        word = int(read(values) or 0)
        return max((reason for mask, reason in flags if word & mask), key=_severity, default=OK)

    return worst_set


def _result_time(
    definition: ModbusSignal, around: Around, places: Mapping[Place, int]
) -> Callable[[Values, bytes], float | None] | None:
    """What reads the time of a result; it gives ``None`` for no time, and for one that the device calls bad."""
    if definition.time_from is None:
        return None
    source = around.source(definition.time_from)
    place, encoding, order, zone = raw_slice(source, around), source.type, source.order, around.zone
    if not source.quality_from:
        return lambda values, data: read_time(encoding, data[place], order, zone)
    quality = _quality(source, around, places)

    def read(values: Values, data: bytes) -> float | None:
        if quality_of(quality(values)) is Quality.BAD:
            return None
        return read_time(encoding, data[place], order, zone)

    return read


def as_held(encoding: Encoding, number: float) -> float:
    """A sentinel as its registers hold it: a float32 has -99.9 only nearly."""
    if encoding is not Encoding.FLOAT32 or not abs(number) <= FLOAT32_MAX:
        return number
    held: float = struct.unpack(">f", struct.pack(">f", number))[0]
    return held


def _in(number: Number | None, invalid: frozenset[float]) -> bool:
    # As a double: the sentinel of a uint64 is none either.
    return number is not None and float(number) in invalid


def _judged(
    value: float | str | bool, reason: Reason, received: float, raw: bytes, source_time: float | None = None
) -> Sample:
    quality = quality_of(reason)
    return Sample(None if quality is Quality.BAD else value, quality, reason, received, source_time, raw)
