"""A bypass is allowed by the site file only, for a time, by a person on site; it clears no trip."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from config.load import load_site
from control.bypass import BypassRule
from control.code import Code
from control.command import Answer, Op
from control.saved import restored, to_saved
from tests.control.bench import SITES, FillStation

GUARD = "FILL-1.turbidity"


def station_that_allows(longest: float = 600.0, per_day: int = 2) -> FillStation:
    station = FillStation().ready()
    station.program = replace(station.program, bypasses={GUARD: BypassRule(longest, per_day)})
    return station


def bypass(station: FillStation, seconds: float = 60.0, source: str = "local:test", target: str = GUARD) -> Answer:
    return station.ask(Op.BYPASS, target, source, duration_s=seconds, reason="lamp is being changed")


def tripped(station: FillStation) -> bool:
    return station.state.trips[0].latched


def refused(answer: Answer) -> Code:
    assert answer.refusal is not None
    return answer.refusal.code


def test_where_the_site_file_says_nothing_it_is_forbidden() -> None:
    assert refused(bypass(FillStation().ready())) is Code.BYPASS_FORBIDDEN


def test_a_bypassed_guard_no_longer_forbids_and_goes_on_being_judged() -> None:
    station = station_that_allows()
    assert bypass(station).accepted
    station.silent.add("AIT-101.turbidity")
    station.run(10.0)
    assert station.order().accepted
    assert station.state.guards[station.program.guard_index[GUARD]].cause is not None


def test_another_guard_still_forbids() -> None:
    station = station_that_allows()
    bypass(station)
    station.values["PLC-100.outlet_ph"] = 12.0
    station.run(40.0)
    assert station.state.trips[0].latched


def test_it_clears_no_trip_and_is_no_way_to_a_reset() -> None:
    station = station_that_allows()
    station.values["AIT-101.turbidity"] = 20.0
    station.scan()
    assert bypass(station).accepted
    assert station.state.trips[0].latched
    assert refused(station.ask(Op.RESET, "FILL-1")) is Code.FAULT_STANDS


def test_at_its_end_the_guard_acts_at_once_on_what_it_sees() -> None:
    station = station_that_allows()
    bypass(station, 30.0)
    station.values["AIT-101.turbidity"] = 20.0
    station.run(20.0)
    assert not tripped(station)
    station.run(11.0)
    assert tripped(station)
    assert station.events_named("bypass-ended")[0].body["ended"] == "expired"


def test_ending_it_by_hand_over_a_standing_breach_trips_in_the_same_scan() -> None:
    station = station_that_allows()
    bypass(station, 300.0)
    station.values["AIT-101.turbidity"] = 20.0
    station.run(5.0)
    assert station.ask(Op.END_BYPASS, GUARD).accepted
    assert station.state.trips[0].latched


def test_a_breach_that_came_and_went_under_it_does_not_trip_at_its_end() -> None:
    station = station_that_allows()
    bypass(station, 60.0)
    station.values["AIT-101.turbidity"] = 20.0
    station.run(5.0)
    station.values["AIT-101.turbidity"] = 2.0
    station.run(60.0)
    assert not station.state.bypasses.standing
    assert not station.state.trips[0].latched


def test_never_two_on_one_function_and_only_so_often_in_a_day() -> None:
    station = station_that_allows(per_day=2)
    assert bypass(station, 5.0).accepted
    assert refused(bypass(station)) is Code.BYPASSED_ALREADY
    station.run(6.0)
    assert bypass(station, 5.0).accepted
    station.run(6.0)
    assert refused(bypass(station)) is Code.BYPASSED_TOO_OFTEN
    station.mono += 86400.0
    assert bypass(station, 5.0).accepted


@pytest.mark.parametrize(
    ("seconds", "source", "code"),
    [
        (601.0, "local:test", Code.DURATION_NOT_ALLOWED),
        (0.0, "local:test", Code.DURATION_NOT_ALLOWED),
        (60.0, "platform:x", Code.ONLY_LOCAL),
    ],
)
def test_what_is_refused(seconds: float, source: str, code: Code) -> None:
    assert refused(bypass(station_that_allows(), seconds, source)) is code


def test_it_is_an_alarm_of_high_priority_while_it_lasts() -> None:
    station = station_that_allows()
    bypass(station, 10.0)
    station.scan()
    assert f"{GUARD}.bypassed" in {alarm.id for alarm in station.state.alarms.standing}
    station.run(11.0)
    assert f"{GUARD}.bypassed" not in {alarm.id for alarm in station.state.alarms.standing}


def test_a_restart_keeps_it_for_the_rest_of_its_time_and_counts_it_still() -> None:
    station = station_that_allows(per_day=1)
    bypass(station, 60.0)
    saved = to_saved(station.program, station.state, station.now)
    station.mono += 50.0
    station.state = restored(station.program, saved, station.now)
    station.run(9.0)
    assert station.state.bypasses.standing
    station.run(2.0)
    assert not station.state.bypasses.standing
    assert refused(bypass(station)) is Code.BYPASSED_TOO_OFTEN


def test_a_restart_ends_it_where_the_site_file_no_longer_allows_it() -> None:
    station = station_that_allows()
    bypass(station)
    saved = to_saved(station.program, station.state, station.now)
    forbidding = replace(station.program, bypasses={})
    assert not restored(forbidding, saved, station.now).bypasses.standing


def _interlocked(effect: str, tmp_path: Path) -> FillStation:
    path = tmp_path / "site.yaml"
    text = (SITES / "fill-station.yaml").read_text("utf-8")
    text = re.sub(r"\n(interlocks|permissives):\n(  .*\n|\n)*", "\n", text)
    interlock = f"PLC-100.level < 2 m, {effect}, bypass: {{longest: 10 min, per_day: 1}}"
    path.write_text(f"{text}\ninterlocks:\n  suction-low: {{when: {interlock}}}\n", "utf-8")
    station = FillStation(load_site(path)).ready()
    station.values["PLC-100.level"] = 1.8
    return station


def test_a_bypassed_interlock_stops_nothing_and_goes_on_being_shown(tmp_path: Path) -> None:
    station = _interlocked("stops: [P-101]", tmp_path)
    station.run(1.0)
    assert not station.order().accepted
    assert bypass(station, target="suction-low").accepted
    assert station.order().accepted
    station.until("full-flow")
    assert station.output("P-101") is True
    standing = {alarm.id for alarm in station.state.alarms.standing}
    assert {"suction-low.interlock-acts", "suction-low.bypassed"} <= standing


def test_at_the_end_of_its_bypass_an_interlock_stops_in_the_same_scan(tmp_path: Path) -> None:
    station = _interlocked("stops: [P-101], closes: [XV-101]", tmp_path)
    bypass(station, target="suction-low")
    station.order()
    station.until("full-flow")
    station.ask(Op.END_BYPASS, "suction-low")
    assert (station.output("XV-101"), station.output("P-101")) == (False, False)


def test_an_interlock_that_tripped_lets_a_reset_pass_while_it_is_bypassed_and_trips_again_after(tmp_path: Path) -> None:
    station = _interlocked("trips: [FILL-1]", tmp_path)
    station.run(1.0)
    assert tripped(station)
    assert not station.ask(Op.RESET, "FILL-1").accepted
    assert bypass(station, target="suction-low").accepted
    assert tripped(station)
    assert station.ask(Op.RESET, "FILL-1").accepted
    station.run(1.0)
    assert not tripped(station)
    station.run(60.0)
    assert tripped(station)
