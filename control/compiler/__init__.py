"""The compiler: a checked site file becomes a program, once, at load."""

from dataclasses import replace
from hashlib import sha256
from zoneinfo import ZoneInfo

from config.load import LoadedSite
from control.compiler.alarms import compile_alarm_conditions, compile_alarms
from control.compiler.allocation import compile_allocation
from control.compiler.devices import compile_devices
from control.compiler.dispensers import compile_dispenser
from control.compiler.equipment import close_places, compile_analog_outputs, compile_valves, safe_demands
from control.compiler.guards import compile_guards
from control.compiler.interlocks import compile_interlocks, compile_names, compile_permissives, with_interlocks
from control.compiler.loops import compile_loops
from control.compiler.measurements import compile_conditioned
from control.compiler.overrides import compile_bypasses, compile_overrides
from control.compiler.pumps import compile_pump_groups, compile_pumps
from control.compiler.quality import compile_compliance, compile_permits
from control.concession import concessions
from control.guard import Guard
from control.program import DispenserUnit, Program
from control.valve import Valve

LONGEST_STEP_S = 1.0
STEP_PERIODS = 3.0
"""Loops go on over a gap between two scans of so many seconds, or so many periods, whichever is longer."""


def compile_site(loaded: LoadedSite) -> Program:
    """Compiles a checked site."""
    site, table = loaded.site, loaded.signals
    valves, pumps = compile_valves(site, table), compile_pumps(site, table)
    pump_groups = compile_pump_groups(site, table, pumps)
    guards: list[Guard] = []
    units: list[DispenserUnit] = []
    zone = ZoneInfo(site.site.timezone)
    # What the file says, not how it is written: a comment makes no new version, nor does a new release with more keys.
    version = sha256(site.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:12]
    for tag, settings in site.dispensers.items():
        own, first = compile_guards(tag, settings, loaded), len(guards)
        guards += own
        places = tuple(range(first, len(guards)))
        units.append(
            compile_dispenser(tag, settings, places, tuple(own), valves, pumps, pump_groups, table, zone, version)
        )
    safe = safe_demands(site, table, valves, pumps)
    loops = compile_loops(loaded, safe)
    names = compile_names(site, table, valves, pumps, guards, units)
    interlocks, permissives = compile_interlocks(site, names, units, safe), compile_permissives(site, names, units)
    program = Program(
        signal_names=tuple(signal.name for signal in table.signals),
        units=tuple(signal.unit for signal in table.signals),
        stale_after=tuple(signal.stale_after for signal in table.signals),
        conditioned=compile_conditioned(loaded),
        guards=tuple(guards),
        valves=valves,
        pumps=pumps,
        pump_groups=pump_groups,
        analog_outputs=compile_analog_outputs(site, table),
        devices=compile_devices(table),
        dispensers=with_interlocks(units, interlocks, permissives),
        dispenser_index={unit.tag: i for i, unit in enumerate(units)},
        allocation=compile_allocation(loaded),
        off_takes=_off_takes(loaded, units),
        loops=loops,
        loop_index={unit.loop.tag: i for i, unit in enumerate(loops)},
        longest_step_s=max(LONGEST_STEP_S, STEP_PERIODS * site.scan.period),
        safe=safe,
        overrides=compile_overrides(loaded, safe),
        bypasses=compile_bypasses(loaded),
        proof_intervals=tuple(
            guard.proof_interval for settings in site.dispensers.values() for guard in settings.guards.values()
        ),
        guard_index={guard.name: i for i, guard in enumerate(guards)},
        interlocks=interlocks,
        permissives=permissives,
        close_places=close_places(valves, safe),
        lone_valves=_lone_valves(valves, units),
        concessions=concessions(loaded),
        compliance=compile_compliance(loaded, guards, zone),
        permits=compile_permits(loaded, guards),
    )
    alarms = compile_alarms(loaded, program)
    return replace(program, alarms=alarms, alarm_conditions=compile_alarm_conditions(loaded, alarms, names))


def _lone_valves(valves: tuple[Valve, ...], units: list[DispenserUnit]) -> tuple[int, ...]:
    taken = {place for unit in units for place in (unit.valve, unit.slow_valve)}
    return tuple(i for i, valve in enumerate(valves) if valve.close_time > 0 and i not in taken)


def _off_takes(loaded: LoadedSite, units: list[DispenserUnit]) -> tuple[int, ...]:
    """The places of the dispensers that take part in the allocation, in its order."""
    settings = loaded.site.allocation
    places = {unit.tag: i for i, unit in enumerate(units)}
    return tuple(places[tag] for tag in settings.off_takes) if settings is not None else ()
