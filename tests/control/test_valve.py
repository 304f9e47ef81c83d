"""Valves of every kind: local and remote, the actuator's own fault, sticking, two commands, strokes, the table."""

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Reason, Sample, Value
from control.cause import Cause
from control.code import Code
from control.instant import Instant
from control.positioner import Positioner
from control.strokes import StrokeWatch, to_saved
from control.valve import STAGES, TRANSITIONS, Position, Stage, Valve, ValveState
from tests.control.test_equipment import reading

TICK_S = 0.1
MOTOR = Valve("XV-1", 0, 1, None, 0.0, 4.0, output=4, remote=2, own_fault=3, strokes=StrokeWatch("XV-1", 4.0, 1.3))
TWO = Valve("XV-2", 0, 1, None, 0.0, 4.0, output=4, close_output=5)
FV = Valve(
    "FV-1",
    opened=None,
    closed=None,
    position=0,
    closed_below=1.0,
    travel=20.0,
    output=1,
    positioner=Positioner(20.0, 3.0, 5.0),
    strokes=StrokeWatch("FV-1", 20.0, 1.3),
)
FV_SWITCHED = Valve("FV-2", 1, 2, 0, 1.0, 20.0, output=3, positioner=Positioner(20.0, 3.0, 5.0))

OPEN, CLOSED, BETWEEN = (True, False), (False, True), (False, False)


@dataclass
class Worked:
    """A valve that is told something each scan and shown what its feedback says."""

    valve: Valve
    mono: float = 1000.0
    state: ValveState = field(default_factory=ValveState)
    stages: list[Stage] = field(default_factory=list)
    close: bool = False

    def show(self, told: Value, *shown: Value, seconds: float = TICK_S, reason: Reason = Reason.OK) -> Code | None:
        image: tuple[Sample, ...] = tuple(reading(value, reason) for value in shown)
        for _ in range(max(round(seconds / TICK_S), 1)):
            self.mono = round(self.mono + TICK_S, 6)
            now = Instant(self.mono, self.mono)
            self.state = self.valve.step(self.state, image, now)
            self.stages.append(self.state.stage)
            self.state = self.valve.commanded(self.state, told, now, close=self.close)
            self.stages.append(self.state.stage)
        return self.code

    def stroke(self, opens: bool, seconds: float) -> Code | None:
        """A whole stroke of a motor valve that takes so long."""
        self.show(opens, *(CLOSED if opens else OPEN), True, False)
        self.show(opens, *BETWEEN, True, False, seconds=seconds - TICK_S)
        return self.show(opens, *(OPEN if opens else CLOSED), True, False, seconds=10 * TICK_S)

    @property
    def code(self) -> Code | None:
        return self.state.fault.code if self.state.fault is not None else None

    def warned(self) -> set[Code]:
        return {cause.code for cause in self.valve.warnings(self.state)}


def test_a_valve_on_local_forbids_and_what_a_person_does_there_is_no_fault() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=20)
    assert valve.show(False, *CLOSED, False, False) is Code.VALVE_LOCAL
    assert valve.show(False, *OPEN, False, False, seconds=60) is Code.VALVE_LOCAL
    assert valve.state.stage is Stage.LOCAL


def test_back_on_remote_a_valve_has_its_full_time_to_close() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=20)
    valve.show(False, *OPEN, False, False, seconds=60)
    assert valve.show(False, *OPEN, True, False, seconds=5.9) is None
    assert valve.state.stage is Stage.CLOSING
    assert valve.show(False, *OPEN, True, False, seconds=0.4) is Code.VALVE_NOT_CLOSED


def test_an_unread_selector_is_an_unknown_valve_after_a_poll_or_two() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=10)
    lost = reading(True, Reason.NO_COMMUNICATION)
    image = (*(reading(one) for one in CLOSED), lost, reading(False))
    codes = []
    for _ in range(32):
        valve.mono += TICK_S
        valve.state = valve.valve.step(valve.state, image, Instant(valve.mono, valve.mono))
        codes.append(valve.code)
    assert codes[28] is None
    assert codes[-1] is Code.VALVE_UNKNOWN


