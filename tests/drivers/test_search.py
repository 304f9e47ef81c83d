"""The order in which a bus is searched, and what is concluded from what was heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.encoding import Table
from config.profile import ModbusProfile
from drivers.modbus.framing import crc
from drivers.modbus.probe import Answer
from drivers.modbus.raw import Place
from drivers.modbus.search import (
    FIRST_QUESTION,
    UNITS,
    Log,
    Search,
    Setting,
    Try,
    addresses,
    hints,
    overheard,
    questions,
    settings,
    smallest,
    thorough_questions,
    usual_units,
)
from drivers.modbus.transaction import Outcome, Result

SLOW, FAST = Setting(9600, "N", 1), Setting(19200, "E", 1)


def profile(unit: int | None = None, baudrate: int | None = None, parity: str | None = None) -> ModbusProfile:
    return ModbusProfile.model_validate(
        {
            "protocol": "modbus",
            "serial": {"unit": unit, "baudrate": baudrate, "parity": parity},
            "signals": {
                "turbidity": {
                    "table": "holding",
                    "address": 0x2600,
                    "type": "float32",
                    "quality_from": {"signal": "error", "codes": {0: "ok"}},
                },
                "error": {"table": "holding", "address": 0x2602},
                "interval": {"table": "holding", "address": 0x3200},
            },
        }
    )


KNOWN = [profile(1, 9600, "N"), profile(247, 19200, "E"), profile(1, 9600, "N")]


def frame(unit: int, pdu: str) -> bytes:
    body = bytes([unit]) + bytes.fromhex(pdu)
    return body + crc(body)


def mbap(transaction: int, unit: int, pdu: str) -> bytes:
    data = bytes.fromhex(pdu)
    return transaction.to_bytes(2, "big") + bytes(2) + (len(data) + 1).to_bytes(2, "big") + bytes([unit]) + data


ASKED = frame(7, "03 00 00 00 01")


def test_the_settings_of_most_instruments_come_first() -> None:
    tried = settings(KNOWN)
    assert tried[:2] == [SLOW, FAST]
    assert len(tried) == len(set(tried)) == 16
    assert settings(KNOWN, (19200,), ("N", "E", "O")) == [FAST, Setting(19200, "N", 1), Setting(19200, "O", 1)]


def test_the_units_that_instruments_leave_the_factory_with_come_first() -> None:
    assert usual_units(KNOWN, UNITS)[:4] == [1, 247, 2, 3]
    assert usual_units(KNOWN, range(3, 6)) == [3, 4, 5]


def test_a_unit_is_asked_for_what_an_instrument_of_that_number_has() -> None:
    assert smallest(KNOWN[0]) == Place(Table.HOLDING, 0x3200, 1)
    assert questions(KNOWN, 1) == [FIRST_QUESTION, Place(Table.HOLDING, 0x3200, 1), Place(Table.INPUT, 0, 1)]
    assert questions(KNOWN, 2) == [FIRST_QUESTION, Place(Table.INPUT, 0, 1)]
    assert FIRST_QUESTION not in thorough_questions(KNOWN)
    assert {0x2600, 0x3200, 0, 100} <= set(addresses(KNOWN))


def test_every_unit_is_asked_at_every_setting_until_one_answers() -> None:
    search = Search(KNOWN, [SLOW, FAST], range(1, 13), tcp=False, thorough=False)
    asked = {(one.setting, one.unit) for one in search}
    assert asked == {(setting, unit) for setting in (SLOW, FAST) for unit in range(1, 13)}


def test_once_a_unit_has_answered_the_bus_has_its_setting() -> None:
    search = Search(KNOWN, [SLOW, FAST], range(1, 13), tcp=False, thorough=False)
    for one in search:
        if one.setting == FAST and one.unit == 3:
            search.heard(3, FAST)
            break
    rest = list(search)
    assert {one.setting for one in rest} == {FAST}
    assert {one.unit for one in rest} == {*range(4, 13)}


def test_what_is_left_shrinks_with_every_try() -> None:
    search = Search(KNOWN, [SLOW], range(1, 5), tcp=False, thorough=True)
    every = list(search.left(None))
    taken = [next(search) for _ in range(3)]
    assert list(search.left(taken[-1])) == every[3:]


def test_a_thorough_search_asks_the_silent_for_everything_known() -> None:
    asked = list(Search(KNOWN, [SLOW], [50], tcp=False, thorough=True))
    assert [one.question for one in asked] == [FIRST_QUESTION, *thorough_questions(KNOWN)]


@pytest.mark.parametrize(
    ("heard", "echo", "units", "rubbish"),
    [
        (b"", False, (), 0),
        (ASKED, True, (), 0),
        (frame(7, "03 02 00 2a"), False, (7,), 0),
        (ASKED + frame(7, "83 02"), True, (7,), 0),
        (frame(2, "03 02 34 7d"), False, (2,), 0),
        (b"\xff\x00" + frame(7, "03 02 00 2a"), False, (7,), 2),
        (frame(7, "03 02 00 2a")[:-1] + b"\x00", False, (), 7),
        (frame(7, "83 0b"), False, (), 0),
    ],
)
def test_what_is_heard_on_a_line_is_taken_apart(heard: bytes, echo: bool, units: tuple[int, ...], rubbish: int) -> None:
    assert overheard(heard, ASKED, tcp=False) == (echo, units, rubbish)


def test_what_a_gateway_says_for_a_silent_unit_is_no_frame_of_that_unit() -> None:
    heard = mbap(1, 5, "83 0b") + mbap(2, 6, "03 02 00 01")
    assert overheard(heard, b"", tcp=True).units == (6,)


@given(heard=st.binary(max_size=300), tcp=st.booleans())
def test_any_bytes_can_be_heard(heard: bytes, tcp: bool) -> None:
    found = overheard(heard, ASKED, tcp=tcp)
    assert 0 <= found.rubbish <= len(heard)


def answer(outcome: Outcome, pdu: str = "", heard: bytes = b"", before: bytes = b"") -> Answer:
    return Answer(Result(outcome, bytes.fromhex(pdu), 0.0, 0.02), ASKED, before, heard)


def at(unit: int, setting: Setting | None = SLOW) -> Try:
    return Try(setting, unit, FIRST_QUESTION)


def test_a_unit_that_refuses_is_alive() -> None:
    log = Log(tcp=False)
    found = log.note(at(7), answer(Outcome.EXCEPTION, "83 02", frame(7, "83 02")))
    assert found is not None
    assert "exception 02" in found.says
    assert hints(log, serial=True) == []


def test_a_gateway_that_says_0b_is_alive_and_the_unit_is_not() -> None:
    log = Log(tcp=True)
    assert log.note(at(7, None), answer(Outcome.EXCEPTION, "83 0b")) is None
    [said] = hints(log, serial=False)
    assert "the gateway is alive" in said


def test_an_answer_that_comes_while_the_next_is_asked_is_one_that_is_late() -> None:
    log = Log(tcp=False)
    assert log.note(at(7), answer(Outcome.TIMEOUT)) is None
    found = log.note(at(8), answer(Outcome.TIMEOUT, heard=frame(7, "03 02 00 2a")))
    assert found is not None
    assert (found.unit, found.late) == (7, True)
    between = Log(tcp=False)
    between.note(at(7), answer(Outcome.TIMEOUT))
    found = between.note(at(8), answer(Outcome.TIMEOUT, before=frame(7, "03 02 00 2a")))
    assert found is not None
    assert found.unit == 7


def test_a_unit_that_answers_as_another_is_told_of_with_its_number() -> None:
    log = Log(tcp=False)
    log.note(at(0), answer(Outcome.REPLY, "03 02 34 7d", frame(2, "03 02 34 7d")))
    [said] = hints(log, serial=True)
    assert "asked as unit 0 it answers as unit 2" in said


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([answer(Outcome.TIMEOUT)], "A and B"),
        ([answer(Outcome.TIMEOUT, heard=ASKED)], "local_echo: true"),
        ([answer(Outcome.TIMEOUT, heard=b"\x00\xf8\x80\x07\xff\x12\x34\x99")], "another speed or parity"),
        ([answer(Outcome.TIMEOUT, heard=frame(99, "03 02 00 01"))], "frames of unit 99"),
    ],
)
def test_what_was_heard_leads_to_what_to_look_at(answers: list[Answer], told: str) -> None:
    log = Log(tcp=False)
    for unit, one in enumerate(answers, 7):
        log.note(at(unit), one)
    assert any(told in said for said in hints(log, serial=True))


def test_rubbish_of_one_unit_beside_good_ones_is_two_with_one_address() -> None:
    log = Log(tcp=False)
    log.note(at(1), answer(Outcome.REPLY, "03 02 00 2a", frame(1, "03 02 00 2a")))
    log.note(at(7), answer(Outcome.TIMEOUT, heard=b"\x07\x03\x02\x55\x01\x99\x12"))
    [said] = hints(log, serial=True)
    assert said.startswith("unit 7 at 9600 8N1")
    assert "two units with one address" in said
