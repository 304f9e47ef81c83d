"""Bypasses: a protective function that a named person takes out for a limited time, where the site file allows it.

A bypassed guard or interlock goes on judging and goes on being shown; it only no longer forbids or trips. The site
file says for each function whether it may be bypassed, for how long, and how often in a day; where it says nothing, it
may not. A bypass never clears a trip. A reset asks a guard though it is bypassed: the water is what it is; a bypassed
interlock it does not ask, so that a station whose switch has failed can be run by hand. A bypass is an alarm while it
lasts and is recorded when it begins and when it ends. At its end the function acts at once on what it then sees.

Practice: IEC 61511-1, 11.7.2 (bypass by a person, timed, alarmed, counted, never two on one function).
"""

from dataclasses import dataclass
from typing import Any

from control.cause import Cause
from control.code import Code
from control.command import Command
from control.event import Event, Kind
from control.instant import Instant
from control.override import who_and_how_long

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class BypassRule:
    """Settings of one function: the longest bypass in seconds, and how many may begin within a day."""

    longest: float
    per_day: int


@dataclass(frozen=True, slots=True)
class Bypass:
    """``target`` (a guard or an interlock) is out until ``ends_at`` (monotonic)."""

    target: str
    by: str
    reason: str
    since_utc: float
    ends_at: float
    ends_utc: float

    @property
    def cause(self) -> Cause:
        """Who took it out, and why."""
        return Cause(Code.BYPASSED, self.target, (self.by, self.reason))


@dataclass(frozen=True, slots=True)
class BypassState:
    """``standing``: the bypasses now; ``began``: target and moment (monotonic) of every one of the last day."""

    standing: tuple[Bypass, ...] = ()
    began: tuple[tuple[str, float], ...] = ()


NO_BYPASS = BypassState()
NOTHING_BYPASSED: frozenset[str] = frozenset()


def names(state: BypassState) -> frozenset[str]:
    """The functions that are out now."""
    return frozenset(one.target for one in state.standing) if state.standing else NOTHING_BYPASSED


def refusal(rules: dict[str, BypassRule], state: BypassState, command: Command, now: Instant) -> Cause | None:
    """Why a function may not be bypassed now, or ``None``."""
    rule = rules.get(command.target)
    if rule is None:
        return Cause(Code.BYPASS_FORBIDDEN, command.target)
    if any(one.target == command.target for one in state.standing):
        return Cause(Code.BYPASSED_ALREADY, command.target)
    refused = who_and_how_long(command, rule.longest, local_only=True)
    if refused is not None:
        return refused
    today = sum(1 for target, at in state.began if target == command.target and now.mono - at < DAY_S)
    if today >= rule.per_day:
        return Cause(Code.BYPASSED_TOO_OFTEN, command.target, (str(today),))
    return None


def begin(state: BypassState, command: Command, now: Instant) -> tuple[BypassState, Event]:
    """Begins a bypass that ``refusal`` let through."""
    new = Bypass(
        command.target,
        command.source,
        command.reason,
        now.utc,
        now.mono + command.duration_s,
        now.utc + command.duration_s,
    )
    recent = tuple(one for one in state.began if now.mono - one[1] < DAY_S)
    after = BypassState((*state.standing, new), (*recent, (new.target, now.mono)))
    return after, Event(Kind.EVENT, "bypass", new.target, _body(new))


def end(state: BypassState, command: Command, now: Instant) -> tuple[BypassState, Event] | Cause:
    """Ends the bypass of ``command.target``, or says why there is none."""
    ended = next((one for one in state.standing if one.target == command.target), None)
    if ended is None:
        return Cause(Code.NOT_BYPASSED, command.target)
    kept = tuple(one for one in state.standing if one is not ended)
    return BypassState(kept, state.began), _ended(ended, "ended", command.source, now)


def expire(state: BypassState, now: Instant) -> tuple[BypassState, tuple[Event, ...]]:
    """The bypasses that still stand, and the events of those whose time is over; the same state when all stand."""
    if all(now.mono < one.ends_at for one in state.standing):
        return state, ()
    over = [one for one in state.standing if now.mono >= one.ends_at]
    kept = tuple(one for one in state.standing if now.mono < one.ends_at)
    return BypassState(kept, state.began), tuple(_ended(one, "expired", "", now) for one in over)


def to_saved(state: BypassState, now: Instant) -> dict[str, Any]:
    """What survives a restart, as JSON."""
    return {
        "saved_utc": now.utc,
        "standing": [{**_body(one), "left_s": one.ends_at - now.mono} for one in state.standing],
        "began": [[target, now.mono - at] for target, at in state.began],
    }


def from_saved(saved: dict[str, Any], rules: dict[str, BypassRule], now: Instant) -> BypassState:
    """The bypasses after a restart, less the time that has passed; what may no longer be bypassed is not.

    A clock that went back takes nothing off. Raises ``KeyError`` or ``TypeError`` on other data.
    """
    passed = max(0.0, now.utc - saved["saved_utc"])
    standing = tuple(
        Bypass(
            one["target"],
            one["by"],
            one["reason"],
            one["since_utc"],
            now.mono + one["left_s"] - passed,
            one["ends_utc"],
        )
        for one in saved["standing"]
        if one["target"] in rules
    )
    return BypassState(standing, tuple((target, now.mono - age - passed) for target, age in saved["began"]))


def _body(one: Bypass) -> dict[str, Any]:
    return {
        "target": one.target,
        "by": one.by,
        "reason": one.reason,
        "since_utc": one.since_utc,
        "ends_utc": one.ends_utc,
    }


def _ended(one: Bypass, why: str, by: str, now: Instant) -> Event:
    body = {**_body(one), "ended": why, "ended_by": by, "ended_utc": now.utc}
    return Event(Kind.EVENT, "bypass-ended", one.target, body)
