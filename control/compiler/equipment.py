"""Valves and analog outputs, and the position that each actuator takes when nobody demands anything of it."""

from config.equipment import ModulatingValve, MotorValve
from config.equipment import Valve as Settings
from config.signals import SignalTable
from config.site import Site
from control.analog_output import AnalogOutput
from control.arbitration import Demand, Rank
from control.cause import Cause
from control.code import Code
from control.positioner import Positioner
from control.pump import Pump
from control.strokes import StrokeWatch
from control.valve import Valve

STICK_PART = 0.25
STICK_LEAST_S = 5.0
"""A positioned valve that stands still for this part of its stroke under a new demand sticks, but not sooner."""


def compile_valves(site: Site, table: SignalTable) -> tuple[Valve, ...]:
    """The valves, in the order of the site file."""
    return tuple(_valve(tag, valve, table) for tag, valve in site.valves.items())


def _valve(tag: str, valve: Settings, table: SignalTable) -> Valve:
    return Valve(
        tag=tag,
        opened=place(table, valve.opened),
        closed=place(table, valve.closed),
        position=None if isinstance(valve, MotorValve) else table.index[valve.position],
        closed_below=0.0 if isinstance(valve, MotorValve) else valve.closed_below,
        travel=valve.travel,
        output=table.index[valve.open_command if isinstance(valve, MotorValve) else valve.position_command],
        close_time=0.0 if isinstance(valve, MotorValve) else valve.close_time,
        close_output=place(table, valve.close_command) if isinstance(valve, MotorValve) else None,
        remote=place(table, valve.remote),
        own_fault=place(table, valve.fault),
        stays=valve.fail == "last",
        positioner=None if isinstance(valve, MotorValve) else _positioner(valve),
        strokes=StrokeWatch(tag, valve.travel, valve.slow_factor),
    )


def _positioner(valve: ModulatingValve) -> Positioner:
    stick_after = valve.stick_after or max(STICK_LEAST_S, STICK_PART * valve.travel)
    return Positioner(valve.travel, valve.tolerance, stick_after)


def place(table: SignalTable, name: str | None) -> int | None:
    """The image index of a signal that may be missing."""
    return table.index[name] if name is not None else None


def compile_analog_outputs(site: Site, table: SignalTable) -> tuple[AnalogOutput, ...]:
    """The analog outputs, in the order of the site file."""
    return tuple(
        AnalogOutput(tag, one.safe, one.low, one.high, place(table, one.feedback), one.tolerance, one.follow_after)
        for tag, one in site.analog_outputs.items()
    )


def safe_demands(
    site: Site, table: SignalTable, valves: tuple[Valve, ...], pumps: tuple[Pump, ...]
) -> tuple[Demand, ...]:
    """Every actuator in its safe position: valves closed, pumps off, analog outputs as the site says. In this order.

    Last the close commands of valves that have two: such a valve is driven closed.
    """
    return (
        *(_safe(valve.tag, valve.output, False if valve.position is None else 0.0) for valve in valves),
        *(_safe(pump.tag, pump.output, False) for pump in pumps),
        *(_safe(tag, table.index[output.command], output.safe) for tag, output in site.analog_outputs.items()),
        *(_safe(valve.tag, valve.close_output, True) for valve in valves if valve.close_output is not None),
    )


def close_places(valves: tuple[Valve, ...], safe: tuple[Demand, ...]) -> dict[int, int]:
    """Where among the outputs the close command of each valve with two is, by the place of the valve."""
    with_two = [v for v, valve in enumerate(valves) if valve.close_output is not None]
    return dict(zip(with_two, range(len(safe) - len(with_two), len(safe)), strict=True))


def _safe(tag: str, output: int, value: bool | float) -> Demand:
    return Demand(tag, output, value, Rank.SAFE_DEFAULT, Cause(Code.NOT_USED, tag))
