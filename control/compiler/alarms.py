"""Alarms: every one that there can be at this station, with what the site file says of it."""

from collections.abc import Iterator

from control.alarm import Alarm, Priority
from control.alarm_list import (
    BYPASS,
    DEVICE,
    DISPENSER,
    FORCED,
    GUARD,
    INTERLOCK,
    LOOP,
    NOT_SILENCED,
    OUTPUT,
    SIGNAL,
    UNDECLARED,
    Declared,
)
from control.annunciator import Alarms
from control.batch import BatchDispenser
from control.program import Program
from control.response import BATCH, CONTINUOUS

SHELVE_LIMIT_S = 8 * 3600.0
"""How long an alarm may be shelved where the site file does not say: one shift."""


def compile_alarms(program: Program) -> Alarms:
    """The alarms of a program by index; 0 is the one that shows what no list names."""
    alarms = [Alarm(UNDECLARED, Priority.MEDIUM, shelve_limit=SHELVE_LIMIT_S)]
    places: dict[str, dict[str, int]] = {}
    for owner, group, declared in _owners(program):
        names = places.setdefault(owner, {})
        for name, priority in declared.items():
            if name not in names:
                names[name] = len(alarms)
                limit = 0.0 if name in NOT_SILENCED else SHELVE_LIMIT_S
                alarms.append(Alarm(f"{owner}.{name}", priority, shelve_limit=limit, group=group))
    return Alarms(tuple(alarms), places, {alarm.id: place for place, alarm in enumerate(alarms)})


def _owners(program: Program) -> Iterator[tuple[str, str, Declared]]:
    """What raises alarms: its name, the group of its alarms, and those that it may raise."""
    for unit in program.dispensers:
        responses = BATCH if isinstance(unit.dispenser, BatchDispenser) else CONTINUOUS
        raised: Declared = {
            str(code): response.alarm for code, response in responses.items() if response.alarm is not None
        }
        yield unit.tag, unit.tag, {**DISPENSER, **raised}
        for g in unit.guards:
            yield program.guards[g].name, unit.tag, {**GUARD, **BYPASS}
    for block in program.conditioned:
        yield block.name, "", SIGNAL
    for loop_unit in program.loops:
        yield loop_unit.loop.tag, "", LOOP
    for interlock in program.interlocks:
        group = program.dispensers[interlock.dispensers[0]].tag if interlock.dispensers else ""
        yield interlock.name, group, dict.fromkeys(INTERLOCK, interlock.priority)
    for device in program.devices:
        yield device.tag, "", DEVICE
    for demand in program.safe:
        yield program.signal_names[demand.signal], "", OUTPUT
    for target in program.overrides.forceable:
        yield target, "", FORCED
    for target in program.bypasses:
        yield target, "", BYPASS
