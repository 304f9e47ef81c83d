"""Voting: one value out of several readings of the same quantity (1oo2, 2oo2, 2oo3, median; IEC 61511 calls it MooN).

One rule for all: the readings are put in order from the worst to the best, and ``MooN`` gives the M-th. So M of N
readings must be beyond a limit for the result to be. Worst is what goes in the direction of a trip; a reading that is
not good is worse than any that is:

1. evidence: over range where high is worse, under range where low is; a guard takes it as beyond its limit
2. no value at all (bad), then an uncertain value
3. the good ones, from the worst to the best

With ``leave_out`` what is not good and no evidence is left out while a good reading is left; then M is at most as many
as are left. The result is as old as the oldest reading that it was chosen from, so that no stale one is hidden.

Readings that are too far apart, or not good, for a time are alarms: the vote goes on.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from config.sample import Quality, Reason, Sample, quality_of
from control.cause import Cause, amount, reason_text, seen
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

Trip = Literal["high", "low"] | bool | float
"""In which direction a reading is worse: ``high``, ``low``, on or off, or away from a number."""


class VoteState(NamedTuple):
    """Since when the readings disagree and since when one is not good, monotonic; the alarms that this has become."""

    disagrees_since: float | None = None
    short_since: float | None = None
    disagrees: Cause | None = None
    short: Cause | None = None


AGREED: Final = VoteState()


@dataclass(frozen=True, slots=True)
class Vote:
    """Settings. ``needed`` of the ``names`` must be beyond a limit; ``disagreement`` in ``unit``, times in s.

    ``disagreement`` is ``None`` for signals that are on or off: they disagree when they differ.
    """

    name: str
    names: tuple[str, ...]
    unit: str
    needed: int
    trip: Trip
    disagreement: float | None
    disagreement_time: float
    leave_out: bool

    def choose(self, samples: tuple[Sample, ...]) -> Sample:
        """The result of the vote. The order in which the readings are given does not matter."""
        ranked = sorted(samples, key=self._worst_first)
        if self.leave_out and any(sample.good for sample in ranked):
            ranked = [sample for sample in ranked if sample.good or self._is_evidence(sample)]
        chosen = ranked[min(self.needed, len(ranked)) - 1]
        received = min(sample.received for sample in ranked if sample.quality is not Quality.BAD or sample is chosen)
        times = [sample.source_time for sample in ranked if sample.good and sample.source_time is not None]
        source_time = min(times) if chosen.good and times else chosen.source_time
        return chosen._replace(received=received, source_time=source_time)

    def watch(self, state: VoteState, samples: tuple[Sample, ...], now: Instant) -> VoteState:
        """Times how long the readings have disagreed, and how long one has not been good."""
        disagrees_since = since(state.disagrees_since, self._apart(samples), now)
        short_since = since(state.short_since, any(not sample.good for sample in samples), now)
        disagrees = short = None
        if lasted(disagrees_since, self.disagreement_time, now):
            disagrees = state.disagrees or self._disagreement(samples)
        if lasted(short_since, self.disagreement_time, now):
            short = state.short or self._shortage(samples, now)
        after = VoteState(disagrees_since, short_since, disagrees, short)
        if after == state:
            return state
        return AGREED if after == AGREED else after

    def waits(self, state: VoteState) -> bool:
        """True while time alone may raise an alarm."""
        disagrees = state.disagrees_since is not None and state.disagrees is None
        return disagrees or (state.short_since is not None and state.short is None)

    def _worst_first(self, sample: Sample) -> tuple[int, int, float, float, float]:
        """The order of the readings. Of equally bad ones the higher is worse, then the older."""
        if self._is_evidence(sample):
            group = 0
        elif not sample.good:
            group = 1 if sample.quality is Quality.BAD else 2
        else:
            group = 3
        value = float(sample.value) if isinstance(sample.value, int | float) else 0.0
        return (group, _RANK[sample.reason], self._goodness(sample.value), -value, sample.received)

    def _goodness(self, value: object) -> float:
        if not isinstance(value, int | float):
            return 0.0
        match self.trip:
            case bool():
                return float(value is not self.trip)
            case "high":
                return -float(value)
            case "low":
                return float(value)
            case _:
                return -abs(float(value) - self.trip)

    def _is_evidence(self, sample: Sample) -> bool:
        high = not isinstance(self.trip, bool) and self.trip != "low"
        low = not isinstance(self.trip, bool) and self.trip != "high"
        return (high and sample.reason is Reason.OVER_RANGE) or (low and sample.reason is Reason.UNDER_RANGE)

    def _apart(self, samples: tuple[Sample, ...]) -> bool:
        values = [float(sample.value) for sample in samples if sample.good and isinstance(sample.value, int | float)]
        return len(values) > 1 and max(values) - min(values) > (self.disagreement or 0.0)

    def _disagreement(self, samples: tuple[Sample, ...]) -> Cause:
        shown = ", ".join(
            f"{name} {_shown(sample, self.unit)}" for name, sample in zip(self.names, samples, strict=True)
        )
        for_time = amount(self.disagreement_time, "s")
        if self.disagreement is None:
            return Cause(Code.VOTE_DIFFERS, self.name, (shown, for_time))
        return Cause(Code.VOTE_DISAGREES, self.name, (shown, amount(self.disagreement, self.unit), for_time))

    def _shortage(self, samples: tuple[Sample, ...], now: Instant) -> Cause:
        wrong = [(name, sample) for name, sample in zip(self.names, samples, strict=True) if not sample.good]
        shown = ", ".join(f"{name} ({reason_text(sample)})" for name, sample in wrong)
        left_out = self.leave_out and len(wrong) < len(samples)
        kept = seen(wrong[0][0], self.unit, wrong[0][1], now.utc)
        code = Code.VOTE_LEAVES_OUT if left_out else Code.VOTE_SHORT
        return Cause(code, self.name, (shown, amount(self.disagreement_time, "s")), None, kept)


_RANK: Final = {reason: place for place, reason in enumerate(sorted(Reason, key=lambda one: (-quality_of(one), one)))}
"""An order of reasons, so that the one that a vote gives does not depend on the order of its readings."""


def _shown(sample: Sample, unit: str) -> str:
    if not sample.good:
        return reason_text(sample)
    if isinstance(sample.value, bool):
        return "on" if sample.value else "off"
    return amount(float(sample.value), unit) if isinstance(sample.value, int | float) else str(sample.value)
