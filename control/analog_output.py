"""An analog output: a demand in percent for what follows it by itself, held within its limits and looked after.

Its safe value is always given; every other demand is kept between ``low`` and ``high``. Where a feedback tells what the
device does (the speed of a drive, the stroke of a dosing pump), one that stays away from the demand is an alarm.
"""

from dataclasses import dataclass
from typing import Final

from config.sample import Sample, Value
from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since


@dataclass(frozen=True, slots=True)
class AnalogState:
    """``astray_since``: the feedback is away from the demand since (monotonic); ``alarm``: it has been for too long."""

    astray_since: float | None = None
    alarm: Cause | None = None


AT_REST: Final = AnalogState()


@dataclass(frozen=True, slots=True)
class AnalogOutput:
    """Settings in percent; ``feedback`` is an image index. ``follow_after``: how long it may take to follow, in s."""

    tag: str
    safe: float
    low: float
    high: float
    feedback: int | None
    tolerance: float
    follow_after: float

    def limited(self, value: Value) -> Value:
        """The value that is written for a demand."""
        if not isinstance(value, float) or value == self.safe:
            return value
        return min(max(value, self.low), self.high)

    def step(self, state: AnalogState, demanded: Value, image: tuple[Sample, ...], now: Instant) -> AnalogState:
        """Judges the feedback by the demand of the scan before; a reading that is not good says nothing."""
        if self.feedback is None:
            return state
        shown = image[self.feedback].number
        away = shown is not None and isinstance(demanded, float) and abs(shown - demanded) > self.tolerance
        astray_since = since(state.astray_since, away, now)
        alarm = None
        if lasted(astray_since, self.follow_after, now) and shown is not None and isinstance(demanded, float):
            given = (amount(demanded, "%"), amount(shown, "%"))
            alarm = state.alarm or Cause(Code.ANALOG_NOT_FOLLOWED, self.tag, given)
        if astray_since == state.astray_since and alarm is state.alarm:
            return state
        return AnalogState(astray_since, alarm)
