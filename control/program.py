"""The program: what a site file compiles into. Blocks in lists, every reference already an index.

``compile_site`` is run once at load; a scan looks nothing up by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from config.check.guards import dispenser_limits
from config.dispenser import BatchDispenser as BatchSettings
from config.dispenser import ContinuousDispenser as ContinuousSettings
from config.dispenser import Dispenser as DispenserSettings
from config.equipment import MotorValve
from config.guard import BatchGuard as BatchGuardSettings
from config.guard import FastGuard as FastGuardSettings
from config.guard import Guard as GuardSettings
from config.load import LoadedSite
from config.signals import Signal, SignalTable
from config.standard import AppliedLimit, uses
from control.batch import BatchDispenser
from control.continuous import ContinuousDispenser
from control.device import Device
from control.guard import BatchGuard, FastGuard, Guard
from control.level import SupplyLevel
from control.pid import Pid
from control.pump import Pump
from control.valve import Valve

SLOW_POLLS = 10.0
"""A signal read this many times more seldom than the fastest of its device does not tell whether the device answers."""


@dataclass(frozen=True, slots=True)
class DispenserUnit:
    """A dispenser with the indices of what belongs to it in the program's lists."""

    tag: str
    dispenser: BatchDispenser | ContinuousDispenser
    guards: tuple[int, ...]
    valve: int
    pump: int | None
    level: SupplyLevel | None
    reset: Literal["local", "remote"]


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled site. ``signal_names``, ``units`` and ``stale_after`` are by image index."""

    signal_names: tuple[str, ...]
    units: tuple[str, ...]
    stale_after: tuple[float, ...]
    guards: tuple[Guard, ...]
    valves: tuple[Valve, ...]
    pumps: tuple[Pump, ...]
    devices: tuple[Device, ...]
    dispensers: tuple[DispenserUnit, ...]
    dispenser_index: dict[str, int]


def compile_site(loaded: LoadedSite) -> Program:
    """Compiles a checked site."""
    site, table = loaded.site, loaded.signals
    index = table.index
    valves = tuple(
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
        )
        for tag, valve in site.valves.items()
    )
    pumps = tuple(
        Pump(tag, index[pump.running], pump.start_timeout, index[pump.run_command]) for tag, pump in site.pumps.items()
    )
    valve_index = {valve.tag: i for i, valve in enumerate(valves)}
    pump_index = {pump.tag: i for i, pump in enumerate(pumps)}
    guards: list[Guard] = []
    units: list[DispenserUnit] = []
    for tag, settings in site.dispensers.items():
        limits = dispenser_limits(settings)
        own: list[int] = []
        for parameter, guard in settings.guards.items():
            own.append(len(guards))
            guards.append(_guard(f"{tag}.{parameter}", parameter, guard, limits[parameter], settings, loaded))
        level = settings.supply_level
        units.append(
            DispenserUnit(
                tag=tag,
                dispenser=_dispenser(tag, settings, valves[valve_index[settings.valve]].travel, table),
                guards=tuple(own),
                valve=valve_index[settings.valve],
                pump=pump_index[settings.pump] if settings.pump is not None else None,
                level=SupplyLevel(index[level.signal], level.signal, level.low, level.low_low) if level else None,
                reset=settings.reset,
            )
        )
    return Program(
        signal_names=tuple(signal.name for signal in table.signals),
        units=tuple(signal.unit for signal in table.signals),
        stale_after=tuple(signal.stale_after for signal in table.signals),
        guards=tuple(guards),
        valves=valves,
        pumps=pumps,
        devices=tuple(
            Device(tag, tuple(signal.index for signal in signals if signal.poll <= SLOW_POLLS * _fastest(signals)))
            for tag, signals in table.by_device.items()
        ),
        dispensers=tuple(units),
        dispenser_index={unit.tag: i for i, unit in enumerate(units)},
    )


def _fastest(signals: Sequence[Signal]) -> float:
    """The shortest poll period of a device, in seconds."""
    return min(signal.poll for signal in signals)


def _guard(
    name: str,
    parameter: str,
    settings: GuardSettings,
    limit: AppliedLimit,
    dispenser: DispenserSettings,
    loaded: LoadedSite,
) -> Guard:
    signal = loaded.signals[settings.signal]
    high = settings.high.value if settings.high is not None else limit.high
    low = settings.low.value if settings.low is not None else limit.low
    stricter = (settings.high is not None and high != limit.high) or (settings.low is not None and low != limit.low)
    origin = f"site file, stricter than {limit.origin}" if stricter else limit.origin
    match settings:
        case FastGuardSettings():
            return FastGuard(
                name=name,
                parameter=parameter,
                signal=signal.index,
                signal_name=signal.name,
                unit=signal.unit,
                high=high,
                low=low,
                instant_high=settings.instant.value if settings.instant is not None else None,
                instant_low=settings.instant_low.value if settings.instant_low is not None else None,
                stop_delay=settings.stop_delay,
                clear_time=settings.clear_time,
                hysteresis=settings.hysteresis,
                mark_cap=settings.mark_cap,
                limit_origin=origin,
                limit_status=limit.status,
            )
        case BatchGuardSettings():
            return BatchGuard(
                name=name,
                parameter=parameter,
                signal=signal.index,
                signal_name=signal.name,
                unit=signal.unit,
                high=high,
                low=low,
                interval=settings.interval,
                staleness=settings.staleness or uses()[dispenser.use].staleness,
                expired_after=settings.expired_after,
                results_to_clear=settings.results_to_clear,
                hysteresis=settings.hysteresis,
                limit_origin=origin,
                limit_status=limit.status,
            )


def _dispenser(
    tag: str, settings: DispenserSettings, travel: float, table: SignalTable
) -> BatchDispenser | ContinuousDispenser:
    meter, index = settings.meter, table.index
    # What the site says of its meter counts before what the meter's profile says of its kind.
    rollover_m3 = meter.rollover if meter.rollover is not None else table[meter.total].rollover
    match settings:
        case BatchSettings():
            return BatchDispenser(
                tag=tag,
                use=settings.use,
                flow=index[meter.flow],
                flow_name=meter.flow,
                total=index[meter.total],
                total_name=meter.total,
                rollover_m3=rollover_m3,
                max_order_m3=settings.max_order,
                full_flow_m3h=settings.full_flow,
                flow_timeout=settings.flow_timeout,
                no_flow_below_m3h=settings.no_flow_below,
                unauthorised_after=settings.unauthorised_after,
                slow_opening=settings.slow_opening or 0.0,
                slow_start_m3=settings.slow_start,
                slow_finish_m3=settings.slow_finish,
                pre_act_start_m3=settings.pre_act,
                pre_act_limit_m3=settings.pre_act_limit,
                settle=settings.settle,
                order_timeout=settings.order_timeout,
                valve_travel=travel,
            )
        case ContinuousSettings():
            return ContinuousDispenser(
                tag=tag,
                use=settings.use,
                flow=index[meter.flow],
                flow_name=meter.flow,
                total=index[meter.total],
                total_name=meter.total,
                rollover_m3=rollover_m3,
                setpoint_m3h=settings.setpoint,
                max_setpoint_m3h=settings.max_setpoint,
                ramp_m3h_s=settings.ramp,
                no_flow_below_m3h=settings.no_flow_below,
                unauthorised_after=settings.unauthorised_after,
                settle=2.0,
                pid=Pid(settings.pid.gain, settings.pid.integral_time, settings.pid.derivative_time),
            )
