"""The scan: inputs to outputs in five phases, in this order, on one screen.

``scan`` is a pure function: the same program, state, image, commands and instant give the same result, bit for
bit. The controller calls it on a fixed period and at once when a critical reading arrives.
"""

from dataclasses import dataclass, replace

from config.sample import Sample
from control import bypass, override
from control.alarming import annunciate
from control.allocate import allocate
from control.arbitrate import arbitrate, closing
from control.command import Answer, Command
from control.condition import condition
from control.event import Event
from control.instant import Instant
from control.obey import obey
from control.override import forced
from control.program import Program
from control.protect import find, protect
from control.pumping import choose_pumps
from control.regulate import regulate
from control.sequence import dispense
from control.state import ScanState
from control.work import Work, begun


@dataclass(frozen=True, slots=True)
class ScanResult:
    """``image`` is the conditioned one; ``state.outputs`` are the outputs to write."""

    state: ScanState
    image: tuple[Sample, ...]
    events: tuple[Event, ...]
    answers: tuple[Answer, ...]


def scan(
    program: Program, state: ScanState, image: tuple[Sample, ...], commands: tuple[Command, ...], now: Instant
) -> ScanResult:
    """One scan. No reading and no command makes it raise; a raise is a programming error."""
    state, ended = expired(state, now)
    image = forced(image, state.overrides, now)
    conditioned, image = condition(program, state.conditioned, image, now)  # 1 condition
    image = forced(image, state.overrides, now)
    found = find(program, state, image, now)  # 2 protect
    work = begun(program, state, conditioned, image, now, found)
    work.events += ended
    protect(work)
    allocate(work)
    answers = tuple(obey(work, command) for command in commands)
    dispense(work)  # 3 sequence
    choose_pumps(work)
    regulate(work)  # 4 regulate
    arbitrate(work)  # 5 arbitrate
    annunciate(work)
    after = look_on(work, _after(work))
    return ScanResult(after, image, tuple(work.events), answers)


def expired(state: ScanState, now: Instant) -> tuple[ScanState, tuple[Event, ...]]:
    """The state without the overrides and bypasses whose time is over; the same state when all of them stand."""
    overrides, released = override.expire(state.overrides, now)
    bypasses, restored = bypass.expire(state.bypasses, now)
    if overrides is state.overrides and bypasses is state.bypasses:
        return state, ()
    return replace(state, overrides=overrides, bypasses=bypasses), (*released, *restored)


def look_on(work: Work, after: ScanState) -> ScanState:
    """Compliance, and the permits that are given: they rest on this scan and change nothing in it."""
    program, guards, now = work.program, after.guards, work.now
    compliance, events = program.compliance.step(after.compliance, work.image, guards, now)
    work.events += events
    if not program.permits:
        return after if compliance is after.compliance else replace(after, compliance=compliance)
    issued = [permit.step(s, guards, now) for permit, s in zip(program.permits, after.permits, strict=True)]
    work.events += [event for _, event in issued if event is not None]
    return replace(after, compliance=compliance, permits=tuple(state for state, _ in issued))


def _after(work: Work) -> ScanState:
    """The state that the next scan begins with; equipment remembers what this scan commands."""
    program, found, outputs, now = work.program, work.found, work.outputs, work.now
    valves = len(program.valves)
    pumps = valves + len(program.pumps)
    return ScanState(
        conditioned=work.conditioned,
        guards=found.guards,
        levels=found.levels,
        trips=tuple(work.trips),
        valves=tuple(
            valve.commanded(s, demand.value, now, close=closing(program, outputs, v))
            for v, (valve, s, demand) in enumerate(zip(program.valves, found.valves, outputs[:valves], strict=True))
        ),
        pumps=tuple(
            pump.commanded(s, demand.value, now)
            for pump, s, demand in zip(program.pumps, found.pumps, outputs[valves:pumps], strict=True)
        ),
        pump_groups=tuple(work.pump_groups),
        analog_outputs=found.analog_outputs,
        devices=found.devices,
        follow=found.follow,
        interlocks=found.interlocks,
        permissives=found.permissives,
        dispensers=tuple(work.dispensers),
        loops=tuple(work.loops),
        allocation=work.allocation,
        alarms=work.alarms,
        alarm_memories=work.alarm_memories,
        overrides=work.overrides,
        bypasses=work.bypasses,
        proof=work.proof,
        outputs=outputs,
        compliance=work.before.compliance,
        permits=work.before.permits,
        scanned_at=now.mono,
    )
