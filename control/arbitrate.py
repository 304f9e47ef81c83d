"""Phase 5, arbitrate: one demand per actuator, the one of highest rank; protect outranks all."""

from dataclasses import replace

from control.arbitration import Demand, Rank, strongest
from control.batch import BatchResult
from control.cause import Cause, amount
from control.code import Code
from control.program import DispenserUnit, Program
from control.protect import interlocked
from control.pump import Pump
from control.pump_group import PumpGroup
from control.pumping import first_valve, flows, is_open
from control.regulate import loop_demands
from control.response import closes_fast
from control.valve import REVERSAL_S, Position
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
    for group in program.pump_groups:
        _pumps_of_group(work, group, outputs)
    _interlock(work, outputs)
    for place in program.lone_valves:
        outputs[place] = _gently(work, place, outputs[place], fast=False)
    _speeds(work, outputs)
    _limits(work, outputs)
    _second_commands(work, outputs)
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
    for index, interlock in enumerate(program.interlocks):
        acts = interlocked(program, found, index)
        if acts is not None:
            for place in interlock.actuators:
                outputs[place] = _held_safe(outputs[place], program.safe[place], acts)
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
    """The valve opens first; the pump starts once it has left closed, and once its motor may be started."""
    pump, state = work.program.pumps[p], work.found.pumps[p]
    if not flows(result):
        return Demand(pump.tag, pump.output, False, rank, result.cause)
    first = first_valve(unit, result)
    if not is_open(work, first):
        cause = Cause(Code.VALVE_FIRST, pump.tag, (work.program.valves[first].tag,), result.cause)
        return Demand(pump.tag, pump.output, False, rank, cause)
    waits = pump.waits(state, work.now)
    return Demand(pump.tag, pump.output, waits is None, rank, waits or result.cause)


def _pumps_of_group(work: Work, group: PumpGroup, outputs: list[Demand]) -> None:
    """The pumps that a group has chosen; a pump at fault, or one that is forced on with no way open, stays off."""
    program, state = work.program, work.pump_groups[group.place]
    drawers = [i for i, unit in enumerate(program.dispensers) if unit.group is group]
    forbids = [work.permissions[i].run for i in drawers]
    all_forbidden = forbids[0] if forbids and None not in forbids else None
    kept = state is work.before.pump_groups[group.place]
    for member, pump in enumerate(group.pumps):
        place = len(program.valves) + group.places[member]
        safe, last = program.safe[place], work.before.outputs[place]
        forbidden = work.found.pumps[group.places[member]].fault or (all_forbidden if state.cause is None else None)
        if forbidden is None and outputs[place].rank is Rank.OVERRIDE and _closed_to(work, pump):
            forbidden = Cause(Code.VALVE_FIRST, pump.tag, (program.valves[pump.path[0]].tag,), outputs[place].cause)
        if kept and last.rank is Rank.SEQUENCE and last.value is state.on[member]:
            wanted = last
        else:
            wanted = Demand(pump.tag, pump.output, state.on[member], Rank.SEQUENCE, _member_cause(work, group, member))
        outputs[place] = _under_protect(outputs[place], wanted, safe, forbidden)


def _member_cause(work: Work, group: PumpGroup, member: int) -> Cause:
    state = work.pump_groups[group.place]
    return group.cause(state, member) if state.cause is not None else Cause(Code.GROUP_AT_REST, group.tag)


def _closed_to(work: Work, pump: Pump) -> bool:
    return not any(is_open(work, valve) for valve in pump.path)


def _speeds(work: Work, outputs: list[Demand]) -> None:
    """A drive has no speed while its pump is off; while it is on, that of its loop, or that of the site file."""
    program = work.program
    for p, pump in enumerate(program.pumps):
        if pump.speed is None:
            continue
        runs, speed = outputs[len(program.valves) + p], outputs[pump.speed]
        safe = program.safe[pump.speed]
        if runs.value is not True:
            if speed.rank <= runs.rank:
                outputs[pump.speed] = Demand(safe.tag, safe.signal, safe.value, runs.rank, runs.cause)
        elif speed.rank is Rank.SAFE_DEFAULT:
            cause = Cause(Code.PUMP_AT_SPEED, pump.tag, (), runs.cause)
            outputs[pump.speed] = Demand(safe.tag, safe.signal, pump.run_speed, Rank.SAFE_DEFAULT, cause)


def _limits(work: Work, outputs: list[Demand]) -> None:
    first = len(work.program.valves) + len(work.program.pumps)
    for place, analog in enumerate(work.program.analog_outputs, first):
        value = analog.limited(outputs[place].value)
        if value != outputs[place].value:
            outputs[place] = replace(outputs[place], value=value)


def _second_commands(work: Work, outputs: list[Demand]) -> None:
    """The close command of each valve with two; between open and close both rest."""
    program, now = work.program, work.now
    for v, place in program.close_places.items():
        valve, demand = program.valves[v], outputs[v]
        opens, closes = valve.drive(work.found.valves[v], now, opens=demand.value is True)
        if demand.value is True and not opens:
            turns = Cause(Code.VALVE_TURNS, valve.tag, (amount(REVERSAL_S, "s"),), demand.cause)
            outputs[v] = demand = replace(demand, value=False, cause=turns)
        outputs[place] = Demand(valve.tag, program.safe[place].signal, closes, demand.rank, demand.cause)


def at_stop(program: Program) -> tuple[Demand, ...]:
    """What is written when the controller ends: everything safe, and what is to stay where it is is left there.

    A positioned valve that stays is not written at all; one with two commands is given neither.
    """
    stays = {valve.tag for valve in program.valves if valve.stays}
    two = {program.valves[v].tag for v in program.close_places}
    return tuple(
        replace(demand, value=False) if demand.tag in two & stays else demand
        for demand in program.safe
        if demand.tag not in stays - two
    )


def closing(program: Program, outputs: tuple[Demand, ...], valve: int) -> bool:
    """Whether the close command of a valve is on; false for a valve with one command."""
    place = program.close_places.get(valve)
    return place is not None and outputs[place].value is True