def test_the_fault_bit_of_an_actuator_is_a_fault_at_once() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=10)
    assert valve.show(False, *CLOSED, True, True) is Code.VALVE_FAULT
    assert valve.state.stage is Stage.FAULT
    assert valve.show(False, *CLOSED, True, False) is None


def test_strokes_are_counted_and_timed() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=10)
    valve.stroke(True, 4.0)
    valve.stroke(False, 5.0)
    strokes = valve.state.strokes
    assert (strokes.count, strokes.opening_s, strokes.closing_s) == (2, 4.0, 5.0)
    assert valve.warned() == set()


def test_a_stroke_that_grows_is_a_warning_until_one_is_in_time_again() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=10)
    assert valve.stroke(True, 5.8) is None
    assert valve.warned() == {Code.VALVE_SLOW}
    saved = to_saved(valve.state.strokes)
    assert MOTOR.strokes is not None
    assert MOTOR.strokes.restored(saved).slow == valve.state.strokes.slow
    valve.stroke(False, 4.0)
    valve.stroke(True, 4.0)
    assert valve.warned() == set()


def test_a_stroke_that_is_turned_round_is_not_timed() -> None:
    valve = Worked(MOTOR)
    valve.show(False, *CLOSED, True, False, seconds=10)
    valve.show(True, *CLOSED, True, False)
    valve.show(True, *BETWEEN, True, False, seconds=2.0)
    valve.show(False, *BETWEEN, True, False, seconds=2.0)
    valve.show(False, *CLOSED, True, False, seconds=2.0)
    assert valve.state.strokes.count == 0


def test_a_positioned_valve_that_stands_still_under_a_new_demand_sticks_and_then_is_stuck() -> None:
    valve = Worked(FV)
    valve.show(40.0, 40.0, seconds=60)
    assert valve.show(80.0, 40.0, seconds=4.9) is None
    assert valve.warned() == set()
    valve.show(80.0, 40.0, seconds=0.5)
    assert valve.warned() == {Code.VALVE_STICKING}
    assert valve.show(80.0, 40.0, seconds=11.0) is None
    assert valve.show(80.0, 40.0, seconds=1.0) is Code.VALVE_NOT_REACHED
    assert valve.show(80.0, 40.0, seconds=20.0) is Code.VALVE_STUCK


def test_a_demand_that_creeps_does_not_hide_a_stuck_valve() -> None:
    valve = Worked(FV)
    valve.show(20.0, 20.0, seconds=60)
    demand, codes = 20.0, set()
    for _ in range(600):
        demand = min(demand + 0.1, 95.0)
        codes.add(valve.show(demand, 20.0))
    assert codes == {None, Code.VALVE_STUCK}


