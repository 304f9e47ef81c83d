"""The proof test of a guard: is the water really shut off when this guard says so, and how fast?

Under the eyes of a person at a dispenser that lets water through, a reading beyond the limit is put before the guard in
place of the real one. Everything behind it is real: the guard's own logic, the trip, the output, the valve. The time
from the reading to the trip and to the closed limit of the valve is measured. The real reading goes on being judged
beside it, and what the guard knows is not touched: the test can stop water and cannot let any flow.

``idle -> running -> passed | failed``; a result counts once a person has signed it off. The trip stays latched, and its
reset is the last part of the test. Practice: IEC 61511-1, 16.3 (interval, procedure, as-found and as-left, record).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite
from typing import Any, Final

from config.sample import Quality, Reason, Sample
from control.cause import Cause, amount, to_json
from control.code import Code
from control.command import Command
from control.event import Event, Kind
from control.guard import FastGuard, Guard, GuardState, PermitGuard, Verdict
from control.instant import Instant
from control.valve import TRAVEL_MARGIN, Position

BEYOND: Final = 1.2
"""The reading that is put before the guard: its limit (the instant one, if there is one) times this."""
MARGIN_S: Final = 5.0
"""Beyond the guard's delay and the valve's travel: scans, the write and the poll of the limit switch."""


class Outcome(StrEnum):
    """How a proof test ended."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Running:
    """A test in hand. ``shadow`` is the guard as it judges the test reading; times are monotonic."""

    guard: int
    unit: int
    by: str
    reading: float
    began_at: float
    began_utc: float
    shadow: GuardState
    tripped_at: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished test. ``trip_s`` and ``closed_s``: from the reading to the trip and to the closed valve."""

    guard: str
    outcome: Outcome
    by: str
    reading: str
    limit_s: float
    trip_s: float | None
    closed_s: float | None
    began_utc: float


@dataclass(frozen=True, slots=True)
class ProofState:
    """``unsigned``: the last result of a guard that nobody has signed; ``signed_utc``: when each was last signed."""

    running: Running | None = None
    unsigned: tuple[Result, ...] = ()
    signed_utc: tuple[tuple[str, float], ...] = ()


NEVER_TESTED: Final = ProofState()


def reading_beyond(guard: Guard) -> float | None:
    """What is put before a guard: clearly beyond its limit, or a permit that is withdrawn; ``None`` where it cannot."""
    if isinstance(guard, PermitGuard):
        return guard.fit_value - 1.0 if guard.signal is not None else None
    instant_high = guard.instant_high if isinstance(guard, FastGuard) else None
    instant_low = guard.instant_low if isinstance(guard, FastGuard) else None
    high, low = instant_high or guard.high, instant_low if instant_low is not None else guard.low
    if high is not None:
        return high * BEYOND if high > 0 else high + 1.0
    if low is not None:
        return low / BEYOND if low > 0 else low - 1.0
    return None


def limit_s(guard: Guard, travel: float) -> float:
    """Within how many seconds the valve must be proved closed."""
    waits = isinstance(guard, FastGuard) and guard.instant_high is None
    delay = guard.stop_delay if isinstance(guard, FastGuard) and waits else 0.0
    return delay + travel * TRAVEL_MARGIN + MARGIN_S


def refusal(state: ProofState, guard: Guard, fit: Verdict, position: Position, command: Command) -> Cause | None:
    """Why a test may not begin now, or ``None``: at a guard that is not fit, or a closed valve, nothing can be seen."""
    if not command.local:
        return Cause(Code.ONLY_LOCAL, command.target)
    if state.running is not None:
        return Cause(Code.PROOF_TEST_RUNS, command.target, (str(state.running.by),))
    if fit not in (Verdict.FIT, Verdict.AGING):
        return Cause(Code.PROOF_TEST_NOT_FIT, command.target, (fit.name.lower(),))
    if reading_beyond(guard) is None:
        return Cause(Code.PROOF_TEST_NO_LIMIT, command.target)
    if position not in (Position.OPEN, Position.BETWEEN):
        return Cause(Code.PROOF_TEST_CLOSED, command.target, (str(position),))
    return None


def begin(
    state: ProofState, guard: Guard, g: int, unit: int, known: GuardState, command: Command, now: Instant
) -> ProofState:
    """Begins a test that ``refusal`` let through; ``known`` is the guard's real state."""
    reading = reading_beyond(guard)
    assert reading is not None
    return replace(state, running=Running(g, unit, command.source, reading, now.mono, now.utc, known))


