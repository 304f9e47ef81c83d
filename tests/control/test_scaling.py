"""Scaling: monotone, exact at both ends, and no better than the current that it came from."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, quality_of
from control.scaling import Scale

LEVEL = Scale(0.004, 0.02, 0.0, 6.0, root=False, cutoff=0.0, namur=True)
FLOW = Scale(0.004, 0.02, 0.0, 120.0, root=True, cutoff=0.1, namur=True)
ULLAGE = Scale(0.004, 0.02, 6.0, 0.0, root=False, cutoff=0.0, namur=True)


def current(milliamps: float, reason: Reason = Reason.OK) -> Sample:
    quality = quality_of(reason)
    return Sample(None if quality is Quality.BAD else milliamps / 1000, quality, reason, 5.0, None, b"\x01")


@pytest.mark.parametrize(("milliamps", "metres"), [(4.0, 0.0), (12.0, 3.0), (20.0, 6.0), (3.8, -0.075), (20.5, 6.1875)])
def test_a_current_within_its_range_is_a_level(milliamps: float, metres: float) -> None:
    level = LEVEL.scaled(current(milliamps))
    assert level.good
    assert level.value == pytest.approx(metres)
    assert (level.received, level.raw) == (5.0, b"\x01")


@pytest.mark.parametrize(
    ("milliamps", "reason"),
    [
        (0.0, Reason.DEVICE_FAULT),
        (3.6, Reason.DEVICE_FAULT),
        (3.7, Reason.UNDER_RANGE),
        (20.8, Reason.OVER_RANGE),
        (21.0, Reason.DEVICE_FAULT),
        (23.0, Reason.DEVICE_FAULT),
    ],
)
def test_a_current_outside_its_range_is_judged_after_namur_ne_43(milliamps: float, reason: Reason) -> None:
    level = LEVEL.scaled(current(milliamps))
    assert level.reason is reason
    assert (level.value is None) is (reason is Reason.DEVICE_FAULT)


def test_where_more_current_is_less_of_the_quantity_a_high_current_is_under_range() -> None:
    assert ULLAGE.scaled(current(20.8)).reason is Reason.UNDER_RANGE
    assert ULLAGE.scaled(current(3.7)).reason is Reason.OVER_RANGE
    assert ULLAGE.scaled(current(10.0, Reason.OVER_RANGE)).reason is Reason.UNDER_RANGE


def test_a_flow_goes_with_the_root_of_the_differential_pressure_and_is_nil_below_the_cutoff() -> None:
    assert FLOW.scaled(current(8.0)).value == pytest.approx(60.0)
    assert FLOW.scaled(current(4.1)).value == 0.0
    assert FLOW.scaled(current(3.9)).value == 0.0
    assert FLOW.scaled(current(4.2)).value == pytest.approx(120.0 * (0.2 / 16) ** 0.5)


ends = st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-6)


@settings(max_examples=150)
@given(ends, ends, ends, ends, st.booleans(), st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=6))
def test_scaling_is_exact_at_both_ends_and_monotone_between(
    a: float, b: float, c: float, d: float, root: bool, shares: list[float]
) -> None:
    if abs(a - b) < 1e-3 or abs(c - d) < 1e-3:
        return
    scale = Scale(a, b, c, d, root, 0.0, namur=False)
    assert (scale.value(a), scale.value(b)) == (c, d)
    raws = sorted(a + share * (b - a) for share in shares)
    values = [scale.value(raw) for raw in raws]
    ordered = sorted(values, reverse=scale.turns)
    assert values == pytest.approx(ordered, rel=1e-12, abs=1e-12)


@given(st.sampled_from(Reason), st.floats(0, 25))
def test_a_scaled_reading_is_never_better_than_what_it_came_from(reason: Reason, milliamps: float) -> None:
    raw = current(milliamps, reason)
    scaled = LEVEL.scaled(raw)
    assert scaled.quality >= raw.quality
    assert (scaled.value is None) is (scaled.quality is Quality.BAD)
