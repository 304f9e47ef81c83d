"""Raw values and their bytes, against vendor examples and against a second, plainer encoder written here."""

import struct
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.encoding import BY_REGISTER, FLOATS, INTEGERS, REGISTERS, Encoding, Order
from hil_sim.encodings import bit_mask, bit_packing, clock, packing, text

SHANGHAI = ZoneInfo("Asia/Shanghai")
ORDERS = list(Order)
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
SIGN_MAGNITUDE = (Encoding.SM16, Encoding.SM32)
BCD = (Encoding.BCD16, Encoding.BCD32, Encoding.BCD64)


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


def plain_bytes(kind: Encoding, number: float) -> bytes:
    """A number as a person would write its bytes down, high byte first."""
    if kind in LETTERS:
        return struct.pack(f">{LETTERS[kind]}", number)
    digits = 4 * REGISTERS[kind]
    if kind in BCD:
        return bytes.fromhex(str(number).rjust(digits, "0"))
    sign = "1" if number < 0 else "0"
    return int(sign + format(abs(int(number)), "b").rjust(4 * digits - 1, "0"), 2).to_bytes(digits // 2, "big")


def ends(kind: Encoding) -> tuple[int, int]:
    """The least and the greatest whole number of an encoding."""
    bits = 16 * REGISTERS[kind]
    if kind in BCD:
        return 0, 10 ** (bits // 4) - 1
    if kind in SIGN_MAGNITUDE:
        return -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1
    return (0, 2**bits - 1) if LETTERS[kind].isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", sorted(INTEGERS | FLOATS))
@settings(max_examples=30)
@given(data=st.data())
def test_every_number_in_every_order_there_and_back(kind: Encoding, order: Order, data: st.DataObject) -> None:
    if kind in FLOATS:
        width = 32 if kind is Encoding.FLOAT32 else 64
        number: float = data.draw(st.floats(allow_nan=False, allow_infinity=False, width=width))  # type: ignore[arg-type]
    else:
        number = data.draw(st.integers(*ends(kind)))
    raw = packing(kind, order)
    expected = swapped(plain_bytes(kind, number), order)
    assert raw.pack(number) == expected
    assert raw.unpack(expected) == number
    assert raw.whole is (kind in INTEGERS)


@pytest.mark.parametrize("kind", sorted(INTEGERS))
def test_whole_numbers_beyond_the_range_stay_at_its_end(kind: Encoding) -> None:
    low, high = ends(kind)
    raw = packing(kind, Order.ABCD)
    for number in (float("inf"), 1e300, high + 1, high + 0.4, high):
        assert raw.unpack(raw.pack(number)) == high
    for number in (float("-inf"), -1e300, low - 1, low - 0.4, low):
        assert raw.unpack(raw.pack(number)) == low


@pytest.mark.parametrize(
    ("kind", "order", "wire", "number"),
    [
        (Encoding.FLOAT32, Order.DCBA, "00 00 8D 41", 17.625),
        (Encoding.SM16, Order.ABCD, "80 10", -16),  # CYK level: 0x8010 = -0.16 m
        (Encoding.SM16, Order.ABCD, "00 10", 16),
        (Encoding.SM32, Order.CDAB, "00 01 80 00", -1),
        (Encoding.BCD16, Order.ABCD, "12 34", 1234),
        (Encoding.BCD16, Order.DCBA, "34 12", 1234),  # low byte first in a single register
        (Encoding.BCD16, Order.BADC, "34 12", 1234),
        (Encoding.UINT16, Order.CDAB, "12 34", 0x1234),
        (Encoding.BCD32, Order.CDAB, "56 78 12 34", 12345678),
        (Encoding.BCD64, Order.ABCD, "00 00 00 01 23 45 67 89", 123456789),
        (Encoding.UINT64, Order.CDAB, "CC DD AA BB 33 44 11 22", 0x11223344AABBCCDD),
    ],
)
def test_bytes_as_they_are_seen_on_the_wire(kind: Encoding, order: Order, wire: str, number: float) -> None:
    raw = packing(kind, order)
    assert raw.pack(number) == bytes.fromhex(wire)
    assert raw.unpack(bytes.fromhex(wire)) == number


@pytest.mark.parametrize(("kind", "wire"), [(Encoding.BCD16, "00 0A"), (Encoding.BCD32, "1E 00 00 00")])
def test_a_digit_above_nine_is_no_number(kind: Encoding, wire: str) -> None:
    with pytest.raises(ValueError):
        packing(kind, Order.ABCD).unpack(bytes.fromhex(wire))


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 0xFFFF), st.sampled_from(ORDERS))
def test_bits_of_a_register_are_a_number(one: int, other: int, register: int, order: Order) -> None:
    low, high = min(one, other), max(one, other)
    raw, mask = bit_packing(low, high, order), bit_mask(low, high, order)
    binary = format(register, "016b")[::-1]
    number = int(binary[low : high + 1][::-1], 2)
    wire = swapped(register.to_bytes(2, "big"), order)
    assert raw.unpack(wire) == number
    # What is packed lies within the mask, and is all that the register has there.
    assert raw.pack(number) == bytes(byte & own for byte, own in zip(wire, mask, strict=True))
    assert raw.unpack(raw.pack(2**16)) == 2 ** (high - low + 1) - 1


