"""What the scan remembers from one scan to the next: the state of every block, in the order of the program's lists."""

from dataclasses import dataclass

from control import analog_output, bypass
from control.allocation import AllocationState
from control.analog_output import AnalogState
from control.annunciator import Annunciator
from control.arbitration import Demand
from control.batch import BatchDispenser
from control.bypass import NO_BYPASS, BypassState
from control.compliance import ComplianceState
from control.continuous import ContinuousState
from control.device import DeviceState
from control.expression import Memory
from control.fill import BatchState
from control.findings import Findings
from control.guard import GuardState
from control.interlock import InterlockState, PermissiveState
from control.level import LevelState
from control.loop_state import LoopState
from control.measurement import UNREAD, ConditionedState
from control.output import OutputState
from control.override import Override
from control.permit import PermitState
from control.program import Program
from control.proof_test import NEVER_TESTED, ProofState
from control.pump import PumpState
from control.pump_group import GroupState
from control.trip import TripState
from control.valve import ValveState

DispenserState = BatchState | ContinuousState


@dataclass(frozen=True, slots=True)
class ScanState:
    """Every block's state, in the order of the program's lists. ``scanned_at``: the last scan (monotonic s)."""

    conditioned: tuple[ConditionedState, ...]
    guards: tuple[GuardState, ...]
    levels: tuple[LevelState, ...]
    trips: tuple[TripState, ...]
    valves: tuple[ValveState, ...]
    pumps: tuple[PumpState, ...]
    pump_groups: tuple[GroupState, ...]
    analog_outputs: tuple[AnalogState, ...]
    devices: tuple[DeviceState, ...]
    follow: tuple[OutputState, ...]
    interlocks: tuple[InterlockState, ...]
    permissives: tuple[PermissiveState, ...]
    dispensers: tuple[DispenserState, ...]
    loops: tuple[LoopState, ...]
    allocation: AllocationState | None
    alarms: Annunciator
    alarm_memories: tuple[Memory, ...]
    overrides: tuple[Override, ...]
    bypasses: BypassState
    proof: ProofState
    outputs: tuple[Demand, ...]
    compliance: ComplianceState
    permits: tuple[PermitState, ...]
    scanned_at: float | None = None


def findings(state: ScanState) -> Findings:
    """The part of the state that phase 2 steps."""
    return Findings(
        guards=state.guards,
        levels=state.levels,
        valves=state.valves,
        pumps=state.pumps,
        analog_outputs=state.analog_outputs,
        devices=state.devices,
        follow=state.follow,
        interlocks=state.interlocks,
        permissives=state.permissives,
        bypassed=bypass.names(state.bypasses),
    )


def initial_state(program: Program) -> ScanState:
    """Nothing known, everything safe."""
    return ScanState(
        conditioned=tuple(UNREAD for _ in program.conditioned),
        guards=tuple(guard.initial() for guard in program.guards),
        levels=tuple(LevelState() for _ in program.dispensers),
        trips=tuple(TripState() for _ in program.dispensers),
        valves=tuple(ValveState() for _ in program.valves),
        pumps=tuple(PumpState() for _ in program.pumps),
        pump_groups=tuple(group.initial() for group in program.pump_groups),
        analog_outputs=tuple(analog_output.AT_REST for _ in program.analog_outputs),
        devices=tuple(DeviceState() for _ in program.devices),
        follow=tuple(OutputState() for _ in program.safe),
        interlocks=tuple(interlock.initial() for interlock in program.interlocks),
        permissives=tuple(permissive.initial() for permissive in program.permissives),
        dispensers=tuple(
            BatchState() if isinstance(unit.dispenser, BatchDispenser) else ContinuousState()
            for unit in program.dispensers
        ),
        loops=tuple(unit.loop.initial() for unit in program.loops),
        allocation=program.allocation.initial() if program.allocation is not None else None,
        alarms=Annunciator(),
        alarm_memories=tuple(one.condition.initial() for one in program.alarm_conditions),
        overrides=(),
        bypasses=NO_BYPASS,
        proof=NEVER_TESTED,
        outputs=program.safe,
        compliance=program.compliance.initial(),
        permits=tuple(PermitState() for _ in program.permits),
    )
