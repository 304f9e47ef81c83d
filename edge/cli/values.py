"""The values of a station's signals by device, as a live view shows them."""

from typing import Any, Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from edge.cli.read import shown_value

MOST_SHOWN: Final = 100
"""Signals on one screen; of a larger station those of the first devices, and how many are left out."""
_STYLES: Final = {"good": "", "uncertain": "yellow", "bad": "bold red"}


def values_view(image: dict[str, Any]) -> RenderableType:
    """Every signal of every device with its value, or why it has none; what has nothing to be read is left out."""
    cells: dict[str, list[Text]] = {}
    left = MOST_SHOWN
    for name, signal in image["signals"].items():
        device, _, field = name.partition(".")
        if (
            (device not in image["devices"] and signal["link"])
            or field.startswith("comm_")
            or signal["reason"] == "write-only"
        ):
            continue
        left -= 1
        if left >= 0:
            cells.setdefault(device, []).append(_cell(field, signal))
    rows: list[RenderableType] = []
    for device, signals in cells.items():
        rows += [Text(device, "bold"), Columns(signals, padding=(0, 2))]
    if left < 0:
        rows.append(Text(f"and {-left} signals more: penstock read DEVICE", "yellow"))
    return Group(*rows)


def _cell(field: str, signal: dict[str, Any]) -> Text:
    style = _STYLES[signal["quality"]]
    marked = "" if signal["reason"] == "ok" else f" {signal['reason'].replace('-', ' ')}"
    value = shown_value(signal) if signal["value"] is not None else signal["quality"]
    return Text.assemble(f"  {field} ", (f"{value}{marked}", style or "bold"))
