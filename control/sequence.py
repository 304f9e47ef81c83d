"""Phases 3 and 4, sequence and regulate: what every dispenser wants, under what protect allows."""

from control.batch import BatchDispenser, BatchInputs, BatchState, Quality
from control.cause import amount
from control.continuous import ContinuousDispenser, ContinuousState
from control.guard import FastGuard
from control.protect import permit_anew
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
                forbids, position = work.permissions[index].run, work.found.valves[unit.valve].position
                work.dispensers[index], holds = continuous.step(served, work.image, forbids, position, work.now)
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
    return BatchInputs(may.start, may.run, work.found.valves[unit.valve].position, quality)


def _quality(work: Work, g: int) -> Quality:
    guard, state = work.program.guards[g], work.found.guards[g]
    if isinstance(guard, FastGuard):
        value = work.image[guard.signal].number
    else:
        value = state.result_value
    limits = [amount(limit, guard.unit) for limit in (guard.low, guard.high) if limit is not None]
    return Quality(guard.parameter, guard.unit, " to ".join(limits), guard.limit_status, value, value, value, value)
