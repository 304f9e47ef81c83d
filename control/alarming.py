"""What stands wrong now, as alarm conditions.

Trips, guards that are not fit, faults, readings that are not believed, devices that do not answer.
"""

from control.alarm import Condition, Priority
from control.batch import BatchDispenser
from control.guard import Verdict
from control.protect import faults
from control.response import BATCH, CONTINUOUS
from control.voting import AGREED
from control.work import Work


def alarm_conditions(work: Work) -> list[Condition]:
    """Everything that stands wrong now."""
    program, found = work.program, work.found
    conditions: list[Condition] = []
    for index, unit in enumerate(program.dispensers):
        trip = work.trips[index].cause
        if trip is not None:
            conditions.append(Condition(f"{unit.tag}.trip", Priority.HIGH, trip))
        for g in unit.guards:
            guard = found.guards[g]
            if guard.cause is not None and guard.verdict is not Verdict.BREACH:
                low = guard.verdict is Verdict.AGING
                priority = Priority.LOW if low else Priority.MEDIUM
                conditions.append(Condition(f"{program.guards[g].name}.{guard.cause.code}", priority, guard.cause))
        for cause in (found.levels[index].forbids_start, *faults(unit, found)):
            if cause is not None:
                conditions.append(Condition(f"{unit.tag}.{cause.code}", Priority.MEDIUM, cause))
        responses = BATCH if isinstance(unit.dispenser, BatchDispenser) else CONTINUOUS
        for cause in work.results[index].alarms:
            conditions.append(Condition(f"{unit.tag}.{cause.code}", responses[cause.code].alarm or Priority.LOW, cause))
    conditions += [
        Condition(f"{block.name}.{cause.code}", Priority.MEDIUM, cause)
        for block, state in zip(program.conditioned, work.conditioned, strict=True)
        if state.fault is not None or state.vote is not AGREED
        for cause in block.alarms(state)
    ]
    conditions += [Condition(f"{one.target}.overridden", Priority.MEDIUM, one.cause) for one in work.overrides]
    conditions += [Condition(f"{one.target}.bypassed", Priority.HIGH, one.cause) for one in work.bypasses.standing]
    conditions += [
        Condition(f"{unit.loop.tag}.{loop.limited.code}", Priority.MEDIUM, loop.limited)
        for unit, loop in zip(program.loops, work.loops, strict=True)
        if loop.limited is not None and loop.bad_since is not None
    ]
    conditions += [
        Condition(f"{device.tag}.offline", Priority.MEDIUM, state.offline)
        for device, state in zip(program.devices, found.devices, strict=True)
        if state.offline is not None
    ]
    conditions += [
        Condition(f"{state.alarm.subject}.not-followed", Priority.MEDIUM, state.alarm)
        for state in found.follow
        if state.alarm is not None
    ]
    return conditions
