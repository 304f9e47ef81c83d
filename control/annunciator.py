"""The annunciator: every alarm of the station, what people do about them, and which came first.

The name and the mark of the first alarm of a group (first-out) are those of ISA-18.1. Only alarms that are not at rest
are remembered and stepped, so that a station in order costs nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from control import alarm, alarm_figures
from control.alarm import SILENCED, UNANSWERED, Alarm, AlarmState, State, Trigger
from control.alarm_figures import Figures
from control.cause import Cause, amount
from control.code import Code
from control.command import Command, Op
from control.event import Event
from control.instant import Instant

EVERY: Final = "all"
"""The target that names every alarm."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """Every alarm that there can be, by index. ``places``: the index by its owner and its name within that owner."""

    alarms: tuple[Alarm, ...] = ()
    places: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    index: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Annunciator:
    """``states``: of the alarms that are not at rest, by index. ``first_out``: the first alarm of each group."""

    states: Mapping[int, AlarmState] = field(default_factory=dict)
    first_out: Mapping[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)

    @property
    def standing(self) -> tuple[AlarmState, ...]:
        """The alarms whose cause stands, whatever people did about them."""
        return tuple(state for state in self.states.values() if state.stands)

    @property
    def shown(self) -> tuple[AlarmState, ...]:
        """The alarms that concern the operator: neither normal nor silenced; the worst first."""
        shown = [s for s in self.states.values() if s.state is not State.NORMAL and s.state not in SILENCED]
        return tuple(sorted(shown, key=urgency))

    @property
    def silenced(self) -> tuple[AlarmState, ...]:
        """The alarms that are shelved, suppressed by design or out of service."""
        return tuple(state for state in self.states.values() if state.state in SILENCED)


def urgency(state: AlarmState) -> tuple[int, bool, bool, float, str]:
    """The order in which alarms are shown: priority, what waits for a person, what stands, the newest."""
    return -state.priority, state.state not in UNANSWERED, not state.stands, -state.since_utc, state.id


def step(
    alarms: Alarms,
    before: Annunciator,
    raised: Mapping[int, Cause],
    suppressed: frozenset[int] | set[int],
    now: Instant,
) -> tuple[Annunciator, tuple[Event, ...]]:
    """One scan: ``raised`` is what stands wrong, ``suppressed`` what the site's design silences, both by index."""
    states = before.states
    if not states and not raised and not suppressed:
        figures, events = before.figures.step((), (), now)
        return (before if figures is before.figures else replace(before, figures=figures)), events
    moved: list[tuple[AlarmState, AlarmState, Trigger]] = []
    after: dict[int, AlarmState] = {}
    for place in _concerned(states, raised, suppressed):
        old = states.get(place) or alarms.alarms[place].at_rest()
        new, triggers = alarm.step(old, raised.get(place), place in suppressed, now)
        if new is not old:
            after[place] = new
            moved += _stages(old, new, triggers, raised.get(place), now)
    if not after:
        figures, events = before.figures.step((), (), now)
        return (before if figures is before.figures else replace(before, figures=figures)), events
    return _announce(replace(before, states=_without_rest({**states, **after})), moved, now)


def _concerned(
    states: Mapping[int, AlarmState], raised: Mapping[int, Cause], suppressed: frozenset[int] | set[int]
) -> Iterable[int]:
    """The alarms that are to be stepped: those that are not at rest, and those of which something is said now."""
    yield from states
    for place in (*raised, *(one for one in sorted(suppressed) if one not in raised)):
        if place not in states:
            yield place


def _stages(
    old: AlarmState, new: AlarmState, triggers: tuple[Trigger, ...], cause: Cause | None, now: Instant
) -> list[tuple[AlarmState, AlarmState, Trigger]]:
    """Each transition of a scan with the states before and after it."""
    if len(triggers) <= 1:
        return [(old, new, trigger) for trigger in triggers]
    middle = alarm.changed(old, triggers[0], now, cause=cause)
    return [(old, middle, triggers[0]), (middle, new, triggers[1])]


def _announce(
    after: Annunciator, moved: Iterable[tuple[AlarmState, AlarmState, Trigger]], now: Instant
) -> tuple[Annunciator, tuple[Event, ...]]:
    """The events of what moved, the marks of first-out and the figures."""
    first_out = dict(after.first_out)
    events: list[Event] = []
    occurred: list[str] = []
    returned: list[str] = []
    for old, new, trigger in moved:
        group = new.alarm.group
        first = trigger is Trigger.OCCURS and group != "" and first_out.setdefault(group, new.id) == new.id
        events.append(alarm.event(old, new, trigger, now, first_out=first))
        if trigger is Trigger.OCCURS:
            occurred.append(new.id)
        elif old.state is State.UNACKNOWLEDGED and trigger in (Trigger.RETURNS, Trigger.LATCHES):
            returned.append(new.id)
    if first_out:
        active = {state.alarm.group for state in after.shown}

        first_out = {group: first for group, first in first_out.items() if group in active}
    figures, more = after.figures.step(occurred, returned, now)
    marks = after.first_out if first_out == after.first_out else first_out
    return Annunciator(after.states, marks, figures), (*events, *more)


def _without_rest(states: Mapping[int, AlarmState]) -> dict[int, AlarmState]:
    return {place: state for place, state in sorted(states.items()) if not state.at_rest}


# What people do.


