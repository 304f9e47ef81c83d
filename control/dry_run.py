"""Dry running: a pump without water is destroyed in minutes.

Three signs (shared water notes 3.6): low level or pressure at the suction, which also forbids a start; a motor current
below that of a pump that lifts water; no flow some time after the start. The pump's own hard-wired protection stays.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from config.sample import Sample
from control.cause import Cause, amount, reason_text, seen
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

UNKNOWN_TOLERANCE_S: Final = 3.0
"""A sign may be unread this long before water is not known to be there."""


class Sign(StrEnum):
    """What is looked at."""

    SUCTION = "suction"
    CURRENT = "current"
    FLOW = "flow"


@dataclass(frozen=True, slots=True)
class DryRunState:
    """``low_since`` below its limit and ``unknown_since`` not read (monotonic); ``found``: what is wrong now."""

    low_since: float | None = None
    unknown_since: float | None = None
    found: Cause | None = None


AT_REST: Final = DryRunState()


@dataclass(frozen=True, slots=True)
class DryRun:
    """Settings: one sign. ``below`` in the unit of the signal, for ``after`` seconds."""

    tag: str
    sign: Sign
    signal: int
    name: str
    unit: str
    below: float
    after: float

    def step(self, state: DryRunState, sample: Sample, now: Instant, *, running: bool) -> DryRunState:
        """Judges one sign; current and flow while the pump runs, suction always."""
        if not running and self.sign is not Sign.SUCTION:
            return AT_REST
        number = sample.number
        low_since = since(state.low_since, number is not None and number < self.below, now)
        unknown_since = since(state.unknown_since, number is None, now)
        found = None
        if lasted(low_since, self.after, now):
            found = self._low(state.found, sample, now, running=running)
        elif lasted(unknown_since, UNKNOWN_TOLERANCE_S, now):
            found = state.found
            if found is None or found.code is not Code.PUMP_UNKNOWN:
                found = Cause(Code.PUMP_UNKNOWN, self.tag, (f"{self.name}: {reason_text(sample)}",))
        elif number is None:
            found = state.found
        if low_since == state.low_since and unknown_since == state.unknown_since and found is state.found:
            return state
        return replace(state, low_since=low_since, unknown_since=unknown_since, found=found)

    def _low(self, before: Cause | None, sample: Sample, now: Instant, *, running: bool) -> Cause:
        code = Code.PUMP_DRY if running else Code.PUMP_SUCTION_LOW
        if before is not None and before.code is code:
            return before
        shown, limit = amount(sample.number or 0.0, self.unit), amount(self.below, self.unit)
        evidence = seen(self.name, self.unit, sample, now.utc)
        return Cause(code, self.tag, (self.name, shown, limit, amount(self.after, "s")), seen=evidence)
