"""Measurements and conditioning in a site file: what may be said, and what each mistake is answered with."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import LoadedSite, load_site
from config.sample import Reason, hj212_flag, quality_of
from config.signals import wire_place
from config.units import difference

SITE = (Path(__file__).parents[2] / "config" / "sites" / "voted-take-off.yaml").read_text("utf-8")
LEVEL = "scale: {from: [4 mA, 20 mA], to: [0 m, 5 m]}"
VOTE = "vote: 2oo3"
PROBES = "of: [AIT-301.turbidity, AIT-302.turbidity, AIT-303.turbidity]"


def loaded(directory: Path, *changes: tuple[str, str]) -> LoadedSite:
    text = SITE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = directory / "site.yaml"
    path.write_text(text, "utf-8")
    return load_site(path)


def test_a_measurement_is_a_signal_with_the_unit_and_the_pace_of_what_it_comes_from() -> None:
    site = load_site(Path(__file__).parents[2] / "config" / "sites" / "voted-take-off.yaml")
    level, turbidity = site.signals["LT-301.level"], site.signals["AIT-300.turbidity"]
    assert (level.unit, level.kind, level.deadband, level.critical, level.link) == ("m", "number", 0.01, False, "")
    assert (turbidity.unit, turbidity.poll, turbidity.critical, turbidity.writable) == ("NTU", 1.0, True, False)
    assert site.signals.measurements[-1] is turbidity
    assert turbidity not in site.signals.field
    assert turbidity not in site.signals.diagnostics
    assert wire_place(turbidity, 0) == f"2oo3 of {PROBES[5:-1]}"


@pytest.mark.parametrize(
    ("old", "new", "path", "told"),
    [
        (LEVEL, "scale: {from: [4 mA, 20 bar], to: [0 m, 5 m]}", "scale", "two quantities of one kind under 'from'"),
        (LEVEL, "scale: {from: [4 mA, 4 mA], to: [0 m, 5 m]}", "scale", "two different quantities under 'from'"),
        (LEVEL, "scale: {from: [0 mA, 20 mA], to: [0 m, 5 m], live_zero: namur}", "scale", "NAMUR NE 43"),
        (LEVEL, "scale: {from: [0 bar, 1 bar], to: [0 m, 5 m]}", "scale.from", "a current, such as '5 A'"),
        (
            LEVEL,
            "scale: {from: [4 mA, 20 mA], to: [0 m, 5 m]}\n    max_rate: 1 bar/s",
            "max_rate",
            "a change of length",
        ),
        (LEVEL, "scale: {from: [4 mA, 20 mA], to: [0 m, 5 m]}\n    max_rate: 1 m", "max_rate", "'0.5 m/min'"),
        ("LT-301.level:\n", "RIO-301.level:\n", "RIO-301.level", "a tag of its own"),
        ("RIO-301.ai_0\n", "LT-301.level\n", "LT-301.level", "no circle"),
        ("RIO-301.ai_0\n", "RIO-301.ai_9\n", "signal", "a signal of RIO-301"),
        (VOTE, "vote: 2oo4", "AIT-300.turbidity", "4 signals under 'of'"),
        (VOTE, "vote: 4oo3", "AIT-300.turbidity", "at most 3oo3"),
        (PROBES, "of: [AIT-301.turbidity, AIT-302.turbidity, LT-301.level]", "of.2", "a unit of turbidity"),
        (PROBES, "of: [AIT-301.turbidity, AIT-302.turbidity, AIT-301.turbidity]", "turbidity", "each signal once"),
        (PROBES, "of: [RIO-302.mode, RIO-302.hs_301, RIO-302.hs_302]", "of.0", "numbers, or on or off"),
        ("trip: high", "trip: up", "trip", "high, low, true, false"),
        ("trip: high", "trip: {away_from: 7 pH}", "trip.away_from", "a turbidity"),
        ("trip: high", "trip: high\n    on_bad: leave-out", "turbidity", "'because'"),
        ("trip: high", "trip: high\n    because: no reason", "turbidity", "only there"),
        ("    disagreement: 1 NTU\n", "", "turbidity", "'disagreement'"),
        ("maintenance: RIO-302.hs_301", "maintenance: RIO-301.ai_1", "maintenance", "a bool signal"),
        ("frozen_after: 30 min", "frozen_after: 2 s", "frozen_after", "at least 3 polls, 3 s"),
        ("range: [0 NTU, 100 NTU]", "range: [100 NTU, 0 NTU]", "turbidity", "from the lower to the higher"),
        ("range: [0 NTU, 100 NTU]", "range: [0 NTU, 1 m]", "range.1", "a turbidity"),
        ("kind: fast, signal", "kind: batch, interval: 1 h, signal", "turbidity", "time_from"),
        ("total: FIT-301.total", "total: FIT-302.flow", "meter.total", "a signal in a unit of volume"),
    ],
)
def test_each_mistake_is_told_where_it_stands(tmp_path: Path, old: str, new: str, path: str, told: str) -> None:
    mode = ("        hs_301: {", "        mode: {table: holding, address: 9, enum: {1: auto}}\n        hs_301: {")
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, mode, (old, new))
    assert any(path in problem.path and told in str(problem) for problem in raised.value.problems), raised.value


def test_an_output_cannot_be_a_measurement(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is calculated"):
        loaded(
            tmp_path,
            ("position_command: FCV-301.position_command", "position_command: LT-302.level"),
            ("  LT-301.level:\n", "  LT-302.level: {signal: FCV-301.position}\n  LT-301.level:\n"),
        )


def test_a_bare_number_at_the_input_is_a_count_and_a_median_needs_the_middle_one(tmp_path: Path) -> None:
    counts = "{table: input, address: 9, type: uint16}"
    site = loaded(
        tmp_path,
        ("        hs_301: {", f"        raw: {counts}\n        hs_301: {{"),
        ("RIO-301.ai_0\n", "RIO-302.raw\n"),
        (LEVEL, "scale: {from: [0, 27648], to: [0 m, 5 m]}"),
        (VOTE, "vote: median"),
    )
    assert site.signals["LT-301.level"].unit == "m"
    assert wire_place(site.signals["AIT-300.turbidity"], 0).startswith("median of AIT-301.turbidity")


def test_a_difference_has_no_offset() -> None:
    assert difference("1 K", "temperature") == pytest.approx(1.0)
    assert difference("9 degF", "temperature") == pytest.approx(5.0)
    assert difference("2 mbar", "pressure") == pytest.approx(0.002)


@pytest.mark.parametrize("reason", [Reason.UNDER_RANGE, Reason.JUMPED])
def test_what_conditioning_doubts_keeps_its_value_and_is_no_valid_data(reason: Reason) -> None:
    assert quality_of(reason).name == "UNCERTAIN"
    assert hj212_flag(reason) == "D"
