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
    Seconds,
    SignalName,
    Tag,
    VolumeM3,
)


class Meter(FileModel):
    """The flow meter of a dispenser: instantaneous flow, and the meter's own totaliser that is billed by."""

    flow: SignalName
    total: SignalName
    rollover: PositiveVolumeM3 | None = None


class SupplyLevel(FileModel):
    """The tank a dispenser draws from. Below ``low`` no new order; below ``low_low`` (or unknown) it stops."""

    signal: SignalName
    low: Metres
    low_low: Metres


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


class BatchDispenser(_Dispenser):
    """Fills a tanker against an order.

    ``slow_opening`` (modulating valves only) is used for the first ``slow_start`` and the last ``slow_finish``
    of a fill. ``pre_act`` is how much early the valve closes until that is learned from overruns (by default half
    the stroke at the present flow), ``pre_act_limit`` clamps it. ``settle``: how long flow must be nil.
    """

    mode: Literal["batch"]
    max_order: PositiveVolumeM3
    full_flow: PositiveFlowM3h
    flow_timeout: PositiveSeconds = 10.0
    slow_opening: Percent | None = None
    slow_start: VolumeM3 = 0.0
    slow_finish: VolumeM3 = 0.0
    pre_act: VolumeM3 | None = None
    pre_act_limit: VolumeM3 = 0.5
    settle: PositiveSeconds = 2.0
    order_timeout: PositiveSeconds = 3600.0


class Pid(FileModel):
    """PID settings in the ISA standard form. ``gain`` in percent opening per m3/h."""

    gain: Annotated[float, Field(gt=0)]
    integral_time: PositiveSeconds
    derivative_time: Seconds = 0.0


class ContinuousDispenser(_Dispenser):
    """Serves a pipe: holds ``setpoint`` by a PID on a modulating valve, ramped at ``ramp`` m3/h per second."""

    mode: Literal["continuous"]
    setpoint: FlowM3h
    max_setpoint: PositiveFlowM3h
    ramp: PositiveFlowM3h = 5.0
    pid: Pid


Dispenser = Annotated[BatchDispenser | ContinuousDispenser, Field(discriminator="mode")]
