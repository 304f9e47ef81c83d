"""A block of registers becomes samples: everything a profile can say of a value, and what must never look good."""

import math
import struct
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.encoding import REGISTERS, Encoding, Order
from config.load import DEVICES, load_profile, profile_names
from config.profile import ModbusProfile
from config.sample import Quality, Reason, Sample, quality_of
from config.signals import signal_table
from config.site import Site
from drivers.modbus.block import Block, torn_totals
from drivers.modbus.decoder import Around, modbus
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan
from tests.drivers.sites import Fields, table_of

ZONE = ZoneInfo("Asia/Shanghai")
RECEIVED = 12.5


class Device:
    """All signals of a device in one block from address 0 on. ``changes``: units that were seen to change."""

    def __init__(self, fields: Fields) -> None:
        self.changes: list[tuple[str, int, int]] = []
        self.parameters = Parameters(lambda field, before, now: self.changes.append((field, before, now)))
        self.signals = tuple(table_of(fields)[1].field)
        by_field = {signal.field: signal for signal in self.signals}
        needed = frozenset(name for signal in self.signals for name in modbus(signal).parameters())
        self.around = Around(by_field, 0, 0, ZONE, self.parameters, needed)
        self._block = Block(self.signals, self.around)
        self._names = {signal.index: signal.field for signal in self.signals}

    def read(self, data: str | bytes) -> dict[str, Sample]:
        raw = bytes.fromhex(data) if isinstance(data, str) else data
        samples = self._block.decode(raw, RECEIVED)
        return {self._names[i]: sample for i, sample in zip(self._block.signals, samples, strict=True)}


def one(data: str | bytes, **signal: object) -> Sample:
    return Device({"x": {"table": "holding", "address": 0, **signal}}).read(data)["x"]


def is_bad(sample: Sample, reason: Reason) -> bool:
    return sample.value is None and sample.quality is Quality.BAD and sample.reason is reason


# -- codes that say how a value is to be read -----------------------------------------------------------------------

UNITS: Fields = {
    "flow": {
        "table": "holding",
        "address": 0,
        "unit": "m3/h",
        "unit_from": {"signal": "unit_code", "codes": {0: "m3/h", 1: "L/s"}},
    },
    "unit_code": {"table": "holding", "address": 1},
}
POWERS: Fields = {
    "total": {"table": "holding", "address": 0, "unit": "m3", "exponent_from": {"signal": "power"}},
    "power": {"table": "holding", "address": 1, "type": "int16"},
}


def test_a_unit_code_gives_the_unit_of_the_reply_in_which_it_stands() -> None:
    device = Device(UNITS)
    assert device.read("000A 0000")["flow"].value == 10
    changed = device.read("000A 0001")["flow"]
    assert (changed.value, changed.quality, changed.reason) == (36, Quality.UNCERTAIN, Reason.UNIT_CHANGED)
    assert device.changes == [("unit_code", 0, 1)]
    assert device.read("000A 0000")["flow"].good
    assert device.changes == [("unit_code", 0, 1), ("unit_code", 1, 0)]


def test_a_unit_code_that_is_not_listed_gives_no_value() -> None:
    device = Device(UNITS)
    assert is_bad(device.read("000A 0007")["flow"], Reason.OUT_OF_RANGE)


def test_a_value_has_none_before_its_unit_is_known_and_after_the_device_was_gone() -> None:
    lone = Device({"flow": UNITS["flow"], "unit_code": {**UNITS["unit_code"], "address": 1}})
    flow = tuple(signal for signal in lone.signals if signal.field == "flow")
    block = Block(flow, lone.around)
    assert is_bad(block.decode(bytes.fromhex("000A"), RECEIVED)[0], Reason.NOT_YET_READ)
    lone.parameters.note("unit_code", 1)
    assert block.decode(bytes.fromhex("000A"), RECEIVED)[0].value == 36
    lone.parameters.forget()
    assert is_bad(block.decode(bytes.fromhex("000A"), RECEIVED)[0], Reason.NOT_YET_READ)
    lone.parameters.note("unit_code", 1)
    assert block.decode(bytes.fromhex("000A"), RECEIVED)[0].good
    assert lone.changes == []
    lone.parameters.forget()
    lone.parameters.note("unit_code", 0)
    assert block.decode(bytes.fromhex("000A"), RECEIVED)[0].reason is Reason.UNIT_CHANGED
    assert lone.changes == [("unit_code", 1, 0)]


