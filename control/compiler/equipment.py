"""Valves, pumps and analog outputs, and the position each of them takes when nobody demands anything of it."""

from config.equipment import MotorValve
from config.signals import SignalTable
from config.site import Site
from control.arbitration import Demand, Rank
from control.cause import Cause
from control.code import Code
from control.pump import Pump
from control.valve import Valve


def compile_valves(site: Site, table: SignalTable) -> tuple[Valve, ...]:
    """The valves, in the order of the site file."""
    index = table.index
    return tuple(
        Valve(tag, index[valve.opened], index[valve.closed], None, 0.0, valve.travel, index[valve.open_command])
        if isinstance(valve, MotorValve)
        else Valve(
            tag,
            None,
            None,
            index[valve.position],
            valve.closed_below,
            valve.travel,
            index[valve.position_command],
            valve.close_time,
        )
        for tag, valve in site.valves.items()
    )


def compile_pumps(site: Site, table: SignalTable) -> tuple[Pump, ...]:
    """The pumps, in the order of the site file."""
    return tuple(
        Pump(tag, table.index[pump.running], pump.start_timeout, table.index[pump.run_command])
        for tag, pump in site.pumps.items()
    )


def safe_demands(
    site: Site, table: SignalTable, valves: tuple[Valve, ...], pumps: tuple[Pump, ...]
) -> tuple[Demand, ...]:
    """Every actuator in its safe position: valves closed, pumps off, analog outputs as the site says. In this order."""
    return (
        *(_safe(valve.tag, valve.output, False if valve.position is None else 0.0) for valve in valves),
        *(_safe(pump.tag, pump.output, False) for pump in pumps),
        *(_safe(tag, table.index[output.command], output.safe) for tag, output in site.analog_outputs.items()),
    )


def _safe(tag: str, output: int, value: bool | float) -> Demand:
    return Demand(tag, output, value, Rank.SAFE_DEFAULT, Cause(Code.NOT_USED, tag))
