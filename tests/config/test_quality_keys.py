"""What a site file may say of guards, permits and compliance, and what is refused with which words."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import load_site
from config.standard import applied_limits

SITE = (Path(__file__).parents[2] / "config" / "sites" / "fill-station.yaml").read_text("utf-8")
COD = "      cod: {kind: batch, signal: AIT-102.cod, interval: 2 h}\n"
PERMIT = COD + "      permit: {kind: permit, %s}\n"


def problems(tmp_path: Path, old: str, new: str) -> list[tuple[str, str]]:
    assert old in SITE
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace(old, new, 1), "utf-8")
    try:
        load_site(path)
    except ConfigError as error:
        return [(problem.path, problem.expected) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (COD, PERMIT % "signal: PLC-100.fit, pipe: {volume: 12 m3, flow: FIT-101.flow}"),
        (COD, PERMIT % "sources: [platform, local], travel: 20 min"),
        (COD, COD.replace("2 h}", "2 h, work_state: {signal: AIT-102.work_state}}")),
        (COD, COD.replace("2 h}", "2 h, warn: 25 mg/L, mark_cap: 2 h, mark_day_cap: 3 h, min_hold: 1 h}")),
        ("uplink:", "permits: {OUT: {dispensers: [FILL-1], guards: [FILL-1.cod]}}\nuplink:"),
        (COD, "      suspended_solids: {kind: fast, signal: AIT-102.cod}\n" + COD),
        (COD, "      conductivity: {kind: fast, signal: PLC-100.ec, high: 1500 uS/cm}\n" + COD),
    ],
    ids=["permit by signal", "permit by command", "work state", "thresholds and caps", "given", "ss", "own limit"],
)
def test_what_is_right_is_taken(tmp_path: Path, old: str, new: str) -> None:
    more = (
        "        fit: {namespace: 'urn:changzhi:wwtp', node: s=Fit, type: bool}\n"
        "        ec: {namespace: 'urn:changzhi:wwtp', node: s=Ec, unit: uS/cm}\n"
    )
    node = "        outlet_ph: {namespace"
    site = SITE.replace(node, more + node, 1).replace(old, new, 1)
    path = tmp_path / "site.yaml"
    path.write_text(site, "utf-8")
    load_site(path)


@pytest.mark.parametrize(
    ("old", "new", "path", "expected"),
    [
        (COD, PERMIT % "interval: 1 min", "guards.permit", "where permits come from"),
        (COD, PERMIT % "signal: RIO-101.yl_101", "permit.signal", "the time of issue of a permit"),
        (COD, PERMIT % "signal: AIT-101.turbidity", "permit.signal", "a signal in a unit of count"),
        (
            COD,
            PERMIT % "sources: [platform], travel: 1 min, pipe: {volume: 1 m3, flow: FIT-101.flow}",
            "permit.travel",
            "one of them",
        ),
        (COD, PERMIT % "sources: [platform], pipe: {volume: 1 m3, flow: FIT-101.total}", "pipe.flow", "unit of flow"),
        (COD, COD.replace("2 h}", "2 h, warn: 31 mg/L}"), "cod.warn", "at most the stop limit, 30 mg/L"),
        (COD, COD.replace("2 h}", "2 h, work_state: {signal: AIT-102.cod}}"), "work_state.signal", "count"),
        (COD, COD.replace("2 h}", "2 h, temperature: AIT-101.temperature}"), "cod.temperature", "one limit for all"),
        (COD, COD.replace("2 h}", "2 h, high: 31 mg/L}"), "cod.high", "a laxer one needs"),
        (
            COD,
            COD.replace("2 h}", "2 h, high: 31 mg/L, relaxed: {by: x, reason: y}}"),
            "relaxed.approved_by",
            "a value",
        ),
        ("uplink:", "permits: {OUT: {}}\nuplink:", "permits.OUT", "what the permit rests on"),
        ("uplink:", "permits: {OUT: {dispensers: [FILL-9]}}\nuplink:", "dispensers.0", "did you mean 'FILL-1'"),
        ("uplink:", "permits: {OUT: {guards: [FILL-1.codd]}}\nuplink:", "guards.0", "did you mean 'FILL-1.cod'"),
        ("uplink:", "permits: {FILL-1: {dispensers: [FILL-1]}}\nuplink:", "permits.FILL-1", "a name of its own"),
        ("uplink:", "permits: {OUT: {dispensers: [FILL-1], ttl: 1 min}}\nuplink:", "OUT.ttl", "at least 2.5 intervals"),
        ("uplink:", "compliance: {FILL-9: {}}\nuplink:", "compliance.FILL-9", "did you mean"),
        ("uplink:", "compliance: {FILL-1: {cod: {signal: AIT-102.cod}}}\nuplink:", "FILL-1.cod", "without a guard"),
        ("uplink:", "compliance: {FILL-1: {tpp: {signal: AIT-102.cod}}}\nuplink:", "FILL-1.tpp", "parameter"),
        (
            "uplink:",
            "compliance: {FILL-1: {conductivity: {signal: AIT-102.cod}}}\nuplink:",
            "FILL-1.conductivity",
            "limits",
        ),
        (
            "uplink:",
            "compliance: {FILL-1: {bod5: {signal: AIT-102.alarm, interval: 1 h}}}\nuplink:",
            "bod5.signal",
            "time_from",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, path: str, expected: str) -> None:
    found = problems(tmp_path, old, new)
    assert any(where.endswith(path) and expected in what for where, what in found), found


def test_ammonia_of_grade_1a_has_another_limit_in_cold_water() -> None:
    limit = applied_limits(("gb-18918-2002/1A",))["ammonia"]
    assert (limit.high, limit.cold) == (5.0, (8.0, 12.0))


def test_a_stricter_standard_leaves_no_other_limit_in_cold_water() -> None:
    for order in (("gb-18918-2002/1A", "changzhi-iv-1a/outlet"), ("changzhi-iv-1a/outlet", "gb-18918-2002/1A")):
        limit = applied_limits(order)["ammonia"]
        assert (limit.high, limit.cold) == (1.5, None)


def test_a_laxer_standard_leaves_the_cold_limit_up_to_its_own() -> None:
    limit = applied_limits(("gb-18918-2002/1A", "gb-t-18920-2020/B"))["ammonia"]
    assert (limit.high, limit.cold) == (5.0, (8.0, 12.0))


def test_no_maximum_of_a_single_result_ships() -> None:
    assert all(limit.single is None for limit in applied_limits(("gb-18918-2002/1A",)).values())