def test_an_exponent_scales_by_powers_of_ten() -> None:
    assert Device(POWERS).read("007B FFFF")["total"].value == pytest.approx(12.3)
    assert Device(POWERS).read("007B 0002")["total"].value == pytest.approx(12300)
    shifted = {**POWERS, "total": {**POWERS["total"], "exponent_from": {"signal": "power", "offset": -3}}}
    assert Device(shifted).read("007B 0003")["total"].value == pytest.approx(123)


@pytest.mark.parametrize("power", [19, 308, 309, 400, 32767, -19, -400, -32768])
def test_an_exponent_that_no_instrument_has_gives_no_value(power: int) -> None:
    sample = Device(POWERS).read(struct.pack(">Hh", 123, power))["total"]
    assert is_bad(sample, Reason.OUT_OF_RANGE)


# -- numbers that are not two's complement --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("sm16", "0010", 16),
        ("sm16", "8010", -16),  # CYK: 80 10 is 16 cm below
        ("sm16", "8000", 0),
        ("sm16", "FFFF", -32767),
        ("sm32", "80000010", -16),
        ("bcd16", "1234", 1234),
        ("bcd32", "12345678", 12345678),
        ("bcd64", "0000000012345678", 12345678),
        ("int16", "8010", -32752),
    ],
)
def test_a_number_is_read_as_its_type_says(kind: str, data: str, value: float) -> None:
    assert one(data, type=kind).value == value


@pytest.mark.parametrize(("kind", "data"), [("bcd16", "123A"), ("bcd16", "F000"), ("bcd32", "1234567B")])
def test_a_digit_above_nine_is_no_number(kind: str, data: str) -> None:
    assert is_bad(one(data, type=kind), Reason.NOT_A_NUMBER)


def test_some_bits_of_a_register_are_a_number() -> None:
    assert one("ABCD", bits=[4, 11]).value == 0xBC
    assert one("ABCD", bits=[0, 0]).value == 1
    assert one("ABCD", bits=[12, 15], scale=0.1).value == pytest.approx(1.0)


# -- codes ----------------------------------------------------------------------------------------------------------


def test_a_code_is_its_word_and_one_that_is_not_listed_has_none() -> None:
    assert one("0002", enum={1: "local", 2: "remote"}).value == "remote"
    assert is_bad(one("0003", enum={1: "local", 2: "remote"}), Reason.OUT_OF_RANGE)
    assert is_bad(one("000A", type="bcd16", enum={1: "local"}), Reason.OUT_OF_RANGE)


@pytest.mark.parametrize(("data", "value"), [("00FF", True), ("0001", True), ("0000", False), ("0100", False)])
def test_a_switch_is_on_or_off(data: str, value: bool) -> None:
    assert one(data, switch={"on": [255, 1], "off": [0, 256]}).value is value


def test_a_switch_that_is_neither_on_nor_off_is_bad() -> None:
    assert is_bad(one("0002", switch={"on": [255, 1], "off": [0, 256]}), Reason.OUT_OF_RANGE)


