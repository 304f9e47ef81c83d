"""Is an output what it was written? Every output is read back with the polls and compared.

An output that does not follow is an alarm; whether the valve or pump follows is judged by its own feedback.
"""

from dataclasses import dataclass

from config.sample import Sample
from control.arbitration import Demand
from control.cause import Cause
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

FOLLOW_TOLERANCE_S = 3.0
"""A write, its confirmation and the next poll take less than this on any bus that is in order."""
TOLERANCE_PERCENT = 0.2


@dataclass(frozen=True, slots=True)
class OutputState:
    """``astray_since``: reads back another value than demanded since."""

    astray_since: float | None = None
    alarm: Cause | None = None


def follows(demand: Demand, sample: Sample) -> bool:
    """True when the read-back equals the demand, or when there is no good read-back to judge by."""
    if not sample.good:
        return True
    if isinstance(demand.value, float) and isinstance(sample.value, int | float):
        return abs(sample.value - demand.value) <= TOLERANCE_PERCENT
    return sample.value == demand.value


def step(state: OutputState, demand: Demand, name: str, sample: Sample, now: Instant) -> OutputState:
    """Judges one output against the demand of the scan before."""
    astray_since = since(state.astray_since, not follows(demand, sample), now)
    alarm = None
    if lasted(astray_since, FOLLOW_TOLERANCE_S, now):
        alarm = state.alarm or Cause(Code.OUTPUT_NOT_FOLLOWED, name, (str(demand.value), str(sample.value)))
    if astray_since == state.astray_since and alarm is state.alarm:
        return state
    return OutputState(astray_since, alarm)
