"""What the controller tells of its alarms: those that concern the operator, the silenced ones, all of them, figures."""

from typing import Any

from control.alarm import LETTERS, SILENCED, UNANSWERED, AlarmState, State, until_utc
from control.alarm_figures import STALE_S, WINDOW_S
from control.annunciator import Annunciator, urgency
from control.cause import sentence, to_json
from control.instant import Instant
from control.program import Program


def shown_alarms(annunciator: Annunciator, now: Instant) -> list[dict[str, Any]]:
    """The alarms that are neither normal nor silenced, the worst first."""
    return [alarm_json(state, annunciator, now) for state in annunciator.shown]


def silenced_alarms(annunciator: Annunciator, now: Instant) -> list[dict[str, Any]]:
    """The alarms that are shelved, suppressed by design or out of service."""
    return [alarm_json(state, annunciator, now) for state in sorted(annunciator.silenced, key=urgency)]


def all_alarms(program: Program, annunciator: Annunciator, now: Instant) -> list[dict[str, Any]]:
    """Every alarm of the station with its settings, those that are not normal first."""
    states = [
        annunciator.states.get(place) or alarm.at_rest() for place, alarm in enumerate(program.alarms.alarms) if place
    ]
    states.sort(key=lambda state: (state.state is State.NORMAL, state.state in SILENCED, urgency(state)))
    return [alarm_json(state, annunciator, now) | _settings(state) for state in states]


def figures(annunciator: Annunciator, now: Instant) -> dict[str, Any]:
    """How many, how often, and which are a nuisance (``control.alarm_figures``)."""
    taken, shown = annunciator.figures, annunciator.shown
    stale = [state.id for state in shown if state.stands and now.utc - state.since_utc > STALE_S]
    return {
        "standing": sum(1 for state in shown if state.stands),
        "unacknowledged": sum(1 for state in shown if state.state in UNANSWERED),
        "silenced": len(annunciator.silenced),
        "window_s": WINDOW_S,
        "in_10_min": taken.in_window(now),
        "most_in_10_min": taken.most_in_window,
        "flood": taken.flood_since_utc is not None,
        "flood_since_utc": taken.flood_since_utc,
        "floods": taken.floods,
        "by_day": [{"day": day, "alarms": sum(counts.values())} for day, counts in taken.days],
        "most_frequent": [{"id": name, "count": count} for name, count in taken.most_frequent()],
        "chattering": taken.chattering(now),
        "chattered": {name: count.chatters for name, count in taken.counts.items() if count.chatters},
        "fleeting": {name: count.fleeting for name, count in taken.counts.items() if count.fleeting},
        "stale": stale,
    }


def alarm_json(state: AlarmState, annunciator: Annunciator, now: Instant) -> dict[str, Any]:
    """One alarm as JSON."""
    alarm = state.alarm
    return {
        "id": state.id,
        "priority": state.priority.name.lower(),
        "state": str(state.state),
        "letter": LETTERS[state.state],
        "stands": state.stands,
        "first_out": annunciator.first_out.get(alarm.group) == state.id,
        "since_utc": state.since_utc,
        "changed_utc": state.changed_utc,
        "text": sentence(state.cause) if state.cause is not None else alarm.text,
        "cause": to_json(state.cause) if state.cause is not None else None,
        "response": alarm.response,
        "by": state.by,
        "reason": state.reason,
        "until_utc": until_utc(state, now),
    }


def _settings(state: AlarmState) -> dict[str, Any]:
    alarm = state.alarm
    return {
        "group": alarm.group,
        "latched": alarm.latched,
        "on_delay_s": alarm.on_delay,
        "off_delay_s": alarm.off_delay,
        "shelve_limit_s": alarm.shelve_limit,
    }
