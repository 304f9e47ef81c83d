"""``penstock allocation``: how the water is divided between the off-takes, and why."""

from typing import Any

from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say


def allocation(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """How much water is available, who gets how much of it, and why not more."""
    answer = ask(state, {"op": "allocation"})
    print_json(answer) if as_json else _show(answer)


def _show(answer: dict[str, Any]) -> None:
    from rich.table import Table

    from edge.cli.screen import console

    if not answer["off_takes"]:
        say("this site divides no water, or has not scanned yet")
        return
    available = "not known" if answer["available_m3h"] is None else _flow(answer["available_m3h"])
    say(f"available {available}: {'; because '.join(answer['shortage'] or [_plenty(answer)])}")
    say(f"divided {_flow(answer['divided_m3h'])}, granted {_flow(answer['granted_m3h'])}")
    table = Table(box=None, padding=(0, 1))
    for heading in ("off-take", "priority", "minimum", "wants", "gets", "", "because"):
        table.add_column(heading)
    for one in answer["off_takes"]:
        begins = "" if one["may_begin"] is None else "may begin" if one["may_begin"] else "may not begin"
        table.add_row(
            one["off_take"],
            str(one["priority"]),
            _flow(one["minimum_m3h"]),
            _flow(one["wants_m3h"]),
            _flow(one["gets_m3h"]),
            begins or one["standing"],
            "; because ".join(one["why"] or []),
        )
    console.print(table)


def _plenty(answer: dict[str, Any]) -> str:
    made = f"production {_flow(answer['production_m3h'])}"
    if answer["level"] is None:
        return made
    return f"{made} and all of {_flow(answer['from_storage_m3h'])} from storage"


def _flow(value: float | None) -> str:
    return "any" if value is None else f"{value:.4g} m3/h"
