"""An alarm: what it is told of one wrong thing, and what it remembers of what people did about it.

States and transitions are those of ISA-18.2 (2016, clause 5) and IEC 62682, named as there, with the letters of their
figure: A normal, B unacknowledged, C acknowledged, D returned to normal and unacknowledged, E latched unacknowledged,
F latched acknowledged, G shelved, H suppressed by design, I out of service. ``TRANSITIONS`` is the whole machine: a
state changes by it alone.

What ends a suppression (G, H, I) leads back to normal, or to latched where it had stood; what still stands is then
announced anew, so that nothing is forgotten on a shelf.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, Final

from control.cause import Cause, from_json, to_json
from control.event import Event, Kind
from control.instant import Instant

RESTART_HOLD_S: Final = 60.0
"""After a restart nothing has been read yet. So long an alarm that stood before counts as standing still, before it
is believed to have returned: it is not announced as new when its cause is found again."""


class Priority(IntEnum):
    """How soon somebody must act. ``JOURNAL`` is recorded and never announced (ISA-18.2, 3.1: an event)."""

    JOURNAL = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class State(StrEnum):
    """The states of ISA-18.2."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned-unacknowledged"
    LATCHED_UNACKNOWLEDGED = "latched-unacknowledged"
    LATCHED_ACKNOWLEDGED = "latched-acknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed-by-design"
    OUT_OF_SERVICE = "out-of-service"


LETTERS: Final[Mapping[State, str]] = dict(zip(State, "ABCDEFGHI", strict=True))
"""The letter of each state in the state transition diagram of the standards."""
CHINESE: Final[Mapping[State, str]] = dict(
    zip(
        State,
        ("正常", "未确认", "已确认", "恢复未确认", "锁存未确认", "锁存已确认", "搁置", "设计抑制", "停用"),
        strict=True,
    )
)
PRIORITIES_CHINESE: Final = dict(zip(Priority, ("记录", "低", "中", "高", "紧急"), strict=True))
UNANSWERED: Final = frozenset({State.UNACKNOWLEDGED, State.RETURNED, State.LATCHED_UNACKNOWLEDGED})
"""The states that wait for a person to acknowledge. Only in these may a horn sound."""
SILENCED: Final = frozenset({State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE})
"""The states in which nothing is announced, whatever stands."""


class Trigger(StrEnum):
    """What makes an alarm change its state."""

    OCCURS = "occurs"
    RECORDED = "occurs (journal)"
    RETURNS = "returns"
    LATCHES = "returns, latched"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    SUPPRESS = "design suppresses"
    REMOVE = "take out of service"
    END = "ends"
    END_LATCHED = "ends, latched"


_S, _T = State, Trigger
_SILENCE: Final = (
    (_T.SHELVE, _S.SHELVED),
    (_T.SUPPRESS, _S.SUPPRESSED),
    (_T.REMOVE, _S.OUT_OF_SERVICE),
)
TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    (_S.NORMAL, _T.OCCURS): _S.UNACKNOWLEDGED,
    (_S.NORMAL, _T.RECORDED): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _T.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _T.RETURNS): _S.RETURNED,
    (_S.UNACKNOWLEDGED, _T.LATCHES): _S.LATCHED_UNACKNOWLEDGED,
    (_S.ACKNOWLEDGED, _T.RETURNS): _S.NORMAL,
    (_S.ACKNOWLEDGED, _T.LATCHES): _S.LATCHED_ACKNOWLEDGED,
    (_S.RETURNED, _T.ACKNOWLEDGE): _S.NORMAL,
    (_S.RETURNED, _T.OCCURS): _S.UNACKNOWLEDGED,
    (_S.LATCHED_UNACKNOWLEDGED, _T.ACKNOWLEDGE): _S.LATCHED_ACKNOWLEDGED,
    (_S.LATCHED_UNACKNOWLEDGED, _T.RESET): _S.RETURNED,
    (_S.LATCHED_UNACKNOWLEDGED, _T.OCCURS): _S.UNACKNOWLEDGED,
    (_S.LATCHED_ACKNOWLEDGED, _T.RESET): _S.NORMAL,
    (_S.LATCHED_ACKNOWLEDGED, _T.OCCURS): _S.UNACKNOWLEDGED,
    **{(state, trigger): to for state in State if state not in SILENCED for trigger, to in _SILENCE},
    (_S.SHELVED, _T.REMOVE): _S.OUT_OF_SERVICE,
    (_S.SUPPRESSED, _T.REMOVE): _S.OUT_OF_SERVICE,
    **{(state, _T.END): _S.NORMAL for state in State if state in SILENCED},
    **{(state, _T.END_LATCHED): _S.LATCHED_UNACKNOWLEDGED for state in State if state in SILENCED},
}
"""Every transition there is."""

