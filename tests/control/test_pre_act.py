"""Pre-act: against the closed form of a linear valve, and what it must not learn from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sample import Reason
from control.command import Op
from control.event import Kind
from control.fill import BatchState
from control.pre_act import LEARNED_FROM, PreAct
from tests.control.bench import PERIOD_S, FillStation, edited

FULL_FLOW_M3H = 60.0
CLOSING_S = 10.0
CLOSED_FORM_M3 = FULL_FLOW_M3H / 3600 * CLOSING_S / 2
"""Shared water notes 3.3: 60 m3/h, linear 10-s close: 16.7 L/s x 10 s / 2 = 83 L."""


class SlowValve(FillStation):
    """A linear valve of 10 s, and a meter that is read each ``poll_s``."""

    travel_s = CLOSING_S

    def __init__(self, poll_s: float) -> None:
        super().__init__(
            edited(
                "fill-station",
                ("travel: 4 s", "travel: 10 s"),
                ("pre_act: 8 L ", "pre_act: 0 L "),
                ("    pump: P-101\n", ""),
                ("profile: mag-0x00\n    poll: 0.5 s", f"profile: mag-0x00\n    poll: {poll_s} s"),
            )
        )
        self.poll_s = poll_s
        self.read_at = -1.0

    def plant(self) -> None:
        """Pressure stands before the valve: what flows is what the valve lets through."""
        before = self.total_m3
        super().plant()
        self.flow_m3h = self.full_flow_m3h * self.position
        self.total_m3 = before + self.flow_m3h / 3600 * PERIOD_S
        self.values |= {"FIT-101.flow": self.flow_m3h, "FIT-101.total": self.total_m3}

    def refresh(self) -> None:
        meter = [i for i, name in enumerate(self.program.signal_names) if name.startswith("FIT-101.")]
        before = [self.image[i] for i in meter]
        super().refresh()
        if self.mono - self.read_at < self.poll_s - 1e-6:
            for i, sample in zip(meter, before, strict=True):
                self.image[i] = sample
        else:
            self.read_at = self.mono


@pytest.mark.parametrize("poll_s", [0.5, 1.0])
def test_it_converges_to_the_closed_form_of_a_linear_valve_within_one_poll(poll_s: float) -> None:
    station = SlowValve(poll_s)
    station.ready()
    for number in range(LEARNED_FROM + 1):
        station.order(0.8, f"o-{number}")
        station.until("closing")
        station.until("idle")
    learned = sum(station.fill.overruns_m3) / LEARNED_FROM
    one_poll_m3 = FULL_FLOW_M3H / 3600 * (poll_s + 0.1)
    assert pytest.approx(0.0833, abs=1e-4) == CLOSED_FORM_M3
    assert learned == pytest.approx(CLOSED_FORM_M3, abs=one_poll_m3)
    delivered = station.events_named("receipt")[-1].body["delivered_m3"]
    assert delivered == pytest.approx(0.8, abs=one_poll_m3)


def test_before_anything_is_learned_half_a_stroke_at_the_present_flow_is_the_same_closed_form() -> None:
    assert PreAct(None, 0.5, CLOSING_S).volume_m3((), FULL_FLOW_M3H) == pytest.approx(CLOSED_FORM_M3)


@given(st.lists(st.floats(-10, 10), max_size=8), st.floats(0, 1))
def test_it_is_the_mean_of_the_last_three_and_always_within_its_limit(overruns: list[float], limit: float) -> None:
    pre_act = PreAct(0.1, limit, 4.0)
    learned: tuple[float, ...] = ()
    for overrun in overruns:
        learned = pre_act.learned(learned, overrun)
    assert 0 <= pre_act.volume_m3(learned, 60.0) <= limit
    last = [min(max(one, 0.0), limit) for one in overruns[-LEARNED_FROM:]]
    if last:
        assert pre_act.volume_m3(learned, 60.0) == pytest.approx(sum(last) / len(last))


def learned_after(station: FillStation) -> tuple[float, ...]:
    fill = station.fill
    assert isinstance(fill, BatchState)
    return fill.overruns_m3


def test_a_cancelled_a_tripped_and_a_very_short_fill_teach_nothing() -> None:
    station = FillStation().ready()
    station.order(2.0, "cancelled")
    station.until("full-flow")
    station.run(20.0)
    station.ask(Op.CANCEL, "FILL-1")
    station.until("idle")
    assert learned_after(station) == ()
    station.order(0.03, "short")
    station.until("idle")
    assert station.events_named("receipt")[-1].body["complete"] is True
    assert learned_after(station) == ()
    station.order(2.0, "tripped")
    station.until("full-flow")
    station.run(20.0)
    station.values["AIT-101.turbidity"] = 16.0
    station.until("idle")
    assert learned_after(station) == ()


def test_a_person_lets_it_begin_anew_after_a_new_valve_and_says_why() -> None:
    station = FillStation().ready()
    station.order(0.5)
    station.until("idle", 200.0)
    assert learned_after(station) != ()
    refused = station.ask(Op.PRE_ACT_RESET, "FILL-1")
    assert refused.refusal is not None
    assert refused.refusal.code == "reason-missing"
    assert station.ask(Op.PRE_ACT_RESET, "FILL-1", reason="XV-101 replaced").accepted
    assert learned_after(station) == ()
    [event] = [event for event in station.events_named("pre-act-reset") if event.kind is Kind.EVENT]
    assert event.body["reason"] == "XV-101 replaced"


def test_a_fill_that_a_leak_follows_teaches_nothing() -> None:
    station = SlowValve(0.5)
    station.ready()
    station.order(1.5)
    station.until("settling")
    station.total_m3 += 0.2
    station.reasons["FIT-101.flow"] = Reason.NO_COMMUNICATION
    station.until("idle")
    assert len(station.events_named("receipt")) == 1
    assert station.fill.overruns_m3 == ()


def test_a_receipt_waits_for_a_totaliser_that_is_not_read_so_that_it_has_all_of_the_water() -> None:
    station = SlowValve(0.5)
    station.ready()
    before = station.total_m3
    station.order(1.5)
    station.until("closing")
    station.reasons["FIT-101.total"] = Reason.NO_COMMUNICATION
    station.run(25.0)
    assert station.events_named("receipt") == []
    station.reasons.clear()
    station.until("idle")
    [receipt] = station.events_named("receipt")
    assert receipt.body["delivered_m3"] == pytest.approx(station.total_m3 - before, abs=1e-6)
    assert station.fill.overruns_m3[0] == pytest.approx(CLOSED_FORM_M3, abs=0.02)
