"""One unit after the rules of its profile: functions, limits, writes, commands and the watchdog, PDU by PDU."""

import struct
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from config.load import LoadedSite
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import signal_table
from config.site import Site
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.generic_station import GenericStation
from hil_sim.unit import Unit

SHANGHAI = ZoneInfo("Asia/Shanghai")
Signals = Mapping[str, Mapping[str, object]]

COMMAND_WORD: dict[str, object] = {"table": "holding", "address": 5, "writable": True}
WORDS: dict[str, Mapping[str, object]] = {
    "level": {"table": "holding", "address": 0},
    "setpoint": {"table": "holding", "address": 1, "writable": True},
    "wide": {"table": "holding", "address": 2, "type": "float32", "writable": True},
}


class Device:
    """A unit of a generic station, asked by PDUs in hex."""

    def __init__(self, signals: Signals, **profile: object) -> None:
        self.profile = ModbusProfile.model_validate({"protocol": "modbus", "signals": signals} | profile)
        site = Site.model_validate(
            {
                "site": {"id": "bench"},
                "links": {"bus": {"type": "modbus-tcp", "host": "192.0.2.1"}},
                "devices": {"D": {"link": "bus", "unit": 1, "profile": self.profile}},
            }
        )
        table = signal_table(site, {"D": self.profile})
        self.station = GenericStation(LoadedSite(Path("bench"), site, {"D": self.profile}, table), Settings())
        self.unit = Unit("D", 1, self.profile, table.field, self.station.points, SHANGHAI)
        self.now_s = 0.0

    def ask(self, pdu: str) -> str:
        """The reply PDU, in hex with a blank after the function."""
        reply = self.unit.respond(bytes.fromhex(pdu), self.now_s).pdu.hex()
        return f"{reply[:2]} {reply[2:]}"

    def words(self, address: int, count: int = 1) -> list[int]:
        reply = self.unit.respond(struct.pack(">BHH", 3, address, count), self.now_s).pdu
        assert reply[0] == 3, reply.hex()
        return list(struct.unpack(f">{count}H", reply[2:]))

    def write(self, address: int, *words: int) -> int:
        """Function 16; the exception code, 0 for none."""
        body = struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)
        reply = self.unit.respond(body, self.now_s).pdu
        return reply[1] if reply[0] & 0x80 else 0

    def value(self, name: str) -> Value:
        return self.station.values[f"D.{name}"]

    def put(self, name: str, value: Value) -> None:
        self.station.set(f"D.{name}", value)

    def passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.station.step(seconds)
        self.unit.watch(self.now_s)


# -- functions -------------------------------------------------------------------------------------------------


def test_read_write_writes_before_it_reads() -> None:
    device = Device(WORDS)
    assert device.ask("17 0000 0002 0001 0001 02 002A") == "17 040000002a"
    assert device.value("setpoint") == 42
    answer = device.unit.respond(bytes.fromhex("17 0000 0001 0001 0001 02 0007"), 0.0)
    assert (answer.read, answer.written) == ((0, b"\0\0"), (1, b"\0\7"))


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ("17 0000 0001 0001 0001 04 0007", 3),  # byte count of another number of registers
        ("17 0000 0001 0001 0001 02 00", 3),
        ("17 0000 0001 0001", 3),
        ("17 0000 0000 0001 0001 02 0007", 3),
        ("17 0000 0001 0000 0001 02 0007", 2),  # a register that takes no writes
        ("17 0009 0001 0001 0001 02 0007", 2),  # a register that there is not: nothing may have been written
        ("17 0000 0001 0001 007A F4" + "00" * 244, 3),
    ],
)
def test_a_read_write_is_carried_out_whole_or_not_at_all(pdu: str, code: int) -> None:
    device = Device(WORDS)
    assert device.ask(pdu) == f"97 {code:02x}"
    assert device.value("setpoint") == 0


