"""What the scan remembers, and the part of it that survives a restart.

A restart never clears a trip and never resumes a fill: an open order comes back as one to be ended.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from config.errors import StoreError
from control.alarm import Alarm
from control.arbitration import Demand, Rank
from control.batch import BatchDispenser, BatchState, Order, Quality
from control.batch import Phase as BatchPhase
from control.cause import Cause, from_json, to_json
from control.code import Code
from control.continuous import ContinuousState
from control.device import DeviceState
from control.guard import BatchGuard, GuardState
from control.instant import Instant
from control.level import LevelState
from control.output import OutputState
from control.program import Program
from control.protect import Findings
from control.pump import PumpState
from control.trip import TripState, latch
from control.valve import ValveState

DispenserState = BatchState | ContinuousState


@dataclass(frozen=True, slots=True)
class ScanState:
    """Every block's state, in the order of the program's lists."""

    guards: tuple[GuardState, ...]
    levels: tuple[LevelState, ...]
    trips: tuple[TripState, ...]
    valves: tuple[ValveState, ...]
    pumps: tuple[PumpState, ...]
    devices: tuple[DeviceState, ...]
    follow: tuple[OutputState, ...]
    dispensers: tuple[DispenserState, ...]
    alarms: tuple[Alarm, ...]
    outputs: tuple[Demand, ...]


def findings(state: ScanState) -> Findings:
    """The part of the state that phase 2 steps."""
    return Findings(state.guards, state.levels, state.valves, state.pumps, state.devices, state.follow)


def initial_state(program: Program) -> ScanState:
    """Nothing known, everything safe."""
    return ScanState(
        guards=tuple(guard.initial() for guard in program.guards),
        levels=tuple(LevelState() for _ in program.dispensers),
        trips=tuple(TripState() for _ in program.dispensers),
        valves=tuple(ValveState() for _ in program.valves),
        pumps=tuple(PumpState() for _ in program.pumps),
        devices=tuple(DeviceState() for _ in program.devices),
        follow=tuple(OutputState() for _ in (*program.valves, *program.pumps)),
        dispensers=tuple(
            BatchState() if isinstance(unit.dispenser, BatchDispenser) else ContinuousState()
            for unit in program.dispensers
        ),
        alarms=(),
        outputs=safe_outputs(program),
    )


def safe_outputs(program: Program) -> tuple[Demand, ...]:
    """Every actuator in its safe position: valves closed, pumps off."""
    valves = [
        Demand(
            v.tag,
            v.output,
            False if v.position is None else 0.0,
            Rank.SAFE_DEFAULT,
            Cause(Code.NOT_USED, v.tag),
        )
        for v in program.valves
    ]
    pumps = [Demand(p.tag, p.output, False, Rank.SAFE_DEFAULT, Cause(Code.NOT_USED, p.tag)) for p in program.pumps]
    return (*valves, *pumps)


def state_lost(program: Program, detail: str, now: Instant) -> ScanState:
    """The state when what was saved cannot be read: whatever may have been tripped counts as tripped."""
    state = initial_state(program)
    trips = tuple(
        latch(TripState(), unit.tag, Cause(Code.STATE_LOST, unit.tag, (detail,)), now) for unit in program.dispensers
    )
    return replace(state, trips=trips)


def to_saved(program: Program, state: ScanState, now: Instant) -> dict[str, Any]:
    """The part that must survive, by name, as JSON."""
    return {
        "version": 1,
        "guards": {
            guard.name: _saved_guard(guard_state, now)
            for guard, guard_state in zip(program.guards, state.guards, strict=True)
        },
        "trips": {
            unit.tag: {"cause": to_json(trip.cause), "since_utc": trip.since_utc}
            for unit, trip in zip(program.dispensers, state.trips, strict=True)
            if trip.cause is not None
        },
        "dispensers": {
            unit.tag: _saved_dispenser(dispenser)
            for unit, dispenser in zip(program.dispensers, state.dispensers, strict=True)
        },
    }


def restored(program: Program, saved: dict[str, Any], now: Instant) -> ScanState:
    """The state after a restart. Names the saved part does not know begin anew; names it alone knows are dropped.

    Raises ``StoreError`` when the saved part cannot be read.
    """
    state = initial_state(program)
    try:
        if saved.get("version") != 1:
            raise StoreError(f"saved state of version {saved.get('version')}; this program reads version 1")
        guards = tuple(
            _restored_guard(guard.initial(), saved["guards"].get(guard.name), isinstance(guard, BatchGuard), now)
            for guard in program.guards
        )
        trips = tuple(
            TripState(from_json(trip["cause"]), trip["since_utc"])
            if (trip := saved["trips"].get(unit.tag)) is not None
            else TripState()
            for unit in program.dispensers
        )
        dispensers = tuple(
            _restored_dispenser(unit.tag, fresh, saved["dispensers"].get(unit.tag))
            for unit, fresh in zip(program.dispensers, state.dispensers, strict=True)
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the saved state cannot be read: {error!r}") from error
    return replace(state, guards=guards, trips=trips, dispensers=dispensers)


def _saved_guard(state: GuardState, now: Instant) -> dict[str, Any]:
    return {
        "breached": state.breached,
        "cause": to_json(state.cause) if state.breached and state.cause is not None else None,
        "result_time": state.result_time,
        "result_value": state.result_value,
        "result_seen_utc": now.utc - (now.mono - state.result_at) if state.result_at is not None else None,
    }


def _restored_guard(fresh: GuardState, saved: dict[str, Any] | None, batch: bool, now: Instant) -> GuardState:
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


def _saved_dispenser(state: DispenserState) -> dict[str, Any]:
    match state:
        case BatchState():
            return {
                "mode": "batch",
                "order": asdict(state.order) if state.order is not None else None,
                "stop": to_json(state.stop) if state.stop is not None else None,
                "total_m3": state.total_m3,
                "total_start_m3": state.total_start_m3,
                "delivered_m3": state.delivered_m3,
                "receipt_written": state.phase is BatchPhase.RECEIPT,
                "idle_m3": state.idle_m3,
                "unattributed_m3": state.unattributed_m3,
                "overruns_m3": list(state.overruns_m3),
                "seen_orders": list(state.seen_orders),
                "started_utc": state.started_utc,
                "first_flow_utc": state.first_flow_utc,
                "stopped_utc": state.stopped_utc,
                "max_flow_m3h": state.max_flow_m3h,
                "quality": [asdict(quality) for quality in state.quality],
            }
        case ContinuousState():
            return {
                "mode": "continuous",
                "setpoint_m3h": state.setpoint_m3h,
                "total_m3": state.total_m3,
                "served_m3": state.served_m3,
                "account_m3": state.account_m3,
                "account_start_m3": state.account_start_m3,
                "account_utc": state.account_utc,
                "idle_m3": state.idle_m3,
                "unattributed_m3": state.unattributed_m3,
            }


def _restored_dispenser(tag: str, fresh: DispenserState, saved: dict[str, Any] | None) -> DispenserState:
    match fresh:
        case BatchState() if saved is not None and saved["mode"] == "batch":
            return _restored_batch(tag, saved)
        case ContinuousState() if saved is not None and saved["mode"] == "continuous":
            kept = {key: value for key, value in saved.items() if key != "mode"}
            return ContinuousState(**kept)
        case _:
            return fresh


def _restored_batch(tag: str, saved: dict[str, Any]) -> BatchState:
    state = BatchState(
        total_m3=saved["total_m3"],
        idle_m3=saved["idle_m3"],
        unattributed_m3=saved["unattributed_m3"],
        overruns_m3=tuple(saved["overruns_m3"]),
        seen_orders=tuple(saved["seen_orders"]),
    )
    if saved["order"] is None or saved["receipt_written"]:
        return state
    return replace(
        state,
        phase=BatchPhase.STOPPING,
        restored=True,
        order=Order(**saved["order"]),
        stop=from_json(saved["stop"]) if saved["stop"] is not None else Cause(Code.RESTARTED, tag),
        total_start_m3=saved["total_start_m3"],
        delivered_m3=saved["delivered_m3"],
        started_utc=saved["started_utc"],
        first_flow_utc=saved["first_flow_utc"],
        stopped_utc=saved["stopped_utc"],
        max_flow_m3h=saved["max_flow_m3h"],
        quality=tuple(Quality(**quality) for quality in saved["quality"]),
    )
