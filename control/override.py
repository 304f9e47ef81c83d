"""Overrides: a value that a named person forces on an output or a signal, for a limited time, and says why.

A forced output outranks sequence and regulation, never protect. A forced signal is marked as set by hand (HJ 212 flag
S): it is shown and recorded, but nothing that protects takes it for a measurement. An override has an expiry, is an
alarm while it lasts, and is recorded when it begins and when it ends. It survives a restart, because the person who
locked a valve may still be working at it; its time runs on.
"""

from dataclasses import dataclass
from typing import Any

from config.sample import Quality, Reason, Sample, Value
from control.cause import Cause, amount
from control.code import Code
from control.command import Command
from control.event import Event, Kind
from control.instant import Instant


@dataclass(frozen=True, slots=True)
class Override:
    """``value`` is forced on ``target`` until ``ends_at`` (monotonic). ``place``: its output or image index."""

    target: str
    is_output: bool
    place: int
    value: Value
    by: str
    reason: str
    since_utc: float
    ends_at: float
    ends_utc: float

    @property
    def cause(self) -> Cause:
        """Who forces it, to what, and why."""
        return Cause(Code.OVERRIDDEN, self.target, (str(self.value), self.by, self.reason))


@dataclass(frozen=True, slots=True)
class Forceable:
    """What may be forced: an output in its place among the outputs, or a signal by its image index.

    ``kind``: ``bool``, ``number`` or ``text``; ``low`` and ``high`` bound a number.
    """

    is_output: bool
    place: int
    kind: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class OverrideRules:
    """Settings: the longest time in seconds, whether a person must be on site, and everything that may be forced."""

    longest: float
    local_only: bool
    forceable: dict[str, Forceable]


def refusal(rules: OverrideRules, command: Command) -> Cause | None:
    """Why something may not be forced, or ``None``."""
    found = rules.forceable.get(command.target)
    if found is None:
        return Cause(Code.NOTHING_TO_FORCE, command.target)
    refused = who_and_how_long(command, rules.longest, local_only=rules.local_only)
    if refused is not None:
        return refused
    value = command.value
    fits = {
        "bool": isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool) and found.low <= value <= found.high,
        "text": isinstance(value, str),
    }
    if fits[found.kind]:
        return None
    wanted = {"bool": "on or off", "text": "a text", "number": f"{found.low:g} to {found.high:g}"}
    return Cause(Code.VALUE_NOT_ALLOWED, command.target, (str(value), wanted[found.kind]))


def who_and_how_long(command: Command, longest: float, *, local_only: bool) -> Cause | None:
    """Why a person's act for a time is refused: nobody on site, no reason given, no time or too long a one."""
    if local_only and not command.local:
        return Cause(Code.ONLY_LOCAL, command.target)
    if not command.reason.strip():
        return Cause(Code.REASON_MISSING, command.target)
    if not 0 < command.duration_s <= longest:
        asked, allowed = amount(command.duration_s, "s"), amount(longest, "s")
        return Cause(Code.DURATION_NOT_ALLOWED, command.target, (asked, allowed))
    return None


def force(
    standing: tuple[Override, ...], rules: OverrideRules, command: Command, now: Instant
) -> tuple[tuple[Override, ...], tuple[Event, ...]]:
    """The overrides after one that ``refusal`` let through; what was forced there before has ended."""
    found = rules.forceable[command.target]
    value = float(command.value) if found.kind == "number" and isinstance(command.value, int | float) else command.value
    new = Override(
        command.target,
        found.is_output,
        found.place,
        value,
        command.source,
        command.reason,
        now.utc,
        now.mono + command.duration_s,
        now.utc + command.duration_s,
    )
    before = [one for one in standing if one.target == new.target]
    kept = tuple(one for one in standing if one.target != new.target)
    ended = tuple(_ended(one, "replaced", command.source, now) for one in before)
    return (*kept, new), (*ended, Event(Kind.EVENT, "override", new.target, _body(new)))


def release(
    standing: tuple[Override, ...], command: Command, now: Instant
) -> tuple[tuple[Override, ...], tuple[Event, ...]] | Cause:
    """The overrides without the one of ``command.target``, or why there is none to end."""
    kept = tuple(one for one in standing if one.target != command.target)
    if len(kept) == len(standing):
        return Cause(Code.NOT_OVERRIDDEN, command.target)
    ended = next(one for one in standing if one.target == command.target)
    return kept, (_ended(ended, "released", command.source, now),)


def expire(standing: tuple[Override, ...], now: Instant) -> tuple[tuple[Override, ...], tuple[Event, ...]]:
    """Those that still stand, and the events of those whose time is over; the same tuple when all stand."""
    if all(now.mono < one.ends_at for one in standing):
        return standing, ()
    over = [one for one in standing if now.mono >= one.ends_at]
    kept = tuple(one for one in standing if now.mono < one.ends_at)
    return kept, tuple(_ended(one, "expired", "", now) for one in over)


def forced(image: tuple[Sample, ...], standing: tuple[Override, ...], now: Instant) -> tuple[Sample, ...]:
    """The image with every forced signal, marked as set by hand; the same tuple when none is forced."""
    signals = [one for one in standing if not one.is_output]
    if not signals:
        return image
    shown = list(image)
    for one in signals:
        shown[one.place] = Sample(one.value, Quality.UNCERTAIN, Reason.MANUAL, now.mono, None, image[one.place].raw)
    return tuple(shown)


def to_saved(standing: tuple[Override, ...], now: Instant) -> list[dict[str, Any]]:
    """What survives a restart, as JSON."""
    return [{**_body(one), "left_s": one.ends_at - now.mono, "saved_utc": now.utc} for one in standing]


def from_saved(saved: list[dict[str, Any]], rules: OverrideRules, now: Instant) -> tuple[Override, ...]:
    """The overrides after a restart, less the time that has passed; those that name nothing any more are gone.

    A clock that went back takes nothing off: an override then lasts at most as long again as it had left. Raises
    ``KeyError`` or ``TypeError`` on other data.
    """
    restored: list[Override] = []
    for one in saved:
        found = rules.forceable.get(one["target"])
        left = one["left_s"] - max(0.0, now.utc - one["saved_utc"])
        if found is None or found.is_output is not one["is_output"]:
            continue
        restored.append(
            Override(
                one["target"],
                found.is_output,
                found.place,
                one["value"],
                one["by"],
                one["reason"],
                one["since_utc"],
                now.mono + left,
                one["ends_utc"],
            )
        )
    return tuple(restored)


def _body(one: Override) -> dict[str, Any]:
    return {
        "target": one.target,
        "is_output": one.is_output,
        "value": one.value,
        "by": one.by,
        "reason": one.reason,
        "since_utc": one.since_utc,
        "ends_utc": one.ends_utc,
    }


def _ended(one: Override, why: str, by: str, now: Instant) -> Event:
    body = {**_body(one), "ended": why, "ended_by": by, "ended_utc": now.utc}
    return Event(Kind.EVENT, "override-ended", one.target, body)
