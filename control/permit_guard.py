"""The guard of a take-off point without analyzers: is there a quality permit of the plant, and does it say fit?

A permit is a verdict of the plant's own guards with its time of issue and a time to live. It comes by a signal with a
time of its own (OPC UA, Modbus) or by a command (the platform, or a person on site), and ages like a result
(``age.py``): a link that is lost lets it grow old. The same permit again is no news, an earlier one changes nothing,
one dated ahead is not believed. A permit that says unfit is a breach at once and needs a reset, like any other. After
it is fit again, or was not known, the water in the pipe must be flushed first (``slug.py``). Source: shared water notes
2.4.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Final

from config.sample import Sample
from config.standard import Staleness
from control.age import PERMIT, by_age, none_yet
from control.cause import Cause, amount, seen
from control.code import Code
from control.command import Command
from control.fast_guard import held
from control.instant import Instant
from control.slug import NO_SLUG, STANDING, Pipe
from control.verdict import GuardState, Verdict

AHEAD_S: Final = 60.0
"""Clocks that follow time servers differ by less. A permit dated further ahead is not believed, when it says fit."""


@dataclass(frozen=True, slots=True)
class PermitGuard:
    """Settings; times in seconds.

    ``signal``: where a permit is read, ``None`` where it comes by command only; a bool that is true, or a number that
    is ``fit_value``, says fit. ``by_platform``, ``by_local``: who may say fit by command; unfit may be said by anybody.
    ``interval``: how often a permit is renewed; ``ttl``: the longest that one holds, from its issue.
    """

    kind: ClassVar[str] = "permit"

    name: str
    parameter: str
    signal: int | None
    signal_name: str
    fit_value: float
    by_platform: bool
    by_local: bool
    interval: float
    ttl: float
    staleness: Staleness
    permits_to_clear: int
    pipe: Pipe
    min_hold: float = 0.0
    unit: str = ""
    high: float | None = None
    low: float | None = None
    limit_origin: str = "quality permit"
    limit_status: str = "verified"

    def step(self, state: GuardState, image: tuple[Sample, ...], now: Instant) -> GuardState:
        """Takes a new permit if one is read, flushes on, then judges by the newest permit and its age."""
        if self.signal is not None:
            state = self._read(state, image[self.signal], now)
        if state.result_value == 1.0 and state.result_at is not None and now.mono - state.result_at <= state.ttl_s:
            slug = self.pipe.step(state.slug, image, now)
            if slug is not state.slug:
                state = replace(state, slug=slug)
        return self._judged(state, now)

    def refusal(self, state: GuardState, command: Command, now: Instant) -> Cause | None:
        """Why a permit given by command is not taken, or ``None``."""
        if not isinstance(command.value, bool):
            return Cause(Code.PERMIT_UNREADABLE, self.name)
        if command.value and not (self.by_local if command.local else self.by_platform):
            return Cause(Code.PERMIT_NOT_FROM, self.name, (command.source,))
        if command.issued_utc - now.utc > AHEAD_S:
            return Cause(Code.PERMIT_AHEAD, self.name, (amount(command.issued_utc - now.utc, "s"),))
        if state.result_time is not None and command.issued_utc <= state.result_time and not self._wrong(state, now):
            return Cause(Code.PERMIT_NOT_NEWER, self.name, (amount(state.result_time - command.issued_utc, "s"),))
        return None

    def accept(self, state: GuardState, command: Command, now: Instant) -> GuardState:
        """The state after a permit by command that is not refused."""
        kept = Cause(Code.PERMIT_GIVEN, self.name, (command.source, command.reason))
        ttl = min(command.duration_s, self.ttl) if command.duration_s > 0 else self.ttl
        taken = self._taken(state, command.value is True, command.issued_utc, ttl, command.local, kept, now)
        return self._judged(taken, now)

    def not_clear(self, state: GuardState, now: Instant) -> Cause | None:
        """Why a reset must wait, or ``None``: a fit permit of the plant, not stale, and the pipe flushed."""
        verdict, code = self._by_age(state, now)
        if not state.breached:
            return self._cause(state, code, now) if code is not None and verdict >= Verdict.HOLD else None
        if state.result_value != 1.0 or state.good_results < self.permits_to_clear:
            missing = max(self.permits_to_clear - state.good_results, 1)
            return Cause(Code.PERMITS_NEEDED, self.name, (str(missing),))
        if state.local:
            return Cause(Code.PERMIT_SUBSTITUTED, self.name)
        if code is not None and code is not Code.PERMIT_AGING:
            return self._cause(state, code, now)
        return held(self.name, state, self.min_hold, now)

    def initial(self) -> GuardState:
        """After a start there is no permit, and what stands in the pipe is not known."""
        slug = NO_SLUG if self.pipe.none else STANDING
        return GuardState(cause=Cause(Code.NO_PERMIT, self.name), slug=slug)

    def _read(self, state: GuardState, sample: Sample, now: Instant) -> GuardState:
        time = sample.source_time
        if time is None or not sample.good or sample.value is None or isinstance(sample.value, str):
            return state
        if time in (state.result_time, state.refused_time):
            return state
        fit = sample.value if isinstance(sample.value, bool) else sample.value == self.fit_value
        kept = Cause(Code.PERMIT_READ, self.signal_name, (), None, seen(self.signal_name, "", sample, now.utc))
        if time - now.utc > AHEAD_S:
            ahead = Cause(Code.PERMIT_AHEAD, self.name, (amount(time - now.utc, "s"),), kept)
            state = replace(state, refused_time=time, refused=ahead)
            # Evidence against the water counts whatever its date; it does not count as the newest permit.
            return state if fit else self._unfit(replace(state, good_results=0), kept, now)
        if state.result_time is not None and time < state.result_time and not self._wrong(state, now):
            return state
        return self._taken(state, fit, time, self.ttl, False, kept, now)

    def _wrong(self, state: GuardState, now: Instant) -> bool:
        """True when the permit in hand is dated ahead of now: a clock was wrong, and was put right since."""
        return state.result_time is not None and state.result_time - now.utc > AHEAD_S

    def _taken(
        self, state: GuardState, fit: bool, issued: float, ttl: float, local: bool, why: Cause, now: Instant
    ) -> GuardState:
        age = max(0.0, now.utc - issued)
        taken = replace(
            state,
            result_time=issued,
            result_at=now.mono - age,
            result_value=1.0 if fit else 0.0,
            result_lag_s=age,
            result_arrived=True,
            good_results=state.good_results + 1 if fit and not local else 0,
            good_utc=issued if fit else state.good_utc,
            bad_utc=None if fit else issued if state.bad_utc is None else state.bad_utc,
            refused=None,
            local=local,
            ttl_s=ttl,
        )
        return taken if fit else self._unfit(taken, why, now)

    def _unfit(self, state: GuardState, why: Cause, now: Instant) -> GuardState:
        state = replace(state, slug=NO_SLUG if self.pipe.none else STANDING)
        if state.breached:
            return state
        cause = Cause(Code.PERMIT_UNFIT, self.name, (), why)
        return replace(state, breached=True, breached_at=now.mono, cause=cause)

    def _judged(self, state: GuardState, now: Instant) -> GuardState:
        verdict, code = self._by_age(state, now)
        if code is Code.PERMIT_EXPIRED and not self.pipe.none and state.slug is not STANDING:
            # What left the plant meanwhile is not known: it must be flushed, whatever the use allows until then.
            state = replace(state, slug=STANDING)
        if state.breached:
            return state if state.verdict is Verdict.BREACH else replace(state, verdict=Verdict.BREACH)
        before = state.cause.code if state.cause is not None else None
        if verdict is state.verdict and code is before:
            return state
        return replace(state, verdict=verdict, cause=self._cause(state, code, now) if code is not None else None)

    def _by_age(self, state: GuardState, now: Instant) -> tuple[Verdict, Code | None]:
        if state.result_at is None:
            return none_yet(self.staleness), Code.NO_PERMIT
        verdict, code = by_age(now.mono - state.result_at, self.interval, state.ttl_s, self.staleness, PERMIT)
        if state.slug.standing and verdict < Verdict.UNKNOWN and code is not Code.PERMIT_EXPIRED:
            return Verdict.UNKNOWN, Code.FLUSHING
        return verdict, code

    def _cause(self, state: GuardState, code: Code, now: Instant) -> Cause:
        if code is Code.FLUSHING:
            return self.pipe.cause(state.slug, self.name, now)
        if state.result_at is None:
            return Cause(code, self.name)
        return Cause(code, self.name, (amount(now.mono - state.result_at, "s"),))
