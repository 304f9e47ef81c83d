"""Loops, in the order of their cascades, with the places of what they move."""

from math import inf

from config.check.loops import actuators, loop_order, outer_loops, output_bounds
from config.load import LoadedSite
from config.loop import Loop as Settings
from config.signals import SignalTable
from config.site import Site
from config.units import CANONICAL
from control.arbitration import Demand
from control.autotune import Autotune
from control.compiler.pid import compile_pid
from control.feed_forward import Dosing, FeedForward, Ratio
from control.loop import Loop
from control.loop_state import Mode
from control.program import LoopUnit
from control.split_range import LoopOutput


def compile_loops(loaded: LoadedSite, safe: tuple[Demand, ...]) -> tuple[LoopUnit, ...]:
    """The loops; ``safe`` gives the places of the actuators."""
    site, table = loaded.site, loaded.signals
    order, outer = loop_order(site), outer_loops(site)
    places = {demand.tag: place for place, demand in enumerate(safe)}
    index = {tag: i for i, tag in enumerate(order)}
    dispensers = {tag: i for i, tag in enumerate(site.dispensers)}
    units = []
    for tag in order:
        settings = site.loops[tag]
        inner = settings.output.loop if settings.output is not None else None
        units.append(
            LoopUnit(
                loop=_loop(tag, settings, site, table, outer.get(tag)),
                outputs=_outputs(settings, places),
                outer=index[outer[tag]] if tag in outer else None,
                inner=index[inner] if inner is not None else None,
                dispenser=dispensers[settings.dispenser] if settings.dispenser is not None else None,
            )
        )
    return tuple(units)


def _outputs(settings: Settings, places: dict[str, int]) -> tuple[LoopOutput, ...]:
    if settings.split_range is not None:
        return tuple(
            LoopOutput(places[one.valve or one.analog_output or ""], *one.range, one.reverse)
            for one in settings.split_range
        )
    return tuple(LoopOutput(places[name]) for one in actuators(settings) if (name := one.valve or one.analog_output))


def _loop(tag: str, settings: Settings, site: Site, table: SignalTable, outer: str | None) -> Loop:
    pv = table[settings.pv]
    low, high, safe, output_unit = _output_range(settings, site, table)
    dosing, tune = settings.dosing, settings.tune
    trim = (-dosing.trim, dosing.trim) if dosing is not None else (low, high)
    rate = settings.rate.value if settings.rate is not None else inf
    bad = settings.bad_pv
    return Loop(
        tag=tag,
        pid=compile_pid(settings.pid, *trim, rate, reverse=settings.action == "reverse"),
        pv=pv.index,
        pv_name=pv.name,
        unit=pv.unit,
        output_unit=output_unit,
        mode=Mode(settings.mode),
        setpoint=settings.setpoint.value if settings.setpoint is not None else None,
        setpoint_low=settings.setpoint_range[0].value,
        setpoint_high=settings.setpoint_range[1].value,
        low=low,
        high=high,
        safe=safe,
        remote=_ratio(settings, table) or outer,
        feed_forward=_feed_forward(settings, table),
        bad_pv_after=bad.after,
        bad_pv_output=min(max(bad.output.value, low), high) if bad.output is not None else None,
        tune=Autotune(tune.amplitude.value, tune.band.value, tune.max_time) if tune is not None else None,
    )


def _output_range(settings: Settings, site: Site, table: SignalTable) -> tuple[float, float, float, str]:
    """Low, high, the safe output and its unit; that of an outer loop is the set-point its inner one begins at."""
    (low, high), unit, begins = output_bounds(site, settings), CANONICAL["ratio"], None
    if settings.output is not None and settings.output.loop is not None:
        inner = site.loops[settings.output.loop]
        begins, unit = inner.setpoint.value if inner.setpoint is not None else None, table[inner.pv].unit
    elif settings.output is not None and settings.output.analog_output is not None:
        begins = site.analog_outputs[settings.output.analog_output].safe
    if settings.output_range is not None:
        low, high = settings.output_range[0].value, settings.output_range[1].value
    safe = low if begins is None else min(max(begins, low), high)
    return low, high, safe, unit


def _ratio(settings: Settings, table: SignalTable) -> Ratio | None:
    ratio = settings.ratio
    if ratio is None:
        return None
    bias = ratio.bias.value if ratio.bias is not None else 0.0
    return Ratio(table.index[ratio.signal], ratio.signal, ratio.factor, bias)


def _feed_forward(settings: Settings, table: SignalTable) -> FeedForward | Dosing | None:
    ahead, dosing = settings.feed_forward, settings.dosing
    if ahead is not None:
        bias = ahead.bias.value if ahead.bias is not None else 0.0
        return FeedForward(table.index[ahead.signal], ahead.signal, ahead.gain, bias)
    if dosing is not None:
        flow = table.index[dosing.flow]
        return Dosing(flow, dosing.flow, dosing.dose.value, dosing.strength.value, dosing.capacity)
    return None
