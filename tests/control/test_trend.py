"""Early warning: the line through the last points, and when it meets a limit."""

from dataclasses import replace

import pytest

from control.code import Code
from control.instant import Instant
from control.trend import NO_TREND, EarlyWarning, Trend, theil_sen

WARNING = EarlyWarning(
    "AIT-1.turbidity", "NTU", high=8.0, low=None, horizon=3600.0, spacing=60.0, points=16, forget=180.0
)
UTC = 1_790_000_000.0


def follow(warning: EarlyWarning, values: list[float], step: float = 60.0, trend: Trend = NO_TREND) -> Trend:
    for n, value in enumerate(values):
        trend = warning.step(trend, value, Instant(n * step, UTC + n * step))
    return trend


def test_the_slope_is_the_median_of_all_slopes() -> None:
    points = ((1.0, 9.0), (2.0, 15.0), (3.0, 19.0), (4.0, 20.0), (10.0, 45.0), (12.0, 55.0), (18.0, 78.0))
    slope, _ = theil_sen(points, 0.0)
    assert slope == 4.0


def test_a_third_of_wild_points_does_not_move_the_line() -> None:
    clean = [(float(n), 2.0 + 0.5 * n) for n in range(16)]
    wild = [(x, 900.0 if n in (2, 7, 11, 13) else y) for n, (x, y) in enumerate(clean)]
    slope, level = theil_sen(tuple(wild), 15.0)
    assert slope == pytest.approx(0.5, abs=0.1)
    assert level == pytest.approx(9.5, abs=1.0)


def test_a_rise_towards_the_limit_is_foretold_with_its_time() -> None:
    trend = follow(WARNING, [4.0 + 0.1 * n for n in range(12)])
    assert trend.warning is not None
    assert trend.warning.code is Code.BREACH_AHEAD
    # 2.9 NTU more at 0.1 NTU a minute.
    assert trend.warning.values[:3] == ("8 NTU", "1740 s", "5.1 NTU")


def test_a_fall_towards_a_lower_limit_is_foretold_too() -> None:
    trend = follow(replace(WARNING, high=None, low=0.2), [0.8 - 0.02 * n for n in range(12)])
    assert trend.warning is not None


@pytest.mark.parametrize(
    "values",
    [
        [4.0] * 16,
        [4.0 - 0.1 * n for n in range(16)],
        [4.0 + 0.001 * n for n in range(16)],
        [4.0, 5.0, 4.1, 5.2, 3.9, 5.1, 4.0, 5.3, 4.2, 4.9, 4.1, 5.0],
        [4.0, 4.1, 4.2, 4.3],
    ],
    ids=["level", "falling", "beyond the horizon", "noise", "too few points"],
)
def test_no_warning_without_a_trend_that_meets_the_limit_in_time(values: list[float]) -> None:
    assert follow(WARNING, values).warning is None


def test_points_are_thinned_to_the_spacing_and_bounded() -> None:
    trend = follow(WARNING, [4.0] * 20_000, step=0.1)
    assert len(trend.points) == 16
    assert min(b[0] - a[0] for a, b in zip(trend.points, trend.points[1:], strict=False)) >= 60.0


def test_between_points_nothing_is_made() -> None:
    trend = follow(WARNING, [4.0])
    assert WARNING.step(trend, 5.0, Instant(59.9, UTC)) is trend


def test_a_warning_ends_when_the_water_turns() -> None:
    trend = follow(WARNING, [4.0 + 0.1 * n for n in range(12)] + [5.0] * 16)
    assert trend.warning is None


def test_silence_forgets_the_trend() -> None:
    trend = follow(WARNING, [4.0 + 0.1 * n for n in range(12)])
    assert WARNING.step(trend, None, Instant(700.0, UTC)) is trend
    assert WARNING.step(trend, None, Instant(900.0, UTC)) is NO_TREND
