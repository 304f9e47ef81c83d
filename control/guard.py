"""The quality guard: is this water known to be fit, now?

A guard watches one parameter of one dispenser and gives a verdict each scan. It decides; the trip (``trip.py``)
latches. This is the protective stop (保护停水), an evaluation of the present reading. Compliance with the
standard's daily mean (达标判定) is another evaluation and not made here.

Fast guard (turbidity, pH, chlorine): beyond *stop* for ``stop_delay``, or beyond *instant* at once, is a breach.
Batch guard (COD, ammonia): a result is told from the next by the analyzer's own result time; reading the same
result again is not news, an older one changes nothing. One result beyond the limit is a breach. Ages of the
newest result, in multiples of its interval (shared water notes 2.4): fresh to 1.5, aging to 2.5, then stale, then
expired; what stale and expired mean depends on the staleness policy of the use.

A maintenance or calibration mark holds the last verdict and lets time run on; it never improves a verdict and
has a cap. Over range counts as beyond the limit, and so does a jump that ends beyond it. No communication, no number,
a stale or a manual value is unknown, and unknown water does not flow.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from math import inf, isfinite
from typing import Any

from config.sample import Quality, Reason, Sample
from config.standard import Staleness
from control.cause import Cause, amount, from_json, reason_text, seen, to_json
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

FRESH_INTERVALS = 1.5
AGING_INTERVALS = 2.5
BACKLOG_INTERVALS = 3.0
"""A result that arrives later than this after its own time is backlog: it is recorded but is no news."""

RETURN_DELAY_S = 5.0
"""A reading that was unknown must be good again for this long (or ``stop_delay``, if shorter) to be believed."""

_MARKS = (Reason.MAINTENANCE, Reason.CALIBRATION)


class Verdict(IntEnum):
    """What a guard allows, from best to worst."""

    FIT = 0
    AGING = 1
    """Fit, with a warning: the newest result is late."""
    HOLD = 2
    """Nothing may start; what runs may go on."""
    UNKNOWN = 3
    """Not known to be fit: nothing may run. Ends by itself when good data return."""
    BREACH = 4
    """Not fit: trips, and stays so until it is clear *and* reset."""


@dataclass(frozen=True, slots=True)
class GuardState:
    """What a guard remembers.

    Times are monotonic seconds. ``breached``: a breach stands since the last reset. ``beyond_since``: outside a
    limit since; ``inside_since``: good and inside since; ``clear_since``: the same less hysteresis;
    ``unknown_since``; ``marked_since``. For batch guards ``result_time`` (UTC, by the analyzer), ``result_at``
    (when it was first seen, less its age then), ``result_value`` (``None``: over range), ``result_arrived``: one
    has come since the start, ``good_results`` in a row.
    """

    verdict: Verdict = Verdict.UNKNOWN
    cause: Cause | None = None
    breached: bool = False
    beyond_since: float | None = None
    inside_since: float | None = None
    clear_since: float | None = None
    unknown_since: float | None = None
    marked_since: float | None = None
    result_time: float | None = None
    result_at: float | None = None
    result_value: float | None = None
    result_arrived: bool = False
    good_results: int = 0


@dataclass(frozen=True, slots=True)
class FastGuard:
    """Settings of a guard on a continuous signal. Limits in ``unit``; ``None``: no limit on that side."""

    name: str
    parameter: str
    signal: int
    signal_name: str
    unit: str
    high: float | None
    low: float | None
    instant_high: float | None
    instant_low: float | None
    stop_delay: float
    clear_time: float
    hysteresis: float
    mark_cap: float
    limit_origin: str
    limit_status: str

    def step(self, state: GuardState, image: tuple[Sample, ...], now: Instant) -> GuardState:
        """Judges the present reading."""
        sample = image[self.signal]
        value = _usable(sample, self.low, self.high)
        if value is None:
            return self._unknown(state, sample, now)
        breach = self._breach(state, value, sample, now)
        beyond = self._outside(value, 0.0)
        good = sample.quality is Quality.GOOD
        timers = (
            since(state.beyond_since, beyond, now),
            since(state.inside_since, good and not beyond, now),
            since(state.clear_since, good and not self._outside(value, self.hysteresis), now),
        )
        if breach is not None or state.breached:
            verdict, cause, breached = Verdict.BREACH, state.cause if state.breached else breach, True
        elif state.verdict is Verdict.UNKNOWN and not self._known_again(timers[1], now):
            verdict, cause, breached = Verdict.UNKNOWN, state.cause, False
        else:
            verdict, cause, breached = Verdict.FIT, None, False
        same = timers == (state.beyond_since, state.inside_since, state.clear_since)
        if same and verdict is state.verdict and state.unknown_since is None:
            return state
        return GuardState(verdict, cause, breached, *timers)

    def not_clear(self, state: GuardState, now: Instant) -> Cause | None:
        """Why a reset must wait, or ``None`` when the guard is clear: good data, inside, for long enough."""
        if state.unknown_since is not None:
            return Cause(Code.QUALITY_UNKNOWN, self.signal_name, ("no good reading",))
        if not state.breached:
            return state.cause if state.verdict is Verdict.UNKNOWN else None
        waited = now.mono - state.clear_since if state.clear_since is not None else 0.0
        if state.clear_since is not None and waited >= self.clear_time:
            return None
        return Cause(
            Code.NOT_CLEAR_YET,
            self.signal_name,
            (self._band(), amount(max(self.clear_time - waited, 0.0), "s")),
        )

    def _known_again(self, inside_since: float | None, now: Instant) -> bool:
        """After having been unknown, one good reading is not enough."""
        return lasted(inside_since, min(self.stop_delay, RETURN_DELAY_S), now)

    def _outside(self, value: float, hysteresis: float) -> bool:
        return (self.high is not None and value > self.high - abs(self.high) * hysteresis / 100) or (
            self.low is not None and value < self.low + abs(self.low) * hysteresis / 100
        )

    def _band(self) -> str:
        low = f"{self.low * (1 + self.hysteresis / 100):g} to " if self.low is not None else ""
        high = f"{self.high * (1 - self.hysteresis / 100):g}" if self.high is not None else "any"
        return f"{low}{high} {self.unit}"

    def _breach(self, state: GuardState, value: float, sample: Sample, now: Instant) -> Cause | None:
        kept = seen(self.signal_name, self.unit, sample, now.utc)
        if sample.reason is Reason.OVER_RANGE and self.high is not None:
            return Cause(Code.OVER_RANGE, self.signal_name, (amount(self.high, self.unit),), None, kept)
        if self.instant_high is not None and value > self.instant_high:
            return Cause(Code.ABOVE_INSTANT, self.signal_name, (amount(self.instant_high, self.unit),), None, kept)
        if self.instant_low is not None and value < self.instant_low:
            return Cause(Code.BELOW_INSTANT, self.signal_name, (amount(self.instant_low, self.unit),), None, kept)
        if not self._outside(value, 0.0):
            return None
        start = state.beyond_since if state.beyond_since is not None else now.mono
        if now.mono - start < self.stop_delay:
            return None
        for_time = amount(self.stop_delay, "s")
        if self.high is not None and value > self.high:
            return Cause(Code.ABOVE_LIMIT, self.signal_name, (amount(self.high, self.unit), for_time), None, kept)
        low = self.low if self.low is not None else -inf
        return Cause(Code.BELOW_LIMIT, self.signal_name, (amount(low, self.unit), for_time), None, kept)

    def _unknown(self, state: GuardState, sample: Sample, now: Instant) -> GuardState:
        """No usable reading. Tolerated for ``stop_delay``; a mark holds the verdict up to its cap."""
        unknown_since = state.unknown_since if state.unknown_since is not None else now.mono
        marked_since = since(state.marked_since, sample.reason in _MARKS, now)
        held = replace(
            state, inside_since=None, clear_since=None, unknown_since=unknown_since, marked_since=marked_since
        )
        if state.breached:
            return state if held == state else held
        if state.verdict is Verdict.UNKNOWN:
            held = replace(held, beyond_since=None)
            if state.cause is None or state.cause.values[:1] != (reason_text(sample),):
                held = replace(held, cause=self._cause_unknown(sample, now))
            return state if held == state else held
        if marked_since is not None and lasted(state.beyond_since, self.stop_delay, now):
            # What the mark holds is a reading beyond the limit, which is no verdict to flow on.
            cause = self._cause_unknown(sample, now)
        elif marked_since is not None:
            if now.mono - marked_since < self.mark_cap:
                return held
            cause = Cause(Code.MARK_TOO_LONG, self.signal_name, (reason_text(sample), amount(self.mark_cap, "s")))
        elif now.mono - unknown_since < self.stop_delay:
            # Beyond the limit and then silent is not a return to normal: the delay runs on.
            return held
        else:
            cause = self._cause_unknown(sample, now)
        return replace(held, verdict=Verdict.UNKNOWN, cause=cause, beyond_since=None)

    def _cause_unknown(self, sample: Sample, now: Instant) -> Cause:
        kept = seen(self.signal_name, self.unit, sample, now.utc)
        return Cause(Code.QUALITY_UNKNOWN, self.signal_name, (reason_text(sample),), None, kept)

    def initial(self) -> GuardState:
        """After a start nothing is known."""
        return GuardState(cause=Cause(Code.QUALITY_UNKNOWN, self.signal_name, ("not read since the start",)))


@dataclass(frozen=True, slots=True)
class BatchGuard:
    """Settings of a guard on an analyzer that gives one result per ``interval`` (seconds)."""

    name: str
    parameter: str
    signal: int
    signal_name: str
    unit: str
    high: float | None
    low: float | None
    interval: float
    staleness: Staleness
    expired_after: float
    results_to_clear: int
    hysteresis: float
    limit_origin: str
    limit_status: str

    def step(self, state: GuardState, image: tuple[Sample, ...], now: Instant) -> GuardState:
        """Takes a new result if there is one, then judges by the newest result and its age."""
        sample = image[self.signal]
        if self._is_news(state, sample, now):
            state = self._take(state, sample, now)
        return self._aged(state, now)

    def not_clear(self, state: GuardState, now: Instant) -> Cause | None:
        """Why a reset must wait, or ``None``."""
        if state.breached and state.good_results < self.results_to_clear:
            missing = self.results_to_clear - state.good_results
            limit = self.high if self.high is not None else self.low
            return Cause(
                Code.RESULTS_NEEDED,
                self.signal_name,
                (str(missing), amount(limit if limit is not None else 0, self.unit)),
            )
        age_verdict, cause = self._by_age(state, now)
        return cause if age_verdict >= Verdict.HOLD else None

    def _is_news(self, state: GuardState, sample: Sample, now: Instant) -> bool:
        if sample.source_time is None or _usable(sample, self.low, self.high) is None:
            return False
        ahead = state.result_time is not None and state.result_time - now.utc > self.interval
        if state.result_time is not None and (
            sample.source_time == state.result_time or (sample.source_time < state.result_time and not ahead)
        ):
            # After a result dated ahead of now (a wrong clock, put right since) any other one is news.
            return False
        return now.utc - sample.source_time <= BACKLOG_INTERVALS * self.interval

    def _take(self, state: GuardState, sample: Sample, now: Instant) -> GuardState:
        value = _usable(sample, self.low, self.high)
        assert value is not None
        assert sample.source_time is not None
        kept = seen(self.signal_name, self.unit, sample, now.utc)
        cause: Cause | None = None
        if self.high is not None and value > self.high:
            cause = Cause(Code.RESULT_ABOVE, self.signal_name, (amount(self.high, self.unit),), None, kept)
        elif self.low is not None and value < self.low:
            cause = Cause(Code.RESULT_BELOW, self.signal_name, (amount(self.low, self.unit),), None, kept)
        good = sample.quality is Quality.GOOD and not self._outside_band(value)
        # Only the first result after a start can be older than its arrival; later ones are seen as they come.
        age = max(0.0, now.utc - sample.source_time) if not state.result_arrived else 0.0
        return replace(
            state,
            breached=state.breached or cause is not None,
            cause=state.cause if state.breached else cause,
            result_time=sample.source_time,
            result_at=now.mono - age,
            result_value=value if isfinite(value) else None,
            result_arrived=True,
            good_results=state.good_results + 1 if good else 0,
        )

    def _outside_band(self, value: float) -> bool:
        return (self.high is not None and value > self.high - abs(self.high) * self.hysteresis / 100) or (
            self.low is not None and value < self.low + abs(self.low) * self.hysteresis / 100
        )

    def _aged(self, state: GuardState, now: Instant) -> GuardState:
        if state.breached:
            return state if state.verdict is Verdict.BREACH else replace(state, verdict=Verdict.BREACH)
        verdict, cause = self._by_age(state, now)
        before = state.cause.code if state.cause is not None else None
        if verdict is state.verdict and (cause.code if cause is not None else None) is before:
            return state
        return replace(state, verdict=verdict, cause=cause)

    def _by_age(self, state: GuardState, now: Instant) -> tuple[Verdict, Cause | None]:
        if state.result_at is None:
            cause = Cause(Code.NO_RESULT, self.signal_name)
            return (Verdict.AGING if self.staleness is Staleness.WARN_ONLY else Verdict.UNKNOWN), cause
        age = now.mono - state.result_at
        if age <= FRESH_INTERVALS * self.interval:
            return Verdict.FIT, None
        text = (amount(age, "s"),)
        if age <= AGING_INTERVALS * self.interval:
            return Verdict.AGING, Cause(Code.RESULT_AGING, self.signal_name, text)
        expired = age > self.expired_after * self.interval
        cause = Cause(Code.RESULT_EXPIRED if expired else Code.RESULT_STALE, self.signal_name, text)
        match self.staleness:
            case Staleness.FAIL_CLOSED:
                return (Verdict.UNKNOWN if expired else Verdict.HOLD), cause
            case Staleness.FAIL_HOLD:
                return (Verdict.HOLD if expired else Verdict.AGING), cause
            case Staleness.WARN_ONLY:
                return Verdict.AGING, cause

    def initial(self) -> GuardState:
        """After a start no result has been seen."""
        return GuardState(cause=Cause(Code.NO_RESULT, self.signal_name))


Guard = FastGuard | BatchGuard


def reset(state: GuardState) -> GuardState:
    """The state after an accepted reset: the breach is over, what is known now stays known."""
    if not state.breached:
        return state
    return replace(state, breached=False, verdict=Verdict.FIT, cause=None)


def _usable(sample: Sample, low: float | None, high: float | None) -> float | None:
    """The number to judge. Anything that is not known is ``None``.

    A good one; an over-range one as infinitely high; an under-range one as infinitely low where there is a lower limit
    (else it tells of a failure, not of water). One that moved faster than the water can is evidence against the water
    where it is beyond a limit, and nothing for it.
    """
    if sample.reason is Reason.OVER_RANGE:
        return inf
    if sample.reason is Reason.UNDER_RANGE and low is not None:
        return -inf
    if isinstance(sample.value, str | bool) or sample.value is None or not isfinite(sample.value):
        return None
    value = float(sample.value)
    if sample.quality is Quality.GOOD:
        return value
    beyond = (high is not None and value > high) or (low is not None and value < low)
    return value if sample.reason is Reason.JUMPED and beyond else None


def to_saved(state: GuardState, now: Instant) -> dict[str, Any]:
    """What of a guard survives a restart, as JSON."""
    return {
        "breached": state.breached,
        "cause": to_json(state.cause) if state.breached and state.cause is not None else None,
        "result_time": state.result_time,
        "result_value": state.result_value,
        "result_seen_utc": now.utc - (now.mono - state.result_at) if state.result_at is not None else None,
    }


def from_saved(fresh: GuardState, saved: dict[str, Any] | None, batch: bool, now: Instant) -> GuardState:
    """The state after a restart: ``fresh`` with what was saved. Raises ``KeyError``, ``TypeError`` on other data."""
    if saved is None:
        return fresh
    state = fresh
    if saved["breached"]:
        state = replace(state, breached=True, cause=from_json(saved["cause"]))
    seen_utc = saved["result_seen_utc"]
    if batch and seen_utc is not None:
        # A clock behind the saved time cannot tell the age: then only a new result makes the water known.
        age = now.utc - seen_utc
        state = replace(
            state,
            result_time=saved["result_time"],
            result_value=saved["result_value"],
            result_at=now.mono - age if age >= 0 else None,
        )
    return state
