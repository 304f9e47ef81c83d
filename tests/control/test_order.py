"""What is checked of an order before anything moves."""

import pytest

from control.code import Code
from control.fill_phase import Phase
from control.order import LONGEST_ID
from tests.control.bench import FillStation, edited


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"order_id": ""}, Code.ORDER_ID_NOT_ALLOWED),
        ({"order_id": "x" * (LONGEST_ID + 1)}, Code.ORDER_ID_NOT_ALLOWED),
        ({"use": "vehicle-washing"}, Code.USE_NOT_SERVED),
        ({"expires_utc": 1.0}, Code.ORDER_EXPIRED),
        ({"expires_utc": float("nan")}, Code.ORDER_EXPIRED),
        ({"volume_m3": 20.1}, Code.VOLUME_NOT_ALLOWED),
    ],
)
def test_an_order_that_is_not_valid_is_refused_and_its_id_is_not_used_up(
    arguments: dict[str, object], code: Code
) -> None:
    station = FillStation().ready()
    answer = station.order(**{"volume_m3": 0.2, "order_id": "o-1", **arguments})  # type: ignore[arg-type]
    assert answer.refusal is not None
    assert answer.refusal.code is code
    assert station.fill.phase is Phase.IDLE
    assert station.order(0.2, "o-1", use="road-cleaning", expires_utc=station.now.utc + 60.0).accepted


def test_an_order_beyond_what_the_quota_leaves_is_refused() -> None:
    station = FillStation(edited("fill-station", ("daily: 900 m3", "daily: 1 m3"))).ready()
    assert station.order(0.85, "first").accepted
    station.until(Phase.IDLE)
    assert "FILL-1.quota-warning" in station.alarms
    beyond = station.order(0.2, "second")
    assert beyond.refusal is not None
    assert beyond.refusal.code is Code.QUOTA_EXCEEDED
    assert station.order(0.1, "third").accepted
    station.until(Phase.IDLE)
    used = station.fill.quota.day.used_m3
    # The stated error of a batch quota: one overrun.
    assert used <= 1.0
    assert used == pytest.approx(sum(e.body["delivered_m3"] for e in station.events_named("receipt")))
    assert station.events_named("receipt")[-1].body["quota_left_m3"] == pytest.approx(1.0 - used)


def test_an_order_is_refused_while_something_flows() -> None:
    station = FillStation().ready()
    station.leak_m3h = 2.0
    station.run(0.3)
    flows = station.order(0.2, "while it leaks")
    assert flows.refusal is not None
    assert flows.refusal.code is Code.FLOW_WITHOUT_ORDER
