"""What the protect phase finds in a scan: the judgement of every guard, level, piece of equipment and device."""

from dataclasses import dataclass

from control.analog_output import AnalogState
from control.cause import Cause
from control.device import DeviceState
from control.guard import GuardState
from control.interlock import InterlockState, PermissiveState
from control.level import LevelState
from control.output import OutputState
from control.pump import PumpState
from control.valve import ValveState


@dataclass(frozen=True, slots=True)
class Findings:
    """In the order of the program's lists. ``bypassed``: the names of the functions that are taken out."""

    guards: tuple[GuardState, ...]
    levels: tuple[LevelState, ...]
    valves: tuple[ValveState, ...]
    pumps: tuple[PumpState, ...]
    analog_outputs: tuple[AnalogState, ...]
    devices: tuple[DeviceState, ...]
    follow: tuple[OutputState, ...]
    interlocks: tuple[InterlockState, ...]
    permissives: tuple[PermissiveState, ...]
    bypassed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Permission:
    """Why a dispenser may not start, and why it may not run; ``None`` where it may."""

    start: Cause | None
    run: Cause | None
