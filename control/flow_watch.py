"""Flow that is not as it should be while water is meant to flow: none, too little, too much.

Each stands once it has lasted its time. What it leads to is not decided here but in ``response.py``.
"""

from dataclasses import dataclass

from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant
from control.timer import lasted, since


@dataclass(frozen=True, slots=True)
class FlowWatchState:
    """Since when flow has been absent, low, high (monotonic seconds); ``highest_m3h`` while it has been high."""

    none_since: float | None = None
    low_since: float | None = None
    high_since: float | None = None
    highest_m3h: float = 0.0


AT_REST = FlowWatchState()


@dataclass(frozen=True, slots=True)
class FlowWatch:
    """Settings: flows in m3/h, times in s; ``None``: not watched. Flow below ``none_below_m3h`` counts as none."""

    tag: str
    none_below_m3h: float
    none_after: float
    low_m3h: float | None
    low_after: float
    high_m3h: float | None
    high_after: float
    expects_flow: bool = True

    def step(self, state: FlowWatchState, flow: float | None, meant_to_flow: bool, now: Instant) -> FlowWatchState:
        """Times what the flow is not; an unknown flow is not judged as low, and counts as none."""
        if not meant_to_flow:
            return AT_REST
        none = self.expects_flow and (flow is None or flow < self.none_below_m3h)
        low = self.low_m3h is not None and flow is not None and self.none_below_m3h <= flow < self.low_m3h
        high = self.high_m3h is not None and flow is not None and flow > self.high_m3h
        times = since(state.none_since, none, now), since(state.low_since, low, now), since(state.high_since, high, now)
        highest = max(state.highest_m3h, flow or 0.0) if high else 0.0
        if times == (state.none_since, state.low_since, state.high_since) and highest == state.highest_m3h:
            return state
        return FlowWatchState(*times, highest)

    def found(self, state: FlowWatchState, now: Instant) -> Code | None:
        """The weightiest that has lasted its time."""
        if state is AT_REST:
            return None
        if lasted(state.high_since, self.high_after, now):
            return Code.HIGH_FLOW
        if lasted(state.none_since, self.none_after, now):
            return Code.NO_FLOW
        return Code.LOW_FLOW if lasted(state.low_since, self.low_after, now) else None

    def cause(self, code: Code, state: FlowWatchState) -> Cause:
        """What was found, with its figures."""
        match code:
            case Code.HIGH_FLOW:
                assert self.high_m3h is not None
                values: tuple[str, ...] = (amount(state.highest_m3h, "m3/h"), amount(self.high_m3h, "m3/h"))
            case Code.NO_FLOW:
                values = (amount(self.none_after, "s"),)
            case _:
                assert self.low_m3h is not None
                values = (amount(self.low_m3h, "m3/h"), amount(self.low_after, "s"))
        return Cause(code, self.tag, values)
