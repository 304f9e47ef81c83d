"""What the documents show is what happens."""

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from config.load import load_site
from edge.cli.main import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
YAML = re.compile(r"```yaml\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def _sessions() -> list[tuple[str, str, str]]:
    """Document, command and the output shown under it."""
    sessions = []
    for path in DOCUMENTS:
        for block in CONSOLE.findall(path.read_text("utf-8")):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                sessions.append((path.name, command, output))
    return sessions


@pytest.mark.parametrize(("document", "command", "output"), _sessions())
def test_commands_print_what_the_documents_show(document: str, command: str, output: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "penstock", f"{document}: {command}"
    done = subprocess.run(
        [sys.executable, "-m", "edge", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        env={"COLUMNS": "200", "PATH": ""},
    )
    assert [line.rstrip() for line in (done.stdout + done.stderr).splitlines()] == output.splitlines()


def test_every_relative_link_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCUMENTS
        for target in LINK.findall(path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_every_yaml_example_is_yaml() -> None:
    for path in DOCUMENTS:
        for block in YAML.findall(path.read_text("utf-8")):
            assert isinstance(yaml.safe_load(textwrap.dedent(block)), dict), path


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_station_of_the_readme_is_the_example_and_a_good_site(name: str) -> None:
    example = ROOT / "docs" / "examples" / "my-station.yaml"
    [shown] = YAML.findall((ROOT / name).read_text("utf-8"))
    assert yaml.safe_load(textwrap.dedent(shown)) == yaml.safe_load(example.read_text("utf-8"))
    assert load_site(example).site.dispensers


def test_every_command_is_described() -> None:
    described = set(re.findall(r"`([a-z-]+)[` ]", (ROOT / "docs" / "cli.md").read_text("utf-8")))
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert commands <= described


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = (
        re.findall(r"^(?:make|penstock|penstock-sim) .*$", (ROOT / name).read_text("utf-8"), re.MULTILINE)
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese
    assert english
