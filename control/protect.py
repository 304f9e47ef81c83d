"""Phase 2, protect: what is forbidden, and why.

Breaches of guards, interlocks that trip and faults of equipment latch a trip; water not known to be fit, a low or
unknown level, other interlocks and equipment whose state is unknown forbid as long as they last. Permissives, and
guards on hold, forbid a start only.
"""

from config.sample import Sample
from control import bypass, output, proof_test
from control.arbitration import Demand
from control.cause import Cause
from control.code import Code
from control.event import Event, Kind
from control.expression import Situation
from control.findings import Findings, Permission
from control.guard import GuardState, PermitGuard, Verdict, reset
from control.instant import Instant
from control.level import LevelState
from control.mark import marked_in_window_s
from control.program import DispenserUnit, Program
from control.pump import FAILURES
from control.state import ScanState
from control.trip import TripState
from control.valve import Position, ValveState
from control.work import Work

TRIPPING_FAULTS = FAILURES | frozenset(
    {
        Code.VALVE_NOT_OPENED,
        Code.VALVE_NOT_CLOSED,
        Code.VALVE_LEFT_POSITION,
        Code.VALVE_CONTRADICTION,
        Code.VALVE_DRIFTED,
        Code.VALVE_NOT_REACHED,
        Code.VALVE_STUCK,
        Code.VALVE_FAULT,
    }
)
"""Equipment faults that need a person. The others (not known, on local) forbid only while they stand."""


def protect(work: Work) -> None:
    """Latches what trips now, and says of every dispenser what it may do."""
    marks(work)
    for index, unit in enumerate(work.program.dispensers):
        trip(work, index)
        work.permissions.append(permission(work.program, unit, work.found.levels[index], work.trips[index], work.found))
    if work.proof.running is not None:
        _prove(work)


def _prove(work: Work) -> None:
    """The proof test in hand: its reading goes before the guard, what that trips is tripped, the valve is timed."""
    running = work.proof.running
    assert running is not None
    guard, unit = work.program.guards[running.guard], work.program.dispensers[running.unit]
    work.proof, trips = proof_test.step(work.proof, guard, work.image, work.now)
    if work.latch(running.unit, trips):
        permit_anew(work, running.unit)
    valve, position = work.program.valves[unit.valve], work.found.valves[unit.valve].position
    work.proof, events = proof_test.finish(work.proof, guard, valve.travel, position, work.now)
    work.events += events


def permit_anew(work: Work, index: int) -> None:
    """Says again what a dispenser may do, after its trip was reset or latched in this scan."""
    unit = work.program.dispensers[index]
    work.permissions[index] = permission(work.program, unit, work.found.levels[index], work.trips[index], work.found)


def find(program: Program, before: ScanState, image: tuple[Sample, ...], now: Instant) -> Findings:
    """Steps every guard, level and piece of equipment, then the interlocks and permissives that speak of them."""
    guards = tuple(guard.step(s, image, now) for guard, s in zip(program.guards, before.guards, strict=True))
    bypassed = bypass.names(before.bypasses)
    if bypassed:
        guards = _unlatched_while_bypassed(program, guards, bypassed, now)
    valves = tuple(valve.step(s, image, now) for valve, s in zip(program.valves, before.valves, strict=True))
    pumps = tuple(
        pump.step(s, image, now, path_closed=_closed(pump.path, valves))
        for pump, s in zip(program.pumps, before.pumps, strict=True)
    )
    situation = Situation(image, valves, pumps, guards, before.trips, before.dispensers, now)
    return Findings(
        guards=guards,
        levels=tuple(
            unit.level.step(s, image, now) if unit.level is not None else s
            for unit, s in zip(program.dispensers, before.levels, strict=True)
        ),
        valves=valves,
        pumps=pumps,
        analog_outputs=tuple(
            analog.step(s, demand.value, image, now)
            for analog, s, demand in zip(
                program.analog_outputs, before.analog_outputs, analog_demands(program, before.outputs), strict=True
            )
        ),
        devices=tuple(device.step(s, image, now) for device, s in zip(program.devices, before.devices, strict=True)),
        follow=tuple(
            output.step(s, demand, program.signal_names[demand.signal], image[demand.signal], now)
            for s, demand in zip(before.follow, before.outputs, strict=True)
        ),
        interlocks=tuple(
            interlock.step(s, situation) for interlock, s in zip(program.interlocks, before.interlocks, strict=True)
        ),
        permissives=tuple(
            permissive.step(s, situation) for permissive, s in zip(program.permissives, before.permissives, strict=True)
        ),
        bypassed=bypassed,
    )


