"""The guard on an analyzer that gives one result an hour or two (COD, ammonia, phosphorus, nitrogen).

A result is told from the next by the analyzer's own result time; reading the same result again is no news, an older
one changes nothing, a good one dated ahead is not believed. Where an analyzer gives no time, or where its check results
stand in the same place, its work state tells: a result is what stands there when a sample has been run and the
analyzer is idle again. Never does a changed value make a result. One result beyond the limit is a breach: there is no
average to wait for. How old a result may get: ``age.py``. A maintenance or calibration mark holds the last result, its
age runs on, and the mark has its caps. Source: shared water notes 2.3 and 2.4.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import ClassVar, Final

from config.sample import Quality, Sample
from config.standard import Staleness
from control.age import RESULT, by_age, none_yet
from control.cause import Cause, amount, seen
from control.code import Code
from control.cold import ColdLimit
from control.fast_guard import held
from control.instant import Instant
from control.limit import is_zero, outside, usable
from control.mark import MarkCap
from control.trend import EarlyWarning
from control.verdict import GuardState, Verdict

BACKLOG_INTERVALS: Final = 3.0
"""A result that arrives later than this after its own time is backlog: it is recorded but is no news."""
AHEAD_S: Final = 300.0
"""Analyzers' clocks differ by minutes. A good result dated further ahead than this is not believed; a bad one is."""
OVER: Final = (Code.MARK_TOO_LONG, Code.MARK_DAY_USED)


