"""Phase 4, regulate: every loop takes one step, an outer one before the inner one that it gives a set-point.

What was really in force since the last scan goes back into each loop: of an actuator that somebody of higher rank has,
and, in a cascade, of an inner loop that does not listen (its set-point) or cannot follow (its measurement).
"""

from control.arbitration import Demand, Rank
from control.loop_state import FREE, LoopInputs, LoopState, Mode
from control.program import LoopUnit
from control.work import Work


def regulate(work: Work) -> None:
    """Steps every loop; after a gap between two scans none of them integrates."""
    dt_s = work.dt_s
    for index, unit in enumerate(work.program.loops):
        inputs = _inputs(work, unit, work.loops[index])
        work.loops[index], events = unit.loop.step(work.loops[index], work.image, inputs, dt_s, work.now)
        if events:
            work.events.extend(events)


def loop_demands(work: Work, outputs: list[Demand]) -> None:
    """Puts what the loops want into the outputs that nobody forces; the same demand as before where it is the same.

    What protect forbids a dispenser it forbids the loops that stop with it.
    """
    program, before = work.program, work.before.outputs
    for unit, state in zip(program.loops, work.loops, strict=True):
        stopped = unit.dispenser is not None and not _runs(work, unit.dispenser)
        forbidden = unit.dispenser is not None and work.permissions[unit.dispenser].run is not None
        rank = Rank.PROTECT if forbidden else Rank.REGULATE
        for output in unit.outputs:
            if outputs[output.place].rank > rank:
                continue
            safe, last = program.safe[output.place], before[output.place]
            value = safe.value if stopped else output.position(state.output)
            if last.value == value and last.cause is state.cause and last.rank is rank:
                outputs[output.place] = last
            else:
                outputs[output.place] = Demand(safe.tag, safe.signal, value, rank, state.cause)


def _runs(work: Work, dispenser: int) -> bool:
    return work.permissions[dispenser].run is None and work.results[dispenser].opening > 0


def _inputs(work: Work, unit: LoopUnit, state: LoopState) -> LoopInputs:
    outer = work.loops[unit.outer].output if unit.outer is not None else None
    if unit.dispenser is not None and not _runs(work, unit.dispenser):
        stopped = work.permissions[unit.dispenser].run or work.results[unit.dispenser].cause
        return LoopInputs(outer, stopped=stopped)
    if unit.inner is not None:
        inner = work.loops[unit.inner]
        if inner.chosen.mode is not Mode.CASCADE or inner.tune is not None:
            return LoopInputs(outer, taken=inner.cause, in_force=inner.setpoint)
        if inner.limited is not None:
            measured = work.image[work.program.loops[unit.inner].loop.pv].number
            return LoopInputs(outer, held=inner.limited, in_force=measured)
    for output in unit.outputs:
        last = work.before.outputs[output.place]
        if last.rank > Rank.REGULATE:
            position = last.value if isinstance(last.value, float) else 0.0
            return LoopInputs(outer, taken=last.cause, in_force=output.output(position))
    return FREE if outer is None else LoopInputs(outer)
