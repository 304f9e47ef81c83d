"""What raw values mean: scale, unit, parts, codes, roll-over, against vendor examples and plain arithmetic."""

import math
import struct
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.encoding import Encoding, Order, Table
from config.modbus_signal import ModbusSignal, Part
from config.sample import Value
from config.signals import Signal
from config.units import canonical_unit, unit
from hil_sim.errors import SimulatorError
from hil_sim.registers import Field, Span, compile_field
from tests.hil_sim.test_encodings import swapped

SHANGHAI = ZoneInfo("Asia/Shanghai")


def field_of(definition: ModbusSignal, base: int = 0) -> Field:
    """A field as ``config.signals`` would describe its signal."""
    measured = unit(definition.unit)
    signal = Signal(
        0, "D-1.x", "D-1", "x", "bus", definition.kind, canonical_unit(definition.unit), measured.factor,
        measured.offset, 1.0, 3.0, False, "normal", 0.0, definition.rollover, definition.writable, definition,
    )  # fmt: skip
    return compile_field(signal, base, SHANGHAI)


def holding(kind: Encoding, order: Order = Order.ABCD, **more: object) -> Field:
    return field_of(
        ModbusSignal.model_validate({"table": "holding", "address": 0, "type": kind, "order": order, **more})
    )


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
    (data,) = field.encode(value, ())
    # The notes give rounded numbers: the float32 nearest to them may differ in the last bits.
    assert field.decode((data,), ()) == pytest.approx(field.decode((expected,), ()), rel=1e-5)
    assert field.decode((expected,), ()) == pytest.approx(value, rel=1e-5)
    if value in (17.625, 7.6, -6.56):
        assert data == expected


@given(st.floats(-1e9, 1e9))
def test_numbers_beyond_the_range_stay_at_its_end(number: float) -> None:
    assert holding(Encoding.INT16).encode(number, ()) == (struct.pack(">h", max(-32768, min(32767, round(number)))),)
    assert holding(Encoding.UINT16).encode(number, ()) == (struct.pack(">H", max(0, min(65535, round(number)))),)


@pytest.mark.parametrize("number", [math.inf, -math.inf, 1e300, -1e300])
def test_infinity_and_the_very_large_fit_every_integer(number: float) -> None:
    assert holding(Encoding.INT16).encode(number, ()) == (b"\x7f\xff" if number > 0 else b"\x80\x00",)
    (data,) = holding(Encoding.FLOAT32).encode(number, ())
    assert len(data) == 4


@given(st.floats(-100, 100))
def test_scale_offset_and_unit_are_undone(value: float) -> None:
    field = holding(Encoding.INT32, scale=0.01, offset=-5.0, unit="L/s")
    (data,) = field.encode(value, ())
    raw = struct.unpack(">i", data)[0]
    assert (raw * 0.01 - 5.0) * 3.6 == pytest.approx(value, abs=0.005 * 3.6 + 1e-9)
    assert field.decode((data,), ()) == pytest.approx(value, abs=0.005 * 3.6 + 1e-9)


def test_a_unit_with_an_offset_is_undone() -> None:
    (data,) = holding(Encoding.UINT16, scale=0.01, unit="K").encode(20.0, ())
    assert struct.unpack(">H", data) == (29315,)


@given(st.floats(-1e6, 1e6), st.sampled_from(list(Order)))
def test_composite_total_is_whole_and_decimals(total: float, order: Order) -> None:
    fraction = Part(address=5, type=Encoding.FLOAT32)
    field = holding(Encoding.INT32, order, unit="m3", fraction=fraction)
    assert field.spans == (Span(0, 2), Span(5, 2))
    whole, decimals = field.encode(total, ())
    first = struct.unpack(">i", swapped(whole, order))[0]
    second = struct.unpack(">f", swapped(decimals, order))[0]
    assert first == math.trunc(total)
    assert -1 < second < 1
    assert first + second == pytest.approx(total, abs=1e-6)
    assert field.decode((whole, decimals), ()) == first + second


def test_counted_decimals_never_make_a_whole_unit() -> None:
    fraction = Part(address=2, type=Encoding.UINT16, scale=0.001)
    whole, decimals = holding(Encoding.UINT32, unit="m3", fraction=fraction).encode(41.99999, ())
    assert (int.from_bytes(whole, "big"), int.from_bytes(decimals, "big")) == (41, 999)