def test_a_valve_that_follows_a_creeping_demand_is_no_fault() -> None:
    valve = Worked(FV)
    demand = shown = 20.0
    for i in range(1200):
        demand = 50.0 + 40.0 * (1 if (i // 150) % 2 else -1)
        shown += min(max(demand - shown, -0.5), 0.5)
        assert valve.show(demand, shown) is None
        assert valve.warned() == set()


def test_the_time_of_a_move_is_scaled_by_its_distance() -> None:
    valve = Worked(FV)
    valve.show(50.0, 50.0, seconds=60)
    creeping = 50.0
    for _ in range(79):
        creeping += 0.05
        assert valve.show(60.0, creeping) is None
    assert valve.show(60.0, creeping, seconds=0.3) is Code.VALVE_NOT_REACHED


def test_a_positioned_valve_that_leaves_where_it_had_arrived_is_named() -> None:
    valve = Worked(FV)
    valve.show(50.0, 50.0, seconds=60)
    assert valve.show(50.0, 58.0, seconds=60) is None
    assert valve.show(50.0, 61.0, seconds=4.9) is None
    assert valve.show(50.0, 61.0, seconds=0.3) is Code.VALVE_DRIFTED


def test_a_limit_switch_against_the_position_is_a_contradiction_after_a_while() -> None:
    valve = Worked(FV_SWITCHED)
    valve.show(0.0, 0.0, False, True, seconds=60)
    assert valve.show(0.0, 40.0, False, True, seconds=2.9) is None
    assert valve.show(0.0, 40.0, False, True, seconds=0.3) is Code.VALVE_CONTRADICTION


def test_a_position_of_nil_without_the_closed_switch_is_not_proved_closed() -> None:
    valve = Worked(FV_SWITCHED)
    positions = []
    for closed in (False, True):
        valve.show(0.0, 0.0, False, closed)
        positions.append(valve.state.position)
    assert positions == [Position.BETWEEN, Position.CLOSED]


def test_a_positioned_valve_is_timed_over_long_moves_alone() -> None:
    valve = Worked(FV)
    valve.show(0.0, 0.0, seconds=5)
    for shown in (0.0, 20.0, 40.0, 60.0):
        valve.show(60.0, shown, seconds=4.0)
    assert valve.state.strokes.count == 1
    assert 12.0 < (valve.state.strokes.opening_s or 0.0) < 20.0
    valve.show(50.0, 50.0, seconds=5)
    assert valve.state.strokes.count == 1


def drive(valve: Worked, told: bool, shown: tuple[bool, bool], seconds: float = TICK_S) -> list[tuple[bool, bool]]:
    given = []
    for _ in range(round(seconds / TICK_S)):
        now = Instant(round(valve.mono + TICK_S, 6), 0.0)
        opens, closes = valve.valve.drive(valve.state, now, opens=told)
        valve.close = closes
        valve.show(opens, *shown)
        given.append((opens, closes))
    return given


def test_a_valve_with_two_commands_is_driven_closed_until_its_limit_and_then_rests() -> None:
    valve = Worked(TWO)
    assert drive(valve, False, BETWEEN, 4.0)[-1] == (False, True)
    assert drive(valve, False, CLOSED, 1.0)[-1] == (False, False)
    assert drive(valve, False, BETWEEN, 1.0)[-1] == (False, True)


def test_a_valve_with_two_commands_rests_before_it_turns_round() -> None:
    valve = Worked(TWO)
    drive(valve, False, CLOSED, 1.0)
    assert set(drive(valve, True, BETWEEN, 2.0)) == {(True, False)}
    turned = drive(valve, False, BETWEEN, 2.0)
    assert turned[:5] == [(False, False)] * 5
    assert turned[-1] == (False, True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([OPEN, CLOSED, BETWEEN]), st.integers(1, 8)), max_size=20))
def test_open_and_close_are_never_both_on_and_a_pause_is_between(
    steps: list[tuple[bool, tuple[bool, bool], int]],
) -> None:
    valve = Worked(TWO)
    given_ = [one for told, shown, ticks in steps for one in drive(valve, told, shown, ticks * TICK_S)]
    assert (True, True) not in given_
    for before, after in pairwise(given_):
        assert not (before == (True, False) and after == (False, True))
        assert not (before == (False, True) and after == (True, False))


SHOWN = st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 40))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), SHOWN), max_size=15))
def test_a_valve_moves_along_its_table_alone(steps: list[tuple[bool, tuple[bool, bool, bool, bool, int]]]) -> None:
    valve = Worked(MOTOR)
    for told, (opened, closed, remote, broken, ticks) in steps:
        valve.show(told, opened, closed, remote, broken, seconds=ticks * TICK_S)
    for before, after in pairwise(valve.stages):
        assert before is after or after in TRANSITIONS[before], f"{before} to {after}"


def test_every_stage_says_what_it_means() -> None:
    assert set(STAGES) == set(Stage) == set(TRANSITIONS)


def test_nothing_new_is_the_same_state() -> None:
    valve = Worked(FV)
    valve.show(50.0, 50.0, seconds=60)
    before = valve.state
    valve.show(50.0, 50.0, seconds=1)
    assert valve.state is before


def test_a_fault_is_named_with_its_figures() -> None:
    valve = Worked(FV)
    valve.show(40.0, 40.0, seconds=60)
    valve.show(80.0, 40.0, seconds=18.0)
    assert valve.state.fault == Cause(Code.VALVE_NOT_REACHED, "FV-1", ("40 %", "80 %", "17 s"))
