"""``penstock decode``: what some registers may mean, the likely readings first, and the line for the profile."""

import asyncio
import math
import re
import struct
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from edge.cli import exit_codes
from edge.cli.options import Json, Unit
from edge.cli.printed import print_json, progress, say
from edge.cli.read import parse
from edge.cli.silence import silence
from edge.cli.target import Target, takes_target

if TYPE_CHECKING:
    from drivers.modbus.displayed import Displayed, Match
    from drivers.modbus.interpret import Interpretation

SHOWN: Final = 12
"""Readings shown without ``--all``."""
SHOWN_MATCHES: Final = 5
FAR_BEHIND: Final = 2.5
"""Decimal digits by which a match may explain less than the best and still be shown."""
CLOSE_RANKS: Final = 1.5
"""Decimal digits by which the best match must explain more than the next one to be the one."""
MANY_MATCHES: Final = 3
"""So many matches on one table leave a doubt, however far they are apart."""
MIN_WATCHED: Final = 3
"""Readings before anything can be said of how a value moves."""

LONGEST_PAUSE_S: Final = 3600.0

_FIELD_NAME: Final = re.compile("[a-z][a-z0-9_]*")
"""What a profile takes as the name of a signal."""
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")


@takes_target
def decode(
    target: Target,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="BYTES | [NAME] TABLE ADDRESS COUNT",
            help="'41 C8 00 00', or a place to read: holding 100 10; AIT-101 holding 0x2600 5; 40101 10",
            show_default=False,
        ),
    ],
    expect: Annotated[
        str, typer.Option("--expect", help="what the display shows: 25.0, '42.75 m3/h'", show_default=False)
    ] = "",
    tolerance: Annotated[str, typer.Option("--tolerance", help="how far off it may be")] = "2%",
    watch: Annotated[bool, typer.Option("--watch", help="read again and again; show what moves smoothly")] = False,
    count: Annotated[int, typer.Option("--count", help="with --watch: so many readings; 0: until Ctrl-C", min=0)] = 0,
    every: Annotated[
        float, typer.Option("--every", help="with --watch: seconds between readings", min=0.05, max=LONGEST_PAUSE_S)
    ] = 1.0,
    name: Annotated[str, typer.Option("--name", help="the signal's name in the line for the profile")] = "value",
    table: Annotated[str, typer.Option("--table", help="with BYTES: the table they stand in")] = "holding",
    address: Annotated[str, typer.Option("--address", help="with BYTES: the address of the first register")] = "0",
    show_all: Annotated[bool, typer.Option("--all", help="every reading, also the unlikely")] = False,
    unit: Unit = None,
    as_json: Json = False,
) -> None:
    """Show bytes or registers in every type and byte order, the likely ones first. Nothing is written.

    With --expect (what the instrument's own display shows): the readings that show it, also shifted by powers of ten,
    in another unit, or as a whole number with its decimals beside it. Ends with the line for the profile.
    """
    if not every >= 0:
        raise typer.BadParameter("--every: seconds between readings, such as 1 or 0.5")
    if not _FIELD_NAME.fullmatch(name):
        raise typer.BadParameter(f"--name '{name}': small letters, digits and _, such as flow_rate")
    shown = _displayed(expect, tolerance)
    block = _bytes(words, table, address, target)
    if block is None:
        wanted = parse(words)
        if wanted.table is None or not wanted.count:
            raise typer.BadParameter("what? bytes ('41 C8 00 00'), or a place to read (holding 100 10)")
        if wanted.table not in ("holding", "input"):
            raise typer.BadParameter(f"a {wanted.table} is on or off: 'penstock read' shows it")
        blocks: list[Block] = []
        try:
            asyncio.run(_read_blocks(target, words, unit, blocks, count if watch else 1, every, as_json=as_json))
        except KeyboardInterrupt:
            if not blocks:
                raise
    elif watch:
        raise typer.BadParameter("--watch reads again: give a place (holding 100 10), not bytes")
    else:
        blocks = [block]
    answer = decoded(blocks, shown, name)
    print_json(answer) if as_json else _show(answer, show_all=show_all)
    if shown is not None and not answer["matches"]:
        sys.exit(exit_codes.WRONG)