def test_clock_is_local_bcd() -> None:
    field = holding(Encoding.BCD_TIME)
    assert field.encode(1_795_477_061.9, ()) == (bytes.fromhex("261124073741"),)
    assert field.decode((bytes.fromhex("261124073741"),), ()) == 1_795_477_061
    assert field.encode(None, ()) == (bytes(6),)
    assert field.decode((bytes(6),), ()) is None


def test_no_value_is_the_profiles_or_not_a_number() -> None:
    assert holding(Encoding.UINT16, invalid=(65535,)).encode(None, ()) == (b"\xff\xff",)
    (data,) = holding(Encoding.FLOAT32).encode(None, ())
    assert math.isnan(struct.unpack(">f", data)[0])
    with pytest.raises(ValueError, match="NaN"):
        holding(Encoding.INT16).encode(math.nan, ())


def test_base_one_is_taken_off_the_address() -> None:
    definition = ModbusSignal(table=Table.HOLDING, address=40, fraction=Part(address=42))
    assert field_of(definition, base=1).spans == (Span(39, 1), Span(41, 2))


def test_a_value_past_the_last_register_is_refused() -> None:
    with pytest.raises(SimulatorError, match="65535"):
        field_of(ModbusSignal(table=Table.HOLDING, address=65535, type=Encoding.FLOAT32))


@pytest.mark.parametrize("value", [True, False])
def test_a_bit_is_a_bit(value: Value) -> None:
    field = field_of(ModbusSignal(table=Table.COIL, address=3, type=Encoding.BOOL))
    assert field.decode(field.encode(value, ()), ()) is value


@pytest.mark.parametrize("order", [Order.ABCD, Order.DCBA])
def test_a_bit_of_a_register_is_its_own_and_no_other(order: Order) -> None:
    field = holding(Encoding.BOOL, order, bit=9)
    assert field.mask == swapped(b"\x02\x00", order)
    assert field.encode(True, ()) == (swapped(b"\x02\x00", order),)
    assert field.decode((swapped(b"\xfd\xff", order),), ()) is False


def test_some_bits_of_a_register_are_a_number() -> None:
    field = holding(Encoding.UINT16, bits=(4, 7), scale=0.5, unit="m")
    assert field.mask == b"\x00\xf0"
    assert field.encode(3.5, ()) == (b"\x00\x70",)
    assert field.encode(99.0, ()) == (b"\x00\xf0",)
    assert field.decode((b"\xab\x7c",), ()) == 3.5


def test_an_enum_is_its_first_code_and_reads_every_code() -> None:
    field = holding(Encoding.UINT16, enum={3: "auto", 0: "manual", 7: "auto"}, invalid=(0xFFFF,))
    assert field.encode("auto", ()) == (b"\x00\x03",)
    assert [field.decode((bytes((0, code)),), ()) for code in (0, 3, 7)] == ["manual", "auto", "auto"]
    assert field.encode(None, ()) == (b"\xff\xff",)
    assert field.decode((b"\xff\xff",), ()) is None
    with pytest.raises(ValueError, match="5 is none of"):
        field.decode((b"\x00\x05",), ())
    with pytest.raises(ValueError, match="'closed' is none of"):
        field.encode("closed", ())


def test_an_enum_may_stand_in_some_bits_or_in_any_whole_number() -> None:
    bits = holding(Encoding.UINT16, bits=(8, 9), enum={0: "mm", 1: "cm", 2: "m"})
    assert bits.encode("m", ()) == (b"\x02\x00",)
    assert bits.decode((b"\xfd\xff",), ()) == "cm"
    wide = holding(Encoding.INT32, Order.CDAB, enum={-1: "fault", 70000: "ok"})
    assert wide.encode("fault", ()) == (b"\xff\xff\xff\xff",)
    assert wide.decode((bytes.fromhex("11 70 00 01"),), ()) == "ok"


