"""The part of the state that survives a restart.

A restart never clears a trip and never resumes a fill: an open order comes back as one to be ended. Each block says in
its own file what of it is saved; here it is gathered by name, so that a changed site file finds what is still there.
"""

from dataclasses import replace
from typing import Any

from config.errors import StoreError
from control import annunciator, bypass, compliance, continuous, fill, guard, loop, override, proof_test, pump, strokes
from control.cause import Cause, from_json, to_json
from control.code import Code
from control.continuous import ContinuousState
from control.fill import BatchState
from control.instant import Instant
from control.program import Program
from control.state import DispenserState, ScanState, initial_state
from control.trip import TripState, latch

VERSION = 3


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
        "version": VERSION,
        "guards": {
            block.name: guard.to_saved(guard_state, now)
            for block, guard_state in zip(program.guards, state.guards, strict=True)
        },
        "trips": {
            unit.tag: {
                "cause": to_json(trip.cause),
                "since_utc": trip.since_utc,
                "later": [to_json(cause) for cause in trip.later],
            }
            for unit, trip in zip(program.dispensers, state.trips, strict=True)
            if trip.cause is not None
        },
        "dispensers": {
            unit.tag: _saved_dispenser(dispenser, now)
            for unit, dispenser in zip(program.dispensers, state.dispensers, strict=True)
        },
        "overrides": override.to_saved(state.overrides, now),
        "bypasses": bypass.to_saved(state.bypasses, now),
        "loops": {unit.loop.tag: loop.to_saved(one) for unit, one in zip(program.loops, state.loops, strict=True)},
        "valves": {
            block.tag: strokes.to_saved(one.strokes) for block, one in zip(program.valves, state.valves, strict=True)
        },
        "pumps": {block.tag: pump.to_saved(one, now) for block, one in zip(program.pumps, state.pumps, strict=True)},
        "pump_groups": {
            block.tag: block.to_saved(one) for block, one in zip(program.pump_groups, state.pump_groups, strict=True)
        },
        "alarms": annunciator.to_saved(state.alarms, now),
        "proof": proof_test.to_saved(state.proof),
        "compliance": compliance.to_saved(program.compliance, state.compliance),
    }


def restored(program: Program, saved: dict[str, Any], now: Instant) -> ScanState:
    """The state after a restart. Names the saved part does not know begin anew; names it alone knows are dropped.

    Raises ``StoreError`` when the saved part cannot be read.
    """
    state = initial_state(program)
    try:
        if saved.get("version") != VERSION:
            raise StoreError(f"saved state of version {saved.get('version')}; this program reads version {VERSION}")
        guards = tuple(guard.from_saved(block, saved["guards"].get(block.name), now) for block in program.guards)
        trips = tuple(
            TripState(from_json(trip["cause"]), trip["since_utc"], tuple(from_json(cause) for cause in trip["later"]))
            if (trip := saved["trips"].get(unit.tag)) is not None
            else TripState()
            for unit in program.dispensers
        )
        dispensers = tuple(
            _restored_dispenser(unit.tag, fresh, saved["dispensers"].get(unit.tag), now)
            for unit, fresh in zip(program.dispensers, state.dispensers, strict=True)
        )
        overrides = override.from_saved(saved["overrides"], program.overrides, now) if "overrides" in saved else ()
        bypasses = (
            bypass.from_saved(saved["bypasses"], program.bypasses, now) if "bypasses" in saved else state.bypasses
        )
        kept = saved.get("loops", {})
        loops = tuple(
            loop.from_saved(unit.loop, kept[unit.loop.tag]) if unit.loop.tag in kept else fresh_loop
            for unit, fresh_loop in zip(program.loops, state.loops, strict=True)
        )
        state = _with_equipment(program, state, saved, now)
        alarms = annunciator.from_saved(program.alarms, saved["alarms"], now)
        proof = proof_test.from_saved(saved["proof"]) if "proof" in saved else state.proof
        evaluated = compliance.from_saved(program.compliance, saved.get("compliance", {}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the saved state cannot be read: {error!r}") from error
    return replace(
        state,
        guards=guards,
        trips=trips,
        dispensers=dispensers,
        loops=loops,
        overrides=overrides,
        bypasses=bypasses,
        alarms=alarms,
        proof=proof,
        compliance=evaluated,
    )


def _with_equipment(program: Program, state: ScanState, saved: dict[str, Any], now: Instant) -> ScanState:
    valves, pumps, groups = (saved.get(section, {}) for section in ("valves", "pumps", "pump_groups"))
    return replace(
        state,
        valves=tuple(
            replace(fresh, strokes=block.strokes.restored(valves[block.tag]))
            if block.tag in valves and block.strokes is not None
            else fresh
            for block, fresh in zip(program.valves, state.valves, strict=True)
        ),
        pumps=tuple(
            block.restored(pumps[block.tag], now) if block.tag in pumps else fresh
            for block, fresh in zip(program.pumps, state.pumps, strict=True)
        ),
        pump_groups=tuple(
            block.restored(groups[block.tag]) if block.tag in groups else fresh
            for block, fresh in zip(program.pump_groups, state.pump_groups, strict=True)
        ),
    )


def _saved_dispenser(state: DispenserState, now: Instant) -> dict[str, Any]:
    match state:
        case BatchState():
            return {"mode": "batch", **fill.to_saved(state, now)}
        case ContinuousState():
            return {"mode": "continuous", **continuous.to_saved(state, now)}


def _restored_dispenser(tag: str, fresh: DispenserState, saved: dict[str, Any] | None, now: Instant) -> DispenserState:
    match fresh:
        case BatchState() if saved is not None and saved["mode"] == "batch":
            return fill.from_saved(tag, saved, now)
        case ContinuousState() if saved is not None and saved["mode"] == "continuous":
            return continuous.from_saved(saved, now)
        case _:
            return fresh
