"""Loops: units that fit, one source of the set-point, actuators of their own, and no cascade in a circle."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from config.check.pid import check_pid
from config.check.references import Finding, References, Where, no_such, of_kind
from config.equipment import ModulatingValve
from config.loop import Dosing, Loop, LoopOutput, SplitOutput
from config.model import Measured
from config.site import Site
from config.units import CANONICAL

ACTUATOR_RANGE = (0.0, 100.0)
"""What an actuator can be given, in percent."""


def outer_loops(site: Site) -> dict[str, str]:
    """Each inner loop of a cascade and the loop that gives its set-point."""
    return {
        loop.output.loop: tag
        for tag, loop in site.loops.items()
        if loop.output is not None and loop.output.loop is not None
    }


def loop_order(site: Site) -> list[str]:
    """The loops, each after the one that gives its set-point. Raises ``CycleError`` where that is a circle."""
    outer = outer_loops(site)
    return list(TopologicalSorter({tag: [outer[tag]] if tag in outer else [] for tag in site.loops}).static_order())


def actuators(loop: Loop) -> tuple[LoopOutput | SplitOutput, ...]:
    """What a loop moves, with the field of the file that names it."""
    return (loop.output,) if loop.output is not None else loop.split_range or ()


def check_loops(known: References) -> Iterator[Finding]:
    """Every finding on the loops of a site."""
    owners = {
        valve: tag
        for tag, dispenser in known.site.dispensers.items()
        for valve in (dispenser.valve, getattr(dispenser, "slow_valve", None))
        if valve is not None
    }
    for tag, loop in known.site.loops.items():
        here: Where = ("loops", tag)
        if tag in known.site.dispensers:
            yield Finding(here, f"'{tag}', which is also a dispenser", "a name of its own")
        yield from _outputs(known, here, tag, loop, owners)
        yield from _measurement_side(known, here, loop)
        yield from _output_side(known, here, loop)
        yield from _source(known, here, tag, loop)
        if loop.dispenser is not None and loop.dispenser not in {*known.site.dispensers, *known.unknown}:
            yield no_such((*here, "dispenser"), loop.dispenser, known.site.dispensers, "dispenser")
    try:
        loop_order(known.site)
    except CycleError as error:
        circle = error.args[1]
        yield Finding(("loops", circle[0], "output", "loop"), f"a circle: {' -> '.join(circle)}", "a cascade that ends")


def _outputs(known: References, here: Where, tag: str, loop: Loop, owners: dict[str, str]) -> Iterator[Finding]:
    site = known.site
    for index, one in enumerate(actuators(loop)):
        at: Where = (*here, "output") if loop.output is not None else (*here, "split_range", index)
        inner = one.loop if isinstance(one, LoopOutput) else None
        if one.valve is not None:
            valve = site.valves.get(one.valve)
            if valve is None and one.valve not in known.unknown:
                yield no_such((*at, "valve"), one.valve, site.valves, "valve")
            elif valve is not None and not isinstance(valve, ModulatingValve):
                yield Finding((*at, "valve"), f"'{one.valve}', a {valve.type} valve", "a modulating valve")
        elif one.analog_output is not None:
            if one.analog_output not in {*site.analog_outputs, *known.unknown}:
                yield no_such((*at, "analog_output"), one.analog_output, site.analog_outputs, "analog output")
        elif inner is not None and inner not in {*site.loops, *known.unknown}:
            yield no_such((*at, "loop"), inner, site.loops, "loop")
        name = one.valve or one.analog_output or inner
        assert name is not None
        if name in owners:
            yield Finding(at, f"'{name}', which {owners[name]} moves", "an output of its own")
        owners.setdefault(name, tag)


def _measurement_side(known: References, here: Where, loop: Loop) -> Iterator[Finding]:
    yield from known.there_is((*here, "pv"), loop.pv)
    kind = known.kind(loop.pv)
    if kind is None:
        return
    if kind not in CANONICAL:
        yield Finding((*here, "pv"), f"'{loop.pv}', a {kind}", "a signal that is a number")
        return
    yield from check_pid((*here, "pid"), loop.pid, kind)
    low, high = loop.setpoint_range
    named: list[tuple[Where, Measured | None]] = [
        ((*here, "setpoint"), loop.setpoint),
        ((*here, "setpoint_range", 0), low),
        ((*here, "setpoint_range", 1), high),
        ((*here, "ratio", "bias"), loop.ratio.bias if loop.ratio is not None else None),
        ((*here, "tune", "band"), loop.tune.band if loop.tune is not None else None),
    ]
    wrong = [finding for path, one in named if one is not None for finding in of_kind(path, one, kind)]
    yield from wrong
    if wrong:
        return
    symbol = CANONICAL[kind]
    if low.value >= high.value:
        yield Finding((*here, "setpoint_range"), f"{low.value:g} to {high.value:g} {symbol}", "a range that rises")
    elif loop.setpoint is not None and not low.value <= loop.setpoint.value <= high.value:
        expected = f"{low.value:g} to {high.value:g} {symbol}, the setpoint_range"
        yield Finding((*here, "setpoint"), f"{loop.setpoint.value:g} {symbol}", expected)
    path, band = named[4]
    if band is not None and band.value <= 0:
        yield Finding(path, f"{band.value:g} {symbol}", f"above 0 {symbol}")


def output_kind(known: References, loop: Loop) -> str | None:
    """What the output of a loop is: a ratio for an actuator, in a cascade what the inner loop measures."""
    if loop.output is None or loop.output.loop is None:
        return "ratio"
    inner = known.site.loops.get(loop.output.loop)
    return known.kind(inner.pv) if inner is not None else None


def output_bounds(site: Site, loop: Loop) -> tuple[float, float]:
    """What a loop moves takes no more and no less than this: an inner set-point, an analog output, a valve."""
    output = loop.output
    if output is not None and output.loop in site.loops:
        low, high = site.loops[output.loop].setpoint_range
        return low.value, high.value
    if output is not None and output.analog_output in site.analog_outputs:
        analog = site.analog_outputs[output.analog_output]
        return analog.low, analog.high
    return ACTUATOR_RANGE


def _output_side(known: References, here: Where, loop: Loop) -> Iterator[Finding]:
    kind = output_kind(known, loop)
    if kind is None or kind not in CANONICAL:
        return
    low, high = loop.output_range or (None, None)
    tune, ahead = loop.tune, loop.feed_forward
    named: list[tuple[Where, Measured | None]] = [
        ((*here, "output_range", 0), low),
        ((*here, "output_range", 1), high),
        ((*here, "rate"), loop.rate),
        ((*here, "bad_pv", "output"), loop.bad_pv.output),
        ((*here, "tune", "amplitude"), tune.amplitude if tune is not None else None),
        ((*here, "feed_forward", "bias"), ahead.bias if ahead is not None else None),
    ]
    wrong = [finding for path, one in named if one is not None for finding in of_kind(path, one, kind)]
    yield from wrong
    if ahead is not None:
        yield from _number(known, (*here, "feed_forward", "signal"), ahead.signal)
    if loop.dosing is not None:
        yield from _dosing(known, here, loop.dosing, kind)
    if wrong:
        return
    symbol = CANONICAL[kind]
    if low is not None and high is not None:
        bounds = output_bounds(known.site, loop)
        within = f"within {bounds[0]:g} to {bounds[1]:g} {symbol}, which what it moves takes"
        if low.value >= high.value:
            yield Finding((*here, "output_range"), f"{low.value:g} to {high.value:g} {symbol}", "a range that rises")
        elif low.value < bounds[0] or high.value > bounds[1]:
            yield Finding((*here, "output_range"), f"{low.value:g} to {high.value:g} {symbol}", within)
    for path, one in (named[2], named[4]):
        if one is not None and one.value <= 0:
            yield Finding(path, f"{one.value:g} {symbol}", f"above 0 {symbol}")


def _dosing(known: References, here: Where, dosing: Dosing, kind: str) -> Iterator[Finding]:
    yield from known.signal((*here, "dosing", "flow"), dosing.flow, "flow")
    if kind != "ratio":
        yield Finding((*here, "dosing"), "an output to another loop", "an output to a pump's speed, in percent")
    for name, one in (("dose", dosing.dose), ("strength", dosing.strength)):
        wrong = list(of_kind((*here, "dosing", name), one, "concentration"))
        yield from wrong
        if not wrong and one.value <= 0:
            yield Finding((*here, "dosing", name), f"{one.value:g} mg/L", "above 0 mg/L")
    if dosing.trim <= 0:
        yield Finding((*here, "dosing", "trim"), f"{dosing.trim:g} %", "above 0 %: the PID only trims the dose")


def _source(known: References, here: Where, tag: str, loop: Loop) -> Iterator[Finding]:
    """Where the set-point of mode cascade comes from."""
    outer = outer_loops(known.site).get(tag)
    if loop.ratio is not None:
        yield from _number(known, (*here, "ratio", "signal"), loop.ratio.signal)
        if outer is not None:
            yield Finding((*here, "ratio"), f"a ratio, and {outer} gives the set-point too", "one of the two")
    elif outer is None and loop.mode == "cascade":
        yield Finding((*here, "mode"), "cascade", "a ratio, or a loop whose output is this one")


def _number(known: References, path: Where, name: str) -> Iterator[Finding]:
    yield from known.there_is(path, name)
    kind = known.kind(name)
    if kind is not None and kind not in CANONICAL:
        yield Finding(path, f"'{name}', a {kind}", "a signal that is a number")
