"""Allocation in the scan: what every off-take wants goes in, what it may take comes out, before anything is ordered.

What a dispenser wants is what it is asked for, unless protect forbids it to run: then its water goes to the others.
"""

from control.allocation import AllocationState, Grant, OffTake, Want
from control.batch import BatchDispenser
from control.cause import to_json
from control.continuous import ContinuousDispenser, ContinuousState
from control.continuous import Phase as Pipe
from control.event import Event, Kind
from control.fill import BatchState
from control.fill_phase import ENDING, Phase
from control.program import Program
from control.work import Work

NOTHING = Want(0.0)


def allocate(work: Work) -> None:
    """Divides what is available; done again when an order was accepted, so that two orders never count on one water."""
    program, state = work.program, work.allocation
    if program.allocation is None or state is None:
        return
    wants = tuple(
        _want(work, index, off_take)
        for index, off_take in zip(program.off_takes, program.allocation.off_takes, strict=True)
    )
    before = work.before.allocation
    after = program.allocation.step(state, work.image, wants, work.dt_s if state is before else 0.0, work.now)
    for off_take, old, new in zip(program.allocation.off_takes, state.grants, after.grants, strict=True):
        if (old.out_since is None) is not (new.out_since is None):
            body = {"granted_m3h": round(new.flow_m3h, 3), "why": to_json(new.why) if new.why is not None else None}
            name = "allocated-again" if new.out_since is None else "allocated-nothing"
            work.events.append(Event(Kind.EVENT, name, off_take.tag, body))
    work.allocation = after


def granted(program: Program, state: AllocationState | None, dispenser: int) -> Grant | None:
    """What a dispenser may take; ``None`` for one that takes no part."""
    if state is None or dispenser not in program.off_takes:
        return None
    return state.grants[program.off_takes.index(dispenser)]


def _want(work: Work, index: int, off_take: OffTake) -> Want:
    unit, may = work.program.dispensers[index], work.permissions[index]
    match unit.dispenser, work.dispensers[index]:
        case BatchDispenser(), BatchState() as state:
            open_order = state.phase not in (Phase.IDLE, Phase.RECEIPT, *ENDING)
            if open_order:
                # Accepted is begun: the tanker stands there, and its fill may start in any scan.
                return Want(off_take.most_m3h, begun=True)
            return Want(0.0, would_take_m3h=off_take.most_m3h)
        case ContinuousDispenser() as continuous, ContinuousState() as served:
            wanted, forbids = continuous.wanted(served), may.start if served.phase is Pipe.STOPPED else may.run
            if forbids is not None or wanted <= 0:
                return NOTHING
            if continuous.control == "flow":
                return Want(wanted)
            return Want(off_take.most_m3h)
        case _:
            raise AssertionError(f"{unit.tag}: state of another mode")
