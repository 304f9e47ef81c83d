"""``penstock quota``: what a dispenser may give in a day and a year, and another limit by a person with a reason."""

from typing import Annotated, Any

import typer

from edge.cli.ask import ask, quantity
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, remark, say

Limit = Annotated[str, typer.Option(help="a volume such as '2500 m3', or 'site' for that of the site file")]


def quota(
    dispenser: Annotated[str, typer.Argument(help="a dispenser with a quota, such as INDUSTRY")],
    daily: Limit = "",
    yearly: Limit = "",
    reason: Annotated[str, typer.Option("--reason", help="why the limit is another; it is recorded")] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Show how much of its quota a dispenser has used; or set another limit."""
    for span, limit in (("daily", daily), ("yearly", yearly)):
        if limit:
            volume = -1.0 if limit == "site" else quantity(limit, "volume")
            if limit != "site" and volume < 0:
                raise typer.BadParameter(f"'{limit}': a quota is nil or more")
            ask(state, {"op": "quota", "dispenser": dispenser, "span": span, "volume_m3": volume, "reason": reason})
    status: dict[str, Any] = ask(state, {"op": "status"})
    found = status["dispensers"].get(dispenser)
    if found is None or found["quota"] is None:
        known = [tag for tag, one in status["dispensers"].items() if one["quota"] is not None]
        remark(f"'{dispenser}' has no quota; {', '.join(known) or 'no dispenser'} has")
        raise typer.Exit(1)
    if as_json:
        print_json({"ok": True, "dispenser": dispenser, "quota": found["quota"]})
        return
    for span, one in found["quota"].items():
        most = f"of {one['limit_m3']:g} m3" if one["limit_m3"] is not None else "without a limit"
        say(f"{dispenser} {span}: {one['used_m3']:.3f} m3 {most}")
