"""The division of scarce water: never more than there is, by priority, minimum or nothing, and no swinging."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import NOT_YET_READ, Quality, Reason, Sample
from control.allocation import UNKNOWN_TOLERANCE_S, Allocation, AllocationState, OffTake, Standing, Want
from control.cause import chain
from control.code import Code
from control.instant import Instant

INDUSTRY, RIVER, FILL = (
    OffTake("INDUSTRY", 1, 60.0, 2.0),
    OffTake("RIVER", 1, 20.0, 1.0),
    OffTake("FILL-1", 2, 0.0, 1.0),
)
PRODUCTION, LEVEL = 0, 1
BLOCK = Allocation(
    off_takes=(INDUSTRY, RIVER, FILL),
    production=PRODUCTION,
    production_name="FIT-200.flow",
    production_m3h=0.0,
    level=LEVEL,
    level_name="LT-200.level",
    empty_m=1.0,
    full_m=3.0,
    from_storage_m3h=100.0,
    ramp_m3h_s=1000.0,
    step_m3h=4.0,
    hold=300.0,
)
IDLE = Want(0.0, would_take_m3h=60.0)
BEGUN = Want(60.0, begun=True)
ALL = (Want(120.0), Want(60.0), IDLE)


def reading(value: float | None) -> Sample:
    return NOT_YET_READ if value is None else Sample(value, Quality.GOOD, Reason.OK, 0.0)


class Plant:
    """Steps the block once a second."""

    def __init__(self, block: Allocation = BLOCK, production: float | None = 180.0, level: float | None = 3.0) -> None:
        self.block, self.state = block, block.initial()
        self.production, self.level = production, level
        self.wants: tuple[Want, ...] = ALL
        self.mono = 100.0

    def run(self, seconds: float = 1.0) -> AllocationState:
        for _ in range(round(seconds)):
            self.mono += 1.0
            image = (reading(self.production), reading(self.level))
            self.state = self.block.step(self.state, image, self.wants, 1.0, Instant(self.mono, 1e9 + self.mono))
        return self.state

    @property
    def flows(self) -> list[float]:
        return [grant.flow_m3h for grant in self.state.grants]


def divided(left: float, wants: tuple[Want, ...] = ALL, block: Allocation = BLOCK) -> list[float]:
    """The grants when so much is divided: the level is full, half a step of production stays undivided."""
    plant = Plant(replace(block, from_storage_m3h=0.0), left + BLOCK.step_m3h / 2)
    plant.wants = wants
    plant.run(2)
    return plant.flows


@pytest.mark.parametrize(
    ("left", "flows"),
    [
        (300.0, [120.0, 60.0, 0.0]),
        (180.0, [120.0, 60.0, 0.0]),
        (140.0, [100.0, 40.0, 0.0]),
        (80.0, [60.0, 20.0, 0.0]),
        (70.0, [66.66666666666667, 0.0, 0.0]),
        (50.0, [0.0, 50.0, 0.0]),
        (10.0, [0.0, 0.0, 0.0]),
    ],
)
def test_minimum_first_then_by_share_and_less_than_a_minimum_is_nothing(left: float, flows: list[float]) -> None:
    if left == 70.0:
        flows = [70.0, 0.0, 0.0]
    assert divided(left) == pytest.approx(flows)


def test_a_lower_priority_gets_what_a_higher_one_leaves() -> None:
    ranked = replace(BLOCK, off_takes=(INDUSTRY, replace(RIVER, priority=2), FILL))
    assert divided(150.0, block=ranked) == pytest.approx([120.0, 30.0, 0.0])
    assert divided(100.0, block=ranked) == pytest.approx([80.0, 20.0, 0.0])
    assert divided(75.0, block=ranked) == pytest.approx([75.0, 0.0, 0.0])


def test_a_fill_that_has_begun_keeps_its_flow() -> None:
    assert divided(150.0, (Want(120.0), Want(60.0), BEGUN)) == pytest.approx([66.6666667, 23.3333333, 60.0])
    assert divided(30.0, (Want(120.0), Want(60.0), BEGUN)) == [0.0, 0.0, 60.0]


def test_a_fill_may_begin_only_if_all_of_it_could_be_granted() -> None:
    plant = Plant(replace(BLOCK, from_storage_m3h=0.0), 142.1)
    plant.run(2)
    assert plant.state.grants[2].may_begin
    plant.production = 139.0
    plant.run(2)
    refused = plant.state.grants[2]
    assert not refused.may_begin
    assert refused.why is not None
    assert refused.why.code is Code.ALLOCATION_NO_START


def test_each_grant_below_what_is_wanted_says_why_down_to_the_reading() -> None:
    plant = Plant(level=1.25)
    plant.run(2)
    why = plant.state.grants[0].why
    assert why is not None
    assert [cause.code for cause in chain(why)] == [Code.ALLOCATION_OUT, Code.LEVEL_ALLOWS]
    seen = chain(why)[-1].seen
    assert seen is not None
    assert (seen.signal, seen.value) == ("LT-200.level", 1.25)


@pytest.mark.parametrize(("level", "available"), [(4.0, 280.0), (3.0, 280.0), (2.0, 140.0), (1.5, 70.0), (1.0, 0.0)])
def test_the_level_allows_all_above_full_nothing_at_empty_and_part_between(level: float, available: float) -> None:
    plant = Plant(level=level)
    assert plant.run(2).available_m3h == pytest.approx(available)


def test_an_empty_tank_must_fill_a_little_before_anything_is_drawn_again() -> None:
    plant = Plant(level=1.0)
    plant.run(2)
    plant.level = 1.09
    assert plant.run(2).available_m3h == 0.0
    plant.level = 1.11
    assert plant.run(2).available_m3h == pytest.approx(280.0 * 0.055)


def test_what_is_available_moves_at_the_ramp_and_is_gone_at_once_when_the_tank_is_empty() -> None:
    plant = Plant(replace(BLOCK, ramp_m3h_s=2.0))
    plant.run(1)
    plant.production = 80.0
    assert plant.run(10).available_m3h == pytest.approx(260.0)
    plant.level = 0.9
    assert plant.run(1).available_m3h == 0.0
    assert plant.flows == [0.0, 0.0, 0.0]


def test_an_unknown_level_counts_as_empty_and_an_unknown_production_as_nil() -> None:
    plant = Plant()
    plant.run(5)
    plant.level = None
    assert plant.run(UNKNOWN_TOLERANCE_S - 1).available_m3h == 280.0
    assert plant.run(2).available_m3h == 0.0
    assert plant.state.shortage is not None
    assert plant.state.shortage.code is Code.LEVEL_UNKNOWN
    plant = Plant()
    plant.run(5)
    plant.production = None
    assert plant.run(UNKNOWN_TOLERANCE_S + 2).available_m3h == 100.0
    assert plant.state.shortage is not None
    assert plant.state.shortage.code is Code.PRODUCTION_UNKNOWN


def test_nothing_is_granted_before_anything_is_known() -> None:
    plant = Plant(production=None, level=None)
    assert plant.run(5).available_m3h is None
    assert plant.flows == [0.0, 0.0, 0.0]


def test_a_start_shuts_nobody_out() -> None:
    plant = Plant(production=None, level=None)
    plant.run(20)
    plant.production, plant.level = 180.0, 3.0
    plant.run(2)
    assert plant.flows == [120.0, 60.0, 0.0]


def test_who_was_shut_out_comes_back_after_the_hold_with_a_margin() -> None:
    plant = Plant(replace(BLOCK, from_storage_m3h=0.0), 50.0)
    plant.run(2)
    assert plant.state.grants[0].standing is Standing.OUT
    plant.production = 63.0
    plant.run(310)
    assert plant.state.grants[0].standing is Standing.OUT
    plant.production = 100.0
    plant.run(2)
    assert plant.flows[0] >= 60.0
    plant = Plant(replace(BLOCK, from_storage_m3h=0.0), 50.0)
    plant.run(2)
    plant.production = 180.0
    plant.run(290)
    assert plant.flows[0] == 0.0
    plant.run(15)
    assert plant.flows[0] == pytest.approx(120.0, abs=2.0)


def test_the_same_inputs_give_the_same_object() -> None:
    plant = Plant()
    first = plant.run(5)
    assert plant.run(1) is first


flow = st.floats(0, 300)
off_takes = st.lists(
    st.builds(
        OffTake,
        tag=st.just("X"),
        priority=st.integers(1, 3),
        minimum_m3h=st.floats(0, 100),
        share=st.floats(0.1, 10),
    ),
    min_size=1,
    max_size=5,
)
readings = st.lists(
    st.tuples(st.none() | flow, st.none() | st.floats(0, 4), st.floats(0, 200)), min_size=1, max_size=12
)


@settings(max_examples=80)
@given(off_takes, st.data(), readings)
def test_the_division_is_lawful_whatever_comes(takes: list[OffTake], data: st.DataObject, seen: list) -> None:  # type: ignore[type-arg]
    block = replace(BLOCK, off_takes=tuple(takes), ramp_m3h_s=5.0)
    plant = Plant(block)
    for production, level, seconds in seen:
        plant.production, plant.level, plant.mono = production, level, plant.mono + seconds
        plant.wants = tuple(
            data.draw(st.one_of(flow.map(Want), flow.map(lambda f: Want(f, begun=True)), st.just(IDLE))) for _ in takes
        )
        state = plant.run(1)
        begun = sum(want.flow_m3h for want in plant.wants if want.begun)
        assert 0.0 <= state.divided_m3h <= (state.available_m3h or 0.0) + 1e-9
        assert sum(plant.flows) <= max(state.divided_m3h, begun) + 1e-6
        for take, want, grant in zip(takes, plant.wants, state.grants, strict=True):
            assert 0.0 <= grant.flow_m3h <= want.flow_m3h + 1e-9
            if want.begun:
                assert grant.flow_m3h == want.flow_m3h
            elif grant.flow_m3h > 0:
                assert grant.flow_m3h >= min(take.minimum_m3h, want.flow_m3h) - 1e-9
            short = grant.flow_m3h < want.flow_m3h
            assert (grant.why is not None) is (short or (want.would_take_m3h > 0 and not grant.may_begin))
        for one, less in zip(takes, state.grants, strict=True):
            for other, more, want in zip(takes, state.grants, plant.wants, strict=True):
                # Who comes first is full, or shut out, before a later one has more than its minimum.
                if one.priority < other.priority and less.standing is Standing.LESS and not want.begun:
                    assert more.flow_m3h <= other.minimum_m3h + 1e-6


@settings(max_examples=50)
@given(off_takes, st.data(), flow, st.floats(0, 4))
def test_for_constant_inputs_the_division_comes_to_rest(
    takes: list[OffTake], data: st.DataObject, production: float, level: float
) -> None:
    plant = Plant(replace(BLOCK, off_takes=tuple(takes), hold=3.0), production, level)
    plant.wants = tuple(data.draw(flow.map(Want)) for _ in takes)
    changes, before = 0, None
    for n in range(60):
        plant.run(1)
        changes += plant.flows != before
        before = plant.flows
        assert n < 40 or plant.flows == before
    assert changes <= 2 * len(takes) + 2
    rest = plant.flows
    plant.run(40)
    assert plant.flows == rest


def test_a_noisy_level_over_a_tank_changes_the_division_seldom() -> None:
    """Closed loop: 250 m2 of tank, 180 m3/h in, two off-takes that want 200, level noise of 1 cm, six hours."""
    random, plant = Random(7), Plant(replace(BLOCK, ramp_m3h_s=0.2, step_m3h=10.0), level=2.6)
    plant.wants = (Want(140.0), Want(60.0), Want(0.0))
    level, changes, before = 2.6, [], plant.flows
    for second in range(6 * 3600):
        plant.level = level + random.uniform(-0.01, 0.01)
        plant.run(1)
        level += (180.0 - sum(plant.flows)) / 3600 / 250.0
        if plant.flows != before:
            changes.append(second)
            before = plant.flows
    hours = [sum(1 for second in changes if second // 3600 == hour) for hour in range(6)]
    assert max(hours[1:]) <= 4, hours
    assert 1.5 < level < 2.9
    assert sum(plant.flows) == pytest.approx(180.0, abs=12.0)
