"""Dispensers: the meter, the settings of the mode, and the place of everything that belongs to one."""

from config.dispenser import BatchDispenser as BatchSettings
from config.dispenser import ContinuousDispenser as ContinuousSettings
from config.dispenser import Dispenser as Settings
from config.signals import SignalTable
from control.batch import BatchDispenser
from control.continuous import ContinuousDispenser
from control.level import SupplyLevel
from control.pid import Pid
from control.program import DispenserUnit
from control.pump import Pump
from control.valve import Valve


def compile_dispenser(
    tag: str,
    settings: Settings,
    guards: tuple[int, ...],
    valves: tuple[Valve, ...],
    pumps: tuple[Pump, ...],
    table: SignalTable,
) -> DispenserUnit:
    """One dispenser; ``guards`` are the places of its guards in the program."""
    level = settings.supply_level
    valve = next(i for i, valve in enumerate(valves) if valve.tag == settings.valve)
    return DispenserUnit(
        tag=tag,
        dispenser=_dispenser(tag, settings, valves[valve].travel, table),
        guards=guards,
        valve=valve,
        pump=next((i for i, pump in enumerate(pumps) if pump.tag == settings.pump), None),
        level=SupplyLevel(table.index[level.signal], level.signal, level.low, level.low_low) if level else None,
        reset=settings.reset,
    )


def _dispenser(tag: str, settings: Settings, travel: float, table: SignalTable) -> BatchDispenser | ContinuousDispenser:
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