_EVENTS: Final[Mapping[Trigger, str]] = {
    Trigger.OCCURS: "alarm",
    Trigger.RECORDED: "alarm",
    Trigger.RETURNS: "alarm-returned",
    Trigger.LATCHES: "alarm-returned",
    Trigger.ACKNOWLEDGE: "alarm-acknowledged",
    Trigger.RESET: "alarm-reset",
    Trigger.SHELVE: "alarm-shelved",
    Trigger.SUPPRESS: "alarm-suppressed",
    Trigger.REMOVE: "alarm-out-of-service",
}
_ENDED: Final[Mapping[State, str]] = {
    State.SHELVED: "alarm-unshelved",
    State.SUPPRESSED: "alarm-unsuppressed",
    State.OUT_OF_SERVICE: "alarm-in-service",
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm, known since load. Delays and ``shelve_limit`` in seconds; ``shelve_limit`` 0: may not be silenced.

    ``group``: of its alarms the first one is marked until all are normal again. ``text`` and ``text_zh`` are what the
    site says of it, ``response`` what the operator does.
    """

    id: str
    priority: Priority
    on_delay: float = 0.0
    off_delay: float = 0.0
    latched: bool = False
    shelve_limit: float = 0.0
    group: str = ""
    text: str = ""
    text_zh: str = ""
    response: str = ""

    def at_rest(self) -> "AlarmState":
        """Normal, and nothing has happened."""
        return AlarmState(self)


@dataclass(frozen=True, slots=True)
class AlarmState:
    """``stands``: its cause is there, after the delays; ``held``: a latched one has stood since its last reset.

    ``cause`` and ``since_utc`` are of its last occurrence, ``changed_utc`` of its state. ``by`` and ``reason`` say who
    brought it into this state, where a person did. ``turning_at`` (a delay runs), ``ends_at`` (of a shelf) and
    ``hold_until`` (after a restart) are monotonic seconds.
    """

    alarm: Alarm
    state: State = State.NORMAL
    stands: bool = False
    held: bool = False
    cause: Cause | None = None
    since_utc: float = 0.0
    changed_utc: float = 0.0
    by: str = ""
    reason: str = ""
    turning_at: float | None = None
    ends_at: float | None = None
    hold_until: float | None = None

    @property
    def id(self) -> str:
        return self.alarm.id

    @property
    def priority(self) -> Priority:
        return self.alarm.priority

    @property
    def at_rest(self) -> bool:
        """Nothing to remember: normal, and no delay runs."""
        return self.state is State.NORMAL and not self.stands and self.turning_at is None


def step(
    state: AlarmState, cause: Cause | None, suppressed: bool, now: Instant
) -> tuple[AlarmState, tuple[Trigger, ...]]:
    """The state after this scan, and by which triggers; ``suppressed``: the site's design says that it means nothing.

    The same state when nothing changed.
    """
    after = _delayed(state, cause, now)
    triggers: tuple[Trigger, ...] = ()
    # Two at most: the end of a suppression, and what is then found.
    for _ in range(2):
        trigger = _due(after, suppressed, now)
        if trigger is None:
            break
        after = changed(after, trigger, now, cause=cause)
        triggers = (*triggers, trigger)
    return after, triggers


def changed(
    state: AlarmState,
    trigger: Trigger,
    now: Instant,
    *,
    by: str = "",
    reason: str = "",
    cause: Cause | None = None,
    ends_at: float | None = None,
) -> AlarmState:
    """The state that a trigger leads to. Raises ``KeyError`` on one that the table does not have."""
    to = TRANSITIONS[state.state, trigger]
    occurs = trigger in (Trigger.OCCURS, Trigger.RECORDED)
    held = state.held and trigger is not Trigger.RESET
    return replace(
        state,
        state=to,
        held=held,
        cause=cause or state.cause if occurs else state.cause,
        since_utc=now.utc if occurs else state.since_utc,
        changed_utc=now.utc,
        by=by,
        reason=reason,
        ends_at=ends_at,
    )


def can(state: AlarmState, trigger: Trigger) -> bool:
    """True where the table has a transition."""
    return (state.state, trigger) in TRANSITIONS


def ending(state: AlarmState) -> Trigger:
    """What the end of its suppression is: to normal, or to latched where a latched one stood meanwhile."""
    return Trigger.END_LATCHED if state.held else Trigger.END


def event(before: AlarmState, after: AlarmState, trigger: Trigger, now: Instant, *, first_out: bool = False) -> Event:
    """The record of a transition."""
    name = _EVENTS.get(trigger) or _ENDED[before.state]
    body: dict[str, Any] = {
        "alarm": after.id,
        "priority": after.priority.name.lower(),
        "state": str(after.state),
        "cause": to_json(after.cause) if after.cause is not None else None,
        "since_utc": after.since_utc,
    }
    if trigger is Trigger.OCCURS:
        body["first_out"] = first_out
    if after.by:
        body["by"] = after.by
    if after.reason:
        body["reason"] = after.reason
    if after.ends_at is not None:
        body["until_utc"] = until_utc(after, now)
    return Event(Kind.EVENT, name, after.id, body)


def until_utc(state: AlarmState, now: Instant) -> float | None:
    """When its shelf ends, by the clock of the records."""
    return None if state.ends_at is None else round(now.utc + state.ends_at - now.mono, 3)


def _delayed(state: AlarmState, cause: Cause | None, now: Instant) -> AlarmState:
    """On-delay and off-delay: what has been so for long enough counts."""
    present = cause is not None
    if present is state.stands:
        if state.turning_at is None and (state.hold_until is None or not present):
            return state
        return replace(state, turning_at=None, hold_until=None)
    turning_at = state.turning_at if state.turning_at is not None else now.mono
    over = now.mono - turning_at >= (state.alarm.on_delay if present else state.alarm.off_delay)
    if not present and state.hold_until is not None and now.mono < state.hold_until:
        over = False
    if not over:
        return state if turning_at == state.turning_at else replace(state, turning_at=turning_at)
    held = state.held or (present and state.alarm.latched)
    return replace(state, stands=present, held=held, turning_at=None, hold_until=None)


def _due(state: AlarmState, suppressed: bool, now: Instant) -> Trigger | None:
    """The trigger that is due by itself, without a person."""
    match state.state:
        case State.SHELVED:
            over = state.ends_at is not None and now.mono >= state.ends_at
            return ending(state) if over else None
        case State.SUPPRESSED:
            return None if suppressed else ending(state)
        case State.OUT_OF_SERVICE:
            return None
        case _ if suppressed:
            return Trigger.SUPPRESS
        case State.UNACKNOWLEDGED | State.ACKNOWLEDGED:
            if state.stands:
                return None
            return Trigger.LATCHES if state.held else Trigger.RETURNS
        case State.NORMAL | State.RETURNED | State.LATCHED_UNACKNOWLEDGED | State.LATCHED_ACKNOWLEDGED:
            if not state.stands:
                return None
            return Trigger.RECORDED if state.priority is Priority.JOURNAL else Trigger.OCCURS


def to_saved(state: AlarmState, now: Instant) -> dict[str, Any]:
    """What of an alarm survives a restart, as JSON; a shelf by the time at which it ends."""
    return {
        "state": str(state.state),
        "stands": state.stands,
        "held": state.held,
        "cause": to_json(state.cause) if state.cause is not None else None,
        "since_utc": state.since_utc,
        "changed_utc": state.changed_utc,
        "by": state.by,
        "reason": state.reason,
        "until_utc": until_utc(state, now),
    }


def from_saved(alarm: Alarm, saved: dict[str, Any], now: Instant) -> AlarmState:
    """The alarm after a restart, under the settings that the site file has now. Raises like ``from_json``."""
    state, until, held = State(saved["state"]), saved["until_utc"], saved["held"] and alarm.latched
    if state is State.SHELVED and (until is None or alarm.shelve_limit <= 0):
        until = now.utc
    if not held and state is State.LATCHED_UNACKNOWLEDGED:
        state = State.RETURNED
    if not held and state is State.LATCHED_ACKNOWLEDGED:
        state = State.NORMAL
    if state is State.OUT_OF_SERVICE and alarm.shelve_limit <= 0:
        state = State.NORMAL
    return AlarmState(
        alarm=alarm,
        state=state,
        stands=saved["stands"],
        held=held,
        cause=from_json(saved["cause"]) if saved["cause"] is not None else None,
        since_utc=saved["since_utc"],
        changed_utc=saved["changed_utc"],
        by=saved["by"],
        reason=saved["reason"],
        ends_at=now.mono + until - now.utc if state is State.SHELVED else None,
        hold_until=now.mono + RESTART_HOLD_S if saved["stands"] else None,
    )
