"""``penstock compliance``: the means of hour and day against the standards. It never stops anything."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json
from edge.cli.screen import console

_STYLE = {"met": "green", "not-met": "bold red", "not-enough-data": "yellow"}


def compliance(
    dispenser: Annotated[str, typer.Argument(help="one dispenser; all if not given")] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Hourly and daily means against the standards (达标判定): running, and the last that are over."""
    answer = ask(state, {"op": "compliance"})
    if dispenser:
        found = [one for one in answer["parameters"] if one["name"].partition(".")[0] == dispenser]
        if not found:
            raise typer.BadParameter(f"'{dispenser}' has nothing that is evaluated")
        answer["parameters"] = found
    if as_json:
        print_json(answer)
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("parameter", "limit", "running", "last hour", "last day", "clause", ""):
        table.add_column(heading)
    for one in answer["parameters"]:
        running = one["running"]
        table.add_row(
            one["name"],
            _limit(one),
            _figure(running["mean"], one["unit"], f" ({running['valid']})") if running is not None else "-",
            _past(one["last_hour"]),
            _past(one["last_day"]),
            f"{one['clause']}, {one['averaging']}",
            Text(one["limit_status"], "" if one["limit_status"] == "verified" else "yellow"),
        )
    console.print(table)
    console.print(f"days of {answer['timezone']}; the rule by which a mean counts is {answer['rule_status']}")


def _limit(one: dict[str, Any]) -> str:
    sides = [f"{one[key]:g}" for key in ("low", "high") if one[key] is not None]
    return f"{'..'.join(sides)} {one['unit']}"


def _figure(value: float | None, unit: str, beside: str) -> str:
    return f"{value:.4g} {unit}{beside}" if value is not None else f"-{beside}"


def _past(one: dict[str, Any] | None) -> Text:
    if one is None:
        return Text("-")
    told = f"{one['verdict'].replace('-', ' ')} ({one['valid']} of {one['of']})"
    if one["mean"] is not None:
        told = f"{one['mean']:.4g} {told}"
    return Text(told, _STYLE[one["verdict"]])
