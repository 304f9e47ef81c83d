"""What a person does about pumps: takes one out of service, puts it back, hands a run over to another pump."""

from dataclasses import replace

from control.cause import Cause
from control.code import Code
from control.command import Command
from control.event import Event, Kind
from control.work import Work


def take_out(work: Work, command: Command) -> Cause | None:
    """Out of service: it is stopped and not started until it is put back. Needs a reason."""
    place = _pump(work, command.target)
    if place is None:
        return Cause(Code.NO_SUCH_PUMP, command.target)
    if not command.reason.strip():
        return Cause(Code.REASON_MISSING, command.target)
    _put(work, command, place, out=True)
    return None


def put_back(work: Work, command: Command) -> Cause | None:
    """Into service again; this also ends what a failure left behind, once it is mended."""
    place = _pump(work, command.target)
    if place is None:
        return Cause(Code.NO_SUCH_PUMP, command.target)
    state = work.found.pumps[place]
    if state.out is None and state.failed is None:
        return Cause(Code.PUMP_IN_SERVICE, command.target)
    _put(work, command, place, out=False)
    return None


def rotate(work: Work, command: Command) -> Cause | None:
    """The longest run of a group is handed over to another pump, which runs before the first stops."""
    group = next((one for one in work.program.pump_groups if one.tag == command.target), None)
    if group is None:
        return Cause(Code.NO_SUCH_GROUP, command.target)
    state, refusal = group.rotate(work.pump_groups[group.place], work.found.pumps, work.now)
    work.pump_groups[group.place] = state
    return refusal


def _pump(work: Work, tag: str) -> int | None:
    return next((i for i, pump in enumerate(work.program.pumps) if pump.tag == tag), None)


def _put(work: Work, command: Command, place: int, *, out: bool) -> None:
    pump, pumps = work.program.pumps[place], list(work.found.pumps)
    pumps[place] = pump.taken_out(pumps[place], command.source, command.reason) if out else pump.put_back(pumps[place])
    work.found = replace(work.found, pumps=tuple(pumps))
    name = "pump-out-of-service" if out else "pump-in-service"
    work.events.append(Event(Kind.EVENT, name, pump.tag, {"by": command.source, "reason": command.reason}))
