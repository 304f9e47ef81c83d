"""One writer per actuator: protect outranks all, and what nobody wants goes to its safe position."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sample import Reason
from control.arbitration import Demand, Rank, strongest
from control.cause import Cause
from control.code import Code
from control.command import Op
from tests.control.bench import FillStation
from tests.control.test_continuous import PlantOutlet

CAUSE = Cause(Code.NOT_USED, "XV-1")


def demand(rank: Rank, value: bool | float) -> Demand:
    return Demand("XV-1", 0, value, rank, CAUSE)


def test_protect_outranks_every_order_of_the_others() -> None:
    others = [demand(rank, True) for rank in Rank if rank is not Rank.PROTECT]
    for order in permutations([*others, demand(Rank.PROTECT, False)]):
        assert strongest(list(order)).value is False


@given(st.lists(st.tuples(st.sampled_from(Rank), st.floats(0, 100)), min_size=1))
def test_no_demand_is_outranked_by_a_weaker_one(demands: list[tuple[Rank, float]]) -> None:
    won = strongest([demand(rank, value) for rank, value in demands])
    assert won.rank is max(rank for rank, _ in demands)


def test_between_equals_the_first_wins() -> None:
    assert strongest([demand(Rank.SEQUENCE, 1.0), demand(Rank.SEQUENCE, 2.0)]).value == 1.0


@pytest.mark.parametrize("station", [FillStation(), PlantOutlet()])
def test_the_safe_outputs_are_closed_and_off_and_leave_out_no_actuator(station: FillStation | PlantOutlet) -> None:
    program = station.program
    outputs = program.safe
    analog = station.loaded.site.analog_outputs
    assert [d.tag for d in outputs] == [*(v.tag for v in program.valves), *(p.tag for p in program.pumps), *analog]
    assert all(d.value in (False, 0.0) and d.rank is Rank.SAFE_DEFAULT for d in outputs)


def test_every_scan_gives_every_actuator_exactly_one_demand() -> None:
    station = FillStation()
    for _ in range(60):
        station.scan()
    station.order(1.0)
    for _ in range(100):
        station.scan()
        assert [d.tag for d in station.state.outputs] == ["XV-101", "P-101"]
        assert [station.program.signal_names[d.signal] for d in station.state.outputs] == [
            "RIO-101.xv_101",
            "RIO-101.p_101",
        ]


def test_without_an_order_valve_and_pump_are_in_their_safe_position() -> None:
    station = FillStation().ready()
    for demanded in station.state.outputs:
        assert demanded.value is False
        assert demanded.cause.code is Code.NO_ORDER


def test_before_anything_is_known_protect_holds_every_actuator() -> None:
    station = FillStation()
    station.silent = {"RIO-101", "FIT-101", "AIT-101", "AIT-102", "AIT-103", "PLC-100"}
    station.scan()
    assert all(d.rank is Rank.PROTECT and d.value is False for d in station.state.outputs)


@pytest.mark.parametrize(
    ("signal", "value", "reason"),
    [
        ("AIT-101.turbidity", 16.0, Reason.OK),
        ("AIT-101.turbidity", 2.0, Reason.OVER_RANGE),
        ("PLC-100.level", 0.5, Reason.OK),
        ("RIO-101.zsc_101", False, Reason.NO_COMMUNICATION),
    ],
)
def test_protect_takes_a_fill_from_the_sequence(signal: str, value: float, reason: Reason) -> None:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    assert {d.rank for d in station.state.outputs} == {Rank.SEQUENCE}
    station.values[signal] = value
    station.reasons[signal] = reason
    station.run(0.1 if reason is not Reason.NO_COMMUNICATION else 3.2)
    assert {d.rank for d in station.state.outputs} == {Rank.PROTECT}
    assert all(d.value is False for d in station.state.outputs)


def test_no_command_opens_what_protect_holds_closed() -> None:
    outlet = PlantOutlet().holding()
    outlet.values["AIT-201.turbidity"] = 25.0
    outlet.scan()
    for _ in range(50):
        outlet.ask(Op.SETPOINT, "RIVER", flow_m3h=150.0)
        outlet.ask(Op.RESET, "RIVER")
        assert outlet.output("FV-202") == 0.0
