"""Phase 5, arbitrate: one demand per actuator, the one of highest rank; protect outranks all."""

from dataclasses import replace

from control.arbitration import Demand, Rank, strongest
from control.batch import BatchResult
from control.cause import Cause
from control.code import Code
from control.program import DispenserUnit
from control.regulate import loop_demands
from control.response import closes_fast
from control.valve import Position
from control.work import Result, Work


def arbitrate(work: Work) -> None:
    """The output of every actuator, in the order of ``program.safe``."""
    program = work.program
    outputs = _by_hand(work)
    loop_demands(work, outputs)
    for index, unit in enumerate(program.dispensers):
        result, forbids = work.results[index], work.permissions[index].run
        fast = result.fast or closes_fast(work.trips[index])
        rank = Rank.SEQUENCE if isinstance(result, BatchResult) else Rank.REGULATE
        valve = program.valves[unit.valve]
        wanted = Demand(valve.tag, valve.output, valve_value(valve.position, result.opening), rank, result.cause)
        demand = _under_protect(outputs[unit.valve], wanted, program.safe[unit.valve], forbids)
        outputs[unit.valve] = _gently(work, unit.valve, demand, fast)
        if unit.slow_valve is not None and isinstance(result, BatchResult):
            slow = program.valves[unit.slow_valve]
            opening = 100.0 if result.slow else 0.0
            wanted = Demand(slow.tag, slow.output, valve_value(slow.position, opening), rank, result.cause)
            demand = _under_protect(outputs[unit.slow_valve], wanted, program.safe[unit.slow_valve], forbids)
            outputs[unit.slow_valve] = _gently(work, unit.slow_valve, demand, fast)
        if unit.pump is not None:
            place = len(program.valves) + unit.pump
            running = _pump_wanted(work, unit, unit.pump, rank, result)
            forbids = forbids or _against_closed(work, unit, outputs[place])
            outputs[place] = _under_protect(outputs[place], running, program.safe[place], forbids)
    _interlock(work, outputs)
    work.outputs = tuple(outputs)


def _by_hand(work: Work) -> list[Demand]:
    """What people force, and the safe position of every other actuator."""
    outputs = list(work.program.safe)
    for one in work.overrides:
        if one.is_output:
            safe = outputs[one.place]
            outputs[one.place] = Demand(safe.tag, safe.signal, one.value, Rank.OVERRIDE, one.cause)
    return outputs


def _interlock(work: Work, outputs: list[Demand]) -> None:
    """Forces safe what interlocks close and stop, and holds back the start of a pump that is not permitted."""
    program, found = work.program, work.found
    for interlock, state in zip(program.interlocks, found.interlocks, strict=True):
        if state.acts is not None:
            for place in interlock.actuators:
                outputs[place] = _held_safe(outputs[place], program.safe[place], state.acts)
    for permissive, refusing in zip(program.permissives, found.permissives, strict=True):
        if refusing.refuses is not None:
            for pump in permissive.pumps:
                place = len(program.valves) + pump
                if outputs[place].value is True and not found.pumps[pump].commanded:
                    outputs[place] = _held_safe(outputs[place], program.safe[place], refusing.refuses)


def _held_safe(standing: Demand, safe: Demand, forbids: Cause) -> Demand:
    return strongest([standing, Demand(safe.tag, safe.signal, safe.value, Rank.PROTECT, forbids)])


def _under_protect(standing: Demand, wanted: Demand, safe: Demand, forbids: Cause | None) -> Demand:
    if forbids is None:
        return strongest([standing, wanted])
    return strongest([standing, wanted, Demand(safe.tag, safe.signal, safe.value, Rank.PROTECT, forbids)])


def _against_closed(work: Work, unit: DispenserUnit, standing: Demand) -> Cause | None:
    """Why a pump that is forced on may not run: against a closed valve it would be damaged."""
    forced_on = standing.rank is Rank.OVERRIDE and standing.value is True
    if not forced_on or work.found.valves[unit.valve].position not in (Position.CLOSED, Position.UNKNOWN):
        return None
    return Cause(Code.VALVE_FIRST, standing.tag, (work.program.valves[unit.valve].tag,), standing.cause)


def _gently(work: Work, place: int, demand: Demand, fast: bool) -> Demand:
    """The demand on a valve, on its way to closed no faster than its pipe bears."""
    if not isinstance(demand.value, float):
        return demand
    valve, state = work.program.valves[place], work.found.valves[place]
    opening = valve.lowered(state, demand.value, fast, work.now)
    return demand if opening == demand.value else replace(demand, value=opening)


def valve_value(position: int | None, opening: float) -> bool | float:
    """What is written to a valve: a motor valve's coil, or a modulating valve's percent."""
    return opening > 0 if position is None else opening


def _pump_wanted(work: Work, unit: DispenserUnit, p: int, rank: Rank, result: Result) -> Demand:
    """The valve opens first; the pump starts once it has left closed."""
    pump = work.program.pumps[p]
    slow = isinstance(result, BatchResult) and result.slow
    first = unit.slow_valve if slow and unit.slow_valve is not None else unit.valve
    flows = slow or result.opening > 0
    waits = flows and work.found.valves[first].position in (Position.CLOSED, Position.UNKNOWN)
    valve = work.program.valves[first]
    cause = Cause(Code.VALVE_FIRST, pump.tag, (valve.tag,), result.cause) if waits else result.cause
    return Demand(pump.tag, pump.output, flows and not waits, rank, cause)
