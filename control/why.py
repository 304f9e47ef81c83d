"""Why: the chain of causes behind whatever a station knows by a name, down to the reading it rests on."""

from dataclasses import dataclass
from typing import Any

from config.sample import Sample, Value
from control.alarm import AlarmState
from control.allocate import granted
from control.cause import Cause, amount, chain, reason_text, sentence
from control.expression import Situation
from control.fill import BatchState
from control.guard import warnings
from control.instant import Instant
from control.interlock import Interlock, InterlockState, Permissive, PermissiveState
from control.program import Program
from control.protect import permission
from control.state import ScanState, findings


@dataclass(frozen=True, slots=True)
class Answer:
    """``state``: what it is now, in words; ``causes``: the chain, outermost first; ``beside``: what else to know.

    ``signals``: what it rests on where nothing is the cause.
    """

    subject: str
    state: str
    causes: tuple[Cause, ...]
    beside: tuple[Cause, ...] = ()
    signals: tuple[str, ...] = ()


def why(
    program: Program, state: ScanState, image: tuple[Sample, ...], name: str, now: Instant, digits: int = 10
) -> Answer | None:
    """The answer for an actuator, dispenser, loop, guard, interlock, permissive, alarm or signal.

    The number of a signal has ``digits`` that mean something. ``None`` for a name there is none of.
    """
    for demand in state.outputs:
        if demand.tag == name:
            valve = any(v.tag == name for v in program.valves)
            held = f"{_value_text(demand.value, valve=valve)}, demanded by {demand.rank.name.lower().replace('_', ' ')}"
            return Answer(name, held, tuple(chain(demand.cause)))
    index = program.dispenser_index.get(name)
    if index is not None:
        return _dispenser(program, state, index)
    loop = program.loop_index.get(name)
    if loop is not None:
        return _loop(program, state, image, loop)
    if name in program.signal_names:
        return _signal(program, image, program.signal_names.index(name), now, digits)
    guard = program.guard_index.get(name)
    if guard is not None:
        return _guard(program, state, guard)
    for interlock, stands in zip(program.interlocks, state.interlocks, strict=True):
        if interlock.name == name:
            return _interlock(interlock, stands, state, _situation(state, image, now))
    for permissive, refusing in zip(program.permissives, state.permissives, strict=True):
        if permissive.name == name:
            return _permissive(permissive, refusing, _situation(state, image, now))
    place = program.alarms.index.get(name)
    return _alarm(state.alarms.states.get(place) or program.alarms.alarms[place].at_rest()) if place else None


def _value_text(value: object, *, valve: bool) -> str:
    if isinstance(value, bool):
        return ("on" if value else "off") + ((" (open)" if value else " (closed)") if valve else "")
    return f"{value:.1f} %" if isinstance(value, float) else str(value)


def _dispenser(program: Program, state: ScanState, index: int) -> Answer:
    unit, dispenser = program.dispensers[index], state.dispensers[index]
    may = permission(program, unit, state.levels[index], state.trips[index], findings(state))
    text = str(dispenser.phase).replace("-", " ")
    beside = (
        *state.trips[index].later,
        *(cause for g in unit.guards for cause in warnings(state.guards[g])),
        *(cause for g in unit.guards for cause in _taken_out(state, program.guards[g].name)),
        *(cause for i in unit.interlocks for cause in _taken_out(state, program.interlocks[i].name)),
        *(concession.cause for concession in program.concessions if concession.dispenser == unit.tag),
    )
    if may.run is not None:
        return Answer(unit.tag, f"{text}; may not run", tuple(chain(may.run)), beside)
    share = granted(program, state.allocation, index)
    start = may.start or (share.why if share is not None and isinstance(dispenser, BatchState) else None)
    if start is not None:
        return Answer(unit.tag, f"{text}; may not start", tuple(chain(start)), beside)
    demand = next(d for d in state.outputs if d.tag == program.valves[unit.valve].tag)
    ready = isinstance(dispenser, BatchState) and dispenser.order is None
    return Answer(unit.tag, f"{text}; ready" if ready else text, tuple(chain(demand.cause)), beside)


