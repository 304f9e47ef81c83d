"""``penstock permit``: a person on site says whether the water that comes from the plant is fit."""

from typing import Annotated, Literal

import typer

from edge.cli.ask import ask, quantity
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say


def permit(
    dispenser: Annotated[str, typer.Argument(help="the dispenser with a permit guard")],
    verdict: Annotated[Literal["fit", "unfit"], typer.Argument(help="what is known of the plant's water")],
    reason: Annotated[str, typer.Option(help="who says so, and why")],
    guard: Annotated[str, typer.Option(help="the permit guard's name in the site file")] = "permit",
    ttl: Annotated[str, typer.Option(help="for how long it holds: '2 h'; as the site file says if not given")] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Give a quality permit by hand, or withdraw it. "fit" needs sources: [local] in the site file; it ends no trip."""
    request = {
        "op": "permit",
        "dispenser": dispenser,
        "guard": guard,
        "fit": verdict == "fit",
        "reason": reason,
        "ttl_s": quantity(ttl, "time") if ttl else 0.0,
    }
    answer = ask(state, request)
    print_json(answer) if as_json else say(f"{dispenser}.{guard}: {verdict}")
