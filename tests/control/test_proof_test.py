"""A proof test puts a breach before a guard and times the shut-off; it can stop water and cannot let any flow."""

from dataclasses import replace

import pytest

from config.sample import Reason
from control.cause import Cause, chain
from control.code import Code
from control.command import Answer, Op
from control.saved import restored, to_saved
from tests.control.bench import FillStation

GUARD = "FILL-1.turbidity"


def filling() -> FillStation:
    station = FillStation().ready()
    station.order(5.0)
    station.until("full-flow")
    station.run(6.0)
    return station


def begin(station: FillStation, guard: str = GUARD) -> Answer:
    return station.ask(Op.PROOF_TEST, guard)


def refused(answer: Answer) -> Cause:
    assert answer.refusal is not None
    return answer.refusal


def finish(station: FillStation) -> None:
    for _ in range(1000):
        if station.state.proof.running is None:
            return
        station.scan()
    raise AssertionError("the test never ended")


def test_it_trips_closes_and_measures() -> None:
    station = filling()
    assert begin(station).accepted
    finish(station)
    body = station.events_named("proof-test-result")[0].body
    assert body["outcome"] == "passed"
    assert body["reading"] == "18 NTU"
    assert body["trip_s"] == pytest.approx(0.1)
    assert body["closed_s"] == pytest.approx(4.2, abs=0.2)
    assert station.state.trips[0].latched


def test_the_trip_says_that_it_was_a_proof_test_and_by_whom() -> None:
    station = filling()
    begin(station)
    finish(station)
    codes = [link.code for link in chain(station.state.trips[0].cause)]
    assert codes == [Code.TRIPPED, Code.PROOF_TEST, Code.ABOVE_INSTANT]


@pytest.mark.parametrize("guard", ["FILL-1.turbidity", "FILL-1.ph", "FILL-1.cod", "FILL-1.ammonia"])
def test_every_kind_of_guard_can_be_proved_and_reset_afterwards(guard: str) -> None:
    station = filling()
    assert begin(station, guard).accepted
    finish(station)
    assert station.events_named("proof-test-result")[0].body["outcome"] == "passed"
    station.run(70.0)
    assert station.ask(Op.RESET, "FILL-1").accepted
    station.run(1.0)
    assert not station.state.trips[0].latched


def test_a_valve_that_does_not_close_fails_the_test() -> None:
    station = filling()
    station.valve_stuck = True
    begin(station)
    finish(station)
    body = station.events_named("proof-test-result")[0].body
    assert body["outcome"] == "failed"
    assert body["closed_s"] is None


def test_a_real_breach_during_the_test_is_judged_as_ever() -> None:
    station = filling()
    begin(station, "FILL-1.ph")
    station.values["AIT-101.turbidity"] = 20.0
    station.scan()
    assert station.state.guards[station.program.guard_index[GUARD]].breached


def test_it_begins_only_where_something_can_be_seen() -> None:
    idle = FillStation().ready()
    assert refused(begin(idle)).code is Code.PROOF_TEST_CLOSED
    assert refused(begin(idle, "FILL-1.lead")).code is Code.NO_SUCH_GUARD
    unknown = filling()
    unknown.reasons["AIT-101.turbidity"] = Reason.DEVICE_FAULT
    unknown.run(4.0)
    assert refused(begin(unknown)).code is Code.PROOF_TEST_NOT_FIT
    station = filling()
    assert begin(station).accepted
    assert refused(begin(station, "FILL-1.ph")).code in (Code.PROOF_TEST_RUNS, Code.TRIPPED)
    assert refused(filling().ask(Op.PROOF_TEST, GUARD, "platform:x")).code is Code.ONLY_LOCAL


def test_a_result_counts_once_it_is_signed_and_then_the_next_is_due() -> None:
    station = filling()
    intervals = tuple(86400.0 if guard.name == GUARD else None for guard in station.program.guards)
    station.program = replace(station.program, proof_intervals=intervals)
    station.scan()
    due = f"{GUARD}.proof-test-due"
    assert due in {alarm.id for alarm in station.state.alarms.standing}
    begin(station)
    finish(station)
    assert due in {alarm.id for alarm in station.state.alarms.standing}
    assert refused(station.ask(Op.SIGN_OFF, GUARD, reason="")).code is Code.REASON_MISSING
    assert station.ask(Op.SIGN_OFF, GUARD, reason="Li Wei: closed, no drip").accepted
    assert due not in {alarm.id for alarm in station.state.alarms.standing}
    signed = station.events_named("proof-test-signed")[0].body
    assert (signed["remark"], signed["signed_by"]) == ("Li Wei: closed, no drip", "local:test")
    assert refused(station.ask(Op.SIGN_OFF, GUARD, reason="again")).code is Code.NOTHING_TO_SIGN
    station.utc_offset += 86400.0
    station.scan()
    assert due in {alarm.id for alarm in station.state.alarms.standing}


def test_a_failed_test_is_signed_too_but_proves_nothing() -> None:
    station = filling()
    station.valve_stuck = True
    begin(station)
    finish(station)
    assert station.ask(Op.SIGN_OFF, GUARD, reason="valve jams").accepted
    assert station.state.proof.signed_utc == ()


def test_a_restart_keeps_what_was_signed_and_what_waits_and_ends_a_test_in_hand() -> None:
    station = filling()
    begin(station)
    finish(station)
    saved = to_saved(station.program, station.state, station.now)
    state = restored(station.program, saved, station.now)
    assert state.proof == station.state.proof
    in_hand = filling()
    begin(in_hand)
    in_hand.scan()
    again = restored(in_hand.program, to_saved(in_hand.program, in_hand.state, in_hand.now), in_hand.now)
    assert again.proof.running is None
    assert again.trips[0].latched
