"""Every drop the meter counts is in exactly one book, whatever happens; unfit water never flows meanwhile."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import NOT_YET_READ, Reason
from control.command import Command, Op
from control.fill_phase import Phase
from control.guard import Verdict
from control.saved import restored, to_saved
from tests.control.bench import PERIOD_S, START_UTC, FillStation

METER = ("FIT-101.flow", "FIT-101.total")


class Audited(FillStation):
    """The fill station under an auditor who looks at every scan."""

    def __init__(self) -> None:
        super().__init__()
        self.first_m3: float | None = None
        self.last_read_m3 = 0.0
        self.orders: list[str] = []
        self.ready()

    def scan(self, *commands: Command) -> None:
        super().scan(*commands)
        if "FIT-101.total" not in self.reasons:
            self.last_read_m3 = self.total_m3
            self.first_m3 = self.total_m3 if self.first_m3 is None else self.first_m3
        may_not = self.state.trips[0].latched or any(g.verdict >= Verdict.UNKNOWN for g in self.state.guards)
        if may_not:
            assert self.output("XV-101") is False
            assert self.output("P-101") is False

    @property
    def receipts(self) -> list[dict[str, Any]]:
        return [event.body for event in self.events_named("receipt")]

    @property
    def booked_m3(self) -> float:
        fill = self.fill
        open_fill = fill.delivered_m3 if fill.order is not None and fill.phase is not Phase.RECEIPT else 0.0
        delivered: float = sum(r["delivered_m3"] for r in self.receipts)
        return delivered + fill.meter.unattributed_m3 + fill.meter.idle_m3 + open_fill

    def audit(self) -> None:
        assert self.first_m3 is not None
        assert self.booked_m3 == pytest.approx(self.last_read_m3 - self.first_m3, abs=2e-6 * (len(self.orders) + 1))
        closed = [r["order_id"] for r in self.receipts]
        in_hand = self.fill.order is not None and self.fill.phase is not Phase.RECEIPT
        assert closed == (self.orders[:-1] if in_hand else self.orders)

    def restart(self, gap_s: float) -> None:
        saved = json.loads(json.dumps(to_saved(self.program, self.state, self.now), allow_nan=False))
        utc = self.now.utc + gap_s
        self.position = 0.0 if not self.valve_stuck else self.position
        self.total_m3 += self.leak_m3h / 3600 * gap_s
        self.mono = 5.0
        self.utc_offset = utc - self.mono
        self.image = [NOT_YET_READ] * len(self.image)
        self.state = restored(self.program, saved, self.now)

    def act(self, action: str, figure: float) -> None:
        match action:
            case "order":
                order_id = f"o-{len(self.orders)}"
                if self.order(0.02 + figure / 50, order_id).accepted:
                    self.orders.append(order_id)
            case "same order again":
                if self.orders:
                    assert not self.order(0.1, self.orders[-1]).accepted
            case "cancel":
                self.ask(Op.CANCEL, "FILL-1")
            case "reset":
                self.ask(Op.RESET, "FILL-1")
            case "leak":
                self.leak_m3h = 0.0 if self.leak_m3h else figure
            case "upset":
                self.values["AIT-101.turbidity"] = 2.5 if self.values["AIT-101.turbidity"] != 2.5 else 5.0 + figure
            case "silent turbidity":
                self._toggle("AIT-101.turbidity")
            case "lost meter":
                for name in METER:
                    self._toggle(name)
            case "stuck valve":
                self.valve_stuck = not self.valve_stuck
            case "restart":
                self.restart(figure)
            case "bad result":
                self.new_result("AIT-102.cod", 18.0 + figure, self.now.utc)

    def _toggle(self, name: str) -> None:
        if self.reasons.pop(name, None) is None:
            self.reasons[name] = Reason.NO_COMMUNICATION

    def calm(self) -> None:
        """Everything works again, until the last order has ended and the last drop is booked."""
        self.leak_m3h, self.valve_stuck = 0.0, False
        self.values["AIT-101.turbidity"] = 2.5
        self.reasons.clear()
        self.run(1.0)
        self.ask(Op.CANCEL, "FILL-1")
        self.until(Phase.IDLE)
        self.run(4.0)


actions = st.lists(
    st.tuples(
        st.one_of(
            st.just("order"),
            st.sampled_from(
                [
                    "order",
                    "same order again",
                    "cancel",
                    "reset",
                    "leak",
                    "upset",
                    "silent turbidity",
                    "lost meter",
                    "stuck valve",
                    "restart",
                    "bad result",
                ]
            ),
        ),
        st.floats(0.5, 15.0),
        st.sampled_from([0.1, 0.7, 3.3, 8.0, 16.0, 30.0]),
    ),
    max_size=14,
)


@settings(max_examples=25)
@given(actions)
def test_all_water_is_booked_once_and_every_order_ends_in_one_receipt(
    script: list[tuple[str, float, float]],
) -> None:
    station = Audited()
    for action, figure, pause in script:
        station.act(action, figure)
        station.run(pause)
        station.audit()
    station.calm()
    assert station.first_m3 is not None
    assert station.last_read_m3 == station.total_m3
    assert station.fill.meter.idle_m3 == 0.0
    assert [receipt["order_id"] for receipt in station.receipts] == station.orders
    station.audit()


@pytest.mark.parametrize(
    "phase",
    [
        Phase.CHECKING,
        Phase.ARMED,
        Phase.SLOW_START,
        Phase.FULL_FLOW,
        Phase.CLOSING,
        Phase.STOPPING,
        Phase.SETTLING,
        Phase.RECEIPT,
    ],
)
def test_a_restart_in_any_phase_keeps_the_books(phase: Phase) -> None:
    station = Audited()
    station.act("order", 3.0)
    if phase is Phase.STOPPING:
        station.until(Phase.FULL_FLOW)
        station.act("cancel", 0.0)
    station.until(phase)
    station.leak_m3h = 3.0
    station.restart(20.0)
    station.scan()
    station.audit()
    station.calm()
    station.audit()
    assert len(station.receipts) == 1
    station.act("same order again", 0.0)


def test_what_passes_in_the_scan_after_the_receipt_is_not_in_it() -> None:
    station = Audited()
    station.act("order", 3.0)
    station.until(Phase.RECEIPT)
    station.total_m3 += 0.01
    station.calm()
    station.audit()
    assert station.fill.meter.unattributed_m3 == pytest.approx(0.01, abs=1e-9)


def test_a_total_that_trembles_by_rounding_counts_no_water() -> None:
    station = Audited()
    for _ in range(200):
        station.total_m3 -= 0.0005
        station.scan()
        station.total_m3 += 0.0005
        station.scan()
    station.run(3.0)
    assert station.fill.meter.unattributed_m3 + station.fill.meter.idle_m3 == pytest.approx(0.0, abs=1e-9)


def test_a_replaced_meter_is_reported_and_what_is_unknown_is_not_invented() -> None:
    station = Audited()
    station.order(5.0)
    station.until("full-flow")
    before = station.fill.delivered_m3
    station.total_m3 = 3.0
    station.scan()
    assert station.fill.delivered_m3 == before
    assert [event.name for event in station.events].count("totaliser-backward") == 1
    station.run(1.0)
    assert station.fill.delivered_m3 > before


def test_a_roll_over_in_a_fill_loses_nothing() -> None:
    station = FillStation()
    station.total_m3 = 999_999.95
    station.ready()
    station.order(0.3)
    for _ in range(600):
        station.scan()
        station.total_m3 %= 1_000_000.0
    [receipt] = station.events_named("receipt")
    assert receipt.body["delivered_m3"] == pytest.approx(0.3, abs=0.02)
    assert receipt.body["total_end_m3"] < 1.0


def test_what_passed_while_the_meter_was_lost_is_delivered_when_it_is_back() -> None:
    station = Audited()
    station.order(0.3)
    station.until("full-flow")
    for name in METER:
        station.reasons[name] = Reason.NO_COMMUNICATION
    station.run(2.0)
    station.reasons.clear()
    station.until("idle")
    [receipt] = station.receipts
    assert receipt["complete"] is True
    assert receipt["delivered_m3"] == pytest.approx(station.total_m3 - station.first_m3, abs=2e-6)  # type: ignore[operator]


def test_a_restart_while_water_stands_still_books_nothing() -> None:
    station = Audited()
    station.restart(3600.0)
    station.run(10.0)
    assert station.booked_m3 == 0.0
    assert station.utc_offset > START_UTC
    assert station.mono == pytest.approx(5.0 + 100 * PERIOD_S)
