"""``penstock profile``: what ships, what one says, what is doubtful, and the pages made of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from config.errors import PenstockError
from config.load import DEVICES, load_profile, profile_names
from edge.cli import exit_codes
from edge.cli.profile import profile_app
from edge.cli.profile_pages import CHINESE, INDEX, duration, pages, write_pages

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "devices"
DOUBTFUL = """\
protocol: modbus
title: a probe
source: manual p. 3
signals:
  turbidity: {table: holding, address: 0, type: float32, unit: NTU}
"""
WRONG = """\
protocol: modbus
title: a probe
source: manual p. 3
signals:
  turbidity:
    table: holding
    address: 0
    unit: NTU
    range: [0, 10]
    quality_from: {signal: flag, codes: {1: device-fault}}
  flag: {table: holding, address: 1, description: 1 is a fault}
"""
BROKEN = """\
protocol: modbus
signals:
  turbidity: {table: holding, address: 0, tipe: float32}
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(profile_app, [str(argument) for argument in arguments], env={"COLUMNS": "300"})


def answer(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "probe.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_list_names_every_shipped_profile() -> None:
    assert [row["name"] for row in answer("list")] == profile_names()
    shown = run("list").stdout
    assert all(name in shown for name in profile_names())


def test_list_tells_how_much_is_unverified() -> None:
    [row] = [row for row in answer("list") if row["name"] == "siemens-mag-6000"]
    assert row["verified"] == "manual"
    assert 0 < row["unverified_signals"] < row["signals"]


def test_show_tells_where_a_signal_stands_and_how_it_is_judged() -> None:
    shown = run("show", "yosemitech-y511").stdout
    assert "holding 9730" in shown
    assert "float32 DCBA" in shown
    assert "quality from `error`: 0 = ok" in shown
    assert "action wipe: 10 31 00 00 00 00 -> 10 31 00 00 00" in shown
    assert "wire 2008" in run("show", "eh-promag").stdout
    assert answer("show", "eh-promag")["signals"]["flow"]["address"] == 2009


def test_show_takes_a_file_too(written: Any) -> None:
    assert "turbidity" in run("show", written(DOUBTFUL)).stdout


def test_an_unknown_name_leads_to_the_nearest() -> None:
    refused = run("show", "yosemitech-511").exception
    assert isinstance(refused, PenstockError)
    assert "did you mean 'yosemitech-y511'?" in refused.message


def test_lint_of_all_that_ships_is_clean() -> None:
    done = run("lint", "--strict")
    assert done.exit_code == exit_codes.DONE
    assert "0 errors, 0 warnings" in done.stdout


def test_lint_names_a_doubt_and_only_strict_minds_it(written: Any) -> None:
    path = written(DOUBTFUL)
    done = run("lint", path)
    assert done.exit_code == exit_codes.DONE
    assert re.search(r"^warning .*probe\.yaml: turbidity .* has no range.*\[no-range\]$", done.stdout, re.MULTILINE)
    assert run("lint", "--strict", path).exit_code == exit_codes.WRONG


def test_lint_refuses_what_can_never_be_right(written: Any) -> None:
    path = written(WRONG)
    assert run("lint", path).exit_code == exit_codes.WRONG
    said = answer("lint", path)
    assert not said["ok"]
    assert [remark["code"] for remark in said["remarks"] if remark["level"] == "error"] == ["never-good"]


def test_lint_names_what_the_schema_refuses_and_goes_on(written: Any) -> None:
    said = answer("lint", written(BROKEN), "yosemitech-y511")
    [problem] = said["problems"]
    assert (problem["line"], problem["path"]) == (3, "signals.turbidity.tipe")
    assert said["counts"]["error"] == 1
    assert {remark["profile"] for remark in said["remarks"]} == {"yosemitech-y511"}


def test_schema_is_json_that_names_the_keys() -> None:
    schema = json.loads(run("schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "quality_from" in schema["$defs"]["ModbusSignal"]["properties"]


def test_the_pages_of_the_documents_are_those_of_the_profiles() -> None:
    made = pages({name: load_profile(DEVICES / f"{name}.yaml") for name in profile_names()})
    found = {path.relative_to(PAGES).as_posix(): path.read_text("utf-8") for path in PAGES.rglob("*.md")}
    assert found.keys() == made.keys(), "run 'make docs'"
    stale = [name for name, text in made.items() if found[name] != text]
    assert stale == [], "run 'make docs'"


def test_a_page_tells_what_a_technician_needs() -> None:
    page = (PAGES / "rotork-iq-mk3.md").read_text("utf-8")
    assert page.index("Commands are latched") < page.index("| signal |")
    assert "| `position` | holding 3 | 3 | uint16 × 0.1 | % | 0 .. 100 |" in page
    assert "| `open_command` | latched | `remote` on | off | `opened` within 3 min |" in page
    assert "| `open_command` | holding 5 | 5 | uint16 |  |  | never |" in page
    assert "profile: rotork-iq-mk3" in page
    turbidity = (PAGES / "yosemitech-y511.md").read_text("utf-8")
    assert "| `wipe` | `10 31 00 00 00 00` | `10 31 00 00 00` | on-demand |" in turbidity
    assert "9600 baud, 8N1, unit 1" in turbidity
    converter = (PAGES / "mag-0x1010-plain.md").read_text("utf-8")
    assert "int32 ABCD + float32 at 4122" in converter
    assert "4112 (0x1010)" in converter


def test_both_indexes_lead_to_every_page() -> None:
    for index in (PAGES / INDEX, PAGES / CHINESE / INDEX):
        linked = set(re.findall(r"\]\(([a-z0-9-]+)\.md\)", index.read_text("utf-8")))
        assert linked >= set(profile_names())


def test_pages_are_written_once_and_strangers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("# My notes\n", "utf-8")
    made = {"one.md": "<!-- Made by 'make docs' from one -->\n", f"{CHINESE}/one.md": "一\n"}
    assert len(write_pages(tmp_path, made)) == 2
    assert write_pages(tmp_path, made) == []
    gone = {f"{CHINESE}/one.md": "一\n"}
    assert write_pages(tmp_path, gone) == [tmp_path / "one.md"]
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == ["mine.md", "one.md"]
    assert run("pages", tmp_path).exit_code == exit_codes.DONE
    assert (tmp_path / "mine.md").exists()
    assert (tmp_path / INDEX).exists()


@pytest.mark.parametrize(
    ("seconds", "said"), [(3600.0, "1 h"), (600.0, "10 min"), (90.0, "90 s"), (0.5, "0.5 s"), (7200.0, "2 h")]
)
def test_a_time_is_written_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
