"""``penstock action``: carries out an action of a device's profile, such as to wipe; or lists them."""

import asyncio
import sys
from typing import Annotated, Any

import typer

from edge.cli import exit_codes
from edge.cli.options import Json, Profile, Unit, check_words
from edge.cli.printed import print_json, remark, say
from edge.cli.target import Target, takes_target
from edge.cli.write import Yes, commanded


@takes_target
def action(
    target: Target,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME] [ACTION]", help="AIT-101 wipe; without ACTION: lists them", show_default=False),
    ] = None,
    unit: Unit = None,
    profile: Profile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Do something that a device's profile lists: wipe, start, stop. Confirmed and recorded like a write."""
    from edge.cli.by_hand import modbus_profile

    known = modbus_profile(profile) if profile is not None else None
    if target.by_hand and known is None:
        raise typer.BadParameter("--profile says which actions it has")
    check_words(words or [])
    rest = list(words or [])
    name = rest.pop(0) if rest and not target.by_hand else None
    if len(rest) > 1:
        raise typer.BadParameter(f"'{' '.join(map(str, rest[1:]))}' is too much: NAME ACTION")
    if not rest:
        answer = asyncio.run(_listed(target, name, unit, known))
        print_json(answer) if as_json else _show(answer)
        return
    done = commanded(target, name, unit, known, {"op": "action", "action": rest[0]}, yes=yes)
    if as_json:
        print_json(done)
    elif done["outcome"] == "done":
        say(f"{done['device']}: {rest[0]} done; recorded")
    else:
        remark(f"{done['device']}: {rest[0]} not done: {done['detail']}; recorded")
    sys.exit(exit_codes.DONE if done["outcome"] == "done" else exit_codes.WRONG)


async def _listed(target: Target, name: str | None, unit: int | None, profile: Any) -> dict[str, Any]:
    from edge.cli.session import session

    async with session(target, name, unit, profile) as open_:
        if open_.device is None:
            raise typer.BadParameter(f"{name} is a link: name a device")
        return await open_.request("actions", device=open_.device)


def _show(answer: dict[str, Any]) -> None:
    from rich.table import Table

    from edge.cli.screen import console

    if not answer["actions"]:
        console.print(f"the profile of {answer['device']} lists no action")
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("action", "request", "reply begins", "says"):
        table.add_column(heading)
    for name, one in answer["actions"].items():
        table.add_row(name, one["request"], one["reply"], one["description"])
    console.print(table, soft_wrap=True)
