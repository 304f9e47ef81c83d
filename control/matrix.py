"""The cause-and-effect matrix: every cause that the program acts by, and what it acts on, read from the program itself.

Rows are causes, columns are dispensers and actuators, as on the sheets of IEC 62881. A cell says what the cause does
there: T trips (latched, until a person resets it), S stops while it stands, P permits no start, A is an alarm only.
What stops a dispenser stops its valves, its pump and the loops that belong to it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from config.sample import NOT_YET_READ
from control import level
from control.age import PERMIT, RESULT, by_age
from control.batch import BatchDispenser
from control.cause import amount
from control.code import Code
from control.device import SILENT_TOLERANCE_S
from control.expression import For
from control.guard import BatchGuard, FastGuard, Guard, PermitGuard, Verdict, warnings
from control.instant import Instant
from control.interlock import Interlock, Permissive
from control.level import SupplyLevel
from control.program import DispenserUnit, Program
from control.protect import TRIPPING_FAULTS
from control.response import BATCH, CONTINUOUS, Action
from control.state import ScanState


class Effect(StrEnum):
    """What a cause does to what stands in a column."""

    TRIP = "T"
    STOP = "S"
    PERMIT = "P"
    ALARM = "A"


MEANING: Final = {
    Effect.TRIP: "trips: latched until a person resets it",
    Effect.STOP: "stops while it stands",
    Effect.PERMIT: "permits no start",
    Effect.ALARM: "alarm only",
}
_BY_VERDICT: Final = {
    Verdict.BREACH: Effect.TRIP,
    Verdict.UNKNOWN: Effect.STOP,
    Verdict.HOLD: Effect.PERMIT,
    Verdict.AGING: Effect.ALARM,
}
_BY_ACTION: Final = {
    Action.CONTINUE: Effect.ALARM,
    Action.REFUSE: Effect.PERMIT,
    Action.STOP: Effect.STOP,
    Action.STOP_FAST: Effect.STOP,
    Action.TRIP: Effect.TRIP,
    Action.TRIP_FAST: Effect.TRIP,
    Action.THROTTLE: Effect.STOP,
}
VALVE_FAULTS: Final = (
    Code.VALVE_NOT_OPENED,
    Code.VALVE_NOT_CLOSED,
    Code.VALVE_LEFT_POSITION,
    Code.VALVE_CONTRADICTION,
    Code.VALVE_UNKNOWN,
)
PUMP_FAULTS: Final = (Code.PUMP_NOT_RUNNING, Code.PUMP_NOT_STOPPED, Code.PUMP_UNKNOWN)
_AT_ARM: Final = frozenset(
    {Code.OVERFILL, Code.HOSE_NOT_CONNECTED, Code.PERMISSIVE_UNKNOWN, Code.ARM_TIMEOUT, Code.STOPPED_BY_DRIVER}
)
_QUOTA: Final = frozenset({Code.QUOTA_WARNING, Code.QUOTA_NEAR, Code.QUOTA_REACHED, Code.QUOTA_CHANGED})
_BY_PEOPLE: Final = frozenset({Code.CANCELLED, Code.ORDER_EXPIRED})
"""What people do, or leave: no cause of the plant."""


@dataclass(frozen=True, slots=True)
class Row:
    """One cause: what it is of, which condition, after how long (``None``: at once or as it says), and its effects.

    ``codes``: the causes by which it is known to stand, ``owner`` what they are told of. ``text_zh`` where it has one.
    """

    subject: str
    text: str
    text_zh: str
    delay_s: float | None
    codes: frozenset[Code]
    owner: tuple[str, int]
    effects: dict[str, Effect]


@dataclass(frozen=True, slots=True)
class Matrix:
    """``columns``: tags of dispensers, then of actuators."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def cause_and_effect(program: Program) -> Matrix:
    """The matrix of a program."""
    columns = (*(unit.tag for unit in program.dispensers), *(demand.tag for demand in program.safe))
    return Matrix(columns, tuple(_rows(program)))


