"""``penstock meter-replaced``: another meter in the place of the old one, said by the person who put it there."""

from typing import Annotated

import typer

from edge.cli.ask import ask, quantity
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say


def meter_replaced(
    dispenser: Annotated[str, typer.Argument(help="the dispenser whose meter it is")],
    reads: Annotated[str, typer.Option(help="what the new meter reads: '12.3 m3'", show_default=False)],
    reason: Annotated[str, typer.Option(help="why, in words; it is recorded", show_default=False)],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Carry the count over to a new meter; the difference is booked as no water.

    Say it while the old meter is off and the new one not yet connected. Refused while an order is open, water flows or
    the valve is not closed, and when the new meter sends something else than it is said to read.
    """
    reads_m3 = quantity(reads, "volume")
    request = {"op": "meter-replaced", "dispenser": dispenser, "reads_m3": reads_m3, "reason": reason}
    answer = ask(state, request)
    print_json(answer) if as_json else say(f"{dispenser}: counting goes on from {reads} of the new meter")
