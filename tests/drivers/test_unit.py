"""What a bus knows of a unit: whether it answers, what a dead one may cost, and which late replies may still come."""

import pytest

from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import MUTE_AFTER
from drivers.modbus.unit import DOWN_AFTER, DRAIN_TIMEOUTS, LATEST_S, MAX_LATE, MIN_PROBE_S, Unit
from drivers.port import DeviceStatus
from tests.drivers.sites import Fields
from tests.drivers.test_plan import plan_of

TIMEOUT_S = 1.0
WIDE: Fields = {
    "level": {"table": "holding", "address": 0},
    "flow": {"table": "holding", "address": 10},
    "wide": {"table": "holding", "address": 20, "type": "float32"},
    "run": {"table": "coil", "address": 0, "type": "bool"},
}


def unit_of(fields: Fields = WIDE) -> Unit:
    plan, _ = plan_of(fields)
    parameters = Parameters(lambda field, before, now: None)
    return Unit("D", 1, False, 0.0, (0,), DeviceStatus(), plan, parameters)


def silenced(unit: Unit, times: int) -> Unit:
    unit.silent += times
    return unit


# -- a unit that is down --------------------------------------------------------------------------------------------


def test_one_lost_frame_takes_no_unit_down() -> None:
    assert not silenced(unit_of(), DOWN_AFTER - 1).down
    assert silenced(unit_of(), DOWN_AFTER).down


def test_a_unit_that_was_never_heard_is_awaited_as_long_as_any() -> None:
    assert silenced(unit_of(), DOWN_AFTER).probe_timeout(TIMEOUT_S) == TIMEOUT_S


def test_a_unit_that_was_quick_is_awaited_briefly_at_first_and_then_longer() -> None:
    unit = silenced(unit_of(), DOWN_AFTER)
    unit.status.round_trips.append(0.002)
    assert unit.probe_timeout(TIMEOUT_S) == MIN_PROBE_S
    awaited = []
    for _ in range(2000):
        silenced(unit, 1)
        awaited.append(unit.probe_timeout(TIMEOUT_S))
    assert awaited == sorted(awaited)
    # It may have become slow: what answers in time when it is up must be found when it is back.
    assert awaited[5] == TIMEOUT_S


@pytest.mark.parametrize("slowest", [0.02, 0.2, 0.4])
def test_a_slow_unit_is_awaited_by_its_slowest_round_trip(slowest: float) -> None:
    unit = silenced(unit_of(), DOWN_AFTER)
    unit.status.round_trips.extend([0.001, slowest, 0.001])
    assert unit.probe_timeout(TIMEOUT_S) == pytest.approx(min(4 * slowest, TIMEOUT_S))


def test_a_unit_is_probed_by_what_it_answered_last() -> None:
    unit = unit_of()
    first, second, *_ = unit.plan.probes
    silenced(unit, DOWN_AFTER)
    assert unit.probe() is first
    unit.has_answered(second.pdu)
    assert unit.probe() is second
    unit.has_answered(first.pdu)
    unit.left_unanswered(first.pdu)
    assert unit.probe() is second


def test_every_read_of_a_unit_is_tried_when_none_helps() -> None:
    unit = silenced(unit_of(), DOWN_AFTER)
    unit.has_answered(unit.plan.probes[0].pdu)
    tried = set()
    for _ in range(2 * len(unit.plan.probes)):
        tried.add(unit.probe().pdu)
        silenced(unit, 1)
    assert tried == {read.pdu for read in unit.plan.probes}


# -- late replies ---------------------------------------------------------------------------------------------------

ONE, TWO, COILS = b"\x03\x02", b"\x03\x04", b"\x01\x01"
"""How the replies to a read of one register, of two, and of some coils begin."""


def after(*given_up: bytes, fields: Fields = WIDE) -> Unit:
    """A unit that has answered all its reads once, and then left some unanswered."""
    unit = unit_of(fields)
    for read in unit.plan.reads:
        unit.has_answered(read.pdu)
    for second, start in enumerate(given_up):
        unit.may_still_answer(start, float(second))
    return unit


def late(unit: Unit, now: float = 10.0) -> list[bytes]:
    return [start for start in (ONE, TWO, COILS) if unit.may_be_late(start, now)]


