"""The encoder against vendor examples and against a second, plainer encoder written here with ``struct``."""

import math
import struct
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.encoding import Encoding, Order, Table
from config.profile import ModbusSignal, Part
from config.sample import Value
from config.signals import Signal
from config.units import canonical_unit, unit
from hil_sim.errors import SimulatorError
from hil_sim.registers import Field, Span, compile_field

SHANGHAI = ZoneInfo("Asia/Shanghai")
LETTERS = {
    Encoding.UINT16: "H",
    Encoding.INT16: "h",
    Encoding.UINT32: "I",
    Encoding.INT32: "i",
    Encoding.UINT64: "Q",
    Encoding.INT64: "q",
    Encoding.FLOAT32: "f",
    Encoding.FLOAT64: "d",
}


def field_of(definition: ModbusSignal, base: int = 0) -> Field:
    """A field as ``config.signals`` would describe its signal."""
    measured = unit(definition.unit)
    signal = Signal(
        0, "D-1.x", "D-1", "x", "bus", definition.kind, canonical_unit(definition.unit), measured.factor,
        measured.offset, 1.0, 3.0, False, "normal", 0.0, definition.writable, definition,
    )  # fmt: skip
    return compile_field(signal, base, SHANGHAI)


def holding(kind: Encoding, order: Order = Order.ABCD, **more: object) -> Field:
    return field_of(
        ModbusSignal.model_validate({"table": "holding", "address": 0, "type": kind, "order": order, **more})
    )


def swapped(big_endian: bytes, order: Order) -> bytes:
    """Bytes A B C D ... as ``order`` puts them on the wire: letters are looked up, not reversed."""
    count = len(big_endian) // 2
    if order in (Order.ABCD, Order.BADC):
        registers = [big_endian[2 * i : 2 * i + 2] for i in range(count)]
    else:
        registers = [big_endian[2 * i : 2 * i + 2] for i in reversed(range(count))]
    if order in (Order.BADC, Order.DCBA):
        registers = [bytes((r[1], r[0])) for r in registers]
    return b"".join(registers)


