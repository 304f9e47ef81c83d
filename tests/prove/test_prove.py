"""Every reachable state of a small station keeps every invariant."""

import pytest

import control.batch
from control.invariants import INVARIANTS
from tests.prove.explore import explore
from tests.prove.fill import station

MOST_STATES = 50_000


def test_the_promises_are_many_and_each_is_said_in_words() -> None:
    assert len(INVARIANTS) >= 20
    assert len({invariant.name for invariant in INVARIANTS}) == len(INVARIANTS)
    assert all(invariant.text.endswith(".") for invariant in INVARIANTS)


def test_no_reachable_state_of_the_station_breaks_an_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control.batch, "SETTLE_LIMIT_S", 10.0)
    small = station(("fit", "beyond", "bad"), ("closed", "open"), ("still", "moved"), ("water",))
    report = explore(small, MOST_STATES)
    assert report.counterexample is None, str(report.counterexample)
    assert report.closed
    assert report.states > 1000
