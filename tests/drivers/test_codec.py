"""Registers to samples and back: golden vectors, and what must never become a number."""

import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.encoding import Encoding, Order
from config.errors import DeviceError
from config.sample import Quality, Reason, Sample, Value
from config.signals import Signal
from drivers.modbus.block import Block
from drivers.modbus.codec import encode
from drivers.modbus.decoder import Around
from drivers.modbus.parameters import Parameters
from tests.drivers.sites import Fields, table_of

ZONE = ZoneInfo("Asia/Shanghai")
RECEIVED = 12.5


def signals_of(fields: Fields, base: int = 0) -> dict[str, Signal]:
    return {signal.field: signal for signal in table_of(fields, base)[1].field}


def block_of(signals: dict[str, Signal], name: str, start: int = 0, base: int = 0) -> Block:
    """The decoder of one signal in a block that begins at wire address ``start``."""
    around = Around(signals, start, base, ZONE, Parameters(lambda field, before, now: None), frozenset())
    return Block((signals[name],), around)


def decoded(fields: Fields, name: str, data: str | bytes, start: int = 0, base: int = 0) -> Sample:
    """What ``data``, a block that begins at wire address ``start``, says of the signal ``name``."""
    signals = signals_of(fields, base)
    raw = bytes.fromhex(data) if isinstance(data, str) else data
    return block_of(signals, name, start, base).decode(raw, RECEIVED)[0]


def one(kind: str, data: str | bytes, **more: object) -> Sample:
    return decoded({"x": {"table": "holding", "address": 0, "type": kind, **more}}, "x", data)


def refused(sample: Sample, reason: Reason) -> bool:
    return sample.value is None and sample.quality is Quality.BAD and sample.reason is reason


GOLDEN = [
    ("float32", "ABCD", "41 8D 00 00", 17.625),
    ("float32", "CDAB", "72 37 41 DB", 27.4308),
    ("float32", "BADC", "8D 41 00 00", 17.625),
    ("float32", "DCBA", "00 00 8D 41", 17.625),
    ("float32", "DCBA", "33 33 F3 40", 7.6),
    ("float32", "DCBA", "85 EB D1 C0", -6.56),
    ("uint32", "ABCD", "01 02 03 04", 0x01020304),
    ("uint32", "CDAB", "03 04 01 02", 0x01020304),
    ("uint32", "BADC", "02 01 04 03", 0x01020304),
    ("uint32", "DCBA", "04 03 02 01", 0x01020304),
    ("int32", "ABCD", "FF FF FF FE", -2),
    ("int32", "CDAB", "FF FE FF FF", -2),
    ("int32", "BADC", "FF FF FE FF", -2),
    ("int32", "DCBA", "FE FF FF FF", -2),
    ("float64", "ABCD", "40 31 A0 00 00 00 00 00", 17.625),
    ("float64", "CDAB", "00 00 00 00 A0 00 40 31", 17.625),
    ("float64", "BADC", "31 40 00 A0 00 00 00 00", 17.625),
    ("float64", "DCBA", "00 00 00 00 00 A0 31 40", 17.625),
    ("uint64", "ABCD", "00 02 03 04 05 06 07 08", 0x0002030405060708),
    ("uint64", "CDAB", "07 08 05 06 03 04 00 02", 0x0002030405060708),
    ("uint64", "BADC", "02 00 04 03 06 05 08 07", 0x0002030405060708),
    ("uint64", "DCBA", "08 07 06 05 04 03 02 00", 0x0002030405060708),
    ("int64", "CDAB", "FF FE FF FF FF FF FF FF", -2),
    ("int64", "BADC", "FF FF FF FF FF FF FE FF", -2),
]


@pytest.mark.parametrize(("kind", "order", "data", "value"), GOLDEN)
def test_a_golden_vector_reads_as_its_value(kind: str, order: str, data: str, value: float) -> None:
    sample = one(kind, data, order=order)
    assert sample.value == pytest.approx(value, abs=5e-5)
    assert sample == Sample(sample.value, Quality.GOOD, Reason.OK, RECEIVED, None, bytes.fromhex(data))


