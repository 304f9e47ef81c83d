"""The decoder of a block: all registers of one reply to samples, compiled once per read.

A plain number costs one comparison and one multiplication more than its Sample; whatever else a profile asks (status
words, parts, units, words) is a small function of its own. A value that cannot be a measurement never becomes one: a
NaN, an infinity, a sentinel, a value outside its range, a broken BCD digit, a code that is not listed.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from itertools import repeat
from math import isfinite
from operator import add, itemgetter, le, mul
from typing import Final, NamedTuple

from config.encoding import BIT_TABLES, FLOATS, TIMES, Encoding
from config.profile import ModbusSignal, QualityFrom
from config.sample import Quality, Reason, Sample, bad, quality_of
from config.signals import Signal
from config.units import unit
from drivers.modbus.codec import Number, converter, read_text, read_time
from drivers.modbus.layout import Place, Values, compile_layout, place_of
from drivers.modbus.parameters import Parameters

Decode = Callable[[Values, bytes, float], Sample]
"""Makes a sample of the unpacked numbers, the bytes of the block, and when it was received."""
Read = Callable[[Values], Number | None]
"""Takes one number out of the unpacked ones; ``None`` when it is none."""

_new = tuple.__new__
"""Makes a Sample without its constructor in Python: half the cost."""
_SAMPLE: Final = repeat(Sample)
GOOD: Final = Quality.GOOD
OK: Final = Reason.OK
_GOOD: Final = repeat(GOOD)
_OK: Final = repeat(OK)
_NONE: Final = repeat(None)
_FLOAT32_MAX: Final = (2 - 2**-23) * 2.0**127
_ROUNDING: Final = 1e-12
"""Relative: what a few operations on doubles can be off by."""
_LARGEST_POWER: Final = 18
"""Of ten, either way. What an exponent register holds beyond that is none: a register that is not there, or garbage."""
_WIDEST: Final = 1e150
"""Scaled numbers below this cannot overflow on their way to the canonical unit."""


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


class _Plain(NamedTuple):
    """A number without bindings: from ``low`` to ``high`` (raw) it is good, any other ``exact`` judges.

    ``finite``: every finite number lies between them.
    """

    place: int
    low: float
    high: float
    finite: bool
    scale: float
    bias: float
    raw: slice
    exact: Decode


class Block:
    """Decodes the data of one reply. ``signals``: the indices of the samples, in their order.

    The plain numbers of a block are handled column by column in C; only when one of them is out of its bounds, each is
    looked at by itself.
    """

    def __init__(self, signals: tuple[Signal, ...], around: Around) -> None:
        numbers = [signal for signal in signals if modbus(signal).table not in BIT_TABLES]
        needs = [place for signal in numbers for place in _needs(modbus(signal), around)]
        self._unpack, places = compile_layout(needs)
        plain: list[tuple[Signal, _Plain]] = []
        others: list[tuple[Signal, Decode]] = []
        for signal in signals:
            simple = _plain(signal, around, places)
            if simple is not None:
                plain.append((signal, simple))
            else:
                others.append((signal, _decoder(signal, around, places)))
        plain.sort(key=lambda pair: pair[1].place)
        # A code is read before what it says how to read: the unit of this very reply counts.
        others.sort(key=lambda pair: pair[0].field not in around.needed)
        self._plain = tuple(simple for _, simple in plain)
        self._others = tuple(decode for _, decode in others)
        self._pick = _picker([simple.place for simple in self._plain], len(places))
        self._raws = _cutter([simple.raw for simple in self._plain])
        self._within = _bounds_check(self._plain)
        self._scales = tuple(simple.scale for simple in self._plain)
        self._biases = tuple(simple.bias for simple in self._plain)
        self._biased = any(self._biases)
        # A float that is neither scaled nor shifted is the sample's value as it stands.
        floats = all(modbus(signal).type in FLOATS for signal, _ in plain)
        self._as_read = floats and not self._biased and set(self._scales) <= {1.0}
        self.signals = tuple(signal.index for signal, _ in (*plain, *others))

    def decode(self, data: bytes, received: float) -> list[Sample]:
        """The samples of a reply's data; ``received`` on the loop's clock."""
        values = self._unpack(data)
        numbers = self._pick(values)
        if self._within(numbers):
            shown = numbers if self._as_read else map(mul, numbers, self._scales)
            if self._biased:
                shown = map(add, shown, self._biases)
            columns = zip(shown, _GOOD, _OK, repeat(received), _NONE, self._raws(data), strict=False)
            samples = list(map(_new, _SAMPLE, columns))
        else:
            samples = [plain.exact(values, data, received) for plain in self._plain]
        for decode in self._others:
            samples.append(decode(values, data, received))
        return samples


def _bounds_check(plain: tuple[_Plain, ...]) -> Callable[[Values], bool]:
    """What tells that every number is within its bounds; a NaN is not."""
    lows, highs = tuple(one.low for one in plain), tuple(one.high for one in plain)
    if all(one.finite for one in plain):
        # A hundred float32 cannot overflow a double: their sum is finite when, and only when, each of them is.
        return lambda numbers: isfinite(sum(numbers))
    return lambda numbers: all(map(le, lows, numbers)) and all(map(le, numbers, highs))


def _cutter(slices: list[slice]) -> Callable[[bytes], Iterable[bytes]]:
    """What cuts the bytes of each number out of a block."""
    layout, at = ">", 0
    for part in slices:
        if part.start < at:
            return lambda data: map(data.__getitem__, slices)
        layout += f"{part.start - at}x{part.stop - part.start}s"
        at = part.stop
    return struct.Struct(layout).unpack_from


def _picker(places: list[int], count: int) -> Callable[[Values], Values]:
    """What takes the numbers at ``places`` out of ``count`` unpacked ones."""
    if places == list(range(count)):
        return lambda values: values
    if len(places) == 1:
        [place] = places
        return lambda values: (values[place],)
    return itemgetter(*places) if places else lambda values: ()


def modbus(signal: Signal) -> ModbusSignal:
    """The definition of a signal that stands in registers."""
    assert isinstance(signal.definition, ModbusSignal)
    return signal.definition


def whole_parts(signals: tuple[Signal, ...], around: Around) -> Callable[[bytes], tuple[Number | None, ...]] | None:
    """What reads the totals whose parts the device does not change at once: (whole, total) of each, one by one.

    ``None`` when the block has no such total.
    """
    torn = [modbus(signal) for signal in signals if any(not part.latched for part in modbus(signal).parts)]
    if not torn:
        return None
    unpack, places = compile_layout(place for definition in torn for place in _needs(definition, around))
    readers = [
        reader
        for definition in torn
        for reader in (_main(definition, around, places), _sum(definition, around, places))
    ]

    def read(data: bytes) -> tuple[Number | None, ...]:
        values = unpack(data)
        return tuple(reader(values) for reader in readers)

    return read


# -- where numbers stand ---------------------------------------------------------------------------------------------


def _main_place(definition: ModbusSignal, around: Around) -> Place:
    encoding = Encoding.UINT16 if definition.type is Encoding.BOOL else definition.type
    return place_of(around.at(definition.address), encoding, definition.order)


def _part_places(definition: ModbusSignal, around: Around) -> list[Place]:
    return [place_of(around.at(part.address), part.type, part.order or definition.order) for part in definition.parts]


def _needs(definition: ModbusSignal, around: Around) -> list[Place]:
    """The places of every number that a signal is decoded from."""
    if definition.type is Encoding.STRING or definition.type in TIMES:
        return []
    sources = [around.source(binding.signal) for binding in definition.quality_from]
    return [
        _main_place(definition, around),
        *_part_places(definition, around),
        *(_main_place(source, around) for source in sources),
    ]


def _raw_slice(definition: ModbusSignal, around: Around) -> slice:
    at = around.at(definition.address)
    return slice(at, at + 2 * definition.registers)


# -- plain numbers ---------------------------------------------------------------------------------------------------


def _plain(signal: Signal, around: Around, places: Mapping[Place, int]) -> _Plain | None:
    """The short way of a signal, if it has one: a number as it stands, whose sentinels lie outside its bounds."""
    definition = modbus(signal)
    bound = (*definition.together(), *definition.parameters(), *definition.parts)
    if bound or definition.bits or signal.kind != "number" or definition.table in BIT_TABLES:
        return None
    if converter(definition.type) is not None or signal.field in around.needed:
        return None
    low, high = _raw_bounds(definition)
    for invalid in definition.invalid:
        held = _as_held(definition.type, invalid)
        # A sentinel at one end is cut off; one in the middle needs the long way.
        if held == high:
            high = math.nextafter(high, -math.inf)
        elif held == low:
            low = math.nextafter(low, math.inf)
        elif low <= held <= high:
            return None
    return _Plain(
        place=places[_main_place(definition, around)],
        low=low,
        high=high,
        finite=definition.type is Encoding.FLOAT32 and (low, high) == _raw_bounds(definition) and high > _FLOAT32_MAX,
        scale=definition.scale * signal.factor,
        bias=definition.offset * signal.factor + signal.bias,
        raw=_raw_slice(definition, around),
        exact=_number_decoder(signal, around, places),
    )


def _raw_bounds(definition: ModbusSignal) -> tuple[float, float]:
    """Raw numbers that are in range beyond doubt; what lies between these and the range is judged exactly."""
    low, high = definition.range if definition.range is not None else (-_WIDEST, _WIDEST)
    shift = definition.offset / definition.scale
    low, high = sorted((low / definition.scale - shift, high / definition.scale - shift))
    return low + (abs(low) + abs(shift)) * _ROUNDING, high - (abs(high) + abs(shift)) * _ROUNDING


# -- everything else -------------------------------------------------------------------------------------------------


def _decoder(signal: Signal, around: Around, places: Mapping[Place, int]) -> Decode:
    definition = modbus(signal)
    if definition.table in BIT_TABLES:
        return _bit_decoder(definition.address - around.base - around.start)
    if definition.type is Encoding.STRING:
        return _text_decoder(definition, around)
    if definition.type in TIMES:
        return _time_decoder(definition, around)
    if definition.type is Encoding.BOOL:
        return _register_bit_decoder(definition, around, places)
    if definition.enum or definition.switch is not None:
        return _code_decoder(signal, around, places)
    return _number_decoder(signal, around, places)


def _bit_decoder(offset: int) -> Decode:
    byte, mask = offset >> 3, 1 << (offset & 7)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        return Sample(bool(data[byte] & mask), GOOD, OK, received, None, data[byte : byte + 1])

    return decode


def _register_bit_decoder(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Decode:
    assert definition.bit is not None
    place, mask, raw = places[_main_place(definition, around)], 1 << definition.bit, _raw_slice(definition, around)
    quality = _quality(definition, around, places)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        word = values[place]
        assert isinstance(word, int)
        return _judged(bool(word & mask), quality(values), received, data[raw])

    return decode


def _text_decoder(definition: ModbusSignal, around: Around) -> Decode:
    place, order, charset = _raw_slice(definition, around), definition.order, definition.charset

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw = data[place]
        text = read_text(raw, order, charset)
        return bad(Reason.NOT_A_NUMBER, received, raw) if text is None else _good(text, received, raw)

    return decode


def _time_decoder(definition: ModbusSignal, around: Around) -> Decode:
    place, encoding, order, zone = _raw_slice(definition, around), definition.type, definition.order, around.zone

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw = data[place]
        utc = read_time(encoding, raw, order, zone)
        return bad(Reason.NOT_A_NUMBER, received, raw) if utc is None else _good(utc, received, raw)

    return decode


def _code_decoder(signal: Signal, around: Around, places: Mapping[Place, int]) -> Decode:
    """A whole number that stands for a word, or for on and off. One that is not listed has no value."""
    definition = modbus(signal)
    read, raw_place = _main(definition, around, places), _raw_slice(definition, around)
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


def _number_decoder(signal: Signal, around: Around, places: Mapping[Place, int]) -> Decode:
    definition = modbus(signal)
    raw_place = _raw_slice(definition, around)
    read = _sum(definition, around, places)
    quality = _quality(definition, around, places)
    measure = _measure(signal, around.parameters)
    read_result_time = _result_time(definition, around)
    invalid = frozenset(_as_held(definition.type, number) for number in definition.invalid)
    main = _main(definition, around, places)
    keep = around.parameters.note if signal.field in around.needed else None
    low, high = definition.range if definition.range is not None else (-math.inf, math.inf)

    def decode(values: Values, data: bytes, received: float) -> Sample:
        raw, number = data[raw_place], read(values)
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
            source_time = read_result_time(data)
            if source_time is None:
                return bad(Reason.NOT_A_NUMBER, received, raw)
        return _judged(shown, unit_reason if reason is OK else reason, received, raw, source_time)

    return decode


def _main(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Read:
    """What stands at the signal's own address."""
    place, convert = places[_main_place(definition, around)], converter(definition.type)
    if definition.bits is not None:
        shift, mask = definition.bits[0], (1 << (definition.bits[1] - definition.bits[0] + 1)) - 1
        return lambda values: int(values[place]) >> shift & mask
    if convert is not None:
        return lambda values: convert(values[place])
    return lambda values: values[place]


