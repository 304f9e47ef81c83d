"""Commands: what people and the platform ask is accepted or refused with its reason, and recorded either way.

They are obeyed after protect has judged, so that a refusal rests on what is known in this very scan.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from control.batch import ENDING, BatchDispenser, BatchState
from control.batch import Phase as BatchPhase
from control.cause import Cause, root, to_json
from control.code import Code
from control.command import Answer, Command, Op
from control.continuous import ContinuousDispenser, ContinuousState
from control.event import Event, Kind
from control.guard import reset
from control.protect import not_resettable, permit_anew
from control.sequence import batch_inputs
from control.trip import TripState
from control.work import Work


def obey(work: Work, command: Command) -> Answer:
    """Accepts or refuses one command, and records it either way."""
    refusal = _OBEY[command.op](work, command)
    body: dict[str, Any] = {
        "id": command.id,
        "op": str(command.op),
        "source": command.source,
        "accepted": refusal is None,
        "refusal": to_json(refusal) if refusal is not None else None,
        **command.arguments(),
    }
    work.events.append(Event(Kind.COMMAND, str(command.op), command.target, body))
    return Answer(command, refusal)


def _order(work: Work, command: Command) -> Cause | None:
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, state = work.program.dispensers[index], work.dispensers[index]
    if not isinstance(unit.dispenser, BatchDispenser) or not isinstance(state, BatchState):
        return _wrong_mode(work, index, command)
    refusal = unit.dispenser.refusal(state, command, batch_inputs(work, index, state))
    if refusal is None:
        work.dispensers[index] = unit.dispenser.accept(state, command, work.now)
    return refusal


def _cancel(work: Work, command: Command) -> Cause | None:
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, state = work.program.dispensers[index], work.dispensers[index]
    if not isinstance(unit.dispenser, BatchDispenser) or not isinstance(state, BatchState):
        return _wrong_mode(work, index, command)
    if state.order is None or state.phase in ENDING or state.phase is BatchPhase.RECEIPT:
        return Cause(Code.NOTHING_TO_CANCEL, unit.tag)
    work.dispensers[index] = unit.dispenser.cancel(state, command.source, work.now)
    return None


def _setpoint(work: Work, command: Command) -> Cause | None:
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, state = work.program.dispensers[index], work.dispensers[index]
    if not isinstance(unit.dispenser, ContinuousDispenser) or not isinstance(state, ContinuousState):
        return _wrong_mode(work, index, command)
    refusal = unit.dispenser.refusal(command)
    if refusal is None:
        work.dispensers[index] = replace(state, setpoint_m3h=command.flow_m3h)
    return refusal


def _reset(work: Work, command: Command) -> Cause | None:
    """A person's act, taken only when every guard is clear on fresh good data and no fault stands."""
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, trip = work.program.dispensers[index], work.trips[index]
    if trip.cause is None:
        return Cause(Code.NOT_TRIPPED, unit.tag)
    if unit.reset == "local" and not command.local:
        return Cause(Code.RESET_ONLY_LOCAL, unit.tag)
    standing = not_resettable(work.program, unit, work.found, work.now)
    if standing is not None:
        return Cause(Code.FAULT_STANDS, unit.tag, (), standing)
    own = set(unit.guards)
    guards = tuple(reset(state) if i in own else state for i, state in enumerate(work.found.guards))
    work.found = replace(work.found, guards=guards)
    work.trips[index] = TripState()
    permit_anew(work, index)
    body = {"by": command.source, "first_out": to_json(root(trip.cause)), "tripped_utc": trip.since_utc}
    work.events.append(Event(Kind.EVENT, "reset", unit.tag, body))
    return None


def _wrong_mode(work: Work, index: int, command: Command) -> Cause:
    unit = work.program.dispensers[index]
    mode = "batch" if isinstance(unit.dispenser, BatchDispenser) else "continuous"
    return Cause(Code.WRONG_MODE, unit.tag, (mode, str(command.op)))


_OBEY: Final[dict[Op, Callable[[Work, Command], Cause | None]]] = {
    Op.ORDER: _order,
    Op.CANCEL: _cancel,
    Op.RESET: _reset,
    Op.SETPOINT: _setpoint,
}
"""What obeys each command: it returns why it refuses, or ``None`` when it has done what was asked."""
