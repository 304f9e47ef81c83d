"""What a bus knows of a unit: whether it answers, what a dead one may cost, and which late replies may still come."""

import pytest

from drivers.modbus.parameters import Parameters
from drivers.modbus.unit import DOWN_AFTER, MIN_PROBE_S, Unit
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
    for _ in range(times):
        unit.missed(0.0, TIMEOUT_S, 1.0, 0, others_answer=False)
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
