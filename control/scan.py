"""The scan: inputs to outputs in five phases, in this order, on one screen.

``scan`` is a pure function: the same program, state, image, commands and instant give the same result, bit for
bit. The controller calls it on a fixed period and at once when a critical reading arrives.
"""

from dataclasses import dataclass, replace

from config.sample import Sample
from control import alarm
from control.alarm import Condition, Priority
from control.arbitration import Demand, Rank, strongest
from control.batch import ENDING, BatchDispenser, BatchInputs, BatchResult, BatchState, Quality
from control.batch import Phase as BatchPhase
from control.cause import Cause, amount, root, to_json
from control.code import Code
from control.command import Answer, Command, Op
from control.condition import condition
from control.continuous import ContinuousDispenser, ContinuousResult, ContinuousState
from control.event import Event, Kind
from control.guard import FastGuard, Verdict, reset
from control.instant import Instant
from control.program import DispenserUnit, Program
from control.protect import Findings, Permission, faults, find, not_resettable, permission, tripping_cause
from control.state import DispenserState, ScanState, findings
from control.trip import TripState, latch
from control.valve import Position

Result = BatchResult | ContinuousResult


@dataclass(frozen=True, slots=True)
class ScanResult:
    """``image`` is the conditioned one; ``state.outputs`` are the outputs to write."""

    state: ScanState
    image: tuple[Sample, ...]
    events: tuple[Event, ...]
    answers: tuple[Answer, ...]


def scan(
    program: Program, state: ScanState, image: tuple[Sample, ...], commands: tuple[Command, ...], now: Instant
) -> ScanResult:
    """One scan. No reading and no command makes it raise; a raise is a programming error."""
    image = condition(image, program.stale_after, now)  # 1 condition
    found = find(program, findings(state), state.outputs, image, now)  # 2 protect
    work = _Work(program, found, list(state.trips), list(state.dispensers), image, now)
    work.latch_breaches_and_faults()
    answers = tuple(work.obey(command) for command in commands)
    results = work.dispense()  # 3 sequence, 4 regulate
    outputs = work.arbitrate(results)  # 5 arbitrate
    alarms, alarm_events = alarm.step(state.alarms, work.alarm_conditions(results), now)
    valves = len(program.valves)
    after = ScanState(
        guards=work.guards,
        levels=found.levels,
        trips=tuple(work.trips),
        valves=tuple(
            valve.commanded(s, demand.value, now)
            for valve, s, demand in zip(program.valves, found.valves, outputs[:valves], strict=True)
        ),
        pumps=tuple(
            pump.commanded(s, demand.value, now)
            for pump, s, demand in zip(program.pumps, found.pumps, outputs[valves:], strict=True)
        ),
        devices=found.devices,
        follow=found.follow,
        dispensers=tuple(work.dispensers),
        alarms=alarms,
        outputs=outputs,
    )
    return ScanResult(after, image, (*work.events, *alarm_events), answers)