def _sum(definition: ModbusSignal, around: Around, places: Mapping[Place, int]) -> Read:
    """The raw number with its parts."""
    main = _main(definition, around, places)
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
    read = _main(around.source(binding.signal), around, places)
    codes: dict[Number | None, Reason] = dict(binding.codes.items())
    if codes:
        return lambda values: codes.get(read(values), Reason.DEVICE_FAULT)
    flags = [(1 << bit, reason) for bit, reason in binding.bits.items()]

    def worst_set(values: Values) -> Reason:
        word = int(read(values) or 0)
        return max((reason for mask, reason in flags if word & mask), key=_severity, default=OK)

    return worst_set


def _result_time(definition: ModbusSignal, around: Around) -> Callable[[bytes], float | None] | None:
    if definition.time_from is None:
        return None
    source = around.source(definition.time_from)
    place, encoding, order, zone = _raw_slice(source, around), source.type, source.order, around.zone
    return lambda data: read_time(encoding, data[place], order, zone)


def _as_held(encoding: Encoding, number: float) -> float:
    """A sentinel as its registers hold it: a float32 has -99.9 only nearly."""
    if encoding is not Encoding.FLOAT32 or not abs(number) <= _FLOAT32_MAX:
        return number
    held: float = struct.unpack(">f", struct.pack(">f", number))[0]
    return held


def _in(number: Number | None, invalid: frozenset[float]) -> bool:
    # As a double: the sentinel of a uint64 is none either.
    return number is not None and float(number) in invalid


def _good(value: float | str | bool, received: float, raw: bytes) -> Sample:
    return Sample(value, GOOD, OK, received, None, raw)


def _judged(
    value: float | str | bool, reason: Reason, received: float, raw: bytes, source_time: float | None = None
) -> Sample:
    quality = quality_of(reason)
    return Sample(None if quality is Quality.BAD else value, quality, reason, received, source_time, raw)
