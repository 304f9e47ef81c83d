"""The receipt: how a fill went and ended, as the platform and the ledger want it (shared water notes 3.8).

Who and what, the meter's readings, the flow, the times and how far their clock may be trusted, the quality of the
water at the start, at its worst and at the end, and why the fill stopped. The hash chain over the receipts is the
ledger's.
"""

from dataclasses import dataclass
from typing import Any

from control.cause import to_json
from control.code import Code
from control.event import Event, Kind
from control.fill import BatchState
from control.fill_quality import Parameter, quality_body
from control.instant import Instant


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What every receipt of a dispenser says alike: tag, use, meter, what is watched, the version of the site file."""

    tag: str
    use: str
    meter: str
    parameters: tuple[Parameter, ...]
    config_version: str


def receipt_of(state: BatchState, facts: ReceiptFacts, pre_act_m3: float, left_m3: float | None, now: Instant) -> Event:
    """The receipt of a fill that has settled; ``left_m3`` is what its quota leaves."""
    done, stop = state.order, state.stop
    assert done is not None
    assert stop is not None
    started = state.total_start_m3 is not None
    body: dict[str, Any] = {
        "order_id": done.id,
        "use": facts.use,
        "user": done.user,
        "vehicle": done.vehicle,
        "source": done.source,
        "preset_m3": done.volume_m3,
        "delivered_m3": round(state.delivered_m3, 6) if started else 0.0,
        "overrun_m3": round(max(state.delivered_m3 - done.volume_m3, 0.0), 6) if started else 0.0,
        "meter": facts.meter,
        "total_start_m3": state.total_start_m3,
        "total_end_m3": state.meter.total_m3 if started else None,
        "max_flow_m3h": round(state.max_flow_m3h, 3),
        "mean_flow_m3h": mean_flow_m3h(state.delivered_m3, state.first_flow_at, state.nil_since),
        "by_flow_m3": round(state.check.by_flow_m3, 6),
        "meter_disagrees": state.disagrees is not None,
        "pre_act_m3": round(pre_act_m3, 6),
        "quota_left_m3": left_m3,
        "accepted_utc": done.accepted_utc,
        "started_utc": state.started_utc,
        "first_flow_utc": state.first_flow_utc,
        "stopped_utc": state.stopped_utc,
        "settled_utc": now.utc,
        "time_quality": time_quality(now),
        "complete": stop.code is Code.PRESET_REACHED,
        "stop": to_json(stop),
        "overrides": list(state.overrides),
        "quality": quality_body(facts.parameters, state.quality),
        "config_version": facts.config_version,
    }
    return Event(Kind.RECEIPT, "receipt", facts.tag, body)


def time_quality(now: Instant) -> str:
    """How far the times of a receipt may be trusted."""
    if now.synchronised is None:
        return "unknown"
    return "synchronised" if now.synchronised else "unsynchronised"


def mean_flow_m3h(delivered_m3: float, first_flow_at: float | None, nil_since: float | None) -> float | None:
    """The mean flow while water flowed; ``None`` when that is not known (after a restart) or nothing flowed."""
    if first_flow_at is None or nil_since is None or nil_since <= first_flow_at:
        return None
    return round(delivered_m3 / (nil_since - first_flow_at) * 3600, 3)
