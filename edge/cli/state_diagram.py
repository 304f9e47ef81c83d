"""A state machine as a picture: a small layout of our own, so that the same table always gives the same SVG.

The states stand under each other, in the order of the table. A transition to the next state is the arrow between the
two. Every other leaves its state at the side (down on the right, up on the left), with what triggers it beside it, and
joins the lane of the state that it leads to; a lane ends in an arrow. Transitions that a frame of states has in common
are drawn once, from the foot of the frame. No two texts can meet, because each has a row of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

NODE_WIDTH: Final = 256.0
NODE_HEIGHT: Final = 46.0
ROW: Final = 20.0
"""The height of a transition at the side of a state, with its text."""
GAP: Final = 34.0
LANE: Final = 16.0
MARGIN: Final = 24.0
FRAME: Final = 14.0
TITLE: Final = 72.0
LETTER: Final = 6.4
"""The width of a Latin letter of 12 px; a Chinese one takes 12."""
STYLE: Final = (
    "text{font:12px 'Noto Sans','Noto Sans CJK SC','Microsoft YaHei',sans-serif;fill:#1b2a33}"
    ".title{font-size:16px;font-weight:600}.name{font-weight:600}.zh{fill:#52646f}"
    ".state{fill:#eef5f9;stroke:#3c6b82;stroke-width:1.2}.first{stroke-width:2.6}"
    ".frame{fill:none;stroke:#93a7b1;stroke-dasharray:5 4}.line{fill:none;stroke:#3c6b82}.dot,.arrow{fill:#3c6b82}"
)


@dataclass(frozen=True, slots=True)
class Edge:
    """From one state to another; ``label`` says by what, and is empty where the table does not say."""

    source: str
    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """``states``: each by its name with its Chinese one, in the order in which they are drawn; ``first`` is where it
    begins. ``letters``: a letter before the name. ``frames``: states in a row, with what they are called together."""

    name: str
    title: str
    title_zh: str
    first: str
    states: Mapping[str, str]
    edges: tuple[Edge, ...]
    letters: Mapping[str, str] = field(default_factory=dict)
    frames: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(slots=True)
class _Row:
    """A state, or the foot of a frame. ``ways``: where it leads, each with what triggers it."""

    name: str
    chinese: str = ""
    is_foot: bool = False
    ways: list[tuple[str, str]] = field(default_factory=list)
    top: float = 0.0
    bottom: float = 0.0


def draw(machine: Machine) -> str:
    """The picture of a machine, as SVG."""
    rows, frames = _rows(machine)
    place = {row.name: i for i, row in enumerate(rows)}
    direct = {
        row.name: way
        for row, following in pairwise(rows)
        for way in row.ways
        if way[0] == following.name and not row.is_foot
    }
    exits = {
        side: {
            row.name: [way for way in row.ways if way != direct.get(row.name) and _side(place, row, way) == side]
            for row in rows
        }
        for side in (1, -1)
    }
    entries = {side: {to for ways in exits[side].values() for to, _ in ways} for side in (1, -1)}
    _set_heights(rows, exits, entries, direct)
    left, right = (_Lanes(side, rows, exits[side], entries[side], place) for side in (-1, 1))
    x = left.width
    width, height = x + NODE_WIDTH + right.width, rows[-1].bottom + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img">',
            f"<title>{escape(machine.title)} {escape(machine.title_zh)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>',
            f'<text class="title" x="{MARGIN:g}" y="30">{escape(machine.title)}  {escape(machine.title_zh)}</text>',
            *_frame_boxes(rows, frames, x),
            *(_arrow_down(x + NODE_WIDTH / 2, TITLE - 22, TITLE, dot=True) if machine.first == rows[0].name else ()),
            *left.lines(x),
            *right.lines(x + NODE_WIDTH),
            *_direct_lines(rows, direct, x),
            *(line for row in rows for line in _box(row, machine, x, first=row.name == machine.first)),
            "</svg>",
            "",
        ]
    )


def _rows(machine: Machine) -> tuple[list[_Row], list[tuple[str, str]]]:
    """States and feet of frames from top to bottom, each with where it leads; and each frame's first row and foot."""
    rows: list[_Row] = []
    frames: list[tuple[str, str]] = []
    feet = {states[-1]: (title, states) for title, states in machine.frames}
    common = {title: _common(machine, states) for title, states in machine.frames}
    for state, chinese in machine.states.items():
        inside = {way for title, states in machine.frames if state in states for way in common[title]}
        own = [(edge.target, edge.label) for edge in machine.edges if edge.source == state]
        rows.append(_Row(state, chinese, ways=_joined([way for way in own if way not in inside])))
        if state in feet:
            title, states = feet[state]
            rows.append(_Row(title, is_foot=True, ways=_joined(common[title])))
            frames.append((states[0], title))
    return rows, frames


def _common(machine: Machine, states: tuple[str, ...]) -> list[tuple[str, str]]:
    """The transitions that every state of a frame has."""
    ways = [[(edge.target, edge.label) for edge in machine.edges if edge.source == state] for state in states]
    return [way for way in ways[0] if all(way in others for others in ways)]