@pytest.mark.parametrize(("kind", "order", "data", "value"), GOLDEN)
def test_a_golden_vector_is_what_its_value_is_written_as(kind: str, order: str, data: str, value: float) -> None:
    signal = signals_of({"x": {"table": "holding", "address": 0, "type": kind, "order": order, "writable": True}})["x"]
    exact = one(kind, data, order=order).value
    assert encode(signal, exact) == bytes.fromhex(data)


@pytest.mark.parametrize(("order", "value"), [("ABCD", 0x8010), ("CDAB", 0x8010), ("DCBA", 0x1080), ("BADC", 0x1080)])
def test_one_register_has_its_high_or_its_low_byte_first(order: Order, value: int) -> None:
    assert one("uint16", "80 10", order=order).value == value
    assert encode(writable(Encoding.UINT16, order), value) == bytes.fromhex("80 10")


@pytest.mark.parametrize(
    ("kind", "order", "data"),
    [
        ("float32", "ABCD", "7F C0 00 00"),
        ("float32", "ABCD", "7F A0 00 00"),  # E+H: a signalling NaN
        ("float32", "CDAB", "00 00 7F C0"),
        ("float32", "ABCD", "7F 80 00 00"),
        ("float32", "ABCD", "FF 80 00 00"),
        ("float64", "ABCD", "7F F8 00 00 00 00 00 00"),
        ("float64", "DCBA", "00 00 00 00 00 00 F0 FF"),
    ],
)
def test_nan_and_infinity_are_no_measurement(kind: str, order: str, data: str) -> None:
    assert refused(one(kind, data, order=order), Reason.NOT_A_NUMBER)


@pytest.mark.parametrize(
    ("kind", "invalid", "data"),
    [
        ("uint16", 65535, "FF FF"),
        ("int16", -32768, "80 00"),
        ("uint64", 2**64 - 1, "FF FF FF FF FF FF FF FF"),
        ("float32", -9999, "C6 1C 3C 00"),
        ("float32", -99.9, "C2 C7 CC CD"),  # a number that a float32 holds only nearly
    ],
)
def test_a_sentinel_is_no_measurement(kind: str, invalid: float, data: str) -> None:
    assert refused(one(kind, data, invalid=[invalid]), Reason.NOT_A_NUMBER)
    assert one(kind, data).good


@pytest.mark.parametrize(("data", "reason"), [("00 00", "ok"), ("00 8C", "ok"), ("00 8D", "out-of-range")])
def test_range_is_meant_in_the_declared_unit_and_includes_its_ends(data: str, reason: str) -> None:
    sample = one("uint16", data, scale=0.1, range=[0, 14], unit="L/s")
    assert sample.reason == reason
    assert (sample.value is None) is (reason != "ok")


def test_a_value_is_scaled_and_shifted_and_given_in_the_canonical_unit() -> None:
    sample = one("int16", "00 64", scale=0.5, offset=-10, unit="L/s")
    assert sample.value == pytest.approx((100 * 0.5 - 10) * 3.6)
    assert one("uint16", "01 2C", unit="K").value == pytest.approx(300 - 273.15)


@given(st.binary(min_size=8, max_size=8), st.sampled_from(list(Order)), st.floats(1e-6, 1e6))
def test_whatever_bytes_come_no_value_is_infinite_or_nan(data: bytes, order: Order, scale: float) -> None:
    sample = one("float64", data, order=order, scale=scale, unit="m3/s")
    assert (sample.value is None) is (sample.quality is Quality.BAD)
    assert sample.value is None or (isinstance(sample.value, float) and math.isfinite(sample.value))


def test_a_number_that_scaling_makes_infinite_is_no_measurement() -> None:
    assert refused(one("float64", struct.pack(">d", 1e308), scale=10.0), Reason.NOT_A_NUMBER)


# -- bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [3, 10, 18])
def test_a_coil_is_its_bit_of_the_block(address: int) -> None:
    fields = {"x": {"table": "coil", "address": address, "type": "bool"}}
    bit = 1 << (address - 3)
    assert decoded(fields, "x", bit.to_bytes(2, "little"), start=3).value is True
    assert decoded(fields, "x", (0xFFFF ^ bit).to_bytes(2, "little"), start=3).value is False


@pytest.mark.parametrize("bit", range(16))
def test_a_bit_of_a_register_is_counted_from_its_least_significant(bit: int) -> None:
    assert one("bool", (1 << bit).to_bytes(2, "big"), bit=bit).value is True
    assert one("bool", (0xFFFF ^ 1 << bit).to_bytes(2, "big"), bit=bit).value is False


