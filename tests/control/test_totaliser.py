"""Counting what a totaliser counts: nothing lost at a roll-over, nothing invented at a replaced meter."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import DEVICES, load_site
from control.compiler import compile_site
from control.totaliser import BACKWARD_TOLERANCE_M3, advance

ROLLOVER_M3 = 1_000_000.0
readings = st.floats(0, ROLLOVER_M3, exclude_max=True)


@given(readings, st.lists(st.floats(0, ROLLOVER_M3 * 0.49), max_size=40))
def test_steps_over_any_increments_add_up_to_the_true_volume(start: float, increments: list[float]) -> None:
    present, counted = start, 0.0
    for increment in increments:
        previous, present = present, (present + increment) % ROLLOVER_M3
        step = advance(previous, present, ROLLOVER_M3)
        assert step.volume_m3 >= 0.0
        counted += step.volume_m3
    assert counted == pytest.approx(sum(increments), abs=1e-6)


@given(readings, readings, st.one_of(st.none(), st.just(ROLLOVER_M3)))
def test_a_volume_is_never_negative_nor_more_than_the_register_holds(
    previous: float, present: float, rollover: float | None
) -> None:
    assert 0.0 <= advance(previous, present, rollover).volume_m3 <= ROLLOVER_M3


@given(readings, st.floats(0.01, ROLLOVER_M3 * 0.49))
def test_a_fall_that_is_no_roll_over_is_reported_and_counts_nothing(present: float, fall: float) -> None:
    assert advance(present + fall, present, ROLLOVER_M3) == (0.0, True)


@given(readings, st.floats(0.01, ROLLOVER_M3))
def test_without_a_known_roll_over_every_fall_is_reported(present: float, fall: float) -> None:
    assert advance(present + fall, present, None) == (0.0, True)


def test_a_fall_within_rounding_is_not_reported() -> None:
    assert advance(100.0, 100.0 - BACKWARD_TOLERANCE_M3 / 2, ROLLOVER_M3) == (0.0, False)


def test_a_roll_over_counts_both_sides_of_it() -> None:
    assert advance(999_999.75, 0.5, ROLLOVER_M3) == (0.75, False)


def test_where_a_meter_begins_anew_is_what_the_site_says_or_else_its_profile(tmp_path: Path) -> None:
    text = (DEVICES.parent / "sites" / "fill-station.yaml").read_text(encoding="utf-8")
    silent = tmp_path / "silent.yaml"
    silent.write_text(text.replace(", rollover: 1000000 m3}", "}"), encoding="utf-8")
    for path, rollover_m3 in ((DEVICES.parent / "sites" / "fill-station.yaml", 1e6), (silent, 1e9)):
        assert compile_site(load_site(path)).dispensers[0].dispenser.meter.rollover_m3 == rollover_m3
