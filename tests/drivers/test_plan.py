"""What a device is asked: few requests, none longer or wider than it takes."""

import struct
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.encoding import REGISTERS, Encoding, Table
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile
from config.signals import SignalTable
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from tests.drivers.sites import Fields, table_of

ZONE = ZoneInfo("Asia/Shanghai")
TABLE_OF = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
BITS = (Table.COIL, Table.DISCRETE)


def plan_of(fields: Fields, base: int = 0, **limits: object) -> tuple[DevicePlan, SignalTable]:
    site, table = table_of(fields, base, limits)
    profile = site.devices["D"].profile
    assert isinstance(profile, ModbusProfile)
    return DevicePlan(list(table.field), profile, ZONE, Parameters(lambda field, before, now: None)), table


def planned(fields: Fields, base: int = 0, **limits: object) -> tuple[list[Read], SignalTable]:
    plan, table = plan_of(fields, base, **limits)
    return plan.reads, table


def spans(fields: Fields, base: int = 0, **limits: object) -> list[tuple[int, int, int]]:
    """Function, address and count of every request."""
    return [struct.unpack(">BHH", read.pdu) for read in planned(fields, base, **limits)[0]]


def registers(*addresses: int, table: str = "holding") -> Fields:
    return {f"r{address}": {"table": table, "address": address} for address in addresses}


def bits(*addresses: int) -> Fields:
    return {f"b{address}": {"table": "coil", "address": address, "type": "bool"} for address in addresses}


def test_neighbours_are_read_together_and_holes_are_not_crossed() -> None:
    assert spans(registers(4, 5, 6, 8)) == [(3, 4, 3), (3, 8, 1)]


def test_a_hole_is_crossed_when_the_device_allows_it() -> None:
    assert spans(registers(4, 6, 9), gap=1) == [(3, 4, 3), (3, 9, 1)]
    assert spans(registers(4, 6, 9), gap=2) == [(3, 4, 6)]


def test_no_request_is_longer_than_the_device_takes() -> None:
    assert spans(registers(*range(10)), registers=4) == [(3, 0, 4), (3, 4, 4), (3, 8, 2)]
    assert spans(bits(*range(10)), bits=8) == [(1, 0, 8), (1, 8, 2)]


def test_a_value_is_never_cut_by_the_limit() -> None:
    wide = {f"w{at}": {"table": "input", "address": at, "type": "float32"} for at in (0, 2, 4)}
    assert spans(wide, registers=3) == [(4, 0, 2), (4, 2, 2), (4, 4, 2)]


def test_tables_are_read_apart() -> None:
    fields = {
        **registers(0),
        **registers(1, table="input"),
        **bits(2),
        "d": {"table": "discrete", "address": 3, "type": "bool"},
    }
    assert sorted(spans(fields)) == [(1, 2, 1), (2, 3, 1), (3, 0, 1), (4, 1, 1)]


def test_base_1_counts_from_one() -> None:
    assert spans(registers(1, 2), base=1) == [(3, 0, 2)]


def test_a_value_and_what_it_is_bound_to_stand_in_one_request() -> None:
    fields: Fields = {
        "between": {"table": "holding", "address": 3},
        "x": {
            "table": "holding",
            "address": 0,
            "quality_from": {"signal": "state", "codes": {0: "ok"}},
            "time_from": "at",
        },
        "state": {"table": "holding", "address": 6},
        "at": {"table": "holding", "address": 10, "type": "bcd-time"},
        "far": {"table": "holding", "address": 40},
    }
    reads, table = planned(fields)
    bound = [table[f"D.{name}"].index for name in ("x", "state", "at")]
    assert [read.pdu for read in reads if set(bound) <= set(read.signals)] == [struct.pack(">BHH", 3, 0, 13)]


def test_the_decimals_of_a_total_are_read_with_it() -> None:
    fields: Fields = {"x": {"table": "holding", "address": 4, "type": "int32", "fraction": {"address": 1}}}
    assert spans(fields) == [(3, 1, 5)]


def test_a_written_value_is_read_back_with_what_its_quality_depends_on() -> None:
    quality = {"signal": "state", "codes": {0: "ok", 1: "maintenance"}}
    fields: Fields = {
        "state": {"table": "holding", "address": 3},
        "x": {"table": "holding", "address": 5, "writable": True, "quality_from": quality},
    }
    plan, table = plan_of(fields)
    [read] = plan.of(["x"])
    assert read.pdu == struct.pack(">BHH", 3, 3, 3)
    [sample] = read.decode(bytes.fromhex("0001 0000 0007"), 1.0)
    assert (read.signals[0], sample.value, sample.reason) == (table["D.x"].index, None, "maintenance")


