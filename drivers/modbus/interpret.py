"""What some registers may mean: every type and byte order at every place, and which of them are likely.

A reading is likely when few random bytes would read like it: a float of sane size, digits in every half byte, a date
near now, words. What the instrument's display shows tells more (``displayed``).
"""

import math
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from config.encoding import BY_REGISTER, FLOATS, NUMBERS, REGISTERS, TIMES, Encoding, Order
from drivers.modbus.codec import STRUCT_LETTER, Number, byte_order, converter, read_text, read_time

NEAR_S: Final = 2 * 86400.0
"""A time that is so near to now is hardly one by chance; clocks of instruments are off by more than hours."""
YEAR_S: Final = 366 * 86400.0
SHORTEST_TEXT: Final = 4
"""Printable characters in a row that chance gives too often: three of any bytes are printable in one of twenty."""
LIKELY: Final = 0.7
POSSIBLE: Final = 0.35
"""From these scores on a reading is called likely, possible."""
STEADY_STEP: Final = 0.1
"""Relative: a process value moves by less than this from one reading to the next."""

Value = float | int | str


class Interpretation(NamedTuple):
    """The registers from ``offset`` on, read as ``type`` in ``order``. ``score`` 0 to 1, ``why`` it is so."""

    offset: int
    type: Encoding
    order: Order
    registers: int
    value: Value
    score: float
    why: str

    @property
    def verdict(self) -> Literal["likely", "possible", "unlikely"]:
        """The score in a word."""
        return "likely" if self.score >= LIKELY else "possible" if self.score >= POSSIBLE else "unlikely"


# -- every reading ---------------------------------------------------------------------------------------------------


def interpretations(data: bytes, now: float, zone: tzinfo = UTC) -> list[Interpretation]:
    """Every reading of whole registers, the likeliest first. ``now`` in seconds UTC; ``zone`` of the device's clock.

    Readings that differ in their order only and come out the same are given once.
    """
    found = [*_numbers(data, now, zone), *_texts(data)]
    return sorted(found, key=lambda one: (-one.score, one.offset, one.registers))


def _numbers(data: bytes, now: float, zone: tzinfo) -> Iterator[Interpretation]:
    count = len(data) // 2
    for offset in range(count):
        for encoding in (*NUMBERS_IN_ORDER, *TIMES_IN_ORDER):
            registers = REGISTERS[encoding]
            if offset + registers > count:
                continue
            raw = data[2 * offset : 2 * (offset + registers)]
            seen: set[Value] = set()
            for order in orders(encoding):
                value = read(encoding, order, raw, zone)
                if value is None or value in seen:
                    continue
                seen.add(value)
                score, why = _plausible(encoding, order, value, raw, now)
                yield Interpretation(offset, encoding, order, registers, value, score, why)


NUMBERS_IN_ORDER: Final = tuple(encoding for encoding in Encoding if encoding in NUMBERS)
TIMES_IN_ORDER: Final = tuple(encoding for encoding in Encoding if encoding in TIMES)


def orders(encoding: Encoding) -> Sequence[Order]:
    """The byte orders that differ for an encoding."""
    if encoding in BY_REGISTER:
        return (Order.ABCD, Order.BADC)
    return (Order.ABCD, Order.DCBA) if REGISTERS[encoding] == 1 else tuple(Order)


def read(encoding: Encoding, order: Order, raw: bytes, zone: tzinfo = UTC) -> Value | None:
    """The registers ``raw`` as a number or a time (seconds UTC); ``None`` when they are none."""
    if encoding in TIMES:
        return read_time(encoding, raw, order, zone)
    plain = bytes(raw[place] for place in byte_order(order, len(raw)))
    [number] = struct.unpack(">" + STRUCT_LETTER[encoding], plain)
    convert = converter(encoding)
    value: Number | None = convert(number) if convert is not None else number
    return None if value is None or (encoding in FLOATS and math.isnan(value)) else value


def _texts(data: bytes) -> Iterator[Interpretation]:
    """The longest runs of characters, in both orders of the bytes of a register."""
    count = len(data) // 2
    for order in (Order.ABCD, Order.BADC):
        swapped = order is Order.BADC
        begin = 0
        while begin < count:
            end = begin
            while end < count and _printable(data[2 * end : 2 * end + 2], swapped=swapped):
                end += 1
            text = read_text(data[2 * begin : 2 * end], order, "ascii") if end > begin else None
            if text is not None and len(text) >= SHORTEST_TEXT and sum(c.isalnum() for c in text) >= SHORTEST_TEXT - 1:
                score = min(0.45 + 0.05 * len(text), 0.95) - (0.03 if swapped else 0.0)
                yield Interpretation(begin, Encoding.STRING, order, end - begin, text, score, "printable characters")
            begin = end + 1


def _printable(register: bytes, *, swapped: bool) -> bool:
    first, second = register[::-1] if swapped else register
    # A NUL ends a text, and may fill up its last register.
    return 32 <= first < 127 and (32 <= second < 127 or second == 0)


