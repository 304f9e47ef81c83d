"""``penstock equipment`` and ``pump``: what valves and pumps do and have done, and a pump's service."""

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say
from edge.cli.screen import console

SECTIONS = ("valves", "pumps", "pump_groups", "analog_outputs")


class Act(StrEnum):
    """What a person may do about a pump."""

    OUT_OF_SERVICE = "out-of-service"
    IN_SERVICE = "in-service"
    ROTATE = "rotate"


def equipment(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Valves and pumps: what they do, their strokes and travel times, starts and hours, and what is wrong."""
    answer = ask(state, {"op": "status"})
    found = {section: answer[section] for section in SECTIONS}
    print_json({"ok": True, **found}) if as_json else console.print(equipment_view(found))


def pump(
    name: Annotated[str, typer.Argument(help="a pump, such as P-101; for rotate a group of pumps")],
    act: Annotated[Act, typer.Argument(help="out-of-service, in-service or rotate")],
    reason: Annotated[str, typer.Option("--reason", help="why it is taken out; it is recorded")] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Take a pump out of service or put it back; hand the run of a group over to its next pump."""
    if act is Act.OUT_OF_SERVICE and not reason.strip():
        raise typer.BadParameter("--reason says why it is taken out of service")
    op = "rotate" if act is Act.ROTATE else f"pump-{act}"
    answer = ask(state, {"op": op, "target": name, "reason": reason})
    done = {
        Act.OUT_OF_SERVICE: f"{name} is out of service; 'penstock pump {name} in-service' puts it back",
        Act.IN_SERVICE: f"{name} is in service again",
        Act.ROTATE: f"{name} hands over to its next pump",
    }
    print_json(answer) if as_json else say(done[act])


def equipment_view(found: dict[str, Any]) -> Group:
    """The equipment as tables."""
    valves = Table("valve", "is", "strokes", "opens in", "closes in", "", box=None, header_style="bold")
    for tag, one in found["valves"].items():
        wrong = _wrong(one["fault"], *one["warnings"])
        travel = one["travel_s"]
        opens, closes = (_travel(one[field], travel) for field in ("opening_s", "closing_s"))
        valves.add_row(tag, one["stage"], str(one["strokes"]), opens, closes, wrong)
    pumps = Table("pump", "is", "group", "starts", "hours", "", box=None, header_style="bold")
    for tag, one in found["pumps"].items():
        wrong = _wrong(one["fault"]) if one["fault"] else Text(one["waits"] or "", "yellow")
        pumps.add_row(tag, one["stage"], one["group"] or "", str(one["starts"]), f"{one['run_hours']:.1f}", wrong)
    groups = Table("group", "runs", "needed", "", box=None, header_style="bold")
    for tag, one in found["pump_groups"].items():
        running = ", ".join(one["running"]) or "none"
        groups.add_row(tag, running, f"{one['needed']} of {one['duty']}", _wrong(one["unavailable"]))
    outputs = Table("analog output", "is given", "", box=None, header_style="bold")
    for tag, one in found["analog_outputs"].items():
        outputs.add_row(tag, f"{one['output']:.1f} %", _wrong(one["fault"]))
    shown = ((found[name], table) for name, table in zip(SECTIONS, (valves, pumps, groups, outputs), strict=True))
    return Group(*(table for there_are, table in shown if there_are))


def _wrong(*texts: str | None) -> Text:
    return Text("; ".join(text for text in texts if text), "red")


def _travel(taken: float | None, nominal: float) -> str:
    return f"{taken:.1f} of {nominal:g} s" if taken is not None else ""