@pytest.mark.parametrize(
    ("wire", "order", "value"),
    [
        ("00 00 8D 41", Order.DCBA, 17.625),
        ("33 33 F3 40", Order.DCBA, 7.6),
        ("85 EB D1 C0", Order.DCBA, -6.56),
        ("72 37 41 DB", Order.CDAB, 27.4308),
        ("41 8D 00 00", Order.ABCD, 17.625),
        ("8D 41 00 00", Order.BADC, 17.625),
    ],
)
def test_golden_vectors_of_the_field_notes(wire: str, order: Order, value: float) -> None:
    field, expected = holding(Encoding.FLOAT32, order), bytes.fromhex(wire)
    (data,) = field.encode(value)
    # The notes give rounded numbers: the float32 nearest to them may differ in the last bits.
    assert field.decode((data,)) == pytest.approx(field.decode((expected,)), rel=1e-5)
    assert field.decode((expected,)) == pytest.approx(value, rel=1e-5)
    if value in (17.625, 7.6, -6.56):
        assert data == expected


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("kind", list(LETTERS))
@given(data=st.data())
def test_every_encoding_in_every_order(kind: Encoding, order: Order, data: st.DataObject) -> None:
    letter = LETTERS[kind]
    size = struct.calcsize(f">{letter}")
    number: float
    if letter in "fd":
        number = data.draw(st.floats(allow_nan=False, width=32 if letter == "f" else 64))
    else:
        low, high = (0, 256**size - 1) if letter.isupper() else (-(256**size) // 2, 256**size // 2 - 1)
        number = data.draw(st.integers(low, high))
    big_endian = struct.pack(f">{letter}", number)
    expected = swapped(big_endian, order) if size > 2 else big_endian
    field = holding(kind, order)
    assert field.encode(number) == (expected,)
    assert field.decode((expected,)) == number


@given(st.floats(-1e9, 1e9))
def test_numbers_beyond_the_range_stay_at_its_end(number: float) -> None:
    assert holding(Encoding.INT16).encode(number) == (struct.pack(">h", max(-32768, min(32767, round(number)))),)
    assert holding(Encoding.UINT16).encode(number) == (struct.pack(">H", max(0, min(65535, round(number)))),)


@pytest.mark.parametrize("number", [math.inf, -math.inf, 1e300, -1e300])
def test_infinity_and_the_very_large_fit_every_integer(number: float) -> None:
    assert holding(Encoding.INT16).encode(number) == (b"\x7f\xff" if number > 0 else b"\x80\x00",)
    (data,) = holding(Encoding.FLOAT32).encode(number)
    assert len(data) == 4


@given(st.floats(-100, 100))
def test_scale_offset_and_unit_are_undone(value: float) -> None:
    field = holding(Encoding.INT32, scale=0.01, offset=-5.0, unit="L/s")
    (data,) = field.encode(value)
    raw = struct.unpack(">i", data)[0]
    assert (raw * 0.01 - 5.0) * 3.6 == pytest.approx(value, abs=0.005 * 3.6 + 1e-9)
    assert field.decode((data,)) == pytest.approx(value, abs=0.005 * 3.6 + 1e-9)


def test_a_unit_with_an_offset_is_undone() -> None:
    (data,) = holding(Encoding.UINT16, scale=0.01, unit="K").encode(20.0)
    assert struct.unpack(">H", data) == (29315,)


@given(st.floats(-1e6, 1e6), st.sampled_from(list(Order)))
def test_composite_total_is_whole_and_decimals(total: float, order: Order) -> None:
    fraction = Part(address=5, type=Encoding.FLOAT32)
    field = holding(Encoding.INT32, order, unit="m3", fraction=fraction)
    assert field.spans == (Span(0, 2), Span(5, 2))
    whole, decimals = field.encode(total)
    first = struct.unpack(">i", swapped(whole, order))[0]
    second = struct.unpack(">f", swapped(decimals, order))[0]
    assert first == math.trunc(total)
    assert -1 < second < 1
    assert first + second == pytest.approx(total, abs=1e-6)
    assert field.decode((whole, decimals)) == first + second


def test_counted_decimals_never_make_a_whole_unit() -> None:
    fraction = Part(address=2, type=Encoding.UINT16, scale=0.001)
    whole, decimals = holding(Encoding.UINT32, unit="m3", fraction=fraction).encode(41.99999)
    assert (int.from_bytes(whole, "big"), int.from_bytes(decimals, "big")) == (41, 999)


def test_clock_is_local_bcd() -> None:
    field = holding(Encoding.BCD_TIME)
    assert field.encode(1_795_477_061.9) == (bytes.fromhex("261124073741"),)
    assert field.decode((bytes.fromhex("261124073741"),)) == 1_795_477_061
    assert field.encode(None) == (bytes(6),)
    assert field.decode((bytes(6),)) is None


def test_no_value_is_the_profiles_or_not_a_number() -> None:
    assert holding(Encoding.UINT16, invalid=(65535,)).encode(None) == (b"\xff\xff",)
    (data,) = holding(Encoding.FLOAT32).encode(None)
    assert math.isnan(struct.unpack(">f", data)[0])
    with pytest.raises(ValueError, match="NaN"):
        holding(Encoding.INT16).encode(math.nan)


def test_base_one_is_taken_off_the_address() -> None:
    definition = ModbusSignal(table=Table.HOLDING, address=40, fraction=Part(address=42))
    assert field_of(definition, base=1).spans == (Span(39, 1), Span(41, 2))


def test_a_value_past_the_last_register_is_refused() -> None:
    with pytest.raises(SimulatorError, match="65535"):
        field_of(ModbusSignal(table=Table.HOLDING, address=65535, type=Encoding.FLOAT32))


@pytest.mark.parametrize("value", [True, False])
def test_a_bit_is_a_bit(value: Value) -> None:
    field = field_of(ModbusSignal(table=Table.COIL, address=3, type=Encoding.BOOL))
    assert field.is_bool
    assert field.decode(field.encode(value)) is value
