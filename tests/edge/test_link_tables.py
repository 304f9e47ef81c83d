"""Links and devices as tables: the worst first, within 100 columns, long errors cut and in full where they fit."""

from typing import Any

from rich.console import Console

from drivers.port import DeviceStatus, LinkStatus
from edge.cli.link_tables import WIDTH, links_view

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


def shown(*, full: bool) -> str:
    console = Console(width=300, color_system=None)
    with console.capture() as capture:
        console.print(links_view(links(), full=full))
    return capture.get()


def test_the_tables_fit_a_terminal() -> None:
    assert max(len(line.rstrip()) for line in shown(full=False).splitlines()) <= WIDTH


def test_the_worst_stands_first() -> None:
    lines = [line.split()[0] for line in shown(full=False).splitlines()]
    assert lines.index("field") < lines.index("io")
    names = [name for name in lines if "-" in name]
    assert names == ["FIT-101", "XV-101", "ANALYZER-COD-1", "RIO-101"]


def test_an_error_that_does_not_fit_is_cut_and_stands_in_full_below() -> None:
    cut = shown(full=False)
    assert LONG not in cut
    assert "exception 0" in cut
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
