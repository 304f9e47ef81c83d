"""Interlocks and permissives in a site file: what is refused when it is loaded, and how it is said."""

from pathlib import Path

from config.errors import ConfigError
from config.load import load_site
from config.signals import protecting_signals

SITE = Path(__file__).parents[2] / "config" / "sites" / "fill-station.yaml"


def _load(tmp_path: Path, sections: str) -> list[tuple[str, str, str]]:
    """What is wrong with the fill station with these sections beside its own."""
    path = tmp_path / "site.yaml"
    text = SITE.read_text("utf-8")
    for section in ("interlocks:", "permissives:"):
        before, found, after = text.partition(f"\n{section}")
        text = before + "\n\n" + after.partition("\n\n")[2] if found else text
    path.write_text(text + "\n" + sections, "utf-8")
    try:
        load_site(path)
    except ConfigError as error:
        return [(problem.path, problem.found, problem.expected) for problem in error.problems]
    return []


FITTING = [
    "PLC-100.level < 0.5 m for 5 s",
    "PLC-100.level < 50 cm until 0.6 m and P-101 is running",
    "abs(AIT-101.turbidity - PLC-100.outlet_turbidity) > 3 NTU for 10 min",
    "FIT-101.comm_online for 10 s or not io.connected",
    "FIT-101.comm_timeouts > 100",
    "FILL-1 is dispensing and XV-101 is closed",
    "FILL-1.turbidity is breached",
    "AIT-101.turbidity is not good",
]


def test_what_fits(tmp_path: Path) -> None:
    lines = [f"  i-{i}: {{when: '{expression}', stops: [FILL-1]}}" for i, expression in enumerate(FITTING)]
    assert _load(tmp_path, "\n".join(["interlocks:", *lines])) == []


NOT_FITTING = [
    ("PLC-100.levle < 1 m", "'levle'", "(did you mean 'level'?)"),
    ("PLC-10.level < 1 m", "'PLC-10'", "(did you mean 'PLC-100'?)"),
    ("PLC-100.level < 1 bar", "'1 bar' beside PLC-100.level, a pressure", "a length, such as '5 m'"),
    ("PLC-100.level < 1", "'1' without a unit", "a length, such as '5 m'"),
    ("PLC-100.level < FIT-101.flow", "where PLC-100.level is a length and FIT-101.flow a flow", "a length"),
    ("PLC-100.level + FIT-101.flow > 1 m", "PLC-100.level is a length and FIT-101.flow a flow", "a length"),
    ("PLC-100.level", "'PLC-100.level' alone, which is a length", "a bool signal"),
    ("RIO-101.yl_101 > 1", "where RIO-101.yl_101 is a bool", "'RIO-101.yl_101' alone"),
    ("PLC-100.level = 1 m", "'PLC-100.level = 1 m'", "< <= > or >="),
    ("1 m < 2 m", "'1 m < 2 m', which is always the same", "a comparison with a signal in it"),
    ("PLC-100.level > PLC-100.level", "which is always the same", "two different things to compare"),
    ("PLC-100.level < 500 m", "'500 m'", "within the range of PLC-100.level, 0 to 6 m"),
    ("PLC-100.level < 5 m until 7 m", "'7 m'", "within the range of PLC-100.level, 0 to 6 m"),
    ("XV-102 is closed", "'XV-102'", "a valve: XV-101 (did you mean 'XV-101'?)"),
    ("XV-101 is running", "'XV-101 is running'", "one of open, closed, because XV-101 is a valve"),
    ("FILL-1.turbid is breached", "'FILL-1.turbid'", "(did you mean 'FILL-1.turbidity'?)"),
    ('PLC-100.level is "low"', "where PLC-100.level is a length", "a signal of text"),
    ("PLC-100.level <", "'PLC-100.level <'", "a signal, or a quantity with its unit, such as '0.5 m' at column 16"),
]


