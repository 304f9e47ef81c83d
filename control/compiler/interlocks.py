"""Interlocks and permissives: their conditions, and the places of what they act on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from config.equipment import MotorValve
from config.interlock import Interlock as InterlockSettings
from config.interlock import Permissive as PermissiveSettings
from config.signals import SignalTable
from config.site import Site
from control.alarm import Priority
from control.arbitration import Demand
from control.compiler.expressions import Names, compile_expression
from control.guard import Guard
from control.interlock import Interlock, Permissive
from control.program import DispenserUnit
from control.pump import Pump
from control.valve import Valve


def compile_names(
    site: Site,
    table: SignalTable,
    valves: Sequence[Valve],
    pumps: Sequence[Pump],
    guards: Sequence[Guard],
    units: Sequence[DispenserUnit],
) -> Names:
    """What expressions may name, and where it stands in the program."""
    feedback: dict[str, tuple[str, ...]] = {guard.name: (guard.signal_name,) for guard in guards}
    for tag, valve in site.valves.items():
        feedback[tag] = (valve.closed, valve.opened) if isinstance(valve, MotorValve) else (valve.position,)
    feedback |= {tag: (pump.running,) for tag, pump in site.pumps.items()}
    return Names(
        table,
        valves={valve.tag: i for i, valve in enumerate(valves)},
        pumps={pump.tag: i for i, pump in enumerate(pumps)},
        guards={guard.name: i for i, guard in enumerate(guards)},
        dispensers={unit.tag: i for i, unit in enumerate(units)},
        feedback=feedback,
    )


def compile_interlocks(
    site: Site, names: Names, units: Sequence[DispenserUnit], safe: Sequence[Demand]
) -> tuple[Interlock, ...]:
    """The interlocks, in the order of the site file; ``safe`` are all outputs, in their order."""
    # The first of a tag: the close command of a valve with two follows what the valve is given.
    outputs = {demand.tag: place for place, demand in reversed(list(enumerate(safe)))}
    return tuple(_interlock(name, interlock, names, units, outputs) for name, interlock in site.interlocks.items())


def compile_permissives(site: Site, names: Names, units: Sequence[DispenserUnit]) -> tuple[Permissive, ...]:
    """The permissives, in the order of the site file."""
    return tuple(_permissive(name, permissive, names, units) for name, permissive in site.permissives.items())


def with_interlocks(
    units: Sequence[DispenserUnit], interlocks: Sequence[Interlock], permissives: Sequence[Permissive]
) -> tuple[DispenserUnit, ...]:
    """The dispensers, each with the places of what stops it, trips it and lets it start."""
    return tuple(
        replace(
            unit,
            interlocks=tuple(i for i, interlock in enumerate(interlocks) if place in interlock.dispensers),
            tripped_by=tuple(i for i, interlock in enumerate(interlocks) if place in interlock.tripped),
            permissives=tuple(i for i, permissive in enumerate(permissives) if place in permissive.dispensers),
        )
        for place, unit in enumerate(units)
    )


def _interlock(
    name: str, settings: InterlockSettings, names: Names, units: Sequence[DispenserUnit], outputs: Mapping[str, int]
) -> Interlock:
    condition = compile_expression(settings.when, names)
    valves = {names.valves[tag] for tag in settings.closes}
    pumps = {names.pumps[tag] for tag in settings.stops if tag in names.pumps}
    tripped = [names.dispensers[tag] for tag in settings.trips]
    stopped = {names.dispensers[tag] for tag in settings.stops if tag in names.dispensers}
    # A dispenser whose valve or pump is taken from it is stopped in order, and knows why.
    stopped |= {i for i, unit in enumerate(units) if valves & {unit.valve, unit.slow_valve} or unit.pump in pumps}
    text, text_zh = _texts(settings, condition.text)
    return Interlock(
        name=name,
        condition=condition,
        dispensers=tuple(sorted({*stopped, *tripped})),
        tripped=tuple(sorted(tripped)),
        actuators=tuple(sorted(outputs[tag] for tag in (*settings.closes, *settings.stops) if tag in outputs)),
        ignores_unknown=settings.on_unknown == "ignore",
        unknown_delay=settings.unknown_delay,
        priority=Priority[settings.priority.upper()],
        text=text,
        text_zh=text_zh,
    )


def _permissive(name: str, settings: PermissiveSettings, names: Names, units: Sequence[DispenserUnit]) -> Permissive:
    condition = compile_expression(settings.when, names)
    pumps = {names.pumps[tag] for tag in settings.for_ if tag in names.pumps}
    own = {unit.pump for unit in units}
    dispensers = {names.dispensers[tag] for tag in settings.for_ if tag in names.dispensers}
    dispensers |= {i for i, unit in enumerate(units) if unit.pump in pumps}
    text, text_zh = _texts(settings, condition.text)
    # A dispenser starts its own pump in the course of a start that was permitted as a whole.
    return Permissive(name, condition, tuple(sorted(dispensers)), tuple(sorted(pumps - own)), text, text_zh)


def _texts(settings: InterlockSettings | PermissiveSettings, condition: str) -> tuple[str, str]:
    """What it is, with its condition, in English and in Chinese."""
    text, text_zh = settings.text, settings.text_zh or settings.text
    return f"{text} ({condition})" if text else condition, f"{text_zh}（{condition}）" if text_zh else condition