class Block(NamedTuple):
    """Registers as they were read: their bytes, and where the first of them stands."""

    table: str
    address: int
    data: bytes
    said: str


def _displayed(expect: str, tolerance: str) -> "Displayed | None":
    from drivers.modbus.displayed import displayed

    if not expect:
        return None
    try:
        share = float(tolerance.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.5:
        raise typer.BadParameter("--tolerance: a share of the value such as 2%, at most 50%")
    try:
        return displayed(expect, share)
    except ValueError as error:
        raise typer.BadParameter(f"--expect '{expect}' is not {error}") from error


def _bytes(words: Sequence[str], table: str, address: str, target: Target) -> Block | None:
    """The bytes that the words are, ``None`` when they are a place to read."""
    from drivers.modbus.raw import number

    text = "".join(words).replace(" ", "").replace(",", "").replace(":", "")
    text = text[2:] if text[:2] in ("0x", "0X") else text
    if target.by_hand or not _HEX.fullmatch(text):
        return None
    if table not in ("holding", "input"):
        raise typer.BadParameter("--table: holding or input")
    data, said = payload(bytes.fromhex(text))
    if len(data) % 2:
        raise typer.BadParameter(f"{len(data)} bytes are no whole registers: a register has two")
    return Block(table, number(address), data, said)


def payload(data: bytes) -> tuple[bytes, str]:
    """The registers in what was given, and what it was: a whole reply as it stands in a log, or registers alone."""
    from drivers.modbus.framing import crc

    if len(data) >= 7 and data[1] in (3, 4) and data[2] == len(data) - 5 and crc(data[:-2]) == data[-2:]:
        return data[3:-2], f"a whole serial reply of unit {data[0]}, function {data[1]:02X}, its check sum right"
    if len(data) >= 11 and data[7] in (3, 4) and data[8] == len(data) - 9:
        _, protocol, length = struct.unpack_from(">HHH", data)
        if protocol == 0 and length == len(data) - 6:
            return data[9:], f"a whole Modbus TCP reply of unit {data[6]}, function {data[7]:02X}"
    return data, ""


async def _read_blocks(
    target: Target,
    words: Sequence[str],
    unit: int | None,
    blocks: list[Block],
    count: int,
    every: float,
    *,
    as_json: bool,
) -> None:
    """Reads the place so often, ``every`` seconds, into ``blocks``. Raises ``DeviceError`` when it is not answered."""
    from config.errors import DeviceError, LinkError
    from edge.cli.session import session

    wanted = parse(words)
    assert wanted.table is not None
    failures = 0
    async with session(target, wanted.name, unit) as open_:
        while not count or len(blocks) < count:
            answer = await open_.read_raw(wanted.table, wanted.address, wanted.count)
            if answer["outcome"] == "reply":
                failures = 0
                where = f"unit {answer['unit']} at {answer['at']}"
                said = f"{where}: {wanted.said}" if wanted.said else where
                blocks.append(Block(wanted.table, wanted.address, bytes.fromhex(answer["data"]), said))
            else:
                failures += 1
                if not blocks or failures > MIN_WATCHED:
                    what = f"{wanted.table} {wanted.address}, {wanted.count}: {answer['error']}"
                    lost = answer["outcome"] in ("timeout", "lost")
                    raise LinkError(f"{what}; {silence(answer)}") if lost else DeviceError(what)
            if count == 1:
                return
            if not as_json:
                progress(f"{len(blocks)} readings; Ctrl-C shows what they tell")
            await asyncio.sleep(every)
        progress("")


# -- what they tell --------------------------------------------------------------------------------------------------


def decoded(blocks: Sequence[Block], shown: "Displayed | None", name: str) -> dict[str, Any]:
    """Everything that the newest of some readings of a place may mean, and with more of them how each moves."""
    from drivers.modbus.displayed import matches
    from drivers.modbus.interpret import interpretations
    from drivers.modbus.profile_line import yaml_line, yaml_of

    block = blocks[-1]
    found = interpretations(block.data, time.time())
    moves = _movements(blocks) if len(blocks) >= MIN_WATCHED else {}
    if moves:
        found.sort(key=lambda one: (_MOVE_RANK[moves.get(one[:3], "still")], -one.score, one.offset))
    hits = matches(found, shown) if shown is not None else []
    if moves:
        hits.sort(key=lambda hit: (moves.get(hit.reading[:3]) == "jumps", -hit.rank))
    best = yaml_line(name, block.table, block.address, hits[0]) if hits else ""
    if not best and shown is None and found:
        best = yaml_of(name, block.table, block.address, found[0])
    return {
        "ok": bool(hits) or shown is None,
        "table": block.table,
        "address": block.address,
        "bytes": block.data.hex(" "),
        "said": block.said,
        "readings_taken": len(blocks),
        "expected": shown.value if shown is not None else None,
        "matches": [_match_json(hit, block, name, moves) for hit in hits],
        "certain": _certain(hits),
        "readings": [_reading_json(one, block, name, moves) for one in found],
        "yaml": best,
    }


_MOVE_RANK: Final = {"rises": 0, "smooth": 0, "still": 1, "jumps": 2}


def _movements(blocks: Sequence[Block]) -> dict[tuple[Any, ...], str]:
    """How each reading of a number moved, by its place, type and order."""
    from config.encoding import NUMBERS, REGISTERS
    from drivers.modbus.interpret import NUMBERS_IN_ORDER, movement, orders, read

    moves: dict[tuple[Any, ...], str] = {}
    registers = len(blocks[-1].data) // 2
    for offset in range(registers):
        for encoding in NUMBERS_IN_ORDER:
            assert encoding in NUMBERS
            end = 2 * (offset + REGISTERS[encoding])
            if end > 2 * registers:
                continue
            for order in orders(encoding):
                values = [read(encoding, order, block.data[2 * offset : end]) for block in blocks]
                numbers = [float(value) for value in values if isinstance(value, int | float)]
                moves[offset, encoding, order] = movement(numbers) if len(numbers) == len(values) else "jumps"
    return moves


def _certain(hits: "Sequence[Match]") -> bool:
    """True when one match explains clearly more than the next, and not many come near it."""
    near = [hit for hit in hits if hit.rank >= hits[0].rank - FAR_BEHIND]
    return bool(hits) and len(near) < MANY_MATCHES and all(hits[0].rank - hit.rank >= CLOSE_RANKS for hit in hits[1:])


def _match_json(hit: "Match", block: Block, name: str, moves: dict[tuple[Any, ...], str]) -> dict[str, Any]:
    from drivers.modbus.profile_line import yaml_line

    reading, fraction = hit.reading, hit.fraction
    return {
        "address": block.address + reading.offset,
        "type": str(reading.type),
        "order": str(reading.order),
        "scale": hit.scale,
        "unit": hit.unit,
        "fraction": None
        if fraction is None
        else {
            "address": block.address + fraction.reading.offset,
            "type": str(fraction.reading.type),
            "order": str(fraction.reading.order),
            "scale": fraction.scale,
        },
        "value": hit.value,
        "rank": round(hit.rank, 2),
        "why": hit.why,
        "moves": moves.get(reading[:3]),
        "yaml": yaml_line(name, block.table, block.address, hit),
    }


def _reading_json(one: "Interpretation", block: Block, name: str, moves: dict[tuple[Any, ...], str]) -> dict[str, Any]:
    from drivers.modbus.profile_line import yaml_of

    value = one.value
    finite = isinstance(value, str) or math.isfinite(value)
    return {
        "address": block.address + one.offset,
        "registers": one.registers,
        "type": str(one.type),
        "order": str(one.order),
        "value": value if finite else None,
        "verdict": one.verdict,
        "score": round(one.score, 3),
        "why": one.why,
        "moves": moves.get(one[:3]),
        "yaml": yaml_of(name, block.table, block.address, one),
    }


# -- for people ------------------------------------------------------------------------------------------------------


def _show(answer: dict[str, Any], *, show_all: bool) -> None:
    from edge.cli.screen import console

    if answer["said"]:
        console.print(answer["said"], highlight=False)
    count = len(bytes.fromhex(answer["bytes"])) // 2
    taken = f", {answer['readings_taken']} times" if answer["readings_taken"] > 1 else ""
    console.print(
        f"{answer['table']} {answer['address']}, {count} registers{taken}: {answer['bytes']}", highlight=False
    )
    if answer["expected"] is not None:
        _show_matches(answer, show_all=show_all)
    else:
        _show_readings(answer, show_all=show_all)
    if answer["yaml"]:
        console.print("for the profile, under signals:")
        say(f"  {answer['yaml']}")


def _show_matches(answer: dict[str, Any], *, show_all: bool) -> None:
    from rich.table import Table

    from edge.cli.screen import console

    hits = answer["matches"]
    if not hits:
        console.print(
            f"no reading shows {answer['expected']:g}: are these the right registers ('penstock read --find'), is the "
            "value still on the display, is it within --tolerance?",
            style="yellow",
        )
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("address", "type", "order", "reads", "how", *(["moves"] if hits[0]["moves"] else [])):
        table.add_column(heading)
    near = [hit for hit in hits[:SHOWN_MATCHES] if hit["rank"] >= hits[0]["rank"] - FAR_BEHIND]
    for hit in hits if show_all else near:
        address, kind = str(hit["address"]), hit["type"]
        if hit["fraction"] is not None:
            address += f" + {hit['fraction']['address']}"
            scale = hit["fraction"]["scale"]
            kind += f" + {hit['fraction']['type']}" + (f" x {scale:g}" if scale != 1 else "")
        moves = [hit["moves"]] if hit["moves"] else []
        table.add_row(address, kind, hit["order"], f"{hit['value']:.9g}", hit["why"], *moves)
    console.print(table, soft_wrap=True)
    if not answer["certain"]:
        console.print(
            f"{len(near)} readings show it, some nearly as well as the first: before you trust it, decode again when "
            "the display shows something else. Only the right one follows the display (--watch shows how each moves)",
            style="yellow",
            soft_wrap=True,
        )


def _show_readings(answer: dict[str, Any], *, show_all: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from edge.cli.screen import console

    styles = {"likely": "green", "possible": "", "unlikely": "dim"}
    readings = answer["readings"] if show_all else [r for r in answer["readings"] if r["verdict"] != "unlikely"][:SHOWN]
    table = Table(box=None, padding=(0, 1))
    watched = answer["readings_taken"] >= MIN_WATCHED
    for heading in ("address", "type", "order", "reads", "", "because", *(["moves"] if watched else [])):
        table.add_column(heading)
    for one in readings:
        value = _shown_value(one)
        moves = [one["moves"] or ""] if watched else []
        verdict = Text(one["verdict"], styles[one["verdict"]])
        table.add_row(str(one["address"]), one["type"], one["order"], value, verdict, one["why"], *moves)
    console.print(table, soft_wrap=True)
    left = len(answer["readings"]) - len(readings)
    if left:
        console.print(f"and {left} less likely ones (--all); --expect 'what the display shows' tells which it is")


def _shown_value(one: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    value = one["value"]
    if value is None:
        return "infinite"
    if one["type"].endswith("-time"):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:.7g}" if isinstance(value, float) else str(value)
