"""The permit that a plant outlet gives: fit as long as its guards say so, renewed while that is known."""

from dataclasses import replace

from control.cause import Cause
from control.code import Code
from control.guard import GuardState, Verdict
from control.instant import Instant
from control.permit import Permit, PermitState

OUTLET = Permit("OUTLET", (0, 1), 60.0, 240.0)
FIT = GuardState(verdict=Verdict.FIT)
UNKNOWN = GuardState()
BREACH = GuardState(verdict=Verdict.BREACH, breached=True, cause=Cause(Code.RESULT_ABOVE, "AIT-2.cod", ("30 mg/L",)))


def issue(state: PermitState, guards: tuple[GuardState, ...], mono: float) -> tuple[PermitState, str | None]:
    after, event = OUTLET.step(state, guards, Instant(mono, 1e9 + mono))
    return after, event.name if event is not None else None


def test_it_says_fit_when_every_guard_does_and_is_renewed() -> None:
    state, event = issue(PermitState(), (FIT, FIT), 1000.0)
    assert (state.fit, state.issued_utc, event) == (True, 1e9 + 1000.0, "permit")
    assert issue(state, (FIT, FIT), 1059.0)[0] is state
    again, event = issue(state, (FIT, replace(FIT, verdict=Verdict.AGING)), 1060.0)
    assert (again.fit, again.issued_utc, event) == (True, 1e9 + 1060.0, None)


def test_a_breach_is_said_at_once_with_its_cause() -> None:
    state, _ = issue(PermitState(), (FIT, FIT), 1000.0)
    state, event = issue(state, (FIT, BREACH), 1000.1)
    assert (state.fit, event) == (False, "permit")
    assert state.cause is BREACH.cause
    assert issue(state, (FIT, BREACH), 1061.0)[0].issued_at == 1061.0


def test_what_is_not_known_is_not_renewed() -> None:
    state, _ = issue(PermitState(), (FIT, FIT), 1000.0)
    for guard in (UNKNOWN, replace(FIT, verdict=Verdict.HOLD)):
        assert issue(state, (FIT, guard), 2000.0)[0] is state
    assert issue(PermitState(), (UNKNOWN, FIT), 5.0)[0].fit is None
