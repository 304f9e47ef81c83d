"""What must hold after every scan, whatever the plant, the network and the people did before.

Each invariant is one sentence and the few lines that check it, judged by an onlooker: from the raw readings, the
commands and the outputs, and as little as can be from what the logic believes. The checker (``tests/prove``) walks
every reachable state of a small station with them; simulations check them after every scan.

Source: the list in the shared reliability notes, and DESIGN.md sections 5, 7 and 8.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, ulp
from typing import Final

from config.sample import Reason, Value
from config.standard import Staleness
from control.arbitration import Rank
from control.batch import BatchDispenser
from control.batch_guard import AHEAD_S
from control.cause import chain
from control.code import Code
from control.command import Op
from control.continuous import ContinuousDispenser, ContinuousState
from control.event import Kind
from control.fill import BatchState
from control.fill_phase import DISPENSING, TRANSITIONS, Phase
from control.guard import BatchGuard, FastGuard, Verdict
from control.program import DispenserUnit, Program
from control.state import ScanState
from control.valve import Position
from control.verdict import TRANSITIONS as VERDICTS
from control.witness import Step, Witness, is_beyond, number_in

_MARKS: Final = (Reason.MAINTENANCE, Reason.CALIBRATION)
_LITTLE_M3: Final = 1e-9
"""What the sums of a balance may differ by: the rounding of binary fractions."""


_OTHER_REGISTER: Final = frozenset({"meter-replaced", str(Code.TOTALISER_BACKWARD), str(Code.TOTALISER_JUMP)})
"""The events that say that a count does not go on from the one before."""


Check = Callable[[Step, Witness, Witness], Iterator[str]]
"""Says what is broken in a step; the witnesses are from before and after it."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """``text`` is the promise, in words; ``check`` says where a step breaks it."""

    name: str
    text: str
    check: Check


def broken(step: Step, before: Witness, after: Witness) -> list[tuple[Invariant, str]]:
    """Every invariant that a step breaks, with what was seen."""
    return [(invariant, text) for invariant in INVARIANTS for text in invariant.check(step, before, after)]


def _units(step: Step) -> Iterator[tuple[int, DispenserUnit]]:
    return enumerate(step.program.dispensers)


def _bypassed(step: Step, name: str) -> bool:
    """True when a person has taken a function out, before this scan or in it."""
    standing = (*step.before.bypasses.standing, *step.after.bypasses.standing)
    return any(one.target == name for one in standing) if standing else False


def _by_hand(step: Step, unit: DispenserUnit) -> bool:
    """True when a person forces the valve or the pump of a dispenser."""
    valves = len(step.program.valves)
    places = [unit.valve] + ([valves + unit.pump] if unit.pump is not None else [])
    return any(step.after.outputs[place].rank is Rank.OVERRIDE for place in places)


def _tripped_stays_shut(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        if step.after.trips[i].latched and step.opened(unit):
            yield f"{unit.tag} is tripped and lets water through"


def _unfit_stays_shut(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        for g in unit.guards:
            name, verdict = step.program.guards[g].name, step.after.guards[g].verdict
            if verdict >= Verdict.UNKNOWN and not _bypassed(step, name) and step.opened(unit):
                yield f"{name} is {verdict.name} and water flows"


def _instant_stops_at_once(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        for g in unit.guards:
            guard = step.program.guards[g]
            number = number_in(step.reading(guard.signal))
            if not isinstance(guard, FastGuard) or number is None or _bypassed(step, guard.name):
                continue
            above = guard.instant_high is not None and number > guard.instant_high
            over = number == inf and guard.high is not None
            below = guard.instant_low is not None and number < guard.instant_low
            if (above or over or below) and not (step.after.trips[i].latched and not step.opened(unit)):
                yield f"{guard.name} reads {number:g} and {unit.tag} is not shut and tripped"


def _beyond_for_its_delay_trips(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        for g in unit.guards:
            guard, since = step.program.guards[g], after.beyond_since[g]
            delay = guard.stop_delay if isinstance(guard, FastGuard) and not _bypassed(step, guard.name) else inf
            if since is not None and step.now.mono - since >= delay and not step.after.trips[i].latched:
                yield f"{guard.name} was beyond its limit for {delay:g} s and {unit.tag} is not tripped"


def _result_beyond_trips(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        for g in unit.guards:
            guard = step.program.guards[g]
            if not isinstance(guard, BatchGuard) or _bypassed(step, guard.name):
                continue
            sample = step.reading(guard.signal)
            # What is dated ahead speaks for no water, and yet against it.
            ahead = sample.source_time is not None and sample.source_time - step.now.utc > AHEAD_S
            if not ahead and after.result_time[g] == before.result_time[g]:
                continue
            number = number_in(sample)
            if number is not None and is_beyond(guard, number, 0.0) and not step.after.trips[i].latched:
                yield f"{guard.name}: a new result of {number:g} and {unit.tag} is not tripped"


def _unread_stops_within_its_limit(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        for g in unit.guards:
            guard, since = step.program.guards[g], after.unread_since[g]
            if not isinstance(guard, FastGuard) or since is None or _bypassed(step, guard.name):
                continue
            marked = step.reading(guard.signal).reason in _MARKS
            limit = guard.stop_delay + (guard.mark_cap.period if marked else 0.0)
            if step.now.mono - since > limit and step.after.guards[g].verdict < Verdict.UNKNOWN:
                yield f"{guard.name} has had no good reading for more than {limit:g} s and is not unknown"


def _expired_result_stops(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        for g in unit.guards:
            guard, at = step.program.guards[g], after.result_at[g]
            if not isinstance(guard, BatchGuard) or guard.staleness is not Staleness.FAIL_CLOSED:
                continue
            if _bypassed(step, guard.name):
                continue
            too_old = at is None or step.now.mono - at > guard.expired_after * guard.interval
            if too_old and step.opened(unit):
                yield f"{guard.name} has no result of the last {guard.expired_after:g} intervals and water flows"


def _trip_ends_by_reset_only(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        ended = step.before.trips[i].latched and not step.after.trips[i].latched
        if ended and not step.accepted(Op.RESET, unit.tag):
            yield f"the trip of {unit.tag} ended without a reset"


def _reset_only_when_clear(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        if not (step.before.trips[i].latched and step.accepted(Op.RESET, unit.tag)):
            continue
        for g in unit.guards:
            guard = step.program.guards[g]
            if number_in(step.reading(guard.signal)) is None and isinstance(guard, FastGuard):
                yield f"{unit.tag} was reset while {guard.name} had no good reading"
            elif isinstance(guard, FastGuard) and step.before.guards[g].breached:
                clear_for = step.now.mono - before.unclear_at[g]
                if clear_for < guard.clear_time:
                    yield f"{unit.tag} was reset when {guard.name} was clear for {clear_for:g} s only"
            elif isinstance(guard, BatchGuard) and _newest_is_beyond(step, after, g):
                yield f"{unit.tag} was reset while the newest result of {guard.name} is not clear"


def _newest_is_beyond(step: Step, after: Witness, g: int) -> bool:
    """True when the newest result of a guard that had breached stands there, outside the clear band."""
    guard, time = step.program.guards[g], after.result_time[g]
    if not isinstance(guard, BatchGuard) or not step.before.guards[g].breached:
        return False
    sample = step.reading(guard.signal)
    number = number_in(sample)
    newest = time is not None and sample.source_time == time
    return newest and number is not None and is_beyond(guard, number, guard.hysteresis)


def _reset_only_from_where_allowed(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        for answer in step.result.answers:
            command = answer.command
            was_reset = answer.accepted and command.op is Op.RESET and command.target == unit.tag
            if was_reset and unit.reset == "local" and not command.source.startswith("local:"):
                yield f"{unit.tag} was reset by {command.source}"


def _first_out_is_kept(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        old, new = step.before.trips[i].cause, step.after.trips[i].cause
        if old is not None and new is not None and new is not old and not step.accepted(Op.RESET, unit.tag):
            yield f"the first-out of {unit.tag} changed while it was latched"


def _mark_improves_nothing(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        if step.accepted(Op.RESET, unit.tag):
            continue
        for g in unit.guards:
            guard = step.program.guards[g]
            marked = step.reading(guard.signal).reason in _MARKS
            old, new = step.before.guards[g].verdict, step.after.guards[g].verdict
            if marked and isinstance(guard, FastGuard) and new < old:
                yield f"{guard.name} is marked and went from {old.name} to {new.name}"


def _old_result_is_no_news(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        if step.accepted(Op.RESET, unit.tag):
            continue
        for g in unit.guards:
            guard = step.program.guards[g]
            old, new = step.before.guards[g].verdict, step.after.guards[g].verdict
            if not isinstance(guard, BatchGuard) or before.unread[g]:
                # What was known before a restart is read again.
                continue
            if after.result_time[g] == before.result_time[g] and new < old:
                yield f"{guard.name} had no newer result and went from {old.name} to {new.name}"


def _good_is_fresh(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, sample in enumerate(step.result.image):
        if sample.good and step.now.mono - sample.received > step.program.stale_after[i]:
            yield f"{step.program.signal_names[i]} counts as good and is older than its limit"


def _one_demand_each(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    tags = [demand.tag for demand in step.after.outputs]
    if tags != [demand.tag for demand in step.program.safe]:
        yield f"the outputs are for {tags}"


def _outputs_are_positions(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for demand in step.after.outputs:
        value = demand.value
        if not (isinstance(value, bool) or (isinstance(value, float) and isfinite(value) and 0 <= value <= 100)):
            yield f"{demand.tag} is given {value!r}"


def _protect_outranks_all(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    close_commands = set(step.program.close_places.values())
    for place, (demand, safe) in enumerate(zip(step.after.outputs, step.program.safe, strict=True)):
        if place in close_commands:
            # It is on until the closed limit is made, and then rests.
            continue
        if demand.rank is Rank.PROTECT and demand.value != safe.value and not _nearer(step, place, safe.value):
            yield f"protect gives {demand.tag} {demand.value!r}, which is not its safe position"


def _nearer(step: Step, place: int, safe: Value) -> bool:
    """True for a modulating valve that goes to its safe position as fast as its pipe bears."""
    was, now = step.before.outputs[place].value, step.after.outputs[place].value
    if not (isinstance(was, float) and isinstance(now, float) and isinstance(safe, float)):
        return False
    stood = step.now.mono == step.before.scanned_at
    return abs(now - safe) < abs(was - safe) or (stood and now == was)


def _interlocks_hold(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for interlock, state in zip(step.program.interlocks, step.after.interlocks, strict=True):
        if state.acts is None or _bypassed(step, interlock.name):
            continue
        for place in interlock.actuators:
            demand, safe = step.after.outputs[place], step.program.safe[place].value
            if demand.value != safe and not _nearer(step, place, safe):
                yield f"{interlock.name} acts and {demand.tag} is at {demand.value!r}"
        for i in interlock.dispensers:
            unit = step.program.dispensers[i]
            if step.opened(unit):
                yield f"{interlock.name} acts and {unit.tag} lets water through"
            if state.trips and i in interlock.tripped and not step.after.trips[i].latched:
                yield f"{interlock.name} acts and {unit.tag} is not tripped"


def _starts_only_as_permitted(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for permissive, state in zip(step.program.permissives, step.after.permissives, strict=True):
        if state.refuses is None:
            continue
        for tag in (step.program.dispensers[i].tag for i in permissive.dispensers):
            if step.accepted(Op.ORDER, tag):
                yield f"{permissive.name} refuses and {tag} takes an order"
        for place in (len(step.program.valves) + pump for pump in permissive.pumps):
            if step.after.outputs[place].value is True and step.before.outputs[place].value is not True:
                yield f"{permissive.name} refuses and {step.after.outputs[place].tag} starts"


def _forbidden_has_a_first_cause(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for demand in step.after.outputs:
        if any(not link.subject for link in chain(demand.cause)):
            yield f"{demand.tag} has a cause that names nothing"


def _fills_only_an_order(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        state = step.after.dispensers[i]
        if not isinstance(state, BatchState) or _by_hand(step, unit):
            continue
        if step.opened(unit) and (state.order is None or state.phase not in DISPENSING):
            yield f"{unit.tag} lets water through in phase {state.phase}"


def _serves_only_a_setpoint(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        state, dispenser = step.after.dispensers[i], unit.dispenser
        if isinstance(state, ContinuousState) and not isinstance(dispenser, BatchDispenser):
            wanted = dispenser.wanted(state)
            if wanted <= 0 and step.opened(unit) and not _by_hand(step, unit):
                yield f"{unit.tag} lets water through with a set-point of nil"


def _starts_proved_closed(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        old, new = step.before.dispensers[i], step.after.dispensers[i]
        if not (isinstance(old, BatchState) and isinstance(new, BatchState)):
            continue
        position = step.after.valves[unit.valve].position
        if old.phase not in DISPENSING and new.phase in DISPENSING and position is not Position.CLOSED:
            yield f"{unit.tag} started a fill with its valve {position}"


def _phases_follow_the_table(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        old, new = step.before.dispensers[i], step.after.dispensers[i]
        if isinstance(old, BatchState) and isinstance(new, BatchState) and new.phase is not old.phase:
            # A command and the step after it may each move once.
            ways = [(old.phase, new.phase)] + [(old.phase, by, new.phase) for by in Phase]
            if not any(all(to in TRANSITIONS[at] for at, to in pairwise(way)) for way in ways):
                yield f"{unit.tag} went from {old.phase} to {new.phase}"


def _verdicts_follow_the_table(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for guard, old, new in zip(step.program.guards, step.before.guards, step.after.guards, strict=True):
        if new.verdict is not old.verdict and new.verdict not in VERDICTS[old.verdict]:
            yield f"{guard.name} went from {old.verdict.name} to {new.verdict.name}"


def _order_is_taken_once(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for answer in step.result.answers:
        if answer.accepted and answer.command.op is Op.ORDER and answer.command.order_id in before.accepted:
            yield f"order {answer.command.order_id} was taken a second time"


def _receipt_is_written_once(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for event in step.events(Kind.RECEIPT, "receipt"):
        order_id = event.body["order_id"]
        if order_id in before.receipted:
            yield f"order {order_id} has a second receipt"
        if order_id not in after.accepted:
            yield f"a receipt for {order_id}, which was never taken"


def _order_ends_with_a_receipt(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        old, new = step.before.dispensers[i], step.after.dispensers[i]
        if isinstance(old, BatchState) and isinstance(new, BatchState) and old.order is not None:
            gone = new.order is None or new.order.id != old.order.id
            if gone and old.order.id not in after.receipted:
                yield f"order {old.order.id} of {unit.tag} is gone without a receipt"


def _delivered_never_falls(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        old, new = step.before.dispensers[i], step.after.dispensers[i]
        if isinstance(old, BatchState) and isinstance(new, BatchState):
            same = old.order is not None and new.order is not None and old.order.id == new.order.id
            begun = old.total_start_m3 is not None
            if same and begun and new.delivered_m3 < old.delivered_m3:
                yield f"delivered of {unit.tag} fell from {old.delivered_m3:g} to {new.delivered_m3:g} m3"
        elif isinstance(old, ContinuousState) and isinstance(new, ContinuousState):
            fell = new.served_m3 < old.served_m3
            if fell:
                yield f"served of {unit.tag} fell from {old.served_m3:g} to {new.served_m3:g} m3"


def _every_litre_is_booked(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        old, new = step.before.dispensers[i], step.after.dispensers[i]
        before_m3, after_m3 = old.meter.total_m3, new.meter.total_m3
        own = [event for event in step.result.events if event.subject == unit.tag]
        if before_m3 is None or after_m3 is None or any(event.name in _OTHER_REGISTER for event in own):
            continue
        back = next((event for event in own if event.name == "totaliser-is-back"), None)
        moved = after_m3 - (before_m3 if back is None else float(back.body["left_m3"]))
        if moved < 0:
            moved += unit.dispenser.meter.rollover_m3 or 0.0
        recorded = sum(
            float(event.body["delivered_m3"] if event.name == "receipt" else event.body["ignored_m3"])
            for event in own
            if event.name in ("receipt", "pipe-was-empty")
        )
        air = (new.meter.air_m3 or 0.0) - (old.meter.air_m3 or 0.0)
        booked = _held(new) + recorded + air - _held(old)
        # What is recorded is rounded to a cubic centimetre.
        if abs(booked - moved) > max(_LITTLE_M3, 4 * ulp(after_m3)) + (1e-6 if recorded else 0.0):
            yield f"the meter of {unit.tag} moved {moved:g} m3, {booked:g} m3 were booked"


def _held(state: BatchState | ContinuousState) -> float:
    """What is counted and not yet on a receipt, or never will be."""
    if isinstance(state, ContinuousState):
        return state.served_m3 + state.meter.idle_m3 + state.meter.unattributed_m3
    open_order = state.order is not None and state.phase is not Phase.RECEIPT
    return (state.delivered_m3 if open_order else 0.0) + state.meter.idle_m3 + state.meter.unattributed_m3


def _pump_not_against_closed(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for _, unit in _units(step):
        if unit.pump is None:
            continue
        running = step.after.outputs[len(step.program.valves) + unit.pump].value is True
        position = step.after.valves[unit.valve].position
        if running and position in (Position.CLOSED, Position.UNKNOWN):
            yield f"{step.program.pumps[unit.pump].tag} runs while its valve is {position}"


def _by_hand_has_an_end(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for override in step.after.overrides:
        if (
            not override.reason
            or not step.now.mono < override.ends_at <= step.now.mono + step.program.overrides.longest
        ):
            yield f"{override.target} is forced until {override.ends_at:g}, because '{override.reason}'"


def _bypass_only_where_allowed(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    targets = [one.target for one in step.after.bypasses.standing]
    if len(set(targets)) != len(targets):
        yield f"two bypasses on one function: {targets}"
    for one in step.after.bypasses.standing:
        rule = step.program.bypasses.get(one.target)
        if rule is None or not step.now.mono < one.ends_at <= step.now.mono + rule.longest:
            yield f"{one.target} is bypassed until {one.ends_at:g}"


def _group_not_against_closed(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for group in step.program.pump_groups:
        units = [unit for unit in step.program.dispensers if unit.group is group]
        valves = [v for unit in units for v in (unit.valve, unit.slow_valve) if v is not None]
        shut = all(step.after.valves[v].position in (Position.CLOSED, Position.UNKNOWN) for v in valves)
        for place, pump in zip(group.places, group.pumps, strict=True):
            if shut and step.after.outputs[len(step.program.valves) + place].value is True:
                yield f"{pump.tag} runs while every way out of {group.tag} is closed"


def _never_open_and_close(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for v, place in step.program.close_places.items():
        if step.after.outputs[v].value is True and step.after.outputs[place].value is True:
            yield f"{step.program.valves[v].tag} is told to open and to close"


def _trip_is_recorded(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    for i, unit in _units(step):
        latched = step.after.trips[i].latched and not step.before.trips[i].latched
        if latched and not any(e.subject == unit.tag for e in step.events(Kind.EVENT, "trip")):
            yield f"{unit.tag} tripped and no event says so"


def _trip_is_alarmed(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    standing = {alarm.id for alarm in step.after.alarms.standing}
    for i, unit in _units(step):
        if step.after.trips[i].latched and f"{unit.tag}.trip" not in standing:
            yield f"{unit.tag} is tripped and there is no alarm"


def _commands_are_answered(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    recorded = sum(1 for event in step.result.events if event.kind is Kind.COMMAND)
    if len(step.result.answers) != len(step.commands) or recorded != len(step.commands):
        yield f"{len(step.commands)} commands, {len(step.result.answers)} answers, {recorded} records"


def _allocation_is_kept(step: Step, before: Witness, after: Witness) -> Iterator[str]:
    settings, state = step.program.allocation, step.after.allocation
    if settings is None or state is None:
        return
    begun = sum(want.flow_m3h for want in state.wants if want.begun)
    granted = sum(grant.flow_m3h for grant in state.grants)
    if granted > max(state.divided_m3h, begun) + 1e-6 or state.divided_m3h > (state.available_m3h or 0.0) + 1e-6:
        yield f"{granted:g} m3/h are granted of {state.divided_m3h:g} divided and {state.available_m3h} available"
    for place, grant in zip(step.program.off_takes, state.grants, strict=True):
        unit, dispenser = step.program.dispensers[place], step.after.dispensers[place]
        if not isinstance(dispenser, ContinuousState) or not isinstance(unit.dispenser, ContinuousDispenser):
            continue
        held = dispenser.told_for[0] if dispenser.told_for is not None else 0.0
        if unit.dispenser.control == "flow" and step.opened(unit) and held > grant.flow_m3h + 1e-6:
            yield f"{unit.tag} is regulated to {held:g} m3/h and was granted {grant.flow_m3h:g}"


INVARIANTS: Final[tuple[Invariant, ...]] = (
    Invariant(
        "tripped-stays-shut", "While a trip is latched its valve is closed and its pump is off.", _tripped_stays_shut
    ),
    Invariant("unfit-stays-shut", "Water that is not fit, or not known to be, does not flow.", _unfit_stays_shut),
    Invariant(
        "instant-stops-at-once",
        "A reading beyond its instant limit, or over range, trips in the same scan.",
        _instant_stops_at_once,
    ),
    Invariant(
        "beyond-for-its-delay-trips",
        "Readings beyond the stop limit for the stop delay trip.",
        _beyond_for_its_delay_trips,
    ),
    Invariant(
        "result-beyond-trips",
        "One new analyzer result beyond the limit trips, also one that is dated ahead.",
        _result_beyond_trips,
    ),
    Invariant(
        "unread-stops-within-its-limit",
        "A critical signal that is bad or stale makes its water unknown within its limit; a mark has a cap.",
        _unread_stops_within_its_limit,
    ),
    Invariant(
        "expired-result-stops",
        "An expired analyzer result stops the water where the use fails closed.",
        _expired_result_stops,
    ),
    Invariant(
        "trip-ends-by-reset-only", "A trip ends by an accepted reset and by nothing else.", _trip_ends_by_reset_only
    ),
    Invariant(
        "reset-only-when-clear",
        "A reset is accepted on fresh good data only, inside the clear band for the clear time.",
        _reset_only_when_clear,
    ),
    Invariant(
        "reset-only-from-where-allowed",
        "Where the site says so, only a person on site resets.",
        _reset_only_from_where_allowed,
    ),
    Invariant(
        "first-out-is-kept", "The first-out cause does not change while the trip is latched.", _first_out_is_kept
    ),
    Invariant(
        "mark-improves-nothing", "A maintenance or calibration mark makes no verdict better.", _mark_improves_nothing
    ),
    Invariant(
        "old-result-is-no-news", "A repeated or older analyzer result makes no verdict better.", _old_result_is_no_news
    ),
    Invariant("good-is-fresh", "What counts as good was received within its stale limit.", _good_is_fresh),
    Invariant("one-demand-each", "Every scan gives every actuator exactly one demand.", _one_demand_each),
    Invariant("outputs-are-positions", "Every output is a position that its actuator has.", _outputs_are_positions),
    Invariant("protect-is-safe", "What protect demands is the safe position.", _protect_outranks_all),
    Invariant(
        "interlocks-hold",
        "While an interlock acts, what it stops and closes is safe, and what it trips is tripped.",
        _interlocks_hold,
    ),
    Invariant(
        "starts-only-as-permitted",
        "While a permissive refuses, no order is taken and no pump starts.",
        _starts_only_as_permitted,
    ),
    Invariant(
        "allocation-is-kept",
        "No more is granted than there is, and no off-take is regulated to more than it was granted.",
        _allocation_is_kept,
    ),
    Invariant(
        "causes-name-something",
        "Every output has a chain of causes, each of which names what it speaks of.",
        _forbidden_has_a_first_cause,
    ),
    Invariant(
        "fills-only-an-order",
        "A batch dispenser opens only for an order, in a phase that dispenses, or by hand.",
        _fills_only_an_order,
    ),
    Invariant(
        "serves-only-a-setpoint",
        "A continuous dispenser opens only for a set-point above nil, or by hand.",
        _serves_only_a_setpoint,
    ),
    Invariant("starts-proved-closed", "A fill starts only from a valve that is proved closed.", _starts_proved_closed),
    Invariant("phases-follow-the-table", "A fill moves only along the table of its phases.", _phases_follow_the_table),
    Invariant(
        "verdicts-follow-the-table",
        "A verdict moves only along its table: a breach ends by a reset alone.",
        _verdicts_follow_the_table,
    ),
    Invariant("order-is-taken-once", "An order is never taken twice.", _order_is_taken_once),
    Invariant(
        "receipt-is-written-once",
        "An order has one receipt, and no receipt is without an order.",
        _receipt_is_written_once,
    ),
    Invariant(
        "order-ends-with-a-receipt",
        "An order that was taken is not gone before its receipt is written.",
        _order_ends_with_a_receipt,
    ),
    Invariant("delivered-never-falls", "Delivered and served volumes never decrease.", _delivered_never_falls),
    Invariant(
        "every-litre-is-booked",
        "What the meter counts is booked, to an order or as unattributed.",
        _every_litre_is_booked,
    ),
    Invariant(
        "pump-not-against-closed",
        "A pump is not run against a closed valve, nor against one whose position is not known.",
        _pump_not_against_closed,
    ),
    Invariant(
        "by-hand-has-an-end",
        "What is forced by hand has a reason and ends within the longest time allowed.",
        _by_hand_has_an_end,
    ),
    Invariant(
        "bypass-only-where-allowed",
        "A function is bypassed only where the site file allows it, once at a time, and not for longer.",
        _bypass_only_where_allowed,
    ),
    Invariant(
        "group-not-against-closed",
        "No pump of a group is run while every way out is closed, or not known to be open.",
        _group_not_against_closed,
    ),
    Invariant(
        "never-open-and-close", "A valve with two commands is never given both at a time.", _never_open_and_close
    ),
    Invariant("trip-is-recorded", "A trip is recorded in the scan that latches it.", _trip_is_recorded),
    Invariant("trip-is-alarmed", "A latched trip is an alarm as long as it stands.", _trip_is_alarmed),
    Invariant(
        "commands-are-answered", "Every command is answered and recorded, whatever it is.", _commands_are_answered
    ),
)
"""Every promise about a scan."""


def broken_by_restart(program: Program, before: ScanState, after: ScanState) -> list[str]:
    """What a restart broke: it clears no trip, resumes no fill, opens nothing, forgets no order and no litre."""
    found = [
        f"{d.tag} is not safe" for d, safe in zip(after.outputs, program.safe, strict=True) if d.value != safe.value
    ]
    for i, unit in enumerate(program.dispensers):
        if before.trips[i].latched and after.trips[i].cause != before.trips[i].cause:
            found.append(f"the trip of {unit.tag} was cleared or changed")
        old, new = before.dispensers[i], after.dispensers[i]
        if _held(new) != _held(old):
            found.append(f"{unit.tag} held {_held(old):g} m3 and holds {_held(new):g} m3")
        if new.meter.total_m3 != old.meter.total_m3:
            found.append(f"{unit.tag} forgot its totaliser reading")
        if isinstance(old, BatchState) and isinstance(new, BatchState):
            if new.phase in DISPENSING:
                found.append(f"{unit.tag} resumes its fill")
            if not set(old.seen_orders) <= set(new.seen_orders):
                found.append(f"{unit.tag} forgot an order")
            unfinished = old.order is not None and old.phase is not Phase.RECEIPT
            if unfinished and (new.order is None or new.order != old.order):
                found.append(f"{unit.tag} lost its open order")
    return found