def _joined(ways: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One way to each target, with every label that leads there."""
    labels: dict[str, list[str]] = {}
    for target, label in ways:
        labels.setdefault(target, []).append(label)
    return [
        (target, " / ".join(dict.fromkeys(label for label in several if label))) for target, several in labels.items()
    ]


def _side(place: Mapping[str, int], row: _Row, way: tuple[str, str]) -> int:
    return 1 if place[way[0]] > place[row.name] else -1


def _set_heights(
    rows: list[_Row],
    exits: Mapping[int, Mapping[str, list[tuple[str, str]]]],
    entries: Mapping[int, set[str]],
    direct: Mapping[str, tuple[str, str]],
) -> None:
    y = TITLE
    for row in rows:
        most = max(len(exits[side][row.name]) + (row.name in entries[side]) for side in (1, -1))
        row.top = y
        row.bottom = y + (max(most, 1) * ROW + 4 if row.is_foot else max(NODE_HEIGHT, most * ROW + 10))
        y = row.bottom + (GAP if row.name in direct or row.is_foot else GAP * 0.6)


class _Lanes:
    """One side of the picture: a lane for each state that is led to, the shortest innermost."""

    def __init__(
        self,
        side: int,
        rows: list[_Row],
        exits: Mapping[str, list[tuple[str, str]]],
        entries: set[str],
        place: Mapping[str, int],
    ) -> None:
        self._side = side
        self._exits: list[tuple[_Row, str, str, float]] = []
        self._entry: dict[str, float] = {}
        for row in rows:
            first = row.top + (2 if row.is_foot else 5) + ROW - 5
            if row.name in entries:
                self._entry[row.name] = first
                first += ROW
            # The way that leads farthest leaves first, so that its line meets fewest others.
            ways = sorted(exits[row.name], key=lambda way: -abs(place[way[0]] - place[row.name]))
            self._exits += [(row, to, label, first + ROW * i) for i, (to, label) in enumerate(ways)]
        reach = {
            to: max(abs(place[to] - place[row.name]) for row, one, _, _ in self._exits if one == to) for to in entries
        }
        order = sorted(entries, key=lambda to: (reach[to], place[to]))
        text = max((_width(label) for _, _, label, _ in self._exits), default=0.0)
        self._lane = {to: FRAME + 8 + text + 10 + LANE * i for i, to in enumerate(order)}
        self.width = max(self._lane.values(), default=FRAME) + MARGIN

    def lines(self, edge: float) -> Iterator[str]:
        """The lines of this side; ``edge`` is where the states end."""
        for to, lane in self._lane.items():
            x, entry = edge + self._side * lane, self._entry[to]
            ports = [y for _, one, _, y in self._exits if one == to]
            far = min([*ports, entry]), max([*ports, entry])
            yield f'<path class="line" d="M{x:g} {far[0]:g}V{far[1]:g}M{x:g} {entry:g}H{edge + self._side * 8:g}"/>'
            tip = edge + self._side
            back = edge + self._side * 9
            yield f'<path class="arrow" d="M{tip:g} {entry:g}L{back:g} {entry - 4:g}V{entry + 4:g}Z"/>'
            yield from (f'<circle class="dot" cx="{x:g}" cy="{y:g}" r="2.5"/>' for y in ports if y not in far)
        for row, to, label, y in self._exits:
            begin = edge + self._side * (FRAME / 2 if row.is_foot else 0)
            yield f'<path class="line" d="M{begin:g} {y:g}H{edge + self._side * self._lane[to]:g}"/>'
            if label:
                anchor = "start" if self._side == 1 else "end"
                x = edge + self._side * (FRAME + 2)
                yield f'<text x="{x:g}" y="{y - 4:g}" text-anchor="{anchor}">{escape(label)}</text>'


def _frame_boxes(rows: list[_Row], frames: list[tuple[str, str]], x: float) -> Iterator[str]:
    by_name = {row.name: row for row in rows}
    for first, foot in frames:
        top, bottom = by_name[first].top - FRAME / 2, by_name[foot].bottom
        yield (
            f'<rect class="frame" x="{x - FRAME / 2:g}" y="{top:g}" width="{NODE_WIDTH + FRAME:g}" '
            f'height="{bottom - top:g}" rx="8"/>'
        )


def _direct_lines(rows: list[_Row], direct: Mapping[str, tuple[str, str]], x: float) -> Iterator[str]:
    middle = x + NODE_WIDTH / 2
    for row, following in pairwise(rows):
        if row.name in direct:
            yield from _arrow_down(middle, row.bottom, following.top)
            label = direct[row.name][1]
            if label:
                y = (row.bottom + following.top) / 2 + 2
                yield f'<text x="{middle + 8:g}" y="{y:g}">{escape(label)}</text>'


def _arrow_down(x: float, top: float, bottom: float, *, dot: bool = False) -> Iterator[str]:
    if dot:
        yield f'<circle class="dot" cx="{x:g}" cy="{top:g}" r="5"/>'
    yield f'<path class="line" d="M{x:g} {top:g}V{bottom - 8:g}"/>'
    yield f'<path class="arrow" d="M{x:g} {bottom - 1:g}L{x - 4:g} {bottom - 9:g}H{x + 4:g}Z"/>'


def _box(row: _Row, machine: Machine, x: float, *, first: bool) -> Iterator[str]:
    middle, centre = x + NODE_WIDTH / 2, (row.top + row.bottom) / 2
    if row.is_foot:
        yield f'<text class="zh" x="{x + 4:g}" y="{centre + 5:g}">{escape(row.name)}</text>'
        return
    letter = machine.letters.get(row.name, "")
    name = f"{letter}  {row.name}" if letter else row.name
    shown = escape(name.replace("-", " "))
    yield (
        f'<rect class="state{" first" if first else ""}" x="{x:g}" y="{row.top:g}" width="{NODE_WIDTH:g}" '
        f'height="{row.bottom - row.top:g}" rx="6"/>'
    )
    yield f'<text class="name" x="{middle:g}" y="{centre - 3:g}" text-anchor="middle">{shown}</text>'
    yield f'<text class="zh" x="{middle:g}" y="{centre + 14:g}" text-anchor="middle">{escape(row.chinese)}</text>'


def _width(text: str) -> float:
    return sum(12.0 if ord(letter) > 0x2E7F else LETTER for letter in text)
