"""The PID controller in the ISA standard form: ``u = K (b r - y + 1/Ti integral(r - y) - Td dy/dt)``.

The derivative acts on the measurement alone (a set-point step gives no kick) and has a first-order filter of
``Td / N``; the set-point acts on the proportional term by its weight ``b``. Whenever the output in force is not the one
that was wanted (at a limit, at its greatest rate, or because somebody else has the actuator) the integral follows what
is in force with the tracking time ``Tt``: back-calculation, the reason why there is no wind-up. A gap around
the set-point may have a smaller gain or none.

Source: K. J. Astrom, T. Hagglund, Advanced PID Control, ISA 2006, section 3.3 (filtering, set-point weight), 3.5
(back-calculation, tracking mode) and 13.4 (the discrete form: backward differences, stable for every period).
"""

from dataclasses import dataclass
from math import exp, inf, isfinite, sqrt


@dataclass(frozen=True, slots=True)
class PidState:
    """``integral``, ``derivative`` and ``output`` in output units; ``measured`` is the filtered measurement.

    ``measured`` and ``output`` are ``None`` before the first step.
    """

    integral: float = 0.0
    measured: float | None = None
    derivative: float = 0.0
    output: float | None = None


@dataclass(frozen=True, slots=True)
class Pid:
    """Settings. ``gain`` (above 0) in output units per input unit, times in s, limits in output units.

    ``reverse``: the output falls when the measurement rises (heating, filling); else it rises (draining).
    ``integral_time``: ``inf`` for none. ``derivative_filter`` is N; ``measurement_filter`` the time constant of a
    first-order filter on the measurement; ``rate`` the greatest change of the output per second; ``tracking_time``
    the Tt of the back-calculation, by default ``sqrt(Ti Td)``, or Ti without a derivative. Within ``gap`` on either
    side of the set-point the gain is ``gap_gain`` times as large.
    """

    gain: float
    integral_time: float
    derivative_time: float = 0.0
    low: float = 0.0
    high: float = 100.0
    rate: float = inf
    derivative_filter: float = 10.0
    measurement_filter: float = 0.0
    setpoint_weight: float = 1.0
    tracking_time: float | None = None
    gap: float = 0.0
    gap_gain: float = 0.0
    reverse: bool = True

    def step(
        self,
        state: PidState,
        setpoint: float,
        measured: float,
        dt_s: float,
        feed_forward: float = 0.0,
        in_force: float | None = None,
    ) -> tuple[PidState, float]:
        """One step of ``dt_s`` seconds; returns the new state and the output, always within its limits.

        ``feed_forward`` is added to the output. ``in_force``: what the actuator (or, in a cascade, the inner loop's
        measurement) really is, where that is not the last output; the integral then follows it. Figures that give no
        finite output move nothing.
        """
        filtered, derivative = self._filtered(state, measured, dt_s)
        error = self._error(setpoint, filtered)
        gain = self.gain if self.reverse else -self.gain
        proportional = gain * (error - (1.0 - self.setpoint_weight) * setpoint)
        integral = state.integral + gain * error * dt_s / self.integral_time
        wanted = proportional + integral + derivative + feed_forward
        if not isfinite(wanted):
            return state, self._limited(state.output, state.output, 0.0)
        output = self._limited(wanted, state.output, dt_s)
        follows = output if in_force is None else in_force
        if follows != wanted and self.integral_time < inf:
            integral += (follows - wanted) * (1.0 - exp(-dt_s / self.tracking()))
        new = PidState(integral, filtered, derivative, output)
        return (state if new == state else new), output

    def follow(
        self,
        state: PidState,
        output: float,
        setpoint: float,
        measured: float,
        dt_s: float,
        feed_forward: float = 0.0,
    ) -> PidState:
        """One step in which the output is somebody else's: the filters go on, the integral fits to ``output``.

        The next ``step`` goes on from there without a bump.
        """
        filtered, derivative = self._filtered(state, measured, dt_s)
        gain = self.gain if self.reverse else -self.gain
        proportional = gain * (self._error(setpoint, filtered) - (1.0 - self.setpoint_weight) * setpoint)
        integral = output - proportional - derivative - feed_forward
        if not isfinite(integral):
            return state
        new = PidState(integral, filtered, derivative, output)
        return state if new == state else new

    def track(self, output: float, setpoint: float, measured: float) -> PidState:
        """The state from which the next step goes on bumplessly at ``output``, with its filters begun anew."""
        return self.follow(PidState(), output, setpoint, measured, 0.0)

    def tracking(self) -> float:
        """The tracking time in force, in seconds."""
        if self.tracking_time is not None:
            return self.tracking_time
        return sqrt(self.integral_time * self.derivative_time) if self.derivative_time > 0 else self.integral_time

    def _filtered(self, state: PidState, measured: float, dt_s: float) -> tuple[float, float]:
        """The filtered measurement, and the derivative term."""
        before = state.measured
        if before is None:
            return measured, 0.0
        filtered = measured
        if self.measurement_filter > 0:
            filtered = before + (measured - before) * dt_s / (self.measurement_filter + dt_s)
        if self.derivative_time <= 0:
            return filtered, 0.0
        gain = self.gain if self.reverse else -self.gain
        lag = self.derivative_time + self.derivative_filter * dt_s
        kept = self.derivative_time / lag * state.derivative
        return filtered, kept - gain * self.derivative_time * self.derivative_filter / lag * (filtered - before)

    def _error(self, setpoint: float, measured: float) -> float:
        """The control error, reduced within the gap; continuous at its ends."""
        error = setpoint - measured
        if self.gap <= 0:
            return error
        if -self.gap <= error <= self.gap:
            return error * self.gap_gain
        return error - (self.gap if error > 0 else -self.gap) * (1.0 - self.gap_gain)

    def _limited(self, wanted: float | None, before: float | None, dt_s: float) -> float:
        """Within the limits, and no further from ``before`` than the rate allows."""
        low, high = self.low, self.high
        if before is not None and self.rate < inf:
            last = min(max(before, low), high)
            low, high = max(low, last - self.rate * dt_s), min(high, last + self.rate * dt_s)
        return min(max(low if wanted is None else wanted, low), high)