# -- words and times ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "more", "text"),
    [
        ("4D41 4720 3630 3030", {}, "MAG 6000"),
        ("414D 2047", {"order": "BADC"}, "MAG"),
        ("4D41 0047", {}, "MA"),
        ("C4FE B2A8", {"charset": "gbk"}, "宁波"),
        ("E5AE 81E6", {"charset": "ascii"}, None),
        ("4D07 4720", {}, None),
    ],
)
def test_characters_are_a_text_or_nothing(data: str, more: dict[str, object], text: str | None) -> None:
    sample = one(data, type="string", length=len(bytes.fromhex(data)) // 2, **more)
    assert sample.value == text
    assert sample.good is (text is not None)


UTC_NOON = datetime(2026, 11, 23, 4, 0, 0, tzinfo=UTC).timestamp()
"""Noon at Shanghai."""


@pytest.mark.parametrize(
    ("kind", "data", "utc"),
    [
        ("bcd-time", "2611 2312 0000", UTC_NOON),
        ("ymdhms-time", "07EA 000B 0017 000C 0000 0000", UTC_NOON),
        ("ymdhms-time", "001A 000B 0017 000C 0000 0000", UTC_NOON),
        ("unix-time", f"{int(UTC_NOON):08X}", UTC_NOON),
        ("unix-time", "00000000", None),
        ("ymdhms-time", "07B2 0001 0001 0000 0000 0000", None),  # 1970: a clock that was never set
        ("ymdhms-time", "0064 0001 0001 0000 0000 0000", None),
        ("ymdhms-time", "07EA 0002 001E 000C 0000 0000", None),
        ("bcd-time", "2611 2324 0000", None),
        ("bcd-time", "26A1 2312 0000", None),
    ],
)
def test_a_time_is_utc_or_nothing(kind: str, data: str, utc: float | None) -> None:
    sample = one(data, type=kind)
    assert sample.value == utc
    assert sample.good is (utc is not None)


# -- values of several parts ----------------------------------------------------------------------------------------


def test_a_carry_is_what_has_overflowed() -> None:
    fields: Fields = {
        "total": {
            "table": "holding",
            "address": 1,
            "type": "uint32",
            "unit": "m3",
            "scale": 0.1,
            "carry": {"address": 0, "type": "uint16", "scale": 10_000_000},
            "fraction": {"address": 3, "type": "uint16", "scale": 0.001},
        }
    }
    total = Device(fields).read("0002 0000 0005 01F4")["total"]
    assert total.value == pytest.approx((2 * 10_000_000 + 5 + 0.5) * 0.1)


TOTAL: Fields = {
    "total": {
        "table": "holding",
        "address": 0,
        "type": "uint32",
        "unit": "m3",
        "invalid": [4294967295],
        "fraction": {"address": 2},
    }
}


@pytest.mark.parametrize("part", ["7FC00000", "7F800000", "7FA00000"])
def test_a_total_with_a_part_that_is_none_is_bad(part: str) -> None:
    assert is_bad(Device(TOTAL).read("00000005" + part)["total"], Reason.NOT_A_NUMBER)


def test_a_sentinel_of_the_whole_number_is_one_although_a_fraction_is_added() -> None:
    assert is_bad(Device(TOTAL).read("FFFFFFFF 3F000000")["total"], Reason.NOT_A_NUMBER)


@pytest.mark.parametrize("latched", [True, False])
def test_only_totals_whose_parts_do_not_change_at_once_are_watched_for_tearing(latched: bool) -> None:
    device = Device({"total": {**TOTAL["total"], "fraction": {"address": 2, "latched": latched}}})
    assert (torn_totals(device.signals, device.around) is None) is latched


def test_a_total_that_may_be_torn_is_looked_at_as_a_whole_and_by_its_larger_part() -> None:
    device = Device(TOTAL)
    torn = torn_totals(device.signals, device.around)
    assert torn is not None
    assert torn.read(bytes.fromhex("00000005 3F000000")) == (5.5,)
    assert torn.units == (1.0,)
    hundreds = {"address": 0, "type": "uint16", "scale": 100}
    device = Device({"total": {"table": "holding", "address": 1, "type": "float32", "carry": hundreds}})
    torn = torn_totals(device.signals, device.around)
    assert torn is not None
    assert torn.units == (100.0,)


# -- quality --------------------------------------------------------------------------------------------------------

JUDGED: Fields = {
    "value": {
        "table": "holding",
        "address": 0,
        "quality_from": [
            {"signal": "state", "codes": {0: "ok", 1: "over-range", 2: "maintenance"}},
            {"signal": "alarms", "bits": {0: "device-fault", 3: "manual", 15: "calibration"}},
        ],
    },
    "state": {"table": "holding", "address": 1},
    "alarms": {"table": "holding", "address": 2},
}


@pytest.mark.parametrize(
    ("state", "alarms", "reason"),
    [
        (0, 0x0000, Reason.OK),
        (0, 0x0002, Reason.OK),  # a bit that is not listed says nothing
        (1, 0x0000, Reason.OVER_RANGE),
        (0, 0x0008, Reason.MANUAL),
        (1, 0x0001, Reason.DEVICE_FAULT),
        (2, 0x0008, Reason.MAINTENANCE),
        (0, 0x8000, Reason.CALIBRATION),
        (0, 0x8008, Reason.CALIBRATION),
        (7, 0x0000, Reason.DEVICE_FAULT),
    ],
)
def test_the_worst_of_several_status_registers_and_bits_counts(state: int, alarms: int, reason: Reason) -> None:
    sample = Device(JUDGED).read(struct.pack(">HHH", 5, state, alarms))["value"]
    assert (sample.reason, sample.quality) == (reason, quality_of(reason))
    assert (sample.value is None) is (sample.quality is Quality.BAD)


@pytest.mark.parametrize(
    "value",
    [{"bit": 0, "type": "bool"}, {"enum": {1: "remote"}}, {"switch": {"on": 1, "off": 0}}, {}],
    ids=["bit", "enum", "switch", "number"],
)
def test_what_the_status_says_holds_for_values_of_every_kind(value: dict[str, object]) -> None:
    quality = {"signal": "state", "codes": {0: "ok", 1: "maintenance"}}
    fields: Fields = {
        "value": {"table": "holding", "address": 0, "quality_from": quality, **value},
        "state": {"table": "holding", "address": 1},
    }
    assert Device(fields).read("0001 0000")["value"].good
    assert is_bad(Device(fields).read("0001 0001")["value"], Reason.MAINTENANCE)
    assert is_bad(Device(fields).read("0001 0009")["value"], Reason.DEVICE_FAULT)


def test_a_value_whose_unit_has_changed_is_uncertain_unless_something_worse_is_said() -> None:
    quality = {"signal": "state", "codes": {0: "ok", 1: "maintenance"}}
    fields: Fields = {
        "flow": {**UNITS["flow"], "quality_from": quality},
        "unit_code": UNITS["unit_code"],
        "state": {"table": "holding", "address": 2},
    }
    device = Device(fields)
    assert device.read("000A 0000 0000")["flow"].good
    assert device.read("000A 0001 0000")["flow"].reason is Reason.UNIT_CHANGED
    assert is_bad(device.read("000A 0001 0001")["flow"], Reason.MAINTENANCE)


# -- many values at once --------------------------------------------------------------------------------------------

KINDS = ["uint16", "int16", "float32", "uint32", "float64"]


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12), st.data())
def test_values_side_by_side_are_as_each_by_itself(kinds: list[str], more: st.DataObject) -> None:
    """Plain numbers are decoded together; one that is out of its bounds must not change the others."""
    fields: dict[str, dict[str, object]] = {}
    address = 0
    for place, kind in enumerate(kinds):
        signal: dict[str, object] = {"table": "holding", "address": address, "type": kind}
        signal["order"] = more.draw(st.sampled_from(list(Order)))
        signal["scale"] = more.draw(st.sampled_from([1.0, 0.1, -2.0]))
        signal["offset"] = more.draw(st.sampled_from([0.0, 5.0]))
        if more.draw(st.booleans()):
            signal["range"] = [-100, 1000]
        if more.draw(st.booleans()):
            signal["invalid"] = [0, 65535]
        fields[f"s{place}"] = signal
        address += REGISTERS[Encoding(kind)] + more.draw(st.integers(0, 1))
    data = more.draw(st.binary(min_size=2 * address, max_size=2 * address))
    together = Device(fields).read(data)
    for name, signal in fields.items():
        assert Device({name: signal}).read(data)[name] == together[name]


