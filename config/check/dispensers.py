"""Dispensers: metered, with equipment that fits their mode."""

from collections.abc import Iterator

from config.check.guards import check_guards
from config.check.references import Finding, References, Where, no_such
from config.dispenser import BatchDispenser, ContinuousDispenser, Dispenser
from config.equipment import ModulatingValve


def check_dispenser(known: References, here: Where, dispenser: Dispenser) -> Iterator[Finding]:
    yield from known.signal((*here, "meter", "flow"), dispenser.meter.flow, "flow")
    yield from known.signal((*here, "meter", "total"), dispenser.meter.total, "volume")
    valve = known.site.valves.get(dispenser.valve)
    if valve is None and dispenser.valve not in known.unknown:
        yield no_such((*here, "valve"), dispenser.valve, known.site.valves, "valve")
    if dispenser.pump is not None and dispenser.pump not in {*known.site.pumps, *known.unknown}:
        yield no_such((*here, "pump"), dispenser.pump, known.site.pumps, "pump")
    level = dispenser.supply_level
    if level is not None:
        yield from known.signal((*here, "supply_level", "signal"), level.signal, "length")
        if level.low_low >= level.low:
            expected = f"below supply_level.low, {level.low:g} m"
            yield Finding((*here, "supply_level", "low_low"), f"{level.low_low:g} m", expected)
    match dispenser:
        case ContinuousDispenser():
            if valve is not None and not isinstance(valve, ModulatingValve):
                yield Finding((*here, "valve"), f"'{dispenser.valve}', a {valve.type} valve", "a modulating valve")
            if dispenser.setpoint > dispenser.max_setpoint:
                found = f"{dispenser.setpoint:g} m3/h"
                yield Finding((*here, "setpoint"), found, f"at most max_setpoint, {dispenser.max_setpoint:g} m3/h")
        case BatchDispenser():
            slow = dispenser.slow_opening is not None or dispenser.slow_start or dispenser.slow_finish
            if slow and valve is not None and not isinstance(valve, ModulatingValve):
                found = f"slow stages with '{dispenser.valve}', a {valve.type} valve"
                yield Finding((*here, "valve"), found, "a modulating valve, or no slow stages")
            if (dispenser.slow_start or dispenser.slow_finish) and dispenser.slow_opening is None:
                yield Finding((*here, "slow_opening"), "nothing", "the opening in % for the slow stages")
    yield from check_guards(known, here, dispenser)
