"""Alarming, after the phases: what stands wrong now goes to the annunciator.

How a thing gets an alarm: its codes stand in ``alarm_list.py`` (what a dispenser raises, in ``response.py``), and
``compiler/alarms.py`` names the thing as an owner of them. In each scan the thing says
``work.alarm("RIO-101", cause)``, where its alarm stands; the alarm is ``RIO-101.<code of the cause>``, or
``RIO-101.<name>`` where a name is given. Nothing is said while nothing is wrong.
"""

from datetime import UTC, datetime

from control import annunciator, proof_test
from control.alarm_list import ALLOCATION_NAME, BYPASSED, NOT_FOLLOWED, OFFLINE, OVERRIDDEN, TRIP
from control.cause import Cause
from control.code import Code
from control.expression import Situation
from control.guard import Verdict, warnings
from control.protect import faults
from control.site_alarm import judge
from control.voting import AGREED
from control.work import Work


def annunciate(work: Work) -> None:
    """Gathers everything that stands wrong, and steps every alarm."""
    _dispensers(work)
    _equipment(work)
    _signals(work)
    _loops(work)
    _allocation(work)
    _overrides(work)
    _interlocks(work)
    _proof_tests(work)
    _devices(work)
    suppressed = _by_site(work)
    work.alarms, events = annunciator.step(work.program.alarms, work.alarms, work.raised, suppressed, work.now)
    work.events += events


def _by_site(work: Work) -> set[int]:
    """Raises what the site's own conditions say; returns what its design suppresses."""
    program, found = work.program, work.found
    work.alarm_memories = work.before.alarm_memories
    if not program.alarm_conditions:
        return set()
    situation = Situation(
        work.image, found.valves, found.pumps, found.guards, tuple(work.trips), tuple(work.dispensers), work.now
    )
    raised, suppressed, work.alarm_memories = judge(
        program.alarm_conditions, program.alarms, work.alarms, work.before.alarm_memories, situation
    )
    work.raised.update(raised)
    return suppressed


def _dispensers(work: Work) -> None:
    found = work.found
    for index, unit in enumerate(work.program.dispensers):
        trip = work.trips[index].cause
        if trip is not None:
            work.alarm(unit.tag, trip, TRIP)
        for g in unit.guards:
            guard = found.guards[g]
            if guard.cause is not None and guard.verdict is not Verdict.BREACH:
                work.alarm(work.program.guards[g].name, guard.cause)
            if guard.warning is not None or guard.refused is not None or guard.trend.warning is not None:
                for cause in warnings(guard):
                    work.alarm(work.program.guards[g].name, cause)
        level = found.levels[index].forbids_start
        if level is not None:
            work.alarm(unit.tag, level)
        for cause in (*faults(unit, found), *work.results[index].alarms):
            work.alarm(unit.tag, cause)


def _equipment(work: Work) -> None:
    """Warnings, and the faults of pumps that stand in for each other: one of them stops no dispenser."""
    for valve, at in zip(work.program.valves, work.found.valves, strict=True):
        if at.sticking is not None or at.strokes.slow is not None:
            for cause in valve.warnings(at):
                work.alarm(valve.tag, cause)
    for pump, does in zip(work.program.pumps, work.found.pumps, strict=True):
        if pump.in_group and does.fault is not None:
            work.alarm(pump.tag, does.fault)
        if does.duty.short is not None:
            work.alarm(pump.tag, does.duty.short)
    for analog in work.found.analog_outputs:
        if analog.alarm is not None:
            work.alarm(analog.alarm.subject, analog.alarm)


def _signals(work: Work) -> None:
    for block, state in zip(work.program.conditioned, work.conditioned, strict=True):
        if state.fault is not None or state.vote is not AGREED:
            for cause in block.alarms(state):
                work.alarm(block.name, cause)


def _loops(work: Work) -> None:
    for unit, state in zip(work.program.loops, work.loops, strict=True):
        if state.limited is not None and state.bad_since is not None:
            work.alarm(unit.loop.tag, state.limited)


def _allocation(work: Work) -> None:
    state, settings = work.allocation, work.program.allocation
    if state is None or settings is None:
        return
    if state.shortage is not None and state.shortage.code in (Code.PRODUCTION_UNKNOWN, Code.LEVEL_UNKNOWN):
        work.alarm(ALLOCATION_NAME, state.shortage)
    for off_take, grant in zip(settings.off_takes, state.grants, strict=True):
        if grant.why is not None and grant.out_since is not None:
            work.alarm(off_take.tag, grant.why)


def _overrides(work: Work) -> None:
    for forced in work.overrides:
        work.alarm(forced.target, forced.cause, OVERRIDDEN)
    for bypassed in work.bypasses.standing:
        work.alarm(bypassed.target, bypassed.cause, BYPASSED)


def _interlocks(work: Work) -> None:
    for interlock, state in zip(work.program.interlocks, work.found.interlocks, strict=True):
        if state.acts is not None:
            work.alarm(interlock.name, state.acts)


def _proof_tests(work: Work) -> None:
    """The guards that must be proved again, by the calendar."""
    for guard, interval in zip(work.program.guards, work.program.proof_intervals, strict=True):
        if interval is not None:
            at = proof_test.due_utc(work.proof, guard.name, interval)
            if work.now.utc >= at:
                day = datetime.fromtimestamp(at, UTC).strftime("on %Y-%m-%d") if at > 0 else "before its first use"
                work.alarm(guard.name, Cause(Code.PROOF_TEST_DUE, guard.name, (day,)))


def _devices(work: Work) -> None:
    for device, state in zip(work.program.devices, work.found.devices, strict=True):
        if state.offline is not None:
            work.alarm(device.tag, state.offline, OFFLINE)
    for followed in work.found.follow:
        if followed.alarm is not None:
            work.alarm(followed.alarm.subject, followed.alarm, NOT_FOLLOWED)
