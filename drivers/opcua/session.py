"""A link to an OPC UA server: keeps a session, takes values from it, and never lets an old one look good.

A round of this driver is: open a connection, look at the server's namespaces, resolve the nodes, subscribe, read
everything once. Then four watches run until one of them finds that the round is over: the values (verifying reads,
or polls), the messages and ages, the server's health, and the connection itself. A short fault asyncua repairs, and
the round begins again with the namespaces; after a long one a new client is made.
"""

import asyncio
import random
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from asyncua.ua.uaerrors import UaError

from config.errors import LinkError
from config.load import LoadedSite
from config.sample import Value
from config.site import OpcUaLink
from drivers.opcua.certificate_watch import CertificateWatch
from drivers.opcua.connection import Connection
from drivers.opcua.errors import explained
from drivers.opcua.gaps import Cause, Gaps
from drivers.opcua.items import Item, Items
from drivers.opcua.subscription import Subscription
from drivers.opcua.trust import TrustList, UntrustedCertificate
from drivers.opcua.write import Writer
from drivers.port import DeviceStatus, LinkStatus, Notify, Sink, WriteResult

FIRST_RECONNECT_S: Final = 0.2
RECOVERY_S: Final = 20.0
"""How long asyncua may try to repair a connection before it is thrown away. What the server keeps for a session is
seconds of values; a client that has not come back by then has more likely hung."""
WATCH_S: Final = 0.25
"""How often messages and ages are looked at: small against the seconds in which a value must go bad."""
HEALTH_S: Final = 10.0
"""How often the server's clock, state and namespaces, and the trust in it, are looked at."""
MAX_LATE_READS: Final = 3
"""Reads in a row without an answer, on a connection that answers asyncua's probe, before it is given up."""
RESUBSCRIBE_EVERY_S: Final = 60.0
"""A subscription that was found wrong is made anew at most this often; until then the reads hold the values."""
MIN_TICK_S: Final = 0.05
MAX_TICK_S: Final = 0.5
"""How often it is looked which items are to be read, at least and at most."""
MAX_WRITES: Final = 64
"""Writes waiting for a server; the scan writes each output once a second until it is confirmed."""

_OPERATING: Final = (LinkError, OSError, TimeoutError, UaError, asyncio.IncompleteReadError)

log = structlog.get_logger(__name__)


class _Again(Exception):
    """The round is over and the next begins on the same connection; what led to it has been recorded."""


@dataclass(slots=True)
class _Group:
    """Items that are read together, and when next."""

    items: list[Item]
    period: float
    due: float