def test_codes_that_other_reads_wait_for_go_first_on_a_full_bus() -> None:
    fields: Fields = {
        "flow": {"table": "holding", "address": 0, "unit_from": {"signal": "code", "codes": {0: "1"}}},
        "code": {"table": "holding", "address": 40, "poll": "1 h"},
        "level": {"table": "holding", "address": 80},
    }
    reads, table = planned(fields)
    assert [(table.signals[read.signals[0]].field, read.priority) for read in reads] == [
        ("code", "high"),
        ("flow", "normal"),
        ("level", "normal"),
    ]
    together = {**fields, "code": {"table": "holding", "address": 1}}
    assert {read.priority for read in planned(together)[0]} == {"normal"}


@pytest.mark.parametrize("field", ["x", "c"])
def test_a_read_back_asks_for_that_signal_alone(field: str) -> None:
    fields: Fields = {
        "a": {"table": "holding", "address": 4},
        "x": {"table": "holding", "address": 5, "type": "float32", "writable": True},
        "b": {"table": "coil", "address": 6, "type": "bool"},
        "c": {"table": "coil", "address": 7, "type": "bool", "writable": True},
    }
    plan, table = plan_of(fields)
    [read] = plan.of([field])
    assert read.pdu == {"x": struct.pack(">BHH", 3, 5, 2), "c": struct.pack(">BHH", 1, 7, 1)}[field]
    assert read.signals == (table[f"D.{field}"].index,)


@st.composite
def maps(draw: st.DrawFn) -> Fields:
    """A register map with holes and overlaps."""
    fields: dict[str, dict[str, object]] = {}
    for number in range(draw(st.integers(1, 20))):
        table = draw(st.sampled_from(list(Table)))
        kinds = [Encoding.BOOL] if table in BITS else list(REGISTERS)
        kind = draw(st.sampled_from(kinds))
        signal: dict[str, object] = {"table": table, "address": draw(st.integers(1, 60)), "type": kind}
        if kind is Encoding.BOOL and table not in BITS:
            signal["bit"] = draw(st.integers(0, 15))
        fields[f"s{number}"] = signal
    return fields


@given(maps(), st.integers(0, 1), st.integers(6, 20), st.integers(1, 20), st.integers(0, 5))
def test_every_signal_is_in_exactly_one_read_and_no_read_asks_too_much(
    fields: Fields, base: int, registers: int, bits: int, gap: int
) -> None:
    reads, table = planned(fields, base, registers=registers, bits=bits, gap=gap)
    assert sorted(index for read in reads for index in read.signals) == list(range(len(table.field)))
    for read in reads:
        function, first, count = struct.unpack(">BHH", read.pdu)
        assert count <= (bits if TABLE_OF[function] in BITS else registers)
        assert read.data_bytes == (-(-count // 8) if TABLE_OF[function] in BITS else 2 * count)
        wanted: set[int] = set()
        for index in read.signals:
            definition = table.signals[index].definition
            assert isinstance(definition, ModbusSignal)
            assert definition.table is TABLE_OF[function]
            size = 1 if definition.table in BITS else REGISTERS[definition.type]
            wanted |= set(range(definition.address - base, definition.address - base + size))
        assert (min(wanted), max(wanted)) == (first, first + count - 1)
        ordered = sorted(wanted)
        assert all(after - before <= gap + 1 for before, after in pairwise(ordered))


@given(maps(), st.integers(0, 1), st.integers(0, 5))
def test_every_signal_is_decoded_from_its_own_address(fields: Fields, base: int, gap: int) -> None:
    reads, table = planned(fields, base, gap=gap)
    for read in reads:
        function, first, count = struct.unpack(">BHH", read.pdu)
        if TABLE_OF[function] in BITS:
            continue
        data = b"".join(struct.pack(">H", first + place) for place in range(count))
        for index, sample in zip(read.signals, read.decode(data, 1.0), strict=True):
            definition = table.signals[index].definition
            assert isinstance(definition, ModbusSignal)
            assert sample.raw[:2] == struct.pack(">H", definition.address - base)
            assert len(sample.raw) == 2 * REGISTERS[definition.type]