def _loop(program: Program, state: ScanState, image: tuple[Sample, ...], index: int) -> Answer:
    loop, now = program.loops[index].loop, state.loops[index]
    pv = image[loop.pv].number
    figures = (
        f"{loop.pv_name} {_figure(pv, loop.unit)}",
        f"set-point {_figure(now.setpoint, loop.unit)}",
        f"output {_figure(now.output, loop.output_unit)}",
    )
    return Answer(loop.tag, f"{now.chosen.mode}; {', '.join(figures)}", tuple(chain(now.cause)))


def _guard(program: Program, state: ScanState, index: int) -> Answer:
    guard, now = program.guards[index], state.guards[index]
    held = now.verdict.name.lower()
    if now.mark.reason is not None:
        held += f"; marked {now.mark.reason}"
    beside = (*_taken_out(state, guard.name), *warnings(now))
    return Answer(guard.name, held, tuple(chain(now.cause)), beside, (guard.signal_name,))


def _taken_out(state: ScanState, name: str) -> tuple[Cause, ...]:
    return tuple(one.cause for one in state.bypasses.standing if one.target == name)


def _situation(state: ScanState, image: tuple[Sample, ...], now: Instant) -> Situation:
    return Situation(image, state.valves, state.pumps, state.guards, state.trips, state.dispensers, now)


def _interlock(interlock: Interlock, now: InterlockState, state: ScanState, situation: Situation) -> Answer:
    cause = now.acts or now.unknown
    if cause is None:
        cause = interlock.condition.deciding(now.memory, situation)
    held = f"{'acts' if now.acts is not None else 'does not act'} on {interlock.condition.text}"
    taken_out = _taken_out(state, interlock.name)
    if taken_out:
        held += "; bypassed, it forbids nothing"
    return Answer(interlock.name, held, tuple(chain(cause)), taken_out)


def _permissive(permissive: Permissive, now: PermissiveState, situation: Situation) -> Answer:
    text = permissive.condition.text
    if now.refuses is not None:
        return Answer(permissive.name, f"permits no start without {text}", tuple(chain(now.refuses)))
    cause = permissive.condition.deciding(now.memory, situation)
    return Answer(permissive.name, f"permits a start on {text}", tuple(chain(cause)))


def _alarm(now: AlarmState) -> Answer:
    held = f"{str(now.state).replace('-', ' ')}, priority {now.priority.name.lower()}"
    if now.by:
        held += f", by {now.by}" + (f": {now.reason}" if now.reason else "")
    if now.alarm.response:
        held += f"; what to do: {now.alarm.response}"
    return Answer(now.id, held, tuple(chain(now.cause)) if not now.at_rest else ())


def _figure(value: float | None, unit: str) -> str:
    return "not known" if value is None else amount(value, unit)


def _signal(program: Program, image: tuple[Sample, ...], index: int, now: Instant, digits: int) -> Answer:
    sample = image[index]
    quality = sample.quality.name.lower()
    reason = "" if sample.good else f" ({reason_text(sample)})"
    if sample.value is None:
        return Answer(program.signal_names[index], f"no value: {quality}{reason}", ())
    value = _reading(sample.value, program.units[index], digits)
    age = f", received {now.mono - sample.received:.1f} s ago" if sample.received > float("-inf") else ""
    return Answer(program.signal_names[index], f"{value}, {quality}{reason}{age}", ())


def _reading(value: Value, unit: str, digits: int) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.{digits}g} {unit}" if unit not in ("", "1") else f"{value:.{digits}g}"


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON: each cause with its sentence and, where it rests on a reading, that reading."""
    return {
        "subject": answer.subject,
        "state": answer.state,
        "causes": [_told(cause) for cause in answer.causes],
        "beside": [_told(cause) for cause in answer.beside],
    }


def _told(cause: Cause) -> dict[str, Any]:
    return {
        "code": str(cause.code),
        "subject": cause.subject,
        "text": sentence(cause),
        "seen": cause.seen._asdict() if cause.seen is not None else None,
    }
