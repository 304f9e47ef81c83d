"""Dispensers: metered, with equipment that fits their mode, and with settings that fit each other."""

from collections.abc import Iterator

from config.check.guards import check_guards
from config.check.pid import check_pid
from config.check.references import Finding, References, Where, no_such, of_kind
from config.dispenser import BatchDispenser, ContinuousDispenser, Dispenser
from config.equipment import ModulatingValve
from config.units import CANONICAL


def check_dispenser(known: References, here: Where, dispenser: Dispenser) -> Iterator[Finding]:
    yield from known.signal((*here, "meter", "flow"), dispenser.meter.flow, "flow")
    yield from known.signal((*here, "meter", "total"), dispenser.meter.total, "volume")
    if dispenser.meter.empty_pipe is not None:
        yield from known.signal((*here, "meter", "empty_pipe"), dispenser.meter.empty_pipe, "bool")
    valve = known.site.valves.get(dispenser.valve)
    if valve is None and dispenser.valve not in known.unknown:
        yield no_such((*here, "valve"), dispenser.valve, known.site.valves, "valve")
    pumps = {**known.site.pumps, **known.site.pump_groups}
    if dispenser.pump is not None and dispenser.pump not in {*pumps, *known.unknown}:
        yield no_such((*here, "pump"), dispenser.pump, pumps, "pump or group of pumps")
    level = dispenser.supply_level
    if level is not None:
        yield from known.signal((*here, "supply_level", "signal"), level.signal, "length")
        if level.low_low >= level.low:
            expected = f"below supply_level.low, {level.low:g} m"
            yield Finding((*here, "supply_level", "low_low"), f"{level.low_low:g} m", expected)
    low, high = dispenser.low_flow, dispenser.high_flow
    if low is not None and high is not None and low >= high:
        yield Finding((*here, "low_flow"), f"{low:g} m3/h", f"below high_flow, {high:g} m3/h")
    yield from _check_quota(here, dispenser)
    match dispenser:
        case ContinuousDispenser():
            yield from _check_continuous(known, here, dispenser)
        case BatchDispenser():
            yield from _check_batch(known, here, dispenser)
    yield from check_guards(known, here, dispenser)


def _check_quota(here: Where, dispenser: Dispenser) -> Iterator[Finding]:
    quota = dispenser.quota
    if quota is None:
        return
    at: Where = (*here, "quota")
    if quota.daily is None and quota.yearly is None:
        yield Finding(at, "neither daily nor yearly", "daily, yearly, or both")
    if quota.at_limit == "throttle" and isinstance(dispenser, BatchDispenser):
        yield Finding((*at, "at_limit"), "'throttle'", "'stop': a batch dispenser takes no order beyond its quota")
    elif quota.at_limit == "throttle" and quota.throttle is None:
        yield Finding((*at, "throttle"), "nothing", "the flow at which it goes on, such as '20 m3/h'")
    elif quota.at_limit == "stop" and quota.throttle is not None:
        yield Finding((*at, "throttle"), f"{quota.throttle:g} m3/h", "at_limit: throttle, or no throttle")


def _check_continuous(known: References, here: Where, dispenser: ContinuousDispenser) -> Iterator[Finding]:
    valve = known.site.valves.get(dispenser.valve)
    if valve is not None and not isinstance(valve, ModulatingValve):
        yield Finding((*here, "valve"), f"'{dispenser.valve}', a {valve.type} valve", "a modulating valve")
    kind = dispenser.control
    wrong = [
        finding
        for field in ("setpoint", "max_setpoint", "ramp", "ramp_down")
        if (measured := getattr(dispenser, field)) is not None
        for finding in of_kind((*here, field), measured, kind)
    ]
    yield from wrong
    yield from check_pid((*here, "pid"), dispenser.pid, kind)
    if dispenser.limit_pid is not None:
        yield from check_pid((*here, "limit_pid"), dispenser.limit_pid, "flow")
    for field in ("setpoint", "max_setpoint", "ramp", "ramp_down"):
        measured = getattr(dispenser, field)
        if measured is not None and (measured.value < 0 or (field != "setpoint" and measured.value == 0)):
            yield Finding((*here, field), f"{measured.value:g} {CANONICAL[measured.kind]}", "more than nil")
    if not wrong and dispenser.setpoint.value > dispenser.max_setpoint.value:
        most = f"at most max_setpoint, {dispenser.max_setpoint.value:g} {CANONICAL[kind]}"
        yield Finding((*here, "setpoint"), f"{dispenser.setpoint.value:g} {CANONICAL[kind]}", most)
    if kind == "flow":
        if dispenser.pressure is not None:
            yield Finding((*here, "pressure"), f"'{dispenser.pressure}'", "control: pressure, or no pressure signal")
        if dispenser.limit_pid is not None:
            yield Finding((*here, "limit_pid"), "a limit_pid", "none: the set-point of flow itself is lowered to a cap")
        return
    if dispenser.pressure is None:
        yield Finding((*here, "pressure"), "nothing", "the signal of the pressure that is held")
    else:
        yield from known.signal((*here, "pressure"), dispenser.pressure, "pressure")
    if dispenser.high_flow is None:
        yield Finding((*here, "high_flow"), "nothing", "the flow above which the pipe has burst, such as '300 m3/h'")
    if dispenser.ramp is None:
        yield Finding((*here, "ramp"), "nothing", "how fast the set-point moves per second, such as '0.1 bar'")
    if dispenser.quota is not None and dispenser.quota.at_limit == "throttle" and dispenser.limit_pid is None:
        yield Finding((*here, "limit_pid"), "nothing", "the PID that holds the throttled flow of the quota")


def _check_batch(known: References, here: Where, dispenser: BatchDispenser) -> Iterator[Finding]:
    valve = known.site.valves.get(dispenser.valve)
    stages = bool(dispenser.slow_start or dispenser.slow_finish)
    if dispenser.slow_valve is not None:
        if dispenser.slow_valve not in {*known.site.valves, *known.unknown}:
            yield no_such((*here, "slow_valve"), dispenser.slow_valve, known.site.valves, "valve")
        if dispenser.slow_opening is not None:
            yield Finding((*here, "slow_opening"), "a slow_opening beside slow_valve", "one of the two")
        if not stages:
            yield Finding((*here, "slow_valve"), "no slow_start and no slow_finish", "one of them, or no slow_valve")
    else:
        slow = dispenser.slow_opening is not None or stages
        if slow and valve is not None and not isinstance(valve, ModulatingValve):
            found = f"slow stages with '{dispenser.valve}', a {valve.type} valve"
            yield Finding((*here, "valve"), found, "a modulating valve, a slow_valve beside it, or no slow stages")
        if stages and dispenser.slow_opening is None:
            yield Finding((*here, "slow_opening"), "nothing", "the opening in % for the slow stages")
    high = dispenser.high_flow
    if high is not None and high <= dispenser.full_flow:
        yield Finding((*here, "high_flow"), f"{high:g} m3/h", f"above full_flow, {dispenser.full_flow:g} m3/h")
    arm = dispenser.arm
    if arm is not None:
        for field in ("hose", "overfill", "start", "stop"):
            signal = getattr(arm, field)
            if signal is not None and signal != "command":
                yield from known.signal((*here, "arm", field), signal, "bool")