@dataclass(frozen=True, slots=True)
class WorkState:
    """Where an analyzer says what it does, and its codes. Any code that is not listed is a check or a calibration."""

    signal: int
    sampling: int
    idle: int
    cleaning: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchGuard:
    """Settings of a guard on an analyzer that gives one result per ``interval``, in seconds.

    ``timed``: its results carry their own time. ``expired_after`` in intervals; ``min_hold``: a trip is not reset
    sooner than this after the breach. ``zero_counts``: exactly 0 is a result though there is no lower limit.
    """

    kind: ClassVar[str] = "batch"

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
    mark_cap: MarkCap
    limit_origin: str
    limit_status: str
    warn_high: float | None = None
    warn_low: float | None = None
    min_hold: float = 0.0
    zero_counts: bool = False
    timed: bool = True
    work_state: WorkState | None = None
    cold: ColdLimit | None = None
    early: EarlyWarning | None = None

    def step(self, state: GuardState, image: tuple[Sample, ...], now: Instant) -> GuardState:
        """Takes a new result if there is one, then judges by the newest result and its age."""
        if self.cold is not None and self.cold.holds(image):
            return replace(self, high=self.cold.high, cold=None).step(state, image, now)
        sample = image[self.signal]
        mark = self.mark_cap.step(state.mark, sample.reason, now)
        if mark is not state.mark:
            state = replace(state, mark=mark)
        if self.work_state is not None:
            state = self._followed(state, self.work_state, image[self.work_state.signal])
        value = usable(sample, self.low, self.high, zero_counts=self.zero_counts)
        if value is not None and self._is_news(state, sample, now):
            state = self._arrived(state, value, sample, now)
        elif value is None and sample.good and is_zero(sample, self.low) and self._is_news(state, sample, now):
            state = self._refused(state, sample, now)
        if self.early is not None:
            trend = self.early.step(state.trend, None, now)
            if trend is not state.trend:
                state = replace(state, trend=trend)
        return self._aged(state, now)

    def not_clear(self, state: GuardState, now: Instant) -> Cause | None:
        """Why a reset must wait, or ``None``: so many good results in a row, and the newest of them not stale."""
        verdict, code = self._by_age(state, now)
        if not state.breached and state.mark.over is not None:
            return state.mark.over
        if not state.breached:
            return self._aged_cause(state, code, now) if code is not None and verdict >= Verdict.HOLD else None
        if state.good_results < self.results_to_clear:
            missing = self.results_to_clear - state.good_results
            limit = self.high if self.high is not None else self.low
            wanted = amount(limit if limit is not None else 0, self.unit)
            return Cause(Code.RESULTS_NEEDED, self.signal_name, (str(missing), wanted))
        if code is not None and code is not Code.RESULT_AGING:
            # Whatever the use allows on stale data: it ends no trip.
            return self._aged_cause(state, code, now)
        if state.mark.begun_at is not None:
            return Cause(Code.QUALITY_UNKNOWN, self.signal_name, (str(state.mark.reason),))
        return held(self.name, state, self.min_hold, now)

    def initial(self) -> GuardState:
        """After a start no result has been seen."""
        return GuardState(cause=Cause(Code.NO_RESULT, self.signal_name))

    def _followed(self, state: GuardState, work: WorkState, sample: Sample) -> GuardState:
        """What the analyzer does. A state that is not read changes nothing: a run that was not seen is no result."""
        if sample.number is None:
            return state
        code = int(sample.number)
        if code == work.sampling:
            return state if state.sampled and state.ended_at is None else replace(state, sampled=True, ended_at=None)
        if code == work.idle:
            if state.sampled and state.ended_at is None:
                return replace(state, ended_at=sample.received)
            return state
        if code in work.cleaning or not (state.sampled or state.ended_at is not None):
            return state
        return replace(state, sampled=False, ended_at=None)

    def _is_news(self, state: GuardState, sample: Sample, now: Instant) -> bool:
        if self.work_state is not None and (state.ended_at is None or sample.received < state.ended_at):
            return False
        if not self.timed:
            return self.work_state is not None
        time = sample.source_time
        if time is None or time in (state.result_time, state.refused_time):
            return False
        if now.utc - time > BACKLOG_INTERVALS * self.interval:
            return False
        if state.result_time is None or time > state.result_time:
            return True
        # A result in hand that is dated ahead of now is of a wrong clock, put right since: one of about now is newer.
        ahead = state.result_time - now.utc > max(self.interval, AHEAD_S)
        return ahead and now.utc - time <= self.interval

    def _refused(self, state: GuardState, sample: Sample, now: Instant) -> GuardState:
        """A result of exactly 0 is not taken: the one before it ages on."""
        if not self.timed:
            state = replace(state, sampled=False, ended_at=None)
        return replace(state, refused_time=sample.source_time, refused=self._cause(Code.RESULT_ZERO, sample, now))

    def _arrived(self, state: GuardState, value: float, sample: Sample, now: Instant) -> GuardState:
        time = sample.source_time if self.timed and sample.source_time is not None else now.utc
        cause = self._breach(value, sample, now)
        if time - now.utc > AHEAD_S:
            return self._ahead(state, cause, time, sample, now)
        inside = sample.quality is Quality.GOOD and not outside(value, self.low, self.high)
        clear = inside and not outside(value, self.low, self.high, self.hysteresis)
        lag = max(0.0, now.utc - time)
        # Only the first result after a start can be older than its arrival; later ones are seen as they come.
        age = 0.0 if state.result_arrived else lag
        trend = state.trend
        if self.early is not None and sample.quality is Quality.GOOD:
            trend = self.early.step(trend, value, now)
        first = cause is not None and not state.breached
        return replace(
            state,
            breached=state.breached or cause is not None,
            breached_at=now.mono if first else state.breached_at,
            cause=state.cause if state.breached else cause,
            warning=self._warning(value, sample, now),
            trend=trend,
            good_utc=time if inside else state.good_utc,
            bad_utc=None if inside else time if state.bad_utc is None else state.bad_utc,
            result_time=time,
            result_at=now.mono - age,
            result_value=value if isfinite(value) else None,
            result_lag_s=lag,
            result_arrived=True,
            good_results=state.good_results + 1 if clear else 0,
            refused=None,
            sampled=False,
            ended_at=None,
        )

    def _ahead(self, state: GuardState, breach: Cause | None, time: float, sample: Sample, now: Instant) -> GuardState:
        """A result dated ahead: evidence against the water where it is beyond a limit, and nothing for it."""
        refused = self._cause(Code.RESULT_AHEAD, sample, now, amount(time - now.utc, "s"))
        state = replace(state, refused_time=time, refused=refused)
        if breach is None:
            return state
        if state.breached:
            return replace(state, good_results=0)
        return replace(state, breached=True, breached_at=now.mono, cause=breach, bad_utc=now.utc, good_results=0)

    def _breach(self, value: float, sample: Sample, now: Instant) -> Cause | None:
        if self.high is not None and value > self.high:
            return self._cause(Code.RESULT_ABOVE, sample, now, amount(self.high, self.unit))
        if self.low is not None and value < self.low:
            return self._cause(Code.RESULT_BELOW, sample, now, amount(self.low, self.unit))
        return None

    def _warning(self, value: float, sample: Sample, now: Instant) -> Cause | None:
        if self.warn_high is not None and value > self.warn_high:
            return self._cause(Code.RESULT_ABOVE_WARN, sample, now, amount(self.warn_high, self.unit))
        if self.warn_low is not None and value < self.warn_low:
            return self._cause(Code.RESULT_BELOW_WARN, sample, now, amount(self.warn_low, self.unit))
        return None

    def _cause(self, code: Code, sample: Sample, now: Instant, *values: str) -> Cause:
        return Cause(code, self.signal_name, values, None, seen(self.signal_name, self.unit, sample, now.utc))

    def _aged(self, state: GuardState, now: Instant) -> GuardState:
        if state.breached:
            return state if state.verdict is Verdict.BREACH else replace(state, verdict=Verdict.BREACH)
        before = state.cause.code if state.cause is not None else None
        if before in OVER and state.verdict is Verdict.UNKNOWN:
            # The end of a mark that passed its cap tells nothing of the water: the next result does.
            return state
        if state.mark.over is not None:
            return replace(state, verdict=Verdict.UNKNOWN, cause=state.mark.over)
        verdict, code = self._by_age(state, now)
        if verdict is state.verdict and code is before:
            return state
        return replace(state, verdict=verdict, cause=self._aged_cause(state, code, now))

    def _by_age(self, state: GuardState, now: Instant) -> tuple[Verdict, Code | None]:
        if state.result_at is None:
            return none_yet(self.staleness), Code.NO_RESULT
        expires = self.expired_after * self.interval
        return by_age(now.mono - state.result_at, self.interval, expires, self.staleness, RESULT)

    def _aged_cause(self, state: GuardState, code: Code | None, now: Instant) -> Cause | None:
        if code is None:
            return None
        if state.result_at is None:
            return Cause(code, self.signal_name)
        return Cause(code, self.signal_name, (amount(now.mono - state.result_at, "s"),))
