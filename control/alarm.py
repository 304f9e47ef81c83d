"""Alarms: what stands wrong now, since when, and how much it matters.

An alarm is raised when its condition appears and returns to normal when it goes (ISA-18.2: standing or returned).
"""

from dataclasses import dataclass
from enum import IntEnum

from control.cause import Cause, to_json
from control.event import Event, Kind
from control.instant import Instant


class Priority(IntEnum):
    """How soon somebody must act."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """An alarm condition found in this scan."""

    id: str
    priority: Priority
    cause: Cause


@dataclass(frozen=True, slots=True)
class Alarm:
    """A standing alarm."""

    id: str
    priority: Priority
    cause: Cause
    since_utc: float


def step(
    standing: tuple[Alarm, ...], conditions: list[Condition], now: Instant
) -> tuple[tuple[Alarm, ...], list[Event]]:
    """The alarms that stand after this scan and the events of those that came or went."""
    if not standing and not conditions:
        return standing, []
    before = {alarm.id: alarm for alarm in standing}
    present: dict[str, Condition] = {}
    for condition in conditions:
        present.setdefault(condition.id, condition)
    if before.keys() == present.keys():
        return standing, []
    events = [_event("alarm", alarm) for alarm in _new(before, present, now)]
    events += [_event("alarm-cleared", alarm) for alarm in standing if alarm.id not in present]
    kept = tuple(
        before.get(condition.id) or Alarm(condition.id, condition.priority, condition.cause, now.utc)
        for condition in present.values()
    )
    return kept, events


def _new(before: dict[str, Alarm], present: dict[str, Condition], now: Instant) -> list[Alarm]:
    return [Alarm(c.id, c.priority, c.cause, now.utc) for c in present.values() if c.id not in before]


def _event(name: str, alarm: Alarm) -> Event:
    body = {"alarm": alarm.id, "priority": alarm.priority.name.lower(), "cause": to_json(alarm.cause)}
    return Event(Kind.EVENT, name, alarm.id, body)