def test_base_1_and_the_start_of_the_block_place_the_register() -> None:
    fields = {"x": {"table": "holding", "address": 12}}
    assert decoded(fields, "x", "00 01 00 02 00 03", start=9, base=1).value == 3


# -- what is bound to a value ---------------------------------------------------------------------------------------

BOUND: Fields = {
    "x": {
        "table": "holding",
        "address": 0,
        "type": "float32",
        "quality_from": {"signal": "state", "codes": {0: "ok", 1: "over-range", 2: "maintenance"}},
    },
    "state": {"table": "holding", "address": 2},
}


@pytest.mark.parametrize(
    ("state", "quality", "reason", "value"),
    [
        (0, Quality.GOOD, Reason.OK, 17.625),
        (1, Quality.UNCERTAIN, Reason.OVER_RANGE, 17.625),
        (2, Quality.BAD, Reason.MAINTENANCE, None),
        (3, Quality.BAD, Reason.DEVICE_FAULT, None),
    ],
)
def test_the_code_of_another_signal_gives_the_quality(
    state: int, quality: Quality, reason: Reason, value: float | None
) -> None:
    sample = decoded(BOUND, "x", f"41 8D 00 00 00 {state:02X}")
    assert (sample.quality, sample.reason, sample.value) == (quality, reason, value)


def test_a_good_code_does_not_make_nan_or_a_value_out_of_range_good() -> None:
    assert refused(decoded(BOUND, "x", "7F C0 00 00 00 00"), Reason.NOT_A_NUMBER)
    narrow = {**BOUND, "x": {**BOUND["x"], "range": [0, 10]}}
    assert refused(decoded(narrow, "x", "41 8D 00 00 00 00"), Reason.OUT_OF_RANGE)


def test_a_code_that_is_no_number_is_a_fault_of_the_device() -> None:
    fields = {**BOUND, "state": {"table": "holding", "address": 2, "type": "float32"}}
    assert decoded(fields, "x", "41 8D 00 00 00 00 00 00").good
    assert refused(decoded(fields, "x", "41 8D 00 00 7F C0 00 00"), Reason.DEVICE_FAULT)


TIMED: Fields = {
    "x": {"table": "holding", "address": 0, "time_from": "at"},
    "at": {"table": "holding", "address": 1, "type": "bcd-time"},
}


def test_a_bcd_time_is_local_time_and_the_source_time_of_what_is_bound_to_it() -> None:
    data = "00 07 26 11 23 08 30 59"
    utc = datetime(2026, 11, 23, 0, 30, 59, tzinfo=UTC).timestamp()
    assert decoded(TIMED, "at", data).value == utc
    sample = decoded(TIMED, "x", data)
    assert (sample.value, sample.source_time) == (7, utc)


@pytest.mark.parametrize(
    "time",
    ["26 1A 23 08 30 59", "26 11 23 08 30 5F", "26 13 01 00 00 00", "26 02 30 00 00 00", "26 00 00 00 00 00"],
)
def test_a_broken_bcd_time_is_bad_and_so_is_the_value_that_needs_it(time: str) -> None:
    assert refused(decoded(TIMED, "at", "00 07" + time), Reason.NOT_A_NUMBER)
    assert refused(decoded(TIMED, "x", "00 07" + time), Reason.NOT_A_NUMBER)


def total(order: str = "ABCD", **more: object) -> Fields:
    fraction = {"address": 2, **more}
    return {"x": {"table": "holding", "address": 0, "type": "int32", "order": order, "unit": "L", "fraction": fraction}}


def test_the_decimals_of_a_total_are_added_to_it() -> None:
    assert decoded(total(), "x", "00 00 27 10 3F 00 00 00").value == pytest.approx(10.0005)
    assert decoded(total("CDAB"), "x", "27 10 00 00 00 00 3F 00").value == pytest.approx(10.0005)
    scaled = total(type="uint16", scale=0.001)
    assert decoded(scaled, "x", "00 00 27 10 01 F4").value == pytest.approx(10.0005)


