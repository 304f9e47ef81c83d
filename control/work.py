"""What the phases of one scan hand on to each other. Made at the start of a scan and gone at its end."""

from dataclasses import dataclass, field

from config.sample import Sample
from control.allocation import AllocationState
from control.annunciator import Annunciator
from control.arbitration import Demand
from control.batch import BatchResult
from control.bypass import BypassState
from control.cause import Cause, to_json
from control.continuous import ContinuousResult
from control.event import Event, Kind
from control.expression import Memory
from control.findings import Findings, Permission
from control.instant import Instant
from control.loop_state import LoopState
from control.measurement import ConditionedState
from control.override import Override
from control.program import Program
from control.proof_test import ProofState
from control.pump_group import GroupState
from control.state import DispenserState, ScanState
from control.trip import TripState, also, latch

Result = BatchResult | ContinuousResult


@dataclass(slots=True)
class Work:
    """``before`` is the state that the scan began with; the lists hold what the phases make of it.

    ``image`` is the conditioned one. ``trips``, ``dispensers``, ``permissions`` and ``results`` are by dispenser,
    ``pump_groups`` by group, ``loops`` by loop, ``outputs`` by actuator, all in the program's order. ``raised``: the
    cause of each alarm that stands, by its index.
    """

    program: Program
    before: ScanState
    conditioned: tuple[ConditionedState, ...]
    image: tuple[Sample, ...]
    now: Instant
    found: Findings
    trips: list[TripState]
    dispensers: list[DispenserState]
    pump_groups: list[GroupState]
    loops: list[LoopState]
    allocation: AllocationState | None
    overrides: tuple[Override, ...]
    bypasses: BypassState
    alarms: Annunciator
    proof: ProofState
    permissions: list[Permission] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    outputs: tuple[Demand, ...] = ()
    events: list[Event] = field(default_factory=list)
    raised: dict[int, Cause] = field(default_factory=dict)
    alarm_memories: tuple[Memory, ...] = ()

    @property
    def dt_s(self) -> float | None:
        """Seconds since the last scan; ``None`` at the first one and after a gap that nothing is integrated over."""
        last = self.before.scanned_at
        gap = self.now.mono - last if last is not None else -1.0
        return gap if 0.0 <= gap <= self.program.longest_step_s else None

    def latch(self, index: int, reason: Cause | None, **known: float | str | None) -> bool:
        """Latches the trip of a dispenser, if there is a reason and it is not latched yet; true when it was.

        A further reason while it is latched is listed. ``known`` goes into the record of it.
        """
        if reason is None:
            return False
        before, tag = self.trips[index], self.program.dispensers[index].tag
        if before.latched:
            trip = self.trips[index] = also(before, reason)
            if trip is not before:
                self.events.append(Event(Kind.EVENT, "trip-also", tag, {"cause": to_json(reason), **known}))
            return False
        trip = self.trips[index] = latch(before, tag, reason, self.now)
        assert trip.cause is not None
        self.events.append(Event(Kind.EVENT, "trip", tag, {"cause": to_json(trip.cause), **known}))
        return True

    def alarm(self, owner: str, cause: Cause, name: str | None = None) -> None:
        """Says that the alarm ``<owner>.<name>`` stands; where no name is given, it is the code of its cause."""
        names = self.program.alarms.places.get(owner)
        # What no list names is shown by the first alarm.
        place = names.get(name or cause.code, 0) if names is not None else 0
        self.raised.setdefault(place, cause)


def begun(
    program: Program,
    state: ScanState,
    conditioned: tuple[ConditionedState, ...],
    image: tuple[Sample, ...],
    now: Instant,
    found: Findings,
) -> Work:
    """The work of a scan as it stands after what the first two phases found."""
    return Work(
        program=program,
        before=state,
        conditioned=conditioned,
        image=image,
        now=now,
        found=found,
        trips=list(state.trips),
        dispensers=list(state.dispensers),
        pump_groups=list(state.pump_groups),
        loops=list(state.loops),
        allocation=state.allocation,
        overrides=state.overrides,
        bypasses=state.bypasses,
        alarms=state.alarms,
        proof=state.proof,
    )