class _Work:
    """The values that one scan hands from phase to phase."""

    def __init__(
        self,
        program: Program,
        found: Findings,
        trips: list[TripState],
        dispensers: list[DispenserState],
        image: tuple[Sample, ...],
        now: Instant,
    ) -> None:
        self.program = program
        self.found = found
        self.guards = found.guards
        self.trips = trips
        self.dispensers = dispensers
        self.image = image
        self.now = now
        self.events: list[Event] = []

    def latch_breaches_and_faults(self) -> None:
        for index, unit in enumerate(self.program.dispensers):
            self._latch(index, tripping_cause(unit, self.found))

    def obey(self, command: Command) -> Answer:
        """Accepts or refuses one command, and records it either way."""
        refusal = self._obey(command)
        body = {
            "id": command.id,
            "op": str(command.op),
            "source": command.source,
            "accepted": refusal is None,
            "refusal": to_json(refusal) if refusal is not None else None,
            "order_id": command.order_id,
            "volume_m3": command.volume_m3,
            "flow_m3h": command.flow_m3h,
        }
        self.events.append(Event(Kind.COMMAND, str(command.op), command.dispenser, body))
        return Answer(command, refusal)

    def dispense(self) -> list[Result]:
        """Steps every dispenser under what protect allows."""
        results: list[Result] = []
        for index, unit in enumerate(self.program.dispensers):
            state = self.dispensers[index]
            result: Result
            match unit.dispenser, state:
                case BatchDispenser() as batch, BatchState():
                    inputs = self._batch_inputs(index, unit, state)
                    self.dispensers[index], result = batch.step(state, self.image, inputs, self.now)
                case ContinuousDispenser() as continuous, ContinuousState():
                    forbids = self._permission(index, unit).run
                    position = self.found.valves[unit.valve].position
                    self.dispensers[index], result = continuous.step(state, self.image, forbids, position, self.now)
                case _:
                    raise AssertionError(f"{unit.tag}: state of another mode")
            self.events.extend(result.events)
            self._latch(index, result.trip)
            results.append(result)
        return results

    def arbitrate(self, results: list[Result]) -> tuple[Demand, ...]:
        """One demand per actuator: valves first, then pumps, in the program's order."""
        program = self.program
        valves: list[Demand] = [
            Demand(v.tag, v.output, _valve_value(v.position, 0.0), Rank.SAFE_DEFAULT, Cause(Code.NOT_USED, v.tag))
            for v in program.valves
        ]
        pumps: list[Demand] = [
            Demand(p.tag, p.output, False, Rank.SAFE_DEFAULT, Cause(Code.NOT_USED, p.tag)) for p in program.pumps
        ]
        for index, unit in enumerate(program.dispensers):
            result = results[index]
            forbids = self._permission(index, unit).run
            rank = Rank.SEQUENCE if isinstance(result, BatchResult) else Rank.REGULATE
            valve = program.valves[unit.valve]
            demands = [
                valves[unit.valve],
                Demand(valve.tag, valve.output, _valve_value(valve.position, result.opening), rank, result.cause),
            ]
            if forbids is not None:
                closed = _valve_value(valve.position, 0.0)
                demands.append(Demand(valve.tag, valve.output, closed, Rank.PROTECT, forbids))
            valves[unit.valve] = strongest(demands)
            if unit.pump is not None:
                pumps[unit.pump] = self._pump_demand(unit, unit.pump, pumps[unit.pump], rank, result, forbids)
        return (*valves, *pumps)

    def alarm_conditions(self, results: list[Result]) -> list[Condition]:
        """Everything that stands wrong now."""
        conditions: list[Condition] = []
        for index, unit in enumerate(self.program.dispensers):
            trip = self.trips[index].cause
            if trip is not None:
                conditions.append(Condition(f"{unit.tag}.trip", Priority.HIGH, trip))
            for g in unit.guards:
                guard = self.guards[g]
                if guard.cause is not None and guard.verdict is not Verdict.BREACH:
                    low = guard.verdict is Verdict.AGING
                    priority = Priority.LOW if low else Priority.MEDIUM
                    name = self.program.guards[g].name
                    conditions.append(Condition(f"{name}.{guard.cause.code}", priority, guard.cause))
            for cause in (self.found.levels[index].forbids_start, *faults(unit, self.found)):
                if cause is not None:
                    conditions.append(Condition(f"{unit.tag}.{cause.code}", Priority.MEDIUM, cause))
            for cause in results[index].alarms:
                conditions.append(Condition(f"{unit.tag}.{cause.code}", Priority.MEDIUM, cause))
        conditions += [
            Condition(f"{device.tag}.offline", Priority.MEDIUM, state.offline)
            for device, state in zip(self.program.devices, self.found.devices, strict=True)
            if state.offline is not None
        ]
        conditions += [
            Condition(f"{state.alarm.subject}.not-followed", Priority.MEDIUM, state.alarm)
            for state in self.found.follow
            if state.alarm is not None
        ]
        return conditions

    def _latch(self, index: int, reason: Cause | None) -> None:
        tag = self.program.dispensers[index].tag
        after = latch(self.trips[index], tag, reason, self.now)
        if after is not self.trips[index] and after.cause is not None:
            self.trips[index] = after
            self.events.append(Event(Kind.EVENT, "trip", tag, {"cause": to_json(after.cause)}))

    def _permission(self, index: int, unit: DispenserUnit) -> Permission:
        found = replace(self.found, guards=self.guards) if self.guards is not self.found.guards else self.found
        return permission(unit, self.found.levels[index], self.trips[index], found)

    def _obey(self, command: Command) -> Cause | None:
        index = self.program.dispenser_index.get(command.dispenser)
        if index is None:
            return Cause(Code.NO_SUCH_DISPENSER, command.dispenser)
        unit, state = self.program.dispensers[index], self.dispensers[index]
        match command.op, unit.dispenser, state:
            case Op.RESET, _, _:
                return self._reset(index, unit, command)
            case Op.ORDER, BatchDispenser() as batch, BatchState():
                refusal = batch.refusal(state, command, self._batch_inputs(index, unit, state))
                if refusal is None:
                    self.dispensers[index] = batch.accept(state, command, self.now)
                return refusal
            case Op.CANCEL, BatchDispenser() as batch, BatchState():
                if state.order is None or state.phase in ENDING or state.phase is BatchPhase.RECEIPT:
                    return Cause(Code.NOTHING_TO_CANCEL, unit.tag)
                self.dispensers[index] = batch.cancel(state, command.source, self.now)
                return None
            case Op.SETPOINT, ContinuousDispenser() as continuous, ContinuousState():
                refusal = continuous.refusal(command)
                if refusal is None:
                    self.dispensers[index] = replace(state, setpoint_m3h=command.flow_m3h)
                return refusal
            case _:
                mode = "batch" if isinstance(unit.dispenser, BatchDispenser) else "continuous"
                return Cause(Code.WRONG_MODE, unit.tag, (mode, str(command.op)))

    def _reset(self, index: int, unit: DispenserUnit, command: Command) -> Cause | None:
        trip = self.trips[index]
        if trip.cause is None:
            return Cause(Code.NOT_TRIPPED, unit.tag)
        if unit.reset == "local" and not command.local:
            return Cause(Code.RESET_ONLY_LOCAL, unit.tag)
        standing = not_resettable(self.program, unit, self.found, self.now)
        if standing is not None:
            return Cause(Code.FAULT_STANDS, unit.tag, (), standing)
        own = set(unit.guards)
        self.guards = tuple(reset(state) if i in own else state for i, state in enumerate(self.guards))
        self.trips[index] = TripState()
        body = {"by": command.source, "first_out": to_json(root(trip.cause)), "tripped_utc": trip.since_utc}
        self.events.append(Event(Kind.EVENT, "reset", unit.tag, body))
        return None

    def _batch_inputs(self, index: int, unit: DispenserUnit, state: BatchState) -> BatchInputs:
        may = self._permission(index, unit)
        quality = tuple(self._quality(g) for g in unit.guards) if state.order is not None else ()
        return BatchInputs(may.start, may.run, self.found.valves[unit.valve].position, quality)

    def _quality(self, g: int) -> Quality:
        guard, state = self.program.guards[g], self.guards[g]
        if isinstance(guard, FastGuard):
            value = self.image[guard.signal].number
        else:
            value = state.result_value
        limits = [amount(limit, guard.unit) for limit in (guard.low, guard.high) if limit is not None]
        return Quality(guard.parameter, guard.unit, " to ".join(limits), guard.limit_status, value, value, value, value)

    def _pump_demand(
        self, unit: DispenserUnit, p: int, default: Demand, rank: Rank, result: Result, forbids: Cause | None
    ) -> Demand:
        pump, valve = self.program.pumps[p], self.program.valves[unit.valve]
        position = self.found.valves[unit.valve].position
        waits = result.opening > 0 and position in (Position.CLOSED, Position.UNKNOWN)
        cause = Cause(Code.VALVE_FIRST, pump.tag, (valve.tag,), result.cause) if waits else result.cause
        demands = [default, Demand(pump.tag, pump.output, result.opening > 0 and not waits, rank, cause)]
        if forbids is not None:
            demands.append(Demand(pump.tag, pump.output, False, Rank.PROTECT, forbids))
        return strongest(demands)


def _valve_value(position: int | None, opening: float) -> bool | float:
    """What is written to a valve: a motor valve's coil, or a modulating valve's percent."""
    return opening > 0 if position is None else opening
