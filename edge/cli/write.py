"""``penstock write``: sets a signal of a device by hand. Confirmed, checked, read back and recorded."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from edge.cli import exit_codes
from edge.cli.options import Json, Profile, Unit, begins_with_digit, check_words
from edge.cli.printed import print_json, remark, say
from edge.cli.target import Target, takes_target

Yes = Annotated[bool, typer.Option("--yes", help="do not ask for confirmation")]


@takes_target
def write(
    target: Target,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME.SIGNAL VALUE | NAME TABLE ADDRESS VALUES",
            help="AIT-101.wipe_interval '30 min'; XV-9.open on; AIT-101 holding 0x3200 30",
            show_default=False,
        ),
    ],
    unit: Unit = None,
    profile: Profile = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Write a value, read it back, and record who wrote what. Nothing that the device's profile does not list.

    While a controller runs, what moves its valves and pumps is refused. A raw place (coil or holding, the address as on
    the wire) must be listed in the profile's writing.allow or be a writable signal.
    """
    from edge.cli.by_hand import modbus_profile

    known = modbus_profile(profile) if profile is not None else None
    name, request = _request(words, by_hand=target.by_hand)
    if target.by_hand and known is None:
        raise typer.BadParameter("--profile says what of it may be written: without one nothing is")
    answer = commanded(target, name, unit, known, request, yes=yes)
    finish(answer, as_json=as_json)


def _request(words: list[str], *, by_hand: bool) -> tuple[str | None, dict[str, Any]]:
    """The device that the words name, and the request without it."""
    from edge.cli.read import parse

    check_words(words)
    first, *rest = words
    if first.lower() not in ("holding", "coil", "hr", "coils") and not begins_with_digit(first):
        name, _, field = first.partition(".")
        if by_hand and not field:
            name, field = "", name
        if field:
            if not rest:
                raise typer.BadParameter(f"{first}: which value? '30 min', on, off")
            return name or None, {"op": "write", "field": field, "value": " ".join(rest)}
        words = rest
    else:
        name = ""
    numbered = bool(words) and begins_with_digit(words[0])
    if len(words) < (2 if numbered else 3):
        raise typer.BadParameter("NAME.SIGNAL VALUE, or NAME TABLE ADDRESS VALUES")
    from drivers.modbus.raw import number

    split = 1 if numbered else 2
    place = parse(words[:split])
    values = [_raw(word, number) for word in words[split:]]
    return name or None, {"op": "write-raw", "table": place.table, "address": place.address, "values": values}


def _raw(word: str, number: Callable[[str], int]) -> int:
    switched = {"on": 1, "off": 0}.get(word.lower())
    return number(word) if switched is None else switched


def commanded(
    target: Target, name: str | None, unit: int | None, profile: Any, request: dict[str, Any], *, yes: bool
) -> dict[str, Any]:
    """Asks what it would be, has it confirmed, and does it. Raises ``CommandRefused`` when it is not confirmed.

    Nothing is held while the person thinks: neither the port nor the controller's place.
    """
    planned = asyncio.run(_asked(target, name, unit, profile, request, dry=True))
    confirm(planned, yes=yes)
    return asyncio.run(_asked(target, name, unit, profile, request, dry=False))


async def _asked(
    target: Target, name: str | None, unit: int | None, profile: Any, request: dict[str, Any], *, dry: bool
) -> dict[str, Any]:
    from edge.cli.session import session

    async with session(target, name, unit, profile, writes=True) as open_:
        if open_.device is None:
            raise typer.BadParameter(f"{name} is a link: name the device, whose profile says what may be written")
        arguments = {key: value for key, value in request.items() if key not in ("op", "field")}
        if request["op"] == "write":
            arguments["signal"] = f"{open_.device}.{request['field']}"
        else:
            arguments["device"] = open_.device
        return await open_.request(request["op"], **arguments, dry=dry)


def confirm(planned: dict[str, Any], *, yes: bool) -> None:
    """Shows what is about to be done and asks. Raises ``CommandRefused`` for anything but yes."""
    from config.errors import CommandRefused

    lines = [
        f"{planned['device']}, unit {planned['unit']} at {planned['at']}",
        f"  {planned['signal'] or planned['register']}" + (f" ({planned['register']})" if planned["signal"] else ""),
        *([f"  {planned['description']}"] if planned.get("description") else []),
    ]
    if planned["old"] is not None or not planned["register"].startswith("action"):
        lines.append(f"  {_shown(planned['old'], planned)} -> {_shown(planned['new'], planned)}")
    if planned.get("warning"):
        lines.append(f"  WARNING: {planned['warning']}")
    if yes:
        if planned.get("warning"):
            remark(f"WARNING: {planned['warning']}")
        return
    if not sys.stdin.isatty():
        raise CommandRefused("nothing was sent: there is no terminal to ask for confirmation; say --yes if it is meant")
    remark("\n".join(lines))
    print("write it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes", "j", "是"):
        raise CommandRefused("nothing was sent")


def finish(answer: dict[str, Any], *, as_json: bool) -> None:
    """Prints how it ended, and exits so."""
    if as_json:
        print_json(answer)
    else:
        what = answer["signal"] or f"{answer['device']} {answer['register']}"
        if answer["outcome"] == "done":
            read = f", read back {_shown(answer['readback'], answer)}" if answer["readback"] is not None else ""
            detail = f" ({answer['detail']})" if answer["detail"] else ""
            say(f"{what}: {_shown(answer['old'], answer)} -> {_shown(answer['new'], answer)}{read}{detail}; recorded")
        else:
            remark(f"{what}: not done: {answer['detail']}; recorded")
    sys.exit(exit_codes.DONE if answer["outcome"] == "done" else exit_codes.WRONG)


def _shown(value: Any, answer: dict[str, Any]) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(str, value))
    number = f"{value:.10g}" if isinstance(value, float) else str(value)
    symbol = answer["unit_symbol"]
    return f"{number} {symbol}" if symbol and symbol != "1" else number
