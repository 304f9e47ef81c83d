"""Another meter in the place of the old one: the count is carried over, and the difference is booked as no water.

Only a person on site can say so, with what the new register reads and why. It is refused while an order is open or an
account not closed, while the valve is not proved closed, while water flows, and when the new meter, if it is read
already, sends something else. It is best said while the old meter is off and the new one not yet read: until then a
register that goes on from another number is an alarm of its own (``meter.py``).

What was learned of the old meter is forgotten: the pre-act, and that flow and totaliser disagreed.
"""

from dataclasses import replace
from math import nan

from control.batch import BatchDispenser
from control.cause import Cause, amount
from control.code import Code
from control.command import Command
from control.continuous import ContinuousDispenser, ContinuousState, Phase
from control.fill import BatchState
from control.valve import Position
from control.work import Work


def meter_replaced(work: Work, command: Command) -> Cause | None:
    """Obeys the command, whose ``value`` is what the new register reads in m3; returns why it refuses."""
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    dispenser, state = work.program.dispensers[index].dispenser, work.dispensers[index]
    reads_m3 = float(command.value) if isinstance(command.value, int | float) else nan
    refusal = (
        _not_by_a_person(command)
        or _in_use(state, command.target)
        or _water_may_flow(work, index, dispenser)
        or dispenser.meter.refusal(state.meter, reads_m3, work.image)
    )
    if refusal is not None:
        return refusal
    meter, event = dispenser.meter.replaced(state.meter, reads_m3, work.image, command.source, command.reason, work.now)
    work.events.append(event)
    match state:
        case BatchState():
            work.dispensers[index] = replace(state, meter=meter, overruns_m3=(), disagrees=None)
        case ContinuousState():
            account = replace(state.account, start_m3=meter.total_m3)
            work.dispensers[index] = replace(state, meter=meter, account=account, disagrees=None)
    return None


def _not_by_a_person(command: Command) -> Cause | None:
    if not command.local:
        return Cause(Code.REPLACED_ONLY_LOCAL, command.target)
    return Cause(Code.REASON_MISSING, command.target) if not command.reason.strip() else None


def _in_use(state: BatchState | ContinuousState, tag: str) -> Cause | None:
    match state:
        case BatchState():
            return Cause(Code.BUSY, tag, (state.order.id,)) if state.order is not None else None
        case ContinuousState():
            supplies = state.phase is not Phase.STOPPED or state.account.served_m3 > 0
            return Cause(Code.SUPPLY_GOES_ON, tag) if supplies else None


def _water_may_flow(work: Work, index: int, dispenser: BatchDispenser | ContinuousDispenser) -> Cause | None:
    position = work.found.valves[work.program.dispensers[index].valve].position
    if position is not Position.CLOSED:
        return Cause(Code.VALVE_UNKNOWN, dispenser.tag, (f"{position}, not proved closed",))
    flow = work.image[dispenser.flow].number
    # A meter that is off tells no flow; then the closed valve has to do.
    if flow is not None and flow >= dispenser.watch.none_below_m3h:
        return Cause(Code.WATER_FLOWS, dispenser.tag, (amount(flow, "m3/h"),))
    return None
