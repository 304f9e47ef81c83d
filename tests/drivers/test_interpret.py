"""What registers may mean: golden bytes of real instruments, in every type and order."""

import math
import struct
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.encoding import Encoding, Order
from config.modbus_signal import ModbusSignal
from drivers.modbus.codec import byte_order
from drivers.modbus.interpret import Interpretation, interpretations, movement, read
from drivers.modbus.profile_line import yaml_of

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


@settings(max_examples=60)
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
