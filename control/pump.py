"""The pump as equipment: does the run feedback follow the command?

The pump's own hard-wired protections (overload, dry run) stay in place and work with the controller dead.
"""

from dataclasses import dataclass, replace

from config.sample import Sample
from control.cause import Cause, amount, reason_text
from control.code import Code
from control.instant import Instant
from control.timer import since

UNKNOWN_TOLERANCE_S = 3.0
"""Run feedback may be missing this long before the pump counts as faulty."""


@dataclass(frozen=True, slots=True)
class PumpState:
    """``commanded`` since ``commanded_at``; ``running`` (``None``: unknown); ``fault``: what is wrong now."""

    commanded: bool = False
    commanded_at: float | None = None
    running: bool | None = None
    unknown_since: float | None = None
    astray_since: float | None = None
    fault: Cause | None = None


@dataclass(frozen=True, slots=True)
class Pump:
    """Settings: the run feedback, the time it may take to follow (seconds), the output."""

    tag: str
    running: int
    start_timeout: float
    output: int

    def step(self, state: PumpState, image: tuple[Sample, ...], now: Instant) -> PumpState:
        """Reads the feedback and judges it against the last command."""
        sample = image[self.running]
        running = bool(sample.value) if sample.good else None
        unknown_since = since(state.unknown_since, running is None, now)
        astray = running is not None and state.commanded_at is not None and running is not state.commanded
        astray_since = since(state.astray_since, astray, now)
        fault = self._fault(state, sample, unknown_since, astray_since, now)
        if state.fault is not None and fault is not None and fault.code is state.fault.code:
            fault = state.fault
        new = replace(state, running=running, unknown_since=unknown_since, astray_since=astray_since, fault=fault)
        return state if new == state else new

    def commanded(self, state: PumpState, value: object, now: Instant) -> PumpState:
        """Notes the output that this scan gives the pump."""
        if state.commanded_at is not None and (value is True) == state.commanded:
            return state
        return replace(state, commanded=value is True, commanded_at=now.mono, astray_since=None)

    def _fault(
        self,
        state: PumpState,
        sample: Sample,
        unknown_since: float | None,
        astray_since: float | None,
        now: Instant,
    ) -> Cause | None:
        if unknown_since is not None:
            if now.mono - unknown_since < UNKNOWN_TOLERANCE_S:
                return state.fault
            return Cause(Code.PUMP_UNKNOWN, self.tag, (reason_text(sample),))
        if astray_since is None or now.mono - astray_since < self.start_timeout:
            return None
        code = Code.PUMP_NOT_RUNNING if state.commanded else Code.PUMP_NOT_STOPPED
        return Cause(code, self.tag, (amount(self.start_timeout, "s"),))
