"""``penstock matrix``: causes and effects on one sheet, from a site file, or from the controller with what acts now."""

import csv
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, printable, say
from edge.cli.screen import console

LEAST_CAUSE: Final = 40
"""Columns of a screen that are left for the causes; the effects that do not fit beside them go to a further table."""
_STYLE: Final = {"T": "bold red", "S": "yellow", "P": "cyan", "A": ""}

Site = Annotated[Path | None, typer.Argument(help="the site file; without it the running controller is asked")]


def matrix(
    site: Site = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="comma-separated values, for a spreadsheet")] = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """The cause-and-effect matrix: what stops, trips and holds back what. Asked of a controller, also what acts now."""
    answer = _of_file(site) if site is not None else ask(state, {"op": "matrix"})
    if as_json:
        print_json(answer)
    elif as_csv:
        _write_csv(answer)
    else:
        _show(answer)


def _of_file(site: Path) -> dict[str, Any]:
    from config.load import load_site
    from control.compiler import compile_site
    from control.matrix import cause_and_effect, to_json

    return {"ok": True, **to_json(cause_and_effect(compile_site(load_site(site))))}


def _write_csv(answer: dict[str, Any]) -> None:
    active = ["active"] if any("active" in row for row in answer["rows"]) else []
    sheet = csv.writer(sys.stdout, lineterminator="\n")
    sheet.writerow(["subject", "cause", "delay_s", *active, *answer["columns"]])
    for row in answer["rows"]:
        delay = "" if row["delay_s"] is None else f"{row['delay_s']:g}"
        acts = [str(row["active"]).lower()] if active else []
        cells = [row["effects"].get(tag, "") for tag in answer["columns"]]
        sheet.writerow([printable(row["subject"]), printable(row["cause"]), delay, *acts, *cells])


def _show(answer: dict[str, Any]) -> None:
    subjects = [len(row["subject"]) for row in answer["rows"]]
    room = console.width - max([len("subject"), *subjects]) - len("after") - LEAST_CAUSE - 6
    at_once = max(room // 2, 1)
    columns = answer["columns"]
    for first in range(0, max(len(columns), 1), at_once):
        _show_columns(answer, columns[first : first + at_once])
    say("; ".join(f"{letter} {meaning}" for letter, meaning in answer["effects"].items()))
    if any("active" in row for row in answer["rows"]):
        say("* stands now")


def _show_columns(answer: dict[str, Any], columns: list[str]) -> None:
    running = any("active" in row for row in answer["rows"])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    tallest = max(map(len, columns), default=1)
    for heading, kept in (*([("", True)] if running else []), ("subject", True), ("cause", False), ("after", True)):
        table.add_column("\n" * (tallest - 1) + heading, no_wrap=kept, overflow="fold")
    for tag in columns:
        # Written downwards, so that a sheet of many columns fits.
        table.add_column("\n".join(tag.rjust(tallest)), no_wrap=True, min_width=1)
    for row in answer["rows"]:
        effects = [row["effects"].get(tag, "") for tag in columns]
        if not any(effects):
            continue
        active = row.get("active", False)
        delay = "" if row["delay_s"] is None else f"{row['delay_s']:g} s"
        told = [Text("*" if active else "")] if running else []
        told += [Text(printable(row["subject"])), Text(printable(row["cause"])), Text(delay)]
        cells = [Text(effect or "·", _STYLE.get(effect, "dim")) for effect in effects]
        table.add_row(*told, *cells, style="reverse" if active else "")
    console.print(table)
