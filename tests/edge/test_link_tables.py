"""Links and devices as tables: the worst first, within any terminal, nothing that matters cut away."""

from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from drivers.port import DeviceStatus, LinkStatus
from edge.cli.link_tables import links_view

LONG = "exception 02 illegal data address at holding 9728 to 9732, and much more of it than a line can hold"


def device(**figures: Any) -> dict[str, Any]:
    status = DeviceStatus(online=True, polls=100, replies=100)
    status.round_trips.extend([0.02] * 99 + [0.31])
    for name, value in figures.items():
        setattr(status, name, value)
    return status.to_json()


def links() -> dict[str, Any]:
    good, bad = LinkStatus(connected=True, connects=1), LinkStatus(connected=False, connects=7, crc_errors=12)
    bad.last_error = "the port is gone"
    io = {**good.to_json(), "type": "modbus-tcp", "address": "10.0.0.5:502", "bus_load": 3.2}
    field = {**bad.to_json(), "type": "modbus-rtu", "address": "/dev/ttyS1 9600 8N1", "bus_load": 91.0}
    io["devices"] = {
        "RIO-101": device(),
        "ANALYZER-COD-1": device(exceptions=5, last_error=LONG),
        "XV-101": device(unconfirmed={"open_command": "on was commanded, XV-101.opened is off after 30 s"}),
    }
    field["devices"] = {"FIT-101": device(online=False, timeouts=40, last_error="no reply within 0.5 s")}
    return {"io": io, "field": field}


def shown(*, full: bool = False, width: int = 300, of: dict[str, Any] | None = None) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(links_view(of or links(), full=full))
    return capture.get()


def wide_names() -> dict[str, Any]:
    """Each character of such a name takes two columns."""
    every = links()
    every["io"]["devices"]["一号出水浊度仪"] = device()
    every["field"]["devices"]["二号加药间电动调节阀"] = device(online=False, timeouts=1234, last_error="no reply")
    return every


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_tables_fit_a_terminal(width: int, full: bool) -> None:
    for of in (links(), wide_names()):
        text = shown(width=width, full=full, of=of)
        assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= width
        whole = "".join(text.split())
        for name in ("RIO-101", "ANALYZER-COD-1", "FIT-101"):
            assert name in whole
        for state in ("OFFLINE", "online", "no effect", "DOWN"):
            assert state in text
        # What is wrong has its figure at any width.
        assert " 40 " in text


def test_eighty_columns_hold_every_name_every_failure_and_every_error() -> None:
    text = shown(width=80, of=wide_names())
    for said in ("一号出水浊度仪", "二号加药间电动调节阀", "91 %", "1234", "12", "refused", "20/310", "p50/p99 ms"):
        assert said in text
    assert "FIT-101: no reply within 0.5 s" in text
    assert "the port is gone" in text


def test_what_is_no_terminal_gets_every_column_and_every_error_in_full() -> None:
    text = shown(width=2000)
    assert LONG in text
    assert "stray bytes" in text


def test_the_worst_stands_first() -> None:
    lines = [line.split()[0] for line in shown(full=False).splitlines()]
    assert lines.index("field") < lines.index("io")
    names = [name for name in lines if "-" in name]
    assert names == ["FIT-101", "XV-101", "ANALYZER-COD-1", "RIO-101"]


def test_an_error_that_does_not_fit_is_cut_and_stands_in_full_below() -> None:
    cut = shown(width=120)
    assert LONG not in cut
    assert "exception 02 illegal" in cut
    assert "…" in cut
    full = shown(full=True)
    assert f"ANALYZER-COD-1: {LONG}" in full
    assert "field: the port is gone" in full


def test_every_figure_is_there() -> None:
    whole = shown(full=False)
    assert "91 %" in whole
    assert "20/310" in whole
    assert "7 x" in whole
    assert "no effect" in whole
    assert "OFFLINE" in whole
    assert "open_command: on was commanded" in shown(full=True)


def test_a_site_without_links_shows_nothing_and_does_not_fail() -> None:
    console = Console(width=100, color_system=None)
    with console.capture():
        console.print(links_view({}))
