"""Pumps: what their motors may be asked, dry running, closed paths, local and remote, and their groups."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Reason, Sample, Value
from control import pump as pump_file
from control.cause import Cause
from control.code import Code
from control.dry_run import DryRun, Sign
from control.instant import Instant
from control.pump import STAGES, TRANSITIONS, Pump, PumpState, Stage
from control.pump_duty import Duty
from control.pump_group import GroupInputs, GroupState, PumpGroup, Staging
from tests.control.test_equipment import reading

TICK_S = 1.0
DUTY = Duty("P-1", starts_per_hour=3, start_interval=900.0, min_on=60.0, min_off=120.0)
PUMP = Pump("P-1", running=0, start_timeout=3.0, output=9, remote=1, own_fault=2, duty=DUTY)
DRAWN = Cause(Code.FILLING, "FILL-1", ("o-1", "1 m3"))


@dataclass
class Worked:
    """A pump that is told something each tick and shown what its signals say."""

    pump: Pump = PUMP
    mono: float = 10_000.0
    state: PumpState = field(default_factory=PumpState)
    stages: list[Stage] = field(default_factory=list)

    @property
    def now(self) -> Instant:
        return Instant(self.mono, 1_790_000_000.0 + self.mono)

    def show(
        self, told: bool, *shown: Value, seconds: float = TICK_S, reason: Reason = Reason.OK, closed: bool = False
    ) -> Code | None:
        image: tuple[Sample, ...] = tuple(reading(value, reason) for value in shown)
        for _ in range(max(round(seconds / TICK_S), 1)):
            self.mono += TICK_S
            self.state = self.pump.step(self.state, image, self.now, path_closed=closed)
            self.stages.append(self.state.stage)
            self.state = self.pump.commanded(self.state, told, self.now)
            self.stages.append(self.state.stage)
        return self.state.fault.code if self.state.fault is not None else None

    def waits(self) -> Code | None:
        cause = self.pump.waits(self.state, self.now)
        return cause.code if cause is not None else None

    def run(self, seconds: float) -> None:
        """Runs for so long and stops."""
        self.show(True, False, True, False)
        self.show(True, True, True, False, seconds=seconds)
        self.show(False, False, True, False, seconds=2)


def test_a_pump_on_local_forbids_and_is_no_fault_whatever_a_person_does() -> None:
    pump = Worked()
    pump.show(False, False, True, False, seconds=5)
    assert pump.show(False, True, False, False, seconds=30) is Code.PUMP_LOCAL
    assert pump.show(False, True, True, False, seconds=3) is None
    assert pump.show(False, True, True, False, seconds=2) is Code.PUMP_NOT_STOPPED


def test_the_fault_bit_of_a_starter_is_a_fault_at_once() -> None:
    pump = Worked()
    assert pump.show(False, False, True, True) is Code.PUMP_FAULT
    assert pump.state.stage is Stage.FAULT


def test_a_pump_waits_for_its_standstill_then_for_the_time_between_starts() -> None:
    pump = Worked()
    pump.show(False, False, True, False)
    assert pump.waits() is None
    pump.run(870.0)
    assert pump.waits() is Code.PUMP_MIN_OFF
    pump.show(False, False, True, False, seconds=120)
    assert pump.waits() is None
    pump.run(60.0)
    assert pump.waits() is Code.PUMP_START_INTERVAL


def test_what_a_person_starts_counts() -> None:
    pump = Worked(Pump("P-1", 0, 3.0, 9, remote=1, own_fault=2, duty=Duty("P-1", 3, 0.0, 0.0, 0.0)))
    for _ in range(3):
        pump.show(False, True, False, False, seconds=20)
        pump.show(False, False, False, False, seconds=20)
    assert pump.waits() is Code.PUMP_STARTS_PER_HOUR
    assert pump.state.duty.starts == 3
    pump.show(False, False, True, False, seconds=3600 - 110)
    assert pump.waits() is None


def test_a_run_that_is_too_short_is_a_warning_until_the_next_start() -> None:
    pump = Worked()
    pump.run(30.0)
    assert pump.state.duty.short is not None
    pump.show(False, False, True, False, seconds=900)
    pump.show(True, False, True, False)
    assert pump.state.duty.short is None


def test_hours_and_starts_and_waiting_survive_a_restart() -> None:
    pump = Worked()
    pump.run(100.0)
    saved = pump_file.to_saved(pump.state, pump.now)
    later = Instant(50.0, pump.now.utc + 10.0)
    back = PUMP.restored(saved, later)
    assert back.duty.starts == 1
    assert back.duty.run_s == pytest.approx(100.0, abs=2.0)
    waits = PUMP.waits(back, later)
    assert waits is not None
    assert waits.code is Code.PUMP_START_INTERVAL
    assert PUMP.waits(back, Instant(50.0 + 900.0, 0.0)) is None


def test_a_clock_that_went_back_over_a_restart_makes_the_wait_no_shorter() -> None:
    pump = Worked()
    pump.run(100.0)
    saved = pump_file.to_saved(pump.state, pump.now)
    back = PUMP.restored(saved, Instant(50.0, pump.now.utc - 86400.0))
    assert PUMP.waits(back, Instant(50.0 + 899.0, 0.0)) is not None
    assert PUMP.waits(back, Instant(50.0 + 900.0, 0.0)) is None


def dry(sign: Sign, below: float, after: float) -> Pump:
    check = DryRun("P-1", sign, 1, f"X.{sign}", "m", below, after)
    return Pump("P-1", 0, 3.0, 9, dry=(check,))


@pytest.mark.parametrize("sign", list(Sign))
def test_a_pump_that_runs_without_water_is_stopped_after_its_time(sign: Sign) -> None:
    pump = Worked(dry(sign, 0.5, 5.0))
    pump.show(True, False, 1.0)
    pump.show(True, True, 1.0, seconds=10)
    assert pump.show(True, True, 0.4, seconds=5) is None
    assert pump.show(True, True, 0.4) is Code.PUMP_DRY
    assert pump.state.fault is not None
    assert pump.state.fault.seen is not None
    assert pump.state.fault.seen.value == 0.4


def test_no_water_at_the_suction_forbids_a_start_until_it_is_there() -> None:
    pump = Worked(dry(Sign.SUCTION, 0.5, 2.0))
    assert pump.show(False, False, 0.4, seconds=4) is Code.PUMP_SUCTION_LOW
    assert pump.state.stage is Stage.STOPPED
    assert pump.show(False, False, 0.6) is None


def test_a_pump_at_rest_is_not_judged_by_current_or_flow() -> None:
    for sign in (Sign.CURRENT, Sign.FLOW):
        assert Worked(dry(sign, 0.5, 2.0)).show(False, False, 0.0, seconds=60) is None


def test_a_suction_that_is_not_read_is_not_known_to_have_water() -> None:
    pump = Worked(dry(Sign.SUCTION, 0.5, 2.0))
    pump.show(False, False, 1.0, seconds=5)
    image = (reading(False), reading(None, Reason.NO_COMMUNICATION))
    for _ in range(5):
        pump.mono += TICK_S
        pump.state = pump.pump.step(pump.state, image, pump.now)
    assert pump.state.fault is not None
    assert pump.state.fault.code is Code.PUMP_UNKNOWN


def test_a_pump_against_a_closed_path_is_a_fault_after_its_time() -> None:
    pump = Worked(Pump("P-1", 0, 3.0, 9, closed_path=10.0))
    pump.show(True, False)
    assert pump.show(True, True, seconds=10, closed=True) is None
    assert pump.show(True, True, closed=True) is Code.PUMP_CLOSED_PATH


def test_every_stage_says_what_it_means() -> None:
    assert set(STAGES) == set(Stage) == set(TRANSITIONS)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 6), st.integers(0, 9)),
        max_size=20,
    )
)
def test_a_pump_moves_along_its_table_alone(steps: list[tuple[bool, bool, bool, bool, int, int]]) -> None:
    pump = Worked()
    for told, running, remote, broken, ticks, act in steps:
        if act == 0:
            pump.state = pump.pump.taken_out(pump.state, "local:li", "seal")
        elif act == 1:
            pump.state = pump.pump.put_back(pump.state)
        pump.show(told, running, remote, broken, seconds=ticks)
    for before, after in pairwise(pump.stages):
        assert before is after or after in TRANSITIONS[before], f"{before} to {after}"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=25))
def test_starts_per_hour_and_least_standstill_hold_whatever_is_wanted(wishes: list[tuple[bool, int]]) -> None:
    pump = Worked(Pump("P-1", 0, 3.0, 9, duty=Duty("P-1", 3, 300.0, 60.0, 120.0)))
    starts: list[float] = []
    stopped = float("-inf")
    was_on = False
    for wanted, ticks in wishes:
        for _ in range(ticks):
            pump.mono += 30.0
            on = wanted and (was_on or pump.waits() is None)
            pump.state = pump.pump.step(pump.state, (reading(was_on),), pump.now)
            pump.state = pump.pump.commanded(pump.state, on, pump.now)
            if on and not was_on:
                assert pump.mono - stopped >= 120.0
                assert not starts or pump.mono - starts[-1] >= 300.0
                starts.append(pump.mono)
            elif was_on and not on:
                stopped = pump.mono
            was_on = on
    for first, fourth in zip(starts, starts[3:], strict=False):
        assert fourth - first >= 3600.0


def group(
    count: int = 3,
    duty: int = 1,
    rotation: str = "alternate",
    staging: Staging | None = None,
    motor: Duty | None = None,
    rotate_after: float | None = None,
    exercise_idle: float | None = None,
) -> PumpGroup:
    pumps = tuple(
        Pump(f"P-{i}", i, 3.0, 10 + i, duty=motor or Duty(f"P-{i}", None, 0.0, 0.0, 0.0), in_group=True)
        for i in range(count)
    )
    return PumpGroup(
        "PG-1",
        0,
        tuple(range(count)),
        pumps,
        duty,
        "hours" if rotation == "hours" else "alternate",
        rotate_after,
        staging,
        2.0,
        exercise_idle,
        5.0,
    )


@dataclass
class Station:
    """A group in a plant: its pumps follow after a second, unless they are dead."""

    block: PumpGroup
    mono: float = 10_000.0
    dead: set[int] = field(default_factory=set)
    state: GroupState = field(init=False)
    pumps: list[PumpState] = field(init=False)
    dry_for: float = 0.0

    def __post_init__(self) -> None:
        self.state = self.block.initial()
        self.pumps = [PumpState() for _ in self.block.pumps]

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.mono)

    @property
    def on(self) -> list[int]:
        return [i for i, one in enumerate(self.state.on) if one]

    def scan(self, drawing: bool = True, value: float | None = None) -> None:
        self.mono += TICK_S
        for i, pump in enumerate(self.block.pumps):
            runs = self.pumps[i].commanded and i not in self.dead
            image = tuple(reading(runs) for _ in self.block.pumps)
            self.pumps[i] = pump.step(self.pumps[i], image, self.now)
        inputs = GroupInputs(DRAWN if drawing else None, value, tuple(self.pumps))
        self.state = self.block.step(self.state, inputs, self.now)
        for i, pump in enumerate(self.block.pumps):
            self.pumps[i] = pump.commanded(self.pumps[i], self.state.on[i], self.now)
        flowing = any(pump.running for pump in self.pumps)
        self.dry_for = 0.0 if flowing or not drawing else self.dry_for + TICK_S

    def run(self, seconds: float, drawing: bool = True, value: float | None = None) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.scan(drawing, value)


def test_pumps_take_turns() -> None:
    station = Station(group())
    turns = []
    for _ in range(6):
        station.run(20)
        turns.append(station.on)
        station.run(5, drawing=False)
        assert station.on == []
    assert turns == [[0], [1], [2], [0], [1], [2]]


def test_the_pump_with_the_fewest_hours_starts_next() -> None:
    station = Station(group(2, rotation="hours"))
    for seconds, member in ((100, 0), (30, 1), (30, 1), (60, 1), (10, 0)):
        station.run(seconds)
        assert station.on == [member]
        station.run(5, drawing=False)


def test_a_pump_that_fails_is_replaced_and_stays_out_until_it_is_put_back() -> None:
    station = Station(group(2))
    station.dead.add(0)
    station.run(10)
    assert station.on == [1]
    assert station.pumps[0].failed is not None
    station.dead.clear()
    station.run(60, drawing=False)
    station.run(10)
    assert station.on == [1]
    station.pumps[0] = station.block.pumps[0].put_back(station.pumps[0])
    station.run(5, drawing=False)
    station.run(10)
    assert station.on == [0]


def test_a_group_without_a_fit_pump_says_so() -> None:
    station = Station(group(2))
    station.dead |= {0, 1}
    station.run(20)
    assert station.on == []
    cause = station.block.unavailable(tuple(station.pumps))
    assert cause is not None
    assert cause.code is Code.GROUP_NO_PUMP
    assert cause.because is not None


FLOW = Staging("flow", 0, "FIT-1.flow", "m3/h", up=50.0, down=40.0, up_after=10.0, down_after=30.0)


def test_as_many_pumps_run_as_the_flow_needs() -> None:
    station = Station(group(3, duty=3, staging=FLOW))
    counts = []
    for flow in (30.0, 60.0, 60.0, 120.0, 70.0, 20.0, 20.0):
        station.run(40, value=flow)
        counts.append(len(station.on))
    assert counts == [1, 2, 2, 3, 2, 1, 1]


def test_a_flow_between_down_and_up_never_changes_the_number() -> None:
    station = Station(group(3, duty=3, staging=FLOW))
    station.run(60, value=60.0)
    assert len(station.on) == 2
    for i in range(300):
        station.scan(value=41.0 if i % 2 else 99.0)
        assert len(station.on) == 2


def test_low_pressure_starts_a_pump_and_high_pressure_stops_one() -> None:
    staging = Staging("pressure", 0, "PIT-1.pressure", "bar", up=3.0, down=4.0, up_after=5.0, down_after=20.0)
    station = Station(group(2, duty=2, staging=staging))
    station.run(20, value=3.5)
    assert len(station.on) == 1
    station.run(20, value=2.5)
    assert len(station.on) == 2
    station.run(60, value=3.5)
    assert len(station.on) == 2
    station.run(30, value=4.5)
    assert len(station.on) == 1


def test_a_signal_that_is_lost_changes_nothing() -> None:
    station = Station(group(3, duty=3, staging=FLOW))
    station.run(60, value=60.0)
    station.run(600, value=None)
    assert len(station.on) == 2


def test_least_run_holds_a_pump_on_against_staging_and_never_against_a_stop() -> None:
    station = Station(group(2, duty=2, staging=FLOW, motor=Duty("P", None, 0.0, 300.0, 0.0)))
    station.run(20, value=60.0)
    assert len(station.on) == 2
    station.run(200, value=10.0)
    assert len(station.on) == 2
    station.run(200, value=10.0)
    assert len(station.on) == 1
    station.run(20, value=60.0)
    assert len(station.on) == 2
    station.scan(drawing=False)
    assert station.on == []


def test_a_person_hands_over_and_the_next_pump_runs_before_the_first_stops() -> None:
    station = Station(group(2))
    station.run(20)
    station.state, refusal = station.block.rotate(station.state, tuple(station.pumps), station.now)
    assert refusal is None
    seen = []
    for _ in range(10):
        station.scan()
        seen.append(tuple(station.on))
    assert (0, 1) in seen
    assert seen[-1] == (1,)
    assert all(seen)


def test_nothing_is_handed_over_where_there_is_nothing_to_hand_over() -> None:
    station = Station(group(2))
    _, refusal = station.block.rotate(station.state, tuple(station.pumps), station.now)
    assert refusal is not None
    assert refusal.code is Code.GROUP_AT_REST
    station.dead.add(0)
    station.run(20)
    _, refusal = station.block.rotate(station.state, tuple(station.pumps), station.now)
    assert refusal is not None
    assert refusal.code is Code.GROUP_NO_STANDBY


def test_a_long_run_is_handed_over() -> None:
    station = Station(group(3, rotate_after=100.0))
    leaders = set()
    for _ in range(400):
        station.scan()
        leaders |= set(station.on)
        assert station.on
    assert leaders == {0, 1, 2}


def test_a_pump_that_stood_idle_is_exercised_while_the_group_runs_and_not_else() -> None:
    station = Station(group(2, exercise_idle=500.0))
    station.run(600, drawing=False)
    assert station.on == []
    station.run(3)
    assert station.on == [0, 1]
    station.run(10)
    assert station.on == [0]
    station.run(400)
    assert station.on == [0]


def test_whose_turn_it_is_survives_a_restart() -> None:
    block = group()
    station = Station(block)
    station.run(10)
    again = Station(block)
    again.state = block.restored(block.to_saved(station.state))
    again.run(10)
    assert again.on == [1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 30.0, 60.0, 130.0]), st.integers(5, 60), st.integers(0, 11)),
        min_size=3,
        max_size=15,
    )
)
def test_a_group_runs_what_is_needed_and_is_never_long_without_a_pump(
    story: list[tuple[bool, float, int, int]],
) -> None:
    station = Station(group(3, duty=2, staging=FLOW))
    dry_for = 0
    for drawing, flow, seconds, act in story:
        if act < 3:
            station.dead.add(act)
        elif act < 6:
            station.dead.discard(act - 3)
            station.pumps[act - 3] = station.block.pumps[act - 3].put_back(station.pumps[act - 3])
        for _ in range(seconds):
            station.scan(drawing, flow)
            fit = [i for i, pump in enumerate(station.pumps) if pump.fault is None]
            assert len(station.on) <= 2
            assert len(station.on) <= station.state.needed
            assert not station.on or drawing
            assert all(i in fit for i in station.on)
            if drawing and fit:
                assert station.on
            # Dry while there is a pump that would run; one that is put back begins the time anew.
            could = any(i not in station.dead for i in fit)
            dry_for = dry_for + 1 if could and station.dry_for > 0 else 0
            # A dead pump is found out after 3 s, and then the next: with three of them two failures in a row.
            assert dry_for <= 3 * (3 + 3)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(5, 60), min_size=6, max_size=15))
def test_turns_are_fair(runs: list[int]) -> None:
    for rotation in ("alternate", "hours"):
        station = Station(group(3, rotation=rotation))
        for seconds in runs:
            station.run(seconds)
            station.run(3, drawing=False)
        if rotation == "alternate":
            starts = [pump.duty.starts for pump in station.pumps]
            assert max(starts) - min(starts) <= 1
        else:
            hours = [pump.duty.run_s for pump in station.pumps]
            assert max(hours) - min(hours) <= max(runs)
