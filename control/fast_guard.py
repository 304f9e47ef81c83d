"""The guard on a continuous signal (turbidity, pH, chlorine, conductivity).

Beyond *stop* for ``stop_delay``, or beyond *instant* at once, is a breach; beyond *warn* for ``warn_delay`` is an alarm
and no more. A reading that is not known is tolerated for ``stop_delay``, then the water is unknown, and unknown water
does not flow. Over range counts as beyond the limit, and so does a jump that ends beyond it. A maintenance or
calibration mark holds the last verdict up to its caps and never improves it. Source: DESIGN.md section 7; the pattern
of several thresholds is that of 22 CCR section 60307 (California).
"""

from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import ClassVar, Final

from config.sample import Quality, Reason, Sample
from control.cause import Cause, amount, reason_text, seen
from control.code import Code
from control.cold import ColdLimit
from control.instant import Instant
from control.limit import band, outside, usable
from control.mark import MarkCap
from control.timer import lasted, since
from control.trend import EarlyWarning
from control.verdict import GuardState, Verdict

RETURN_DELAY_S: Final = 5.0
"""A reading that was unknown must be good again for this long (or ``stop_delay``, if shorter) to be believed."""


@dataclass(frozen=True, slots=True)
class FastGuard:
    """Settings. Limits in ``unit``, ``None``: no limit on that side; times in s; ``hysteresis`` in % of the limit.

    ``min_hold``: a trip is not reset sooner than this after the breach. ``zero_counts``: exactly 0 is a measurement
    though there is no lower limit.
    """

    kind: ClassVar[str] = "fast"

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
    mark_cap: MarkCap
    limit_origin: str
    limit_status: str
    warn_high: float | None = None
    warn_low: float | None = None
    warn_delay: float = 60.0
    min_hold: float = 0.0
    zero_counts: bool = False
    cold: ColdLimit | None = None
    early: EarlyWarning | None = None

    def step(self, state: GuardState, image: tuple[Sample, ...], now: Instant) -> GuardState:
        """Judges the present reading."""
        if self.cold is not None and self.cold.holds(image):
            return replace(self, high=self.cold.high, cold=None).step(state, image, now)
        sample = image[self.signal]
        mark = self.mark_cap.step(state.mark, sample.reason, now)
        if mark is not state.mark:
            state = replace(state, mark=mark)
        value = usable(sample, self.low, self.high, zero_counts=self.zero_counts)
        if self.early is not None:
            trend = self.early.step(state.trend, value if sample.quality is Quality.GOOD else None, now)
            if trend is not state.trend:
                state = replace(state, trend=trend)
        return self._unknown(state, sample, now) if value is None else self._known(state, value, sample, now)

    def not_clear(self, state: GuardState, now: Instant) -> Cause | None:
        """Why a reset must wait, or ``None`` when the guard is clear: good data, inside, for long enough."""
        if state.unknown_since is not None:
            return Cause(Code.QUALITY_UNKNOWN, self.signal_name, ("no good reading",))
        if not state.breached:
            return state.cause if state.verdict is Verdict.UNKNOWN else None
        waited = now.mono - state.clear_since if state.clear_since is not None else 0.0
        if state.clear_since is None or waited < self.clear_time:
            left = amount(max(self.clear_time - waited, 0.0), "s")
            wanted = band(self.low, self.high, self.hysteresis, self.unit)
            return Cause(Code.NOT_CLEAR_YET, self.signal_name, (wanted, left))
        return held(self.name, state, self.min_hold, now)

    def initial(self) -> GuardState:
        """After a start nothing is known."""
        return GuardState(cause=Cause(Code.QUALITY_UNKNOWN, self.signal_name, ("not read since the start",)))

    def _known(self, state: GuardState, value: float, sample: Sample, now: Instant) -> GuardState:
        breach = self._breach(state, value, sample, now)
        beyond = outside(value, self.low, self.high)
        good = sample.quality is Quality.GOOD
        inside_since = since(state.inside_since, good and not beyond, now)
        timers = (
            since(state.beyond_since, beyond, now),
            inside_since,
            since(state.clear_since, good and not outside(value, self.low, self.high, self.hysteresis), now),
        )
        warn_since = since(state.warn_since, self._warns(value, 0.0), now)
        warning = self._warning(state, value, warn_since, sample, now)
        if breach is not None or state.breached:
            verdict, cause = Verdict.BREACH, state.cause if state.breached else breach
        elif state.verdict is Verdict.UNKNOWN and not self._known_again(inside_since, now):
            verdict, cause = Verdict.UNKNOWN, state.cause
        else:
            verdict, cause = Verdict.FIT, None
        same = (
            timers == (state.beyond_since, state.inside_since, state.clear_since)
            and warn_since == state.warn_since
            and warning is state.warning
        )
        if same and verdict is state.verdict and state.unknown_since is None:
            return state
        return replace(
            state,
            verdict=verdict,
            cause=cause,
            breached=verdict is Verdict.BREACH,
            breached_at=state.breached_at if state.breached else now.mono if verdict is Verdict.BREACH else None,
            beyond_since=timers[0],
            inside_since=timers[1],
            clear_since=timers[2],
            unknown_since=None,
            warn_since=warn_since,
            warning=warning,
            good_utc=None if inside_since is not None else _left_utc(state, now),
            bad_utc=(now.utc if state.beyond_since is None else state.bad_utc) if beyond else None,
        )

    def _known_again(self, inside_since: float | None, now: Instant) -> bool:
        """After having been unknown, one good reading is not enough."""
        return lasted(inside_since, min(self.stop_delay, RETURN_DELAY_S), now)

    def _breach(self, state: GuardState, value: float, sample: Sample, now: Instant) -> Cause | None:
        if state.breached:
            return None
        if sample.reason is Reason.OVER_RANGE and self.high is not None:
            return self._cause(Code.OVER_RANGE, sample, now, amount(self.high, self.unit))
        if self.instant_high is not None and value > self.instant_high:
            return self._cause(Code.ABOVE_INSTANT, sample, now, amount(self.instant_high, self.unit))
        if self.instant_low is not None and value < self.instant_low:
            return self._cause(Code.BELOW_INSTANT, sample, now, amount(self.instant_low, self.unit))
        if not outside(value, self.low, self.high):
            return None
        start = state.beyond_since if state.beyond_since is not None else now.mono
        if now.mono - start < self.stop_delay:
            return None
        for_time = amount(self.stop_delay, "s")
        if self.high is not None and value > self.high:
            return self._cause(Code.ABOVE_LIMIT, sample, now, amount(self.high, self.unit), for_time)
        low = self.low if self.low is not None else -inf
        return self._cause(Code.BELOW_LIMIT, sample, now, amount(low, self.unit), for_time)

    def _warns(self, value: float, hysteresis: float) -> bool:
        return isfinite(value) and outside(value, self.warn_low, self.warn_high, hysteresis)

    def _warning(
        self, state: GuardState, value: float, warn_since: float | None, sample: Sample, now: Instant
    ) -> Cause | None:
        """The alarm of the first threshold: begins after ``warn_delay``, ends inside it by the hysteresis."""
        if state.warning is not None:
            return state.warning if self._warns(value, self.hysteresis) else None
        if warn_since is None or not lasted(warn_since, self.warn_delay, now):
            return None
        for_time = amount(self.warn_delay, "s")
        if self.warn_high is not None and value > self.warn_high:
            return self._cause(Code.ABOVE_WARN, sample, now, amount(self.warn_high, self.unit), for_time)
        low = self.warn_low if self.warn_low is not None else -inf
        return self._cause(Code.BELOW_WARN, sample, now, amount(low, self.unit), for_time)

    def _unknown(self, state: GuardState, sample: Sample, now: Instant) -> GuardState:
        """No usable reading. Tolerated for ``stop_delay``; a mark holds the verdict up to its caps."""
        unknown_since = state.unknown_since if state.unknown_since is not None else now.mono
        if state.unknown_since is None or state.inside_since is not None or state.clear_since is not None:
            state = replace(
                state,
                inside_since=None,
                clear_since=None,
                unknown_since=unknown_since,
                warn_since=None,
                good_utc=_left_utc(state, now),
            )
        if state.breached:
            return state
        if state.verdict is Verdict.UNKNOWN:
            if state.beyond_since is not None:
                state = replace(state, beyond_since=None)
            if state.cause is None or state.cause.values[:1] != (_reason(sample),):
                state = replace(state, cause=self._cause_unknown(sample, now))
            return state
        marked = state.mark.begun_at is not None
        if marked and lasted(state.beyond_since, self.stop_delay, now):
            # What the mark holds is a reading beyond the limit, which is no verdict to flow on.
            cause = self._cause_unknown(sample, now)
        elif marked:
            if state.mark.over is None:
                return state
            cause = state.mark.over
        elif now.mono - unknown_since < self.stop_delay:
            # Beyond the limit and then silent is not a return to normal: the delay runs on.
            return state
        else:
            cause = self._cause_unknown(sample, now)
        return replace(state, verdict=Verdict.UNKNOWN, cause=cause, beyond_since=None)

    def _cause_unknown(self, sample: Sample, now: Instant) -> Cause:
        return self._cause(Code.QUALITY_UNKNOWN, sample, now, _reason(sample))

    def _cause(self, code: Code, sample: Sample, now: Instant, *values: str) -> Cause:
        return Cause(code, self.signal_name, values, None, seen(self.signal_name, self.unit, sample, now.utc))


def _reason(sample: Sample) -> str:
    """Why a reading is not used: it is not good, or it is a zero."""
    return "exactly 0 is no measurement" if sample.good else reason_text(sample)


def held(name: str, state: GuardState, min_hold: float, now: Instant) -> Cause | None:
    """That a trip has not lasted as long as it must, or ``None``. After a restart the time counts anew."""
    if not state.breached or min_hold <= 0:
        return None
    left = min_hold - (now.mono - state.breached_at if state.breached_at is not None else 0.0)
    return Cause(Code.HELD, name, (amount(left, "s"), amount(min_hold, "s"))) if left > 0 else None


def _left_utc(state: GuardState, now: Instant) -> float | None:
    """When the water was last known good, as it ceases to be so."""
    return now.utc if state.inside_since is not None else state.good_utc
