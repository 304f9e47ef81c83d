"""The batch dispenser: fills a tanker against an order.

The phases and their transitions stand in ``fill_phase.py``, the order in ``order.py``, what must be in place at the
arm in ``arming.py``, what goes wrong and what it leads to in ``flow_watch.py``, ``meter_check.py`` and
``response.py``, the pre-act in ``pre_act.py``, the receipt in ``receipt.py``. Here they are put in order.

Delivered volume is the meter's totaliser (``meter.py``). Flow is used only to look ahead between two readings of it
when the moment to close is chosen, and for a cross-check. Water that the meter counts outside a fill is booked as
unattributed. After a restart an open order is ended from the stored totaliser reading; what the meter counted while
the controller was down is unattributed too.
"""

from dataclasses import dataclass, replace
from typing import Final

from config.sample import Sample
from control import arming, fill, fill_quality, meter_check, order
from control.arming import Arming
from control.cause import Cause, amount
from control.code import Code
from control.command import Command
from control.event import Event
from control.fill import BatchState
from control.fill_phase import DISPENSING, ENDING, TRANSITIONS, Phase
from control.fill_quality import QualityReading
from control.flow_watch import FlowWatch
from control.instant import Instant
from control.meter import Meter
from control.meter_check import MeterCheck
from control.order import SEEN_ORDERS
from control.pre_act import PreAct
from control.quota import Quota
from control.receipt import ReceiptFacts, receipt_of
from control.response import BATCH, FAST, TRIPS
from control.timer import lasted, since
from control.valve import Position

METER_TOLERANCE_S: Final = 3.0
"""How long the meter may be unread during a fill."""
SETTLE_LIMIT_S: Final = 60.0
"""Flow must be nil this long after the valve was closed (Hunter ACC2); half of it later it is an alarm."""
LOOK_AHEAD_LIMIT_S: Final = 2.0
"""Flow is never extrapolated further than this beyond the last totaliser reading."""

BEFORE_FLOW: Final = frozenset({Phase.IDLE, Phase.AUTHORISED, Phase.CHECKING, Phase.ARMED})
"""The phases in which the valve is closed and no water may flow."""


@dataclass(frozen=True, slots=True)
class BatchInputs:
    """What a step sees besides the image: what protect forbids, where the valve is, quality and overrides now.

    ``pump_waits``: why the pump may not be started yet; an armed fill waits for it.
    """

    forbids_start: Cause | None
    forbids_run: Cause | None
    valve: Position
    quality: tuple[QualityReading, ...] = ()
    overrides: tuple[str, ...] = ()
    pump_waits: Cause | None = None