def test_a_total_without_its_decimals_is_no_measurement() -> None:
    assert refused(decoded(total(), "x", "00 00 27 10 7F C0 00 00"), Reason.NOT_A_NUMBER)


# -- writing --------------------------------------------------------------------------------------------------------

RAW: dict[Encoding, st.SearchStrategy[float]] = {
    Encoding.UINT16: st.integers(0, 2**16 - 1),
    Encoding.INT16: st.integers(-(2**15), 2**15 - 1),
    Encoding.UINT32: st.integers(0, 2**32 - 1),
    Encoding.INT32: st.integers(-(2**31), 2**31 - 1),
    Encoding.UINT64: st.integers(0, 2**53),
    Encoding.INT64: st.integers(-(2**53), 2**53),
    Encoding.FLOAT32: st.floats(width=32, allow_nan=False, allow_infinity=False),
    Encoding.FLOAT64: st.floats(-1e300, 1e300),
}
"""A value is a double, so of 64 bit integers only those up to 2**53 come through whole."""


def writable(kind: Encoding, order: Order = Order.ABCD, **more: object) -> Signal:
    fields = {"x": {"table": "holding", "address": 0, "type": kind, "order": order, "writable": True, **more}}
    return signals_of(fields)["x"]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("kind", list(RAW))
def test_what_is_written_reads_back(kind: Encoding, order: Order) -> None:
    signal = writable(kind, order)
    block = block_of({"x": signal}, "x")

    @given(RAW[kind])
    def round_trip(raw: float) -> None:
        assert block.decode(encode(signal, raw), RECEIVED)[0].value == raw

    round_trip()


@given(st.integers(-(2**15), 2**15 - 1))
def test_a_scaled_value_goes_to_the_register_that_reads_as_it(raw: int) -> None:
    signal = writable(Encoding.INT16, scale=0.1, offset=-5, unit="L/s")
    assert encode(signal, (raw * 0.1 - 5) * 3.6) == raw.to_bytes(2, "big", signed=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Encoding.UINT16, -1),
        (Encoding.UINT16, 65536),
        (Encoding.INT16, 40000),
        (Encoding.INT32, 1e300),
        (Encoding.FLOAT32, 1e39),
        *[(kind, value) for kind in RAW for value in (math.nan, math.inf, -math.inf, "7", None, True)],
    ],
)
def test_what_a_register_cannot_hold_is_refused(kind: Encoding, value: Value) -> None:
    with pytest.raises(DeviceError):
        encode(writable(kind), value)


@pytest.mark.parametrize("kind", list(RAW))
def test_what_scaling_makes_infinite_is_refused(kind: Encoding) -> None:
    with pytest.raises(DeviceError):
        encode(writable(kind, scale=0.01), 1e308)


def test_what_is_outside_the_range_is_not_written() -> None:
    signal = writable(Encoding.UINT16, scale=0.1, unit="L/s", range=[0, 100])
    assert encode(signal, 360.0) == (1000).to_bytes(2, "big")
    for value in (360.1, -0.1, 18_000.0):
        with pytest.raises(DeviceError, match=r"outside its range, 0 to 100 L/s"):
            encode(signal, value)


@pytest.mark.parametrize(
    ("kind", "invalid", "value"),
    [(Encoding.UINT16, [65535], 65535.0), (Encoding.FLOAT32, [-99.9], -99.9), (Encoding.UINT16, [-1, 9], 9.2)],
)
def test_what_means_no_value_is_not_written(kind: Encoding, invalid: list[float], value: float) -> None:
    with pytest.raises(DeviceError, match="means 'no value'"):
        encode(writable(kind, invalid=invalid), value)
    encode(writable(kind, invalid=invalid), 5)


def _or_refused(write: Callable[[], bytes]) -> bytes:
    try:
        return write()
    except DeviceError:
        return b""


@given(st.sampled_from(list(RAW)), st.floats() | st.integers(), st.floats(1e-9, 1e9))
def test_a_write_is_a_full_register_or_a_refusal(kind: Encoding, value: float, scale: float) -> None:
    signal = writable(kind, scale=scale)
    data = _or_refused(lambda: encode(signal, value))
    if data and kind in (Encoding.FLOAT32, Encoding.FLOAT64):
        assert math.isfinite(struct.unpack(">f" if kind is Encoding.FLOAT32 else ">d", data)[0])
