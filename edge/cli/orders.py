"""``penstock orders``, ``start`` and ``pre-act-reset``: the fills in hand, and what a person at the arm may do."""

from typing import Annotated, Any

import typer

from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say

Dispenser = Annotated[str, typer.Argument(help="a batch dispenser, such as FILL-1")]


def orders(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """The orders in hand: phase, progress, and what each waits for."""
    answer = ask(state, {"op": "orders"})
    if as_json:
        print_json(answer)
        return
    for one in answer["orders"]:
        say(_line(one))
        for text in one["because"]:
            say(f"  {text}")
    if not answer["orders"]:
        say("no order in hand")


def start(dispenser: Dispenser, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Let an armed fill begin, in place of the button at the arm. Only for a person on site."""
    answer = ask(state, {"op": "start", "dispenser": dispenser})
    print_json(answer) if as_json else say(f"{dispenser}: start given")


def pre_act_reset(
    dispenser: Dispenser,
    reason: Annotated[str, typer.Option("--reason", help="why, such as 'valve replaced'; it is recorded")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Forget the overruns that the pre-act was learned from: after a new valve."""
    answer = ask(state, {"op": "pre-act-reset", "dispenser": dispenser, "reason": reason})
    print_json(answer) if as_json else say(f"{dispenser}: the pre-act is learned anew")


def _line(one: dict[str, Any]) -> str:
    order = one["order"]
    who = " ".join(text for text in (order["vehicle"], order["user"]) if text)
    shown = f"{one['delivered_m3']:.3f} of {order['volume_m3']:g} m3"
    flow = f", {one['flow_m3h']:.1f} m3/h" if one["flow_m3h"] is not None else ""
    phase = one["phase"].replace("-", " ")
    return f"{one['dispenser']}  {order['id']}{f' ({who})' if who else ''}: {phase}, {shown}{flow}"
