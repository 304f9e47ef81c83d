"""The continuous dispenser: serves a pipe at a set-point of flow or of pressure.

``stopped -> ramping -> holding``. The set-point moves at a ramp, up and down each at its own; a PID holds it on a
modulating valve. Whatever protect forbids closes the valve; when it is allowed again the set-point starts from what
there is, so that the network is never hit by a full opening.

Flow is capped by what is allocated to the dispenser and by its quota, when that is used up and the site file says
``throttle``. Under control of flow the cap lowers the set-point; under control of pressure a second PID holds the cap,
and the valve takes the smaller of both openings.

Served volume is the meter's totaliser; what it counts with the valve proved closed is unattributed. Each hour, and at
each stop, what was served goes into the ledger. What goes wrong leads to what ``response.CONTINUOUS`` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal

from config.sample import Sample
from control import account, flow_watch, meter, meter_check, quota
from control.account import Account
from control.cause import Cause, amount
from control.code import Code
from control.command import Command
from control.event import Event
from control.flow_watch import FlowWatch, FlowWatchState
from control.instant import Instant
from control.meter import NEVER_READ, Meter, MeterState
from control.meter_check import MeterCheck, MeterCheckState
from control.pid import Pid, PidState
from control.quota import AtLimit, Quota, QuotaState
from control.receipt import ReceiptFacts
from control.response import CONTINUOUS, FAST, TRIPS
from control.timer import lasted, since
from control.valve import Position

METER_TOLERANCE_S: Final = 3.0
"""How long the meter, or the pressure, may be unread while water flows."""
MAX_STEP_S: Final = 1.0
"""The loop never integrates over a longer gap between two scans than this."""
AT_REST: Final = PidState()


class Phase(StrEnum):
    """What the off-take does."""

    STOPPED = "stopped"
    RAMPING = "ramping"
    HOLDING = "holding"


CHINESE: Final[Mapping[str, str]] = {
    Phase.STOPPED: "停止",
    Phase.RAMPING: "升降",
    Phase.HOLDING: "保持",
}

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.STOPPED: frozenset({Phase.RAMPING}),
    Phase.RAMPING: frozenset({Phase.HOLDING, Phase.STOPPED}),
    Phase.HOLDING: frozenset({Phase.RAMPING, Phase.STOPPED}),
}
"""Every transition there is; a dispenser takes no other."""


@dataclass(frozen=True, slots=True)
class ContinuousState:
    """What a continuous dispenser remembers. Volumes in m3, times monotonic.

    ``setpoint`` (commanded, ``None``: the site file's) and ``ramped`` in the unit that is controlled; ``opening`` in
    percent. ``wrong``: what stands wrong with the flow or the meter. ``told_for``: what ``cause`` was made for.
    """

    phase: Phase = Phase.STOPPED
    setpoint: float | None = None
    ramped: float = 0.0
    opening: float = 0.0
    pid: PidState = AT_REST
    limit_pid: PidState = AT_REST
    stepped_at: float | None = None
    meter: MeterState = NEVER_READ
    quota: QuotaState = quota.UNUSED
    watch: FlowWatchState = flow_watch.AT_REST
    check: MeterCheckState = meter_check.AT_REST
    wrong: Cause | None = None
    disagrees: Cause | None = None
    served_m3: float = 0.0
    account: Account = account.NEVER_OPEN
    flow_unknown_since: float | None = None
    pressure_unknown_since: float | None = None
    unauthorised_since: float | None = None
    cause: Cause | None = None
    told_for: tuple[float, Code | None] | None = None


@dataclass(frozen=True, slots=True)
class ContinuousInputs:
    """What a step sees besides the image: what protect forbids, where the valve is.

    ``allocated_m3h``: the most that may flow while water is short, ``None``: it takes no part
    in an allocation. ``allocated_because``: why it is less than is wanted.
    """

    forbids: Cause | None
    valve: Position
    allocated_m3h: float | None = None
    allocated_because: Cause | None = None


@dataclass(frozen=True, slots=True)
class ContinuousResult:
    """``opening`` in percent and why; ``fast``: the valve closes as fast as is safe; what trips, stands, happened."""

    opening: float
    cause: Cause
    fast: bool = False
    trip: Cause | None = None
    alarms: tuple[Cause, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class ContinuousDispenser:
    """Settings. Signals are image indices; set-points and ramps (per second) in ``unit``, times in s.

    ``control`` says what ``pid`` holds; ``limit_pid`` holds a cap of flow while pressure is controlled.
    """

    tag: str
    use: str
    control: Literal["flow", "pressure"]
    unit: str
    flow: int
    flow_name: str
    pressure: int | None
    pressure_name: str
    meter: Meter
    check: MeterCheck
    watch: FlowWatch
    quota: Quota | None
    facts: ReceiptFacts
    setpoint: float
    max_setpoint: float
    ramp_up: float
    ramp_down: float
    unauthorised_after: float
    pid: Pid
    limit_pid: Pid | None

    def wanted(self, state: ContinuousState) -> float:
        """The set-point in force: the one last commanded, else the site file's."""
        return self.setpoint if state.setpoint is None else state.setpoint

    def commanded(self, state: ContinuousState, command: Command) -> tuple[ContinuousState, Cause | None]:
        """The state with another set-point, or why that cannot be taken."""
        asked, unit = command.flow_m3h, "m3/h"
        if isinstance(command.value, float):
            asked, unit = command.value, "bar"
        if unit == self.unit and 0 <= asked <= self.max_setpoint:
            return replace(state, setpoint=asked), None
        values = (amount(asked, unit), amount(self.max_setpoint, self.unit))
        return state, Cause(Code.SETPOINT_NOT_ALLOWED, self.tag, values)

    def step(
        self, state: ContinuousState, image: tuple[Sample, ...], inputs: ContinuousInputs, now: Instant
    ) -> tuple[ContinuousState, ContinuousResult]:
        """One scan of the loop."""
        flow = image[self.flow].number
        pressure = image[self.pressure].number if self.pressure is not None else None
        phase = state.phase
        state, counted, alarms = self._count(state, image, inputs.valve, now)
        state = self._watched(state, flow, pressure, inputs.valve, now)
        wanted, capped, cap = self._capped(state, inputs)
        because = inputs.allocated_because
        stop = inputs.forbids or self._blind(state, now) or self._nil(state, wanted, capped, because)
        if stop is None:
            state = self._regulate(state, flow, pressure, wanted, cap, now)
            state = self._told(state, wanted, capped, cap, because)
            assert state.cause is not None
            opening, cause = state.opening, state.cause
            state, more = self._account(state, account.due(state.account, now), now)
        else:
            opening, cause = 0.0, stop
            state, more = self._stopped(state, inputs.valve, now)
        trip, standing, fast = self._judge(state, flow, stop, now)
        assert state.phase is phase or state.phase in TRANSITIONS[phase], f"{self.tag}: {phase} -> {state.phase}"
        return state, ContinuousResult(opening, cause, fast, trip, (*alarms, *standing), (*counted, *more))

    def _count(
        self, state: ContinuousState, image: tuple[Sample, ...], valve: Position, now: Instant
    ) -> tuple[ContinuousState, tuple[Event, ...], tuple[Cause, ...]]:
        idle = state.phase is Phase.STOPPED and valve is Position.CLOSED and state.account.served_m3 <= 0
        taken = not idle and state.account.start_m3 is not None
        counted = self.meter.step(state.meter, image, taken=taken, now=now)
        if counted.state is not state.meter:
            state = replace(state, meter=counted.state)
        if not taken and state.account.start_m3 != state.meter.total_m3:
            state = replace(state, account=replace(state.account, start_m3=state.meter.total_m3))
        if counted.volume_m3 > 0:
            served = replace(state.account, served_m3=state.account.served_m3 + counted.volume_m3)
            state = replace(state, served_m3=state.served_m3 + counted.volume_m3, account=served)
        if taken and counted.state.air_m3 is None:
            check = self.check.step(state.check, image[self.flow], counted.volume_m3)
            if check is not state.check:
                state = replace(state, check=check)
                if state.disagrees is None and self.check.disagrees(check):
                    state = replace(state, disagrees=self.check.cause(self.meter.total_name, check))
        if self.quota is not None:
            used = self.quota.step(state.quota, counted.volume_m3, now)
            state = state if used is state.quota else replace(state, quota=used)
        return state, counted.events, counted.alarms

    def _watched(
        self, state: ContinuousState, flow: float | None, pressure: float | None, valve: Position, now: Instant
    ) -> ContinuousState:
        flows = flow is not None and flow >= self.watch.none_below_m3h
        closed = state.phase is Phase.STOPPED and valve is Position.CLOSED
        watch = self.watch.step(state.watch, flow, state.phase is not Phase.STOPPED, now)
        times = (
            since(state.flow_unknown_since, flow is None, now),
            since(state.pressure_unknown_since, self.pressure is not None and pressure is None, now),
            since(state.unauthorised_since, flows and closed, now),
        )
        found = self.watch.found(watch, now)
        same = times == (state.flow_unknown_since, state.pressure_unknown_since, state.unauthorised_since)
        if same and watch is state.watch and found is (state.wrong.code if state.wrong is not None else None):
            return state
        wrong = state.wrong
        if found is not (wrong.code if wrong is not None else None):
            wrong = self.watch.cause(found, watch) if found is not None else None
        return replace(
            state,
            watch=watch,
            wrong=wrong,
            flow_unknown_since=times[0],
            pressure_unknown_since=times[1],
            unauthorised_since=times[2],
        )

    def _capped(self, state: ContinuousState, inputs: ContinuousInputs) -> tuple[float, Code | None, float | None]:
        """The set-point under the cap of flow that holds now, what caps it, and that cap in m3/h."""
        wanted, cap, code = self.wanted(state), inputs.allocated_m3h, None
        if cap is not None:
            code = Code.ALLOCATED
        if self.quota is not None and state.quota.reached is not None:
            most = self.quota.throttle_m3h if self.quota.at_limit is AtLimit.THROTTLE else 0.0
            if cap is None or most < cap:
                cap, code = most, Code.QUOTA_REACHED
        if cap is None:
            return wanted, None, None
        if cap <= 0:
            return 0.0, code, cap
        if self.control == "flow":
            return (cap, code, cap) if cap < wanted else (wanted, None, None)
        return wanted, code, cap

    def _blind(self, state: ContinuousState, now: Instant) -> Cause | None:
        """Why nothing may flow while the meter or the pressure is not read."""
        if lasted(state.flow_unknown_since, METER_TOLERANCE_S, now):
            return Cause(Code.METER_UNKNOWN, self.flow_name, ("no good reading",))
        if lasted(state.meter.unknown_since, METER_TOLERANCE_S, now):
            return Cause(Code.METER_UNKNOWN, self.meter.total_name, ("no good reading",))
        if lasted(state.pressure_unknown_since, METER_TOLERANCE_S, now):
            return Cause(Code.PRESSURE_UNKNOWN, self.pressure_name, ("no good reading",))
        return None

    def _nil(self, state: ContinuousState, wanted: float, capped: Code | None, because: Cause | None) -> Cause | None:
        """Why nothing is wanted, or ``None``."""
        if wanted > 0:
            return None
        if capped is Code.QUOTA_REACHED:
            return state.quota.reached
        if capped is Code.ALLOCATED:
            return Cause(Code.NOTHING_ALLOCATED, self.tag, (), because)
        return Cause(Code.SETPOINT_NIL, self.tag)

    def _regulate(
        self,
        state: ContinuousState,
        flow: float | None,
        pressure: float | None,
        wanted: float,
        cap: float | None,
        now: Instant,
    ) -> ContinuousState:
        measured = flow if self.control == "flow" else pressure
        if measured is None or flow is None:
            return state
        if state.phase is Phase.STOPPED or state.stepped_at is None:
            return replace(
                state,
                phase=Phase.RAMPING,
                ramped=measured,
                pid=self.pid.track(state.opening, measured, measured),
                limit_pid=AT_REST if self.limit_pid is None else self.limit_pid.track(state.opening, flow, flow),
                stepped_at=now.mono,
                account=account.begun(state.account, now),
            )
        dt = min(max(now.mono - state.stepped_at, 0.0), MAX_STEP_S)
        ramped = state.ramped + min(max(wanted - state.ramped, -self.ramp_down * dt), self.ramp_up * dt)
        pid, opening = self.pid.step(state.pid, ramped, measured, dt)
        limit_pid = state.limit_pid
        if self.limit_pid is not None and cap is not None:
            limit_pid, at_most = self.limit_pid.step(limit_pid, cap, flow, dt)
            if at_most < opening:
                opening, pid = at_most, self.pid.track(at_most, ramped, measured)
            else:
                limit_pid = self.limit_pid.track(opening, cap, flow)
        elif self.limit_pid is not None:
            limit_pid = self.limit_pid.track(opening, flow, flow)
        phase = Phase.HOLDING if ramped == wanted else Phase.RAMPING
        return replace(
            state,
            phase=phase,
            ramped=ramped,
            pid=pid,
            limit_pid=limit_pid,
            opening=opening,
            stepped_at=now.mono,
        )

    def _told(
        self, state: ContinuousState, wanted: float, capped: Code | None, cap: float | None, short: Cause | None
    ) -> ContinuousState:
        """Keeps the cause, made anew only when what is held, or what caps it, is another."""
        told_for = (wanted if cap is None else cap, capped)
        if state.cause is not None and state.told_for == told_for:
            return state
        because = None
        if capped is Code.QUOTA_REACHED:
            because = state.quota.reached
        elif capped is Code.ALLOCATED and cap is not None:
            because = Cause(Code.ALLOCATED, self.tag, (amount(cap, "m3/h"),), short)
        cause = Cause(Code.REGULATING, self.tag, (amount(wanted, self.unit),), because)
        return replace(state, cause=cause, told_for=told_for)

    def _stopped(
        self, state: ContinuousState, valve: Position, now: Instant
    ) -> tuple[ContinuousState, tuple[Event, ...]]:
        if state.phase is Phase.STOPPED:
            return self._account(state, state.account.served_m3 > 0 and valve is Position.CLOSED, now)
        return replace(
            state, phase=Phase.STOPPED, ramped=0.0, opening=0.0, pid=AT_REST, limit_pid=AT_REST, stepped_at=None
        ), ()

    def _account(self, state: ContinuousState, close: bool, now: Instant) -> tuple[ContinuousState, tuple[Event, ...]]:
        if not close:
            return state, ()
        disagrees = self.check.disagrees(state.check)
        more: dict[str, Any] = {
            "by_flow_m3": round(state.check.by_flow_m3, 6),
            "meter_disagrees": disagrees,
            "day_m3": round(state.quota.day.used_m3, 6) if self.quota is not None else None,
            "year_m3": round(state.quota.year.used_m3, 6) if self.quota is not None else None,
        }
        opened, event = account.closed(state.account, self.facts, state.meter.total_m3, more, now)
        check = replace(meter_check.AT_REST, flow_m3h=state.check.flow_m3h, flow_at=state.check.flow_at)
        standing = state.disagrees if disagrees else None
        return replace(state, account=opened, check=check, disagrees=standing), (event,)

    def _judge(
        self, state: ContinuousState, flow: float | None, stop: Cause | None, now: Instant
    ) -> tuple[Cause | None, tuple[Cause, ...], bool]:
        """What trips, which alarms stand, and whether the valve closes fast: as ``response.CONTINUOUS`` says."""
        quota_alarms = state.quota.alarms if self.quota is not None else ()
        wrong = [cause for cause in (state.wrong, state.disagrees) if cause is not None]
        if stop is not None and stop.code in (Code.METER_UNKNOWN, Code.PRESSURE_UNKNOWN):
            wrong.append(stop)
        if flow is not None and lasted(state.unauthorised_since, self.unauthorised_after, now):
            wrong.append(Cause(Code.FLOW_WITHOUT_ORDER, self.tag, (amount(flow, "m3/h"),)))
        if not wrong:
            return None, quota_alarms, False
        trip = next((cause for cause in wrong if CONTINUOUS[cause.code].action in TRIPS), None)
        fast = any(CONTINUOUS[cause.code].action in FAST for cause in wrong)
        return trip, (*wrong, *quota_alarms), fast


def to_saved(state: ContinuousState, now: Instant) -> dict[str, Any]:
    """What of a continuous dispenser survives a restart, as JSON."""
    return {
        "setpoint": state.setpoint,
        "meter": meter.to_saved(state.meter, now),
        "quota": quota.to_saved(state.quota),
        "served_m3": state.served_m3,
        "account": {
            "served_m3": state.account.served_m3,
            "start_m3": state.account.start_m3,
            "since_utc": state.account.since_utc,
        },
    }


def from_saved(saved: dict[str, Any], now: Instant) -> ContinuousState:
    """The state after a restart: stopped. Raises ``KeyError``, ``TypeError`` on other data."""
    return ContinuousState(
        setpoint=saved["setpoint"],
        meter=meter.from_saved(saved["meter"], now),
        quota=quota.from_saved(saved["quota"]),
        served_m3=saved["served_m3"],
        account=Account(**saved["account"]),
    )