def test_a_switch_is_written_by_its_first_code_and_reads_every_code() -> None:
    field = holding(Encoding.UINT16, switch={"on": [2, 4], "off": [1, 0]})
    assert field.encode(True, ()) == (b"\x00\x02",)
    assert field.encode(False, ()) == (b"\x00\x01",)
    assert [field.decode((bytes((0, code)),), ()) for code in (0, 1, 2, 4)] == [False, False, True, True]
    with pytest.raises(ValueError, match="3 is none of"):
        field.decode((b"\x00\x03",), ())


def test_a_bcd_number_with_a_digit_above_nine_means_nothing() -> None:
    with pytest.raises(ValueError):
        holding(Encoding.BCD16).decode((b"\x00\x0b",), ())


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x80\x00"])
def test_what_the_profile_calls_invalid_is_no_value(raw: bytes) -> None:
    field = holding(Encoding.INT16, invalid=(-1, -32768))
    assert field.decode((raw,), ()) is None


@given(st.integers(0, 99_999_999_999))
def test_a_carry_counts_what_has_overflowed(total: int) -> None:
    """JUMO Flowtrans: total = carry x 100,000 + value."""
    field = holding(Encoding.UINT32, unit="m3", carry=Part(address=2, type=Encoding.UINT32, scale=100_000))
    value, carry = field.encode(total, ())
    assert (int.from_bytes(carry, "big"), int.from_bytes(value, "big")) == divmod(total, 100_000)
    assert field.decode((value, carry), ()) == total


@given(st.floats(0, 100_000))
def test_a_carry_is_a_whole_number_in_whatever_type(total: float) -> None:
    """A vortex meter: total in two floats, hundreds and remainder."""
    field = holding(Encoding.FLOAT32, unit="m3", carry=Part(address=2, scale=100, order=Order.CDAB))
    rest, hundreds = field.encode(total, ())
    assert struct.unpack(">f", swapped(hundreds, Order.CDAB))[0] == total // 100
    assert 0 <= struct.unpack(">f", rest)[0] <= 100
    assert field.decode((rest, hundreds), ()) == pytest.approx(total, abs=1e-5)


def test_a_rounded_value_overflows_into_its_carry() -> None:
    field = holding(Encoding.UINT32, unit="m3", carry=Part(address=2, type=Encoding.UINT16, scale=100_000))
    assert field.encode(99_999.7, ()) == (bytes(4), b"\x00\x01")


@given(st.floats(-1e6, 1e6))
def test_carry_value_and_fraction_make_one_number(total: float) -> None:
    field = holding(
        Encoding.INT16,
        unit="m3",
        carry=Part(address=1, type=Encoding.INT16, scale=1000),
        fraction=Part(address=2, type=Encoding.INT16, scale=0.001),
    )
    value, carry, fraction = (struct.unpack(">h", data)[0] for data in field.encode(total, ()))
    assert field.spans == (Span(0, 1), Span(1, 1), Span(2, 1))
    assert abs(value) < 1000
    assert abs(fraction) < 1000
    assert carry * 1000 + value + fraction / 1000 == pytest.approx(total, abs=0.0011)
    # What stands behind the decimal point is the nearest, unless that is a whole unit.
    assert field.decode(field.encode(1234.29, ()), ()) == pytest.approx(1234.29)


def test_no_value_with_parts_is_not_a_number_and_zeros() -> None:
    field = holding(Encoding.FLOAT32, unit="m3", carry=Part(address=2, scale=100))
    value, carry = field.encode(None, ())
    assert math.isnan(struct.unpack(">f", value)[0])
    assert not any(carry)
    assert field.decode((value, carry), ()) is None


@pytest.mark.parametrize(("code", "offset", "raw"), [(0, 0, 1234), (2, 0, 12), (0, -3, 1234000), (1, -2, 12340)])
def test_an_exponent_in_another_register_scales_the_number(code: int, offset: int, raw: int) -> None:
    field = holding(Encoding.UINT32, unit="m3", exponent_from={"signal": "power", "offset": offset})
    assert field.parameters == ("power",)
    assert field.encode(1234.0, (code,)) == (raw.to_bytes(4, "big"),)
    assert field.decode((raw.to_bytes(4, "big"),), (code,)) == pytest.approx(raw * 10 ** (code + offset))


