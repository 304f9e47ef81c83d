"""Judgement: is this reading to be believed, here?

What the profile knows of the instrument was judged when the value was decoded. Here the site says what it knows of the
place, and a reading that fails is marked, never dropped and never put right:

- a **mark** that stands (maintenance, calibration): no value; a mark that is not known: the reading is no better known
- exactly **0** where that is no measurement: no value
- outside the **range** of the place: over range or under range, uncertain. A guard counts it as beyond its limit
- moved **faster** than the water can: ``JUMPED``, uncertain, until it could have got there at that rate since the last
  reading that was believed; then the step was real. A guard takes it as evidence against the water, not for it
- **frozen**: the same number to the last bit, read anew for too long: uncertain. Exactly 0 is not judged so: it is what
  an instrument at rest shows
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from config.sample import Quality, Reason, Sample
from control.cause import Cause, amount, seen
from control.code import Code
from control.instant import Instant

Image = Sequence[Sample]


class Judged(NamedTuple):
    """What is remembered: the last number that was believed to be reached, when; which number it is since when.

    ``fault``: why the present reading is not believed.
    """

    believed: float | None = None
    believed_at: float = 0.0
    same: float | None = None
    same_since: float = 0.0
    fault: Cause | None = None


NOTHING_JUDGED: Final = Judged()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Settings in the signal's own unit; ``None``: not judged. ``max_rate`` per second, ``frozen_after`` in s.

    ``marks``: image index of each marking signal and the reason that it gives.
    """

    name: str
    unit: str
    low: float | None = None
    high: float | None = None
    max_rate: float | None = None
    frozen_after: float | None = None
    zero_is_no_value: bool = False
    marks: tuple[tuple[int, Reason], ...] = ()

    def step(self, before: Judged, sample: Sample, at: float, image: Image, now: Instant) -> tuple[Judged, Sample]:
        """Judges one new reading, which came about at ``at``, monotonic seconds."""
        marked = self._marked(sample, image)
        number = marked.number
        if number is None:
            # What is not good tells nothing of jumps and frozen sensors; the last believed reading stays.
            return before._replace(same=None, fault=None), marked
        same_since = before.same_since if number == before.same else at
        reason = self._reason(before, number, same_since, at)
        if reason is Reason.OK:
            return Judged(number, at, number, same_since), sample
        fault = before.fault
        if fault is None or fault.code is not _FAULTS[reason]:
            fault = self._fault(reason, before, number, sample, now)
        believed = (number, at) if reason is Reason.FROZEN else (before.believed, before.believed_at)
        return Judged(*believed, number, same_since, fault), sample.degraded(reason)

    def _marked(self, sample: Sample, image: Image) -> Sample:
        if sample.quality is Quality.BAD:
            return sample
        for index, reason in self.marks:
            mark = image[index]
            if not mark.good:
                # Not known whether it is marked: that is no mark, which would let a guard wait.
                known = Reason.OUT_OF_SERVICE if mark.reason in _MARKS else mark.reason
                return sample.degraded(known) if sample.quality < mark.quality else sample
            if mark.value is True:
                return sample.degraded(reason)
        return sample

    def _reason(self, before: Judged, number: float, same_since: float, at: float) -> Reason:
        if self.zero_is_no_value and number == 0:
            return Reason.NOT_A_NUMBER
        if self.high is not None and number > self.high:
            return Reason.OVER_RANGE
        if self.low is not None and number < self.low:
            return Reason.UNDER_RANGE
        if self.max_rate is not None and before.believed is not None:
            reach = self.max_rate * (at - before.believed_at)
            if abs(number - before.believed) > reach:
                return Reason.JUMPED
        if self.frozen_after is not None and number != 0 and at - same_since >= self.frozen_after:
            return Reason.FROZEN
        return Reason.OK

    def _fault(self, reason: Reason, before: Judged, number: float, sample: Sample, now: Instant) -> Cause:
        shown = amount(number, self.unit)
        match reason:
            case Reason.OVER_RANGE:
                values: tuple[str, ...] = (shown, amount(self.high or 0.0, self.unit))
            case Reason.UNDER_RANGE:
                values = (shown, amount(self.low or 0.0, self.unit))
            case Reason.JUMPED:
                assert before.believed is not None
                values = (amount(before.believed, self.unit), shown, f"{amount(self.max_rate or 0.0, self.unit)}/s")
            case Reason.FROZEN:
                values = (shown, amount(self.frozen_after or 0.0, "s"))
            case _:
                values = (shown,)
        return Cause(_FAULTS[reason], self.name, values, None, seen(self.name, self.unit, sample, now.utc))


_MARKS: Final = (Reason.MAINTENANCE, Reason.CALIBRATION)
_FAULTS: Final = {
    Reason.OVER_RANGE: Code.SIGNAL_ABOVE_RANGE,
    Reason.UNDER_RANGE: Code.SIGNAL_BELOW_RANGE,
    Reason.JUMPED: Code.SIGNAL_JUMPED,
    Reason.FROZEN: Code.SIGNAL_FROZEN,
    Reason.NOT_A_NUMBER: Code.SIGNAL_ZERO,
}
