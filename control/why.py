"""Why: the chain of causes behind an output, a dispenser or a signal, down to the reading it rests on."""

from dataclasses import dataclass
from typing import Any

from config.sample import Sample, Value
from control.allocate import granted
from control.cause import Cause, amount, chain, reason_text, sentence
from control.fill import BatchState
from control.guard import warnings
from control.instant import Instant
from control.program import Program
from control.protect import permission
from control.state import ScanState, findings


@dataclass(frozen=True, slots=True)
class Answer:
    """``state``: what it is now, in words; ``causes``: the chain, outermost first; ``beside``: what else to know."""

    subject: str
    state: str
    causes: tuple[Cause, ...]
    beside: tuple[Cause, ...] = ()


def why(
    program: Program, state: ScanState, image: tuple[Sample, ...], name: str, now: Instant, digits: int = 10
) -> Answer | None:
    """The answer for an actuator, a dispenser, a loop or a signal, whose number has ``digits`` that mean something.

    ``None`` for a name there is none of.
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
    return None


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
