"""Places as people and vendors' tables write them, and the requests that they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.command import Writing
from config.encoding import Table
from config.errors import DeviceError
from drivers.modbus.raw import Place, as_reference, number, place, read_bits, reference, write_pdu
from drivers.modbus.write_request import written_addresses


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("40001", (Table.HOLDING, 0)),
        ("400001", (Table.HOLDING, 0)),
        ("465536", (Table.HOLDING, 65535)),
        ("4x0101", (Table.HOLDING, 100)),
        ("4:03003", (Table.HOLDING, 3002)),
        ("30020", (Table.INPUT, 19)),
        ("10001", (Table.DISCRETE, 0)),
        ("00017", (Table.COIL, 16)),
        ("40000", None),
        ("465537", None),
        ("20001", None),
        ("100", None),
        ("0x2600", None),
    ],
)
def test_a_vendors_number_names_its_table_and_counts_from_one(text: str, meant: tuple[Table, int] | None) -> None:
    assert reference(text) == meant


@given(table=st.sampled_from(list(Table)), address=st.integers(0, 65535))
def test_every_address_has_a_vendors_number_and_back(table: Table, address: int) -> None:
    assert reference(as_reference(table, address)) == (table, address)


@pytest.mark.parametrize(("text", "value"), [("9728", 9728), ("0x2600", 9728), ("2600h", 9728), (" 7 ", 7)])
def test_a_number_may_be_decimal_or_hexadecimal(text: str, value: int) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "ten", "0x", "1.5", "zzh"])
def test_anything_else_is_told_what_a_number_looks_like(text: str) -> None:
    with pytest.raises(DeviceError, match="9728, 0x2600 or 2600h"):
        number(text)


@pytest.mark.parametrize(
    ("wanted", "pdu", "start", "reply_bytes"),
    [
        (Place(Table.HOLDING, 0x2600, 5), "03 26 00 00 05", "03 0a", 12),
        (Place(Table.INPUT, 0, 125), "04 00 00 00 7d", "04 fa", 252),
        (Place(Table.COIL, 16, 9), "01 00 10 00 09", "01 02", 4),
        (Place(Table.DISCRETE, 0, 2000), "02 00 00 07 d0", "02 fa", 252),
    ],
)
def test_a_place_is_one_read_request(wanted: Place, pdu: str, start: str, reply_bytes: int) -> None:
    assert (wanted.ask.pdu.hex(" "), wanted.ask.start.hex(" "), wanted.ask.reply_bytes) == (pdu, start, reply_bytes)


@pytest.mark.parametrize(
    ("table", "address", "count", "told"),
    [
        (Table.HOLDING, 0, 126, "takes 1 to 125; read the rest in a second one"),
        (Table.COIL, 0, 2001, "takes 1 to 2000"),
        (Table.HOLDING, 0, 0, "takes 1 to 125"),
        (Table.HOLDING, 65536, 1, "Modbus addresses are 0 to 65535"),
        (Table.HOLDING, -1, 1, "Modbus addresses are 0 to 65535"),
        (Table.INPUT, 65530, 10, "the last Modbus address is 65535"),
    ],
)
def test_more_than_a_read_can_carry_is_refused_and_never_split(
    table: Table, address: int, count: int, told: str
) -> None:
    with pytest.raises(DeviceError, match=told):
        place(table, address, count)


def test_bits_stand_lowest_first() -> None:
    assert read_bits(b"\x05\x01", 9) == [True, False, True, False, False, False, False, False, True]


@pytest.mark.parametrize(
    ("table", "values", "writing", "pdu"),
    [
        (Table.HOLDING, [30], {}, "06 00 64 00 1e"),
        (Table.HOLDING, [30], {"registers": "multiple"}, "10 00 64 00 01 02 00 1e"),
        (Table.HOLDING, [1, 2], {}, "10 00 64 00 02 04 00 01 00 02"),
        (Table.COIL, [1], {}, "05 00 64 ff 00"),
        (Table.COIL, [0], {}, "05 00 64 00 00"),
        (Table.COIL, [1], {"coils": "multiple"}, "0f 00 64 00 01 01 01"),
        (Table.COIL, [1, 0, 1], {}, "0f 00 64 00 03 01 05"),
    ],
)
def test_a_write_goes_out_in_the_way_the_device_takes_it(
    table: Table, values: list[int], writing: dict[str, str], pdu: str
) -> None:
    made = write_pdu(table, 100, values, Writing.model_validate(writing))
    assert made.hex(" ") == pdu
    assert written_addresses(made) == (table, range(100, 100 + len(values)))


@pytest.mark.parametrize(
    ("table", "address", "values", "writing", "told"),
    [
        (Table.INPUT, 0, [1], {}, "input cannot be written: only coils and holding"),
        (Table.DISCRETE, 0, [1], {}, "cannot be written"),
        (Table.HOLDING, 0, [65536], {}, "holds 0 to 65535"),
        (Table.HOLDING, 0, [-1], {}, "holds 0 to 65535"),
        (Table.COIL, 0, [2], {}, "holds 0 to 1"),
        (Table.HOLDING, 0, [], {}, "takes 1 to 123"),
        (Table.HOLDING, 0, [0] * 124, {}, "takes 1 to 123"),
        (Table.HOLDING, 65535, [0, 0], {}, "Modbus addresses are 0 to 65535"),
        (Table.HOLDING, 0, [1, 2], {"registers": "single"}, "write them one by one"),
    ],
)
def test_a_write_that_cannot_be_says_why(
    table: Table, address: int, values: list[int], writing: dict[str, str], told: str
) -> None:
    with pytest.raises(DeviceError, match=told):
        write_pdu(table, address, values, Writing.model_validate(writing))
