"""The reading that shows what the display shows, whatever stands around it."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.encoding import Encoding, Order
from config.modbus_signal import ModbusSignal
from drivers.modbus.displayed import Match, displayed, explained, matches
from drivers.modbus.interpret import interpretations, orders
from drivers.modbus.profile_line import yaml_line
from tests.drivers.test_interpret import NOW, laid


def first(data: str, expect: str) -> Match:
    return matches(interpretations(bytes.fromhex(data), NOW), displayed(expect))[0]


@pytest.mark.parametrize(
    ("data", "expect", "line"),
    [
        ("41 C8 00 00", "25.0", "{table: holding, address: 100, type: float32}"),
        ("66 66 41 C9", "25.2 m3/h", "{table: holding, address: 100, type: float32, order: CDAB, unit: m3/h}"),
        ("00 00 00 FB", "25.1 degC", "{table: holding, address: 101, type: uint16, scale: 0.1, unit: degC}"),
        ("FF F0 12 34", "-1.6", "{table: holding, address: 100, type: int16, scale: 0.1}"),
        ("80 10 12 34", "-16", "{table: holding, address: 100, type: sm16}"),
        ("00 01 23 45", "12345", "{table: holding, address: 100, type: bcd32}"),
        ("41 50 00 00", "46.8 m3/h", "{table: holding, address: 100, type: float32, unit: L/s}"),
        ("41 50 00 00", "46.8", "{table: holding, address: 100, type: float32, scale: 3.6}"),
        ("00 00 0F 3E", "3.902 m", "{table: holding, address: 101, type: uint16, scale: 0.001, unit: m}"),
        (
            "AB 8F 00 00 00 52",
            "43919.082 m3",
            "{table: holding, address: 100, type: uint32, order: CDAB, unit: m3, "
            "fraction: {address: 102, type: uint16, scale: 0.001}}",
        ),
        (
            "00 01 E2 40 3F 49 FB E7",
            "123456.789 m3",
            "{table: holding, address: 100, type: uint32, unit: m3, fraction: {address: 102, type: float32}}",
        ),
    ],
)
def test_what_the_display_shows_leads_to_the_line_of_the_profile(data: str, expect: str, line: str) -> None:
    written = yaml_line("x", "holding", 100, first(data, expect))
    assert written == f"x: {line}"
    ModbusSignal.model_validate(yaml.safe_load(written)["x"])


def test_a_reading_that_is_not_there_is_not_found() -> None:
    assert matches(interpretations(bytes.fromhex("41 C8 00 00"), NOW), displayed("77.7 m3/h")) == []


def test_a_better_match_comes_first_and_says_how() -> None:
    shifted = first("00 00 00 FB", "25.1")
    assert shifted.why == "times 0.1"
    ratio = first("41 50 00 00", "46.8 m3/h")
    assert ratio.why == "in L/s"
    assert ratio.value == pytest.approx(46.8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wide",
        "0",
        "0.0 m3/h",
        "inf",
        "25 furlongs",
        "nan",
        "1e-320",
        "1e400",
        "1e-99999999999999999999",
        "²",
        "1_0",
    ],
)
def test_what_cannot_stand_on_a_display_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|unit"):
        displayed(text)


@pytest.mark.parametrize(
    ("text", "decimals", "window"),
    [("1e-5", 5, 0.5e-5), ("1.60E-5", 7, 0.5e-7), ("1.5e3", -2, 50.0), ("25.00", 2, 0.005), ("-1.6", 1, 0.05)],
)
def test_an_exponent_says_where_the_last_digit_stands(text: str, decimals: int, window: float) -> None:
    shown = displayed(text, 0.0)
    assert shown.decimals == decimals
    assert shown.window == pytest.approx(window)


def test_a_small_number_is_not_found_among_zeros_and_large_ones() -> None:
    assert matches(interpretations(bytes.fromhex("00 00 41 C8 00 00 3E 80"), NOW), displayed("1.0e-5")) == []
    assert first("37 27 C5 AC", "1.0e-5").reading.type is Encoding.FLOAT32


def test_more_digits_than_any_display_has_are_no_error() -> None:
    assert matches(interpretations(bytes.fromhex("41 C8 00 00"), NOW), displayed("25." + "0" * 500))


@pytest.mark.parametrize(
    ("text", "value", "symbol"),
    [
        ("42.75m3/h", 42.75, "m3/h"),
        ("42.75m³/h", 42.75, "m3/h"),
        ("42.75 ㎥/h", 42.75, "m3/h"),
        ("42.75 立方米/小时", 42.75, "m3/h"),
        ("25.1℃", 25.1, "degC"),
        ("25.1 °C", 25.1, "degC"),
        ("4e3 µS/cm", 4000.0, "uS/cm"),
        ("4e3 μS/cm", 4000.0, "uS/cm"),
        ("50%", 50.0, "%"),
        ("−1.6 ℃", -1.6, "degC"),
        ("12.5\N{IDEOGRAPHIC SPACE}m3", 12.5, "m3"),
    ],
)
def test_a_unit_may_be_spelt_as_displays_and_people_do(text: str, value: float, symbol: str) -> None:
    shown = displayed(text)
    assert (shown.value, shown.unit) == (value, symbol)


def test_a_display_hides_what_is_behind_its_last_digit() -> None:
    assert displayed("25.0", 0.0).window == pytest.approx(0.05)
    assert displayed("25.0", 0.02).window == pytest.approx(0.5)
    assert explained(25.04, displayed("25.0")) == explained(25.0, displayed("25.0"))
    assert explained(25.3, displayed("25.0")) < explained(25.0, displayed("25.0"))


@settings(max_examples=150)
@given(
    encoding=st.sampled_from([Encoding.FLOAT32, Encoding.FLOAT64, Encoding.UINT32, Encoding.UINT16]),
    order=st.sampled_from(list(Order)),
    hundredths=st.integers(1_000, 6_000_000),
    before=st.binary(max_size=6).filter(lambda data: len(data) % 2 == 0),
    behind=st.binary(max_size=6).filter(lambda data: len(data) % 2 == 0),
)
def test_whatever_surrounds_it_a_displayed_value_is_among_the_matches(
    encoding: Encoding, order: Order, hundredths: int, before: bytes, behind: bytes
) -> None:
    if encoding is Encoding.UINT16:
        hundredths %= 65_000
        hundredths += 100
    if order not in orders(encoding):
        order = Order.ABCD
    shown = displayed(f"{hundredths / 100:.2f}", 0.0)
    raw = hundredths / 100 if encoding in (Encoding.FLOAT32, Encoding.FLOAT64) else hundredths
    data = before + laid(encoding, order, raw) + behind
    found = matches(interpretations(data, NOW), shown)
    values = [(hit.reading.offset, hit.reading.type, hit.value) for hit in found if hit.fraction is None]
    assert any(
        offset == len(before) // 2 and kind is encoding and value == pytest.approx(hundredths / 100, rel=1e-6)
        for offset, kind, value in values
    )