def test_mask_write_changes_the_bits_that_it_names() -> None:
    signals = {
        "run": {"table": "holding", "address": 0, "type": "bool", "bit": 0, "writable": True},
        "mode": {"table": "holding", "address": 0, "bits": [4, 7]},
        "local": {"table": "holding", "address": 0, "type": "bool", "bit": 8},
    }
    device = Device(signals, writing={"bits": "mask"})
    device.put("mode", 9)
    device.put("local", True)
    assert device.ask("16 0000 FFFE 0001") == "16 0000fffe0001"
    assert device.value("run") is True
    assert device.words(0) == [0x0191]
    assert device.ask("16 0000 FFFE 0000") == "16 0000fffe0000"
    assert (device.value("run"), device.words(0)) == (False, [0x0190])
    assert device.ask("16 0001 FFFE 0000") == "96 02"
    assert device.ask("16 0000 FFFE") == "96 03"
    assert Device(signals).ask("16 0000 FFFE 0001") == "96 01"


def test_the_query_is_returned_and_no_other_diagnosis() -> None:
    device = Device(WORDS)
    assert device.ask("08 0000 A537") == "08 0000a537"
    assert device.ask("08 0001 0000") == "88 01"
    assert device.ask("08 00") == "88 01"


# -- limits ----------------------------------------------------------------------------------------------------


def test_no_read_and_no_write_crosses_an_area() -> None:
    signals = {
        f"v{address}": {"table": "holding", "address": address, "writable": address > 4} for address in range(1, 9)
    }
    device = Device(signals, base=1, limits={"areas": [[1, 4], [5, 8]]})
    assert device.words(0, 4) == [0] * 4
    assert device.words(4, 4) == [0] * 4
    assert device.ask("03 0003 0002") == "83 02"
    assert device.write(4, 1, 2, 3, 4) == 0
    assert device.write(3, 1, 2) == 2


# -- writing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("writing", "refused"),
    [
        ({}, set()),
        ({"registers": "single"}, {"10", "17"}),
        ({"registers": "multiple"}, {"06"}),
        ({"coils": "multiple"}, {"05"}),
    ],
)
def test_a_function_that_the_device_does_not_know_is_refused(writing: dict[str, str], refused: set[str]) -> None:
    signals = {
        "setpoint": WORDS["setpoint"],
        "run": {"table": "coil", "address": 0, "type": "bool", "writable": True},
    }
    device = Device(signals, writing=writing)
    requests = {
        "05": "0000 FF00",
        "06": "0001 0007",
        "0f": "0000 0001 01 01",
        "10": "0001 0001 02 0007",
        "17": "0001 0001 0001 0001 02 0007",
    }
    for function, rest in requests.items():
        reply = device.ask(f"{function} {rest}")
        expected = f"{int(function, 16) | 0x80:02x} 01" if function in refused else function
        assert reply.startswith(expected), function


def test_nothing_is_written_without_the_key() -> None:
    device = Device(WORDS, writing={"unlock": {"address": 40, "value": 46478}})
    assert device.write(1, 7) == 3
    assert device.write(40, 1) == 0
    assert device.write(1, 7) == 3
    assert device.value("setpoint") == 0
    assert device.write(40, 46478) == 0
    assert device.words(40) == [46478]
    assert device.write(1, 7) == 0
    assert device.value("setpoint") == 7


def test_a_range_that_may_be_written_holds_what_is_written() -> None:
    allow = [
        {"table": "holding", "first": 2234, "last": 2236},
        {"table": "coil", "first": 3, "last": 5},
    ]
    device = Device({"level": {"table": "holding", "address": 2230}}, writing={"allow": allow})
    assert device.write(2234, 1, 2, 3) == 0
    assert device.words(2234, 3) == [1, 2, 3]
    assert device.write(2236, 4, 5) == 2
    assert device.ask("06 08BB 0063") == "06 08bb0063"
    assert device.words(2235) == [99]
    assert device.ask("05 0004 FF00") == "05 0004ff00"
    assert device.ask("01 0003 0003") == "01 0102"
    assert device.ask("05 0006 FF00") == "85 02"


def test_a_bit_is_written_by_reading_changing_and_writing_its_register() -> None:
    signals = {
        "open": {"table": "holding", "address": 0, "type": "bool", "bit": 0, "writable": True},
        "close": {"table": "holding", "address": 0, "type": "bool", "bit": 1, "writable": True},
        "fault": {"table": "holding", "address": 0, "type": "bool", "bit": 9},
    }
    device = Device(signals)
    device.put("fault", True)
    assert device.words(0) == [0x0200]
    assert device.write(0, 0x0202) == 0
    assert (device.value("open"), device.value("close"), device.value("fault")) == (False, True, True)
    # What is not the master's stays as it is, and bits that are nobody's are kept.
    assert device.write(0, 0x4001) == 0
    assert (device.value("open"), device.value("close"), device.value("fault")) == (True, False, True)
    assert device.words(0) == [0x4201]


