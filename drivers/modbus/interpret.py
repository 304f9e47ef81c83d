"""What some registers may mean: every type and byte order at every place, and which of them are likely.

Without a known value a reading is likely when few random bytes would read like it: a float of sane size, digits in
every half byte, a date near now, words. With a value from the instrument's display every reading is tried that could
show it: as it stands, shifted by powers of ten, in another unit, as a whole number with its decimals beside it. The
rank of a match is how many decimal digits of the display it explains, less what choosing it cost.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from config.encoding import BY_REGISTER, FLOATS, INTEGERS, NUMBERS, REGISTERS, TIMES, Encoding, Order
from config.units import unit, units_of
from drivers.modbus.codec import STRUCT_LETTER, Number, byte_order, converter, read_text, read_time

NEAR_S: Final = 2 * 86400.0
"""A time that is so near to now is hardly one by chance; clocks of instruments are off by more than hours."""
YEAR_S: Final = 366 * 86400.0
SHORTEST_TEXT: Final = 4
"""Printable characters in a row that chance gives too often: three of any bytes are printable in one of twenty."""
LIKELY: Final = 0.7
POSSIBLE: Final = 0.35
"""From these scores on a reading is called likely, possible."""
DEFAULT_TOLERANCE: Final = 0.02
"""Relative: a process moves between the look at the display and the reading."""
MOST_SHOWN_DIGITS: Final = 8
NEAR_PAIR: Final = 4
"""Registers between a whole number and its decimals, at most."""
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


class Displayed(NamedTuple):
    """What stands on the instrument's display: ``decimals`` behind its point, and its unit ("" if not said)."""

    value: float
    decimals: int
    unit: str
    tolerance: float

    @property
    def window(self) -> float:
        """How far off a reading may be: what the display hides, or what the process may have moved."""
        return max(self.tolerance * abs(self.value), 0.5000001 * 10.0**-self.decimals)


class Fraction(NamedTuple):
    """Decimals in registers of their own, behind a whole number."""

    reading: Interpretation
    scale: float


@dataclass(frozen=True, slots=True)
class Match:
    """A reading that shows what the display shows: ``reading`` (and ``fraction``) times ``scale`` in ``unit``.

    ``value`` is in the display's unit; ``rank``, in decimal digits: the higher, the less likely by chance.
    """

    reading: Interpretation
    scale: float
    unit: str
    fraction: Fraction | None
    value: float
    rank: float
    why: str


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


# -- with a value from the display -----------------------------------------------------------------------------------


def displayed(text: str, tolerance: float = DEFAULT_TOLERANCE) -> Displayed:
    """Reads ``25.0`` or ``42.75 m3/h``. Raises ``ValueError`` that says what was expected."""
    number, _, symbol = text.strip().partition(" ")
    symbol = symbol.strip()
    try:
        value = float(number)
    except ValueError:
        raise ValueError("a number, or a number with its unit: '42.75 m3/h'") from None
    if not math.isfinite(value) or value == 0:
        raise ValueError("a finite number other than 0: zeros stand everywhere")
    decimals = len(number.partition(".")[2]) if "e" not in number.lower() else 0
    return Displayed(value, decimals, unit(symbol).symbol if symbol else "", tolerance)


def matches(found: Iterable[Interpretation], shown: Displayed) -> list[Match]:
    """The readings that show what the display shows, best first; of each registers and type the best way only."""
    numbers = [one for one in found if one.type in NUMBERS and _finite(one.value) and not _same_unsigned(one)]
    every = [match for one in numbers for match in _as_shown(one, shown)]
    every += _pairs(numbers, shown)
    best: dict[tuple[object, ...], Match] = {}
    for match in every:
        fraction = match.fraction.reading[:3] if match.fraction is not None else None
        # A total with its decimals is the same in one register as in two of which the upper is zero.
        key = (*match.reading[:3], None) if fraction is None else (match.reading.offset, match.value, fraction)
        if key not in best or match.rank > best[key].rank:
            best[key] = match
    return sorted(best.values(), key=lambda match: (-match.rank, match.reading.offset))


def _same_unsigned(one: Interpretation) -> bool:
    """A number with room for a sign and none: its registers read the same without."""
    return one.type in _SIGNED and not isinstance(one.value, str) and one.value >= 0


_SIGNED: Final = frozenset({Encoding.INT16, Encoding.INT32, Encoding.INT64, Encoding.SM16, Encoding.SM32})


def _finite(value: Value) -> bool:
    return not isinstance(value, str) and math.isfinite(value)


