"""The decoder of a block: all registers of one reply to samples, compiled once per read.

A plain number costs one comparison and one multiplication more than its Sample; whatever else a profile asks (status
words, parts, units, words) is a small function of its own (``decoder``).
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from math import isfinite
from operator import add, itemgetter, le, mul
from typing import Final, NamedTuple

from config.encoding import BIT_TABLES, FLOATS, Encoding
from config.modbus_signal import ModbusSignal
from config.sample import Sample
from config.signals import Signal
from drivers.modbus.codec import Number, converter
from drivers.modbus.decoder import (
    FLOAT32_MAX,
    GOOD,
    OK,
    Around,
    Decode,
    as_held,
    decoder,
    main_place,
    modbus,
    needs,
    number_decoder,
    raw_slice,
    total,
)
from drivers.modbus.layout import Place, Values, compile_layout

_new = tuple.__new__
"""Makes a Sample without its constructor in Python: half the cost."""
_SAMPLE: Final = repeat(Sample)
_GOOD: Final = repeat(GOOD)
_OK: Final = repeat(OK)
_NONE: Final = repeat(None)
_ROUNDING: Final = 1e-12
"""Relative: what a few operations on doubles can be off by."""
_WIDEST: Final = 1e150
"""Scaled numbers below this cannot overflow on their way to the canonical unit."""


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
        self._unpack, places = compile_layout(place for signal in numbers for place in needs(modbus(signal), around))
        plain: list[tuple[Signal, _Plain]] = []
        others: list[tuple[Signal, Decode]] = []
        for signal in signals:
            simple = _plain(signal, around, places)
            if simple is not None:
                plain.append((signal, simple))
            else:
                others.append((signal, decoder(signal, around, places)))
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


class TornTotals(NamedTuple):
    """The totals of a block whose parts the device does not change at once.

    ``signals``: their indices; ``read`` gives the raw numbers; ``units``: by how much each moves with a larger part.
    """

    signals: frozenset[int]
    read: Callable[[bytes], tuple[Number | None, ...]]
    units: tuple[float, ...]


def torn_totals(signals: tuple[Signal, ...], around: Around) -> TornTotals | None:
    """The totals of a block that may be read while they are being changed; ``None`` when it has none."""
    torn = [signal for signal in signals if any(not part.latched for part in modbus(signal).parts)]
    if not torn:
        return None
    unpack, places = compile_layout(place for signal in torn for place in needs(modbus(signal), around))
    readers = [total(modbus(signal), around, places) for signal in torn]

    def read(data: bytes) -> tuple[Number | None, ...]:
        values = unpack(data)
        return tuple(reader(values) for reader in readers)

    units = tuple(1.0 if modbus(signal).fraction else modbus(signal).parts[0].scale for signal in torn)
    return TornTotals(frozenset(signal.index for signal in torn), read, units)


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
        held = as_held(definition.type, invalid)
        # A sentinel at one end is cut off; one in the middle needs the long way.
        if held == high:
            high = math.nextafter(high, -math.inf)
        elif held == low:
            low = math.nextafter(low, math.inf)
        elif low <= held <= high:
            return None
    return _Plain(
        place=places[main_place(definition, around)],
        low=low,
        high=high,
        finite=definition.type is Encoding.FLOAT32 and (low, high) == _raw_bounds(definition) and high > FLOAT32_MAX,
        scale=definition.scale * signal.factor,
        bias=definition.offset * signal.factor + signal.bias,
        raw=raw_slice(definition, around),
        exact=number_decoder(signal, around, places),
    )


def _raw_bounds(definition: ModbusSignal) -> tuple[float, float]:
    """Raw numbers that are in range beyond doubt; what lies between these and the range is judged exactly."""
    low, high = definition.range if definition.range is not None else (-_WIDEST, _WIDEST)
    shift = definition.offset / definition.scale
    low, high = sorted((low / definition.scale - shift, high / definition.scale - shift))
    return low + (abs(low) + abs(shift)) * _ROUNDING, high - (abs(high) + abs(shift)) * _ROUNDING
