"""``penstock decode``: what was pasted, and what several readings of a place tell."""

import struct

import pytest

from drivers.modbus.displayed import displayed
from edge.cli import exit_codes
from edge.cli.decode import Block, decoded, payload
from edge.cli.scan_bus import duration, parse_units
from tests.edge.typed import penstock


@pytest.mark.parametrize(
    ("pasted", "registers", "said"),
    [
        ("41 C8 00 00", "41 C8 00 00", ""),
        ("01 03 0A 00 00 8D 41 00 00 8D 41 00 00 C7 33", "00 00 8D 41 00 00 8D 41 00 00", "serial reply of unit 1"),
        ("00 01 00 00 00 07 05 04 04 41 C8 00 00", "41 C8 00 00", "Modbus TCP reply of unit 5"),
        # A check sum that is wrong makes it no reply.
        ("01 03 04 41 C8 00 00 00 00 00", "01 03 04 41 C8 00 00 00 00 00", ""),
    ],
)
def test_a_whole_reply_from_a_log_is_seen_as_one(pasted: str, registers: str, said: str) -> None:
    data, told = payload(bytes.fromhex(pasted))
    assert data == bytes.fromhex(registers)
    assert said in told


def blocks(*values: float) -> list[Block]:
    """A flow meter's two registers, low word first, read several times."""
    return [Block("input", 100, struct.pack(">f", value)[2:] + struct.pack(">f", value)[:2], "") for value in values]


def test_what_moves_as_water_does_comes_first() -> None:
    answer = decoded(blocks(41.7, 42.1, 41.9, 42.4), None, "flow")
    first = answer["readings"][0]
    assert (first["type"], first["order"], first["moves"]) == ("float32", "CDAB", "smooth")
    moves = {(one["type"], one["order"]): one["moves"] for one in answer["readings"] if one["address"] == 100}
    assert moves["float32", "DCBA"] == "jumps"
    assert answer["yaml"] == "flow: {table: input, address: 100, type: float32, order: CDAB}"


def test_two_readings_tell_nothing_of_how_it_moves() -> None:
    answer = decoded(blocks(41.7, 42.1), None, "flow")
    assert {one["moves"] for one in answer["readings"]} == {None}


def test_an_expected_value_is_looked_for_in_the_newest_reading() -> None:
    answer = decoded(blocks(41.7, 42.1, 42.4), displayed("42.4 m3/h"), "flow")
    assert answer["ok"]
    assert answer["certain"]
    assert answer["yaml"] == "flow: {table: input, address: 100, type: float32, order: CDAB, unit: m3/h}"
    assert not decoded(blocks(42.4), displayed("77 m3/h"), "flow")["ok"]


def test_what_cannot_be_told_apart_is_called_so() -> None:
    twice = Block("holding", 0, struct.pack(">ff", 25.0, 25.0), "")
    assert not decoded([twice], displayed("25.0"), "x")["certain"]


@pytest.mark.parametrize(
    ("data", "shown", "best"),
    [
        ("8c 71 9f 3f 48 e1 0c 42 33 f6 00 00 85 eb 11 3f 02 11", "63027.550 m3", 63027.57),
        ("ec 51 44 42 54 30 de 3f", "49.06 m3/h", 49.08),
    ],
)
async def test_what_others_show_nearly_as_well_is_warned_of(data: str, shown: str, best: float) -> None:
    done = await penstock("decode", data, "--expect", shown)
    assert "decode again when the display shows something else" in done.out.replace("\n", " ")
    answer = (await penstock("decode", data, "--expect", shown, "--json")).answer
    assert not answer["certain"]
    assert answer["matches"][0]["value"] == pytest.approx(best)


def test_of_equals_the_nearest_to_the_display_comes_first() -> None:
    # Both are read as float32 in the same order; the display shows the second.
    near = Block("holding", 0, struct.pack(">ff", 25.041234, 25.021234), "")
    assert decoded([near], displayed("25.0"), "x")["matches"][0]["address"] == 2


async def test_a_name_that_no_profile_takes_is_refused() -> None:
    done = await penstock("decode", "41 C8 00 00", "--name", "flow rate")
    assert done.code == exit_codes.USAGE
    assert "small letters, digits and _" in done.err


def test_units_are_named_one_by_one_or_in_spans() -> None:
    assert parse_units("") == []
    assert parse_units("1-3, 7,2") == [1, 2, 3, 7]


@pytest.mark.parametrize(("seconds", "said"), [(3.4, "3 s"), (89.0, "89 s"), (200.0, "3 min")])
def test_a_time_is_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said
