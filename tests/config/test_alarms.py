"""Alarms in a site file: what is refused, at which line, and how it is said."""

from pathlib import Path

import pytest

from config.errors import ConfigError, Problem
from config.load import load_site
from control.compiler import compile_site

SITE = Path(__file__).parents[2] / "config" / "sites" / "fill-station.yaml"


def problems(tmp_path: Path, alarms: str) -> list[Problem]:
    path = tmp_path / "site.yaml"
    before, _, rest = SITE.read_text("utf-8").partition("\nalarms:\n")
    path.write_text(f"{before}\n{rest[rest.index('uplink:') :]}\nalarms:\n{alarms}\n", "utf-8")
    try:
        compile_site(load_site(path))
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    "entry",
    [
        "LAH-1: {when: PLC-100.level > 5 m, deadband: 10 cm, priority: critical}",
        "LAL-1: {when: PLC-100.level <= 1 m for 5 s or AIT-101.turbidity is bad, latched: true, group: tank}",
        "X-1: {when: XV-101 is open, suppressed_when: P-101 is stopped, shelve_limit: 30 min, priority: journal}",
        "FILL-1.no-flow: {priority: high, on_delay: 5 s, latched: true, shelvable: false}",
        "FILL-1.trip: {shelvable: true, text: the trip}",
        "AIT-101.offline: {suppressed_when: P-101 is stopped}",
    ],
)
def test_what_fits(tmp_path: Path, entry: str) -> None:
    assert problems(tmp_path, f"  {entry}") == []


@pytest.mark.parametrize(
    ("entry", "path", "said"),
    [
        ("FILL-1.noflow: {latched: true}", "alarms.FILL-1.noflow", "did you mean 'FILL-1.no-flow'?"),
        ("FILL-1.noflow: {latched: true}", "alarms.FILL-1.noflow", "FILL-1.overrun"),
        ("NONE.no-flow: {latched: true}", "alarms.NONE.no-flow", "penstock alarms --all"),
        ("LAH-1: {priority: high}", "alarms.LAH-1.when", "the condition of an alarm of the site's own"),
        ("FILL-1.x: {when: XV-101 is open}", "alarms.FILL-1.x", "a name without a dot"),
        ("XV-101: {when: XV-101 is open}", "alarms.XV-101", "a name of its own"),
        ("L-1: {when: PLC-100.levle > 5 m}", "alarms.L-1.when", "did you mean 'level'?"),
        ("L-1: {when: PLC-100.level > 5 bar}", "alarms.L-1.when", "a length"),
        ("L-1: {when: PLC-100.level > 5 m, suppressed_when: P-9 is stopped}", "alarms.L-1.suppressed_when", "a pump"),
        ("L-1: {when: PLC-100.level > 5 m, deadband: 1 bar}", "alarms.L-1.deadband", "a length"),
        ("L-1: {when: PLC-100.level > 5 m, deadband: 0 m}", "alarms.L-1.deadband", "above 0"),
        ("L-1: {when: XV-101 is open, deadband: 1 m}", "alarms.L-1.deadband", "says 'until'"),
        ("L-1: {when: XV-101 is open, priority: critical, shelvable: true}", "alarms.L-1", "never shelved"),
        ("L-1: {when: XV-101 is open, shelvable: false, shelve_limit: 1 h}", "alarms.L-1", "not shelvable"),
        ("L-1: {when: XV-101 is open, priority: journal, latched: true}", "alarms.L-1", "waits for nobody"),
        ("FILL-1.no-flow: {deadband: 1 m3/h}", "alarms.FILL-1.no-flow", "only an alarm with 'when'"),
        ("L-1: {when: XV-101 is open, priority: urgent}", "alarms.L-1.priority", "critical"),
    ],
)
def test_what_is_refused_and_how_it_is_said(tmp_path: Path, entry: str, path: str, said: str) -> None:
    [problem] = problems(tmp_path, f"  # a comment\n  {entry}")
    assert problem.path == path
    assert said in problem.expected
    text = (tmp_path / "site.yaml").read_text("utf-8").splitlines()
    assert text[problem.line - 1].strip().startswith(entry.partition(":")[0])
