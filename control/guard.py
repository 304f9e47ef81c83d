"""The quality guard: is this water known to be fit, now?

A guard watches one parameter of one dispenser and gives a verdict each scan. It decides; the trip (``trip.py``)
latches. This is the protective stop (保护停水), an evaluation of the present reading. Compliance with the
standard's daily mean (达标判定) is another evaluation (``compliance.py``).

There are three kinds, each in its own file: fast (a continuous signal), batch (an analyzer with a result an hour or
two) and permit (a verdict of the plant upstream). They share the verdicts and what is remembered (``verdict.py``).
Here stands what all of them have in common.
"""

from dataclasses import replace
from typing import Any, Final

from control import mark
from control.batch_guard import BatchGuard, WorkState
from control.cause import Cause, from_json, to_json
from control.fast_guard import RETURN_DELAY_S, FastGuard
from control.instant import Instant
from control.permit_guard import PermitGuard
from control.slug import NO_SLUG, STANDING
from control.verdict import GuardState, Verdict

__all__ = [
    "RETURN_DELAY_S",
    "BatchGuard",
    "FastGuard",
    "Guard",
    "GuardState",
    "PermitGuard",
    "Verdict",
    "WorkState",
    "from_saved",
    "reset",
    "to_saved",
    "warnings",
]

Guard = FastGuard | BatchGuard | PermitGuard

SMALL_STEP_S: Final = 60.0
"""What a time server may set a clock back by while the controller is down, without the age of a result being lost."""


def reset(state: GuardState) -> GuardState:
    """The state after an accepted reset: the breach is over, what is known now stays known."""
    if not state.breached:
        return state
    return replace(state, breached=False, breached_at=None, verdict=Verdict.FIT, cause=None, bad_utc=None)


def warnings(state: GuardState) -> list[Cause]:
    """What a guard warns of and does not stop for: a threshold, a trend, something that was not believed."""
    return [cause for cause in (state.warning, state.trend.warning, state.refused) if cause is not None]


def to_saved(state: GuardState, now: Instant) -> dict[str, Any]:
    """What of a guard survives a restart, as JSON."""
    return {
        "breached": state.breached,
        "cause": to_json(state.cause) if state.breached and state.cause is not None else None,
        "mark": mark.to_saved(state.mark, now),
        "good_utc": state.good_utc,
        "bad_utc": state.bad_utc,
        "result_time": state.result_time,
        "result_value": state.result_value,
        "result_seen_utc": now.utc - (now.mono - state.result_at) if state.result_at is not None else None,
        "saved_utc": now.utc,
        "refused_time": state.refused_time,
        "local": state.local,
        "ttl_s": state.ttl_s,
        "slug": state.slug.standing,
    }


def from_saved(guard: Guard, saved: dict[str, Any] | None, now: Instant) -> GuardState:
    """The state of a guard after a restart. Raises ``KeyError``, ``TypeError`` on other data."""
    state = guard.initial()
    if saved is None:
        return state
    state = replace(state, mark=mark.from_saved(saved["mark"], now))
    if saved["breached"]:
        # The time that a trip must last counts anew.
        state = replace(
            state,
            verdict=Verdict.BREACH,
            breached=True,
            breached_at=now.mono,
            cause=from_json(saved["cause"]),
            good_utc=saved["good_utc"],
            bad_utc=saved["bad_utc"],
        )
    if isinstance(guard, FastGuard):
        return state
    state = replace(state, good_utc=saved["good_utc"], refused_time=saved["refused_time"])
    if isinstance(guard, PermitGuard):
        # A flush that was not watched to its end begins anew.
        slug = STANDING if saved["slug"] and not guard.pipe.none else NO_SLUG
        state = replace(state, slug=slug, local=saved["local"], ttl_s=min(saved["ttl_s"], guard.ttl))
    seen_utc = saved["result_seen_utc"]
    if seen_utc is None:
        return state
    return replace(
        state,
        result_time=saved["result_time"],
        result_value=saved["result_value"],
        result_at=_restored_at(seen_utc, saved.get("saved_utc", seen_utc), saved["result_time"], now),
    )


def _restored_at(seen_utc: float, saved_utc: float, dated_utc: float | None, now: Instant) -> float | None:
    """When a result was first seen, after a restart; ``None`` where its age cannot be told.

    A clock that is behind the saved time does not say how long the controller was down: then only a new result makes
    the water known. One that was ahead when the state was saved makes the result look young: its own date tells.
    """
    if now.utc < saved_utc - SMALL_STEP_S:
        return None
    age = saved_utc - seen_utc + max(now.utc - saved_utc, 0.0)
    return now.mono - max(age, now.utc - dated_utc if dated_utc is not None else age)
