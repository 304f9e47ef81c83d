"""What a loop's output does to an actuator: all of it, or its part of a split range.

An actuator moves from 0 to 100 % (or back, ``reverse``) while the output goes through its range; ranges may adjoin,
overlap or leave a gap.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopOutput:
    """One actuator of a loop: ``place`` is that of its demand among the program's outputs; the range in percent."""

    place: int
    low: float = 0.0
    high: float = 100.0
    reverse: bool = False

    def position(self, output: float) -> float:
        """Where the actuator is to be, in percent, for an output of the loop."""
        share = min(max((output - self.low) / (self.high - self.low), 0.0), 1.0) * 100.0
        return 100.0 - share if self.reverse else share

    def output(self, position: float) -> float:
        """The output of the loop at which the actuator is at a position."""
        share = (100.0 - position if self.reverse else position) / 100.0
        return self.low + share * (self.high - self.low)