def test_bits_low_byte_first_stand_in_the_other_byte() -> None:
    signals = {"run": {"table": "holding", "address": 0, "type": "bool", "bit": 0, "order": "DCBA", "writable": True}}
    device = Device(signals)
    assert device.write(0, 0x0100) == 0
    assert device.value("run") is True
    device.put("run", False)
    assert device.words(0) == [0]


def test_what_is_written_is_read_back_bit_by_bit() -> None:
    device = Device(WORDS | {"pump": {**COMMAND_WORD, "switch": {"on": [2, 4], "off": [1, 0]}}})
    for code, on in ((4, True), (0, False), (2, True), (1, False)):
        assert device.write(5, code) == 0
        assert (device.value("pump"), device.words(5)) == (on, [code])
    # The first of the codes is the device's own word.
    device.put("pump", True)
    assert device.words(5) == [2]
    assert device.write(5, 3) == 3
    assert (device.value("pump"), device.words(5)) == (True, [2])


def test_a_number_is_read_back_as_it_was_written() -> None:
    device = Device(WORDS)
    assert device.write(2, 0x3DCC, 0xCCCD) == 0
    assert device.words(2, 2) == [0x3DCC, 0xCCCD]
    assert device.write(2, 0x7FA0, 0x0000) == 0
    assert device.value("wide") is None
    assert device.words(2, 2) == [0x7FA0, 0x0000]


def test_signals_of_one_register_each_take_what_they_know() -> None:
    """Rotork register 5: 0 stop, 1 close, 2 open, 3 ESD."""
    latched = {"kind": "latched", "confirm": {"signal": "opened", "within": "5 s"}}
    signals = {
        "opened": {"table": "discrete", "address": 2, "type": "bool"},
        "open": {**COMMAND_WORD, "switch": {"on": 2, "off": 1}, "command": latched},
        "esd": {**COMMAND_WORD, "switch": {"on": 3, "off": 0}, "command": latched},
    }
    device = Device(signals)
    assert device.write(5, 2) == 0
    assert (device.value("open"), device.value("esd")) == (True, False)
    assert device.write(5, 3) == 0
    assert (device.value("open"), device.value("esd")) == (True, True)
    assert device.write(5, 9) == 3


# -- commands --------------------------------------------------------------------------------------------------


def test_a_latched_command_cannot_be_read() -> None:
    confirm = {"signal": "level", "within": "5 s"}
    signals = WORDS | {"demand": {**COMMAND_WORD, "command": {"kind": "latched", "confirm": confirm}}}
    device = Device(signals)
    assert device.ask("03 0005 0001") == "83 02"
    assert device.write(5, 700) == 0
    assert device.value("demand") == 700
    assert device.ask("03 0005 0001") == "83 02"


def test_a_start_in_two_steps_needs_both() -> None:
    """A drive: 0x047E ready, then 0x047F run; 0x0400 stops it."""
    signals = WORDS | {
        "run": {**COMMAND_WORD, "switch": {"on": 0x047F, "off": 0x0400}, "command": {"prepare": 0x047E}},
    }
    device = Device(signals)
    assert device.write(5, 0x047F) == 3
    assert device.value("run") is False
    assert device.write(5, 0x047E) == 0
    assert (device.value("run"), device.words(5)) == (False, [0x047E])
    assert device.write(5, 0x047F) == 0
    assert (device.value("run"), device.words(5)) == (True, [0x047F])
    # Running, it may be told so again; stopped, it wants both steps again.
    assert device.write(5, 0x047F) == 0
    assert device.write(5, 0x0400) == 0
    assert device.write(5, 0x047F) == 3


def test_an_edge_counts_once_until_it_goes_back() -> None:
    signals = WORDS | {"reset": {**COMMAND_WORD, "switch": {"on": 1, "off": 0}, "command": {"kind": "edge"}}}
    device = Device(signals)
    for code in (1, 1, 0, 0, 1):
        assert device.write(5, code) == 0
    assert device.unit.pulses == {"D.reset": 2}


