"""The program: what a site file compiles into. Blocks in lists, every reference already an index.

``control.compiler`` makes it once at load; a scan looks nothing up by name.
"""

from dataclasses import dataclass, field
from typing import Literal

from control.allocation import Allocation
from control.analog_output import AnalogOutput
from control.annunciator import Alarms
from control.arbitration import Demand
from control.batch import BatchDispenser
from control.bypass import BypassRule
from control.compliance import Compliance
from control.concession import Concession
from control.continuous import ContinuousDispenser
from control.device import Device
from control.guard import Guard
from control.interlock import Interlock, Permissive
from control.level import SupplyLevel
from control.loop import Loop
from control.measurement import Conditioned
from control.override import OverrideRules
from control.permit import Permit
from control.pump import Pump
from control.pump_group import PumpGroup
from control.site_alarm import AlarmCondition
from control.split_range import LoopOutput
from control.valve import Valve


@dataclass(frozen=True, slots=True)
class DispenserUnit:
    """A dispenser with the indices of what belongs to it in the program's lists.

    ``slow_valve``: the second valve of two stages, which is open in every stage. ``interlocks`` stop it, ``tripped_by``
    of them trip it too; ``permissives`` must let it start. ``group``: pumps for it, in place of ``pump``; others may
    draw from it too.
    """

    tag: str
    dispenser: BatchDispenser | ContinuousDispenser
    guards: tuple[int, ...]
    valve: int
    slow_valve: int | None
    pump: int | None
    level: SupplyLevel | None
    reset: Literal["local", "remote"]
    interlocks: tuple[int, ...] = ()
    tripped_by: tuple[int, ...] = ()
    permissives: tuple[int, ...] = ()
    group: PumpGroup | None = None


@dataclass(frozen=True, slots=True)
class LoopUnit:
    """A loop with what it moves, and the places in the program of the loops before and behind it in a cascade.

    ``dispenser``: the one that it stops with.
    """

    loop: Loop
    outputs: tuple[LoopOutput, ...]
    outer: int | None
    inner: int | None
    dispenser: int | None


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled site. ``signal_names``, ``units`` and ``stale_after`` are by image index. ``conditioned`` are
    in the order in which they rest on each other, ``loops`` too: an outer one before its inner one.

    ``proof_intervals`` are by guard, in seconds.

    ``safe``: every actuator in its safe position (valves closed, pumps off), in the order of all outputs: valves,
    pumps, analog outputs, close commands of valves with two (``close_places``: where, by valve). ``lone_valves``: those
    with a closing time that no dispenser has. ``off_takes``: the dispensers that take part in the allocation.
    ``longest_step_s``: no loop integrates over a longer gap between two scans.
    """

    signal_names: tuple[str, ...]
    units: tuple[str, ...]
    stale_after: tuple[float, ...]
    conditioned: tuple[Conditioned, ...]
    guards: tuple[Guard, ...]
    valves: tuple[Valve, ...]
    pumps: tuple[Pump, ...]
    pump_groups: tuple[PumpGroup, ...]
    analog_outputs: tuple[AnalogOutput, ...]
    devices: tuple[Device, ...]
    dispensers: tuple[DispenserUnit, ...]
    dispenser_index: dict[str, int]
    allocation: Allocation | None
    off_takes: tuple[int, ...]
    loops: tuple[LoopUnit, ...]
    loop_index: dict[str, int]
    longest_step_s: float
    interlocks: tuple[Interlock, ...]
    permissives: tuple[Permissive, ...]
    safe: tuple[Demand, ...]
    overrides: OverrideRules
    bypasses: dict[str, BypassRule]
    guard_index: dict[str, int]
    close_places: dict[int, int]
    lone_valves: tuple[int, ...]
    proof_intervals: tuple[float | None, ...]
    concessions: tuple[Concession, ...]
    compliance: Compliance
    permits: tuple[Permit, ...]
    alarms: Alarms = field(default_factory=Alarms)
    alarm_conditions: tuple[AlarmCondition, ...] = ()
