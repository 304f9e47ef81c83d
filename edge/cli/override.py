"""``penstock force`` and ``bypass``: what a person sets by hand for a time, and what they take out."""

from typing import Annotated, Any

import typer
from rich.table import Table

from edge.cli.ask import ask, quantity
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say
from edge.cli.screen import console

Target = Annotated[str, typer.Argument(help="a valve, a pump, an output or a signal, such as XV-101")]
Function = Annotated[str, typer.Argument(help="a guard, such as FILL-1.turbidity, or an interlock")]
For = Annotated[str, typer.Option("--for", help="for how long, with its unit: '10 min'", show_default=False)]
Why = Annotated[str, typer.Option("--reason", help="why, in words; it is recorded", show_default=False)]


def force(
    target: Target,
    value: Annotated[str, typer.Argument(help="open, closed, on, off, or a number with its unit: '40 %'")],
    duration: For,
    reason: Why,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Force an output or a signal for a time. Nothing outranks what protects."""
    request = {"op": "force", "target": target, "value": value, "duration_s": quantity(duration, "time")}
    answer = ask(state, request | {"reason": reason})
    print_json(answer) if as_json else say(
        f"{target} is forced to {value} for {duration}; 'penstock release {target}' ends it"
    )


def release(target: Target, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """End an override before its time."""
    answer = ask(state, {"op": "release", "target": target})
    print_json(answer) if as_json else say(f"{target} is no longer forced")


def bypass(function: Function, duration: For, reason: Why, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Take a protective function out for a time, where the site file allows it."""
    request = {"op": "bypass", "target": function, "duration_s": quantity(duration, "time"), "reason": reason}
    answer = ask(state, request)
    done = f"{function} no longer protects for {duration}; 'penstock end-bypass {function}' puts it back"
    print_json(answer) if as_json else say(done)


def end_bypass(function: Function, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Put a bypassed function back before its time."""
    answer = ask(state, {"op": "end-bypass", "target": function})
    print_json(answer) if as_json else say(f"{function} protects again")


def overrides(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """What is forced or bypassed now: by whom, why, and for how much longer."""
    answer = ask(state, {"op": "overrides"})
    if as_json:
        print_json(answer)
    elif not answer["overrides"]:
        say("nothing is forced or bypassed")
    else:
        console.print(overrides_table(answer["overrides"]))


def overrides_table(standing: list[dict[str, Any]]) -> Table:
    """The overrides and bypasses that stand, as a table."""
    table = Table("target", "is", "by", "left", "because", box=None, header_style="bold")
    for one in standing:
        value = "bypassed" if one["kind"] == "bypass" else f"forced to {_shown(one['value'])}"
        table.add_row(one["target"], value, one["by"], _left(one["left_s"]), one["reason"])
    return table


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
