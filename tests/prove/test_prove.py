"""Every reachable state of a small station keeps every invariant, and a defect of one line does not go unseen."""

from collections.abc import Iterator

import pytest

from control.invariants import INVARIANTS
from tests.prove.explore import explore
from tests.prove.fill import settled_in_a_tick
from tests.prove.mutants import MUTANTS, Mutant, planted
from tests.prove.presets import station_of

MOST_STATES = 20_000


@pytest.fixture(autouse=True)
def short_settling() -> Iterator[None]:
    with settled_in_a_tick():
        yield


def test_the_promises_are_many_and_each_is_said_in_words() -> None:
    assert len(INVARIANTS) >= 20
    assert len({invariant.name for invariant in INVARIANTS}) == len(INVARIANTS)
    assert all(invariant.text.endswith(".") for invariant in INVARIANTS)


@pytest.mark.parametrize("preset", ["calm", "storm", "marked", "leak", "afar", "by hand", "aging"])
def test_no_reachable_state_of_the_station_breaks_an_invariant(preset: str) -> None:
    report = explore(station_of(preset), MOST_STATES)
    assert report.counterexample is None, str(report.counterexample)
    assert report.closed
    assert report.states > 100


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.states <= 3000], ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    with planted(mutant):
        report = explore(station_of(mutant.preset), mutant.states)
    assert report.counterexample is not None, f"not seen in {report.states} states"