def test_an_exponent_counts_for_whole_number_and_fraction_together() -> None:
    """TDS ultrasonic meter: (whole + fraction) times ten to the power of register 1438."""
    field = holding(
        Encoding.INT32, Order.CDAB, unit="m3", fraction=Part(address=2), exponent_from={"signal": "power", "offset": -3}
    )
    whole, fraction = field.encode(48.2165, (1,))
    assert struct.unpack(">i", swapped(whole, Order.CDAB)) == (4821,)
    assert struct.unpack(">f", swapped(fraction, Order.CDAB))[0] == pytest.approx(0.65, abs=1e-4)
    assert field.decode((whole, fraction), (1,)) == pytest.approx(48.2165)


@pytest.mark.parametrize("code", [-300, 0xFFFF])
def test_an_exponent_that_cannot_be_meant_breaks_nothing(code: int) -> None:
    field = holding(Encoding.FLOAT32, exponent_from={"signal": "power"})
    (data,) = field.encode(1.0, (code,))
    assert field.decode((data,), (code,)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("code", "shown"),
    [(0, 10.0), (5, 36.0), (3, 0.01), (9, 600.0)],
)
def test_a_code_in_another_register_is_the_unit_of_the_number(code: int, shown: float) -> None:
    """Chinese flow meters: 0 L/s, 3 m3/s, 5 m3/h; a code that is not listed leaves the unit as declared."""
    field = holding(
        Encoding.FLOAT32,
        unit="L/min",
        unit_from={"signal": "flow_unit", "codes": {0: "L/s", 3: "m3/s", 5: "m3/h"}},
    )
    (data,) = field.encode(36.0, (code,))
    assert struct.unpack(">f", data)[0] == pytest.approx(shown)
    assert field.decode((data,), (code,)) == pytest.approx(36.0)


def test_a_unit_with_an_offset_is_one_of_the_codes() -> None:
    field = holding(
        Encoding.FLOAT32, unit="degC", unit_from={"signal": "temperature_unit", "codes": {0: "degC", 1: "K"}}
    )
    assert field.encode(20.0, (0,)) == (struct.pack(">f", 20.0),)
    assert field.encode(20.0, (1,)) == (struct.pack(">f", 293.15),)


def test_unit_and_exponent_are_taken_together_in_their_order() -> None:
    field = holding(
        Encoding.UINT32,
        unit="m3/h",
        unit_from={"signal": "flow_unit", "codes": {1: "L/s"}},
        exponent_from={"signal": "power"},
    )
    assert field.parameters == ("flow_unit", "power")
    assert field.encode(36_000.0, (1, 2)) == ((100).to_bytes(4, "big"),)


@given(st.floats(0, 5_000_000))
def test_a_value_begins_anew_at_its_rollover(total: float) -> None:
    field = holding(Encoding.UINT32, unit="L", scale=0.1, rollover=1_000_000)
    (data,) = field.encode(total, ())
    raw = int.from_bytes(data, "big")
    assert raw < 10_000_000
    # 10 counts a litre, 1000 litres a cubic metre.
    difference = abs(raw - total * 10_000) % 10_000_000
    assert min(difference, 10_000_000 - difference) <= 0.51


def test_a_rounded_value_rolls_over_too() -> None:
    field = holding(Encoding.UINT32, unit="m3", rollover=1000)
    assert field.encode(999.7, ()) == (bytes(4),)
    assert field.encode(999.4, ()) == ((999).to_bytes(4, "big"),)
    assert field.encode(-1, ()) == ((999).to_bytes(4, "big"),)


def test_a_text_and_a_time_are_fields_too() -> None:
    field = holding(Encoding.STRING, length=4, charset="gbk")
    assert field.spans == (Span(0, 4),)
    assert field.decode(field.encode("流量计", ()), ()) == "流量计"
    stamp = holding(Encoding.YMDHMS_TIME)
    assert stamp.spans == (Span(0, 6),)
    assert stamp.encode(1_795_477_061, ()) == (struct.pack(">6H", 2026, 11, 24, 7, 37, 41),)


def test_a_register_that_takes_orders_only_is_not_readable() -> None:
    latched = {"kind": "latched", "confirm": {"signal": "opened", "within": "5 s"}}
    field = holding(Encoding.UINT16, switch={"on": 2, "off": 1}, writable=True, command=latched)
    assert not field.readable
    assert holding(Encoding.UINT16, writable=True).readable
