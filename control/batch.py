"""The batch dispenser: fills a tanker against an order.

``idle -> authorised -> checking -> armed -> slow start -> full flow -> slow finish -> closing -> settling ->
receipt``; from any state with an order ``stopping -> settling -> receipt``. Names after ISA-88; practice after
shared water notes 3.2 and 3.3.

Delivered volume is the meter's totaliser. Flow is used only to look ahead between two readings of it when the
moment to close is chosen. Pre-act: the valve closes early by the mean overrun of the last fills that ended at
their preset, clamped; before there is one, by what the site file says or half the stroke at the present flow.

Water that the meter counts outside an order is booked as unattributed. After a restart an open order is ended
from the stored totaliser reading; what the meter counted while the controller was down is unattributed too.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from config.sample import Sample
from control.cause import Cause, amount, from_json, to_json
from control.code import Code
from control.command import Command
from control.event import Event, Kind
from control.instant import Instant
from control.timer import lasted, since
from control.totaliser import advance
from control.valve import Position

OVERRUN_LEARNED_FROM = 3
"""Fills that the pre-act is learned from (Toptech MultiLoad II: mean of the last three)."""
HIGH_FLOW_FACTOR = 1.5
HIGH_FLOW_DELAY_S = 3.0
METER_TOLERANCE_S = 3.0
"""How long the meter may be unread during a fill."""
SETTLE_LIMIT_S = 60.0
"""Flow must be nil this long after the valve was closed, else it leaks (Hunter ACC2)."""
SEEN_ORDERS = 1000
"""Order ids remembered, so that none is filled twice."""
LOOK_AHEAD_LIMIT_S = 2.0
"""Flow is never extrapolated further than this beyond the last totaliser reading."""


class Phase(StrEnum):
    """Where a fill stands."""

    IDLE = "idle"
    AUTHORISED = "authorised"
    CHECKING = "checking"
    ARMED = "armed"
    SLOW_START = "slow-start"
    FULL_FLOW = "full-flow"
    SLOW_FINISH = "slow-finish"
    CLOSING = "closing"
    STOPPING = "stopping"
    SETTLING = "settling"
    RECEIPT = "receipt"


DISPENSING = frozenset({Phase.SLOW_START, Phase.FULL_FLOW, Phase.SLOW_FINISH})
"""The phases in which water may flow."""
ENDING = frozenset({Phase.CLOSING, Phase.STOPPING, Phase.SETTLING})

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.AUTHORISED}),
    Phase.AUTHORISED: frozenset({Phase.CHECKING, Phase.STOPPING}),
    Phase.CHECKING: frozenset({Phase.ARMED, Phase.STOPPING}),
    Phase.ARMED: frozenset({Phase.SLOW_START, Phase.STOPPING}),
    Phase.SLOW_START: frozenset({Phase.FULL_FLOW, Phase.SLOW_FINISH, Phase.CLOSING, Phase.STOPPING}),
    Phase.FULL_FLOW: frozenset({Phase.SLOW_FINISH, Phase.CLOSING, Phase.STOPPING}),
    Phase.SLOW_FINISH: frozenset({Phase.CLOSING, Phase.STOPPING}),
    Phase.CLOSING: frozenset({Phase.SETTLING}),
    Phase.STOPPING: frozenset({Phase.SETTLING}),
    Phase.SETTLING: frozenset({Phase.RECEIPT}),
    Phase.RECEIPT: frozenset({Phase.IDLE}),
}
"""Every transition there is; ``step`` takes no other."""


@dataclass(frozen=True, slots=True)
class Order:
    """An authorised fill."""

    id: str
    volume_m3: float
    vehicle: str
    source: str
    accepted_utc: float


@dataclass(frozen=True, slots=True)
class Quality:
    """One guarded parameter over a fill: at its start, its extremes, at its end. ``None``: not known."""

    parameter: str
    unit: str
    limit: str
    limit_status: str
    start: float | None
    lowest: float | None
    highest: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class BatchState:
    """What a batch dispenser remembers. Volumes in m3, times monotonic unless they end in ``_utc``."""

    phase: Phase = Phase.IDLE
    phase_at: float = 0.0
    order: Order | None = None
    stop: Cause | None = None
    total_m3: float | None = None
    total_start_m3: float | None = None
    delivered_m3: float = 0.0
    at_close_m3: float | None = None
    idle_m3: float = 0.0
    idle_changed_at: float = 0.0
    unattributed_m3: float = 0.0
    overruns_m3: tuple[float, ...] = ()
    seen_orders: tuple[str, ...] = ()
    started_at: float | None = None
    started_utc: float | None = None
    first_flow_utc: float | None = None
    stopped_utc: float | None = None
    max_flow_m3h: float = 0.0
    quality: tuple[Quality, ...] = ()
    restored: bool = False
    no_flow_since: float | None = None
    high_flow_since: float | None = None
    meter_unknown_since: float | None = None
    nil_since: float | None = None
    unauthorised_since: float | None = None


@dataclass(frozen=True, slots=True)
class BatchInputs:
    """What a step sees besides the image: what protect forbids, where the valve is, quality now."""

    forbids_start: Cause | None
    forbids_run: Cause | None
    valve: Position
    quality: tuple[Quality, ...]


@dataclass(frozen=True, slots=True)
class BatchResult:
    """``opening`` in percent (0: closed) and why; ``alarms`` and ``trips`` raised, ``events`` to record."""

    opening: float
    cause: Cause
    trip: Cause | None = None
    alarms: tuple[Cause, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchDispenser:
    """Settings. Signals are image indices; flows in m3/h, volumes in m3, times in s."""

    tag: str
    use: str
    flow: int
    flow_name: str
    total: int
    total_name: str
    rollover_m3: float | None
    max_order_m3: float
    full_flow_m3h: float
    flow_timeout: float
    no_flow_below_m3h: float
    unauthorised_after: float
    slow_opening: float
    slow_start_m3: float
    slow_finish_m3: float
    pre_act_start_m3: float | None
    pre_act_limit_m3: float
    settle: float
    order_timeout: float
    valve_travel: float

    def pre_act_m3(self, state: BatchState, flow_m3h: float) -> float:
        """How much before the preset the valve is told to close."""
        if state.overruns_m3:
            learned = sum(state.overruns_m3) / len(state.overruns_m3)
        elif self.pre_act_start_m3 is not None:
            learned = self.pre_act_start_m3
        else:
            learned = flow_m3h / 3600 * self.valve_travel / 2
        return min(max(learned, 0.0), self.pre_act_limit_m3)

    def refusal(self, state: BatchState, command: Command, inputs: BatchInputs) -> Cause | None:
        """Why an order cannot be taken now, or ``None``."""
        if state.order is not None:
            return Cause(Code.BUSY, self.tag, (state.order.id,))
        if command.order_id in state.seen_orders:
            return Cause(Code.ORDER_SEEN, self.tag, (command.order_id,))
        if not 0 < command.volume_m3 <= self.max_order_m3:
            asked, allowed = amount(command.volume_m3, "m3"), amount(self.max_order_m3, "m3")
            return Cause(Code.VOLUME_NOT_ALLOWED, self.tag, (asked, allowed))
        return self._not_ready(state, inputs)

    def _not_ready(self, state: BatchState, inputs: BatchInputs) -> Cause | None:
        if inputs.forbids_start is not None:
            return inputs.forbids_start
        if state.total_m3 is None or state.meter_unknown_since is not None:
            return Cause(Code.METER_UNKNOWN, self.total_name, ("no good reading",))
        if inputs.valve is not Position.CLOSED:
            return Cause(Code.VALVE_UNKNOWN, self.tag, (f"{inputs.valve}, not proved closed",))
        if state.unauthorised_since is not None:
            return Cause(Code.FLOW_WITHOUT_ORDER, self.tag, ("before the order",))
        return None

    def accept(self, state: BatchState, command: Command, now: Instant) -> BatchState:
        """Takes an order that ``refusal`` let through."""
        order = Order(command.order_id, command.volume_m3, command.vehicle, command.source, now.utc)
        return replace(
            self._to(state, Phase.AUTHORISED, now),
            order=order,
            stop=None,
            seen_orders=(*state.seen_orders[-(SEEN_ORDERS - 1) :], order.id),
        )

    def cancel(self, state: BatchState, by: str, now: Instant) -> BatchState:
        """Ends the order in hand early."""
        return self._stop(state, Cause(Code.CANCELLED, self.tag, (by,)), now)

    def step(
        self, state: BatchState, image: tuple[Sample, ...], inputs: BatchInputs, now: Instant
    ) -> tuple[BatchState, BatchResult]:
        """One scan of the sequence."""
        flow = image[self.flow].number
        state, counted = self._count(state, image[self.total], now)
        state = self._watch(state, flow, now)
        state, moved = self._move(state, flow, image[self.total], inputs, now)
        opening, cause = self._demand(state, inputs)
        trip, alarms = self._judge(state, flow, now)
        return state, BatchResult(opening, cause, trip, alarms, (*counted, *moved))

    def _count(self, state: BatchState, total: Sample, now: Instant) -> tuple[BatchState, tuple[Event, ...]]:
        present = total.number
        if present is None:
            start = since(state.meter_unknown_since, True, now)
            return (state if start == state.meter_unknown_since else replace(state, meter_unknown_since=start)), ()
        if state.meter_unknown_since is not None:
            state = replace(state, meter_unknown_since=None)
        if state.total_m3 is None:
            return replace(state, total_m3=present), ()
        moved = advance(state.total_m3, present, self.rollover_m3)
        if moved.volume_m3 == 0 and not moved.backward:
            return self._book_idle(state, now)
        events: tuple[Event, ...] = ()
        if moved.backward:
            went = Cause(Code.TOTALISER_BACKWARD, self.tag, (amount(state.total_m3, "m3"), amount(present, "m3")))
            events = (Event(Kind.EVENT, "totaliser-backward", self.tag, to_json(went)),)
        if state.total_start_m3 is not None and not state.restored and state.phase is not Phase.RECEIPT:
            delivered = state.delivered_m3 + moved.volume_m3
            return replace(state, total_m3=present, delivered_m3=delivered), events
        return (
            replace(
                state,
                total_m3=present,
                idle_m3=state.idle_m3 + moved.volume_m3,
                idle_changed_at=now.mono if moved.volume_m3 > 0 else state.idle_changed_at,
            ),
            events,
        )

    def _book_idle(self, state: BatchState, now: Instant) -> tuple[BatchState, tuple[Event, ...]]:
        """Books what passed without an order, once it has stopped passing."""
        if state.idle_m3 <= 0 or now.mono - state.idle_changed_at < self.settle:
            return state, ()
        body = {"volume_m3": round(state.idle_m3, 6), "total_m3": state.total_m3}
        booked = replace(state, idle_m3=0.0, unattributed_m3=state.unattributed_m3 + state.idle_m3)
        return booked, (Event(Kind.EVENT, "unattributed", self.tag, body),)

    def _watch(self, state: BatchState, flow: float | None, now: Instant) -> BatchState:
        flows = flow is not None and flow >= self.no_flow_below_m3h
        dispensing = state.phase in DISPENSING
        no_flow = since(state.no_flow_since, dispensing and not flows, now)
        high_flow = flow is not None and flow > self.full_flow_m3h * HIGH_FLOW_FACTOR
        high = since(state.high_flow_since, high_flow, now)
        nil = since(state.nil_since, flow is not None and not flows, now)
        unauthorised = since(state.unauthorised_since, flows and state.order is None, now)
        before = (state.no_flow_since, state.high_flow_since, state.nil_since, state.unauthorised_since)
        if (no_flow, high, nil, unauthorised) != before:
            state = replace(
                state,
                no_flow_since=no_flow,
                high_flow_since=high,
                nil_since=nil,
                unauthorised_since=unauthorised,
            )
        if state.order is not None and flow is not None and flow > state.max_flow_m3h:
            state = replace(state, max_flow_m3h=flow)
        if flows and dispensing and state.first_flow_utc is None:
            state = replace(state, first_flow_utc=now.utc)
        return state

    def _move(
        self, state: BatchState, flow: float | None, total: Sample, inputs: BatchInputs, now: Instant
    ) -> tuple[BatchState, tuple[Event, ...]]:
        if state.order is not None and state.phase not in ENDING and state.phase is not Phase.RECEIPT:
            state = replace(state, quality=_extremes(state.quality, inputs.quality))
            stop = self._must_stop(state, inputs, now)
            if stop is not None:
                return self._stop(state, stop, now), ()
        match state.phase:
            case Phase.IDLE:
                return state, ()
            case Phase.AUTHORISED:
                return self._to(state, Phase.CHECKING, now), ()
            case Phase.CHECKING | Phase.ARMED:
                not_ready = self._not_ready(state, inputs)
                if not_ready is not None:
                    return self._stop(state, not_ready, now), ()
                if state.phase is Phase.CHECKING:
                    return self._to(state, Phase.ARMED, now), ()
                return self._start(state, inputs, now), ()
            case Phase.SLOW_START | Phase.FULL_FLOW | Phase.SLOW_FINISH:
                return self._fill(state, flow or 0.0, total, now), ()
            case Phase.CLOSING | Phase.STOPPING:
                if inputs.valve is Position.CLOSED:
                    return self._to(state, Phase.SETTLING, now), ()
                return state, ()
            case Phase.SETTLING:
                return self._settle(state, inputs, now)
            case Phase.RECEIPT:
                return self._finish(state, now), ()

    def _must_stop(self, state: BatchState, inputs: BatchInputs, now: Instant) -> Cause | None:
        assert state.order is not None
        if state.restored:
            return Cause(Code.RESTARTED, self.tag)
        if inputs.forbids_run is not None:
            return inputs.forbids_run
        if state.phase not in DISPENSING:
            return None
        if lasted(state.meter_unknown_since, METER_TOLERANCE_S, now):
            return Cause(Code.METER_UNKNOWN, self.total_name, ("no good reading",))
        if lasted(state.no_flow_since, self.flow_timeout, now):
            return Cause(Code.NO_FLOW, self.tag, (amount(self.flow_timeout, "s"),))
        if lasted(state.high_flow_since, HIGH_FLOW_DELAY_S, now):
            limit = amount(self.full_flow_m3h * HIGH_FLOW_FACTOR, "m3/h")
            return Cause(Code.HIGH_FLOW, self.tag, (amount(state.max_flow_m3h, "m3/h"), limit))
        if lasted(state.started_at, self.order_timeout, now):
            return Cause(Code.ORDER_TIMEOUT, self.tag, (amount(self.order_timeout, "s"),))
        return None

    def _start(self, state: BatchState, inputs: BatchInputs, now: Instant) -> BatchState:
        return replace(
            self._to(state, Phase.SLOW_START, now),
            total_start_m3=state.total_m3,
            delivered_m3=0.0,
            at_close_m3=None,
            started_at=now.mono,
            started_utc=now.utc,
            first_flow_utc=None,
            stopped_utc=None,
            max_flow_m3h=0.0,
            no_flow_since=None,
            quality=inputs.quality,
        )

    def _fill(self, state: BatchState, flow: float, total: Sample, now: Instant) -> BatchState:
        assert state.order is not None
        ahead = flow / 3600 * min(max(now.mono - total.received, 0.0), LOOK_AHEAD_LIMIT_S)
        delivered = state.delivered_m3 + ahead
        left = state.order.volume_m3 - delivered
        if left <= self.pre_act_m3(state, flow):
            preset = Cause(Code.PRESET_REACHED, self.tag, (amount(state.order.volume_m3, "m3"),))
            return replace(self._to(state, Phase.CLOSING, now), stop=preset, at_close_m3=delivered, stopped_utc=now.utc)
        if self.slow_finish_m3 > 0 and left <= self.slow_finish_m3 and state.phase is not Phase.SLOW_FINISH:
            return self._to(state, Phase.SLOW_FINISH, now)
        if state.phase is Phase.SLOW_START and flow >= self.no_flow_below_m3h and delivered >= self.slow_start_m3:
            return self._to(state, Phase.FULL_FLOW, now)
        return state

    def _settle(self, state: BatchState, inputs: BatchInputs, now: Instant) -> tuple[BatchState, tuple[Event, ...]]:
        settled = lasted(state.nil_since, self.settle, now) and now.mono - state.phase_at >= self.settle
        if not settled and now.mono - state.phase_at < SETTLE_LIMIT_S:
            return state, ()
        state = self._learn(replace(state, quality=_ended(state.quality, inputs.quality)))
        return self._to(state, Phase.RECEIPT, now), (self._receipt(state, now),)

    def _learn(self, state: BatchState) -> BatchState:
        """Takes the overrun of a fill that ended at its preset; any other tells nothing of the valve."""
        if state.at_close_m3 is None or state.stop is None or state.stop.code is not Code.PRESET_REACHED:
            return state
        overrun = min(max(state.delivered_m3 - state.at_close_m3, 0.0), self.pre_act_limit_m3)
        return replace(state, overruns_m3=(*state.overruns_m3, overrun)[-OVERRUN_LEARNED_FROM:])

    def _finish(self, state: BatchState, now: Instant) -> BatchState:
        return replace(
            self._to(state, Phase.IDLE, now),
            order=None,
            stop=None,
            total_start_m3=None,
            delivered_m3=0.0,
            at_close_m3=None,
            started_at=None,
            started_utc=None,
            quality=(),
            restored=False,
        )

    def _stop(self, state: BatchState, cause: Cause, now: Instant) -> BatchState:
        stopped = state.stopped_utc if state.stopped_utc is not None else now.utc
        return replace(self._to(state, Phase.STOPPING, now), stop=cause, stopped_utc=stopped)

    def _to(self, state: BatchState, phase: Phase, now: Instant) -> BatchState:
        assert phase in TRANSITIONS[state.phase], f"{self.tag}: {state.phase} -> {phase}"
        return replace(state, phase=phase, phase_at=now.mono)

    def _demand(self, state: BatchState, inputs: BatchInputs) -> tuple[float, Cause]:
        if state.order is None:
            return 0.0, Cause(Code.NO_ORDER, self.tag)
        if state.phase in DISPENSING:
            slow = state.phase is not Phase.FULL_FLOW and self.slow_opening > 0
            values = (state.order.id, amount(state.delivered_m3, "m3"), amount(state.order.volume_m3, "m3"))
            return (self.slow_opening if slow else 100.0), Cause(Code.FILLING, self.tag, values)
        return 0.0, Cause(Code.CLOSING, self.tag, (state.order.id,), state.stop)

    def _judge(self, state: BatchState, flow: float | None, now: Instant) -> tuple[Cause | None, tuple[Cause, ...]]:
        alarms: list[Cause] = []
        trip: Cause | None = None
        stop = state.stop
        if stop is not None and stop.code in (Code.NO_FLOW, Code.METER_UNKNOWN, Code.ORDER_TIMEOUT):
            alarms.append(stop)
        if stop is not None and stop.code is Code.HIGH_FLOW:
            trip = stop
        if state.order is not None and state.delivered_m3 > state.order.volume_m3 + self.pre_act_limit_m3:
            values = (amount(state.delivered_m3, "m3"), amount(state.order.volume_m3, "m3"))
            alarms.append(Cause(Code.OVERRUN, self.tag, values))
        return trip or self._unauthorised(state, flow, now), tuple(alarms)

    def _unauthorised(self, state: BatchState, flow: float | None, now: Instant) -> Cause | None:
        """Water that flows without an order, or after the valve was closed."""
        shown = amount(flow, "m3/h") if flow is not None else "by the totaliser"
        if lasted(state.unauthorised_since, self.unauthorised_after, now):
            return Cause(Code.FLOW_WITHOUT_ORDER, self.tag, (shown,))
        if (
            state.phase is Phase.SETTLING
            and state.nil_since is None
            and now.mono - state.phase_at >= SETTLE_LIMIT_S / 2
        ):
            return Cause(Code.FLOW_AFTER_CLOSE, self.tag, (shown,))
        return None

    def _receipt(self, state: BatchState, now: Instant) -> Event:
        order, stop = state.order, state.stop
        assert order is not None
        assert stop is not None
        started = state.total_start_m3 is not None
        body: dict[str, Any] = {
            "order_id": order.id,
            "use": self.use,
            "vehicle": order.vehicle,
            "source": order.source,
            "preset_m3": order.volume_m3,
            "delivered_m3": round(state.delivered_m3, 6) if started else 0.0,
            "overrun_m3": round(max(state.delivered_m3 - order.volume_m3, 0.0), 6) if started else 0.0,
            "meter": self.total_name,
            "total_start_m3": state.total_start_m3,
            "total_end_m3": state.total_m3 if started else None,
            "max_flow_m3h": round(state.max_flow_m3h, 3),
            "pre_act_m3": round(self.pre_act_m3(state, 0.0), 6),
            "accepted_utc": order.accepted_utc,
            "started_utc": state.started_utc,
            "first_flow_utc": state.first_flow_utc,
            "stopped_utc": state.stopped_utc,
            "settled_utc": now.utc,
            "complete": stop.code is Code.PRESET_REACHED,
            "stop": to_json(stop),
            "quality": [asdict(quality) for quality in state.quality],
        }
        return Event(Kind.RECEIPT, "receipt", self.tag, body)


def _extremes(kept: tuple[Quality, ...], present: tuple[Quality, ...]) -> tuple[Quality, ...]:
    """``kept`` widened by the present values; the same object when they lie within."""
    if len(kept) != len(present):
        return present
    widened = tuple(_widened(old, new.end) for old, new in zip(kept, present, strict=True))
    return kept if all(new is old for old, new in zip(kept, widened, strict=True)) else widened


def _widened(kept: Quality, value: float | None) -> Quality:
    if value is None:
        return kept
    lowest = value if kept.lowest is None else min(kept.lowest, value)
    highest = value if kept.highest is None else max(kept.highest, value)
    if lowest == kept.lowest and highest == kept.highest:
        return kept
    return replace(kept, lowest=lowest, highest=highest)


def _ended(kept: tuple[Quality, ...], present: tuple[Quality, ...]) -> tuple[Quality, ...]:
    if len(kept) != len(present):
        return present
    return tuple(replace(old, end=new.end) for old, new in zip(kept, present, strict=True))


def to_saved(state: BatchState) -> dict[str, Any]:
    """What of a batch dispenser survives a restart, as JSON."""
    return {
        "order": asdict(state.order) if state.order is not None else None,
        "stop": to_json(state.stop) if state.stop is not None else None,
        "total_m3": state.total_m3,
        "total_start_m3": state.total_start_m3,
        "delivered_m3": state.delivered_m3,
        "receipt_written": state.phase is Phase.RECEIPT,
        "idle_m3": state.idle_m3,
        "unattributed_m3": state.unattributed_m3,
        "overruns_m3": list(state.overruns_m3),
        "seen_orders": list(state.seen_orders),
        "started_utc": state.started_utc,
        "first_flow_utc": state.first_flow_utc,
        "stopped_utc": state.stopped_utc,
        "max_flow_m3h": state.max_flow_m3h,
        "quality": [asdict(quality) for quality in state.quality],
    }


def from_saved(tag: str, saved: dict[str, Any]) -> BatchState:
    """The state after a restart: an open order is one to be ended. Raises ``KeyError``, ``TypeError`` on other data."""
    state = BatchState(
        total_m3=saved["total_m3"],
        idle_m3=saved["idle_m3"],
        unattributed_m3=saved["unattributed_m3"],
        overruns_m3=tuple(saved["overruns_m3"]),
        seen_orders=tuple(saved["seen_orders"]),
    )
    if saved["order"] is None or saved["receipt_written"]:
        return state
    return replace(
        state,
        phase=Phase.STOPPING,
        restored=True,
        order=Order(**saved["order"]),
        stop=from_json(saved["stop"]) if saved["stop"] is not None else Cause(Code.RESTARTED, tag),
        total_start_m3=saved["total_start_m3"],
        delivered_m3=saved["delivered_m3"],
        started_utc=saved["started_utc"],
        first_flow_utc=saved["first_flow_utc"],
        stopped_utc=saved["stopped_utc"],
        max_flow_m3h=saved["max_flow_m3h"],
        quality=tuple(Quality(**quality) for quality in saved["quality"]),
    )
