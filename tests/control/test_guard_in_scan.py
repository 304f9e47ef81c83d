"""Guards from the site file to the valve: what a scan records of them, and what a person gives up by name."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import load_site
from config.sample import Reason
from control.cause import sentence
from control.code import Code
from control.command import Op
from control.saved import restored, to_saved
from control.why import why
from tests.control.bench import SITES, FillStation

FILL_SITE = (SITES / "fill-station.yaml").read_text("utf-8")
COD = "cod: {kind: batch, signal: AIT-102.cod, interval: 2 h}"
PERMIT = COD + "\n      permit: {kind: permit, sources: [platform], interval: 1 min, travel: 20 s}"


def station(tmp_path: Path, *changes: tuple[str, str]) -> FillStation:
    """The fill station of a changed site file."""
    text = FILL_SITE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "site.yaml"
    path.write_text(text, "utf-8")
    return FillStation(load_site(path))


def test_a_trip_is_recorded_with_the_last_good_and_the_first_bad_moment() -> None:
    fill = FillStation().ready()
    good = fill.now.utc
    fill.values["AIT-101.turbidity"] = 9.0
    fill.run(4.0)
    body = fill.events_named("trip")[0].body
    assert body["guard"] == "FILL-1.turbidity"
    assert body["last_good_utc"] == pytest.approx(good, abs=0.2)
    assert body["first_bad_utc"] == pytest.approx(good, abs=0.2)


def test_a_bad_result_is_recorded_with_the_analyzers_own_times() -> None:
    fill = FillStation().ready()
    first = fill.source_times["AIT-102.cod"]
    fill.new_result("AIT-102.cod", 35.0, first + 2.0)
    fill.scan()
    body = fill.events_named("trip")[0].body
    assert (body["last_good_utc"], body["first_bad_utc"]) == (first, first + 2.0)


def test_the_first_out_is_kept_and_later_causes_are_listed_in_order() -> None:
    fill = FillStation().ready()
    fill.new_result("AIT-102.cod", 35.0)
    fill.scan()
    fill.values["AIT-101.turbidity"] = 20.0
    fill.scan()
    fill.new_result("AIT-103.ammonia", 3.0)
    fill.run(5.0)
    trip = fill.state.trips[0]
    assert trip.cause is not None
    assert trip.cause.because is not None
    assert trip.cause.because.subject == "AIT-102.cod"
    assert [cause.subject for cause in trip.later] == ["AIT-101.turbidity", "AIT-103.ammonia"]
    assert len(fill.events_named("trip-also")) == 2


def test_two_breaches_in_one_scan_are_both_named() -> None:
    fill = FillStation().ready()
    fill.new_result("AIT-102.cod", 35.0)
    fill.values["AIT-101.turbidity"] = 20.0
    fill.scan()
    assert [cause.subject for cause in fill.state.trips[0].later] == ["AIT-102.cod"]


def test_later_causes_survive_a_restart_and_go_with_the_reset() -> None:
    fill = FillStation().ready()
    fill.new_result("AIT-102.cod", 35.0)
    fill.values["AIT-101.turbidity"] = 20.0
    fill.scan()
    again = restored(fill.program, to_saved(fill.program, fill.state, fill.now), fill.now)
    assert again.trips[0].later == fill.state.trips[0].later
    fill.values["AIT-101.turbidity"] = 2.0
    for _ in range(2):
        fill.run(10.0)
        fill.new_result("AIT-102.cod", 18.0)
    fill.run(2.0)
    assert fill.ask(Op.RESET, "FILL-1").accepted
    assert [cause["subject"] for cause in fill.events_named("reset")[0].body["also"]] == ["AIT-102.cod"]
    assert fill.state.trips[0].later == ()


def test_a_mark_is_recorded_when_it_begins_and_when_it_ends() -> None:
    fill = FillStation().ready()
    fill.reasons["AIT-101.turbidity"] = Reason.MAINTENANCE
    fill.run(60.0)
    del fill.reasons["AIT-101.turbidity"]
    fill.run(1.0)
    began, ended = fill.events_named("mark-began"), fill.events_named("mark-ended")
    assert [event.subject for event in (*began, *ended)] == ["FILL-1.turbidity", "FILL-1.turbidity"]
    assert began[0].body["by"] == "instrument:AIT-101"
    assert began[0].body["at_most_s"] == 1800.0
    assert ended[0].body["lasted_s"] == pytest.approx(60.0, abs=0.2)


def test_a_restart_gives_no_marked_time_back() -> None:
    fill = FillStation().ready()
    fill.reasons["AIT-101.turbidity"] = Reason.MAINTENANCE
    fill.run(60.0)
    again = restored(fill.program, to_saved(fill.program, fill.state, fill.now), fill.now)
    assert again.guards[0].mark.spent_s == pytest.approx(60.0, abs=0.2)


def test_a_permit_by_command_opens_the_way_and_its_withdrawal_trips_in_the_same_scan(tmp_path: Path) -> None:
    fill = station(tmp_path, (COD, PERMIT)).ready()
    refusal = fill.order().refusal
    assert refusal is not None
    assert refusal.code is Code.NO_PERMIT
    assert fill.ask(Op.PERMIT, "FILL-1.permit", "platform:city", value=True, issued_utc=fill.now.utc).accepted
    fill.run(21.0)
    assert fill.order().accepted
    fill.until("full-flow")
    fill.ask(Op.PERMIT, "FILL-1.permit", "platform:city", value=False, issued_utc=fill.now.utc, reason="COD 40")
    assert fill.output("XV-101") is False
    trip = fill.state.trips[0].cause
    assert trip is not None
    assert trip.because is not None
    assert trip.because.code is Code.PERMIT_UNFIT
    assert "COD 40" in sentence(trip.because.because) if trip.because.because else False


def test_a_permit_for_no_such_guard_is_refused() -> None:
    refusal = FillStation().ready().ask(Op.PERMIT, "FILL-1.permit", value=True).refusal
    assert refusal is not None
    assert refusal.code is Code.NO_SUCH_PERMIT


RELAXED = (
    "cod: {kind: batch, signal: AIT-102.cod, interval: 2 h, high: 40 mg/L, relaxed: {by: permit 2026-114, "
    "reason: winter, approved_by: Wang}}"
)


def test_a_laxer_limit_is_refused_without_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="relaxed"):
        station(tmp_path, (COD, COD.replace("2 h}", "2 h, high: 40 mg/L}")))


def test_a_laxer_limit_by_name_holds_and_is_told(tmp_path: Path) -> None:
    fill = station(tmp_path, (COD, RELAXED)).ready()
    fill.new_result("AIT-102.cod", 35.0)
    fill.run(1.0)
    assert not fill.state.trips[0].latched
    (concession,) = fill.program.concessions
    assert concession.cause.code is Code.LIMIT_RELAXED
    assert "permit 2026-114, approved by Wang: winter" in sentence(concession.cause)
    answer = why(fill.program, fill.state, tuple(fill.image), "FILL-1", fill.now)
    assert answer is not None
    assert concession.cause in answer.beside


def test_relaxed_where_nothing_is_laxer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no limit here is laxer"):
        station(tmp_path, (COD, RELAXED.replace("high: 40 mg/L", "high: 20 mg/L")))


def test_warn_only_is_told(tmp_path: Path) -> None:
    fill = station(tmp_path, (COD, COD.replace("2 h}", "2 h, staleness: warn-only}")))
    assert [concession.cause.code for concession in fill.program.concessions] == [Code.WARN_ONLY]


def test_a_warning_is_an_alarm(tmp_path: Path) -> None:
    fill = station(tmp_path, ("warn: 6 NTU", "warn: 6 NTU, warn_delay: 1 s")).ready()
    fill.values["AIT-101.turbidity"] = 6.5
    fill.run(3.0)
    assert "FILL-1.turbidity.above-warning" in {event.body["alarm"] for event in fill.events_named("alarm")}
    assert not fill.state.trips[0].latched


def test_a_receipt_gives_the_age_of_what_was_analysed() -> None:
    fill = FillStation()
    fill.new_result("AIT-102.cod", at_utc=fill.now.utc - 9000.0)
    fill.ready()
    # A composite of a while ago, seen only now: fresh to the guard, and an hour and a half old as water.
    fill.new_result("AIT-102.cod", at_utc=fill.now.utc - 5400.0)
    fill.run(1.0)
    assert fill.order().accepted
    fill.until("full-flow")
    fill.until("idle")
    quality = {one["parameter"]: one for one in fill.events_named("receipt")[0].body["quality"]}
    assert quality["cod"]["start_age_s"] == pytest.approx(5400.0, abs=60.0)
    assert quality["cod"]["end_age_s"] > quality["cod"]["start_age_s"]
    assert quality["turbidity"]["start_age_s"] < 1.0
