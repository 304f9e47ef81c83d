"""The pump as equipment: does the run feedback follow the command, has it water, and may it be started yet?

It is off, starting, running, stopping; a person may have it (selector on local), and it may be at fault. Faults: no run
feedback after a start, or still there after a stop; its own fault bit (overload, drive); dry running; running against a
closed path. A pump of a group that failed stays out until a person puts it back into service; the fault of a pump that
belongs to one dispenser trips that dispenser, and a reset brings both back.

The pump's own hard-wired protections (overload, dry run) stay in place and work with the controller dead.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from config.sample import Sample
from control import pump_duty
from control.cause import Cause, amount, from_json, reason_text, to_json
from control.code import Code
from control.dry_run import AT_REST, DryRun, DryRunState
from control.instant import Instant
from control.pump_duty import FRESH, Duty, DutyState
from control.renewed import renewed
from control.timer import lasted, since

UNKNOWN_TOLERANCE_S = 3.0
"""Run feedback may be missing this long before the pump counts as faulty."""
UNLIMITED: Final = Duty("", None, 0.0, 0.0, 0.0)


class Stage(StrEnum):
    """What the pump does."""

    UNKNOWN = "unknown"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    LOCAL = "local"
    OUT_OF_SERVICE = "out-of-service"
    FAULT = "fault"


STAGES: Final[dict[Stage, str]] = {
    Stage.UNKNOWN: "whether it runs is not known",
    Stage.STOPPED: "commanded off, and it does not run",
    Stage.STARTING: "commanded on, and it does not run yet",
    Stage.RUNNING: "commanded on, and it runs",
    Stage.STOPPING: "commanded off, and it still runs",
    Stage.LOCAL: "a person has it, at its starter",
    Stage.OUT_OF_SERVICE: "taken out by a person; it is not started",
    Stage.FAULT: "something is wrong with it; it is not run",
}
"""What each stage means."""

_MOVES: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.STOPPED: frozenset({Stage.STARTING, Stage.STOPPING}),
    Stage.STARTING: frozenset({Stage.RUNNING, Stage.STOPPING}),
    Stage.RUNNING: frozenset({Stage.STOPPING, Stage.STARTING}),
    Stage.STOPPING: frozenset({Stage.STOPPED, Stage.STARTING}),
}
_OUT: Final = frozenset({Stage.UNKNOWN, Stage.LOCAL, Stage.OUT_OF_SERVICE, Stage.FAULT})
TRANSITIONS: Final[dict[Stage, frozenset[Stage]]] = {
    stage: _MOVES[stage] | _OUT if stage in _MOVES else frozenset(Stage) - {stage} for stage in Stage
}
"""Every transition there is; ``step`` and ``commanded`` take no other."""

FAILURES: Final = frozenset(
    {Code.PUMP_NOT_RUNNING, Code.PUMP_NOT_STOPPED, Code.PUMP_FAULT, Code.PUMP_DRY, Code.PUMP_CLOSED_PATH}
)
"""Faults that need a person: they trip the dispenser of the pump, or put the pump out of its group."""
_STAGE_OF: Final = {
    Code.PUMP_UNKNOWN: Stage.UNKNOWN,
    Code.PUMP_LOCAL: Stage.LOCAL,
    Code.PUMP_OUT_OF_SERVICE: Stage.OUT_OF_SERVICE,
}


@dataclass(frozen=True, slots=True)
class PumpState:
    """``commanded`` since ``commanded_at``; ``running`` (``None``: unknown); ``fault``: why it is not run now.

    ``failed``: the failure that keeps a pump out of its group; ``out``: who took it out of service, and why.
    """

    commanded: bool = False
    commanded_at: float | None = None
    running: bool | None = None
    stage: Stage = Stage.UNKNOWN
    unknown_since: float | None = None
    astray_since: float | None = None
    closed_path_since: float | None = None
    dry: tuple[DryRunState, ...] = ()
    fault: Cause | None = None
    failed: Cause | None = None
    out: Cause | None = None
    duty: DutyState = FRESH


@dataclass(frozen=True, slots=True)
class Pump:
    """Settings. Signals are image indices; ``start_timeout``: how long feedback may take to follow, in s.

    ``remote``: on while the controller has it; ``own_fault``: the fault bit of its starter or drive. ``closed_path``:
    how long it may run while every way out is closed, by the valves of its ``path``. ``in_group``: a failure keeps it
    out until a person puts it back. ``speed``: the place of its drive's output, and ``run_speed`` in percent.
    """

    tag: str
    running: int
    start_timeout: float
    output: int
    remote: int | None = None
    own_fault: int | None = None
    closed_path: float = 10.0
    dry: tuple[DryRun, ...] = ()
    duty: Duty = UNLIMITED
    path: tuple[int, ...] = ()
    in_group: bool = False
    speed: int | None = None
    run_speed: float = 100.0

    def step(
        self, state: PumpState, image: tuple[Sample, ...], now: Instant, *, path_closed: bool = False
    ) -> PumpState:
        """Reads the feedback and judges it. ``path_closed``: every valve that it pumps through is proved closed."""
        sample = image[self.running]
        running = bool(sample.value) if sample.good else None
        missing, local, broken = self._signals(image)
        unknown_since = since(state.unknown_since, bool(missing), now)
        commanded_at = now.mono if state.stage is Stage.LOCAL and not local else state.commanded_at
        follows = local or running is None or commanded_at is None or running is state.commanded
        fresh = commanded_at != state.commanded_at
        astray_since = since(None if fresh else state.astray_since, not follows, now)
        against = running is True and path_closed and not local
        closed_path_since = since(state.closed_path_since, against, now)
        dry = self._dry(state, image, now, running=running is True)
        fault = self._present(state, missing, unknown_since, dry, closed_path_since, astray_since, now, local, broken)
        failed = state.failed
        if self.in_group and failed is None and fault is not None and fault.code in FAILURES:
            failed = fault
        fault = state.out or failed or fault
        if state.fault is not None and fault is not None and fault.code is state.fault.code:
            fault = state.fault
        return renewed(
            state,
            commanded_at=commanded_at,
            running=running,
            stage=_stage(state.commanded, running, fault),
            unknown_since=unknown_since,
            astray_since=astray_since,
            closed_path_since=closed_path_since,
            dry=dry,
            fault=fault,
            failed=failed,
            duty=self.duty.step(state.duty, now, commanded=state.commanded, running=running),
        )

    def commanded(self, state: PumpState, value: object, now: Instant) -> PumpState:
        """Notes the output that this scan gives the pump."""
        on = value is True
        if state.commanded_at is not None and on == state.commanded:
            return state
        stage = state.stage
        if stage in _MOVES:
            stage = Stage.STARTING if on else Stage.STOPPING
        duty = self.duty.step(state.duty, now, commanded=on, running=state.running)
        return replace(state, commanded=on, commanded_at=now.mono, astray_since=None, stage=stage, duty=duty)

    def waits(self, state: PumpState, now: Instant) -> Cause | None:
        """Why it may not be started yet, or ``None``: also while it is on."""
        if state.commanded:
            return None
        # A motor that is switched on again while it runs down is started a second time all the same.
        return Cause(Code.PUMP_STOPPING, self.tag) if state.duty.on else self.duty.waits(state.duty, now)

    def taken_out(self, state: PumpState, by: str, reason: str) -> PumpState:
        """Out of service: it is not started until it is put back."""
        out = Cause(Code.PUMP_OUT_OF_SERVICE, self.tag, (by, reason))
        return replace(state, out=out, fault=out, stage=Stage.OUT_OF_SERVICE)

    def put_back(self, state: PumpState) -> PumpState:
        """Back in service: what is still wrong with it is found again by the next scan."""
        return replace(state, out=None, failed=None, fault=None)

    def restored(self, saved: dict[str, Any], now: Instant) -> PumpState:
        """What it was before a restart. Raises ``KeyError``, ``TypeError`` on what is not from ``to_saved``."""
        failed = from_json(saved["failed"]) if saved["failed"] is not None and self.in_group else None
        out = from_json(saved["out"]) if saved["out"] is not None else None
        return PumpState(fault=out or failed, failed=failed, out=out, duty=self.duty.restored(saved["duty"], now))

    def _signals(self, image: tuple[Sample, ...]) -> tuple[str, bool, bool]:
        """What is not known of it and why, whether it is on local, whether it reports a fault of its own."""
        missing, local, broken = "", False, False
        for index in (self.running, self.remote, self.own_fault):
            if index is not None and not image[index].good:
                missing = missing or reason_text(image[index])
        if self.remote is not None and image[self.remote].good:
            local = image[self.remote].value is not True
        if self.own_fault is not None and image[self.own_fault].good:
            broken = image[self.own_fault].value is True
        return missing, local, broken

    def _dry(
        self, state: PumpState, image: tuple[Sample, ...], now: Instant, *, running: bool
    ) -> tuple[DryRunState, ...]:
        if not self.dry:
            return ()
        before = state.dry or (AT_REST,) * len(self.dry)
        return tuple(
            check.step(one, image[check.signal], now, running=running)
            for check, one in zip(self.dry, before, strict=True)
        )

    def _present(
        self,
        state: PumpState,
        missing: str,
        unknown_since: float | None,
        dry: tuple[DryRunState, ...],
        closed_path_since: float | None,
        astray_since: float | None,
        now: Instant,
        local: bool,
        broken: bool,
    ) -> Cause | None:
        """What is wrong now, the weightiest first."""
        if broken:
            return Cause(Code.PUMP_FAULT, self.tag)
        if unknown_since is not None:
            if now.mono - unknown_since < UNKNOWN_TOLERANCE_S:
                return state.fault
            return Cause(Code.PUMP_UNKNOWN, self.tag, (missing,))
        if local:
            return Cause(Code.PUMP_LOCAL, self.tag)
        for one in dry:
            if one.found is not None:
                return one.found
        if lasted(closed_path_since, self.closed_path, now):
            return Cause(Code.PUMP_CLOSED_PATH, self.tag, (amount(self.closed_path, "s"),))
        if not lasted(astray_since, self.start_timeout, now):
            return None
        code = Code.PUMP_NOT_RUNNING if state.commanded else Code.PUMP_NOT_STOPPED
        return Cause(code, self.tag, (amount(self.start_timeout, "s"),))


def _stage(commanded: bool, running: bool | None, fault: Cause | None) -> Stage:
    if fault is not None and fault.code in FAILURES:
        return Stage.FAULT
    if fault is not None and fault.code is not Code.PUMP_SUCTION_LOW:
        return _STAGE_OF[fault.code]
    if running is None:
        return Stage.UNKNOWN
    if commanded:
        return Stage.RUNNING if running else Stage.STARTING
    return Stage.STOPPING if running else Stage.STOPPED


def to_saved(state: PumpState, now: Instant) -> dict[str, Any]:
    """What of a pump survives a restart."""
    return {
        "failed": to_json(state.failed) if state.failed is not None else None,
        "out": to_json(state.out) if state.out is not None else None,
        "duty": pump_duty.to_saved(state.duty, now),
    }
