"""A file replays to the last bit; where other code or another site decides otherwise, that is named."""

import gzip
import json
import os
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.load import load_site
from control import batch, protect
from control.cause import Cause
from control.code import Code
from control.command import Op
from control.guard import Verdict
from control.work import Work
from edge.blackbox import file as file_module
from edge.blackbox.file import BadFile
from edge.blackbox.replay import Report, replay, to_json
from edge.blackbox.timeline import Timeline
from tests.control.bench import SITES
from tests.edge.blackbox.stations import Recorded, tripped


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a station that filled, tripped and refused a reset."""
    path = tmp_path_factory.mktemp("blackbox") / "trip.pbb"
    tripped().save(path)
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a station that does nothing for some seconds."""
    path = tmp_path_factory.mktemp("blackbox") / "short.pbb"
    station = Recorded()
    station.run(9.0)
    station.save(path)
    return path


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line[9:]) for line in gzip.decompress(path.read_bytes()).splitlines()]


def _written(path: Path, lines: list[Any]) -> Path:
    """A file of these lines with good check sums."""
    crc, text = 0, b""
    for line in lines:
        data = line if isinstance(line, bytes) else json.dumps(line).encode()
        crc = zlib.crc32(data, crc)
        text += b"%08x %s\n" % (crc, data)
    path.write_bytes(gzip.compress(text))
    return path


def test_the_same_code_gives_the_same_outputs_events_answers_and_states(saved: Path) -> None:
    report = replay(saved)
    assert (report.identical, report.damaged, report.differing, report.same_code) == (True, None, 0, True)
    assert report.scans > 200
    lines = _lines(saved)
    assert {"trip", "reset"} <= {event["name"] for line in lines for event in line.get("events", [])}
    assert sum("check" in line for line in lines) >= 2


def test_a_ring_that_has_let_go_of_the_beginning_replays_from_where_it_begins(tmp_path: Path) -> None:
    station = Recorded(seconds=20.0)
    station.ready()
    station.order(0.3)
    station.run(60.0)
    station.save(tmp_path / "a.pbb")
    report = replay(tmp_path / "a.pbb")
    assert report.identical
    assert 200 < report.scans < 500