def test_a_reply_of_another_kind_proves_that_none_to_an_earlier_request_will_come() -> None:
    unit = after(ONE, TWO)
    unit.heard(COILS, 5.0, whole=True)
    assert late(unit) == []


def test_a_reply_may_be_the_late_one_of_its_kind() -> None:
    unit = after(ONE, TWO, ONE)
    unit.heard(TWO, 5.0, whole=True)
    # The first of them is settled; the last, and what has just been asked, may still be answered.
    assert late(unit) == [ONE, TWO]
    unit.heard(ONE, 6.0, whole=True)
    unit.heard(COILS, 7.0, whole=True)
    assert late(unit) == []


def test_a_refusal_may_be_that_of_any_request_of_its_function() -> None:
    unit = after(ONE, TWO)
    unit.heard(COILS, 5.0, whole=False)
    assert late(unit) == []
    unit = after(ONE, TWO)
    unit.heard(b"\x03\x08", 5.0, whole=False)
    assert late(unit) == [TWO]
    assert unit.may_be_late(b"\x03\x08", 10.0)


def test_the_reply_of_an_action_is_minded_too() -> None:
    unit = after(b"\x03\x02\x00")
    assert late(unit) == [ONE]
    unit = after(ONE)
    assert unit.may_be_late(b"\x03", 10.0)
    assert not unit.may_be_late(b"\x04", 10.0)


def test_no_reply_is_awaited_for_ever() -> None:
    unit = after(ONE)
    assert late(unit, LATEST_S - 1) == [ONE]
    assert late(unit, LATEST_S + 1) == []
    for second in range(10_000):
        unit.may_still_answer(ONE, float(second))
    assert len(unit.late) <= MAX_LATE


def test_late_replies_are_cleared_up_by_a_request_that_is_known_to_be_answered() -> None:
    unit = after(ONE)
    asked = unit.unlike(ONE, 1.0, TIMEOUT_S)
    assert asked is not None
    assert asked.reply_start == COILS
    unit = after(COILS, ONE)
    asked = unit.unlike(ONE, 1.0, TIMEOUT_S)
    assert asked is not None
    assert asked.reply_start == TWO


def test_of_requests_that_were_all_given_up_the_last_is_asked_again() -> None:
    unit = after(COILS, TWO, ONE)
    asked = unit.unlike(ONE, 3.0, TIMEOUT_S)
    assert asked is not None
    assert asked.reply_start == TWO
    unit = after(TWO, ONE, COILS)
    asked = unit.unlike(ONE, 3.0, TIMEOUT_S)
    assert asked is not None
    assert asked.reply_start == COILS


def test_a_block_is_asked_for_in_part_when_there_is_nothing_else() -> None:
    unit = after(b"\x03\x06", fields={f"r{at}": {"table": "holding", "address": at} for at in range(3)})
    asked = unit.unlike(b"\x03\x06", 1.0, TIMEOUT_S)
    assert asked is not None
    assert asked.pdu in {bytes.fromhex(pdu) for pdu in ("0300000001", "0300000002", "0300010001", "0300020001")}


def test_a_unit_of_one_lone_register_is_left_alone_until_its_late_reply_must_have_come() -> None:
    unit = after(ONE, fields={"level": {"table": "holding", "address": 0}})
    assert unit.unlike(ONE, 1.0, TIMEOUT_S) is None
    assert unit.may_be_late(ONE, 1.0)
    assert unit.unlike(ONE, DRAIN_TIMEOUTS * TIMEOUT_S, TIMEOUT_S) is None
    assert not unit.may_be_late(ONE, DRAIN_TIMEOUTS * TIMEOUT_S)


def test_registers_that_were_never_answered_are_asked_for_in_vain_only_so_often() -> None:
    unit = unit_of()
    others = [read.pdu for read in unit.plan.reads if read.reply_start != ONE]
    unit.has_answered(next(read.pdu for read in unit.plan.reads if read.reply_start == ONE))
    unit.may_still_answer(ONE, 0.0)
    for _ in range(MUTE_AFTER):
        assert unit.unlike(ONE, 1.0, TIMEOUT_S) is not None
        for pdu in others:
            unit.left_unanswered(pdu)
    assert unit.unlike(ONE, 1.0, TIMEOUT_S) is None
    unit.has_answered(others[0])
    assert unit.unlike(ONE, 1.0, TIMEOUT_S) is not None
