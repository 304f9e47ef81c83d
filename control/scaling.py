"""Scaling: what an instrument sends, as the quantity that it measures.

A straight line through two points, or the square root of one: a differential pressure goes with the square of the
flow. Below the cut-off the result is the lower end, because the root of noise around nil is large.

The live zero of a current loop is judged after NAMUR NE 43: 3.8 to 20.5 mA carry a measurement; at 3.6 mA and below or
at 21 mA and above the transmitter reports a failure or the wire is broken or shorted, and there is no value; in between
it is saturated, and the value is a limit, no measurement.
"""

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Final

from config.sample import Quality, Reason, Sample, bad

FAILED_LOW_A: Final = 0.0036
SATURATED_LOW_A: Final = 0.0038
SATURATED_HIGH_A: Final = 0.0205
FAILED_HIGH_A: Final = 0.021
ROUNDING_A: Final = 1e-7
"""What a current may be off for having been 3.8 mA in another number format; an input resolves about 0.3 uA."""


@dataclass(frozen=True, slots=True)
class Scale:
    """``from_low`` and ``from_high`` at the input become ``to_low`` and ``to_high``; ``cutoff`` is a share (0 to 1)."""

    from_low: float
    from_high: float
    to_low: float
    to_high: float
    root: bool
    cutoff: float
    namur: bool

    def scaled(self, sample: Sample) -> Sample:
        """The reading in the unit of the measurement, no better than it came."""
        value = sample.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return sample if value is None else bad(Reason.NOT_A_NUMBER, sample.received, sample.raw)
        result = self.value(float(value))
        if not isfinite(result):
            return bad(Reason.NOT_A_NUMBER, sample.received, sample.raw)
        scaled = Sample(result, *sample[1:])
        if sample.quality is not Quality.GOOD:
            return self._turned(scaled)
        return scaled.degraded(reason) if (reason := self._live_zero(float(value))) is not Reason.OK else scaled

    def value(self, raw: float) -> float:
        """The number alone. Monotone, and exact at both ends."""
        share = (raw - self.from_low) / (self.from_high - self.from_low)
        if self.root:
            share = sqrt(share) if share > 0 else 0.0
        if self.cutoff > 0 and share < self.cutoff:
            return self.to_low
        if share == 1:
            return self.to_high
        result = self.to_low + share * (self.to_high - self.to_low)
        # Rounding must not carry a value past an end that it has not reached.
        beyond = result > self.to_high if self.to_high > self.to_low else result < self.to_high
        return self.to_high if beyond is (share < 1) else result

    @property
    def turns(self) -> bool:
        """True where more at the input is less of the quantity."""
        return (self.to_high - self.to_low) * (self.from_high - self.from_low) < 0

    def _live_zero(self, current: float) -> Reason:
        if not self.namur or SATURATED_LOW_A - ROUNDING_A <= current <= SATURATED_HIGH_A + ROUNDING_A:
            return Reason.OK
        if current <= FAILED_LOW_A + ROUNDING_A or current >= FAILED_HIGH_A - ROUNDING_A:
            return Reason.DEVICE_FAULT
        return Reason.OVER_RANGE if (current > SATURATED_HIGH_A) is not self.turns else Reason.UNDER_RANGE

    def _turned(self, sample: Sample) -> Sample:
        """Over the range of the input is under the range of a quantity that goes the other way."""
        if not self.turns:
            return sample
        if sample.reason is Reason.OVER_RANGE:
            return sample.degraded(Reason.UNDER_RANGE)
        return sample.degraded(Reason.OVER_RANGE) if sample.reason is Reason.UNDER_RANGE else sample
