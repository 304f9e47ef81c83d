"""The pictures of the state machines: those of the code's own tables, complete, and without texts that meet."""

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from edge.cli.diagrams import machines, pictures, write_diagrams
from edge.cli.main import app
from edge.cli.state_diagram import Edge, Machine, draw

DOCS = Path(__file__).parents[2] / "docs" / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"
NAMES = sorted(pictures())


def texts(svg: str) -> list[tuple[str, float, float, float]]:
    """Each text with where it begins, where it ends and its base line."""
    found = []
    for node in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        text, x, y = node.text or "", float(node.get("x", 0)), float(node.get("y", 0))
        width = sum(12.0 if ord(letter) > 0x2E7F else 6.4 for letter in text)
        begin = {"middle": x - width / 2, "end": x - width}.get(node.get("text-anchor", ""), x)
        found.append((text, begin, begin + width, y))
    return found


def test_the_pictures_of_the_documents_are_those_of_the_tables() -> None:
    """``make docs`` writes them."""
    assert {path.name: path.read_text("utf-8") for path in DOCS.glob("*.svg")} == pictures()


@pytest.mark.parametrize("name", NAMES)
def test_no_texts_meet_and_all_are_inside(name: str) -> None:
    svg = pictures()[name]
    width = float(ElementTree.fromstring(svg).get("width", 0))
    shown = texts(svg)
    assert all(begin >= 0 and end <= width for _, begin, end, _ in shown)
    meeting = [
        (one[0], other[0])
        for one, other in combinations(shown, 2)
        if abs(one[3] - other[3]) < 12 and one[1] < other[2] and other[1] < one[2]
    ]
    assert meeting == []


@pytest.mark.parametrize("machine", machines(), ids=lambda machine: machine.name)
def test_every_state_and_every_trigger_is_shown(machine: Machine) -> None:
    shown = " ".join(text for text, *_ in texts(draw(machine)))
    assert all(state.replace("-", " ") in shown and chinese in shown for state, chinese in machine.states.items())
    assert all(edge.label in shown for edge in machine.edges)
    assert {edge.source for edge in machine.edges} | {edge.target for edge in machine.edges} <= set(machine.states)


def test_every_transition_has_a_line_from_its_state_to_the_lane_of_its_target() -> None:
    states = dict.fromkeys("abcd", "")
    edges = (Edge("a", "b"), Edge("a", "c", "far"), Edge("b", "c"), Edge("d", "a", "back"), Edge("c", "a", "again"))
    svg = draw(Machine("m", "M", "", "a", states, edges))
    # The beginning and two steps go straight down; three leave at a side, into two lanes.
    assert len(re.findall(r'class="arrow"', svg)) == 1 + 2 + 2
    assert len(re.findall(r'class="line" d="M[^V"]*H', svg)) == 3


def test_what_a_frame_has_in_common_is_drawn_once() -> None:
    states = dict.fromkeys("abc", "")
    edges = (Edge("a", "c", "fails"), Edge("b", "c", "fails"), Edge("a", "b", "goes"))
    framed = draw(Machine("m", "M", "", "a", states, edges, frames=(("from any", ("a", "b")),)))
    assert [text for text, *_ in texts(framed)].count("fails") == 1
    assert [text for text, *_ in texts(draw(Machine("m", "M", "", "a", states, edges)))].count("fails") == 2


def test_they_are_written_when_they_changed(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["diagrams", str(tmp_path)])
    assert done.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    assert write_diagrams(tmp_path, pictures()) == []
