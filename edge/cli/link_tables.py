"""Links and devices as tables, the worst first: what a technician looks at when something does not answer."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH: Final = 100
"""Columns that the tables fit into; an error that does not is cut (``penstock status --links`` has it in full)."""
LEAST_ERROR: Final = 12
FULL_BUS_PERCENT: Final = 80.0

Cell = tuple[str, str]
"""A text and its style."""
_LINK_HEADINGS: Final = ("link", "state", "load", "opened", "CRC errors", "stray bytes", "gaps")
_DEVICE_HEADINGS: Final = ("device", "link", "state", "p50/p99 ms", "polls", "missed", "silent", "refused", "broken")
_LEFT: Final = frozenset({"link", "device", "state", "last error"})


def links_view(links: Mapping[str, Any], *, full: bool = False) -> RenderableType:
    """How links and devices do. ``full``: errors in full, each on lines of its own below."""
    on_links = [(_link_cells(tag, link), link["last_error"]) for tag, link in sorted(links.items(), key=_worst_link)]
    every = [(tag, name, status) for name, link in links.items() for tag, status in link["devices"].items()]
    every.sort(key=_worst_device)
    on_devices = [(_device_cells(*row), _error_of(row[2], links[row[1]])) for row in every]
    tables = [_table(_LINK_HEADINGS, on_links, full=full), _table(_DEVICE_HEADINGS, on_devices, full=full)]
    told = [f"{cells[0][0]}: {error}" for cells, error in (*on_links, *on_devices) if error]
    return Group(*tables, *([Text("\n".join(told), "yellow")] if full and told else []))


def _table(headings: Sequence[str], rows: Sequence[tuple[Sequence[Cell], str]], *, full: bool) -> Table:
    table = Table(box=None, padding=(0, 1))
    errors = not full and any(error for _, error in rows)
    for heading in (*headings, *(["last error"] if errors else [])):
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=True)
    widths = [
        max(len(heading), *(len(cells[i][0]) for cells, _ in rows)) if rows else len(heading)
        for i, heading in enumerate(headings)
    ]
    room = max(WIDTH - sum(width + 2 for width in widths) - 2, LEAST_ERROR)
    for cells, error in rows:
        cut = error if len(error) <= room else error[: room - 1] + "…"
        table.add_row(*(Text(text, style) for text, style in cells), *([Text(cut)] if errors else []))
    return table


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
