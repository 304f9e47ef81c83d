"""Units: one canonical unit per kind, converted there and back without loss, and never mixed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import _UNITS, CANONICAL, Unit, canonical_unit, quantity, unit

UNITS = sorted(_UNITS.values(), key=lambda known: known.symbol)
units = st.sampled_from(UNITS)
numbers = st.floats(-1e9, 1e9)


@given(units, numbers)
def test_a_quantity_is_what_its_unit_makes_of_it(written: Unit, number: float) -> None:
    value = quantity(f"{number!r} {written.symbol}", written.kind)
    assert value == pytest.approx(number * written.factor + written.offset, rel=1e-12)


@given(units, units, numbers)
def test_the_same_quantity_in_another_unit_of_its_kind_is_the_same(one: Unit, other: Unit, number: float) -> None:
    if one.kind != other.kind:
        with pytest.raises(ValueError, match=one.kind):
            quantity(f"{number!r} {other.symbol}", one.kind)
        return
    value = quantity(f"{number!r} {one.symbol}", one.kind)
    elsewhere = (value - other.offset) / other.factor
    assert quantity(f"{elsewhere!r} {other.symbol}", one.kind) == pytest.approx(value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("written", UNITS, ids=lambda known: known.symbol)
def test_every_unit_leads_to_a_canonical_one_that_converts_to_itself(written: Unit) -> None:
    canonical = unit(canonical_unit(written.symbol))
    assert (canonical.kind, canonical.factor, canonical.offset) == (written.kind, 1.0, 0.0)
    assert CANONICAL[written.kind] == canonical.symbol


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("2.5 min", "time", 150.0),
        ("100 ms", "time", 0.1),
        ("1 L/s", "flow", 3.6),
        ("24 m3/d", "flow", 1.0),
        ("2 m3/min", "flow", 120.0),
        ("8 L", "volume", 0.008),
        ("50 mm", "length", 0.05),
        ("0.1 MPa", "pressure", 1.0),
        ("293.15 K", "temperature", 20.0),
        ("1.5 g/L", "concentration", 1500.0),
        ("1 mS/cm", "conductivity", 1000.0),
        ("7 FNU", "turbidity", 7.0),
        ("212 degF", "temperature", 100.0),
        ("50 mbar", "pressure", 0.05),
        ("20 kΩ", "resistance", 20000.0),
        ("3.6 GJ", "energy", 1000.0),
        ("3.6 MJ/h", "power", 1.0),
        ("1450 rpm", "rotation", 1450.0),
        ("60 m³/h", "flow", 60.0),
        ("20 °C", "temperature", 20.0),
        ("-1e3 mV", "potential", -1000.0),
        (".5 s", "time", 0.5),
        ("5s", "time", 5.0),
        (3, "count", 3.0),
    ],
)
def test_quantities_as_people_write_them(text: object, kind: str, value: float) -> None:
    assert quantity(text, kind) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["5", 5, "5 bar", "bar", "5 bar bar", "five s", "", None, True, "nan s", "inf s", "1e999 s", "5,5 s", [5]]
)
def test_anything_else_is_refused_with_what_was_expected(text: object) -> None:
    with pytest.raises(ValueError, match=r"such as '5 s'|finite"):
        quantity(text, "time")


def test_an_unknown_unit_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="m3/h"):
        unit("furlong")


@given(st.text(max_size=12))
def test_no_text_gives_anything_but_a_finite_number_or_a_refusal(text: str) -> None:
    try:
        assert math.isfinite(quantity(text, "flow"))
    except ValueError:
        pass
