"""Dispensers: the meter, the settings of the mode, and the place of everything that belongs to one."""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from config.dispenser import BatchDispenser as BatchSettings
from config.dispenser import ContinuousDispenser as ContinuousSettings
from config.dispenser import Dispenser as Settings
from config.signals import SignalTable
from control.arming import Arming
from control.batch import BatchDispenser
from control.cause import amount
from control.compiler.pid import compile_pid
from control.continuous import ContinuousDispenser
from control.fill_quality import Parameter
from control.flow_watch import FlowWatch
from control.guard import Guard
from control.level import SupplyLevel
from control.meter import Meter
from control.meter_check import MeterCheck
from control.pre_act import PreAct
from control.program import DispenserUnit
from control.pump import Pump
from control.pump_group import PumpGroup
from control.quota import AtLimit, Quota
from control.receipt import ReceiptFacts
from control.valve import Valve

HIGH_FLOW_FACTOR: Final = 1.5
"""A tanker that takes this much more than its full flow has a hose that burst."""
PIPE_SETTLE_S: Final = 2.0
RAMP_M3H: Final = 5.0


def compile_dispenser(
    tag: str,
    settings: Settings,
    guards: tuple[int, ...],
    own_guards: tuple[Guard, ...],
    valves: tuple[Valve, ...],
    pumps: tuple[Pump, ...],
    pump_groups: tuple[PumpGroup, ...],
    table: SignalTable,
    zone: ZoneInfo,
    version: str,
) -> DispenserUnit:
    """One dispenser; ``guards`` are the places of ``own_guards`` in the program, ``version`` is the site file's."""
    level = settings.supply_level
    valve = _place(valves, settings.valve)
    slow_valve = _place(valves, settings.slow_valve) if isinstance(settings, BatchSettings) else None
    assert valve is not None
    travel = max(
        max(valves[place].travel, valves[place].close_time) for place in (valve, slow_valve) if place is not None
    )
    return DispenserUnit(
        tag=tag,
        dispenser=_dispenser(tag, settings, travel, own_guards, table, zone, version),
        guards=guards,
        valve=valve,
        slow_valve=slow_valve,
        pump=_place(pumps, settings.pump),
        level=SupplyLevel(table.index[level.signal], level.signal, level.low, level.low_low) if level else None,
        reset=settings.reset,
        group=next((group for group in pump_groups if group.tag == settings.pump), None),
    )


def _place(equipment: Sequence[Valve | Pump], tag: str | None) -> int | None:
    return next((i for i, one in enumerate(equipment) if one.tag == tag), None)


def _dispenser(
    tag: str,
    settings: Settings,
    travel: float,
    guards: tuple[Guard, ...],
    table: SignalTable,
    zone: ZoneInfo,
    version: str,
) -> BatchDispenser | ContinuousDispenser:
    meter, index = settings.meter, table.index
    facts = ReceiptFacts(tag, settings.use, meter.total, tuple(_parameter(guard) for guard in guards), version)
    check = MeterCheck(meter.deviation, meter.deviation_least)
    match settings:
        case BatchSettings():
            high = settings.high_flow if settings.high_flow is not None else HIGH_FLOW_FACTOR * settings.full_flow
            return BatchDispenser(
                tag=tag,
                use=settings.use,
                flow=index[meter.flow],
                flow_name=meter.flow,
                meter=_meter(tag, settings, settings.full_flow, settings.settle, table),
                check=check,
                watch=_watch(tag, settings, high, expects_flow=True),
                arming=_arming(tag, settings, table),
                pre_act=PreAct(settings.pre_act, settings.pre_act_limit, travel),
                quota=_quota(tag, settings, zone),
                facts=facts,
                max_order_m3=settings.max_order,
                slow_opening=settings.slow_opening or 0.0,
                slow_valve=settings.slow_valve is not None,
                slow_start_m3=settings.slow_start,
                slow_finish_m3=settings.slow_finish,
                settle=settings.settle,
                order_timeout=settings.order_timeout,
                unauthorised_after=settings.unauthorised_after,
            )
        case ContinuousSettings():
            by_flow = settings.control == "flow"
            ramp = settings.ramp.value if settings.ramp is not None else RAMP_M3H
            full_flow = settings.high_flow if settings.high_flow is not None else settings.max_setpoint.value
            return ContinuousDispenser(
                tag=tag,
                use=settings.use,
                control=settings.control,
                unit="m3/h" if by_flow else "bar",
                flow=index[meter.flow],
                flow_name=meter.flow,
                pressure=index[settings.pressure] if settings.pressure is not None else None,
                pressure_name=settings.pressure or "",
                meter=_meter(tag, settings, full_flow, PIPE_SETTLE_S, table),
                check=check,
                watch=_watch(tag, settings, settings.high_flow, expects_flow=by_flow),
                quota=_quota(tag, settings, zone),
                facts=facts,
                setpoint=settings.setpoint.value,
                max_setpoint=settings.max_setpoint.value,
                ramp_up=ramp,
                ramp_down=settings.ramp_down.value if settings.ramp_down is not None else ramp,
                unauthorised_after=settings.unauthorised_after,
                pid=compile_pid(settings.pid),
                limit_pid=compile_pid(settings.limit_pid) if settings.limit_pid is not None else None,
            )


def _parameter(guard: Guard) -> Parameter:
    limits = [amount(limit, guard.unit) for limit in (guard.low, guard.high) if limit is not None]
    return Parameter(
        guard.parameter, guard.unit, " to ".join(limits), guard.limit_status, guard.limit_origin, guard.signal_name
    )


def _meter(tag: str, settings: Settings, full_flow: float, settle: float, table: SignalTable) -> Meter:
    meter = settings.meter
    # What the site says of its meter counts before what the meter's profile says of its kind.
    rollover_m3 = meter.rollover if meter.rollover is not None else table[meter.total].rollover
    empty_pipe = table.index[meter.empty_pipe] if meter.empty_pipe is not None else None
    return Meter(tag, table.index[meter.total], meter.total, rollover_m3, full_flow, settle, empty_pipe)


def _watch(tag: str, settings: Settings, high_m3h: float | None, *, expects_flow: bool) -> FlowWatch:
    return FlowWatch(
        tag=tag,
        none_below_m3h=settings.no_flow_below,
        none_after=settings.flow_timeout,
        low_m3h=settings.low_flow,
        low_after=settings.low_flow_after,
        high_m3h=high_m3h,
        high_after=settings.high_flow_after,
        expects_flow=expects_flow,
    )


def _arming(tag: str, settings: BatchSettings, table: SignalTable) -> Arming | None:
    arm = settings.arm
    if arm is None:
        return None
    start = table.index[arm.start] if arm.start is not None and arm.start != "command" else None
    return Arming(
        tag=tag,
        hose=table.index[arm.hose] if arm.hose is not None else None,
        hose_name=arm.hose or "",
        overfill=table.index[arm.overfill] if arm.overfill is not None else None,
        overfill_name=arm.overfill or "",
        start=start,
        stop=table.index[arm.stop] if arm.stop is not None else None,
        stop_name=arm.stop or "",
        by_start=arm.start is not None,
        timeout=arm.timeout,
    )


def _quota(tag: str, settings: Settings, zone: ZoneInfo) -> Quota | None:
    quota = settings.quota
    if quota is None:
        return None
    return Quota(tag, zone, quota.daily, quota.yearly, AtLimit(quota.at_limit), quota.throttle or 0.0)
