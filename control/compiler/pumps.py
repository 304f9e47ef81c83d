"""Pumps with what their motors may be asked, and the groups in which they stand in for each other."""

from config.pump import Pump as Settings
from config.pump import PumpGroup as GroupSettings
from config.signals import SignalTable
from config.site import Site
from config.units import CANONICAL
from control.compiler.equipment import place
from control.dry_run import DryRun, Sign
from control.pump import Pump
from control.pump_duty import Duty
from control.pump_group import PumpGroup, Staging


def compile_pumps(site: Site, table: SignalTable) -> tuple[Pump, ...]:
    """The pumps, in the order of the site file."""
    return tuple(_pump(site, tag, pump, table) for tag, pump in site.pumps.items())


def _pump(site: Site, tag: str, pump: Settings, table: SignalTable) -> Pump:
    group = next((name for name, one in site.pump_groups.items() if tag in one.pumps), None)
    limit = pump.starts_per_hour if isinstance(pump.starts_per_hour, int) else None
    outputs = list(site.analog_outputs)
    first = len(site.valves) + len(site.pumps)
    return Pump(
        tag=tag,
        running=table.index[pump.running],
        start_timeout=pump.start_timeout,
        output=table.index[pump.run_command],
        remote=place(table, pump.remote),
        own_fault=place(table, pump.fault),
        closed_path=pump.closed_path,
        dry=_dry_run(tag, pump, table),
        duty=Duty(tag, limit, pump.start_interval, pump.min_on, pump.min_off),
        path=_path(site, group or tag),
        in_group=group is not None,
        speed=first + outputs.index(pump.speed.output) if pump.speed is not None else None,
        run_speed=pump.speed.run if pump.speed is not None else 100.0,
    )


def _path(site: Site, supply: str) -> tuple[int, ...]:
    """The valves of every dispenser that draws from a pump or a group."""
    valves = list(site.valves)
    tags = (
        tag
        for dispenser in site.dispensers.values()
        if dispenser.pump == supply
        for tag in (dispenser.valve, getattr(dispenser, "slow_valve", None))
    )
    return tuple(valves.index(tag) for tag in tags if tag is not None)


def _dry_run(tag: str, pump: Settings, table: SignalTable) -> tuple[DryRun, ...]:
    if pump.dry_run is None:
        return ()
    suction, current, flow = pump.dry_run.suction, pump.dry_run.current, pump.dry_run.flow
    signs: list[tuple[Sign, str, float, float]] = []
    if suction is not None:
        signs.append((Sign.SUCTION, suction.signal, suction.below.value, suction.after))
    if current is not None:
        signs.append((Sign.CURRENT, current.signal, current.below.value, current.after))
    if flow is not None:
        signs.append((Sign.FLOW, flow.signal, flow.below, flow.after))
    return tuple(
        DryRun(tag, sign, table.index[name], name, table[name].unit, below, after) for sign, name, below, after in signs
    )


def compile_pump_groups(site: Site, table: SignalTable, pumps: tuple[Pump, ...]) -> tuple[PumpGroup, ...]:
    """The groups, in the order of the site file."""
    places = {pump.tag: i for i, pump in enumerate(pumps)}
    return tuple(
        PumpGroup(
            tag=tag,
            place=i,
            places=tuple(places[pump] for pump in group.pumps),
            pumps=tuple(pumps[places[pump]] for pump in group.pumps),
            duty=group.duty,
            rotation=group.rotation,
            rotate_after=group.rotate_after,
            staging=_staging(group, table),
            stagger=group.stagger,
            exercise_idle=group.exercise.idle if group.exercise is not None else None,
            exercise_run=group.exercise.run if group.exercise is not None else 0.0,
        )
        for i, (tag, group) in enumerate(site.pump_groups.items())
    )


def _staging(group: GroupSettings, table: SignalTable) -> Staging | None:
    staging = group.staging
    if staging is None:
        return None
    return Staging(
        measure=staging.by,
        signal=place(table, staging.signal),
        name=staging.signal or "openings",
        unit=CANONICAL[staging.up.kind],
        up=staging.up.value,
        down=staging.down.value,
        up_after=staging.up_after,
        down_after=staging.down_after,
    )
