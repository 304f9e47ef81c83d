"""Pre-act: how much before the preset the valve is told to close.

Water goes on flowing while a valve closes: a valve that closes linearly in 10 s from 60 m3/h lets 83 L pass (shared
water notes 3.3). The pre-act is the mean of what passed after the last three closings. Fills that ended otherwise
(cancelled, tripped, stopped), never came to full flow or did not settle tell nothing of the valve and are left out;
each overrun, and so the pre-act, is held within a limit. A new valve or meter begins anew, by a person's command.
Practice: mean of the last three batches (Toptech MultiLoad II).
"""

from dataclasses import dataclass

LEARNED_FROM = 3
"""Fills that the pre-act is the mean of."""


@dataclass(frozen=True, slots=True)
class PreAct:
    """Settings: volumes in m3, ``travel`` of the valve in s; ``start_m3`` is used until there is a fill to learn from.

    Without ``start_m3`` the first fills take half a stroke at the present flow, which is right for a linear valve.
    """

    start_m3: float | None
    limit_m3: float
    travel: float

    def volume_m3(self, overruns_m3: tuple[float, ...], flow_m3h: float) -> float:
        """How much early to close, at a flow."""
        if overruns_m3:
            learned = sum(overruns_m3) / len(overruns_m3)
        elif self.start_m3 is not None:
            learned = self.start_m3
        else:
            learned = flow_m3h / 3600 * self.travel / 2
        return min(max(learned, 0.0), self.limit_m3)

    def learned(self, overruns_m3: tuple[float, ...], overrun_m3: float) -> tuple[float, ...]:
        """The overruns after one more good fill."""
        return (*overruns_m3, min(max(overrun_m3, 0.0), self.limit_m3))[-LEARNED_FROM:]
