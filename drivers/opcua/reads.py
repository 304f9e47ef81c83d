"""The reads of a link: everything once, what was silent for too long, or each item every poll period."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from drivers.opcua.connection import Connection
from drivers.opcua.gaps import Gaps
from drivers.opcua.items import Item, Items
from drivers.port import LinkStatus

MAX_LATE_READS: Final = 3
"""Reads in a row without an answer, on a connection that answers asyncua's probe, before it is given up."""
RESUBSCRIBE_EVERY_S: Final = 60.0
"""A subscription that was found wrong is made anew at most this often; until then the reads hold the values."""
MIN_TICK_S: Final = 0.05
MAX_TICK_S: Final = 0.5
"""How often it is looked which items are to be read, at least and at most."""


class Again(Exception):
    """The round is over and the next begins on the same connection; what led to it has been recorded."""


@dataclass(slots=True)
class _Group:
    """Items that are read together, and when next."""

    items: list[Item]
    period: float
    due: float


class Reads:
    """Reads the items of one link and counts what that took."""

    def __init__(self, items: Items, status: LinkStatus, gaps: Gaps) -> None:
        self._items = items
        self._status = status
        self._gaps = gaps
        self._resubscribed = float("-inf")
        self._late = 0

    async def everything(self, connection: Connection) -> None:
        """Reads every item once, at the beginning of a round."""
        self._late = 0
        await self._read(connection, self._items.all)

    async def verify(self, connection: Connection) -> None:
        """Reads each item that was silent for too long, and each that is not told of.

        Raises ``Again`` when the subscription was found to keep something back.
        """
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            missed = await self._read(connection, [item for item in self._items.all if item.due(now)])
            if missed:
                self._gaps.record("verify", loop.time(), [item.signal for item in missed])
                if loop.time() - self._resubscribed >= RESUBSCRIBE_EVERY_S:
                    self._resubscribed = loop.time()
                    raise Again
            soonest = min((item.patience for item in self._items.all), default=MAX_TICK_S)
            await asyncio.sleep(min(max(soonest / 4, MIN_TICK_S), MAX_TICK_S))

    async def poll(self, connection: Connection) -> None:
        """Reads every item each period. Items of one period are read together."""
        loop = asyncio.get_running_loop()
        periods = sorted({item.signal.poll for item in self._items.all})
        groups = [
            _Group([item for item in self._items.all if item.signal.poll == period], period, loop.time() + period)
            for period in periods
        ]
        while True:
            group = min(groups, key=lambda one: one.due)
            await asyncio.sleep(max(group.due - loop.time(), 0.0))
            group.due = max(group.due + group.period, loop.time())
            await self._read(connection, group.items)

    async def _read(self, connection: Connection, items: Sequence[Item]) -> list[Item]:
        """Reads values into the sink; returns the items of which the subscription told something else for too long."""
        missed: list[Item] = []
        start = 0
        while start < len(items):
            # What a server takes at a time may become less from one batch to the next.
            batch = items[start : start + connection.nodes_per_read]
            start += len(batch)
            missed += await self._read_batch(connection, batch)
        return missed

    async def _read_batch(self, connection: Connection, items: Sequence[Item]) -> list[Item]:
        """One read without an answer is counted, and the items' ages run on; several raise ``TimeoutError``."""
        loop = asyncio.get_running_loop()
        devices = [self._status.devices[tag] for tag in dict.fromkeys(item.signal.device for item in items)]
        for device in devices:
            device.polls += 1
        sent, began = loop.time(), time.perf_counter()
        try:
            values = await connection.read_items(items)
        except TimeoutError:
            for device in devices:
                device.timeouts += 1
            self._late += 1
            if self._late >= MAX_LATE_READS:
                raise
            return []
        self._late = 0
        took = time.perf_counter() - began
        self._status.busy_s += took
        for device in devices:
            device.replies += 1
            device.online = True
            device.round_trips.append(took)
        return self._items.read(items, values, sent, loop.time())
