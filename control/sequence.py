"""Phases 3 and 4, sequence and regulate: what every dispenser wants, under what protect allows."""

from config.sample import NOT_YET_READ, hj212_flag
from control.allocate import granted
from control.batch import BatchDispenser, BatchInputs
from control.continuous import ContinuousDispenser, ContinuousInputs, ContinuousState
from control.continuous import Phase as ContinuousPhase
from control.fill import BatchState
from control.fill_quality import QualityReading
from control.guard import FastGuard, PermitGuard
from control.program import DispenserUnit
from control.protect import permit_anew
from control.pumping import pump_waits
from control.valve import Position
from control.work import Work


def dispense(work: Work) -> None:
    """Steps every dispenser; a trip that one raises holds in the same scan."""
    for index, unit in enumerate(work.program.dispensers):
        match unit.dispenser, work.dispensers[index]:
            case BatchDispenser() as batch, BatchState() as state:
                inputs = batch_inputs(work, index, state)
                work.dispensers[index], filled = batch.step(state, work.image, inputs, work.now)
                trip, events = filled.trip, filled.events
                work.results.append(filled)
            case ContinuousDispenser() as continuous, ContinuousState() as served:
                may = work.permissions[index]
                stopped = served.phase is ContinuousPhase.STOPPED
                forbids = may.start or pump_waits(work, unit) if stopped else may.run
                share = granted(work.program, work.allocation, index)
                most, why = (share.flow_m3h, share.why) if share is not None else (None, None)
                pipe = ContinuousInputs(forbids, position(work, unit), most, why)
                work.dispensers[index], holds = continuous.step(served, work.image, pipe, work.now)
                trip, events = holds.trip, holds.events
                work.results.append(holds)
            case _:
                raise AssertionError(f"{unit.tag}: state of another mode")
        work.events.extend(events)
        if work.latch(index, trip):
            permit_anew(work, index)


def batch_inputs(work: Work, index: int, state: BatchState) -> BatchInputs:
    """What the step of a batch dispenser sees besides the image."""
    unit, may = work.program.dispensers[index], work.permissions[index]
    quality = tuple(_quality(work, g) for g in unit.guards) if state.order is not None else ()
    share = granted(work.program, work.allocation, index)
    start = may.start or (share.why if share is not None else None)
    by_hand, waits = _by_hand(work, unit), pump_waits(work, unit)
    return BatchInputs(start, may.run, position(work, unit), quality, by_hand, waits)


def _by_hand(work: Work, unit: DispenserUnit) -> tuple[str, ...]:
    """What people force on the equipment and signals of a dispenser, or have taken out of its guards, with who."""
    if not work.overrides and not work.bypasses.standing:
        return ()
    program = work.program
    places = [unit.valve, *([unit.slow_valve] if unit.slow_valve is not None else [])]
    own = {program.valves[place].tag for place in places} | {program.guards[g].name for g in unit.guards}
    own |= {program.guards[g].signal_name for g in unit.guards}
    own |= {unit.dispenser.flow_name, unit.dispenser.meter.total_name}
    if unit.pump is not None:
        own.add(program.pumps[unit.pump].tag)
    if unit.group is not None:
        own |= {pump.tag for pump in unit.group.pumps}
    forced = [(one.target, one.by, one.reason) for one in work.overrides]
    taken_out = [(one.target, one.by, one.reason) for one in work.bypasses.standing]
    return tuple(f"{target} by {by}: {reason}" for target, by, reason in (*forced, *taken_out) if target in own)


def position(work: Work, unit: DispenserUnit) -> Position:
    """Where the valves of a dispenser are: closed only when each is proved closed, unknown when one is."""
    main = work.found.valves[unit.valve].position
    if unit.slow_valve is None:
        return main
    slow = work.found.valves[unit.slow_valve].position
    if Position.UNKNOWN in (main, slow):
        return Position.UNKNOWN
    return main if main is slow else Position.BETWEEN


def _quality(work: Work, g: int) -> QualityReading:
    guard, state = work.program.guards[g], work.found.guards[g]
    sample = work.image[guard.signal] if guard.signal is not None else NOT_YET_READ
    value, seen_at = state.result_value, state.result_at
    flag = hj212_flag(sample.reason)
    if isinstance(guard, FastGuard):
        value, seen_at = sample.number, sample.received
    elif isinstance(guard, PermitGuard):
        flag = "S" if state.local else "N"
    age_s = work.now.mono - seen_at if value is not None and seen_at is not None else None
    if not isinstance(guard, FastGuard) and state.result_time is not None and age_s is not None:
        # A record tells how old the water is that was analysed, not how long its result has been known.
        age_s = max(work.now.utc - state.result_time, 0.0)
    return QualityReading(value, flag, int(state.verdict), state.verdict.name.lower(), age_s)
