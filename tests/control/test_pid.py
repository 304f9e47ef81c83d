"""The PID controller: against closed forms and published responses, by its terms, at its ends, in any order of events.

Published: K. J. Astrom, T. Hagglund, Advanced PID Control, ISA 2006 (pole placement of a PI on a first-order process,
section 6.3; lambda tuning, 6.5; back-calculation, 3.5; the filtered derivative, 3.3).
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import cos, exp, inf, isfinite, nan, pi, sin, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.pid import Pid, PidState

PI = Pid(gain=0.5, integral_time=4.0)
ONLY_P = Pid(gain=0.5, integral_time=inf)
PROCESS_GAIN, PROCESS_TIME_S = 2.0, 10.0
STEP_S = 0.01


def response(pid: Pid, seconds: float, setpoint: float = 1.0) -> list[tuple[float, float]]:
    """Time and output of the first-order process ``2 / (1 + 10 s)`` under the controller, from rest."""
    state, measured, curve = PidState(), 0.0, []
    kept = exp(-STEP_S / PROCESS_TIME_S)
    for n in range(1, round(seconds / STEP_S) + 1):
        state, output = pid.step(state, setpoint, measured, STEP_S)
        measured = kept * measured + (1.0 - kept) * PROCESS_GAIN * output
        curve.append((n * STEP_S, measured))
    return curve


def greatest_error(curve: list[tuple[float, float]], expected: Callable[[float], float]) -> float:
    return max(abs(measured - expected(t)) for t, measured in curve)


# -- reference responses ---------------------------------------------------------------------------------------------


def test_lambda_tuning_of_a_first_order_process_answers_as_one_exponential() -> None:
    closed_loop_s = 4.0
    pid = Pid(PROCESS_TIME_S / (PROCESS_GAIN * closed_loop_s), PROCESS_TIME_S, low=-1e3, high=1e3)
    assert greatest_error(response(pid, 30.0), lambda t: 1.0 - exp(-t / closed_loop_s)) < 0.002


@pytest.mark.parametrize("damping", [0.4, 0.7])
def test_pole_placement_answers_as_the_second_order_system_it_was_placed_for(damping: float) -> None:
    frequency = 0.5
    reach = 2 * damping * frequency * PROCESS_TIME_S - 1
    pid = Pid(reach / PROCESS_GAIN, reach / (frequency**2 * PROCESS_TIME_S), low=-1e3, high=1e3, setpoint_weight=0.0)
    ringing = frequency * sqrt(1 - damping**2)

    def second_order(t: float) -> float:
        swing = cos(ringing * t) + damping / sqrt(1 - damping**2) * sin(ringing * t)
        return 1.0 - exp(-damping * frequency * t) * swing

    curve = response(pid, 30.0)
    assert greatest_error(curve, second_order) < 0.01
    overshoot = exp(-pi * damping / sqrt(1 - damping**2))
    assert max(measured for _, measured in curve) == pytest.approx(1.0 + overshoot, abs=0.01)


def test_the_derivative_of_a_step_begins_at_k_times_n_and_falls_with_td_over_n() -> None:
    pid = replace(ONLY_P, derivative_time=5.0, derivative_filter=8.0, low=-1e3, high=1e3)
    state = pid.track(0.0, 0.0, 0.0)
    for n in range(1, 300):
        state, _ = pid.step(state, 0.0, 1.0, STEP_S)
        assert state.derivative == pytest.approx(-0.5 * 8.0 * exp(-n * STEP_S * 8.0 / 5.0), abs=0.03)


def test_the_measurement_filter_is_of_first_order() -> None:
    pid = replace(ONLY_P, measurement_filter=2.0)
    state = pid.track(50.0, 0.0, 0.0)
    for n in range(1, 600):
        state, _ = pid.step(state, 0.0, 1.0, STEP_S)
        assert state.measured == pytest.approx(1.0 - exp(-n * STEP_S / 2.0), abs=0.002)


@pytest.mark.parametrize("tracking_s", [0.5, 3.0])
def test_back_calculation_recovers_with_the_tracking_time(tracking_s: float) -> None:
    pid = replace(PI, tracking_time=tracking_s)
    state = PidState(140.0, 0.0)
    for n in range(1, 400):
        state, _ = pid.step(state, 0.0, 0.0, STEP_S)
        assert state.integral - 100.0 == pytest.approx(40.0 * exp(-n * STEP_S / tracking_s), rel=1e-6)


def test_external_reset_with_ti_for_tt_makes_the_integral_a_first_order_lag_of_it() -> None:
    pid = replace(PI, tracking_time=4.0)
    state = PidState(0.0, 0.0)
    for n in range(1, 1200):
        state, _ = pid.step(state, 10.0, 0.0, STEP_S, in_force=30.0)
        assert state.integral == pytest.approx(30.0 * (1.0 - exp(-n * STEP_S / 4.0)), abs=0.05)


def test_the_tracking_time_stands_between_the_two_others() -> None:
    assert replace(PI, derivative_time=1.0).tracking() == pytest.approx(2.0)
    assert PI.tracking() == 4.0


# -- terms -----------------------------------------------------------------------------------------------------------


def test_the_proportional_term_is_gain_times_error() -> None:
    _, output = ONLY_P.step(PidState(), 100.0, 60.0, 0.1)
    assert output == pytest.approx(20.0)


def test_direct_action_turns_every_term() -> None:
    reverse = replace(PI, derivative_time=1.0, low=-1e3, high=1e3)
    direct = replace(reverse, reverse=False)
    one, other = reverse.track(0.0, 0.0, 0.0), direct.track(0.0, 0.0, 0.0)
    for measured in (1.0, 3.0, -2.0):
        one, up = reverse.step(one, 5.0, measured, 0.1)
        other, down = direct.step(other, 5.0, measured, 0.1)
        assert up == pytest.approx(-down)


def test_the_integral_term_repeats_the_proportional_one_each_integral_time() -> None:
    state, output = PidState(), 0.0
    for _ in range(40):
        state, output = PI.step(state, 100.0, 90.0, 0.1)
    assert output == pytest.approx(2 * PI.gain * 10.0)


def test_the_setpoint_acts_on_the_proportional_term_by_its_weight() -> None:
    pid = replace(ONLY_P, setpoint_weight=0.4, low=-1e3)
    _, output = pid.step(PidState(), 10.0, 3.0, 0.1)
    assert output == pytest.approx(0.5 * (0.4 * 10.0 - 3.0))


def test_a_step_of_the_setpoint_gives_no_derivative_kick() -> None:
    pid = replace(ONLY_P, derivative_time=100.0)
    state, _ = pid.step(PidState(20.0), 50.0, 50.0, 0.1)
    _, output = pid.step(state, 60.0, 50.0, 0.1)
    assert output == pytest.approx(25.0)


def test_feed_forward_is_added_and_is_no_reason_to_wind_up() -> None:
    state, output = PI.step(PidState(), 10.0, 10.0, 0.1, feed_forward=30.0)
    assert output == pytest.approx(30.0)
    for _ in range(1000):
        state, output = PI.step(state, 10.0, 10.0, 0.1, feed_forward=130.0)
    assert output == 100.0
    _, output = PI.step(state, 10.0, 10.0, 0.1, feed_forward=70.0)
    assert output == pytest.approx(70.0 - 30.0, abs=0.1)


@pytest.mark.parametrize(
    ("error", "expected"), [(0.0, 0.0), (2.0, 0.1 * 0.5 * 2.0), (-2.0, -0.1 * 0.5 * 2.0), (5.0, 0.5 * (0.2 + 3.0))]
)
def test_within_the_gap_the_gain_is_smaller_and_beyond_it_goes_on_without_a_jump(error: float, expected: float) -> None:
    pid = replace(ONLY_P, gap=2.0, gap_gain=0.1, low=-1e3)
    _, output = pid.step(PidState(), error, 0.0, 0.1)
    assert output == pytest.approx(expected)


def test_within_a_gap_of_no_gain_nothing_moves_and_the_state_is_the_same_object() -> None:
    pid = replace(PI, gap=2.0)
    state, _ = pid.step(pid.track(40.0, 10.0, 11.0), 10.0, 11.0, 0.1)
    again, output = pid.step(state, 10.0, 11.0, 0.1)
    assert output == 40.0
    assert again is state


# -- ends and rates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("setpoint", "end"), [(500.0, 100.0), (-500.0, 0.0)])
def test_an_hour_at_an_end_does_not_wind_up(setpoint: float, end: float) -> None:
    state, output = PidState(), 0.0
    for _ in range(36_000):
        state, output = PI.step(state, setpoint, 0.0, 0.1)
    assert output == end
    for _ in range(50):
        state, output = PI.step(state, -setpoint / 50, 0.0, 0.1)
    assert output != end


def test_the_output_moves_no_faster_than_its_rate() -> None:
    pid = replace(PI, rate=5.0)
    state, outputs = pid.track(20.0, 0.0, 0.0), [20.0]
    for _ in range(50):
        state, output = pid.step(state, 500.0, 0.0, 0.1)
        outputs.append(output)
    steps = [b - a for a, b in pairwise(outputs)]
    assert max(steps) == pytest.approx(0.5)


@pytest.mark.parametrize("figure", [nan, inf, -inf, 1e308])
def test_what_gives_no_finite_output_moves_nothing(figure: float) -> None:
    pid = replace(PI, derivative_time=2.0, gain=100.0)
    state = pid.track(33.0, 5.0, 5.0)
    assert pid.step(state, 5.0, figure, 0.1) == (state, 33.0)
    assert pid.follow(state, 33.0, figure, 5.0, 0.1) is state


# -- any order of events ---------------------------------------------------------------------------------------------

figures = st.floats(-500, 500)
periods = st.floats(0.001, 1.0)


@given(st.floats(0, 100), figures, figures)
def test_tracking_goes_on_at_the_output_in_force(output: float, setpoint: float, measured: float) -> None:
    pid = replace(PI, derivative_time=3.0)
    _, resumed = pid.step(pid.track(output, setpoint, measured), setpoint, measured, 0.0)
    assert resumed == pytest.approx(output, abs=1e-9)


class PidMachine(RuleBasedStateMachine):
    """Any controller under any order of regulating, hand control, overrides and nonsense."""

    @initialize(
        pid=st.builds(
            Pid,
            gain=st.floats(0.01, 10),
            integral_time=st.one_of(st.just(inf), st.floats(1.0, 1000)),
            derivative_time=st.one_of(st.just(0.0), st.floats(0.1, 100)),
            low=st.floats(-50, 20),
            high=st.floats(60, 100),
            rate=st.one_of(st.just(inf), st.floats(0.5, 50)),
            derivative_filter=st.floats(2, 20),
            measurement_filter=st.floats(0, 20),
            setpoint_weight=st.floats(0, 1),
            gap=st.floats(0, 5),
            gap_gain=st.floats(0, 1),
            reverse=st.booleans(),
        )
    )
    def begin(self, pid: Pid) -> None:
        self.pid, self.state, self.output = pid, PidState(), 30.0
        self.played: list[tuple[float, float, float, float | None]] = []

    @rule(setpoint=figures, measured=figures, dt_s=periods, in_force=st.none() | st.floats(-50, 100))
    def regulate(self, setpoint: float, measured: float, dt_s: float, in_force: float | None) -> None:
        before = self.output if self.state.output is not None else None
        self.played.append((setpoint, measured, dt_s, in_force))
        self.state, self.output = self.pid.step(self.state, setpoint, measured, dt_s, 0.0, in_force)
        assert self.pid.low <= self.output <= self.pid.high
        if before is not None:
            last = min(max(before, self.pid.low), self.pid.high)
            assert abs(self.output - last) <= self.pid.rate * dt_s + 1e-9

    @rule(output=st.floats(20, 60), setpoint=figures, measured=figures, dt_s=periods)
    def hand_over_and_back(self, output: float, setpoint: float, measured: float, dt_s: float) -> None:
        state = self.pid.follow(self.state, output, setpoint, measured, dt_s)
        assert self.pid.follow(state, output, setpoint, state.measured or 0.0, 0.0).output == output
        state = self.pid.track(output, setpoint, measured)
        _, resumed = self.pid.step(state, setpoint, measured, 1e-9)
        assert resumed == pytest.approx(output, abs=1e-3)

    @rule(nonsense=st.sampled_from([nan, inf, -inf]), dt_s=periods)
    def nonsense_moves_nothing(self, nonsense: float, dt_s: float) -> None:
        assert self.pid.step(self.state, nonsense, 0.0, dt_s)[0] is self.state
        assert self.pid.step(self.state, 0.0, nonsense, dt_s)[0] is self.state

    @invariant()
    def the_integral_is_finite_and_bounded(self) -> None:
        pid = getattr(self, "pid", None)
        if pid is None:
            return
        assert isfinite(self.state.integral)
        error = 1000.0 + 500.0
        wanted = pid.gain * error * (1.0 + 2.0 * pid.derivative_filter)
        pull = pid.gain * error * max(1.0, pid.tracking()) / pid.integral_time if pid.integral_time < inf else 0.0
        assert abs(self.state.integral) <= 2.0 * (100.0 + wanted + pull)

    def teardown(self) -> None:
        if not getattr(self, "played", None):
            return
        state = PidState()
        for setpoint, measured, dt_s, in_force in self.played:
            state, _ = self.pid.step(state, setpoint, measured, dt_s, 0.0, in_force)
        assert state == self.state


PidMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestPidMachine = PidMachine.TestCase