def obey(
    alarms: Alarms, before: Annunciator, command: Command, now: Instant
) -> tuple[Annunciator, tuple[Event, ...], Cause | None]:
    """Carries out a command on alarms; returns why it refuses instead, or ``None``.

    The target is the id of an alarm, or with ``ack`` a group, an owner (``FILL-1``) or ``all``.
    """
    act = _ACTS[command.op]
    place = alarms.index.get(command.target)
    if place is not None:
        state = before.states.get(place) or alarms.alarms[place].at_rest()
        done = act(state, command, now)
        if isinstance(done, Cause):
            return before, (), done
        acted = {place: (state, *done)}
    elif command.op is Op.ACK:
        acted = {
            one: (state, *done)
            for one, state in before.states.items()
            if belongs(state.alarm, command.target) and not isinstance(done := act(state, command, now), Cause)
        }
        if not acted:
            known = command.target == EVERY or any(belongs(one, command.target) for one in alarms.alarms)
            return before, (), Cause(Code.NOTHING_TO_ACKNOWLEDGE if known else Code.NO_SUCH_ALARM, command.target)
    else:
        return before, (), Cause(Code.NO_SUCH_ALARM, command.target)
    states = dict(before.states) | {one: new for one, (_, new, _) in acted.items()}
    after, events = _announce(replace(before, states=_without_rest(states)), acted.values(), now)
    return after, events, None


def belongs(one: Alarm, target: str) -> bool:
    """True when an alarm is meant by the name of its group or of its owner, or by ``all``."""
    return target == EVERY or one.group == target or one.id.startswith(f"{target}.")


_Done = tuple[AlarmState, Trigger]


def _acknowledge(state: AlarmState, command: Command, now: Instant) -> _Done | Cause:
    if not alarm.can(state, Trigger.ACKNOWLEDGE):
        return Cause(Code.NOTHING_TO_ACKNOWLEDGE, state.id)
    return alarm.changed(state, Trigger.ACKNOWLEDGE, now, by=command.source), Trigger.ACKNOWLEDGE


def _reset(state: AlarmState, command: Command, now: Instant) -> _Done | Cause:
    if not alarm.can(state, Trigger.RESET):
        return Cause(Code.NOT_LATCHED, state.id)
    return alarm.changed(state, Trigger.RESET, now, by=command.source), Trigger.RESET


def _shelve(state: AlarmState, command: Command, now: Instant) -> _Done | Cause:
    limit = state.alarm.shelve_limit
    if limit <= 0:
        return Cause(Code.MAY_NOT_BE_SILENCED, state.id)
    if state.state in SILENCED:
        return Cause(Code.ALREADY_SILENCED, state.id, (str(state.state).replace("-", " "),))
    if not 0 < command.duration_s <= limit:
        return Cause(Code.SHELF_TOO_LONG, state.id, (amount(command.duration_s, "s"), amount(limit, "s")))
    if not command.reason:
        return Cause(Code.REASON_MISSING, state.id)
    ends_at = now.mono + command.duration_s
    by, reason = command.source, command.reason
    return alarm.changed(state, Trigger.SHELVE, now, by=by, reason=reason, ends_at=ends_at), Trigger.SHELVE


def _unshelve(state: AlarmState, command: Command, now: Instant) -> _Done | Cause:
    if state.state is not State.SHELVED:
        return Cause(Code.NOT_SHELVED, state.id)
    trigger = alarm.ending(state)
    return alarm.changed(state, trigger, now, by=command.source, reason=command.reason), trigger


def _remove(state: AlarmState, command: Command, now: Instant) -> _Done | Cause:
    if state.alarm.shelve_limit <= 0:
        return Cause(Code.MAY_NOT_BE_SILENCED, state.id)
    if state.state is State.OUT_OF_SERVICE:
        return Cause(Code.ALREADY_SILENCED, state.id, ("out of service",))
    if not command.reason:
        return Cause(Code.REASON_MISSING, state.id)
    by, reason = command.source, command.reason
    return alarm.changed(state, Trigger.REMOVE, now, by=by, reason=reason), Trigger.REMOVE


def _return(state: AlarmState, command: Command, now: Instant) -> _Done | Cause:
    if state.state is not State.OUT_OF_SERVICE:
        return Cause(Code.NOT_OUT_OF_SERVICE, state.id)
    trigger = alarm.ending(state)
    return alarm.changed(state, trigger, now, by=command.source, reason=command.reason), trigger


_ACTS: Final[Mapping[Op, Callable[[AlarmState, Command, Instant], _Done | Cause]]] = {
    Op.ACK: _acknowledge,
    Op.RESET: _reset,
    Op.SHELVE: _shelve,
    Op.UNSHELVE: _unshelve,
    Op.OUT_OF_SERVICE: _remove,
    Op.IN_SERVICE: _return,
}


# What survives a restart.


def to_saved(annunciator: Annunciator, now: Instant) -> dict[str, Any]:
    """What must survive, as JSON: every alarm that is not at rest by its id, the marks, the counts."""
    return {
        "alarms": {state.id: alarm.to_saved(state, now) for state in annunciator.states.values()},
        "first_out": dict(annunciator.first_out),
        "figures": alarm_figures.to_saved(annunciator.figures),
    }


def from_saved(alarms: Alarms, saved: dict[str, Any], now: Instant) -> Annunciator:
    """The annunciator after a restart; alarms that the site file no longer has are dropped."""
    states = {
        alarms.index[name]: alarm.from_saved(alarms.alarms[alarms.index[name]], one, now)
        for name, one in saved["alarms"].items()
        if name in alarms.index
    }
    first_out = {group: first for group, first in saved["first_out"].items() if first in alarms.index}
    return Annunciator(_without_rest(states), first_out, alarm_figures.from_saved(saved["figures"]))
