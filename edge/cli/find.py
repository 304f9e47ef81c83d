"""Which registers a unit has, where nobody tells: the usual places are tried, and what lies around a hit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from config.encoding import Table
from config.errors import LinkError
from drivers.modbus.search import addresses
from edge.cli.by_hand import shipped_profiles
from edge.cli.printed import progress
from edge.cli.session import session
from edge.cli.silence import silence
from edge.cli.target import Target

MAX_FOUND: Final = 1000
"""Registers after which it is enough: a device that answers everywhere tells nothing by answering."""
STRIDE: Final = 16
HOLE: Final = 4
"""Registers in a row that do not answer, after which an area counts as ended."""
SILENT: Final = 4
"""Questions in a row without any answer, at the start, after which nobody is there."""

Ask = Callable[[str, int, int], Awaitable[dict[str, Any]]]


def find_registers(target: Target, name: str | None, unit: int | None, table: str | None) -> dict[str, Any]:
    """The blocks of registers that answer, in ``blocks``. Raises ``LinkError`` when nobody answers at all.

    Ctrl-C ends it with what was found so far, ``interrupted``.
    """
    search, said, interrupted = _Finder(), list[str](), False
    try:
        blocks = asyncio.run(_find(search, said, target, name, unit, table))
    except KeyboardInterrupt:
        progress("")
        if not search.asked:
            raise
        interrupted = True
        blocks = [search.heard(*span) for span in search.spans()]
        said.append("broken off")
    said.append(f"{search.asked} requests; other places may hold more: the maker's table knows")
    return {
        "ok": bool(blocks),
        "blocks": blocks,
        "requests": search.asked,
        "interrupted": interrupted,
        "said": "; ".join(said),
    }


async def _find(
    search: "_Finder", said: list[str], target: Target, name: str | None, unit: int | None, table: str | None
) -> list[dict[str, Any]]:
    tables = [table] if table is not None else [str(Table.HOLDING), str(Table.INPUT)]
    likely = addresses(shipped_profiles().values())
    async with session(target, name, unit) as open_:
        search.ask = open_.read_raw
        for one in tables:
            begun = len(search.found)
            for place, address in enumerate(likely):
                progress(f"{one}: {place} of {len(likely)} places tried, {len(search.found)} registers found")
                if not await search.try_at(one, address):
                    break
            if search.unknown_function:
                said.append(f"it does not know {one} registers (exception 01)")
                search.unknown_function = False
            elif len(search.found) == begun:
                said.append(f"no {one} register at the usual places")
        progress("")
        return [await _block(open_.read_raw, *span) for span in search.spans()]


class _Finder:
    """Tries places and remembers what answered, and with what."""

    def __init__(self) -> None:
        self.ask: Ask
        self.found: dict[tuple[str, int], str] = {}
        self._tried: set[tuple[str, int]] = set()
        self.asked = 0
        self.unknown_function = False
        self._silent = 0
        self._alive = False

    async def try_at(self, table: str, address: int) -> bool:
        """Tries a place and what lies around it; false when the table need not be tried on."""
        if (table, address) in self._tried:
            return True
        if await self._has(table, address, 1):
            for step in (1, -1):
                await self._follow(table, address + step, step)
        return not self.unknown_function and len(self.found) < MAX_FOUND

    async def _follow(self, table: str, address: int, step: int) -> None:
        """Goes on while registers answer, in strides where a whole stride does."""
        hole = 0
        while 0 <= address <= 0xFFFF and hole < HOLE and len(self.found) < MAX_FOUND:
            first = address if step > 0 else address - STRIDE + 1
            if hole == 0 and first >= 0 and first + STRIDE <= 0x10000 and await self._has(table, first, STRIDE):
                address += step * STRIDE
                continue
            # The stride was refused: its registers one by one, up to the hole in it.
            for _ in range(STRIDE):
                if not 0 <= address <= 0xFFFF:
                    return
                hole = 0 if await self._has(table, address, 1) else hole + 1
                address += step
                if hole >= HOLE:
                    return

    async def _has(self, table: str, first: int, count: int) -> bool:
        if count == 1 and (table, first) in self._tried:
            return (table, first) in self.found
        self.asked += 1
        answer = await self.ask(table, first, count)
        self._note(answer)
        replied = bool(answer["outcome"] == "reply")
        if replied:
            words = answer["data"].split()
            self.found |= {(table, first + i): " ".join(words[2 * i : 2 * i + 2]) for i in range(count)}
        if replied or count == 1:
            self._tried |= {(table, first + i) for i in range(count)}
        return replied

    def _note(self, answer: dict[str, Any]) -> None:
        self.unknown_function = self.unknown_function or answer.get("exception") == 1
        if answer["outcome"] in ("reply", "exception") and answer.get("exception") not in (0x0A, 0x0B):
            self._alive = True
        self._silent += 1
        if not self._alive and self._silent >= SILENT:
            raise LinkError(silence(answer))

    def heard(self, table: str, first: int, last: int) -> dict[str, Any]:
        """A block as it was when it was found."""
        data = " ".join(self.found[table, address] for address in range(first, last + 1))
        return {"table": table, "first": first, "last": last, "count": last - first + 1, "data": data}

    def spans(self) -> list[tuple[str, int, int]]:
        """Table, first and last of what answered, each no longer than a read."""
        spans: list[tuple[str, int, int]] = []
        for table, address in sorted(self.found):
            last = spans[-1] if spans else None
            if last is not None and last[0] == table and last[2] == address - 1 and address - last[1] < 120:
                spans[-1] = (table, last[1], address)
            else:
                spans.append((table, address, address))
        return spans


async def _block(ask: Ask, table: str, first: int, last: int) -> dict[str, Any]:
    """What a block reads now. One that is refused as a whole was found in parts."""
    count = last - first + 1
    answer = await ask(table, first, count)
    return {"table": table, "first": first, "last": last, "count": count, "data": answer["data"] or answer["error"]}