def _rows(program: Program) -> Iterator[Row]:
    for index, unit in enumerate(program.dispensers):
        whole = _whole(program, unit)
        for g in unit.guards:
            yield from _guard(program, g, whole)
        if unit.level is not None:
            yield from _level(index, unit, unit.level, whole)
    for i, interlock in enumerate(program.interlocks):
        yield _interlock(program, i, interlock)
    for i, permissive in enumerate(program.permissives):
        yield _permissive(program, i, permissive)
    for index, unit in enumerate(program.dispensers):
        yield from _equipment(program, unit)
        yield from _dispenser(index, unit, _whole(program, unit))
    for index, device in enumerate(program.devices):
        effects = _offline(program, frozenset(device.signals))
        text = "does not answer"
        yield Row(
            device.tag, text, "", SILENT_TOLERANCE_S, frozenset({Code.DEVICE_OFFLINE}), ("device", index), effects
        )


def _whole(program: Program, unit: DispenserUnit) -> tuple[str, ...]:
    """A dispenser and what stops with it."""
    valves = [unit.valve] if unit.slow_valve is None else [unit.valve, unit.slow_valve]
    pumps = [program.pumps[unit.pump].tag] if unit.pump is not None else []
    place = program.dispenser_index[unit.tag]
    moved = [
        program.safe[output.place].tag for loop in program.loops if loop.dispenser == place for output in loop.outputs
    ]
    return (unit.tag, *(program.valves[valve].tag for valve in valves), *pumps, *moved)


def _on(whole: tuple[str, ...], effect: Effect) -> dict[str, Effect]:
    """A refused start and an alarm are the dispenser's own; what stops it stops all of it."""
    return dict.fromkeys(whole if effect in (Effect.TRIP, Effect.STOP) else whole[:1], effect)


# Guards.


def _guard(program: Program, g: int, whole: tuple[str, ...]) -> Iterator[Row]:
    guard = program.guards[g]

    def row(text: str, delay_s: float | None, effect: Effect | None, *codes: Code) -> Iterator[Row]:
        if effect is not None:
            told = f"{guard.signal_name or 'the permit'} {text}"
            yield Row(guard.name, told, "", delay_s, frozenset(codes), ("guard", g), _on(whole, effect))

    match guard:
        case FastGuard():
            beyond = _beyond(guard.low, guard.high, guard.unit)
            limits = Code.ABOVE_LIMIT, Code.BELOW_LIMIT
            yield from row(beyond, guard.stop_delay, Effect.TRIP, *limits)
            if guard.high is not None:
                yield from row("over its range", 0.0, Effect.TRIP, Code.OVER_RANGE)
            if guard.instant_high is not None or guard.instant_low is not None:
                beyond = _beyond(guard.instant_low, guard.instant_high, guard.unit)
                yield from row(beyond, 0.0, Effect.TRIP, Code.ABOVE_INSTANT, Code.BELOW_INSTANT)
            yield from row("is not known", guard.stop_delay, Effect.STOP, Code.QUALITY_UNKNOWN, Code.MARK_TOO_LONG)
        case BatchGuard():
            result = f"result {_beyond(guard.low, guard.high, guard.unit)}"
            yield from row(result, 0.0, Effect.TRIP, Code.RESULT_ABOVE, Code.RESULT_BELOW)
            yield from row("has given no result", None, _unread(program, guard), Code.NO_RESULT)
            ages = (Code.RESULT_AGING, 1.5), (Code.RESULT_STALE, 2.5), (Code.RESULT_EXPIRED, guard.expired_after)
            for code, intervals in ages:
                age_s = intervals * guard.interval
                word = str(code).partition("-")[2]
                verdict, _ = by_age(
                    age_s + 1.0, guard.interval, guard.expired_after * guard.interval, guard.staleness, RESULT
                )
                yield from row(f"result {word}: older than {amount(age_s, 's')}", None, _BY_VERDICT.get(verdict), code)
        case PermitGuard():
            yield from row("is withdrawn", 0.0, Effect.TRIP, Code.PERMIT_UNFIT)
            yield from row("has not come", None, _unread(program, guard), Code.NO_PERMIT)
            permits = (Code.PERMIT_AGING, 1.5 * guard.interval), (Code.PERMIT_STALE, 2.5 * guard.interval)
            for code, age_s in (*permits, (Code.PERMIT_EXPIRED, guard.ttl)):
                word = str(code).partition("-")[2]
                verdict, _ = by_age(age_s + 1.0, guard.interval, guard.ttl, guard.staleness, PERMIT)
                yield from row(f"{word}: older than {amount(age_s, 's')}", None, _BY_VERDICT.get(verdict), code)
            if not guard.pipe.none:
                yield from row("the pipe is being flushed", None, Effect.STOP, Code.FLUSHING)
    if not isinstance(guard, PermitGuard):
        yield from _warnings(guard, row)