def test_an_action_is_answered_as_its_profile_says() -> None:
    actions = {
        "start": {"request": "03 25 00 00 01", "reply": "03 00", "reply_bytes": 4},
        "wipe": {"request": "10 31 00 00 00 00", "reply": "10 31 00 00 00"},
    }
    device = Device(WORDS, actions=actions)
    assert device.ask("03 2500 0001") == "03 000000"
    assert device.ask("10 3100 0000 00") == "10 31000000"
    assert device.ask("10 3100 0000 00") == "10 31000000"
    assert device.ask("03 2500 0002") == "83 02"
    assert device.unit.actions == {"start": 1, "wipe": 2}


# -- parameters ------------------------------------------------------------------------------------------------


def test_a_number_is_encoded_by_the_unit_and_exponent_that_stand_elsewhere() -> None:
    signals = {
        "flow": {
            "table": "holding",
            "address": 0,
            "type": "float32",
            "unit": "L/s",
            "unit_from": {"signal": "flow_unit", "codes": {5: "m3/h", 0: "L/s"}},
        },
        "flow_unit": {"table": "holding", "address": 9},
        "total": {
            "table": "input",
            "address": 0,
            "type": "int32",
            "unit": "m3",
            "exponent_from": {"signal": "power", "offset": -3},
        },
        "power": {"table": "holding", "address": 10, "bits": [4, 7]},
    }
    device = Device(signals)

    def flow() -> float:
        number: float = struct.unpack(">f", struct.pack(">2H", *device.words(0, 2)))[0]
        return number

    # At first the unit register holds a code that the profile lists.
    assert device.words(9) == [5]
    device.put("flow", 36.0)
    assert flow() == pytest.approx(36.0)
    device.put("flow_unit", 0)
    assert flow() == pytest.approx(10.0)
    device.put("total", 123.456)
    assert device.ask("04 0000 0002") == "04 04" + (123_456).to_bytes(4, "big").hex()
    device.put("power", 2)
    assert device.ask("04 0000 0002") == "04 04" + (1_235).to_bytes(4, "big").hex()
    table, data = device.profile.signals["total"].table, (1_235).to_bytes(4, "big")
    assert device.unit.decode(table, 0, data) == {"D.total": pytest.approx(123.5)}


# -- watchdog --------------------------------------------------------------------------------------------------

OUTPUTS: dict[str, Mapping[str, object]] = {
    "pump": {"table": "coil", "address": 0, "type": "bool", "writable": True},
    "speed": {"table": "holding", "address": 0, "unit": "%", "writable": True},
    "life": {"table": "holding", "address": 1, "writable": True},
}


def running(device: Device) -> tuple[Value, Value]:
    return device.value("pump"), device.value("speed")


def test_any_good_request_keeps_a_watchdog_quiet() -> None:
    device = Device(OUTPUTS, watchdog={"timeout": "3 s"})
    assert device.ask("05 0000 FF00") == "05 0000ff00"
    assert device.write(0, 60, 7) == 0
    for _ in range(4):
        device.passes(2)
        device.words(0)
    assert running(device) == (True, 60)
    device.passes(3.1)
    assert device.unit.watchdog.tripped
    assert running(device) == (False, 0)
    device.words(0)
    assert not device.unit.watchdog.tripped


@pytest.mark.parametrize(
    ("pattern", "beats", "alive"),
    [
        ("alternate", [1, 0, 1], True),
        ("alternate", [1, 1, 1], False),
        ("count", [1, 2, 3], True),
        ("count", [5, 5, 5], False),
        ("repeat", [1, 1, 1], True),
        ("repeat", [], False),
    ],
)
def test_a_heartbeat_must_beat_as_its_pattern_says(pattern: str, beats: list[int], alive: bool) -> None:
    heartbeat = {"signal": "life", "period": "1 s", "pattern": pattern}
    device = Device(OUTPUTS, watchdog={"timeout": "3 s", "heartbeat": heartbeat})
    assert device.ask("05 0000 FF00") == "05 0000ff00"
    device.passes(0.1)
    for number in range(3):
        device.passes(2)
        # Being read is no heartbeat.
        device.words(0)
        if beats:
            assert device.write(1, beats[number]) == 0
    assert running(device)[0] is alive
    # The outputs drop, the heartbeat's own register does not.
    assert device.value("life") == (beats[-1] if beats else 0)