def analog_demands(program: Program, outputs: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """The outputs that are analog: they stand behind those of valves and pumps."""
    first = len(program.valves) + len(program.pumps)
    return outputs[first : first + len(program.analog_outputs)]


def _closed(path: tuple[int, ...], valves: tuple[ValveState, ...]) -> bool:
    return bool(path) and all(valves[v].position is Position.CLOSED for v in path)


def _unlatched_while_bypassed(
    program: Program, guards: tuple[GuardState, ...], bypassed: frozenset[str], now: Instant
) -> tuple[GuardState, ...]:
    """A breach that came and went while its guard was out is not to trip when the bypass ends."""
    return tuple(
        reset(state) if guard.name in bypassed and state.breached and guard.not_clear(state, now) is None else state
        for guard, state in zip(program.guards, guards, strict=True)
    )


def faults(unit: DispenserUnit, found: Findings) -> list[Cause]:
    """What is wrong with the equipment of a dispenser now."""
    present = [found.valves[unit.valve].fault]
    if unit.slow_valve is not None:
        present.append(found.valves[unit.slow_valve].fault)
    if unit.pump is not None:
        present.append(found.pumps[unit.pump].fault)
    if unit.group is not None:
        present.append(unit.group.unavailable(found.pumps))
    return [fault for fault in present if fault is not None]


def trip(work: Work, index: int) -> None:
    """Latches what trips a dispenser now: breaches first, then interlocks, then faults of equipment."""
    unit, found = work.program.dispensers[index], work.found
    for g in unit.guards:
        guard = found.guards[g]
        if guard.verdict is Verdict.BREACH and work.program.guards[g].name not in found.bypassed:
            work.latch(
                index,
                guard.cause,
                guard=work.program.guards[g].name,
                last_good_utc=guard.good_utc,
                first_bad_utc=guard.bad_utc,
            )
    for i in unit.tripped_by:
        if found.interlocks[i].trips:
            work.latch(index, interlocked(work.program, found, i))
    for fault in faults(unit, found):
        if fault.code in TRIPPING_FAULTS:
            work.latch(index, fault)


def marks(work: Work) -> None:
    """Records when an instrument is marked for maintenance or calibration, when that ends, and how long it took."""
    for guard, before, after in zip(work.program.guards, work.before.guards, work.found.guards, strict=True):
        old, new = before.mark, after.mark
        if new is old or isinstance(guard, PermitGuard):
            continue
        if old.begun_at is not None and new.begun_at != old.begun_at:
            body = {
                "mark": str(old.reason),
                "signal": guard.signal_name,
                "lasted_s": round(work.now.mono - old.begun_at, 1),
                "in_24_h_s": round(marked_in_window_s(new, work.now), 1),
            }
            work.events.append(Event(Kind.EVENT, "mark-ended", guard.name, body))
        if new.begun_at is not None and new.begun_at != old.begun_at:
            body = {
                "mark": str(new.reason),
                "signal": guard.signal_name,
                "by": f"instrument:{guard.signal_name.partition('.')[0]}",
                "in_24_h_s": round(marked_in_window_s(new, work.now), 1),
                "at_most_s": guard.mark_cap.period,
                "at_most_in_24_h_s": guard.mark_cap.day,
            }
            work.events.append(Event(Kind.EVENT, "mark-began", guard.name, body))


def permission(
    program: Program, unit: DispenserUnit, level: LevelState, trip: TripState, found: Findings
) -> Permission:
    """What a dispenser may do, with the weightiest cause of what it may not."""
    run: Cause | None = trip.cause
    hold: Cause | None = None
    for g in unit.guards:
        guard = found.guards[g]
        if guard.verdict >= Verdict.HOLD and program.guards[g].name in found.bypassed:
            continue
        if guard.verdict >= Verdict.UNKNOWN:
            run = run or guard.cause
        elif guard.verdict is Verdict.HOLD:
            hold = hold or guard.cause
    run = run or next((cause for i in unit.interlocks if (cause := interlocked(program, found, i))), None)
    run = run or level.forbids_run or next(iter(faults(unit, found)), None)
    refused = next((cause for i in unit.permissives if (cause := found.permissives[i].refuses)), None)
    return Permission(run or hold or level.forbids_start or refused, run)


def interlocked(program: Program, found: Findings, index: int) -> Cause | None:
    """What an interlock forbids now, and why; nothing while it is bypassed."""
    acts = found.interlocks[index].acts
    return None if acts is None or program.interlocks[index].name in found.bypassed else acts


def not_resettable(program: Program, unit: DispenserUnit, found: Findings, now: Instant) -> Cause | None:
    """Why a trip cannot be reset now, or ``None``: guards clear on fresh good data, and nothing stands that trips.

    A guard is asked though it is bypassed, since the water is what it is; an interlock is not.
    """
    for g in unit.guards:
        cause = program.guards[g].not_clear(found.guards[g], now)
        if cause is not None:
            return cause
    for i in unit.tripped_by:
        cause = program.interlocks[i].not_clear(found.interlocks[i])
        if cause is not None and program.interlocks[i].name not in found.bypassed:
            return cause
    return next(iter(faults(unit, found)), None)
