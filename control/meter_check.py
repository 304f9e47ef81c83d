"""The meter's cross-check: does its flow, integrated, agree with what its totaliser counted?

Only a check: water is billed by the totaliser alone. Both come from one instrument, so what it finds is a totaliser
that stands still, is scaled wrongly or is read from the wrong register. Spans without a good flow on both ends are
left out on both sides. Source: shared water notes 3.3 (integrate flow only as a cross-check).
"""

from dataclasses import dataclass, replace
from math import inf

from config.sample import Sample
from control.cause import Cause, amount
from control.code import Code

LONGEST_SPAN_S = 5.0
"""Two flow readings further apart say nothing of the time between them."""


@dataclass(frozen=True, slots=True)
class MeterCheckState:
    """``by_flow_m3`` and ``by_total_m3`` since the check began, over the spans that both are known for."""

    by_flow_m3: float = 0.0
    by_total_m3: float = 0.0
    pending_m3: float = 0.0
    flow_m3h: float | None = None
    flow_at: float = -inf


AT_REST = MeterCheckState()


@dataclass(frozen=True, slots=True)
class MeterCheck:
    """Settings: the deviation allowed, in percent of the larger, and never less than ``least_m3``."""

    deviation: float
    least_m3: float

    def step(self, state: MeterCheckState, flow: Sample, counted_m3: float) -> MeterCheckState:
        """Adds the newest flow reading and what the totaliser counted since the last step."""
        if flow.received == state.flow_at:
            return state if counted_m3 == 0 else replace(state, pending_m3=state.pending_m3 + counted_m3)
        present, lapse_s = flow.number, flow.received - state.flow_at
        if present is None or state.flow_m3h is None or lapse_s > LONGEST_SPAN_S:
            return replace(state, pending_m3=0.0, flow_m3h=present, flow_at=flow.received)
        return MeterCheckState(
            by_flow_m3=state.by_flow_m3 + (present + state.flow_m3h) / 2 / 3600 * lapse_s,
            by_total_m3=state.by_total_m3 + state.pending_m3 + counted_m3,
            pending_m3=0.0,
            flow_m3h=present,
            flow_at=flow.received,
        )

    def disagrees(self, state: MeterCheckState) -> bool:
        """True when the two are further apart than allowed."""
        larger = max(state.by_flow_m3, state.by_total_m3)
        apart = abs(state.by_flow_m3 - state.by_total_m3)
        return apart > max(self.deviation / 100 * larger, self.least_m3)

    def cause(self, name: str, state: MeterCheckState) -> Cause:
        """What was found, with its figures."""
        by_total, by_flow = amount(state.by_total_m3, "m3"), amount(state.by_flow_m3, "m3")
        return Cause(Code.METER_DISAGREES, name, (by_total, by_flow))
