"""Alarms of the site's own, and suppression by design: conditions of the site file that raise or silence an alarm.

A condition that is not known (a reading that is not good) changes nothing: what stood stands, what was silenced stays
so. That a reading is not good is an alarm of its own.
"""

from dataclasses import dataclass

from control.alarm import State
from control.annunciator import Alarms, Annunciator
from control.cause import Cause
from control.code import Code
from control.expression import Condition, Memory, Situation


@dataclass(frozen=True, slots=True)
class AlarmCondition:
    """``place``: the alarm it is about. It raises the alarm, or it ``suppresses`` it by design."""

    place: int
    condition: Condition
    suppresses: bool


def judge(
    conditions: tuple[AlarmCondition, ...],
    alarms: Alarms,
    annunciator: Annunciator,
    memories: tuple[Memory, ...],
    situation: Situation,
) -> tuple[dict[int, Cause], set[int], tuple[Memory, ...]]:
    """The causes of the alarms that these conditions raise, those that they suppress, and what they remember."""
    raised: dict[int, Cause] = {}
    suppressed: set[int] = set()
    after = list(memories)
    for i, one in enumerate(conditions):
        truth, after[i] = one.condition.step(memories[i], situation)
        if truth is False:
            continue
        state = annunciator.states.get(one.place)
        if one.suppresses:
            if truth or (state is not None and state.state is State.SUPPRESSED):
                suppressed.add(one.place)
            continue
        stands = state.cause if state is not None and state.stands else None
        if stands is not None:
            raised[one.place] = stands
        elif truth:
            alarm = alarms.alarms[one.place]
            because = one.condition.deciding(after[i], situation)
            raised[one.place] = Cause(Code.SITE_ALARM, alarm.id, (alarm.text, alarm.text_zh), because)
    same = all(new is old for new, old in zip(after, memories, strict=True))
    return raised, suppressed, memories if same else tuple(after)
