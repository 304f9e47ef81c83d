"""What instruments, servers and brokers say is shown as it stands, and nothing of it is obeyed."""

import json

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge.cli.printed import print_json, printable, progress, remark, say
from edge.cli.screen import ENDLESS, Screen
from edge.cli.show import status_view, why_view
from tests.edge.test_link_tables import links
from tests.edge.typed import penstock

HOSTILE = "[/b]\x1b[31mred\x9b2J\u202e:warning:"
SHOWN = "[/b]\ufffd[31mred\ufffd2J\ufffd:warning:"


@pytest.mark.parametrize("as_text", [False, True])
def test_a_text_is_neither_markup_nor_control(as_text: bool, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = Text(HOSTILE) if as_text else HOSTILE
    table = Table()
    table.add_column("text")
    table.add_row(hostile)
    screen = Screen()
    screen.print(hostile, style="green", soft_wrap=True)
    screen.print(table)
    screen.print(Panel(hostile))
    written = capsys.readouterr().out
    assert "\x1b" not in written
    assert "\x9b" not in written
    assert "\u202e" not in written
    if not as_text:
        assert written.count(SHOWN) == 3


def test_lines_and_remarks_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    remark(HOSTILE + "\nsecond line")
    remark("")
    progress(HOSTILE)
    out, err = capsys.readouterr()
    assert (out, err) == (f"{SHOWN}\n", f"{SHOWN}\nsecond line\n")


def test_what_cannot_be_written_at_all_is_replaced() -> None:
    assert printable("\udcff水") == "\ufffd水"


def test_json_holds_the_text_itself_and_no_number_that_json_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": HOSTILE, "values": [1.5, float("nan"), float("inf")]})
    written = capsys.readouterr().out
    assert not set(written) & {"\x1b", "\x9b", "\u202e"}
    assert json.loads(written) == {"text": HOSTILE, "values": [1.5, None, None]}


def test_a_pipe_takes_lines_as_long_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "x" * 500
    screen = Screen()
    assert screen.width == ENDLESS
    screen.print(long)
    assert long in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "70")
    assert Screen().width == 70


async def test_bytes_that_look_like_markup_are_decoded() -> None:
    done = await penstock("decode", "5b 2f 62 5d 20 20 41 41", "--all")
    assert (done.code, done.err) == (0, "")
    assert "[/b]" in done.out


def test_whatever_a_station_says_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    links_ = links()
    links_["io"]["devices"]["RIO-101"]["last_error"] = HOSTILE
    store = {"written": 1, "dropped": 0, "fault": HOSTILE}
    scan = {"period_ms": 50, "lateness_p99_ms": 1, "duration_p99_ms": 1}
    guard = {
        "parameter": HOSTILE,
        "value": 1.0,
        "unit": "NTU",
        "low": None,
        "high": 5.0,
        "verdict": "fit",
        "limit_status": "verified",
        "result_age_s": None,
        "marked": HOSTILE,
        "warnings": [{"text": HOSTILE}],
    }
    dispenser = {
        "valve": "XV",
        "pump": None,
        "pump_group": None,
        "tripped": False,
        "tripped_also": [{"text": HOSTILE}],
        "concessions": [{"text": HOSTILE}],
        "phase": "idle",
        "flow_m3h": 1.0,
        "total_m3": 2.0,
        "mode": "batch",
        "use": HOSTILE,
        "delivered_m3": 0.0,
        "guards": [guard],
        "order": {"id": HOSTILE, "vehicle": HOSTILE, "volume_m3": 1.0},
    }
    status = {
        "site": HOSTILE,
        "name": HOSTILE,
        "boot": 1,
        "utc": 0.0,
        "valves": {"XV": {"position": HOSTILE}},
        "alarms": [
            {
                "id": HOSTILE,
                "priority": "high",
                "state": "unacknowledged",
                "letter": "B",
                "stands": True,
                "first_out": True,
                "since_utc": 0.0,
                "text": HOSTILE,
                "response": HOSTILE,
                "by": HOSTILE,
                "reason": HOSTILE,
                "until_utc": None,
            }
        ],
        "overrides": [],
        "dispensers": {HOSTILE: dispenser},
        "links": links_,
        "scan": scan,
        "store": store,
        "uplink": None,
    }
    wire = {"link": "io", "address": HOSTILE, "unit": 1, "place": HOSTILE, "raw": ""}
    Screen().print(status_view(status))
    Screen().print(why_view({"subject": HOSTILE, "state": HOSTILE, "causes": [], "wire": {HOSTILE: wire}}))
    written = capsys.readouterr().out
    assert written.count("[/b]") >= 12
    assert max(map(len, written.splitlines())) < 300
    assert not set(written) & {"\x1b", "\x9b", "\u202e"}
