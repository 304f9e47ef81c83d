"""The PID controller in the ISA standard form: ``u = K (e + 1/Ti integral(e) - Td d(pv)/dt)``.

Derivative acts on the measurement, so that a set-point step gives no kick. While the output is at an end or
overridden, the integral follows it (tracking), so that there is no wind-up and no bump when control returns.
Form and anti-windup: K. J. Astrom, T. Hagglund, Advanced PID Control, ISA 2006, chapters 2 and 3.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PidState:
    """``integral`` in output units; ``measured`` is the last measurement, ``None`` before the first."""

    integral: float = 0.0
    measured: float | None = None


@dataclass(frozen=True, slots=True)
class Pid:
    """Settings: ``gain`` in output per input unit, times in seconds, output limits in output units."""

    gain: float
    integral_time: float
    derivative_time: float
    low: float = 0.0
    high: float = 100.0

    def step(self, state: PidState, setpoint: float, measured: float, dt_s: float) -> tuple[PidState, float]:
        """One step of ``dt_s`` seconds; returns the new state and the output within its limits."""
        error = setpoint - measured
        proportional = self.gain * error
        derivative = 0.0
        if state.measured is not None and dt_s > 0:
            derivative = -self.gain * self.derivative_time * (measured - state.measured) / dt_s
        integral = state.integral + self.gain * error * dt_s / self.integral_time
        wanted = proportional + integral + derivative
        output = min(max(wanted, self.low), self.high)
        if output != wanted:
            # At an end the integral may only move back from it.
            towards_end = (wanted > self.high) == (error > 0)
            integral = state.integral if towards_end else integral
        return PidState(integral, measured), output

    def track(self, output: float, setpoint: float, measured: float) -> PidState:
        """The state from which the next step goes on bumplessly at ``output``."""
        return PidState(output - self.gain * (setpoint - measured), measured)
