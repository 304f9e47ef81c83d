"""Units: what may be written in a site file or profile, and the one unit in which each kind is computed.

A signal is declared in the unit that stands on its instrument and converted once, when it is decoded; from
there on every quantity of a kind has the same unit. Limits and settings are written as text with a unit
(``8 NTU``, ``2.5 s``) and a unit of another kind is refused when the file is loaded.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit by its symbol: ``canonical = written * factor + offset``, both of one ``kind``."""

    symbol: str
    kind: str
    factor: float = 1.0
    offset: float = 0.0


CANONICAL: Final[dict[str, str]] = {
    "time": "s",
    "flow": "m3/h",
    "volume": "m3",
    "length": "m",
    "speed": "m/s",
    "pressure": "bar",
    "temperature": "degC",
    "concentration": "mg/L",
    "turbidity": "NTU",
    "acidity": "pH",
    "conductivity": "uS/cm",
    "ratio": "%",
    "frequency": "Hz",
    "power": "kW",
    "energy": "kWh",
    "current": "A",
    "potential": "mV",
    "resistance": "Ohm",
    "rotation": "rpm",
    "torque": "Nm",
    "count": "1",
}
"""The unit in which each kind is computed, stored and sent."""

_UNITS: Final[dict[str, Unit]] = {
    unit.symbol: unit
    for unit in (
        Unit("s", "time"),
        Unit("ms", "time", 1e-3),
        Unit("min", "time", 60.0),
        Unit("h", "time", 3600.0),
        Unit("d", "time", 86400.0),
        Unit("m3/h", "flow"),
        Unit("m3/s", "flow", 3600.0),
        Unit("m3/min", "flow", 60.0),
        Unit("m3/d", "flow", 1 / 24),
        Unit("L/s", "flow", 3.6),
        Unit("L/min", "flow", 0.06),
        Unit("L/h", "flow", 1e-3),
        Unit("m3", "volume"),
        Unit("L", "volume", 1e-3),
        Unit("mm3", "volume", 1e-9),
        Unit("m", "length"),
        Unit("cm", "length", 1e-2),
        Unit("mm", "length", 1e-3),
        Unit("m/s", "speed"),
        Unit("bar", "pressure"),
        Unit("kPa", "pressure", 1e-2),
        Unit("MPa", "pressure", 10.0),
        Unit("mbar", "pressure", 1e-3),
        Unit("degC", "temperature"),
        Unit("K", "temperature", 1.0, -273.15),
        Unit("degF", "temperature", 5 / 9, -160 / 9),
        Unit("mg/L", "concentration"),
        Unit("ug/L", "concentration", 1e-3),
        Unit("g/L", "concentration", 1e3),
        Unit("NTU", "turbidity"),
        Unit("FNU", "turbidity"),
        Unit("pH", "acidity"),
        Unit("uS/cm", "conductivity"),
        Unit("mS/cm", "conductivity", 1e3),
        Unit("%", "ratio"),
        Unit("Hz", "frequency"),
        Unit("kW", "power"),
        Unit("W", "power", 1e-3),
        Unit("MW", "power", 1e3),
        Unit("MJ/h", "power", 1 / 3.6),
        Unit("GJ/h", "power", 1e3 / 3.6),
        Unit("kWh", "energy"),
        Unit("MWh", "energy", 1e3),
        Unit("MJ", "energy", 1 / 3.6),
        Unit("GJ", "energy", 1e3 / 3.6),
        Unit("A", "current"),
        Unit("mA", "current", 1e-3),
        Unit("mV", "potential"),
        Unit("V", "potential", 1e3),
        Unit("Ohm", "resistance"),
        Unit("kOhm", "resistance", 1e3),
        Unit("rpm", "rotation"),
        Unit("Nm", "torque"),
        Unit("1", "count"),
    )
}

_ALIASES: Final[dict[str, str]] = {
    "°C": "degC",
    "°F": "degF",
    "\N{GREEK SMALL LETTER MU}S/cm": "uS/cm",
    "\N{GREEK SMALL LETTER MU}g/L": "ug/L",
    "\N{GREEK CAPITAL LETTER OMEGA}": "Ohm",
    "k\N{GREEK CAPITAL LETTER OMEGA}": "kOhm",
    "l": "L",
    "l/s": "L/s",
    "l/min": "L/min",
    "l/h": "L/h",
    "mg/l": "mg/L",
    "g/l": "g/L",
    "立方米": "m3",
    "立方米/小时": "m3/h",
    "立方米/时": "m3/h",
    "升": "L",
    "升/秒": "L/s",
    "升/分": "L/min",
    "毫克/升": "mg/L",
}
"""Other spellings, in the compatibility form of Unicode (NFKC), in which ``m³`` is ``m3`` and ``℃`` is ``°C``."""
_QUANTITY: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")


def unit(symbol: str) -> Unit:
    """The unit of a symbol. Raises ``ValueError`` that lists the known symbols for an unknown one."""
    spelt = unicodedata.normalize("NFKC", symbol)
    known = _UNITS.get(_ALIASES.get(spelt, spelt))
    if known is None:
        raise ValueError(f"a known unit ({', '.join(_UNITS)})")
    return known


def symbols() -> list[str]:
    """The symbols of all known units."""
    return list(_UNITS)


def units_of(kind: str) -> list[Unit]:
    """Every unit of a kind of quantity."""
    return [unit for unit in _UNITS.values() if unit.kind == kind]


def kind_of(symbol: str) -> str:
    """The kind of quantity that a unit measures. Raises ``ValueError`` like ``unit``."""
    return unit(symbol).kind


def canonical_unit(symbol: str) -> str:
    """The unit in which values declared in ``symbol`` are computed: ``L/s`` -> ``m3/h``."""
    return CANONICAL[unit(symbol).kind]


def difference(text: object, kind: str) -> float:
    """Reads how far two quantities are apart: ``1 K`` is 1 degC. Raises ``ValueError`` like ``quantity``."""
    return quantity(text, kind) - unit(str(text).split()[-1]).offset


def quantity(text: object, kind: str) -> float:
    """Reads ``"2.5 min"`` as a number in the canonical unit of ``kind``.

    A count may be a bare number. Raises ``ValueError`` whose text says what was expected.
    """
    expected = f"a {kind} with its unit, such as '5 {CANONICAL[kind]}'"
    match = _QUANTITY.fullmatch(str(text)) if isinstance(text, str | int | float) else None
    if match is None or isinstance(text, bool):
        raise ValueError(expected)
    number, symbol = float(match[1]), match[2]
    if kind == "count" and not symbol:
        return number
    if not symbol:
        raise ValueError(expected)
    written = unit(symbol)
    if written.kind != kind:
        raise ValueError(f"{expected} ('{symbol}' is a unit of {written.kind})")
    value = number * written.factor + written.offset
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return value
