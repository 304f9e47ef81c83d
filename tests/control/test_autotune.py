"""The relay auto-tune against processes whose ultimate gain and period are known.

Ultimate gain and period follow from a phase of -180 degrees: of ``1 / (s + 1)^3`` they are 8 and ``2 pi / sqrt 3``; of
``e^-s / (5 s + 1)`` the frequency solves ``w + atan 5 w = pi``. The describing function keeps the first harmonic alone
(Astrom, Hagglund 1984); its error here is that of the literature, below 5 and 25 % in the gain (Yu, Autotuning of PID
Controllers, Springer 1999, section 3.2, for a process of first order with dead time).
"""

from collections import deque
from collections.abc import Callable
from math import atan, inf, pi, sqrt
from random import Random

import pytest

from control.autotune import LISTEN_S, RULES, Autotune, AutotuneState, Tuning, from_saved, to_saved
from control.cause import Cause
from control.code import Code
from control.instant import Instant

STEP_S = 0.01
Process = Callable[[float], float]


def third_order(start: float = 0.0) -> Process:
    """``1 / (s + 1)^3``."""
    lags = [start, start, start]

    def step(output: float) -> float:
        for n, fed in enumerate((output, *lags[:2])):
            lags[n] += (fed - lags[n]) * STEP_S
        return lags[2]

    return step


def with_dead_time() -> Process:
    """``e^-s / (5 s + 1)``."""
    pipe, lag = deque([0.0] * round(1.0 / STEP_S)), [0.0]

    def step(output: float) -> float:
        pipe.append(output)
        lag[0] += (pipe.popleft() - lag[0]) * STEP_S / 5.0
        return lag[0]

    return step


def tuned(
    process: Process, noise: float = 0.0, sign: float = 1.0, tune: Autotune | None = None, start: float = 0.0
) -> AutotuneState | Tuning | Cause:
    random, now = Random(1), Instant(0.0, 1e9)
    tune = tune or Autotune(5.0, 50.0, 600.0)
    found: AutotuneState | Tuning | Cause = tune.begin(5.0, 4, 0.0, 50.0, start, now)
    for n in range(round(120.0 / STEP_S)):
        if not isinstance(found, AutotuneState):
            return found
        now = Instant(n * STEP_S, 1e9)
        measured = sign * process(found.output - 50.0) + random.uniform(-noise, noise)
        found = tune.step(found, "TIC-1", "m", measured, reverse=sign > 0, now=now)
    return found


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_process_of_third_order_shows_its_ultimate_gain_and_period(sign: float) -> None:
    found = tuned(third_order(), sign=sign)
    assert isinstance(found, Tuning)
    assert found.ultimate_gain == pytest.approx(8.0, rel=0.05)
    assert found.ultimate_period == pytest.approx(2 * pi / sqrt(3), rel=0.03)
    assert found.spread < 0.1


def test_a_process_of_first_order_with_dead_time_within_the_error_of_the_method() -> None:
    low, high = 1.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle + atan(5 * middle) < pi else (low, middle)
    found = tuned(with_dead_time())
    assert isinstance(found, Tuning)
    assert found.ultimate_gain == pytest.approx(sqrt(1 + 25 * low**2), rel=0.25)
    assert found.ultimate_period == pytest.approx(2 * pi / low, rel=0.1)


def test_noise_makes_a_hysteresis_and_hardly_another_result() -> None:
    found = tuned(third_order(), noise=0.1)
    assert isinstance(found, Tuning)
    assert found.hysteresis == pytest.approx(1.2 * 0.1, rel=0.1)
    assert found.ultimate_gain == pytest.approx(8.0, rel=0.35)


def test_noise_that_hides_the_swing_gives_nothing() -> None:
    found = tuned(lambda output: 0.001 * output, noise=1.0)
    assert not isinstance(found, Tuning)


def test_the_relay_listens_first_and_has_the_amplitude_that_was_asked_for() -> None:
    tune = Autotune(5.0, 50.0, 600.0)
    state: AutotuneState | Tuning | Cause = tune.begin(3.0, 4, 0.0, 40.0, 0.0, Instant(0.0, 0.0))
    outputs = set()
    process = third_order()
    for n in range(2500):
        assert isinstance(state, AutotuneState)
        if n * STEP_S < LISTEN_S:
            assert state.output == 40.0
        else:
            outputs.add(state.output)
        state = tune.step(state, "T", "m", process(state.output - 40.0), reverse=True, now=Instant(n * STEP_S, 0.0))
    assert outputs - {40.0} == {37.0, 43.0}


@pytest.mark.parametrize(
    ("tune", "code"),
    [
        (Autotune(5.0, 0.2, 600.0), Code.TUNE_LEFT_BAND),
        (Autotune(5.0, 50.0, 15.0), Code.TUNE_TIMEOUT),
    ],
)
def test_a_tune_is_given_up_with_its_reason(tune: Autotune, code: Code) -> None:
    found = tuned(third_order(), tune=tune)
    assert isinstance(found, Cause)
    assert found.code is code


def test_a_measurement_that_still_drifts_is_waited_for() -> None:
    found = tuned(third_order(-6.0), start=-6.0)
    assert isinstance(found, Tuning)
    assert found.ultimate_gain == pytest.approx(8.0, rel=0.05)


def test_a_loop_that_was_not_at_rest_is_found_out() -> None:
    process, outputs = third_order(), []

    def disturbed(output: float) -> float:
        outputs.append(output)
        return process(output + (4.5 if len(outputs) * STEP_S > LISTEN_S + 1.0 else 0.0))

    found = tuned(disturbed)
    assert isinstance(found, Cause)
    assert found.code is Code.TUNE_ASYMMETRIC


def test_the_rules_are_those_that_were_published() -> None:
    tuning = Tuning(10.0, 60.0, 1.0, 0.0, 5.0, 4, 0.0, 0.0)
    figures = {
        one["rule"]: (one["gain"], one["integral_time_s"], one["derivative_time_s"]) for one in tuning.proposals()
    }
    assert figures["Ziegler-Nichols PI"] == pytest.approx((4.5, 50.0, 0.0))
    assert figures["Ziegler-Nichols PID"] == pytest.approx((6.0, 30.0, 7.5))
    assert figures["Tyreus-Luyben PI"] == pytest.approx((3.125, 132.0, 0.0))
    assert figures["Tyreus-Luyben PID"] == pytest.approx((4.545, 132.0, 9.524), rel=1e-3)
    assert all(rule.source for rule in RULES)
    assert from_saved(to_saved(tuning)) == tuning
    assert inf not in (tuning.ultimate_gain, tuning.ultimate_period)