def test_it_replays_in_another_process_with_other_hashes_far_from_site_profiles_and_standards(
    saved: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge", "replay", str(saved), "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["identical"] is True


def test_limits_are_those_of_the_standards_in_the_file(saved: Path, tmp_path: Path) -> None:
    lines = _lines(saved)
    lower = {name: text.replace("high: 9.0 pH", "high: 7.0 pH") for name, text in lines[0]["standards"].items()}
    assert lower != lines[0]["standards"]
    report = replay(_written(tmp_path / "other.pbb", [lines[0] | {"standards": lower}, *lines[1:]]))
    assert report.same_code
    assert not report.identical
    assert any("outlet_ph" in cause for one in report.differences for cause in one.now_because)
    assert replay(saved).identical


def _with_other_code(saved: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Code that closes for a fault of the pump what had been closed for turbid water."""

    def other(work: Work, index: int) -> None:
        if any(work.found.guards[g].verdict is Verdict.BREACH for g in work.program.dispensers[index].guards):
            work.latch(index, Cause(Code.PUMP_NOT_RUNNING, "P-101", ("10 s",)))

    monkeypatch.setattr(protect, "trip", other)
    return replay(saved)


def test_code_that_decides_otherwise_is_named_with_time_tag_values_and_causes(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = _with_other_code(saved, monkeypatch)
    first = report.differences[0]
    assert first.what == "XV-101"
    assert first.was == first.now == "off, demanded by protect"
    assert any("AIT-101.turbidity" in cause for cause in first.was_because)
    assert any("P-101" in cause for cause in first.now_because)
    trip = next(line["scan"][1] for line in _lines(saved) if any(e["name"] == "trip" for e in line.get("events", [])))
    assert first.utc == trip
    assert report.differing >= 1


def test_what_differs_again_in_the_same_way_is_counted_not_named_again(tmp_path: Path) -> None:
    station = Recorded()
    for _ in range(3):
        station.ask(Op.CANCEL, "FILL-9")
        station.run(1.0)
    station.save(tmp_path / "a.pbb")
    lines = _lines(tmp_path / "a.pbb")
    for line in lines:
        for event in line.get("events", []):
            event["name"] = event["name"].replace("cancel", "cancelled")
    report = replay(_written(tmp_path / "b.pbb", lines))
    [one] = report.differences
    assert (one.what, one.was, one.now, one.times) == ("events[0].name", '"cancelled"', '"cancel"', 3)
    assert one.last_utc - one.utc == pytest.approx(2.2)
    assert report.differing == 3


def test_a_state_that_differs_where_no_output_does_is_found_at_the_next_check(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = batch.BatchDispenser.step

    def other(self: Any, state: Any, *arguments: Any) -> Any:
        after, result = real(self, state, *arguments)
        return replace(after, overruns_m3=(*after.overruns_m3[:-1], 0.0123)), result

    monkeypatch.setattr(batch.BatchDispenser, "step", other)
    report = replay(saved)
    assert not report.identical
    assert any(one.what.startswith("FILL-1 (dispensers).overruns_m3") for one in report.differences)


def test_a_scan_that_fails_today_is_a_difference_and_no_crash(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(protect, "trip", broken)
    report = replay(saved)
    assert report.differences[0].what == "scan"
    assert report.differences[0].now == "ZeroDivisionError: by hand"


def test_a_scan_that_failed_when_it_was_recorded_fails_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    station = Recorded()
    station.run(2.0)
    broken_utc, raised = station.now.utc + 0.1, "ZeroDivisionError: by hand"
    station.mono += 0.1
    station.ring.note(station.state, tuple(station.image), (), station.now, None, raised)
    path = tmp_path / "failed.pbb"
    station.save(path, raised=raised)
    real = protect.protect

    def broken(work: Any) -> None:
        if work.now.utc >= broken_utc:
            raise ZeroDivisionError("by hand")
        real(work)

    with monkeypatch.context() as patched:
        patched.setattr("control.scan.protect", broken)
        assert replay(path).identical
    report = replay(path)
    assert (report.differences[0].was, report.differences[0].now) == (raised, "ends well")


def test_a_part_of_the_state_that_is_new_since_then_begins_anew_and_is_named(saved: Path, tmp_path: Path) -> None:
    lines = _lines(saved)
    for state in (lines[1]["state"], *(line["check"] for line in lines if "check" in line), lines[-1]["end"]["state"]):
        del state["loops"], state["bypasses"]
        state["moods"] = ["good"]
    report = replay(_written(tmp_path / "old.pbb", lines))
    assert (report.identical, report.damaged) == (True, None)
    assert report.added == {"loops", "bypasses"}
    assert report.unknown == {"ScanState.moods"}


def test_other_code_is_told_by_its_fingerprint(saved: Path, tmp_path: Path) -> None:
    lines = _lines(saved)
    lines[0]["code"] = "0" * 64
    report = replay(_written(tmp_path / "a.pbb", lines))
    assert report.identical
    assert not report.same_code


# -- files that are not whole -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_was_cut_off_replays_up_to_there(saved: Path, tmp_path: Path, share: float) -> None:
    data = saved.read_bytes()
    cut = tmp_path / "cut.pbb"
    cut.write_bytes(data[: int(len(data) * share)])
    whole, report = replay(saved), replay(cut)
    assert report.identical
    assert report.damaged is not None
    assert "cut off" in report.damaged
    assert 0 < report.scans <= whole.scans
    assert to_json(report)["ok"] is False


@pytest.mark.parametrize("place", range(50, 100, 16))
def test_a_damaged_byte_is_found_and_nothing_after_it_is_believed(saved: Path, tmp_path: Path, place: int) -> None:
    data = bytearray(saved.read_bytes())
    data[len(data) * place // 100] ^= 0x40
    damaged = tmp_path / "damaged.pbb"
    damaged.write_bytes(data)
    report = replay(damaged)
    assert report.damaged is not None
    assert report.identical


def test_a_line_that_is_missing_or_changed_is_found(short: Path, tmp_path: Path) -> None:
    text = gzip.decompress(short.read_bytes()).splitlines(keepends=True)
    for lines in ([*text[:40], *text[41:]], [*text[:40], text[40].replace(b"scan", b"scam"), *text[41:]]):
        path = tmp_path / "a.pbb"
        path.write_bytes(gzip.compress(b"".join(lines)))
        report = replay(path)
        assert report.damaged == "damaged after line 40: the check sum of the next line is wrong"


def _garbage(lines: list[dict[str, Any]], place: int, line: Any) -> list[Any]:
    return [*lines[:place], line, *lines[place:]]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"scam": 1}, "neither scan, check nor end"),
        ({"scan": [1.0]}, "a scan of another form"),
        ({"scan": ["a", 1.0, None]}, "a scan of another form"),
        ({"scan": [1e6, 1e9, None], "samples": [[0, "x"]]}, "is no Sample"),
        ({"scan": [1e6, 1e9, None], "samples": 7}, "a scan of another form"),
        ({"scan": [1e6, 1e9, None], "commands": [{"op": "explode"}]}, "Command"),
        ({"check": {"guards": 1}}, "is no list of GuardState"),
        ({"end": {}}, "is no ScanState"),
        (b"[" * 100_000 + b"]" * 100_000, "no JSON"),
        (b"7", "no mapping"),
        (b'{"scan": 1', "no JSON"),
    ],
)
def test_what_is_not_of_the_form_ends_the_replay_with_a_word(short: Path, tmp_path: Path, line: Any, told: str) -> None:
    report = replay(_written(tmp_path / "a.pbb", _garbage(_lines(short)[:60], 50, line)))
    assert report.damaged is not None
    assert told in report.damaged
    assert report.identical
    assert report.scans > 40


def test_a_reading_of_a_signal_that_there_is_not_is_refused(short: Path, tmp_path: Path) -> None:
    sample = [99_999, 1.0, 0, "ok", 1.0, None, ""]
    line = {"scan": [1e6, 1e9, None], "samples": [sample]}
    with pytest.raises(BadFile, match="signal 99999"):
        replay(_written(tmp_path / "a.pbb", _garbage(_lines(short)[:60], 50, line)))


def test_what_is_no_black_box_or_of_another_form_is_refused(short: Path, tmp_path: Path) -> None:
    lines = _lines(short)
    path = tmp_path / "a.pbb"
    for data in (b"", b"nothing of the kind", gzip.compress(b"hello\n"), gzip.compress(b"")):
        path.write_bytes(data)
        with pytest.raises(BadFile, match="no black box"):
            replay(path)
    for head, told in (
        ({"penstock-black-box": 2}, "form 2; this version reads form 1"),
        ({"site_file": None}, "header is not complete"),
        ({"profiles": ["x"]}, "header is not complete"),
        ({"why": "x"}, "header is not complete"),
        ({"profiles": {"../../escape": "x"}}, "carries a file of the name"),
        ({"standards": {"../escape.yaml": "x"}}, "carries a file of the name"),
        ({"site_file": "site: [}"}, "cannot load its site"),
    ):
        with pytest.raises(BadFile, match=re.escape(told)):
            replay(_written(path, [lines[0] | head, *lines[1:]]))
    with pytest.raises(BadFile, match="does not begin with a state"):
        replay(_written(path, [lines[0], *lines[3:]]))
    with pytest.raises(BadFile, match="an image of 1 signals"):
        replay(_written(path, [lines[0], lines[1] | {"image": lines[1]["image"][:1]}, *lines[2:]]))


def test_what_is_larger_than_any_black_box_is_not_unpacked(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "MAX_LINE_BYTES", 3_000_000)
    bomb = _written(tmp_path / "bomb.pbb", [*_lines(short)[:20], b'{"scan":"' + b" " * 50_000_000 + b'"}'])
    assert bomb.stat().st_size < 200_000
    report = replay(bomb)
    assert report.damaged is not None
    assert "larger than any black box" in report.damaged


# -- what would have happened -------------------------------------------------------------------------------------


def _site(tmp_path: Path, *changes: tuple[str, str]) -> Any:
    text = (SITES / "fill-station.yaml").read_text("utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "changed.yaml"
    path.write_text(text, "utf-8")
    return load_site(path)


def test_another_site_file_shows_what_would_have_happened(saved: Path, tmp_path: Path) -> None:
    assert replay(saved, _site(tmp_path)).identical
    laxer = replay(saved, _site(tmp_path, ("instant: 15 NTU", "instant: 19 NTU")))
    assert not laxer.identical
    assert not laxer.as_after_restart
    assert laxer.other_site
    valve = next(one for one in laxer.differences if one.what == "XV-101")
    assert (valve.was, valve.now) == ("off, demanded by protect", "on, demanded by sequence")


def test_a_site_file_with_other_parts_begins_as_after_a_restart(saved: Path, tmp_path: Path) -> None:
    guard = "      ph: {kind: fast, signal: PLC-100.outlet_ph, stop_delay: 30 s, clear_time: 60 s}\n"
    other = _site(tmp_path, (guard, ""))
    report = replay(saved, other)
    assert report.as_after_restart
    assert report.scans == replay(saved).scans


def test_a_site_file_with_signals_that_were_not_recorded_is_refused(saved: Path, tmp_path: Path) -> None:
    more = "  FIT-109: {link: field, unit: 9, profile: mag-0x00, poll: 0.5 s}\n  FIT-101:"
    with pytest.raises(BadFile, match="not recorded: FIT-109"):
        replay(saved, _site(tmp_path, ("  FIT-101:", more)))


# -- the timeline -------------------------------------------------------------------------------------------------


def test_the_timeline_tells_an_output_its_causes_and_what_they_rest_on(saved: Path) -> None:
    timeline = Timeline(("XV-101",), -30.0, 10.0)
    replay(saved, seen=timeline.see)
    rows = [row for row in timeline.rows if row.name == "XV-101"]
    closed = next(row for row in rows if row.state == "off (closed), demanded by protect" and row.at > -20)
    assert any("turbidity" in cause for cause in closed.causes)
    turbid = next(row for row in timeline.rows if row.name == "AIT-101.turbidity" and "18.2" in row.state)
    assert turbid.at <= closed.at
    assert {"FIT-101.flow", "RIO-101.zsc_101", "PLC-100.level"} <= {row.name for row in timeline.rows}
    assert [row.at for row in timeline.rows] == sorted(row.at for row in timeline.rows)


def test_the_timeline_holds_to_its_times_and_its_length(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = Timeline(("FILL-1",), -5.0, -4.0)
    replay(saved, seen=timeline.see)
    assert all(-5.0 <= row.at <= -4.0 for row in timeline.rows)
    monkeypatch.setattr("edge.blackbox.timeline.MAX_ROWS", 5)
    short = Timeline(("FILL-1",), -30.0, 10.0)
    replay(saved, seen=short.see)
    assert len(short.rows) == 5
    assert short.more > 0
