"""PID settings of a site file, the same for loops and for continuous dispensers (ISA standard form, docs/loops.md)."""

from typing import Annotated

from pydantic import Field

from config.model import FileModel, Fraction, PositiveSeconds, Quantity, Seconds


class Pid(FileModel):
    """``gain`` in output per unit of the measurement, both in the units in which they are computed (% per m3/h).

    Without ``integral_time`` there is no integral action. ``derivative_filter`` is N: the derivative is filtered with
    ``derivative_time / N``. ``tracking_time`` is that of the back-calculation. Within ``gap`` on either side of the
    set-point the gain is ``gap_gain`` times as large (0: none).
    """

    gain: Annotated[float, Field(gt=0)]
    integral_time: PositiveSeconds | None = None
    derivative_time: Seconds = 0.0
    derivative_filter: Annotated[float, Field(ge=1, le=100)] = 10.0
    measurement_filter: Seconds = 0.0
    setpoint_weight: Fraction = 1.0
    tracking_time: PositiveSeconds | None = None
    gap: Quantity | None = None
    gap_gain: Fraction = 0.0