def _warnings(guard: FastGuard | BatchGuard, row: Callable[..., Iterator[Row]]) -> Iterator[Row]:
    """What a guard warns of, and does not stop for."""
    fast = isinstance(guard, FastGuard)
    if guard.warn_high is not None or guard.warn_low is not None:
        codes = (Code.ABOVE_WARN, Code.BELOW_WARN) if fast else (Code.RESULT_ABOVE_WARN, Code.RESULT_BELOW_WARN)
        beyond = _beyond(guard.warn_low, guard.warn_high, guard.unit)
        yield from row(beyond, guard.warn_delay if isinstance(guard, FastGuard) else 0.0, Effect.ALARM, *codes)
    if guard.early is not None:
        ahead = amount(guard.early.horizon, "s")
        yield from row(f"will pass a limit within {ahead}, by its trend", None, Effect.ALARM, Code.BREACH_AHEAD)


def _beyond(low: float | None, high: float | None, unit: str) -> str:
    if low is None:
        return f"> {amount(high, unit)}" if high is not None else "beyond its limits"
    return f"< {amount(low, unit)}" if high is None else f"not in {amount(low, '')} to {amount(high, unit)}"


def _unread(program: Program, guard: Guard) -> Effect | None:
    image = (NOT_YET_READ,) * len(program.signal_names)
    state = guard.initial()
    for second in range(2):
        state = guard.step(state, image, Instant(float(second), float(second)))
    return _BY_VERDICT.get(state.verdict)


# Levels, interlocks, permissives.


def _level(index: int, unit: DispenserUnit, supply: SupplyLevel, whole: tuple[str, ...]) -> Iterator[Row]:
    limits = (
        (f"< {amount(supply.low_m, 'm')}", 0.0, Code.LEVEL_LOW, Effect.PERMIT),
        (f"< {amount(supply.low_low_m, 'm')}", 0.0, Code.LEVEL_LOW_LOW, Effect.STOP),
        ("is not known", level.UNKNOWN_TOLERANCE_S, Code.LEVEL_UNKNOWN, Effect.STOP),
    )
    for text, delay_s, code, effect in limits:
        told, owner = f"{supply.signal_name} {text}", ("level", index)
        yield Row(unit.tag, told, "", delay_s, frozenset({code}), owner, _on(whole, effect))


def _interlock(program: Program, index: int, interlock: Interlock) -> Row:
    effects: dict[str, Effect] = {program.safe[place].tag: Effect.STOP for place in interlock.actuators}
    for i in interlock.dispensers:
        effect = Effect.TRIP if i in interlock.tripped else Effect.STOP
        effects |= _on(_whole(program, program.dispensers[i]), effect)
    unknown = "" if interlock.ignores_unknown else f", or not known for {amount(interlock.unknown_delay, 's')}"
    root = interlock.condition.root
    delay_s = root.delay_s if isinstance(root, For) else 0.0
    codes = frozenset({Code.INTERLOCK_ACTS, Code.INTERLOCK_UNKNOWN})
    text = f"{interlock.text}{unknown}"
    return Row(interlock.name, text, interlock.text_zh, delay_s, codes, ("interlock", index), effects)


def _permissive(program: Program, index: int, permissive: Permissive) -> Row:
    tags = [program.dispensers[i].tag for i in permissive.dispensers] + [program.pumps[p].tag for p in permissive.pumps]
    codes = frozenset({Code.START_NOT_PERMITTED, Code.START_UNKNOWN})
    effects = dict.fromkeys(tags, Effect.PERMIT)
    text = f"not so, or not known: {permissive.text}"
    return Row(permissive.name, text, permissive.text_zh, 0.0, codes, ("permissive", index), effects)


