"""The PID controller by its terms, at its ends, and when control returns to it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.pid import Pid, PidState

PI = Pid(gain=0.5, integral_time=4.0, derivative_time=0.0)
ONLY_P = Pid(gain=0.5, integral_time=1e12, derivative_time=0.0)
flows = st.floats(-500, 500)


def test_the_proportional_term_is_gain_times_error() -> None:
    _, output = ONLY_P.step(PidState(), 100.0, 60.0, 0.1)
    assert output == pytest.approx(20.0)


def test_the_integral_term_repeats_the_proportional_one_each_integral_time() -> None:
    state, output = PidState(), 0.0
    for _ in range(40):
        state, output = PI.step(state, 100.0, 90.0, 0.1)
    assert output == pytest.approx(2 * PI.gain * 10.0)


def test_the_derivative_acts_against_a_change_of_the_measurement() -> None:
    pid = replace(ONLY_P, derivative_time=2.0)
    state, _ = pid.step(PidState(50.0), 100.0, 90.0, 0.5)
    _, output = pid.step(state, 100.0, 91.0, 0.5)
    assert output == pytest.approx(50.0 + 0.5 * 9.0 - 0.5 * 2.0 * 1.0 / 0.5)


def test_a_step_of_the_setpoint_gives_no_derivative_kick() -> None:
    pid = replace(ONLY_P, derivative_time=100.0)
    state, _ = pid.step(PidState(20.0), 50.0, 50.0, 0.1)
    _, output = pid.step(state, 60.0, 50.0, 0.1)
    assert output == pytest.approx(25.0)


def test_no_time_passed_changes_neither_integral_nor_derivative() -> None:
    pid = replace(PI, derivative_time=1.0)
    state, output = pid.step(PidState(30.0, 40.0), 50.0, 45.0, 0.0)
    assert state.integral == 30.0
    assert output == pytest.approx(32.5)


@pytest.mark.parametrize(("setpoint", "end"), [(500.0, 100.0), (-500.0, 0.0)])
def test_an_hour_at_an_end_does_not_wind_up(setpoint: float, end: float) -> None:
    state, output = PidState(), 0.0
    for _ in range(36_000):
        state, output = PI.step(state, setpoint, 0.0, 0.1)
    assert output == end
    for _ in range(50):
        state, output = PI.step(state, -setpoint / 50, 0.0, 0.1)
    assert output != end


def test_at_an_end_the_integral_may_come_back() -> None:
    state, _ = PI.step(PidState(150.0), 90.0, 100.0, 1.0)
    assert state.integral < 150.0


@given(
    st.floats(0.01, 10),
    st.floats(0.1, 1000),
    st.floats(0, 100),
    st.lists(st.tuples(flows, flows, st.floats(0, 10)), max_size=30),
)
def test_the_output_never_leaves_its_limits(
    gain: float, integral_time: float, derivative_time: float, steps: list[tuple[float, float, float]]
) -> None:
    pid, state = Pid(gain, integral_time, derivative_time, 5.0, 95.0), PidState()
    for setpoint, measured, dt_s in steps:
        state, output = pid.step(state, setpoint, measured, dt_s)
        assert 5.0 <= output <= 95.0


@given(st.floats(0, 100), flows, flows)
def test_tracking_goes_on_at_the_output_in_force(output: float, setpoint: float, measured: float) -> None:
    pid = replace(PI, derivative_time=3.0)
    _, resumed = pid.step(pid.track(output, setpoint, measured), setpoint, measured, 0.0)
    assert resumed == pytest.approx(output, abs=1e-9)
