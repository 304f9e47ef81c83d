"""What a batch dispenser remembers of the fill in hand and from one fill to the next, and what of it is saved."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from control import arming, fill_quality, flow_watch, meter, meter_check, quota
from control.arming import ArmingState
from control.cause import Cause, from_json, to_json
from control.code import Code
from control.fill_phase import Phase
from control.fill_quality import FillQuality
from control.flow_watch import FlowWatchState
from control.instant import Instant
from control.meter import NEVER_READ, MeterState
from control.meter_check import MeterCheckState
from control.order import Order
from control.quota import QuotaState


@dataclass(frozen=True, slots=True)
class BatchState:
    """What a batch dispenser remembers. Volumes in m3, times monotonic unless they end in ``_utc``.

    ``at_close_m3``: delivered as the valve was told to close; ``full_at``: since when the flow is full.
    """

    phase: Phase = Phase.IDLE
    phase_at: float = 0.0
    cause: Cause | None = None
    pump_waits: Cause | None = None
    order: Order | None = None
    stop: Cause | None = None
    meter: MeterState = NEVER_READ
    quota: QuotaState = quota.UNUSED
    arming: ArmingState = arming.AT_REST
    watch: FlowWatchState = flow_watch.AT_REST
    check: MeterCheckState = meter_check.AT_REST
    disagrees: Cause | None = None
    low_flow: Cause | None = None
    total_start_m3: float | None = None
    delivered_m3: float = 0.0
    at_close_m3: float | None = None
    full_at: float | None = None
    overruns_m3: tuple[float, ...] = ()
    seen_orders: tuple[str, ...] = ()
    started_at: float | None = None
    started_utc: float | None = None
    first_flow_at: float | None = None
    first_flow_utc: float | None = None
    stopped_utc: float | None = None
    max_flow_m3h: float = 0.0
    quality: tuple[FillQuality, ...] = ()
    overrides: tuple[str, ...] = ()
    restored: bool = False
    flow_unknown_since: float | None = None
    nil_since: float | None = None
    unauthorised_since: float | None = None


def without_order(state: BatchState) -> BatchState:
    """Ready for the next order: only what outlives a fill is kept."""
    return BatchState(
        meter=state.meter,
        quota=state.quota,
        disagrees=state.disagrees,
        overruns_m3=state.overruns_m3,
        seen_orders=state.seen_orders,
        flow_unknown_since=state.flow_unknown_since,
        nil_since=state.nil_since,
        unauthorised_since=state.unauthorised_since,
    )


_KEPT: Final = (
    "total_start_m3",
    "delivered_m3",
    "started_utc",
    "first_flow_utc",
    "stopped_utc",
    "max_flow_m3h",
)
"""What of an open fill is saved as it stands."""


def to_saved(state: BatchState, now: Instant) -> dict[str, Any]:
    """What of a batch dispenser survives a restart, as JSON."""
    return {
        "order": asdict(state.order) if state.order is not None else None,
        "stop": to_json(state.stop) if state.stop is not None else None,
        "meter": meter.to_saved(state.meter, now),
        "quota": quota.to_saved(state.quota),
        "receipt_written": state.phase is Phase.RECEIPT,
        "overruns_m3": list(state.overruns_m3),
        "seen_orders": list(state.seen_orders),
        "quality": fill_quality.to_saved(state.quality),
        "overrides": list(state.overrides),
        **{name: getattr(state, name) for name in _KEPT},
    }


def from_saved(tag: str, saved: dict[str, Any], now: Instant) -> BatchState:
    """The state after a restart: an open order is one to be ended. Raises ``KeyError``, ``TypeError`` on other data."""
    state = BatchState(
        meter=meter.from_saved(saved["meter"], now),
        quota=quota.from_saved(saved["quota"]),
        overruns_m3=tuple(saved["overruns_m3"]),
        seen_orders=tuple(saved["seen_orders"]),
    )
    if saved["order"] is None or saved["receipt_written"]:
        return state
    return replace(
        state,
        phase=Phase.STOPPING,
        restored=True,
        order=replace(Order(**saved["order"]), expires_at=None),
        stop=from_json(saved["stop"]) if saved["stop"] is not None else Cause(Code.RESTARTED, tag),
        quality=fill_quality.from_saved(saved["quality"]),
        overrides=tuple(saved["overrides"]),
        **{name: saved[name] for name in _KEPT},
    )
