"""What people force holds under protect, ends by itself, is an alarm while it lasts, and is recorded at both ends."""

from dataclasses import replace

import pytest

from config.sample import Reason, Value
from control.arbitration import Rank
from control.cause import chain
from control.code import Code
from control.command import Answer, Op
from control.saved import restored, to_saved
from tests.control.bench import FillStation


def force(station: FillStation, target: str, value: Value, seconds: float = 60.0, reason: str = "repair") -> Answer:
    return station.ask(Op.FORCE, target, value=value, duration_s=seconds, reason=reason)


def demand(station: FillStation, tag: str) -> Rank:
    return next(one.rank for one in station.state.outputs if one.tag == tag)


def test_a_forced_output_takes_its_value_and_says_who_and_why() -> None:
    station = FillStation().ready()
    assert force(station, "XV-101", True).accepted
    station.scan()
    assert station.output("XV-101") is True
    assert demand(station, "XV-101") is Rank.OVERRIDE
    cause = next(one.cause for one in station.state.outputs if one.tag == "XV-101")
    assert cause.values == ("True", "local:test", "repair")


def test_nothing_outranks_protect() -> None:
    station = FillStation().ready()
    force(station, "XV-101", True)
    station.values["AIT-101.turbidity"] = 20.0
    station.scan()
    assert station.output("XV-101") is False
    assert demand(station, "XV-101") is Rank.PROTECT


def test_a_valve_that_is_forced_closed_stays_closed_during_a_fill() -> None:
    station = FillStation().ready()
    force(station, "XV-101", False, 600.0)
    station.order()
    station.run(8.0)
    assert station.output("XV-101") is False


def test_a_pump_is_not_forced_on_against_a_closed_valve() -> None:
    station = FillStation().ready()
    force(station, "P-101", True)
    station.run(1.0)
    assert station.output("P-101") is False
    cause = next(one.cause for one in station.state.outputs if one.tag == "P-101")
    assert [link.code for link in chain(cause)] == [Code.VALVE_FIRST, Code.OVERRIDDEN]


def test_it_ends_by_itself_and_is_recorded_at_both_ends() -> None:
    station = FillStation().ready()
    force(station, "XV-101", False, 10.0)
    station.run(9.8)
    assert station.state.overrides
    station.run(0.3)
    assert not station.state.overrides
    begun, ended = station.events_named("override")[0], station.events_named("override-ended")[0]
    assert begun.body["by"] == "local:test"
    assert ended.body["ended"] == "expired"
    assert ended.body["ended_utc"] - begun.body["since_utc"] == pytest.approx(10.0, abs=0.11)


def test_it_is_an_alarm_while_it_lasts() -> None:
    station = FillStation().ready()
    force(station, "XV-101", False, 5.0)
    station.scan()
    assert "XV-101.overridden" in {alarm.id for alarm in station.state.alarms.standing}
    station.run(6.0)
    assert "XV-101.overridden" not in {alarm.id for alarm in station.state.alarms.standing}


def test_release_ends_it_at_once() -> None:
    station = FillStation().ready()
    force(station, "XV-101", True)
    assert station.ask(Op.RELEASE, "XV-101").accepted
    assert station.output("XV-101") is False
    refusal = station.ask(Op.RELEASE, "XV-101").refusal
    assert refusal is not None
    assert refusal.code is Code.NOT_OVERRIDDEN


@pytest.mark.parametrize(
    ("target", "value", "seconds", "reason", "code"),
    [
        ("XV-109", True, 60.0, "repair", Code.NOTHING_TO_FORCE),
        ("RIO-101.xv_101", True, 60.0, "repair", Code.NOTHING_TO_FORCE),
        ("XV-101", True, 0.0, "repair", Code.DURATION_NOT_ALLOWED),
        ("XV-101", True, 9 * 3600.0, "repair", Code.DURATION_NOT_ALLOWED),
        ("XV-101", True, float("inf"), "repair", Code.DURATION_NOT_ALLOWED),
        ("XV-101", True, 60.0, " ", Code.REASON_MISSING),
        ("XV-101", 40.0, 60.0, "repair", Code.VALUE_NOT_ALLOWED),
        ("XV-101", "half", 60.0, "repair", Code.VALUE_NOT_ALLOWED),
        ("PLC-100.level", "full", 60.0, "repair", Code.VALUE_NOT_ALLOWED),
        ("PLC-100.level", float("nan"), 60.0, "repair", Code.VALUE_NOT_ALLOWED),
    ],
)
def test_what_is_refused(target: str, value: Value, seconds: float, reason: str, code: Code) -> None:
    station = FillStation().ready()
    refusal = force(station, target, value, seconds, reason).refusal
    assert refusal is not None
    assert refusal.code is code
    assert not station.state.overrides


def test_the_platform_forces_nothing_unless_the_site_file_says_so() -> None:
    station = FillStation().ready()
    answer = station.ask(Op.FORCE, "XV-101", "platform:x", value=True, duration_s=60.0, reason="remote")
    assert answer.refusal is not None
    assert answer.refusal.code is Code.ONLY_LOCAL
    rules = replace(station.program.overrides, local_only=False)
    station.program = replace(station.program, overrides=rules)
    assert station.ask(Op.FORCE, "XV-101", "platform:x", value=False, duration_s=60.0, reason="remote").accepted


def test_a_forced_signal_is_marked_and_is_no_measurement() -> None:
    station = FillStation().ready()
    force(station, "PLC-100.level", 5.0)
    station.run(6.0)
    shown = station.shown("PLC-100.level")
    assert (shown.value, shown.reason) == (5.0, Reason.MANUAL)
    assert station.state.levels[0].forbids_run is not None


def test_it_survives_a_restart_with_what_is_left_of_its_time() -> None:
    station = FillStation().ready()
    force(station, "XV-101", False, 60.0)
    station.run(20.0)
    saved = to_saved(station.program, station.state, station.now)
    station.mono += 30.0
    station.state = restored(station.program, saved, station.now)
    station.run(9.0)
    assert [one.target for one in station.state.overrides] == ["XV-101"]
    station.run(1.5)
    assert not station.state.overrides


def test_a_clock_that_went_back_over_a_restart_makes_it_last_no_longer_than_it_had_left() -> None:
    station = FillStation().ready()
    force(station, "XV-101", False, 60.0)
    station.run(20.0)
    saved = to_saved(station.program, station.state, station.now)
    station.utc_offset -= 1e6
    station.state = restored(station.program, saved, station.now)
    station.run(40.5)
    assert not station.state.overrides


def test_forcing_again_replaces_and_records_the_end_of_the_first() -> None:
    station = FillStation().ready()
    force(station, "XV-101", True)
    force(station, "XV-101", False)
    assert [one.value for one in station.state.overrides] == [False]
    assert [event.body["ended"] for event in station.events_named("override-ended")] == ["replaced"]
