"""The meter's own totaliser as a count that only grows.

Delivered volume is what the meter counted, never an integral of flow. A register that rolls over goes on from
zero; one that goes back for any other reason (a replaced or reset meter) is taken as the new base and reported,
and what is unknown in between is not invented.
"""

from typing import NamedTuple

BACKWARD_TOLERANCE_M3 = 0.001
"""A step back this small is read as rounding between the integer and the decimal register."""


class Step(NamedTuple):
    """``volume_m3`` that passed between two readings (never negative); ``backward`` when the count went back."""

    volume_m3: float
    backward: bool


def advance(previous_m3: float, present_m3: float, rollover_m3: float | None) -> Step:
    """The volume between two readings of a totaliser.

    A fall of more than half the roll-over is a roll-over (the meter cannot have counted half its range between
    two polls); any other fall is a replaced or reset meter.
    """
    change = present_m3 - previous_m3
    if change >= 0:
        return Step(change, False)
    if rollover_m3 is not None and -change > rollover_m3 / 2:
        return Step(change + rollover_m3, False)
    return Step(0.0, -change > BACKWARD_TOLERANCE_M3)
