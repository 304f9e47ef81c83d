"""The PID block of a site file's settings, for loops and continuous dispensers alike."""

from math import inf

from config.pid import Pid as Settings
from control.pid import Pid


def compile_pid(
    settings: Settings, low: float = 0.0, high: float = 100.0, rate: float = inf, *, reverse: bool = True
) -> Pid:
    """The block, with the limits of its output and its greatest change per second."""
    return Pid(
        gain=settings.gain,
        integral_time=settings.integral_time or inf,
        derivative_time=settings.derivative_time,
        low=low,
        high=high,
        rate=rate,
        derivative_filter=settings.derivative_filter,
        measurement_filter=settings.measurement_filter,
        setpoint_weight=settings.setpoint_weight,
        tracking_time=settings.tracking_time,
        gap=settings.gap.value if settings.gap is not None else 0.0,
        gap_gain=settings.gap_gain,
        reverse=reverse,
    )
