"""Why: the chain of causes behind whatever a station knows by a name, down to the reading it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.sample import Quality, Sample, Value
from control.alarm import CHINESE as STATES_ZH
from control.alarm import PRIORITIES_CHINESE as PRIORITIES_ZH
from control.alarm import AlarmState
from control.allocate import granted
from control.arbitration import CHINESE as RANKS_ZH
from control.cause import Cause, amount, chain, reason_text, sentence
from control.continuous import CHINESE as SUPPLY_ZH
from control.expression import Situation
from control.fill import BatchState
from control.fill_phase import CHINESE as FILL_ZH
from control.guard import warnings
from control.instant import Instant
from control.interlock import Interlock, InterlockState, Permissive, PermissiveState
from control.loop_state import CHINESE as MODES_ZH
from control.program import Program
from control.protect import permission
from control.state import ScanState, findings
from control.verdict import CHINESE as VERDICTS_ZH

_QUALITIES_ZH: Final = {Quality.GOOD: "良好", Quality.UNCERTAIN: "可疑", Quality.BAD: "坏"}
_PHASES_ZH: Final[Mapping[str, str]] = {**FILL_ZH, **SUPPLY_ZH}


Words = tuple[str, str]
"""The same in English and in Chinese."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``words``: what it is now; ``causes``: the chain, outermost first; ``beside``: what else to know.

    ``signals``: what it rests on where nothing is the cause.
    """

    subject: str
    words: Words
    causes: tuple[Cause, ...]
    beside: tuple[Cause, ...] = ()
    signals: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """What it is now, in English."""
        return self.words[0]


def why(
    program: Program, state: ScanState, image: tuple[Sample, ...], name: str, now: Instant, digits: int = 10
) -> Answer | None:
    """The answer for an actuator, dispenser, loop, guard, interlock, permissive, alarm or signal.

    The number of a signal has ``digits`` that mean something. ``None`` for a name there is none of.
    """
    for demand in state.outputs:
        if demand.tag == name:
            value, value_zh = _output(demand.value, valve=any(v.tag == name for v in program.valves))
            rank = demand.rank.name.lower().replace("_", " ")
            held = (f"{value}, demanded by {rank}", f"{value_zh}，由{RANKS_ZH[demand.rank]}要求")
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


def _output(value: Value, *, valve: bool) -> Words:
    if not isinstance(value, bool):
        shown = f"{value:.1f} %" if isinstance(value, float) else str(value)
        return shown, shown
    if valve:
        return ("on (open)", "开") if value else ("off (closed)", "关")
    return ("on", "开") if value else ("off", "停")


def _dispenser(program: Program, state: ScanState, index: int) -> Answer:
    unit, dispenser = program.dispensers[index], state.dispensers[index]
    may = permission(program, unit, state.levels[index], state.trips[index], findings(state))
    text, text_zh = str(dispenser.phase).replace("-", " "), _PHASES_ZH[dispenser.phase]
    beside = (
        *state.trips[index].later,
        *(cause for g in unit.guards for cause in warnings(state.guards[g])),
        *(cause for g in unit.guards for cause in _taken_out(state, program.guards[g].name)),
        *(cause for i in unit.interlocks for cause in _taken_out(state, program.interlocks[i].name)),
        *(concession.cause for concession in program.concessions if concession.dispenser == unit.tag),
    )
    if may.run is not None:
        return Answer(unit.tag, (f"{text}; may not run", f"{text_zh}；不得运行"), tuple(chain(may.run)), beside)
    share = granted(program, state.allocation, index)
    start = may.start or (share.why if share is not None and isinstance(dispenser, BatchState) else None)
    if start is not None:
        return Answer(unit.tag, (f"{text}; may not start", f"{text_zh}；不得开始"), tuple(chain(start)), beside)
    demand = next(d for d in state.outputs if d.tag == program.valves[unit.valve].tag)
    ready = isinstance(dispenser, BatchState) and dispenser.order is None
    held = (f"{text}; ready", f"{text_zh}；可以开始") if ready else (text, text_zh)
    return Answer(unit.tag, held, tuple(chain(demand.cause)), beside)


def _loop(program: Program, state: ScanState, image: tuple[Sample, ...], index: int) -> Answer:
    loop, now = program.loops[index].loop, state.loops[index]
    pv, mode = image[loop.pv].number, now.chosen.mode
    known, known_zh = ("not known", "未知") if pv is None else (amount(pv, loop.unit),) * 2
    setpoint = amount(now.setpoint, loop.unit) if now.setpoint is not None else ""
    output = amount(now.output, loop.output_unit) if now.output is not None else ""
    held = (
        f"{mode}; {loop.pv_name} {known}, set-point {setpoint or 'not known'}, output {output or 'not known'}",
        f"{MODES_ZH[mode]}；{loop.pv_name} {known_zh}，设定值 {setpoint or '未知'}，输出 {output or '未知'}",
    )
    return Answer(loop.tag, held, tuple(chain(now.cause)))


def _guard(program: Program, state: ScanState, index: int) -> Answer:
    guard, now = program.guards[index], state.guards[index]
    held, held_zh = now.verdict.name.lower(), VERDICTS_ZH[now.verdict]
    if now.mark.reason is not None:
        held, held_zh = f"{held}; marked {now.mark.reason}", f"{held_zh}；标记 {now.mark.reason}"
    beside = (*_taken_out(state, guard.name), *warnings(now))
    return Answer(guard.name, (held, held_zh), tuple(chain(now.cause)), beside, (guard.signal_name,))


def _taken_out(state: ScanState, name: str) -> tuple[Cause, ...]:
    return tuple(one.cause for one in state.bypasses.standing if one.target == name)


def _situation(state: ScanState, image: tuple[Sample, ...], now: Instant) -> Situation:
    return Situation(image, state.valves, state.pumps, state.guards, state.trips, state.dispensers, now)


def _interlock(interlock: Interlock, now: InterlockState, state: ScanState, situation: Situation) -> Answer:
    on, taken_out = interlock.condition.text, _taken_out(state, interlock.name)
    cause = now.acts or now.unknown
    if cause is None:
        cause = interlock.condition.deciding(now.memory, situation)
    held, held_zh = ("acts", "动作") if now.acts is not None else ("does not act", "不动作")
    out, out_zh = ("; bypassed, it forbids nothing", "；已旁路，不起作用") if taken_out else ("", "")
    return Answer(interlock.name, (f"{held} on {on}{out}", f"{held_zh}：{on}{out_zh}"), tuple(chain(cause)), taken_out)


def _permissive(permissive: Permissive, now: PermissiveState, situation: Situation) -> Answer:
    text, cause = permissive.condition.text, now.refuses
    held = (f"permits no start without {text}", f"不允许启动，须满足 {text}")
    if cause is None:
        held = (f"permits a start on {text}", f"允许启动：{text}")
        cause = permissive.condition.deciding(now.memory, situation)
    return Answer(permissive.name, held, tuple(chain(cause)))


def _alarm(now: AlarmState) -> Answer:
    held = f"{str(now.state).replace('-', ' ')}, priority {now.priority.name.lower()}"
    held_zh = f"{STATES_ZH[now.state]}，优先级 {PRIORITIES_ZH[now.priority]}"
    if now.by:
        reason = f": {now.reason}" if now.reason else ""
        held, held_zh = f"{held}, by {now.by}{reason}", f"{held_zh}，{now.by}{reason}"
    if now.alarm.response:
        held, held_zh = f"{held}; what to do: {now.alarm.response}", f"{held_zh}；处置：{now.alarm.response}"
    return Answer(now.id, (held, held_zh), tuple(chain(now.cause)) if not now.at_rest else ())


def _signal(program: Program, image: tuple[Sample, ...], index: int, now: Instant, digits: int) -> Answer:
    sample, name = image[index], program.signal_names[index]
    quality, quality_zh = sample.quality.name.lower(), _QUALITIES_ZH[sample.quality]
    reason = "" if sample.good else f" ({reason_text(sample)})"
    if sample.value is None:
        return Answer(name, (f"no value: {quality}{reason}", f"无值：{quality_zh}{reason}"), ())
    value = _reading(sample.value, program.units[index], digits)
    held, held_zh = f"{value}, {quality}{reason}", f"{value}，{quality_zh}{reason}"
    if sample.received > float("-inf"):
        age = now.mono - sample.received
        held, held_zh = f"{held}, received {age:.1f} s ago", f"{held_zh}，{age:.1f} s 前收到"
    return Answer(name, (held, held_zh), ())


def _reading(value: Value, unit: str, digits: int) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.{digits}g} {unit}" if unit not in ("", "1") else f"{value:.{digits}g}"


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON: each cause with its sentences and, where it rests on a reading, that reading."""
    return {
        "subject": answer.subject,
        "state": answer.state,
        "state_zh": answer.words[1],
        "causes": [_told(cause) for cause in answer.causes],
        "beside": [_told(cause) for cause in answer.beside],
    }


def _told(cause: Cause) -> dict[str, Any]:
    return {
        "code": str(cause.code),
        "subject": cause.subject,
        "values": list(cause.values),
        "text": sentence(cause),
        "text_zh": sentence(cause, "zh"),
        "seen": cause.seen._asdict() if cause.seen is not None else None,
    }
