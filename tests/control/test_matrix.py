"""The cause-and-effect matrix says what the scan does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from config.load import load_site
from config.sample import Reason
from control.compiler import compile_site
from control.matrix import Effect, Row, cause_and_effect, standing, to_json
from control.protect import permission
from control.state import findings
from tests.control.bench import SITES, FillStation, load

WHOLE = ("FILL-1", "XV-101", "P-101")


def _row(station: FillStation, subject: str, text: str) -> Row:
    matrix = cause_and_effect(station.program)
    [row] = [row for row in matrix.rows if row.subject == subject and text in row.text]
    return row


def _sets(name: str, value: float) -> Callable[[FillStation], None]:
    return lambda station: station.values.update({name: value})


def _loses(name: str) -> Callable[[FillStation], None]:
    return lambda station: station.reasons.update({name: Reason.NO_COMMUNICATION})


def _silences(device: str) -> Callable[[FillStation], None]:
    return lambda station: station.silent.add(device)


def _results(name: str, value: float) -> Callable[[FillStation], None]:
    return lambda station: station.new_result(name, value, station.now.utc + 1.0)


@pytest.mark.parametrize(
    ("subject", "text", "effect", "happens", "within_s"),
    [
        ("FILL-1.turbidity", "> 8 NTU", Effect.TRIP, _sets("AIT-101.turbidity", 9.0), 4.0),
        ("FILL-1.turbidity", "> 15 NTU", Effect.TRIP, _sets("AIT-101.turbidity", 16.0), 0.5),
        ("FILL-1.turbidity", "is not known", Effect.STOP, _loses("AIT-101.turbidity"), 4.0),
        ("FILL-1.ph", "not in 6 to 9 pH", Effect.TRIP, _sets("PLC-100.outlet_ph", 5.5), 31.0),
        ("FILL-1.cod", "result > 30 mg/L", Effect.TRIP, _results("AIT-102.cod", 40.0), 3.0),
        ("FILL-1", "PLC-100.level < 1 m", Effect.PERMIT, _sets("PLC-100.level", 0.9), 0.5),
        ("FILL-1", "PLC-100.level < 0.6 m", Effect.STOP, _sets("PLC-100.level", 0.5), 0.5),
        ("FILL-1", "PLC-100.level is not known", Effect.STOP, _loses("PLC-100.level"), 6.0),
        ("tank-not-emptying", "", Effect.PERMIT, _sets("PLC-100.level", 1.05), 0.5),
        ("XV-101", "unknown", Effect.STOP, _loses("RIO-101.zsc_101"), 4.0),
        ("XV-101", "contradiction", Effect.TRIP, lambda station: setattr(station, "plant", _both_ends(station)), 1.0),
        ("RIO-101", "does not answer", Effect.STOP, _silences("RIO-101"), 10.0),
    ],
)
def test_a_cell_says_what_happens(
    subject: str, text: str, effect: Effect, happens: Callable[[FillStation], None], within_s: float
) -> None:
    station = FillStation().ready()
    row = _row(station, subject, text)
    assert row.effects == dict.fromkeys(WHOLE if effect is not Effect.PERMIT else WHOLE[:1], effect)
    assert not standing(station.state, row)
    happens(station)
    station.run(within_s)
    assert standing(station.state, row)
    may = permission(
        station.program,
        station.program.dispensers[0],
        station.state.levels[0],
        station.state.trips[0],
        findings(station.state),
    )
    assert station.state.trips[0].latched is (effect is Effect.TRIP)
    assert (may.run is not None) is (effect in (Effect.TRIP, Effect.STOP))
    assert may.start is not None


def _both_ends(station: FillStation) -> Callable[[], None]:
    plant = station.plant

    def contradicts() -> None:
        plant()
        station.values |= {"RIO-101.zso_101": True, "RIO-101.zsc_101": True}

    return contradicts


def test_every_dispenser_and_actuator_has_a_column_and_something_that_stops_it() -> None:
    for name in ("fill-station", "plant-outlet", "voted-take-off"):
        program = compile_site(load(name))
        matrix = cause_and_effect(program)
        assert matrix.columns[len(program.dispensers) :] == tuple(demand.tag for demand in program.safe)
        stopped = {tag for row in matrix.rows for tag, effect in row.effects.items() if effect is not Effect.ALARM}
        assert set(matrix.columns) <= stopped
        assert all(set(row.effects) <= set(matrix.columns) for row in matrix.rows)
        assert len({(row.subject, row.text) for row in matrix.rows}) == len(matrix.rows)


def test_one_of_three_voters_that_is_silent_stops_nothing() -> None:
    program = compile_site(load("voted-take-off"))
    rows = {row.subject: set(row.effects.values()) for row in cause_and_effect(program).rows if "answer" in row.text}
    assert rows["AIT-301"] == {Effect.ALARM}


def test_as_json_it_says_what_stands_now_only_of_a_state() -> None:
    station = FillStation().ready()
    matrix = cause_and_effect(station.program)
    assert "active" not in to_json(matrix)["rows"][0]
    station.values["AIT-101.turbidity"] = 20.0
    station.run(0.5)
    rows = to_json(matrix, station.state)["rows"]
    assert [row["cause"] for row in rows if row["active"]] == ["AIT-101.turbidity > 15 NTU"]


def test_what_a_guard_warns_of_is_an_alarm_only() -> None:
    station = FillStation()
    assert _row(station, "FILL-1.turbidity", "> 6 NTU").effects == {"FILL-1": Effect.ALARM}
    assert _row(station, "FILL-1.ammonia", "by its trend").effects == {"FILL-1": Effect.ALARM}


def test_a_permit_has_its_rows(tmp_path: Path) -> None:
    data = yaml.safe_load((SITES / "fill-station.yaml").read_text("utf-8"))
    data["dispensers"]["FILL-1"]["guards"]["permit"] = {
        "kind": "permit",
        "sources": ["platform"],
        "interval": "1 min",
        "travel": "20 min",
    }
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    rows = [row for row in cause_and_effect(compile_site(load_site(site))).rows if row.subject == "FILL-1.permit"]
    assert [(row.text.rpartition("permit ")[2], row.effects["FILL-1"]) for row in rows] == [
        ("is withdrawn", Effect.TRIP),
        ("has not come", Effect.STOP),
        ("aging: older than 90 s", Effect.ALARM),
        ("stale: older than 150 s", Effect.PERMIT),
        ("expired: older than 240 s", Effect.STOP),
        ("the pipe is being flushed", Effect.STOP),
    ]