@dataclass(frozen=True, slots=True)
class BatchResult:
    """``opening`` of the valve in percent (0: closed) and why; ``slow``: the valve of the slow stage is open.

    ``fast``: the valve closes as fast as is safe. ``alarms`` that stand, a ``trip`` to latch, ``events`` to record.
    """

    opening: float
    cause: Cause
    slow: bool = False
    fast: bool = False
    trip: Cause | None = None
    alarms: tuple[Cause, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchDispenser:
    """Settings. Signals are image indices; flows in m3/h, volumes in m3, times in s.

    ``slow_opening``: of a modulating valve in the slow stages, in percent; ``slow_valve``: a second valve is open
    in every stage and the first in full flow alone.
    """

    tag: str
    use: str
    flow: int
    flow_name: str
    meter: Meter
    check: MeterCheck
    watch: FlowWatch
    arming: Arming | None
    pre_act: PreAct
    quota: Quota | None
    facts: ReceiptFacts
    max_order_m3: float
    slow_opening: float
    slow_valve: bool
    slow_start_m3: float
    slow_finish_m3: float
    settle: float
    order_timeout: float
    unauthorised_after: float

    def refusal(self, state: BatchState, command: Command, inputs: BatchInputs, now: Instant) -> Cause | None:
        """Why an order cannot be taken now, or ``None``."""
        if state.order is not None:
            return Cause(Code.BUSY, self.tag, (state.order.id,))
        not_valid = order.refusal(command, self.tag, self.use, self.max_order_m3, state.seen_orders, now)
        return not_valid or self._not_ready(state, command.volume_m3, inputs)

    def _not_ready(self, state: BatchState, volume_m3: float, inputs: BatchInputs) -> Cause | None:
        """The checks before a fill is armed: quota, protect (guards, level, trip), meter, valve, no flow."""
        over = self.quota.refusal(state.quota, volume_m3) if self.quota is not None else None
        if over is not None or inputs.forbids_start is not None:
            return over or inputs.forbids_start
        if state.meter.total_m3 is None or state.meter.unknown_since is not None:
            return Cause(Code.METER_UNKNOWN, self.meter.total_name, ("no good reading",))
        if state.flow_unknown_since is not None:
            return Cause(Code.METER_UNKNOWN, self.flow_name, ("no good reading",))
        if inputs.valve is not Position.CLOSED:
            return Cause(Code.VALVE_UNKNOWN, self.tag, (f"{inputs.valve}, not proved closed",))
        if state.nil_since is None:
            return Cause(Code.FLOW_WITHOUT_ORDER, self.tag, ("before the order",))
        return None

    def accept(self, state: BatchState, command: Command, now: Instant) -> BatchState:
        """Takes an order that ``refusal`` let through."""
        taken = order.accepted(command, now)
        return replace(
            self._to(state, Phase.AUTHORISED, now),
            order=taken,
            stop=None,
            seen_orders=(*state.seen_orders[-(SEEN_ORDERS - 1) :], taken.id),
        )

    def cancel(self, state: BatchState, by: str, now: Instant) -> tuple[BatchState, Cause | None]:
        """Ends the order in hand early; or why there is nothing to end."""
        if state.order is None or state.phase in ENDING:
            return state, Cause(Code.NOTHING_TO_CANCEL, self.tag)
        return self._stop(state, Cause(Code.CANCELLED, self.tag, (by,)), now), None

    def start(self, state: BatchState) -> tuple[BatchState, Cause | None]:
        """Gives start to a fill that waits for it, in place of the button; or why it does not wait."""
        if state.phase is not Phase.ARMED or self.arming is None or not self.arming.by_start:
            return state, Cause(Code.NOTHING_TO_START, self.tag)
        return replace(state, arming=arming.pressed(state.arming)), None

    def forget_overruns(self, state: BatchState) -> BatchState:
        """Begins to learn the pre-act anew, for a new valve or meter."""
        return replace(state, overruns_m3=())

    def step(
        self, state: BatchState, image: tuple[Sample, ...], inputs: BatchInputs, now: Instant
    ) -> tuple[BatchState, BatchResult]:
        """One scan of the sequence."""
        before = state
        flow = image[self.flow].number
        state, counted, alarms = self._count(state, image, now)
        if state.meter.air_m3 is not None:
            # What an empty pipe shows is no flow.
            flow = None if flow is None else 0.0
        state = self._watched(state, flow, image, now)
        state, moved = self._move(state, flow, image, inputs, now)
        waits = inputs.pump_waits if state.phase is Phase.ARMED else None
        told = state.cause is not None and state.arming is before.arming and waits == state.pump_waits
        if not told or state.phase is not before.phase:
            state = replace(state, pump_waits=waits)
            state = replace(state, cause=self._cause(state))
        assert state.cause is not None
        full, slow = self._opening(state)
        trip, standing, fast = self._judge(state, flow, now)
        return state, BatchResult(full, state.cause, slow, fast, trip, (*alarms, *standing), (*counted, *moved))

    def _count(
        self, state: BatchState, image: tuple[Sample, ...], now: Instant
    ) -> tuple[BatchState, tuple[Event, ...], tuple[Cause, ...]]:
        """Counts what the meter counted: into the fill from its start to its receipt, else as idle water."""
        taken = state.total_start_m3 is not None and not state.restored and state.phase is not Phase.RECEIPT
        counted = self.meter.step(state.meter, image, taken=taken, now=now)
        if counted.state is not state.meter:
            state = replace(state, meter=counted.state)
        if counted.volume_m3 > 0:
            state = replace(state, delivered_m3=state.delivered_m3 + counted.volume_m3)
        if taken and counted.state.air_m3 is None:
            check = self.check.step(state.check, image[self.flow], counted.volume_m3)
            state = state if check is state.check else replace(state, check=check)
        if self.quota is not None:
            used = self.quota.step(state.quota, counted.volume_m3, now)
            state = state if used is state.quota else replace(state, quota=used)
        return state, counted.events, counted.alarms

    def _watched(self, state: BatchState, flow: float | None, image: tuple[Sample, ...], now: Instant) -> BatchState:
        flows = flow is not None and flow >= self.watch.none_below_m3h
        dispensing = state.phase in DISPENSING
        watch = self.watch.step(state.watch, flow, dispensing, now)
        unknown = since(state.flow_unknown_since, flow is None, now)
        nil = since(state.nil_since, flow is not None and not flows, now)
        unauthorised = since(state.unauthorised_since, flows and state.phase in BEFORE_FLOW, now)
        times = (unknown, nil, unauthorised)
        if watch is not state.watch or times != (
            state.flow_unknown_since,
            state.nil_since,
            state.unauthorised_since,
        ):
            state = replace(
                state, watch=watch, flow_unknown_since=unknown, nil_since=nil, unauthorised_since=unauthorised
            )
        if state.order is None:
            return state
        if self.arming is not None and state.phase not in ENDING:
            armed = self.arming.step(state.arming, image, state.phase is Phase.ARMED, now)
            state = state if armed is state.arming else replace(state, arming=armed)
        if flows and flow is not None and state.total_start_m3 is not None:
            if state.first_flow_at is None:
                state = replace(state, first_flow_at=now.mono, first_flow_utc=state.first_flow_utc or now.utc)
            if flow > state.max_flow_m3h:
                state = replace(state, max_flow_m3h=flow)
        if state.disagrees is None and state.check is not meter_check.AT_REST and self.check.disagrees(state.check):
            state = replace(state, disagrees=self.check.cause(self.meter.total_name, state.check))
        low = dispensing and self.watch.found(watch, now) is Code.LOW_FLOW
        if low is not (state.low_flow is not None):
            state = replace(state, low_flow=self.watch.cause(Code.LOW_FLOW, watch) if low else None)
        return state

    def _move(
        self, state: BatchState, flow: float | None, image: tuple[Sample, ...], inputs: BatchInputs, now: Instant
    ) -> tuple[BatchState, tuple[Event, ...]]:
        if state.order is not None and state.phase not in ENDING:
            quality = fill_quality.widened(state.quality, inputs.quality)
            state = state if quality is state.quality else replace(state, quality=quality)
            if inputs.overrides and not set(inputs.overrides) <= set(state.overrides):
                state = replace(state, overrides=tuple(sorted({*state.overrides, *inputs.overrides})))
            stop = self._must_stop(state, image, inputs, now)
            if stop is not None:
                return self._stop(state, stop, now), ()
        match state.phase:
            case Phase.IDLE:
                return state, ()
            case Phase.AUTHORISED:
                return self._to(state, Phase.CHECKING, now), ()
            case Phase.CHECKING:
                assert state.order is not None
                not_ready = self._not_ready(state, state.order.volume_m3, inputs)
                if not_ready is not None:
                    return self._stop(state, not_ready, now), ()
                return replace(self._to(state, Phase.ARMED, now), arming=arming.AT_REST), ()
            case Phase.ARMED:
                return self._armed(state, inputs, now), ()
            case Phase.SLOW_START | Phase.FULL_FLOW | Phase.SLOW_FINISH:
                return self._fill(state, flow or 0.0, image[self.meter.total], now), ()
            case Phase.CLOSING | Phase.STOPPING:
                return (self._to(state, Phase.SETTLING, now) if inputs.valve is Position.CLOSED else state), ()
            case Phase.SETTLING:
                return self._settle(state, inputs, now)
            case Phase.RECEIPT:
                return self._finish(state, now), ()

    def _must_stop(
        self, state: BatchState, image: tuple[Sample, ...], inputs: BatchInputs, now: Instant
    ) -> Cause | None:
        """What ends an order before its preset, the weightiest first."""
        assert state.order is not None
        dispensing = state.phase in DISPENSING
        at_arm = self.arming.must_stop(state.arming, image, dispensing, now) if self.arming is not None else None
        if at_arm is not None and BATCH[at_arm.code].action in FAST:
            return at_arm
        if inputs.forbids_run is not None or at_arm is not None:
            return inputs.forbids_run or at_arm
        if not dispensing:
            return order.expired(state.order, self.tag, now)
        if lasted(state.meter.unknown_since, METER_TOLERANCE_S, now):
            return Cause(Code.METER_UNKNOWN, self.meter.total_name, ("no good reading",))
        if lasted(state.flow_unknown_since, METER_TOLERANCE_S, now):
            return Cause(Code.METER_UNKNOWN, self.flow_name, ("no good reading",))
        found = self.watch.found(state.watch, now)
        if found in (Code.HIGH_FLOW, Code.NO_FLOW):
            return self.watch.cause(found, state.watch)
        if state.disagrees is not None:
            return state.disagrees
        if lasted(state.started_at, self.order_timeout, now):
            return Cause(Code.ORDER_TIMEOUT, self.tag, (amount(self.order_timeout, "s"),))
        return None

    def _armed(self, state: BatchState, inputs: BatchInputs, now: Instant) -> BatchState:
        """Waits for what must be in place at the arm; everything else is checked again as it begins."""
        assert state.order is not None
        if self.arming is not None and self.arming.waits_for(state.arming) is not None:
            too_long = self.arming.timed_out(state.phase_at, now)
            return self._stop(state, too_long, now) if too_long is not None else state
        if inputs.pump_waits is not None:
            return state
        not_ready = self._not_ready(state, state.order.volume_m3, inputs)
        if not_ready is not None:
            return self._stop(state, not_ready, now)
        return replace(
            self._to(state, Phase.SLOW_START, now),
            total_start_m3=state.meter.total_m3,
            check=meter_check.AT_REST,
            disagrees=None,
            started_at=now.mono,
            started_utc=now.utc,
            quality=fill_quality.began(inputs.quality),
        )

    def _fill(self, state: BatchState, flow: float, total: Sample, now: Instant) -> BatchState:
        assert state.order is not None
        ahead = flow / 3600 * min(max(now.mono - total.received, 0.0), LOOK_AHEAD_LIMIT_S)
        delivered = state.delivered_m3 + ahead
        left = state.order.volume_m3 - delivered
        if left <= self.pre_act.volume_m3(state.overruns_m3, flow):
            preset = Cause(Code.PRESET_REACHED, self.tag, (amount(state.order.volume_m3, "m3"),))
            closing = self._to(state, Phase.CLOSING, now)
            return replace(closing, stop=preset, at_close_m3=delivered, stopped_utc=now.utc)
        if self.slow_finish_m3 > 0 and left <= self.slow_finish_m3 and state.phase is not Phase.SLOW_FINISH:
            return self._to(state, Phase.SLOW_FINISH, now)
        if state.phase is Phase.SLOW_START and flow >= self.watch.none_below_m3h and delivered >= self.slow_start_m3:
            return replace(self._to(state, Phase.FULL_FLOW, now), full_at=now.mono)
        return state

    def _settle(self, state: BatchState, inputs: BatchInputs, now: Instant) -> tuple[BatchState, tuple[Event, ...]]:
        settled = (
            lasted(state.nil_since, self.settle, now)
            and now.mono - state.phase_at >= self.settle
            and (state.total_start_m3 is None or self._read_since_nil(state))
        )
        if not settled and now.mono - state.phase_at < SETTLE_LIMIT_S:
            return state, ()
        if state.total_start_m3 is not None and not state.restored:
            state = replace(state, quality=fill_quality.ended(state.quality, inputs.quality))
            if settled and inputs.forbids_run is None:
                state = self._learn(state)
        receipt = receipt_of(
            state, self.facts, self.pre_act.volume_m3(state.overruns_m3, 0.0), self._left_m3(state), now
        )
        return self._to(state, Phase.RECEIPT, now), (receipt,)

    @staticmethod
    def _read_since_nil(state: BatchState) -> bool:
        """True when the totaliser was read after the last water had passed: only then is all of it delivered."""
        read_at, nil_since = state.meter.read_at, state.nil_since
        known = state.meter.unknown_since is None and read_at is not None and nil_since is not None
        return known and read_at >= nil_since  # type: ignore[operator]

    def _left_m3(self, state: BatchState) -> float | None:
        return self.quota.left_m3(state.quota) if self.quota is not None else None

    def _learn(self, state: BatchState) -> BatchState:
        """Takes the overrun of a good fill: ended at its preset, from full flow with the valve right open.

        One that did not settle (a leak, a meter that is not read) or in which something tripped tells nothing.
        """
        if state.at_close_m3 is None or state.stop is None or state.stop.code is not Code.PRESET_REACHED:
            return state
        if state.full_at is None or state.phase_at - state.full_at < 2 * self.pre_act.travel:
            return state
        overrun_m3 = state.delivered_m3 - state.at_close_m3
        return replace(state, overruns_m3=self.pre_act.learned(state.overruns_m3, overrun_m3))

    def _finish(self, state: BatchState, now: Instant) -> BatchState:
        return replace(fill.without_order(state), phase=self._to(state, Phase.IDLE, now).phase, phase_at=now.mono)

    def _stop(self, state: BatchState, cause: Cause, now: Instant) -> BatchState:
        stopped = state.stopped_utc if state.stopped_utc is not None else now.utc
        return replace(self._to(state, Phase.STOPPING, now), stop=cause, stopped_utc=stopped)

    def _to(self, state: BatchState, phase: Phase, now: Instant) -> BatchState:
        assert phase in TRANSITIONS[state.phase], f"{self.tag}: {state.phase} -> {phase}"
        return replace(state, phase=phase, phase_at=now.mono)

    def _opening(self, state: BatchState) -> tuple[float, bool]:
        """The opening of the valve in percent, and whether the valve of the slow stage is open."""
        if state.phase not in DISPENSING:
            return 0.0, False
        if state.phase is Phase.FULL_FLOW:
            return 100.0, self.slow_valve
        if self.slow_valve:
            return 0.0, True
        return (self.slow_opening if self.slow_opening > 0 else 100.0), False

    def _cause(self, state: BatchState) -> Cause:
        """Why the valve is as it is. Made anew only with the phase, or with what an armed fill waits for."""
        if state.order is None:
            return Cause(Code.NO_ORDER, self.tag)
        which = (state.order.id,)
        match state.phase:
            case Phase.AUTHORISED | Phase.CHECKING:
                return Cause(Code.CHECKING, self.tag, which)
            case Phase.ARMED:
                waits = self.arming.waits_for(state.arming) if self.arming is not None else None
                return Cause(Code.ARMED, self.tag, which, waits or state.pump_waits)
            case Phase.SLOW_START | Phase.FULL_FLOW | Phase.SLOW_FINISH:
                return Cause(Code.FILLING, self.tag, (*which, amount(state.order.volume_m3, "m3")))
            case _:
                return Cause(Code.CLOSING, self.tag, which, state.stop)

    def _judge(
        self, state: BatchState, flow: float | None, now: Instant
    ) -> tuple[Cause | None, tuple[Cause, ...], bool]:
        """What trips, which alarms stand, and whether the valve closes fast: as ``response.BATCH`` says."""
        wrong: list[Cause] = []
        if state.stop is not None and state.stop.code in BATCH:
            wrong.append(state.stop)
        if state.disagrees is not None and state.disagrees is not state.stop:
            wrong.append(state.disagrees)
        if state.low_flow is not None:
            wrong.append(state.low_flow)
        if state.at_close_m3 is not None and state.order is not None:
            over = state.delivered_m3 - state.order.volume_m3
            if over > self.pre_act.limit_m3:
                values = (amount(state.delivered_m3, "m3"), amount(state.order.volume_m3, "m3"))
                wrong.append(Cause(Code.OVERRUN, self.tag, values))
        unmeant = self._unmeant(state, flow, now)
        if unmeant is not None:
            wrong.append(unmeant)
        if not wrong:
            return None, self._quota_alarms(state), False
        trip = next((cause for cause in wrong if BATCH[cause.code].action in TRIPS), None)
        alarms = tuple(cause for cause in wrong if BATCH[cause.code].alarm is not None)
        fast = any(BATCH[cause.code].action in FAST for cause in wrong)
        return trip, (*alarms, *self._quota_alarms(state)), fast

    def _quota_alarms(self, state: BatchState) -> tuple[Cause, ...]:
        return state.quota.alarms if self.quota is not None else ()

    def _unmeant(self, state: BatchState, flow: float | None, now: Instant) -> Cause | None:
        """Water that flows without an order, or after the valve was closed."""
        if flow is None or flow < self.watch.none_below_m3h:
            return None
        if lasted(state.unauthorised_since, self.unauthorised_after, now):
            return Cause(Code.FLOW_WITHOUT_ORDER, self.tag, (amount(flow, "m3/h"),))
        if state.phase is Phase.SETTLING and now.mono - state.phase_at >= SETTLE_LIMIT_S / 2:
            return Cause(Code.FLOW_AFTER_CLOSE, self.tag, (amount(flow, "m3/h"),))
        return None