_SCALES: Final = (1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6, 10.0, 100.0, 1000.0)
_USUAL_SCALES: Final = frozenset({0.1, 0.01, 0.001})
_RATIOS: Final = {
    3.6: "L/s where the display shows m3/h, or m/s and km/h",
    1 / 3.6: "m3/h where the display shows L/s",
    60.0: "per minute where the display shows per hour",
    1 / 60.0: "per hour where the display shows per minute",
    3600.0: "per second where the display shows per hour",
    1 / 3600.0: "per hour where the display shows per second",
}
"""Where the display's unit is not given: what its figure may be of the one in the registers."""
_TYPE_COST: Final = {
    Encoding.SM16: 0.6,
    Encoding.SM32: 0.6,
    Encoding.BCD16: 0.3,
    Encoding.BCD32: 0.3,
    Encoding.BCD64: 0.3,
    Encoding.INT16: 0.05,
    Encoding.INT32: 0.05,
    Encoding.INT64: 0.15,
    Encoding.UINT64: 0.1,
}
"""In decimal digits: what is rare must explain more. A number without a sign is first taken as unsigned."""
_ORDER_COST: Final = {Order.ABCD: 0.0, Order.CDAB: 0.05, Order.DCBA: 0.1, Order.BADC: 0.12}
_UNIT_COST: Final = 0.9


def _as_shown(one: Interpretation, shown: Displayed) -> Iterator[Match]:
    """The ways in which one reading alone shows it."""
    assert not isinstance(one.value, str)
    base = -_TYPE_COST.get(one.type, 0.0) - _ORDER_COST[one.order] - _one_register_cost(one) - _width_cost(one, shown)
    for symbol, factor, offset, said in _units(shown):
        for scale in _SCALES:
            value = one.value * scale * factor + offset
            if abs(value - shown.value) > shown.window:
                continue
            rank = explained(value, shown) + base + _scale_gain(one.type, scale) - (_UNIT_COST if said else 0.0)
            rank += _few_digits(one)
            if one.type in INTEGERS and scale * factor >= 1 and shown.decimals:
                rank -= 2.0 * min(shown.decimals, 2) / 2
            how = [f"times {scale:g}"] if scale != 1 else []
            how += [said] if said else []
            yield Match(one, _scale(scale, factor, symbol), symbol, None, value, rank, ", ".join(how) or "as it stands")


def _one_register_cost(one: Interpretation) -> float:
    return 0.5 if one.registers == 1 and one.order is Order.DCBA else 0.0


def _few_digits(one: Interpretation) -> float:
    """A float that was rounded to a few decimals is rarely one by chance; a measured one has all its digits."""
    if one.type not in FLOATS:
        return 0.0
    most = 7 if one.type is Encoding.FLOAT32 else 16
    return min(0.6 * max(most - digits_of(one.type, float(one.value)), 0), _MOST_FOR_FEW_DIGITS)


_MOST_FOR_FEW_DIGITS: Final = 1.5


def _width_cost(one: Interpretation, shown: Displayed) -> float:
    """A number that would fit one register is taken for one, but a total for one that has room to grow."""
    if one.type not in INTEGERS or not isinstance(one.value, int) or abs(one.value) > 0xFFFF:
        return 0.0
    grows = shown.unit and unit(shown.unit).kind in ("volume", "energy")
    return 0.2 if (one.registers == 1) is bool(grows) else 0.0


def _scale(scale: float, factor: float, symbol: str) -> float:
    """What the profile's scale must be: a ratio between units that have no names is a part of it."""
    return scale if symbol else scale * factor


def _units(shown: Displayed) -> Iterator[tuple[str, float, float, str]]:
    """Units that the registers may be in: symbol, and how a value in it becomes one of the display; "" is the same."""
    yield shown.unit, 1.0, 0.0, ""
    if not shown.unit:
        for ratio, said in _RATIOS.items():
            yield "", ratio, 0.0, said
        return
    display = unit(shown.unit)
    for other in units_of(display.kind):
        if other.symbol == display.symbol:
            continue
        factor, offset = other.factor / display.factor, (other.offset - display.offset) / display.factor
        # A power of ten is a scale of the same unit; and another name for the same is the display's.
        if offset == 0 and _is_power_of_ten(factor):
            continue
        yield other.symbol, factor, offset, f"in {other.symbol}"


def _is_power_of_ten(number: float) -> bool:
    exponent = math.log10(number)
    return math.isclose(exponent, round(exponent), abs_tol=1e-9)


def _scale_gain(encoding: Encoding, scale: float) -> float:
    """Of random bytes few are a float of just this size, more a whole number, most one of its shifted forms."""
    if encoding in FLOATS:
        return 1.8 if scale == 1 else 0.4 if scale in _USUAL_SCALES or scale >= 10 else 0.0
    if scale == 1:
        return 1.0
    return 0.2 if scale in _USUAL_SCALES else -0.6


def explained(value: float, shown: Displayed) -> float:
    """How many decimal digits of the display a value agrees with; no more than stand on it."""
    smallest = 0.5 * 10.0**-shown.decimals
    error = max(abs(value - shown.value), smallest) / abs(shown.value)
    return min(-math.log10(error), float(MOST_SHOWN_DIGITS))


