"""The first-order filter (PT1): a lag that smooths noise, exact for readings that come at irregular times.

A step of the input is followed by ``1 - exp(-t / time constant)``. The filter begins anew with the first good reading
after one that was not good: it never bridges what is not known.
"""

from math import exp
from typing import NamedTuple

from config.sample import Sample


class Filtered(NamedTuple):
    """The value and when the reading came about that it is from, monotonic seconds."""

    value: float
    at: float


def filtered(
    before: Filtered | None, sample: Sample, at: float, time_constant_s: float
) -> tuple[Filtered | None, Sample]:
    """The filter's next state and the reading to use: between the one before and the new one, both included.

    ``at``: when the reading came about, monotonic seconds.
    """
    number = sample.number
    if number is None:
        return None, sample
    if before is None:
        return Filtered(number, at), sample
    share = 1.0 - exp(-max(at - before.at, 0.0) / time_constant_s)
    low, high = min(before.value, number), max(before.value, number)
    value = min(max(before.value + share * (number - before.value), low), high)
    return Filtered(value, max(at, before.at)), Sample(value, *sample[1:])