def test_the_time_of_a_watchdog_stands_in_the_devices_own_parameter() -> None:
    signals = OUTPUTS | {
        "watchdog_time": {"table": "holding", "address": 2, "unit": "ms", "writable": True},
        "watchdog_on": {"table": "coil", "address": 1, "type": "bool", "writable": True},
    }
    device = Device(signals, watchdog={"timeout": "3 s"}, on_connect={"watchdog_time": 500, "watchdog_on": True})
    assert device.ask("05 0000 FF00") == "05 0000ff00"
    device.passes(60)
    assert running(device)[0] is True, "a watchdog that nobody has set does not bite"
    assert device.write(2, 500) == 0
    device.passes(60)
    assert running(device)[0] is True, "nor one that is not switched on"
    assert device.ask("05 0001 FF00") == "05 0001ff00"
    device.passes(0.4)
    assert running(device)[0] is True
    device.passes(0.2)
    assert running(device)[0] is False
    assert (device.value("watchdog_time"), device.value("watchdog_on")) == (0.5, True)


# -- faults of the device itself -------------------------------------------------------------------------------


def test_frozen_registers_show_the_moment_they_froze() -> None:
    device = Device(WORDS)
    device.put("level", 5)
    device.unit.fault("frozen", True, {})
    device.put("level", 6)
    assert device.words(0, 2) == [5, 0]
    assert device.write(1, 9) == 0
    assert (device.words(0, 2), device.value("setpoint")) == ([5, 0], 9)
    device.unit.fault("frozen", False, {})
    assert device.words(0, 2) == [6, 9]


def test_swapped_words_concern_numbers_of_several_registers_only() -> None:
    signals = WORDS | {"name": {"table": "holding", "address": 4, "type": "string", "length": 2}}
    device = Device(signals)
    device.put("name", "abcd")
    device.put("level", 0x1234)
    device.put("wide", 17.625)
    right = device.words(0, 6)
    device.unit.fault("swapped", True, {})
    assert device.words(0, 6) == [right[0], right[1], right[3], right[2], right[4], right[5]]
    assert device.write(2, 0x0000, 0x418D) == 0
    assert device.value("wide") == 17.625
    device.unit.fault("swapped", False, {})
    assert device.words(0, 6) == right


def test_a_torn_total_shows_its_new_whole_number_before_its_new_fraction() -> None:
    fraction = {"address": 2, "type": "uint16", "scale": 0.01}
    signals = {"total": {"table": "holding", "address": 0, "type": "uint32", "unit": "m3", "fraction": fraction}}
    device = Device(signals)
    device.put("total", 41.9)
    assert device.words(0, 3) == [0, 41, 90]
    device.unit.fault("torn", True, {})
    device.put("total", 42.1)
    assert [device.words(0, 3), device.words(0, 3), device.words(0, 3)] == [[0, 42, 90], [0, 42, 10], [0, 42, 10]]
    device.unit.fault("torn", False, {})
    device.put("total", 43.2)
    assert device.words(0, 3) == [0, 43, 20]


def test_what_a_device_reports_unasked_is_its_last_read() -> None:
    device = Device(WORDS)
    device.put("level", 7)
    assert device.unit.report() == bytes.fromhex("03 02 0007")
    device.words(1, 3)
    assert device.unit.report() == bytes.fromhex("03 06 0000 0000 0000")


@pytest.mark.parametrize(
    ("name", "settings", "functions", "words"),
    [
        ("bad-mood", {}, (), "there is: no-reply"),
        ("half-open", {}, (), "'half-open' is for a link on TCP"),
        ("late", {"delay_s": -1}, (), "from 0 to 3600"),
        ("late", {"speed": 1}, (), "takes delay_s, count, not speed"),
        ("busy", {"count": 0}, (), "from 1"),
        ("frozen", {"count": 1}, (), "takes no settings, not count"),
        ("frozen", {}, (3,), "not functions"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_in_words(
    name: str, settings: dict[str, float], functions: tuple[int, ...], words: str
) -> None:
    device = Device(WORDS)
    with pytest.raises(SimulatorError, match=words):
        device.unit.fault(name, True, settings, functions)
    assert device.unit.faults.active == {}
