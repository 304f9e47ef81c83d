"""One client and its session: opened with protection, its namespaces resolved, its state followed, closed for good.

asyncua's client repairs short faults by itself: it opens a new channel, reactivates the session, or makes a new one.
What it does not see is left to ``session``: whether the server came back with its namespaces in another order, and
whether the client recovers at all. A client that does not is thrown away, because one that has failed may hang.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.observer import Observer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import BadEncodingLimitsExceeded, BadResponseTooLarge, BadTooManyOperations, UaError

from config.errors import LinkError
from config.link import OpcUaLink
from drivers.opcua import reading
from drivers.opcua.errors import MalformedAnswer, decoding
from drivers.opcua.items import Item
from drivers.opcua.security import Protection, protect

SESSION_TIMEOUT_MS: Final = 60_000
"""The server may forget a dead session after this; small PLCs allow few of them."""
CHANNEL_LIFETIME_MS: Final = 120_000
MAX_PROBE_S: Final = 2.0
"""How often asyncua asks whether the server still answers, and how long it waits: a freeze shows within twice that."""
MIN_PROBE_S: Final = 0.5
CLOSE_S: Final = 1.0
MAX_NODES_PER_CALL: Final = 500
"""Nodes in one read, and items in one creation, at most; servers that take fewer say so or refuse."""
MIN_NODES_PER_CALL: Final = 1
SLOW_NODES_PER_CALL: Final = 20
"""Nodes in one read of a slow server at least."""
_STATES: Final = (
    "running",
    "failed",
    "no configuration",
    "suspended",
    "shutdown",
    "test",
    "communication fault",
    "unknown",
)
"""ServerState (OPC 10000-5, 12.6)."""
_TOO_MUCH: Final = (BadTooManyOperations, BadResponseTooLarge, BadEncodingLimitsExceeded)

log = structlog.get_logger(__name__)


class _LibraryLog(logging.Handler):
    """What asyncua logs as an error, as one of our events without its traceback. It logs each broken connection so."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log.debug("asyncua", message=record.getMessage(), error=str(error) if error is not None else "")


def _quieten() -> None:
    library = logging.getLogger("asyncua")
    library.setLevel(logging.ERROR)
    library.handlers = [_LibraryLog()]
    library.propagate = False


class _StateWatch(Observer):
    """Hears of every state of a client the moment it is entered."""

    def __init__(self, entered: Callable[[UaClientState], None]) -> None:
        self._entered = entered

    def on_state_change(self, state: UaClientState) -> None:
        self._entered(state)


