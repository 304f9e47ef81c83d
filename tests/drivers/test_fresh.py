"""A fresh reading of a device: what it takes, and what is said of what the device refuses."""

import struct
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import pytest

from config.profile import ModbusProfile
from config.sample import Reason
from drivers.modbus.fresh import DeviceReader
from drivers.modbus.procedure import Ask, outcome_text
from drivers.modbus.transaction import Outcome, Result
from tests.drivers.sites import table_of

FIELDS: dict[str, dict[str, object]] = {
    "level": {"table": "holding", "address": 0},
    "flow": {"table": "holding", "address": 1},
    "total": {
        "table": "holding",
        "address": 10,
        "type": "uint32",
        "unit": "m3",
        "fraction": {"address": 12, "type": "uint16", "scale": 0.001},
    },
    "amount": {
        "table": "holding",
        "address": 20,
        "unit": "m3",
        "unit_from": {"signal": "code", "codes": {0: "m3", 1: "L"}},
    },
    "code": {"table": "holding", "address": 30},
    "order": {
        "table": "holding",
        "address": 40,
        "writable": True,
        "command": {"kind": "latched", "confirm": {"signal": "level", "within": "1 s"}},
    },
}


class Registers:
    """A device that has some registers; ``replies`` come first, one for each request."""

    def __init__(self, words: Mapping[int, int], replies: list[Result] | None = None) -> None:
        self.words = words
        self.replies = replies or []
        self.asked: list[tuple[int, int]] = []

    async def __call__(self, ask: Ask) -> Result:
        _, address, count = struct.unpack(">BHH", ask.pdu)
        self.asked.append((address, count))
        if self.replies:
            return self.replies.pop(0)
        if any(address + i not in self.words for i in range(count)):
            return exception(2)
        return reply(*(self.words[address + i] for i in range(count)))


def reply(*words: int) -> Result:
    return Result(Outcome.REPLY, bytes((3, 2 * len(words))) + struct.pack(f">{len(words)}H", *words), 0.0, 0.01)


def exception(code: int) -> Result:
    return Result(Outcome.EXCEPTION, bytes((0x83, code)), 0.0, 0.01)


SILENCE = Result(Outcome.TIMEOUT, b"", 0.0, 0.1)
WORDS = {0: 5, 1: 6, 10: 0, 11: 7, 12: 250, 20: 1500, 30: 1}


def reader(fields: Mapping[str, Mapping[str, object]] = FIELDS) -> DeviceReader:
    site, table = table_of(fields)
    profile = site.devices["D"].profile
    assert isinstance(profile, ModbusProfile)
    return DeviceReader(list(table.field), profile, ZoneInfo("UTC"))


async def test_every_signal_is_read_in_as_few_requests_as_the_polls_take() -> None:
    device = Registers(WORDS)
    readings = {one.signal.field: one for one in await reader().read(device)}
    assert list(readings) == list(FIELDS)
    assert readings["total"].sample.value == pytest.approx(7.25)
    assert readings["flow"].sample.value == 6
    # Its unit stands in another register, which is read first.
    assert readings["amount"].sample.value == pytest.approx(1.5)
    assert device.asked[0] == (30, 1)
    assert (0, 2) in device.asked
    assert readings["order"].sample.reason is Reason.WRITE_ONLY
    assert not any(address == 40 for address, _ in device.asked)


async def test_one_signal_is_read_with_what_says_how_to_read_it_and_nothing_else() -> None:
    device = Registers(WORDS)
    [reading] = await reader().read(device, ["amount"])
    assert reading.sample.value == pytest.approx(1.5)
    assert device.asked == [(30, 1), (20, 1)]


async def test_a_block_that_is_refused_is_taken_apart_and_the_rest_is_read() -> None:
    device = Registers({address: word for address, word in WORDS.items() if address != 1})
    readings = {one.signal.field: one for one in await reader().read(device)}
    assert readings["level"].sample.value == 5
    assert readings["flow"].sample.reason is Reason.DEVICE_REFUSED
    assert readings["flow"].error == "exception 02 illegal data address"


async def test_a_device_that_says_nothing_is_not_asked_for_every_part() -> None:
    device = Registers({}, [SILENCE] * 20)
    readings = await reader().read(device)
    assert {one.error for one in readings if one.sample.reason is Reason.NO_COMMUNICATION} == {"no reply"}
    assert len(device.asked) == 4


async def test_a_busy_device_is_asked_again() -> None:
    device = Registers(WORDS, [exception(6), exception(6)])
    [reading] = await reader().read(device, ["level"])
    assert reading.sample.value == 5
    assert len(device.asked) == 3


async def test_a_total_whose_parts_are_being_changed_is_read_until_it_stands() -> None:
    device = Registers(WORDS, [reply(0, 7, 3), *[reply(0, 8, 4)] * 20])
    [reading] = await reader().read(device, ["total"])
    assert reading.sample.value == pytest.approx(8.004)
    assert reading.sample.good


async def test_a_total_that_falls_silent_before_it_stands_is_none() -> None:
    device = Registers(WORDS, [reply(0, 7, 999), *[SILENCE] * 9])
    [reading] = await reader().read(device, ["total"])
    assert reading.sample.reason is Reason.DEVICE_FAULT
    assert reading.error


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (reply(1), ""),
        (exception(0x0B), "exception 0B gateway: target did not answer"),
        (SILENCE, "no reply"),
        (Result(Outcome.LOST, b"link field is down", 0.0, 0.0), "link field is down"),
        (Result(Outcome.LOST, b"", 0.0, 0.0), "connection lost"),
        (Result(Outcome.MALFORMED, b"\x03\x01", 0.0, 0.0), "malformed reply 03 01"),
    ],
)
def test_what_came_of_a_request_in_words(result: Result, text: str) -> None:
    assert outcome_text(result) == text
