"""What the motor of a pump may be asked: starts per hour, time between starts, least time on and off; and what it did.

A start heats a motor as minutes of running do. Makers give starts per hour and a least standstill; where the site file
gives no value, the strictest seen holds (shared water notes 3.6: 3 starts an hour, 60 s on, 15 min between starts).
What a person does at the pump counts too: the run feedback is counted, not only the command.

The times say when a pump may be started, never that it must go on: what protects stops it at once.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant

HOUR_S: Final = 3600.0
MOST_STARTS_PER_HOUR: Final = 60
"""What may be stated; it bounds what is remembered."""


@dataclass(frozen=True, slots=True)
class DutyState:
    """``on`` since ``on_at``, or off since ``off_at``; ``started_at``: the last starts, the newest last.

    ``free_at``: not to be started before, because of ``waits``. ``starts`` and ``run_s``: in its life, without the run
    that began at ``running_at``. ``short``: the last run was shorter than the motor likes.
    """

    on: bool = False
    on_at: float | None = None
    off_at: float | None = None
    started_at: tuple[float, ...] = ()
    free_at: float | None = None
    waits: Cause | None = None
    starts: int = 0
    run_s: float = 0.0
    running_at: float | None = None
    short: Cause | None = None


FRESH: Final = DutyState()


def run_seconds(state: DutyState, now: Instant) -> float:
    """How long it has run in its life."""
    return state.run_s + (now.mono - state.running_at if state.running_at is not None else 0.0)


@dataclass(frozen=True, slots=True)
class Duty:
    """Settings, times in s. ``starts_per_hour``: ``None`` where the maker sets no limit."""

    tag: str
    starts_per_hour: int | None
    start_interval: float
    min_on: float
    min_off: float

    def step(self, state: DutyState, now: Instant, *, commanded: bool, running: bool | None) -> DutyState:
        """Counts. A pump is on while it is commanded or runs; what is not known changes nothing."""
        on = commanded or (state.on if running is None else running)
        if on is not state.on:
            state = self._started(state, now) if on else self._stopped(state, now)
        if running is True and state.running_at is None:
            return replace(state, running_at=now.mono)
        if running is False and state.running_at is not None:
            return replace(state, run_s=run_seconds(state, now), running_at=None)
        return state

    def waits(self, state: DutyState, now: Instant) -> Cause | None:
        """Why it may not be started yet, or ``None``."""
        return state.waits if not state.on and state.free_at is not None and now.mono < state.free_at else None

    def may_rest(self, state: DutyState, now: Instant) -> bool:
        """True when it has been on long enough to be stopped for a reason that can wait."""
        return not state.on or state.on_at is None or now.mono - state.on_at >= self.min_on

    def _started(self, state: DutyState, now: Instant) -> DutyState:
        kept = self.starts_per_hour or 1
        return replace(
            state,
            on=True,
            on_at=now.mono,
            started_at=(*state.started_at, now.mono)[-kept:],
            free_at=None,
            waits=None,
            starts=state.starts + 1,
            short=None,
        )

    def _stopped(self, state: DutyState, now: Instant) -> DutyState:
        ran = now.mono - state.on_at if state.on_at is not None else self.min_on
        short = None
        if ran < self.min_on:
            short = Cause(Code.PUMP_SHORT_RUN, self.tag, (amount(ran, "s"), amount(self.min_on, "s")))
        return self._freed(replace(state, on=False, on_at=None, off_at=now.mono, short=short), now)

    def _freed(self, state: DutyState, now: Instant) -> DutyState:
        """Says when it may be started again: nothing that happens until then can change that."""
        last = state.started_at[-1] if state.started_at else None
        bounds: list[tuple[float, Code, str]] = []
        if state.off_at is not None:
            bounds.append((state.off_at + self.min_off, Code.PUMP_MIN_OFF, amount(self.min_off, "s")))
        if last is not None:
            bounds.append((last + self.start_interval, Code.PUMP_START_INTERVAL, amount(self.start_interval, "s")))
        if self.starts_per_hour is not None and len(state.started_at) >= self.starts_per_hour:
            oldest = state.started_at[-self.starts_per_hour]
            bounds.append((oldest + HOUR_S, Code.PUMP_STARTS_PER_HOUR, str(self.starts_per_hour)))
        if not bounds:
            return state
        free_at, code, limit = max(bounds, key=lambda one: one[0])
        if free_at <= now.mono:
            return replace(state, free_at=None, waits=None)
        utc = datetime.fromtimestamp(now.utc + free_at - now.mono, UTC).strftime("%H:%M:%S UTC")
        return replace(state, free_at=free_at, waits=Cause(code, self.tag, (limit, utc)))

    def restored(self, saved: dict[str, Any], now: Instant) -> DutyState:
        """What it did before a restart. Raises ``KeyError``, ``TypeError`` on what is not from ``to_saved``.

        A moment that the clock says is still to come counts as now: the strictest that it can be.
        """

        def moment(utc: float) -> float:
            return now.mono - max(now.utc - utc, 0.0)

        state = DutyState(
            off_at=moment(saved["off_utc"]) if saved["off_utc"] is not None else None,
            started_at=tuple(moment(utc) for utc in saved["started_utc"])[-(self.starts_per_hour or 1) :],
            starts=int(saved["starts"]),
            run_s=float(saved["run_s"]),
        )
        return self._freed(state, now)


def to_saved(state: DutyState, now: Instant) -> dict[str, Any]:
    """What of it survives a restart. A pump that is on stops with the controller: that counts as its stop."""

    def utc(mono: float) -> float:
        return now.utc - (now.mono - mono)

    off_utc = now.utc if state.on else utc(state.off_at) if state.off_at is not None else None
    return {
        "off_utc": off_utc,
        "started_utc": [utc(one) for one in state.started_at],
        "starts": state.starts,
        "run_s": run_seconds(state, now),
    }