# Equipment, what dispensers watch themselves, devices.


def _equipment(program: Program, unit: DispenserUnit) -> Iterator[Row]:
    whole = _whole(program, unit)
    for kind, tag, index, codes in (
        *(("valve", program.valves[v].tag, v, VALVE_FAULTS) for v in (unit.valve, unit.slow_valve) if v is not None),
        *(("pump", program.pumps[p].tag, p, PUMP_FAULTS) for p in (unit.pump,) if p is not None),
    ):
        for code in codes:
            effect = Effect.TRIP if code in TRIPPING_FAULTS else Effect.STOP
            text = str(code).removeprefix(f"{kind}-").replace("-", " ")
            yield Row(tag, text, "", None, frozenset({code}), (kind, index), _on(whole, effect))


def _dispenser(index: int, unit: DispenserUnit, whole: tuple[str, ...]) -> Iterator[Row]:
    batch = isinstance(unit.dispenser, BatchDispenser)
    without = set(_BY_PEOPLE)
    if not isinstance(unit.dispenser, BatchDispenser) or unit.dispenser.arming is None:
        without |= _AT_ARM
    if unit.dispenser.quota is None:
        without |= _QUOTA
    for code, response in (BATCH if batch else CONTINUOUS).items():
        if code not in without:
            text = str(code).replace("-", " ")
            effects = _on(whole, _BY_ACTION[response.action])
            yield Row(unit.tag, text, "", None, frozenset({code}), ("dispenser", index), effects)


def _offline(program: Program, silent: frozenset[int]) -> dict[str, Effect]:
    """A device that is silent stops whatever rests on what only it tells; elsewhere it is an alarm."""
    unknown = set(silent)
    for block in program.conditioned:
        if block.vote is None and unknown.intersection(block.inputs):
            unknown.add(block.index)
    effects: dict[str, Effect] = {}
    for unit in program.dispensers:
        feedback = [program.valves[v] for v in (unit.valve, unit.slow_valve) if v is not None]
        rests_on: set[int | None] = {
            place for valve in feedback for place in (valve.opened, valve.closed, valve.position)
        }
        rests_on |= {program.pumps[unit.pump].running} if unit.pump is not None else set()
        rests_on |= {unit.level.signal} if unit.level is not None else set()
        rests_on |= {program.guards[g].signal for g in unit.guards if isinstance(program.guards[g], FastGuard)}
        rests_on |= {unit.dispenser.flow, unit.dispenser.meter.total}
        effects |= _on(_whole(program, unit), Effect.STOP if unknown & rests_on else Effect.ALARM)
    return effects


# What stands now.


def standing(state: ScanState, row: Row) -> bool:
    """True while the cause of a row stands."""
    kind, index = row.owner
    match kind:
        case "guard":
            causes = [state.guards[index].cause, *warnings(state.guards[index])]
        case "level":
            causes = [state.levels[index].forbids_start, state.levels[index].forbids_run]
        case "interlock":
            causes = [state.interlocks[index].acts]
        case "permissive":
            causes = [state.permissives[index].refuses]
        case "valve":
            causes = [state.valves[index].fault]
        case "pump":
            causes = [state.pumps[index].fault]
        case "device":
            causes = [state.devices[index].offline]
        case _:
            ids = {f"{row.subject}.{code}" for code in row.codes}
            return any(alarm.id in ids for alarm in state.alarms.standing)
    return any(cause is not None and cause.code in row.codes for cause in causes)


def to_json(matrix: Matrix, state: ScanState | None = None) -> dict[str, Any]:
    """The matrix as JSON; with a state also what stands now (``active``)."""
    rows = [
        {
            "subject": row.subject,
            "cause": row.text,
            "cause_zh": row.text_zh or None,
            "delay_s": row.delay_s,
            "effects": {tag: str(effect) for tag, effect in row.effects.items()},
        }
        | ({"active": standing(state, row)} if state is not None else {})
        for row in matrix.rows
    ]
    return {"columns": list(matrix.columns), "rows": rows, "effects": {str(key): text for key, text in MEANING.items()}}
