"""What passed over the simulator's sockets and when: where "breach to valve closing" is measured.

Times are ``time.monotonic_ns()``, one clock for every process of the machine. A write is timed first thing
when its bytes are received, a reply just before it is handed to the socket.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from config.encoding import BIT_TABLES, Table
from hil_sim.pdu import READ_TABLE, WRITE_TABLE
from hil_sim.unit import Unit

MAX_EVENTS: Final = 50_000
"""About twenty minutes of a station polled at full rate, some 15 MB; older events are dropped."""

Units = Mapping[tuple[str, int], Unit]


class Event(NamedTuple):
    """One exchange. ``kind`` is "reply" (to a read) or "write"; ``data`` as in ``pdu.Block``."""

    t_ns: int
    link: str
    unit: int
    kind: str
    function: int
    address: int
    data: bytes


class WireLog:
    """A ring of events, kept while ``on``; decoded only when somebody asks."""

    def __init__(self) -> None:
        self.on = True
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)

    def add(self, event: Event) -> None:
        """Keeps an event."""
        if self.on:
            self._events.append(event)

    def since(
        self, units: Units, since_ns: int, limit: int, kind: str | None = None, signal: str | None = None
    ) -> tuple[list[dict[str, object]], bool]:
        """The oldest ``limit`` events later than ``since_ns``, and whether there are more.

        ``kind`` and ``signal`` (only exchanges that carried it whole) narrow them down.
        """
        recent: list[Event] = []
        for event in reversed(self._events):
            # Events are added in the order of their times, so the first old one ends the search.
            if event.t_ns <= since_ns:
                break
            if kind is None or event.kind == kind:
                recent.append(event)
        recent.reverse()
        if signal is not None:
            recent = [event for event in recent if _carries(units[event.link, event.unit], event, signal)]
        return [_plain(units[event.link, event.unit], event) for event in recent[:limit]], len(recent) > limit


def _table(event: Event) -> Table:
    return READ_TABLE.get(event.function) or WRITE_TABLE[event.function]


def _carries(unit: Unit, event: Event, signal: str) -> bool:
    field = unit.field(signal) if signal.startswith(f"{unit.device}.") else None
    if field is None or field.table is not _table(event):
        return False
    end = event.address + len(event.data) // (1 if field.table in BIT_TABLES else 2)
    return all(span.address >= event.address and span.end <= end for span in field.spans)


def _plain(unit: Unit, event: Event) -> dict[str, object]:
    """An event as the control channel gives it."""
    table = _table(event)
    if table in BIT_TABLES:
        values = [byte & 1 for byte in event.data]
    else:
        values = [int.from_bytes(event.data[i : i + 2], "big") for i in range(0, len(event.data), 2)]
    return {
        "t_ns": event.t_ns,
        "link": event.link,
        "unit": event.unit,
        "device": unit.device,
        "kind": event.kind,
        "function": event.function,
        "address": event.address,
        "values": values,
        "signals": unit.decode(table, event.address, event.data),
    }