# -- whatever comes -------------------------------------------------------------------------------------------------

INTEGERS = [Encoding.UINT16, Encoding.INT16, Encoding.UINT32, Encoding.INT32, Encoding.SM16, Encoding.BCD16]


@given(st.binary(min_size=12, max_size=12), st.sampled_from(INTEGERS), st.sampled_from(list(Encoding)), st.data())
@settings(max_examples=400)
def test_no_bytes_make_a_decoder_fail_or_a_number_that_is_none(
    data: bytes, code: Encoding, kind: Encoding, more: st.DataObject
) -> None:
    """A status word, a code for unit or power, a time beside it: all of them garbage at once."""
    order = more.draw(st.sampled_from([Order.ABCD, Order.BADC]))
    fields: dict[str, dict[str, object]] = {
        "code": {"table": "holding", "address": 0, "type": code, "order": order},
        "x": {"table": "holding", "address": 0, "type": kind, "order": order},
        "value": {
            "table": "holding",
            "address": 2,
            "type": more.draw(st.sampled_from([Encoding.FLOAT32, Encoding.UINT16, Encoding.BCD16, Encoding.FLOAT64])),
            "order": order,
            "scale": more.draw(st.sampled_from([1.0, -1e-3, 1e12])),
            "exponent_from": {"signal": "code", "offset": more.draw(st.integers(-18, 18))},
            "fraction": {"address": 1, "type": more.draw(st.sampled_from([Encoding.FLOAT32, Encoding.UINT16]))},
        },
        "flow": {
            "table": "holding",
            "address": 2,
            "type": "float32",
            "unit": "m3/h",
            "unit_from": {"signal": "code", "codes": {0: "m3/h", 1: "L/s"}},
            "quality_from": {"signal": "code", "codes": {0: "ok", 1: "over-range"}},
        },
    }
    if kind is Encoding.BOOL:
        fields["x"]["bit"] = 3
    samples = Device(fields).read(data)
    for sample in samples.values():
        assert (sample.value is None) is (sample.quality is Quality.BAD)
        assert sample.quality is quality_of(sample.reason)
        assert not isinstance(sample.value, float) or math.isfinite(sample.value)