@given(st.text("abcXYZ 0189-µ漢字ü", max_size=12), st.integers(1, 10), st.sampled_from([Order.ABCD, Order.BADC]))
@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_a_text_is_cut_between_characters(charset: str, word: str, length: int, order: Order) -> None:
    word = word.encode(charset, "ignore").decode(charset)
    encode, decode = text(length, charset, order)
    data = encode(word)
    assert len(data) == 2 * length
    kept = swapped(data, order).rstrip(b"\0").decode(charset)
    assert word.startswith(kept)
    assert kept == word or len(word[: len(kept) + 1].encode(charset)) > 2 * length
    assert decode(data) == kept.rstrip(" ")


def test_texts_as_they_are_seen_on_the_wire() -> None:
    encode, decode = text(3, "ascii", Order.ABCD)
    assert encode("F270") == b"F270\0\0"
    assert decode(b"F270  ") == "F270"
    assert decode(b"F2\0xyz") == "F2"
    assert encode("µ") == b"?\0\0\0\0\0"
    assert encode(None) == bytes(6)
    with pytest.raises(ValueError):
        decode(b"\xff\xfe\0\0\0\0")
    assert text(2, "gbk", Order.BADC)[0]("水") == bytes.fromhex("AE CB 00 00")


@given(st.integers(946_684_800, 4_102_400_000), st.data())
@pytest.mark.parametrize("kind", [Encoding.BCD_TIME, Encoding.YMDHMS_TIME, Encoding.UNIX_TIME])
def test_times_there_and_back(kind: Encoding, seconds: int, data: st.DataObject) -> None:
    order = data.draw(st.sampled_from((Order.ABCD, Order.BADC) if kind in BY_REGISTER else ORDERS))
    encode, decode = clock(kind, order, SHANGHAI, 0.0)
    wire = encode(seconds + 0.75)
    local = datetime.fromtimestamp(seconds, SHANGHAI)
    if kind is Encoding.BCD_TIME:
        plain = bytes.fromhex(f"{local:%y%m%d%H%M%S}")
    elif kind is Encoding.YMDHMS_TIME:
        fields = (local.year, local.month, local.day, local.hour, local.minute, local.second)
        plain = b"".join(field.to_bytes(2, "big") for field in fields)
    else:
        plain = seconds.to_bytes(4, "big")
    assert wire == swapped(plain, order)
    assert decode(wire) == seconds


def test_times_as_they_are_seen_on_the_wire() -> None:
    _, decode = clock(Encoding.YMDHMS_TIME, Order.ABCD, SHANGHAI, 0.0)
    assert decode(struct.pack(">6H", 26, 11, 24, 7, 37, 41)) == 1_795_477_061
    assert decode(struct.pack(">6H", 2026, 11, 24, 7, 37, 41)) == 1_795_477_061
    with pytest.raises(ValueError):
        decode(struct.pack(">6H", 2026, 13, 24, 7, 37, 41))
    _, decode = clock(Encoding.BCD_TIME, Order.ABCD, SHANGHAI, 0.0)
    for nonsense in ("26 11 24 07 37 6A", "26 11 24 25 00 00"):
        with pytest.raises(ValueError):
            decode(bytes.fromhex(nonsense))


@pytest.mark.parametrize("kind", [Encoding.BCD_TIME, Encoding.YMDHMS_TIME, Encoding.UNIX_TIME])
@pytest.mark.parametrize("value", [None, float("-inf"), float("nan")])
def test_no_time_is_all_zeros(kind: Encoding, value: float | None) -> None:
    encode, decode = clock(kind, Order.ABCD, SHANGHAI, 0.0)
    data = encode(value)
    assert not any(data)
    assert decode(data) is None


def test_no_time_may_have_a_number_of_its_own() -> None:
    encode, decode = clock(Encoding.UNIX_TIME, Order.ABCD, SHANGHAI, 0xFFFFFFFF)
    assert encode(None) == b"\xff\xff\xff\xff"
    assert decode(b"\xff\xff\xff\xff") is None
