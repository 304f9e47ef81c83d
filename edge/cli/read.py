"""``penstock read``: what stands in the registers now, of a device of the site or of whatever answers."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from edge.cli import exit_codes
from edge.cli.options import Json, Profile, Unit, begins_with_digit, check_words
from edge.cli.printed import print_json, remark
from edge.cli.silence import silence
from edge.cli.target import Target, takes_target

BESIDE: Final = (-1, 0, 1)
"""Vendors' tables are off by one, one way or the other."""


@takes_target
def read(
    target: Target,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME] [TABLE ADDRESS [COUNT]]",
            help="AIT-101, AIT-101.turbidity, or a place: holding 0x2600 5; 40001 10; coil 16 8",
            show_default=False,
        ),
    ] = None,
    unit: Unit = None,
    profile: Profile = None,
    around: Annotated[
        bool, typer.Option("--around", help="read the addresses before and behind too, each by itself")
    ] = False,
    find: Annotated[bool, typer.Option("--find", help="which registers answer: tries the usual places")] = False,
    as_json: Json = False,
) -> None:
    """Read signals or registers now, from the bus itself. Nothing is written.

    By name: every signal of a device once, or one of them. By place: TABLE is holding, input, coil or discrete, ADDRESS
    as on the wire (from 0; 0x2600 and 2600h are hexadecimal), COUNT registers or bits. A 5 or 6 digit number alone is a
    vendor's: 40001 or 400001 is holding register 0 on the wire, 30001 input 0, 10001 discrete 0, 00001 coil 0.
    """
    wanted = parse(words or [])
    if find:
        from edge.cli.find import find_registers

        found = find_registers(target, wanted.name, unit, wanted.table)
        print_json(found) if as_json else _show_found(found, target.spelt(wanted.name, unit))
        if found["interrupted"]:
            sys.exit(130)
        sys.exit(exit_codes.DONE if found["blocks"] else exit_codes.WRONG)
    if wanted.table is not None:
        places = BESIDE if around else (0,)
        raw = asyncio.run(_read_places(target, wanted, unit, places))
        print_json(raw if around else raw[0]) if as_json else _show_places(raw, wanted)
        sys.exit(_code_of([answer for answer in raw if answer["offset"] == 0]))
    if around:
        raise typer.BadParameter("--around goes with a place: penstock read NAME holding 100 2 --around")
    answer = asyncio.run(_read_signals(target, wanted.name, wanted.fields, unit, profile))
    print_json(answer) if as_json else _show_signals(answer)
    sys.exit(_code_of_signals(answer["signals"]))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the words mean: a ``name`` of the site with ``fields`` of it, or a place (``table`` is not ``None``)."""

    name: str | None
    fields: tuple[str, ...]
    table: str | None
    address: int
    count: int
    said: str


TABLES: Final = {
    **dict.fromkeys(("holding", "hr"), "holding"),
    **dict.fromkeys(("input", "ir"), "input"),
    **dict.fromkeys(("coil", "coils"), "coil"),
    **dict.fromkeys(("discrete", "di"), "discrete"),
}


def parse(words: Sequence[str]) -> Wanted:
    """What the words of a read mean. Raises ``DeviceError`` or ``typer.BadParameter``."""
    from drivers.modbus.raw import number, place, reference

    name: str | None = None
    fields: tuple[str, ...] = ()
    check_words(words)
    left = list(words)
    if left and left[0].lower() not in TABLES and not begins_with_digit(left[0]):
        name, _, field = left.pop(0).partition(".")
        fields = (field,) if field else ()
    if not left:
        return Wanted(name, fields, None, 0, 0, "")
    if fields:
        raise typer.BadParameter(f"'{words[0]}' is a signal: a place ({' '.join(left)}) goes with a device or link")
    said = ""
    if left[0].lower() in TABLES:
        table = TABLES[left.pop(0).lower()]
        if not left:
            return Wanted(name, (), table, 0, 0, "no address")
        address = number(left.pop(0))
    else:
        text = left.pop(0)
        known = reference(text)
        if known is None:
            raise typer.BadParameter(
                f"'{text}' is no place: write 'holding 100', or a vendor's number of 5 or 6 digits such as 40101"
            )
        table, address = str(known[0]), known[1]
        said = f"{text} is a vendor's number, counted from 1: {table} {address} on the wire"
    count = number(left.pop(0)) if left else 1
    if left:
        raise typer.BadParameter(f"'{' '.join(left)}' is too much: TABLE ADDRESS COUNT")
    checked = place(known_table(table), address, count)
    return Wanted(name, (), table, checked.address, checked.count, said)


def known_table(name: str) -> Any:
    """The data table of a word."""
    from config.encoding import Table

    return Table(name)


async def _read_signals(
    target: Target, name: str | None, fields: Sequence[str], unit: int | None, profile: str | None
) -> dict[str, Any]:
    from edge.cli.by_hand import modbus_profile
    from edge.cli.session import session

    if target.by_hand and profile is None:
        raise typer.BadParameter(
            "which registers? A place ('holding 0 10'), --find, or the --profile of the instrument"
        )
    known = modbus_profile(profile) if profile is not None else None
    tag, wanted = (None, [*fields, name]) if target.by_hand and name is not None else (name, list(fields))
    async with session(target, tag, unit, known) as open_:
        if open_.device is None:
            raise typer.BadParameter(f"{name} is a link: say a place of the unit too, such as 'holding 0 10'")
        return await open_.request("read", device=open_.device, signals=wanted)


async def _read_places(target: Target, wanted: Wanted, unit: int | None, places: Sequence[int]) -> list[dict[str, Any]]:
    from config.errors import DeviceError
    from drivers.modbus.raw import place
    from edge.cli.session import session

    assert wanted.table is not None
    if not wanted.count:
        raise typer.BadParameter(f"which address? {wanted.table} ADDRESS COUNT")
    answers = []
    async with session(target, wanted.name, unit) as open_:
        for offset in places:
            try:
                one = place(known_table(wanted.table), wanted.address + offset, wanted.count)
            except DeviceError:
                if offset == 0:
                    raise
                continue
            answer = await open_.read_raw(str(one.table), one.address, one.count)
            answers.append({**answer, "offset": offset})
    return answers


def _code_of(answers: Sequence[dict[str, Any]]) -> int:
    outcomes = {answer["outcome"] for answer in answers}
    if outcomes == {"reply"}:
        return exit_codes.DONE
    return exit_codes.UNREACHABLE if outcomes & {"timeout", "lost"} else exit_codes.WRONG


def _code_of_signals(signals: Sequence[dict[str, Any]]) -> int:
    """Unreachable where nothing at all was answered; one bad reading among others is a bad reading."""
    read = [signal for signal in signals if signal["reason"] != "write-only"]
    if read and all(signal["reason"] == "no-communication" for signal in read):
        return exit_codes.UNREACHABLE
    return exit_codes.WRONG if any(signal["quality"] == "bad" for signal in read) else exit_codes.DONE


# -- for people ------------------------------------------------------------------------------------------------------


def _show_signals(answer: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from edge.cli.screen import console

    styles = {"good": "green", "uncertain": "yellow", "bad": "bold red"}
    console.print(
        Text(f"{answer['device']}: {answer['at']} unit {answer['unit']}, {answer['requests']} requests", "bold")
    )
    table = Table(box=None, padding=(0, 1))
    for heading in ("signal", "value", "quality", "bytes", "stands on"):
        table.add_column(heading)
    for signal in answer["signals"]:
        quality = signal["quality"] if signal["reason"] == "ok" else f"{signal['quality']}: {signal['reason']}"
        table.add_row(
            signal["name"].partition(".")[2],
            shown_value(signal),
            Text(quality, styles[signal["quality"]]),
            signal["raw"],
            signal["place"] + (f"  ({signal['error']})" if signal["error"] else ""),
        )
    console.print(table, soft_wrap=True)
    if answer["signals"] and all(signal["reason"] == "no-communication" for signal in answer["signals"]):
        console.print(silence(answer, answer["device"]), style="yellow", soft_wrap=True)


def shown_value(signal: dict[str, Any]) -> str:
    """A value with its unit, as a person would write it."""
    from datetime import datetime

    value = signal["value"]
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if signal["kind"] == "time":
        return datetime.fromtimestamp(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        value = f"{value:.{signal.get('digits', 10)}g}"
    return f"{value} {signal['unit']}".strip() if signal["unit"] != "1" else str(value)


def _show_places(answers: Sequence[dict[str, Any]], wanted: Wanted) -> None:
    from edge.cli.screen import console

    remark(wanted.said)
    if wanted.table is not None and not wanted.said and wanted.address >= 10_000:
        from drivers.modbus.raw import reference

        meant = reference(str(wanted.address))
        if meant is not None and str(meant[0]) == wanted.table:
            remark(
                f"{wanted.address} behind '{wanted.table}' is taken as it stands; if a vendor's table says "
                f"{wanted.address}, write that number alone: it is {meant[0]} {meant[1]} on the wire"
            )
    for answer in answers:
        offset = answer["offset"]
        beside = "" if offset == 0 else f"  (address {offset:+d})"
        head = f"unit {answer['unit']} at {answer['at']}: {answer['table']} {answer['address']}"
        count = f", {answer['count']}" if answer["count"] > 1 else ""
        took = f", {answer['round_trip_s'] * 1000:.0f} ms" if answer["outcome"] == "reply" else ""
        console.print(f"{head}{count}{took}{beside}", style="bold", highlight=False)
        if answer["outcome"] != "reply":
            console.print(f"  {answer['error']}{_advice(answer)}", style="red", highlight=False, soft_wrap=True)
        else:
            console.print(_bits(answer) if answer["table"] in ("coil", "discrete") else _registers(answer))


def _advice(answer: dict[str, Any]) -> str:
    if answer["outcome"] == "timeout":
        return f": {silence(answer)}"
    if answer.get("exception") == 2:
        return ": it has no such registers, or not all of them; try --around, fewer of them, or --find"
    if answer.get("exception") == 1:
        return ": it does not know this function; try another table (holding, input)"
    if answer.get("exception") == 0x0B:
        return ": the gateway is alive, the unit behind it is not"
    return ""


def _registers(answer: dict[str, Any]) -> Any:
    from rich.table import Table

    from config.encoding import Table as DataTable
    from drivers.modbus.raw import as_reference

    table = Table(box=None, padding=(0, 1))
    for heading in ("address", "hex", "counted from 1", "bytes", "uint16", "int16", "text"):
        table.add_column(heading, justify="right" if heading in ("address", "uint16", "int16") else "left")
    data = bytes.fromhex(answer["data"])
    for i in range(answer["count"]):
        pair = data[2 * i : 2 * i + 2]
        address, value = answer["address"] + i, int.from_bytes(pair, "big")
        table.add_row(
            str(address),
            f"0x{address:04X}",
            as_reference(DataTable(answer["table"]), address),
            pair.hex(" "),
            str(value),
            str(value - 0x10000 if value & 0x8000 else ""),
            "".join(chr(byte) if 32 <= byte < 127 else "." for byte in pair),
        )
    return table


def _bits(answer: dict[str, Any]) -> Any:
    from rich.table import Table

    from config.encoding import Table as DataTable
    from drivers.modbus.raw import as_reference, read_bits

    table = Table(box=None, padding=(0, 1))
    for heading in ("address", "hex", "counted from 1", "state"):
        table.add_column(heading)
    for i, on in enumerate(read_bits(bytes.fromhex(answer["data"]), answer["count"])):
        address = answer["address"] + i
        table.add_row(
            str(address), f"0x{address:04X}", as_reference(DataTable(answer["table"]), address), "ON" if on else "off"
        )
    return table


def _show_found(found: dict[str, Any], where: str) -> None:
    from edge.cli.screen import console

    for block in found["blocks"]:
        many = f" to {block['last']}, {block['count']} registers" if block["count"] > 1 else ""
        console.print(f"{block['table']} {block['first']}{many}: {block['data']}", soft_wrap=True, highlight=False)
    if not found["blocks"]:
        console.print("no register answers at the places that were tried; the maker's table is needed")
    console.print(found["said"], soft_wrap=True)
    for block in sorted(found["blocks"], key=lambda one: -one["count"])[:1]:
        place = f"{block['table']} {block['first']} {block['count']}"
        console.print(f"next: penstock decode {where} {place} --expect 'what the display shows'", soft_wrap=True)
