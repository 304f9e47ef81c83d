"""What registers may mean: golden bytes of real instruments, and the promise that a right reading is found."""

import math
import struct
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.encoding import Encoding, Order
from config.profile import ModbusSignal
from drivers.modbus.codec import byte_order
from drivers.modbus.interpret import (
    Interpretation,
    Match,
    displayed,
    explained,
    interpretations,
    matches,
    movement,
    orders,
    read,
    yaml_line,
    yaml_of,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
LETTER = {
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
    Encoding.UINT32: "I",
    Encoding.UINT64: "Q",
    Encoding.UINT16: "H",
}


def laid(encoding: Encoding, order: Order, value: float) -> bytes:
    """A value as an instrument of that byte order lays it into its registers."""
    plain = struct.pack(">" + LETTER[encoding], value)
    wire = bytearray(len(plain))
    for place, byte in zip(byte_order(order, len(plain)), plain, strict=True):
        wire[place] = byte
    return bytes(wire)


def best(data: str) -> Interpretation:
    return interpretations(bytes.fromhex(data), NOW)[0]


def first(data: str, expect: str) -> Match:
    return matches(interpretations(bytes.fromhex(data), NOW), displayed(expect))[0]


@pytest.mark.parametrize(
    ("data", "place", "value"),
    [
        ("41 C8 00 00", (0, "float32", "ABCD"), 25.0),
        ("00 00 41 C8", (0, "float32", "CDAB"), 25.0),
        ("00 00 8D 41", (0, "float32", "DCBA"), 17.625),
        ("72 37 41 DB", (0, "float32", "CDAB"), 27.430768966674805),
        ("40 FE 24 0C 9F BE 76 C9", (0, "float64", "ABCD"), 123456.789),
        ("53 4E 31 32 33 34 35 00", (0, "string", "ABCD"), "SN12345"),
        ("4E 53 32 31 34 33 00 35", (0, "string", "BADC"), "SN12345"),
        ("26 11 24 12 05 09", (0, "bcd-time", "ABCD"), datetime(2026, 11, 24, 12, 5, 9, tzinfo=UTC).timestamp()),
        ("07 EA 00 0B 00 18 00 0C 00 05 00 09", (0, "ymdhms-time", "ABCD"), NOW + 309),
        (f"{int(NOW):08X}", (0, "unix-time", "ABCD"), NOW),
    ],
)
def test_bytes_of_real_instruments_read_as_what_they_are(data: str, place: tuple[object, ...], value: object) -> None:
    found = best(data)
    assert (found.offset, found.type, found.order) == place
    assert found.value == value
    assert found.verdict == "likely"


def test_every_type_stands_at_every_place_it_fits_into() -> None:
    found = interpretations(bytes(range(1, 11)), NOW)
    assert {one.offset for one in found if one.type is Encoding.FLOAT64} == {0, 1}
    assert {one.order for one in found if one.type is Encoding.UINT32 and one.offset == 3} == set(Order)
    assert [one.order for one in found if one.type is Encoding.UINT16 and one.offset == 4] == [Order.ABCD, Order.DCBA]


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


@pytest.mark.parametrize("text", ["", "wide", "0", "0.0 m3/h", "inf", "25 furlongs", "nan"])
def test_what_cannot_stand_on_a_display_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|unit"):
        displayed(text)


def test_a_display_hides_what_is_behind_its_last_digit() -> None:
    assert displayed("25.0", 0.0).window == pytest.approx(0.05)
    assert displayed("25.0", 0.02).window == pytest.approx(0.5)
    assert explained(25.04, displayed("25.0")) == explained(25.0, displayed("25.0"))
    assert explained(25.3, displayed("25.0")) < explained(25.0, displayed("25.0"))


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ([3.0], "still"),
        ([3.0, 3.0, 3.0], "still"),
        ([40.0, 40.5, 41.0, 41.2], "rises"),
        ([40.0, 40.5, 39.9, 40.2], "smooth"),
        ([40.0, -3e9, 2.0], "jumps"),
        ([40.0, math.inf, 40.0], "jumps"),
        ([0.0, 5.0, 10.0], "jumps"),
    ],
)
def test_how_a_reading_moves(values: list[float], how: str) -> None:
    assert movement(values) == how


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=2, max_size=40).filter(lambda data: len(data) % 2 == 0))
def test_any_bytes_are_read_without_an_error_and_every_line_is_a_signal(data: bytes) -> None:
    found = interpretations(data, NOW)
    assert all(0 <= one.score <= 1 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found[:8]:
        ModbusSignal.model_validate(yaml.safe_load(yaml_of("x", "input", 7, one))["x"])


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False), order=st.sampled_from(list(Order)))
def test_a_float_is_read_back_from_its_registers(value: float, order: Order) -> None:
    assert read(Encoding.FLOAT32, order, laid(Encoding.FLOAT32, order, value)) == value
