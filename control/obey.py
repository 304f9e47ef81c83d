"""Commands: what people and the platform ask is accepted or refused with its reason, and recorded either way.

They are obeyed after protect has judged, so that a refusal rests on what is known in this very scan.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from control import annunciator, bypass, override, proof_test
from control.allocate import allocate
from control.batch import BatchDispenser
from control.cause import Cause, root, to_json
from control.code import Code
from control.command import Answer, Command, Op
from control.continuous import ContinuousDispenser, ContinuousState
from control.event import Event, Kind
from control.fill import BatchState
from control.guard import PermitGuard, reset
from control.loop import Loop
from control.loop_command import begin_tune, choose_mode, choose_output, choose_setpoint
from control.loop_state import LoopState
from control.meter_replacement import meter_replaced
from control.protect import not_resettable, permit_anew, trip
from control.pump_service import put_back, rotate, take_out
from control.quota import Span
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
    found = _batch(work, command)
    if isinstance(found, Cause):
        return found
    index, batch, state = found
    refusal = _filled_elsewhere(work, index, command)
    refusal = refusal or batch.refusal(state, command, batch_inputs(work, index, state), work.now)
    if refusal is None:
        work.dispensers[index] = batch.accept(state, command, work.now)
        allocate(work)
    return refusal


def _filled_elsewhere(work: Work, index: int, command: Command) -> Cause | None:
    """An order is for the station: one that another dispenser has taken is not filled here once more."""
    for i, other in enumerate(work.dispensers):
        if i != index and isinstance(other, BatchState) and command.order_id in other.seen_orders:
            return Cause(Code.ORDER_SEEN, work.program.dispensers[i].tag, (command.order_id,))
    return None


def _cancel(work: Work, command: Command) -> Cause | None:
    found = _batch(work, command)
    if isinstance(found, Cause):
        return found
    index, batch, state = found
    work.dispensers[index], refusal = batch.cancel(state, command.source, work.now)
    return refusal


def _start(work: Work, command: Command) -> Cause | None:
    """In place of the button at the arm, and so only by a person who is there."""
    found = _batch(work, command)
    if isinstance(found, Cause):
        return found
    index, batch, state = found
    if not command.local:
        return Cause(Code.ONLY_LOCAL, batch.tag)
    work.dispensers[index], refusal = batch.start(state)
    return refusal


def _pre_act_reset(work: Work, command: Command) -> Cause | None:
    found = _batch(work, command)
    if isinstance(found, Cause):
        return found
    index, batch, state = found
    if not command.reason.strip():
        return Cause(Code.REASON_MISSING, batch.tag)
    body = {"by": command.source, "reason": command.reason, "overruns_m3": [round(v, 6) for v in state.overruns_m3]}
    work.events.append(Event(Kind.EVENT, "pre-act-reset", batch.tag, body))
    work.dispensers[index] = batch.forget_overruns(state)
    return None


def _setpoint(work: Work, command: Command) -> Cause | None:
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, state = work.program.dispensers[index], work.dispensers[index]
    if not isinstance(unit.dispenser, ContinuousDispenser) or not isinstance(state, ContinuousState):
        return _wrong_mode(work, index, command)
    work.dispensers[index], refusal = unit.dispenser.commanded(state, command)
    return refusal


def _quota(work: Work, command: Command) -> Cause | None:
    """Another limit than the site file's, with its reason; a volume below nil gives the site file's back."""
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, state = work.program.dispensers[index], work.dispensers[index]
    quota, span = unit.dispenser.quota, str(command.value)
    if quota is None:
        return Cause(Code.NO_SUCH_QUOTA, unit.tag, (span[:40],))
    limit = None if command.volume_m3 < 0 else command.volume_m3
    changed, refusal = quota.changed(state.quota, span, limit, command.source, command.reason)
    if refusal is not None:
        return refusal
    was, now = (quota.limit_m3(Span(span), one) for one in (state.quota, changed))
    body = {"by": command.source, "reason": command.reason, "span": span, "was_m3": was, "limit_m3": now}
    work.events.append(Event(Kind.EVENT, "quota-changed", unit.tag, body))
    work.dispensers[index] = replace(state, quota=changed)
    return None


def _batch(work: Work, command: Command) -> tuple[int, BatchDispenser, BatchState] | Cause:
    """The batch dispenser that a command is about, or why there is none."""
    index = work.program.dispenser_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, state = work.program.dispensers[index], work.dispensers[index]
    if not isinstance(unit.dispenser, BatchDispenser) or not isinstance(state, BatchState):
        return _wrong_mode(work, index, command)
    return index, unit.dispenser, state


def _reset(work: Work, command: Command) -> Cause | None:
    """A person's act, taken only when every guard is clear on fresh good data and no fault stands.

    A latched alarm is reset likewise, by its id.
    """
    index = work.program.dispenser_index.get(command.target)
    if index is None and command.target in work.program.alarms.index:
        return _alarms(work, command)
    if index is None:
        return Cause(Code.NO_SUCH_DISPENSER, command.target)
    unit, tripped = work.program.dispensers[index], work.trips[index]
    if tripped.cause is None:
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
    body = {
        "by": command.source,
        "first_out": to_json(root(tripped.cause)),
        "also": [to_json(cause) for cause in tripped.later],
        "tripped_utc": tripped.since_utc,
    }
    work.events.append(Event(Kind.EVENT, "reset", unit.tag, body))
    return None


def _force(work: Work, command: Command) -> Cause | None:
    refusal = override.refusal(work.program.overrides, command)
    if refusal is None:
        work.overrides, events = override.force(work.overrides, work.program.overrides, command, work.now)
        work.events += events
    return refusal


def _release(work: Work, command: Command) -> Cause | None:
    released = override.release(work.overrides, command, work.now)
    if isinstance(released, Cause):
        return released
    work.overrides, events = released
    work.events += events
    return None


def _bypass(work: Work, command: Command) -> Cause | None:
    refusal = bypass.refusal(work.program.bypasses, work.bypasses, command, work.now)
    if refusal is None:
        work.bypasses, event = bypass.begin(work.bypasses, command, work.now)
        work.events.append(event)
        _permit_all_anew(work)
    return refusal


def _end_bypass(work: Work, command: Command) -> Cause | None:
    ended = bypass.end(work.bypasses, command, work.now)
    if isinstance(ended, Cause):
        return ended
    work.bypasses, event = ended
    work.events.append(event)
    _permit_all_anew(work)
    return None


def _proof_test(work: Work, command: Command) -> Cause | None:
    g = work.program.guard_index.get(command.target)
    if g is None:
        return Cause(Code.NO_SUCH_GUARD, command.target)
    index = next(i for i, unit in enumerate(work.program.dispensers) if g in unit.guards)
    guard, known = work.program.guards[g], work.found.guards[g]
    position = work.found.valves[work.program.dispensers[index].valve].position
    if command.target in work.found.bypassed:
        return Cause(Code.BYPASSED_ALREADY, command.target)
    if work.trips[index].cause is not None:
        return work.trips[index].cause
    refusal = proof_test.refusal(work.proof, guard, known.verdict, position, command)
    if refusal is None:
        work.proof = proof_test.begin(work.proof, guard, g, index, known, command, work.now)
    return refusal


def _sign_off(work: Work, command: Command) -> Cause | None:
    signed = proof_test.sign(work.proof, command, work.now)
    if isinstance(signed, Cause):
        return signed
    work.proof, event = signed
    work.events.append(event)
    return None


def _permit_all_anew(work: Work) -> None:
    """What a function forbids is asked again, now that it was taken out or put back."""
    work.found = replace(work.found, bypassed=bypass.names(work.bypasses))
    for index in range(len(work.program.dispensers)):
        trip(work, index)
        permit_anew(work, index)


def _of_loop(
    work: Work, command: Command, ask: Callable[[Loop, LoopState, Command], LoopState | Cause]
) -> Cause | None:
    index = work.program.loop_index.get(command.target)
    if index is None:
        return Cause(Code.NO_SUCH_LOOP, command.target)
    done = ask(work.program.loops[index].loop, work.loops[index], command)
    if isinstance(done, Cause):
        return done
    work.loops[index] = done
    return None


def _mode(work: Work, command: Command) -> Cause | None:
    return _of_loop(work, command, choose_mode)


def _loop_setpoint(work: Work, command: Command) -> Cause | None:
    return _of_loop(work, command, choose_setpoint)


def _loop_output(work: Work, command: Command) -> Cause | None:
    return _of_loop(work, command, choose_output)


def _tune(work: Work, command: Command) -> Cause | None:
    return _of_loop(work, command, lambda loop, state, asked: begin_tune(loop, state, work.image, asked, work.now))


def _alarms(work: Work, command: Command) -> Cause | None:
    work.alarms, events, refusal = annunciator.obey(work.program.alarms, work.alarms, command, work.now)
    work.events += events
    return refusal


def _permit(work: Work, command: Command) -> Cause | None:
    """A quality permit of the plant upstream, or that it is withdrawn: then the trip holds in this scan."""
    g = work.program.guard_index.get(command.target)
    guard = work.program.guards[g] if g is not None else None
    if g is None or not isinstance(guard, PermitGuard):
        return Cause(Code.NO_SUCH_PERMIT, command.target)
    state = work.found.guards[g]
    refusal = guard.refusal(state, command, work.now)
    if refusal is not None:
        return refusal
    after = guard.accept(state, command, work.now)
    guards = tuple(after if i == g else other for i, other in enumerate(work.found.guards))
    work.found = replace(work.found, guards=guards)
    for index, unit in enumerate(work.program.dispensers):
        if g in unit.guards:
            trip(work, index)
            permit_anew(work, index)
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
    Op.START: _start,
    Op.QUOTA: _quota,
    Op.PRE_ACT_RESET: _pre_act_reset,
    Op.METER_REPLACED: meter_replaced,
    Op.FORCE: _force,
    Op.RELEASE: _release,
    Op.BYPASS: _bypass,
    Op.END_BYPASS: _end_bypass,
    Op.MODE: _mode,
    Op.LOOP_SETPOINT: _loop_setpoint,
    Op.LOOP_OUTPUT: _loop_output,
    Op.TUNE: _tune,
    Op.ACK: _alarms,
    Op.SHELVE: _alarms,
    Op.UNSHELVE: _alarms,
    Op.OUT_OF_SERVICE: _alarms,
    Op.IN_SERVICE: _alarms,
    Op.PUMP_OUT_OF_SERVICE: take_out,
    Op.PUMP_IN_SERVICE: put_back,
    Op.ROTATE: rotate,
    Op.PROOF_TEST: _proof_test,
    Op.SIGN_OFF: _sign_off,
    Op.PERMIT: _permit,
}
"""What obeys each command: it returns why it refuses, or ``None`` when it has done what was asked."""
