"""The supply level of a dispenser: too low to start on, too low to go on, or not known.

A level that is not known counts as empty (shared water notes 3.7). The pump's own hard-wired low-level relay
stays in place.
"""

from dataclasses import dataclass, replace

from config.sample import Sample
from control.cause import Cause, amount, reason_text, seen
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since

UNKNOWN_TOLERANCE_S = 5.0
"""A level may be unread this long: a tank does not empty in a few polls."""
HYSTERESIS_M = 0.05


@dataclass(frozen=True, slots=True)
class LevelState:
    """``forbids_start`` and ``forbids_run`` with their causes; ``known`` once there was a first reading."""

    known: bool = False
    unknown_since: float | None = None
    forbids_start: Cause | None = None
    forbids_run: Cause | None = None


@dataclass(frozen=True, slots=True)
class SupplyLevel:
    """Settings, in m."""

    signal: int
    signal_name: str
    low_m: float
    low_low_m: float

    def step(self, state: LevelState, image: tuple[Sample, ...], now: Instant) -> LevelState:
        """Judges the level; each limit has a hysteresis above it."""
        sample = image[self.signal]
        if not sample.good or not isinstance(sample.value, int | float):
            unknown_since = since(state.unknown_since, True, now)
            if state.known and not lasted(unknown_since, UNKNOWN_TOLERANCE_S, now):
                return state if unknown_since == state.unknown_since else replace(state, unknown_since=unknown_since)
            cause = Cause(Code.LEVEL_UNKNOWN, self.signal_name, (reason_text(sample),))
            new = LevelState(False, unknown_since, cause, cause)
            return state if new == state else new
        level = float(sample.value)
        run = self._below(state.forbids_run, level, self.low_low_m, Code.LEVEL_LOW_LOW, sample, now)
        start = self._below(state.forbids_start, level, self.low_m, Code.LEVEL_LOW, sample, now)
        if state.known and state.unknown_since is None and run is state.forbids_run and start is state.forbids_start:
            return state
        return LevelState(True, None, start, run)

    def _below(
        self, standing: Cause | None, level: float, limit: float, code: Code, sample: Sample, now: Instant
    ) -> Cause | None:
        if standing is not None and standing.code is code and level < limit + HYSTERESIS_M:
            return standing
        if level >= limit:
            return None
        return Cause(code, self.signal_name, (amount(limit, "m"),), None, seen(self.signal_name, "m", sample, now.utc))