class Connection:
    """A client that was opened once and is never opened again.

    ``lost`` is called the moment the session is out of reach, before anything is awaited.
    """

    def __init__(self, link: OpcUaLink, pki: Path, site_id: str, lost: Callable[[], None]) -> None:
        _quieten()
        self._link = link
        self._pki = pki
        self._site_id = site_id
        self._lost = lost
        self._closing = False
        self._probe = min(max(link.timeout / 2, MIN_PROBE_S), MAX_PROBE_S)
        self._resolved: list[str] = []
        self.client = Client(
            link.url,
            timeout=link.timeout,
            watchdog_intervall=self._probe,
            auto_reconnect=True,
            reconnect_max_delay=link.retry,
            reconnect_request_timeout=link.timeout,
        )
        self.client.session_timeout = SESSION_TIMEOUT_MS
        self.client.secure_channel_timeout = CHANNEL_LIFETIME_MS
        self.client.name = f"Penstock {site_id}"
        self.client.description = self.client.name
        self.client.application_uri = f"urn:{socket.gethostname()}:penstock:{site_id}"
        self.client.uaclient.observer = _StateWatch(self._entered)
        self.protection: Protection | None = None
        self.namespaces: list[str] = []
        self.nodes_per_read = MAX_NODES_PER_CALL
        self.items_per_call = MAX_NODES_PER_CALL
        self.up = asyncio.Event()
        """Set while the session is usable."""
        self.down = asyncio.Event()
        """Set when it was lost; cleared by ``recover``."""

    async def open(self) -> None:
        """Opens channel and session. Raises ``LinkError`` and what asyncua raises, each within a deadline."""
        self.protection = await protect(self.client, self._link, self._pki, self._site_id)
        try:
            with decoding():
                async with asyncio.timeout(self._link.timeout * 2):
                    await self.client.connect()
        except ConnectionError as error:
            if self.protection is None or isinstance(error, ConnectionRefusedError):
                raise
            # Some servers hang up on who they do not trust, without a word that could be understood.
            raise LinkError(
                f"the server broke off while the connection was being secured ({error}). Most likely it does not trust"
                " the certificate of this box: load the file that 'penstock opcua trust show own' names into the"
                " server's trust list"
            ) from error
        await self._read_limits()

    async def recover(self, deadline: float) -> None:
        """Waits until asyncua has the session again. Raises ``TimeoutError`` when it has not within ``deadline`` s."""
        async with asyncio.timeout(deadline):
            # It may be lost again before this is heard of; then the next repair is waited for.
            while not self.up.is_set():
                await self.up.wait()
        self.down.clear()

    async def close(self) -> None:
        """Ends session and channel if the server still listens, and the client in any case."""
        self._closing = True
        self.up.clear()
        try:
            with decoding():
                async with asyncio.timeout(CLOSE_S):
                    await self.client.disconnect()
        except (LinkError, OSError, TimeoutError, UaError) as error:
            log.debug("session not closed in order", url=self._link.url, error=str(error))
        finally:
            self.client.disconnect_socket()

    def _entered(self, state: UaClientState) -> None:
        if state is UaClientState.CONNECTED:
            self.up.set()
        elif self.up.is_set():
            self.up.clear()
            self.down.set()
            if not self._closing:
                self._lost()

    async def namespaces_changed(self) -> bool:
        """Reads the server's namespaces; true when they are others than those resolved, or in another order."""
        [data] = await self.read([(_node(ObjectIds.Server_NamespaceArray), AttributeIds.Value)])
        names = data.Value.Value if data.Value is not None else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise LinkError("the server does not tell its namespaces")
        self.namespaces = names
        return names != self._resolved

    def resolve(self, items: Iterable[Item]) -> None:
        """Gives each item its node in the namespaces of now. Raises ``LinkError`` for one that is missing."""
        definitions = [(item, reading.definition_of(item.signal)) for item in items]
        missing = sorted({definition.namespace for _, definition in definitions} - set(self.namespaces))
        if missing:
            raise LinkError(
                f"the server has no namespace {', '.join(missing)}; it has: {', '.join(self.namespaces[1:])}"
            )
        for item, definition in definitions:
            index = self.namespaces.index(definition.namespace)
            item.node_id = ua.NodeId.from_string(f"ns={index};{definition.node}")
        self._resolved = self.namespaces

    async def read_items(self, items: Sequence[Item]) -> list[ua.DataValue]:
        """Reads values. Raises what asyncua raises, and asks for fewer next time."""
        began = time.perf_counter()
        try:
            values = await self.read([(item.node_id, AttributeIds.Value) for item in items])
        except TimeoutError:
            self._read_less(len(items))
            raise
        if time.perf_counter() - began > self._probe / 2:
            self._read_less(len(items))
        return values

    def _read_less(self, nodes: int) -> None:
        """A long read keeps a small server from answering asyncua's probe, which then takes it for dead."""
        if nodes > SLOW_NODES_PER_CALL:
            self.nodes_per_read = max(nodes // 2, SLOW_NODES_PER_CALL)

    async def health(self) -> dict[str, Any]:
        """The server's clock beside ours, and what state it says it is in."""
        asked_utc, asked = time.time(), time.perf_counter()
        clock, state = await self.read(
            [
                (_node(ObjectIds.Server_ServerStatus_CurrentTime), AttributeIds.Value),
                (_node(ObjectIds.Server_ServerStatus_State), AttributeIds.Value),
            ]
        )
        middle_utc = asked_utc + (time.perf_counter() - asked) / 2
        found: dict[str, Any] = {}
        if clock.Value is not None and isinstance(clock.Value.Value, datetime):
            found["clock_skew_s"] = round(reading.utc(clock.Value.Value) - middle_utc, 3)
        number = state.Value.Value if state.Value is not None else None
        if isinstance(number, int):
            found["server_state"] = _STATES[number] if number in range(len(_STATES)) else str(number)
        return found

    async def _read_limits(self) -> None:
        limits = (
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
        )
        reads, items = await self.read([(_node(limit), AttributeIds.Value) for limit in limits])
        # A server may have shown that it takes fewer than it says.
        self.nodes_per_read = min(self.nodes_per_read, _limit(reads))
        self.items_per_call = _limit(items)

    async def read(self, wanted: Sequence[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        """Reads attributes of nodes, as many at a time as the server takes. Raises what asyncua raises.

        The server is asked for the value itself, not for one that it has read some time ago (MaxAge 0).
        """
        values: list[ua.DataValue] = []
        while len(values) < len(wanted):
            batch = wanted[len(values) : len(values) + self.nodes_per_read]
            try:
                values += await self._read_at_once(batch)
            except _TOO_MUCH:
                if len(batch) <= MIN_NODES_PER_CALL:
                    raise
                self.nodes_per_read = len(batch) // 2
        return values

    async def _read_at_once(self, wanted: Sequence[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
        parameters = ua.ReadParameters(
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            NodesToRead=[ua.ReadValueId(NodeId=node_id, AttributeId=attribute) for node_id, attribute in wanted],
        )
        with decoding():
            async with asyncio.timeout(self._link.timeout):
                values = list(await self.client.uaclient.read(parameters))
        if len(values) != len(wanted):
            raise MalformedAnswer(f"the server answered {len(values)} values where {len(wanted)} were asked for")
        return values


def _node(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


def _limit(data: ua.DataValue) -> int:
    """A server's limit; most small servers have none, and 0 means that there is none."""
    value = data.Value.Value if data.Value is not None else None
    if not isinstance(value, int) or value <= 0:
        return MAX_NODES_PER_CALL
    return min(value, MAX_NODES_PER_CALL)
