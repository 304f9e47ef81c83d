"""``penstock equipment``: what is told of valves and pumps, and its tables on a screen of 80 columns."""

import io
import json
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from control.command import Op
from edge.cli import equipment as cli
from edge.cli.main import app
from edge.controller.equipment import equipment
from tests.control.test_pumping import Arms


def told(station: Arms) -> dict[str, Any]:
    found = equipment(station.program, station.state, station.now)
    return dict(json.loads(json.dumps(found)))


def test_strokes_travel_starts_hours_and_what_is_wrong_are_told() -> None:
    station = Arms().ready()
    station.ask(Op.PUMP_OUT_OF_SERVICE, "P-3", reason="seal leaks")
    station.order(1, 1.0, "a")
    station.run(120)
    found = told(station)
    valve, pump = found["valves"]["XV-1"], found["pumps"]["P-1"]
    assert (valve["strokes"], valve["fail"], valve["stage"]) == (2, "last", "closed")
    assert valve["opening_s"] == pytest.approx(4.0, abs=0.3)
    assert (pump["starts"], pump["group"], pump["stage"]) == (1, "PG-1", "stopped")
    assert pump["run_hours"] == pytest.approx(60 / 3600, abs=0.005)
    assert "seal leaks" in found["pumps"]["P-3"]["fault"]
    assert found["pump_groups"]["PG-1"]["running"] == []
    assert found["analog_outputs"]["SC-1"]["output"] == 0.0


def test_the_tables_fit_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    station = Arms().ready()
    station.dead.add(1)
    station.order(1, 1.0, "a")
    station.run(30)
    out = io.StringIO()
    Console(width=80, file=out).print(cli.equipment_view(told(station)))
    lines = out.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 80
    shown = " ".join(" ".join(lines).split())
    assert all(tag in shown for tag in ("XV-1", "XV-2", "P-1", "P-2", "P-3", "PG-1", "SC-1"))
    assert "no run feedback" in shown


def test_a_pump_is_not_taken_out_without_a_reason() -> None:
    result = CliRunner().invoke(app, ["pump", "P-1", "out-of-service"])
    assert result.exit_code == 2
    assert "--reason" in result.output