# -- how likely it is ------------------------------------------------------------------------------------------------

_ORDER_WEIGHT: Final = {Order.ABCD: 1.0, Order.CDAB: 0.98, Order.BADC: 0.95, Order.DCBA: 0.96}


def _plausible(encoding: Encoding, order: Order, value: Value, raw: bytes, now: float) -> tuple[float, str]:
    assert not isinstance(value, str)
    if encoding in TIMES:
        score, why = _plausible_time(encoding, float(value), now)
    elif not any(raw):
        score, why = 0.1, "all zeros say nothing"
    elif raw == b"\xff" * len(raw):
        score, why = 0.1, "all ones: often 'no value'"
    elif encoding in FLOATS:
        score, why = _plausible_float(encoding, float(value))
    else:
        score, why = _plausible_integer(encoding, order, int(value), raw)
    return score * _ORDER_WEIGHT[order], why


def _plausible_time(encoding: Encoding, value: float, now: float) -> tuple[float, str]:
    apart = abs(value - now)
    if apart <= NEAR_S:
        return 0.98, "a time within two days of now"
    if apart <= YEAR_S:
        return (0.3 if encoding is Encoding.UNIX_TIME else 0.55), "a time within a year of now"
    return (0.05 if encoding is Encoding.UNIX_TIME else 0.2), "a valid time, far from now"


def _plausible_float(encoding: Encoding, value: float) -> tuple[float, str]:
    size = abs(value)
    bonus = 0.1 if encoding is Encoding.FLOAT64 else 0.0
    if not math.isfinite(value):
        return 0.05, "infinite"
    if value == 0 or size < 1e-9:
        return 0.05, "nearly zero: most bytes read so as a float"
    if 1e-3 <= size < 1e7:
        short = digits_of(encoding, value) <= (6 if encoding is Encoding.FLOAT32 else 10)
        score = 0.78 + bonus + (0.1 if short else 0.0) - (0.1 if value < 0 else 0.0)
        return score, "a float of sane size" + (" with few digits" if short else "")
    if 1e-6 <= size < 1e10:
        return 0.4 + bonus, "a float of unusual size"
    return 0.05, "a float of odd size"


def _plausible_integer(encoding: Encoding, order: Order, value: int, raw: bytes) -> tuple[float, str]:
    registers = len(raw) // 2
    if encoding in (Encoding.INT16, Encoding.INT32, Encoding.INT64):
        if value >= 0:
            return 0.02, "the same without a sign"
        return (0.35, "a small negative number") if value > -(10 ** (2 + registers)) else (0.05, "a large negative one")
    if encoding in (Encoding.SM16, Encoding.SM32):
        if value >= 0:
            return 0.02, "the same without a sign"
        return (0.3, "small, with a sign bit") if value > -(10 ** (2 + registers)) else (0.05, "large, with a sign bit")
    if encoding in (Encoding.BCD16, Encoding.BCD32, Encoding.BCD64):
        if value < 10 ** (2 * registers):
            return 0.1, "digits only, but few"
        return {1: 0.3, 2: 0.55, 4: 0.75}[registers], "a decimal digit in every half byte"
    if registers == 1:
        if order is Order.DCBA:
            return (0.3 if raw[1] == 0 else 0.15), "low byte first is rare in one register"
        return (0.5 if value < 20_000 else 0.36), "any register is a whole number"
    if value < 1 << 16 * (registers - 1):
        return 0.25, "the upper register is zero"
    if value < 10**7 or (registers == 4 and value < 10**14):
        return 0.6, "a whole number of sane size"
    return (0.3 if value < 10**9 else 0.05), "a large whole number"


def digits_of(encoding: Encoding, value: float) -> int:
    """Decimal digits that are needed to write a float so that it is read back the same."""
    letter = STRUCT_LETTER[encoding]
    try:
        held = struct.pack(">" + letter, value)
        for digits in range(1, 18):
            if struct.pack(">" + letter, float(f"{value:.{digits}g}")) == held:
                return digits
    except OverflowError:
        return 18
    return 18


def order_differs(part: Interpretation, order: Order) -> bool:
    """True when a part stands in another byte order than the value it belongs to."""
    if part.registers == 1:
        # Of one register only the order of its two bytes counts.
        return (part.order is Order.DCBA) is not (order in (Order.DCBA, Order.BADC))
    return part.order is not order


# -- how it moves ----------------------------------------------------------------------------------------------------

Movement = Literal["still", "rises", "smooth", "jumps"]


def movement(values: Sequence[float]) -> Movement:
    """How a reading behaves over time: a total rises, a process value moves smoothly, a wrong reading jumps."""
    steps = [after - before for before, after in pairwise(values)]
    if not any(steps):
        return "still"
    largest = max(abs(value) for value in values)
    if not math.isfinite(largest) or any(abs(step) > STEADY_STEP * largest for step in steps):
        return "jumps"
    return "rises" if min(steps) >= 0 and len(steps) > 1 else "smooth"