@pytest.mark.parametrize("name", profile_names())
def test_no_bytes_make_the_decoder_of_a_shipped_profile_fail(name: str) -> None:
    profile = load_profile(DEVICES / f"{name}.yaml")
    assert isinstance(profile, ModbusProfile)
    site = Site.model_validate(
        {
            "site": {"id": "bench"},
            "links": {"bus": {"type": "modbus-rtu", "port": "/dev/null"}},
            "devices": {"D": {"link": "bus", "unit": 1, "profile": name}},
        }
    )
    signals = list(signal_table(site, {"D": profile}).field)
    plan = DevicePlan(signals, profile, ZONE, Parameters(lambda field, before, now: None))
    largest = max(read.data_bytes for read in plan.reads)

    @given(st.binary(min_size=largest, max_size=largest))
    @settings(max_examples=30)
    def decode(data: bytes) -> None:
        for read in plan.reads:
            samples = read.decode(data[: read.data_bytes], RECEIVED)
            assert len(samples) == len(read.signals)
            for sample in samples:
                assert (sample.value is None) is (sample.quality is Quality.BAD)
                assert not isinstance(sample.value, float) or math.isfinite(sample.value)
            if read.torn is not None:
                read.torn.read(data[: read.data_bytes])

    decode()


# -- texts, times and codes are bound as numbers are ----------------------------------------------------------------

STATUS: dict[str, object] = {"signal": "status", "codes": {0: "ok", 2: "maintenance"}}
BOUND: Fields = {
    "text": {
        "table": "holding",
        "address": 0,
        "type": "string",
        "length": 2,
        "quality_from": STATUS,
        "time_from": "when",
    },
    "when": {"table": "holding", "address": 2, "type": "unix-time", "quality_from": STATUS},
    "status": {"table": "holding", "address": 4},
    "mode": {"table": "holding", "address": 5, "enum": {0: "stop", 1: "run"}, "time_from": "when"},
    "on": {"table": "holding", "address": 5, "switch": {"on": 1, "off": 0}, "time_from": "when"},
    "bit": {"table": "holding", "address": 5, "type": "bool", "bit": 0, "time_from": "when"},
    "number": {"table": "holding", "address": 5, "time_from": "when"},
}
WHEN_S = 1_700_000_000


def bound(status: int, when: int = WHEN_S) -> dict[str, Sample]:
    return Device(BOUND).read(b"ABCD" + struct.pack(">IHH", when, status, 1))


def test_a_text_and_a_time_have_the_quality_that_their_device_gives_them() -> None:
    read = bound(0)
    assert read["text"].value == "ABCD"
    assert read["when"].value == WHEN_S
    read = bound(2)
    assert is_bad(read["text"], Reason.MAINTENANCE)
    assert is_bad(read["when"], Reason.MAINTENANCE)


@pytest.mark.parametrize("name", ["text", "mode", "on", "bit", "number"])
def test_whatever_has_a_time_of_its_own_is_given_it_and_has_no_value_without(name: str) -> None:
    good = bound(0)[name]
    assert good.good
    assert good.source_time == WHEN_S
    assert bound(0, when=0)[name].value is None


@pytest.mark.parametrize("name", ["mode", "on", "bit", "number"])
def test_a_time_that_is_marked_bad_is_no_time_of_a_result(name: str) -> None:
    assert is_bad(bound(2)[name], Reason.NOT_A_NUMBER)