class OpcUaSession:
    """The driver of one OPC UA link."""

    def __init__(self, name: str, link: OpcUaLink, loaded: LoadedSite, sink: Sink, notify: Notify, pki: Path) -> None:
        self._name = name
        self._link = link
        self._pki = pki
        self._site_id = loaded.site.site.id
        signals = [signal for signal in loaded.signals.field if signal.link == name]
        self._items = Items(signals, sink)
        devices = dict.fromkeys(signal.device for signal in signals)
        self._status = LinkStatus(devices={device: DeviceStatus() for device in devices})
        self._gaps = Gaps(name, self._status, notify)
        self._writer = Writer(self._items, link.timeout)
        self._connection: Connection | None = None
        self._subscription: Subscription | None = None
        self._served = False
        self._subscribed = False
        self._resubscribed = float("-inf")
        self._late_reads = 0
        self._certificates = CertificateWatch(name, link, TrustList(pki), notify)
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> LinkStatus:
        return self._status

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            for task in self._writing:
                task.cancel()

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        delay = FIRST_RECONNECT_S
        while True:
            self._served = False
            connection = Connection(self._link, self._pki, self._site_id, self._lost)
            try:
                await connection.open()
                await self._serve(connection)
            except _OPERATING as error:
                self._note_failure(error)
            finally:
                self._connection = None
                await connection.close()
            if task.cancelling():
                # asyncua may answer a cancellation with an error or a result of its own.
                raise asyncio.CancelledError
            if self._served:
                delay = FIRST_RECONNECT_S
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))
            delay = min(delay * 2, self._link.retry)

    def write(self, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[WriteResult] = loop.create_future()
        if self._connection is None:
            done.set_result(WriteResult(False, None, f"link {self._name} is down: {self._status.last_error}"))
        elif len(self._writing) >= MAX_WRITES:
            done.set_result(WriteResult(False, None, f"{MAX_WRITES} writes already wait for link {self._name}"))
        else:
            item = self._items.by_index[signal]
            task = loop.create_task(self._write(self._connection, item, value, done), name=f"write {item.signal.name}")
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return done

    async def _write(self, connection: Connection, item: Item, value: Value, done: asyncio.Future[WriteResult]) -> None:
        result = WriteResult(False, None, "link closed")
        try:
            result = await self._writer.write(connection, item, value)
        finally:
            self._status.details["writes"] = dict(self._writer.statuses)
            if not done.done():
                done.set_result(result)

    # -- a round -----------------------------------------------------------------------------------------------

    async def _serve(self, connection: Connection) -> None:
        """Rounds on one connection, until it fails for good."""
        self._subscription = None
        while True:
            try:
                await self._establish(connection)
                self._served = True
                values = self._verify(connection) if self._link.mode == "subscribe" else self._poll(connection)
                await _first(connection.down.wait(), values, self._watch(), self._tend(connection))
            except _Again:
                await self._unsubscribe()
                continue
            except _OPERATING:
                # A request that broke off with the connection says less than the connection itself.
                if not connection.down.is_set():
                    raise
            try:
                await connection.recover(RECOVERY_S)
            except TimeoutError as error:
                raise LinkError(f"the connection could not be repaired within {RECOVERY_S:g} s") from error

    async def _establish(self, connection: Connection) -> None:
        """Namespaces, nodes, subscription, and a read of everything. Raises what asyncua raises."""
        if await connection.namespaces_changed():
            connection.resolve(self._items.all)
            if self._subscription is not None:
                await self._unsubscribe("the server has other namespaces than before")
        if self._subscription is not None:
            try:
                await self._subscription.resume()
            except (OSError, TimeoutError, UaError) as error:
                await self._unsubscribe(explained(error))
        await self._writer.prepare(connection)
        self._up(connection)
        if self._subscription is None and self._link.mode == "subscribe":
            self._subscription = await self._subscribe(connection)
        for batch in _batches(self._items.all, connection.nodes_per_read):
            await self._read(connection, batch)
        if self._subscription is not None:
            self._subscription.resumed()

    async def _unsubscribe(self, outage: str = "") -> None:
        """Ends the subscription. ``outage``: what it would have told since is lost, and why."""
        subscription, self._subscription = self._subscription, None
        if outage:
            self._gaps.record("outage", asyncio.get_running_loop().time(), detail=outage)
        if subscription is not None:
            await subscription.delete()

    async def _subscribe(self, connection: Connection) -> Subscription | None:
        """A new subscription; ``None`` when the server has none for us, and all items are left to the reads."""
        subscription = Subscription(
            connection.client,
            self._name,
            self._items,
            self._gaps,
            self._heard,
            self._link.timeout,
            connection.items_per_call,
        )
        try:
            await subscription.create(self._link.publishing)
        except UaError as error:
            if connection.down.is_set():
                raise
            text = explained(error)
            log.warning("no subscription; every value is read instead", link=self._name, error=text)
            self._status.details["subscription"] = {"refused": text}
            for item in self._items.all:
                item.forget(monitored=False, grace=0.0)
            return None
        self._status.details["subscription"] = subscription.details()
        self._subscribed = True
        return subscription

    def _up(self, connection: Connection) -> None:
        """The session is usable: values come in from now on, and whoever sees one may write."""
        self._connection = connection
        status = self._status
        if not status.connected:
            status.connects += 1
            log.info("link up", link=self._name, mode=self._link.mode)
        status.connected, status.last_error = True, ""
        for device in status.devices.values():
            device.online, device.last_error = True, ""
        self._late_reads = 0

    def _lost(self) -> None:
        """Called by the connection the moment it is lost, while asyncua begins to repair it."""
        if self._subscription is not None:
            self._subscription.suspend()
        self._down("the connection is lost; it is being repaired")

    def _down(self, text: str) -> None:
        if text != self._status.last_error:
            log.warning("link down", link=self._name, error=text)
        self._status.last_error = text
        self._status.connected = False
        self._connection = None
        for device in self._status.devices.values():
            device.online = False
            device.timeouts += 1
            device.last_error = text
        self._items.lose(asyncio.get_running_loop().time())

    def _note_failure(self, error: BaseException) -> None:
        """A connection that is given up: what it told until then is bad, and what it would have told is a gap."""
        text = explained(error)
        self._down(text)
        if self._subscribed:
            self._subscribed = False
            self._gaps.record("outage", asyncio.get_running_loop().time(), detail=text)
        if isinstance(error, UntrustedCertificate):
            self._certificates.rejected(error.thumbprint)

    # -- values ------------------------------------------------------------------------------------------------

    async def _verify(self, connection: Connection) -> None:
        """Reads each item that was silent for too long, and each that is not told of."""
        loop = asyncio.get_running_loop()
        shortest = min((item.verify_after for item in self._items.all), default=1.0)
        while True:
            now = loop.time()
            due = [item for item in self._items.all if item.due(now)]
            missed: list[Item] = []
            for batch in _batches(due, connection.nodes_per_read):
                missed += await self._read(connection, batch)
            if missed:
                self._gaps.record("verify", loop.time(), [item.signal for item in missed])
                if loop.time() - self._resubscribed >= RESUBSCRIBE_EVERY_S:
                    self._resubscribed = loop.time()
                    raise _Again
            await asyncio.sleep(min(max(shortest / 4, MIN_TICK_S), MAX_TICK_S))

    async def _poll(self, connection: Connection) -> None:
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
            for batch in _batches(group.items, connection.nodes_per_read):
                await self._read(connection, batch)

    async def _read(self, connection: Connection, items: Sequence[Item]) -> list[Item]:
        """Reads values into the sink. One read without an answer is counted; the items' ages run on."""
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
            self._late_reads += 1
            if self._late_reads >= MAX_LATE_READS:
                raise
            return []
        self._late_reads = 0
        took = time.perf_counter() - began
        self._status.busy_s += took
        for device in devices:
            device.replies += 1
            device.online = True
            device.round_trips.append(took)
        return self._items.read(items, values, sent, loop.time())

    def _heard(self, devices: Iterable[str]) -> None:
        """Counts a message as a reply of each device that it holds values of."""
        for tag in devices:
            self._status.devices[tag].replies += 1

    # -- watches -----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Looks at ages and messages; ends the round when the subscription is dead."""
        loop, subscription = asyncio.get_running_loop(), self._subscription
        while True:
            await asyncio.sleep(WATCH_S)
            now = loop.time()
            self._status.details["stale_items"] = self._items.age(now)
            self._gaps.flush(now)
            if subscription is None:
                continue
            self._status.details["subscription"] = subscription.details()
            if subscription.failure is not None:
                raise subscription.failure
            if subscription.ended:
                self._end_subscription("ended", now, subscription.ended)
            missed = subscription.last_message + subscription.revised.keep_alive
            if now - subscription.last_message > subscription.silence:
                self._end_subscription("silence", missed, f"{subscription.silence:.1f} s")

    def _end_subscription(self, cause: Cause, since: float, detail: str) -> None:
        """What was not read ``since`` the subscription is dead is bad now; the next round makes a new one."""
        now = asyncio.get_running_loop().time()
        self._gaps.record(cause, now, detail=detail)
        self._items.lose(now, since)
        raise _Again

    async def _tend(self, connection: Connection) -> None:
        """Looks at the server's health, the trust in it, and the certificates."""
        details = self._status.details
        while True:
            details["security"] = self._certificates.look(connection.protection)
            try:
                details.update(await connection.health())
                changed = await connection.namespaces_changed()
            except TimeoutError:
                # asyncua's own probe decides whether the connection is lost; this look can wait.
                changed = False
            if changed:
                now = asyncio.get_running_loop().time()
                self._gaps.record("outage", now, detail="the server has other namespaces than before")
                self._items.lose(now)
                raise _Again
            await asyncio.sleep(HEALTH_S)


def _batches(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


async def _first(*work: Coroutine[Any, Any, Any]) -> None:
    """Runs all until the first ends, and ends the others; an error of any is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