def step(state: ProofState, guard: Guard, image: tuple[Sample, ...], now: Instant) -> tuple[ProofState, Cause | None]:
    """Puts the test reading before the guard's shadow; the cause to trip by, once it says so."""
    running = state.running
    assert running is not None
    assert guard.signal is not None
    put = list(image)
    put[guard.signal] = Sample(running.reading, Quality.GOOD, Reason.OK, now.mono, running.began_utc)
    shadow = guard.step(running.shadow, tuple(put), now)
    if shadow.verdict is not Verdict.BREACH:
        return replace(state, running=replace(running, shadow=shadow)), None
    tripped_at = running.tripped_at if running.tripped_at is not None else now.mono
    after = replace(state, running=replace(running, shadow=shadow, tripped_at=tripped_at))
    return after, Cause(Code.PROOF_TEST, guard.name, (running.by,), shadow.cause)


def finish(
    state: ProofState, guard: Guard, travel: float, position: Position, now: Instant
) -> tuple[ProofState, tuple[Event, ...]]:
    """Ends the test when the valve is proved closed or its time is over; the same state while it runs."""
    running = state.running
    assert running is not None
    took, allowed = now.mono - running.began_at, limit_s(guard, travel)
    closed = running.tripped_at is not None and position is Position.CLOSED
    if not closed and took <= allowed:
        return state, ()
    result = Result(
        guard.name,
        Outcome.PASSED if closed and took <= allowed else Outcome.FAILED,
        running.by,
        amount(running.reading, guard.unit),
        round(allowed, 3),
        round(running.tripped_at - running.began_at, 3) if running.tripped_at is not None else None,
        round(took, 3) if closed else None,
        running.began_utc,
    )
    others = tuple(one for one in state.unsigned if one.guard != guard.name)
    event = Event(Kind.EVENT, "proof-test-result", guard.name, {**body(result), "cause": to_json(_verdict(result))})
    return ProofState(None, (*others, result), state.signed_utc), (event,)


def sign(state: ProofState, command: Command, now: Instant) -> tuple[ProofState, Event] | Cause:
    """Signs the last result of a guard off; ``command.reason`` holds the name and what was found."""
    if not command.local:
        return Cause(Code.ONLY_LOCAL, command.target)
    if not command.reason.strip():
        return Cause(Code.REASON_MISSING, command.target)
    result = next((one for one in state.unsigned if one.guard == command.target), None)
    if result is None:
        return Cause(Code.NOTHING_TO_SIGN, command.target)
    unsigned = tuple(one for one in state.unsigned if one is not result)
    signed = state.signed_utc
    if result.outcome is Outcome.PASSED:
        # A test that failed is signed too, but the guard is then still to be proved.
        signed = (*(one for one in signed if one[0] != result.guard), (result.guard, result.began_utc))
    event = Event(
        Kind.EVENT,
        "proof-test-signed",
        result.guard,
        {**body(result), "signed_by": command.source, "remark": command.reason, "signed_utc": now.utc},
    )
    return ProofState(state.running, unsigned, signed), event


def due_utc(state: ProofState, guard: str, interval: float) -> float:
    """When a guard must be proved again, seconds UTC; a guard that never was is due since ever."""
    last = next((at for name, at in state.signed_utc if name == guard), None)
    return last + interval if last is not None else 0.0


def body(result: Result) -> dict[str, Any]:
    """A result as JSON."""
    return {
        "guard": result.guard,
        "outcome": str(result.outcome),
        "by": result.by,
        "reading": result.reading,
        "limit_s": result.limit_s,
        "trip_s": result.trip_s,
        "closed_s": result.closed_s,
        "began_utc": result.began_utc,
    }


def _verdict(result: Result) -> Cause:
    allowed = amount(result.limit_s, "s")
    if result.outcome is Outcome.PASSED and result.closed_s is not None:
        return Cause(Code.PROOF_TEST_PASSED, result.guard, (amount(result.closed_s, "s"), allowed))
    return Cause(Code.PROOF_TEST_FAILED, result.guard, (allowed,))


def to_saved(state: ProofState) -> dict[str, Any]:
    """What survives a restart, as JSON; a test in hand does not, but its trip does."""
    return {"unsigned": [body(one) for one in state.unsigned], "signed": [list(one) for one in state.signed_utc]}


def from_saved(saved: dict[str, Any]) -> ProofState:
    """The state after a restart. Raises ``KeyError``, ``TypeError`` or ``ValueError`` on other data."""
    unsigned = tuple(Result(**{**one, "outcome": Outcome(one["outcome"])}) for one in saved["unsigned"])
    signed = tuple((str(name), float(at)) for name, at in saved["signed"] if isfinite(at))
    return ProofState(None, unsigned, signed)
