"""The dispensers of a site file: where water leaves, under which use, through which meter and valve."""

from typing import Annotated, Literal

from pydantic import Field

from config.guard import Guard
from config.model import (
    FileModel,
    FlowM3h,
    Metres,
    Percent,
    PositiveFlowM3h,
    PositiveSeconds,
    PositiveVolumeM3,
    Quantity,
    SignalName,
    Tag,
    VolumeM3,
)
from config.pid import Pid


class Meter(FileModel):
    """The flow meter of a dispenser: instantaneous flow, and the meter's own totaliser that is billed by.

    ``empty_pipe``: a bool signal, true while the meter's pipe is empty. Flow, integrated, may differ from the
    totaliser by ``deviation`` (and by ``deviation_least``) before that is an alarm.
    """

    flow: SignalName
    total: SignalName
    rollover: PositiveVolumeM3 | None = None
    empty_pipe: SignalName | None = None
    deviation: Percent = 5.0
    deviation_least: VolumeM3 = 0.05


class SupplyLevel(FileModel):
    """The tank a dispenser draws from. Below ``low`` no new order; below ``low_low`` (or unknown) it stops."""

    signal: SignalName
    low: Metres
    low_low: Metres


class Arm(FileModel):
    """What must be in place at a fill arm: bool signals, true when the hose is connected and the overfill probe well.

    ``start``: a press lets an armed fill begin; ``command``: only ``penstock start`` does. ``stop``: true ends it.
    """

    hose: SignalName | None = None
    overfill: SignalName | None = None
    start: SignalName | Literal["command"] | None = None
    stop: SignalName | None = None
    timeout: PositiveSeconds = 300.0


class Quota(FileModel):
    """How much a dispenser may give in a day and a year of the site's calendar.

    A batch dispenser takes no order beyond it; a continuous one stops ``at_limit`` or goes on at ``throttle``.
    """

    daily: PositiveVolumeM3 | None = None
    yearly: PositiveVolumeM3 | None = None
    at_limit: Literal["stop", "throttle"] = "stop"
    throttle: PositiveFlowM3h | None = None


class _Dispenser(FileModel):
    use: str
    standards: tuple[str, ...] = ()
    meter: Meter
    valve: Tag
    pump: Tag | None = None
    guards: Annotated[dict[str, Guard], Field(min_length=1)]
    supply_level: SupplyLevel | None = None
    reset: Literal["local", "remote"] = "local"
    no_flow_below: FlowM3h = 0.5
    unauthorised_after: PositiveSeconds = 5.0
    low_flow: PositiveFlowM3h | None = None
    low_flow_after: PositiveSeconds = 30.0
    high_flow: PositiveFlowM3h | None = None
    high_flow_after: PositiveSeconds = 3.0
    quota: Quota | None = None


class BatchDispenser(_Dispenser):
    """Fills a tanker against an order.

    The first ``slow_start`` and the last ``slow_finish`` of a fill run slowly: a modulating valve at ``slow_opening``,
    or a second valve, ``slow_valve``, alone. ``high_flow`` is 1.5 times ``full_flow`` if not given. ``pre_act`` is how
    much early the valve closes until that is learned from overruns (by default half the stroke at the present flow),
    ``pre_act_limit`` clamps it. ``settle``: how long flow must be nil.
    """

    mode: Literal["batch"]
    max_order: PositiveVolumeM3
    full_flow: PositiveFlowM3h
    flow_timeout: PositiveSeconds = 10.0
    slow_opening: Percent | None = None
    slow_valve: Tag | None = None
    slow_start: VolumeM3 = 0.0
    slow_finish: VolumeM3 = 0.0
    pre_act: VolumeM3 | None = None
    pre_act_limit: VolumeM3 = 0.5
    settle: PositiveSeconds = 2.0
    order_timeout: PositiveSeconds = 3600.0
    arm: Arm | None = None


class ContinuousDispenser(_Dispenser):
    """Serves a pipe: a PID on a modulating valve holds ``setpoint`` of flow, or of the ``pressure`` at a signal.

    ``ramp`` is how fast the set-point moves per second, ``ramp_down`` if it falls at another pace. Under control of
    pressure ``limit_pid`` holds the flow under a cap, and ``high_flow`` says how much the pipe is meant to carry.
    """

    mode: Literal["continuous"]
    control: Literal["flow", "pressure"] = "flow"
    pressure: SignalName | None = None
    setpoint: Quantity
    max_setpoint: Quantity
    ramp: Quantity | None = None
    ramp_down: Quantity | None = None
    flow_timeout: PositiveSeconds = 60.0
    pid: Pid
    limit_pid: Pid | None = None


Dispenser = Annotated[BatchDispenser | ContinuousDispenser, Field(discriminator="mode")]
