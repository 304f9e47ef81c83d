"""Alarms: every one that there can be at this station, with what the site file says of it."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from config.alarm import Alarm as Settings
from config.check.alarms import with_deadband
from config.errors import ConfigError, Problem
from config.load import LoadedSite
from control.alarm import Alarm, Priority
from control.alarm_list import (
    ALLOCATION,
    ALLOCATION_NAME,
    ANALOG,
    BYPASS,
    DEVICE,
    DISPENSER,
    FORCED,
    GUARD,
    INTERLOCK,
    LOOP,
    NOT_SILENCED,
    OFF_TAKE,
    ON_DELAYS,
    OUTPUT,
    PUMP,
    SIGNAL,
    UNDECLARED,
    VALVE,
    Declared,
)
from control.annunciator import Alarms
from control.batch import BatchDispenser
from control.compiler.expressions import Names, compile_expression
from control.program import Program
from control.response import BATCH, CONTINUOUS
from control.site_alarm import AlarmCondition

SHELVE_LIMIT_S: Final = 8 * 3600.0
"""How long an alarm may be shelved where the site file does not say: one shift."""


def compile_alarms(loaded: LoadedSite, program: Program) -> Alarms:
    """The alarms of a program by index; 0 is the one that shows what no list names.

    Raises ``ConfigError`` on an entry of the site file that is about an alarm that there is not.
    """
    alarms = [Alarm(UNDECLARED, Priority.MEDIUM, shelve_limit=SHELVE_LIMIT_S)]
    places: dict[str, dict[str, int]] = {}
    for owner, group, declared in _owners(program):
        names = places.setdefault(owner, {})
        for name, priority in declared.items():
            if name not in names:
                names[name] = len(alarms)
                limit = 0.0 if name in NOT_SILENCED else SHELVE_LIMIT_S
                delay = ON_DELAYS.get(name, 0.0)
                alarms.append(Alarm(f"{owner}.{name}", priority, delay, shelve_limit=limit, group=group))
    index = {alarm.id: place for place, alarm in enumerate(alarms)}
    _refuse_unknown(loaded, index)
    for name, settings in loaded.site.alarms.items():
        if settings.when is None:
            alarms[index[name]] = _with_settings(alarms[index[name]], settings)
        else:
            index[name] = len(alarms)
            text = settings.text or str(settings.when)
            own = Alarm(name, Priority.MEDIUM, shelve_limit=SHELVE_LIMIT_S, text=text, text_zh=settings.text_zh or text)
            alarms.append(_with_settings(own, settings))
    return Alarms(tuple(alarms), places, index)


def compile_alarm_conditions(loaded: LoadedSite, alarms: Alarms, names: Names) -> tuple[AlarmCondition, ...]:
    """What the site file's own conditions raise and suppress, in the order of the file."""
    found: list[AlarmCondition] = []
    for name, settings in loaded.site.alarms.items():
        place = alarms.index[name]
        if settings.when is not None:
            found.append(AlarmCondition(place, compile_expression(with_deadband(settings), names), suppresses=False))
        if settings.suppressed_when is not None:
            suppressed = compile_expression(settings.suppressed_when, names)
            found.append(AlarmCondition(place, suppressed, suppresses=True))
    return tuple(found)


def _with_settings(alarm: Alarm, settings: Settings) -> Alarm:
    priority = Priority[settings.priority.upper()] if settings.priority is not None else alarm.priority
    limit = alarm.shelve_limit
    if settings.shelvable is False or priority is Priority.CRITICAL:
        limit = 0.0
    elif settings.shelve_limit is not None:
        limit = settings.shelve_limit
    elif settings.shelvable:
        limit = limit or SHELVE_LIMIT_S
    given = {
        "on_delay": settings.on_delay,
        "off_delay": settings.off_delay,
        "latched": settings.latched,
        "group": settings.group,
        "text": settings.text,
        "text_zh": settings.text_zh,
        "response": settings.response,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(alarm, priority=priority, shelve_limit=limit, **changes)


def _refuse_unknown(loaded: LoadedSite, index: Mapping[str, int]) -> None:
    problems = []
    for name, settings in loaded.site.alarms.items():
        if settings.when is not None or name in index:
            continue
        owner = name.rpartition(".")[0]
        own = [known for known in index if known.rpartition(".")[0] == owner]
        close = difflib.get_close_matches(name, own or list(index), 1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        known = f"one of {', '.join(own)}" if own else "an alarm of this station, as 'penstock alarms --all' lists them"
        line = loaded.alarm_lines.get(name, 0)
        problems.append(Problem(str(loaded.path), line, f"alarms.{name}", f"'{name}'", f"{known}{hint}"))
    if problems:
        raise ConfigError(problems)


def _owners(program: Program) -> Iterator[tuple[str, str, Declared]]:
    """What raises alarms: its name, the group of its alarms, and those that it may raise."""
    for unit in program.dispensers:
        responses = BATCH if isinstance(unit.dispenser, BatchDispenser) else CONTINUOUS
        raised: Declared = {
            str(code): response.alarm for code, response in responses.items() if response.alarm is not None
        }
        yield unit.tag, unit.tag, {**DISPENSER, **raised}
        for g in unit.guards:
            yield program.guards[g].name, unit.tag, {**GUARD[program.guards[g].kind], **BYPASS}
    for valve in program.valves:
        yield valve.tag, "", VALVE
    for pump in program.pumps:
        yield pump.tag, "", PUMP
    for analog in program.analog_outputs:
        yield analog.tag, "", ANALOG
    for block in program.conditioned:
        yield block.name, "", SIGNAL
    for loop_unit in program.loops:
        yield loop_unit.loop.tag, "", LOOP
    for interlock in program.interlocks:
        group = program.dispensers[interlock.dispensers[0]].tag if interlock.dispensers else ""
        yield interlock.name, group, dict.fromkeys(INTERLOCK, interlock.priority)
    if program.allocation is not None:
        yield ALLOCATION_NAME, "", ALLOCATION
        for index in program.off_takes:
            yield program.dispensers[index].tag, program.dispensers[index].tag, OFF_TAKE
    for device in program.devices:
        yield device.tag, "", DEVICE
    for demand in program.safe:
        yield program.signal_names[demand.signal], "", OUTPUT
    for target in program.overrides.forceable:
        yield target, "", FORCED
    for target in program.bypasses:
        yield target, "", BYPASS
