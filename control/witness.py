"""An onlooker at the scan: sees what goes in and what comes out, and remembers a little, without asking the logic.

What it remembers is what the invariants need to judge by: since when a signal was not read, when it was last seen
outside its limits, which orders were taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

from config.sample import NOT_YET_READ, Quality, Reason, Sample
from control.batch_guard import AHEAD_S, BACKLOG_INTERVALS
from control.command import Command, Op
from control.event import Event, Kind
from control.guard import BatchGuard, Guard, PermitGuard
from control.instant import Instant
from control.program import DispenserUnit, Program
from control.scan import ScanResult
from control.state import ScanState


@dataclass(frozen=True, slots=True)
class Step:
    """One scan as an onlooker sees it: the state and the inputs it began with, and what came out."""

    program: Program
    before: ScanState
    image: tuple[Sample, ...]
    commands: tuple[Command, ...]
    now: Instant
    result: ScanResult

    @property
    def after(self) -> ScanState:
        return self.result.state

    def accepted(self, op: Op, target: str) -> bool:
        """True when such a command was accepted in this scan."""
        return any(a.accepted and a.command.op is op and a.command.target == target for a in self.result.answers)

    def reading(self, index: int | None) -> Sample:
        """A raw reading, or the same as stale when it was not renewed in time; of no signal there is none."""
        if index is None:
            return NOT_YET_READ
        sample = self.image[index]
        if any(block.index == index and index not in block.inputs for block in self.program.conditioned):
            # What is calculated is in no input.
            return self.result.image[index]
        fresh = self.now.mono - sample.received <= self.program.stale_after[index]
        return sample if fresh or sample.quality is Quality.BAD else sample.degraded(Reason.STALE)

    def events(self, kind: Kind, name: str) -> Iterator[Event]:
        """The events of one name that this scan gave."""
        return (event for event in self.result.events if event.kind is kind and event.name == name)

    def opened(self, unit: DispenserUnit) -> bool:
        """True when this scan lets water through a dispenser: a valve opens or stays open, or its pump runs.

        A modulating valve on its way to closed (``close_time``) does not.
        """
        outputs, valves = self.after.outputs, len(self.program.valves)
        places = (unit.valve,) if unit.slow_valve is None else (unit.valve, unit.slow_valve)
        valve_open = any(self._stays_open(place) for place in places)
        return valve_open or (unit.pump is not None and outputs[valves + unit.pump].value is True)

    def _stays_open(self, place: int) -> bool:
        value, before = self.after.outputs[place].value, self.before.outputs[place].value
        if not isinstance(value, float):
            return value is True
        return value > 0 and not (isinstance(before, float) and value < before)


@dataclass(frozen=True, slots=True)
class Witness:
    """What the onlooker remembers, by guard, without asking the logic. Times are monotonic.

    ``unread``: no good reading since the start; ``unread_since``: none since then. ``beyond_since``: good readings
    beyond a stop limit since. ``unclear_at``: last seen outside the clear band, or not good. ``result_time`` and
    ``result_at``: the newest result of a batch guard by its own time, and when it was first seen. ``accepted`` and
    ``receipted``: ids of orders.
    """

    unread: tuple[bool, ...]
    unread_since: tuple[float | None, ...]
    beyond_since: tuple[float | None, ...]
    unclear_at: tuple[float, ...]
    result_time: tuple[float | None, ...]
    result_at: tuple[float | None, ...]
    accepted: frozenset[str] = frozenset()
    receipted: frozenset[str] = frozenset()


def first_witness(program: Program, now: Instant) -> Witness:
    """At a start nothing has been read, and nothing is clear."""
    count = len(program.guards)
    none: tuple[float | None, ...] = (None,) * count
    return Witness((True,) * count, (now.mono,) * count, none, (now.mono,) * count, none, none)


def restarted(seen: Witness, program: Program, now: Instant) -> Witness:
    """After a restart nothing has been read, as at a start; what was taken and recorded is known still."""
    fresh = first_witness(program, now)
    return replace(
        fresh,
        result_time=seen.result_time,
        result_at=seen.result_at,
        accepted=seen.accepted,
        receipted=seen.receipted,
    )


def looked_on(seen: Witness, step: Step) -> Witness:
    """What the onlooker remembers after a step."""
    now, guards = step.now.mono, step.program.guards
    readings = [step.reading(guard.signal) for guard in guards]
    numbers = [_number_for(guard, sample) for guard, sample in zip(guards, readings, strict=True)]
    results = [
        _result(guard, seen.result_time[i], seen.result_at[i], sample, numbers[i], step.now)
        if isinstance(guard, BatchGuard)
        else (None, None)
        for i, (guard, sample) in enumerate(zip(guards, readings, strict=True))
    ]
    receipts = {event.body["order_id"] for event in step.events(Kind.RECEIPT, "receipt")}
    orders = {a.command.order_id for a in step.result.answers if a.accepted and a.command.op is Op.ORDER}
    return Witness(
        unread=tuple(never and number is None for never, number in zip(seen.unread, numbers, strict=True)),
        unread_since=tuple(
            None if number is not None else (since if since is not None else now)
            for number, since in zip(numbers, seen.unread_since, strict=True)
        ),
        beyond_since=tuple(
            (since if since is not None else now) if number is not None and is_beyond(guard, number, 0.0) else None
            for guard, number, since in zip(guards, numbers, seen.beyond_since, strict=True)
        ),
        unclear_at=tuple(
            at if number is not None and not is_beyond(guard, number, _hysteresis(guard)) else now
            for guard, number, at in zip(guards, numbers, seen.unclear_at, strict=True)
        ),
        result_time=tuple(time for time, _ in results),
        result_at=tuple(at for _, at in results),
        accepted=seen.accepted | orders,
        receipted=seen.receipted | receipts,
    )


def _number_for(guard: Guard, sample: Sample) -> float | None:
    """The number that a guard must judge; a zero is none where no lower limit judges it."""
    number = number_in(sample)
    if isinstance(guard, PermitGuard) or number != 0 or guard.zero_counts or guard.low is not None:
        return number
    return None


def _result(
    guard: BatchGuard, time: float | None, at: float | None, sample: Sample, number: float | None, now: Instant
) -> tuple[float | None, float | None]:
    """The newest result and when it was first seen. A date ahead of the clock is not believed, backlog is no news.

    A result in hand that turns out to be dated ahead, because a clock was put right since, gives way to one of now.
    """
    dated = sample.source_time
    if number is None or dated is None or not -BACKLOG_INTERVALS * guard.interval <= dated - now.utc <= AHEAD_S:
        return time, at
    put_right = time is not None and time - now.utc > max(guard.interval, AHEAD_S)
    if time is not None and dated <= time and not (put_right and dated != time and now.utc - dated <= guard.interval):
        return time, at
    return dated, now.mono


def _hysteresis(guard: Guard) -> float:
    """By how much of its limit a guard clears, in percent; a permit has no limit."""
    return 0.0 if isinstance(guard, PermitGuard) else guard.hysteresis


def number_in(sample: Sample) -> float | None:
    """The number that a guard must judge: over range is beyond every limit; ``None`` where there is none."""
    if sample.reason is Reason.OVER_RANGE:
        return inf
    return sample.number


def is_beyond(guard: Guard, number: float, hysteresis: float) -> bool:
    """True outside the limits of a guard, drawn in by ``hysteresis`` percent."""
    high, low = guard.high, guard.low
    return (high is not None and number > high - abs(high) * hysteresis / 100) or (
        low is not None and number < low + abs(low) * hysteresis / 100
    )
