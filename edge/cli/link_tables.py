"""Links and devices as tables, the worst first: what a technician looks at when something does not answer.

They fit whatever they are shown on. Where that is narrow, errors stand below the figures instead of beside them; then
the columns come closer; then those go that say least. Names and states are always there.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

LEAST_ERROR: Final = 24
"""Columns in which the beginning of an error says something."""
FULL_BUS_PERCENT: Final = 80.0
WIDE_GAP: Final = 2
NARROW_GAP: Final = 1

Cell = tuple[str, str]
"""A text and its style."""
_LINK_HEADINGS: Final = ("link", "state", "load", "opened", "CRC errors", "stray bytes", "gaps")
_DEVICE_HEADINGS: Final = ("device", "link", "state", "p50/p99 ms", "polls", "missed", "silent", "refused", "broken")
_LEFT: Final = frozenset({"link", "device", "state", "last error"})
_COUNTS_OF_FAILURES: Final = ("stray bytes", "CRC errors", "gaps", "broken", "refused", "missed", "silent")
"""Said of nothing while all of them are 0; in the order in which they can be missed."""
_LESS: Final = ("p50/p99 ms", "opened", "polls", "load")
"""What may go next: how well it does, when the question is whether it does."""


class _Row(NamedTuple):
    cells: Sequence[Cell]
    error: str


def links_view(links: Mapping[str, Any], *, full: bool = False) -> RenderableType:
    """How links and devices do. ``full``: errors in full, each on lines of its own below."""
    worst = sorted(links.items(), key=_worst_link)
    on_links = [_Row(_link_cells(tag, link), link["last_error"]) for tag, link in worst]
    every = [(tag, name, status) for name, link in links.items() for tag, status in link["devices"].items()]
    every.sort(key=_worst_device)
    on_devices = [_Row(_device_cells(*row), _error_of(row[2], links[row[1]])) for row in every]
    return _LinksView(on_links, on_devices, full)


@dataclass(frozen=True, slots=True)
class _LinksView:
    """Both tables, laid out when it is known how wide the terminal is."""

    links: Sequence[_Row]
    devices: Sequence[_Row]
    full: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        below: list[str] = []
        for headings, rows in ((_LINK_HEADINGS, self.links), (_DEVICE_HEADINGS, self.devices)):
            table, beside = _table(headings, rows, options.max_width, full=self.full)
            yield table
            if not beside:
                below += [f"{row.cells[0][0]}: {row.error}" for row in rows if row.error]
        for line in below:
            # All of it wraps; of a station on one screen each error has a line.
            yield Text(line, "yellow", no_wrap=not self.full, overflow="fold" if self.full else "ellipsis")


def _table(headings: Sequence[str], rows: Sequence[_Row], width: int, *, full: bool) -> tuple[Table, bool]:
    """The table of these rows within a width, and whether it holds their errors."""
    widths = {
        heading: max(cell_len(heading), *(cell_len(row.cells[i][0]) for row in rows)) if rows else cell_len(heading)
        for i, heading in enumerate(headings)
    }
    errors = [row.error for row in rows if row.error]
    room = width - _taken(widths.values(), WIDE_GAP) - WIDE_GAP
    beside = bool(errors) and not full and room >= min(LEAST_ERROR, max(map(cell_len, errors), default=0))
    gap = WIDE_GAP if _taken(widths.values(), WIDE_GAP) <= width else NARROW_GAP
    idle = [name for name in _COUNTS_OF_FAILURES if name in widths and _all_zero(rows, headings.index(name))]
    for name in (*idle, *(name for name in _LESS if name in widths)):
        if _taken(widths.values(), gap) <= width:
            break
        del widths[name]
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
    for heading in (*widths, *(["last error"] if beside else [])):
        # A name too long for the terminal goes on below; a figure never does.
        whole = heading not in ("link", "device")
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=whole, overflow="fold")
    for row in rows:
        shown = [Text(*cell) for heading, cell in zip(headings, row.cells, strict=True) if heading in widths]
        table.add_row(*shown, *([_cut(row.error, room)] if beside else []))
    return table, beside or not errors


def _taken(widths: Collection[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _all_zero(rows: Sequence[_Row], column: int) -> bool:
    return all(row.cells[column][0] == "0" for row in rows)


def _cut(error: str, room: int) -> Text:
    text = Text(error)
    text.truncate(room, overflow="ellipsis")
    return text


def _link_cells(tag: str, link: Mapping[str, Any]) -> list[Cell]:
    load = link.get("bus_load")
    return [
        (tag, ""),
        ("up", "green") if link["connected"] else ("DOWN", "bold red"),
        ("" if load is None else f"{load:.0f} %", "yellow" if load is not None and load >= FULL_BUS_PERCENT else ""),
        (f"{link['connects']} x", "" if link["connects"] <= 1 else "yellow"),
        _count(link["crc_errors"]),
        _count(link["stray_bytes"]),
        _count(link["gaps"]),
    ]


def _device_cells(tag: str, link: str, status: Mapping[str, Any]) -> list[Cell]:
    half, most = status.get("round_trip_p50_s"), status.get("round_trip_p99_s")
    return [
        (tag, ""),
        (link, ""),
        _state(status),
        ("" if half is None or most is None else f"{half * 1000:.3g}/{most * 1000:.3g}", ""),
        (str(status["polls"]), ""),
        _count(status.get("missed", 0)),
        _count(status["timeouts"]),
        _count(status["exceptions"]),
        _count(status["malformed"]),
    ]


def _state(status: Mapping[str, Any]) -> Cell:
    if not status["online"]:
        return "OFFLINE", "bold red"
    return ("no effect", "yellow") if status.get("unconfirmed") else ("online", "green")


def _error_of(status: Mapping[str, Any], link: Mapping[str, Any]) -> str:
    """What is wrong with a device: a command without effect, what it said last, or that its link is down."""
    unconfirmed = [f"{field}: {what}" for field, what in (status.get("unconfirmed") or {}).items()]
    said = status["last_error"] or ("" if status["online"] else link["last_error"])
    return "; ".join([*unconfirmed, *([said] if said else [])])


def _worst_link(item: tuple[str, Mapping[str, Any]]) -> tuple[bool, int, float]:
    _, link = item
    return link["connected"], -link["crc_errors"] - link["gaps"], -(link.get("bus_load") or 0.0)


def _worst_device(row: tuple[str, str, Mapping[str, Any]]) -> tuple[bool, bool, float]:
    status = row[2]
    failed = status["timeouts"] + status["exceptions"] + status["malformed"] + status.get("missed", 0)
    return status["online"], not status.get("unconfirmed"), -failed / max(status["polls"], 1)


def _count(number: int) -> Cell:
    return str(number), "" if not number else "yellow"
