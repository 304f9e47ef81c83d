"""A conditioned signal: one that is judged by more than its age, or calculated from others.

The steps, in this order, each with a file of its own: take the reading as it came, or scale one (``scaling.py``), or
vote on several (``voting.py``); judge it (``judgement.py``); filter it (``filter.py``). A step hands on what is not
good as it is or worse, never better.

Nothing is done while nothing that it rests on has changed.
"""

from dataclasses import dataclass
from operator import is_
from typing import Final, NamedTuple

from config.sample import NOT_YET_READ, Reason, Sample
from control.cause import Cause, amount, seen
from control.code import Code
from control.filter import Filtered, filtered
from control.instant import Instant
from control.judgement import NOTHING_JUDGED, Image, Judged, Judgement
from control.scaling import Scale
from control.voting import AGREED, Vote, VoteState


class ConditionedState(NamedTuple):
    """``inputs``: the readings that ``output`` rests on, as they were. The rest is what the steps remember.

    ``fault``: why the reading is not believed, where that was found here and not before.
    """

    inputs: tuple[Sample, ...] = ()
    output: Sample = NOT_YET_READ
    judged: Judged = NOTHING_JUDGED
    filtered: Filtered | None = None
    vote: VoteState = AGREED
    fault: Cause | None = None


UNREAD: Final = ConditionedState()


@dataclass(frozen=True, slots=True)
class Conditioned:
    """Settings. ``index``: its own place in the image; ``inputs``: of what it rests on, the marks last.

    Without ``scale`` and ``vote`` it is the reading of its first input. ``filter`` is a time constant in s, 0: none.
    ``input_names`` and ``input_unit`` are for causes.
    """

    index: int
    name: str
    unit: str
    inputs: tuple[int, ...]
    sources: int
    input_names: tuple[str, ...]
    input_unit: str
    scale: Scale | None = None
    vote: Vote | None = None
    judgement: Judgement | None = None
    filter: float = 0.0

    def step(self, state: ConditionedState, image: Image, now: Instant) -> ConditionedState:
        """The state with the reading to use as ``output``."""
        before = state.inputs
        # Nearly always nothing has changed, and this is asked of every block in every scan.
        if not before or image[self.inputs[0]] is not before[0]:
            return self._anew(state, image, now)
        if len(before) > 1 and not all(map(is_, map(image.__getitem__, self.inputs), before)):
            return self._anew(state, image, now)
        if self.vote is None or not self.vote.waits(state.vote):
            return state
        watched = self.vote.watch(state.vote, state.inputs[: self.sources], now)
        return state if watched is state.vote else state._replace(vote=watched)

    def _anew(self, state: ConditionedState, image: Image, now: Instant) -> ConditionedState:
        inputs = tuple([image[index] for index in self.inputs])
        sample = inputs[0]
        _, _, judged, lag, vote, _ = state
        at = sample.received
        fault: Cause | None = None
        if self.scale is not None:
            sample = self.scale.scaled(sample)
            if not sample.good:
                fault = self._loop_fault(state, inputs[0], sample, now)
        elif self.vote is not None:
            sample = self.vote.choose(inputs[: self.sources])
            # The result is as old as its oldest reading, but it moves with every one.
            at = max([one.received for one in inputs[: self.sources]])
            vote = self.vote.watch(vote, inputs[: self.sources], now)
        if self.judgement is not None:
            judged, sample = self.judgement.step(judged, sample, at, image, now)
            fault = fault or judged.fault
        if self.filter > 0:
            lag, sample = filtered(lag, sample, at, self.filter)
        return ConditionedState(inputs, sample, judged, lag, vote, fault)

    def alarms(self, state: ConditionedState) -> tuple[Cause, ...]:
        """What stands wrong with it."""
        return tuple([cause for cause in (state.fault, state.vote.disagrees, state.vote.short) if cause is not None])

    def _loop_fault(self, state: ConditionedState, raw: Sample, scaled: Sample, now: Instant) -> Cause | None:
        """What NAMUR NE 43 says of a current that came well."""
        if not raw.good or scaled.good:
            return None
        code = Code.LOOP_FAILED if scaled.reason is Reason.DEVICE_FAULT else Code.LOOP_SATURATED
        if state.fault is not None and state.fault.code is code:
            return state.fault
        current = amount(float(raw.value) * 1000, "mA") if isinstance(raw.value, int | float) else ""
        kept = seen(self.input_names[0], self.input_unit, raw, now.utc)
        return Cause(code, self.name, (self.input_names[0], current), None, kept)