def _pairs(numbers: Sequence[Interpretation], shown: Displayed) -> Iterator[Match]:
    """A whole number and its decimals in registers beside it, mostly directly behind."""
    wholes = [one for one in numbers if one.type in _WHOLE and _near(one.value, shown)]
    fractions = list(_fractions(numbers)) if wholes else []
    for whole in wholes:
        for fraction in fractions:
            reading = fraction.reading
            behind = reading.offset - (whole.offset + whole.registers)
            before = whole.offset - (reading.offset + reading.registers)
            if max(behind, before) < 0 or max(behind, before) > NEAR_PAIR:
                continue
            assert not isinstance(whole.value, str)
            assert not isinstance(reading.value, str)
            value = whole.value + reading.value * fraction.scale
            if abs(value - shown.value) > shown.window:
                continue
            rank = explained(value, shown) + 1.0 - 0.4 - _ORDER_COST[whole.order] - _TYPE_COST.get(whole.type, 0.0)
            rank -= 0.3 * max(behind, 0) if behind >= 0 else 0.5 + 0.3 * before
            rank -= (0.3 if order_differs(reading, whole.order) else 0.0) + (0.3 if whole.registers == 1 else 0.0)
            # As many decimals as the display shows is what a maker would give.
            rank += 1.0 if fraction.scale == 1 or math.isclose(fraction.scale, 10.0**-shown.decimals) else 0.0
            better = explained(value, shown) - explained(float(whole.value), shown)
            close = behind == 0 and abs(value - shown.value) < _SAME_TOTAL
            if better < _PAIR_GAIN and not close:
                # Most registers can be read as some decimals: these explain nothing.
                rank -= 2.0
            yield Match(whole, 1.0, shown.unit, fraction, value, rank, "with its decimals beside it")


_WHOLE: Final = INTEGERS - {Encoding.SM16, Encoding.SM32}
_PAIR_GAIN: Final = 0.5
"""Decimal digits that decimals beside a whole number must explain to be believed, unless they stand directly behind."""
_SAME_TOTAL: Final = 0.2
"""A total moves by less than this between the look at the display and the reading."""


def _near(value: Value, shown: Displayed) -> bool:
    return not isinstance(value, str) and value >= 1 and abs(value - shown.value) <= shown.window + 1


def _fractions(numbers: Sequence[Interpretation]) -> Iterator[Fraction]:
    """What may stand behind a decimal point."""
    for one in numbers:
        assert not isinstance(one.value, str)
        if one.type is Encoding.FLOAT32 and (1e-6 <= one.value < 1):
            yield Fraction(one, 1.0)
        elif one.type is Encoding.UINT16:
            for scale in (0.1, 0.01, 0.001, 1e-4):
                if 0 < one.value * scale < 1:
                    yield Fraction(one, scale)


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


# -- for the profile -------------------------------------------------------------------------------------------------


def yaml_line(name: str, table: str, address: int, match: Match) -> str:
    """The line of a profile's ``signals`` that reads a match; ``address`` of the block's first register."""
    reading = match.reading
    words = [f"table: {table}", *_where(reading, address)]
    words += [f"scale: {_figure(match.scale)}"] if match.scale != 1 else []
    words += [f"unit: {_quoted(match.unit)}"] if match.unit else []
    if match.fraction is not None:
        part = match.fraction
        order = f", order: {part.reading.order}" if order_differs(part.reading, reading.order) else ""
        scale = f", scale: {_figure(part.scale)}" if part.scale != 1 else ""
        where = f"address: {address + part.reading.offset}, type: {part.reading.type}{order}{scale}"
        words.append(f"fraction: {{{where}}}")
    return f"{name}: {{{', '.join(words)}}}"


def yaml_of(name: str, table: str, address: int, reading: Interpretation) -> str:
    """The line of a profile's ``signals`` for a reading as it stands."""
    words = [f"table: {table}", *_where(reading, address)]
    if reading.type is Encoding.STRING:
        words.append(f"length: {reading.registers}")
    return f"{name}: {{{', '.join(words)}}}"


def _where(reading: Interpretation, address: int) -> list[str]:
    order = [f"order: {reading.order}"] if reading.order is not Order.ABCD else []
    return [f"address: {address + reading.offset}", f"type: {reading.type}", *order]


def order_differs(part: Interpretation, order: Order) -> bool:
    """True when a part stands in another byte order than the value it belongs to."""
    if part.registers == 1:
        # Of one register only the order of its two bytes counts.
        return (part.order is Order.DCBA) is not (order in (Order.DCBA, Order.BADC))
    return part.order is not order


def _quoted(symbol: str) -> str:
    return f'"{symbol}"' if symbol in ("%", "1") else symbol


def _figure(number: float) -> str:
    return f"{number:.10g}"
