"""Phase 3, after the dispensers: who draws water, which pumps of each group run, and what a pump has to wait for."""

from control.arbitration import Rank
from control.batch import BatchResult
from control.cause import Cause
from control.program import DispenserUnit
from control.pump_group import GroupInputs
from control.valve import Position
from control.work import Result, Work


def choose_pumps(work: Work) -> None:
    """Steps every group of pumps, by what the dispensers that draw from it want."""
    for group in work.program.pump_groups:
        drawing: Cause | None = None
        openings = 0.0
        for index, unit in enumerate(work.program.dispensers):
            if unit.group is not group or work.permissions[index].run is not None:
                continue
            result = work.results[index]
            if flows(result) and is_open(work, first_valve(unit, result)):
                drawing = drawing or result.cause
                openings += result.opening
        staging = group.staging
        value: float | None = openings
        if staging is not None and staging.signal is not None:
            value = work.image[staging.signal].number
        held = tuple(_held(work, len(work.program.valves) + place) for place in group.places)
        inputs = GroupInputs(drawing, value, work.found.pumps, held)
        work.pump_groups[group.place] = group.step(work.pump_groups[group.place], inputs, work.now)


def _held(work: Work, place: int) -> bool:
    """True when the last scan kept a pump off, whatever its group wanted."""
    last = work.before.outputs[place]
    return last.rank > Rank.SEQUENCE and last.value is not True


def pump_waits(work: Work, unit: DispenserUnit) -> Cause | None:
    """Why no pump of a dispenser may be started yet, or ``None``."""
    pumps = work.found.pumps
    if unit.pump is not None:
        return work.program.pumps[unit.pump].waits(pumps[unit.pump], work.now)
    if unit.group is not None:
        return unit.group.waits(work.pump_groups[unit.group.place], pumps, work.now)
    return None


def flows(result: Result) -> bool:
    """True when a dispenser wants water to flow."""
    return result.opening > 0 or (isinstance(result, BatchResult) and result.slow)


def first_valve(unit: DispenserUnit, result: Result) -> int:
    """The valve that opens a way before a pump is started."""
    slow = isinstance(result, BatchResult) and result.slow
    return unit.slow_valve if slow and unit.slow_valve is not None else unit.valve


def is_open(work: Work, valve: int) -> bool:
    """True when a valve has left closed."""
    return work.found.valves[valve].position not in (Position.CLOSED, Position.UNKNOWN)
