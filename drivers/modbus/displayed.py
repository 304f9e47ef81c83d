"""Which reading of some registers shows what stands on the instrument's display.

Every reading is tried that could: as it stands, shifted by powers of ten, in another unit, as a whole number with its
decimals beside it. The rank of a match is how many decimal digits of the display it explains, less what choosing it
cost.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from config.encoding import FLOATS, INTEGERS, NUMBERS, Encoding, Order
from config.units import unit, units_of
from drivers.modbus.interpret import Interpretation, Value, digits_of, order_differs

DEFAULT_TOLERANCE: Final = 0.02
"""Relative: a process moves between the look at the display and the reading."""
MOST_SHOWN_DIGITS: Final = 8
SMALLEST_SHOWN: Final = 1e-12
LARGEST_SHOWN: Final = 1e18
"""What a display of some digits can show in any unit; beyond it powers of ten leave what a computer counts with."""
MOST_DECIMALS: Final = 18
_SHOWN: Final = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(\S*)\s*")
NEAR_PAIR: Final = 4
"""Registers between a whole number and its decimals, at most."""


class Displayed(NamedTuple):
    """What stands on the instrument's display: ``decimals`` behind its point, and its unit ("" if not said).

    ``1.5E3`` has -2 decimals: its last digit stands for hundreds.
    """

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


def displayed(text: str, tolerance: float = DEFAULT_TOLERANCE) -> Displayed:
    """Reads ``25.0``, ``1.6e-5`` or ``42.75m³/h``. Raises ``ValueError`` that says what was expected."""
    match = _SHOWN.fullmatch(text.replace("\N{MINUS SIGN}", "-"))
    if match is None:
        raise ValueError("a number, or a number with its unit: '42.75 m3/h'")
    number, symbol = match[1], match[2]
    value = float(number)
    if not math.isfinite(value) or value == 0:
        raise ValueError("a finite number other than 0: zeros stand everywhere")
    if not SMALLEST_SHOWN <= abs(value) <= LARGEST_SHOWN:
        raise ValueError(f"a number of a size that instruments show ({SMALLEST_SHOWN:g} to {LARGEST_SHOWN:g})")
    exponent = Decimal(number).as_tuple().exponent
    assert isinstance(exponent, int)
    return Displayed(value, min(-exponent, MOST_DECIMALS), unit(symbol).symbol if symbol else "", tolerance)


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
    # Of those that explain as much the nearest to the display.
    return sorted(
        best.values(), key=lambda one: (-round(one.rank, 1), abs(one.value - shown.value), one.reading.offset)
    )


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
            if one.type in INTEGERS and scale * factor >= 1 and shown.decimals > 0:
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