def test_what_does_not_fit(tmp_path: Path) -> None:
    lines = [f"  i-{i}: {{when: '{expression}', stops: [FILL-1]}}" for i, (expression, _, _) in enumerate(NOT_FITTING)]
    problems = {path: (found, said) for path, found, said in _load(tmp_path, "\n".join(["interlocks:", *lines]))}
    assert len(problems) == len(NOT_FITTING)
    for i, (expression, found, expected) in enumerate(NOT_FITTING):
        was, said = problems[f"interlocks.i-{i}.when"]
        assert found in was, expression
        assert expected in said, expression


IMPOSSIBLE = [
    ("{when: RIO-101.yl_101}", "", "what it trips, stops or closes"),
    ("{when: RIO-101.yl_101, stops: []}", "", "what it trips, stops or closes"),
    ("{when: RIO-101.yl_101, stops: [FILL-2]}", ".stops.0", "(did you mean 'FILL-1'?)"),
    ("{when: RIO-101.yl_101, stops: [XV-101]}", ".stops.0", "a dispenser or pump"),
    ("{when: RIO-101.yl_101, trips: [P-101]}", ".trips.0", "a dispenser: FILL-1"),
    ("{when: RIO-101.yl_101, closes: [P-101]}", ".closes.0", "a valve: XV-101"),
    ("{when: RIO-101.yl_101, stops: [P-101, P-101]}", ".stops.1", "each tag once"),
    ("{when: RIO-101.yl_101, trips: [FILL-1], stops: [FILL-1]}", ".stops.0", "it once"),
    ("{when: RIO-101.yl_101, stops: [P-101], on_unknown: ignore}", "", "'because'"),
    ("{when: RIO-101.yl_101, stops: [P-101], because: x}", "", "no 'because'"),
    ("{when: RIO-101.yl_101, stop: [P-101]}", ".stop", "(did you mean 'stops'?)"),
    ("{when: 5, stops: [P-101]}", ".when", "an expression, such as"),
]


def test_an_interlock_that_cannot_be(tmp_path: Path) -> None:
    lines = [f"  i-{i}: {interlock}" for i, (interlock, _, _) in enumerate(IMPOSSIBLE)]
    problems = {path: said for path, _, said in _load(tmp_path, "\n".join(["interlocks:", *lines]))}
    assert len(problems) == len(IMPOSSIBLE)
    for i, (interlock, at, expected) in enumerate(IMPOSSIBLE):
        assert expected in problems[f"interlocks.i-{i}{at}"], interlock


def test_names_are_their_own(tmp_path: Path) -> None:
    problems = _load(
        tmp_path,
        """
interlocks:
  XV-101: {when: RIO-101.yl_101, stops: [FILL-1]}
  low: {when: RIO-101.yl_101, stops: [FILL-1]}
permissives:
  low: {when: RIO-101.yl_101, for: [FILL-1]}
""",
    )
    assert [(path, found) for path, found, _ in problems] == [
        ("interlocks.XV-101", "'XV-101', which is a valve"),
        ("permissives.low", "'low', which is an interlock"),
    ]


def test_a_permissive_is_for_something_that_starts(tmp_path: Path) -> None:
    problems = _load(tmp_path, "permissives:\n  p: {when: RIO-101.yl_101, for: [XV-101]}\n")
    assert [(path, expected.partition(":")[0]) for path, _, expected in problems] == [
        ("permissives.p.for.0", "a dispenser or pump")
    ]


def test_what_an_interlock_watches_is_critical(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    sections = "interlocks:\n  one: {when: 'PLC-100.level < 1 m', stops: [P-101]}\n"
    path.write_text(SITE.read_text("utf-8").partition("\ninterlocks:")[0] + "\n" + sections, "utf-8")
    loaded = load_site(path)
    assert "PLC-100.level" in protecting_signals(loaded.site)
    assert loaded.signals["PLC-100.level"].critical
