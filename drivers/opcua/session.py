"""A link to an OPC UA server: keeps a session, takes values from it, and never lets an old one look good.

A round of this driver is: open a connection, look at the server's namespaces, resolve the nodes, subscribe, read
everything once. Then four watches run until one of them finds that the round is over: the values (verifying reads,
or polls), the messages and ages, the server's health, and the connection itself. A short fault asyncua repairs, and
the round begins again with the namespaces; after a long one a new client is made.
"""

import asyncio
import random
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

import structlog
from asyncua.ua.uaerrors import BadIdentityTokenInvalid, BadIdentityTokenRejected, BadUserAccessDenied, UaError

from config.errors import LinkError
from config.link import OpcUaLink
from config.load import LoadedSite
from config.sample import Value
from drivers.opcua.certificate_watch import CertificateWatch
from drivers.opcua.connection import Connection
from drivers.opcua.errors import MalformedAnswer, explained
from drivers.opcua.gaps import Cause, Gaps
from drivers.opcua.items import Item, Items
from drivers.opcua.pki_files import TrustError
from drivers.opcua.reads import Again, Reads
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
MAX_WRITES: Final = 64
"""Writes waiting for a server; the scan writes each output once a second until it is confirmed."""

WRONG_USER_S: Final = 60.0
"""How soon a user that was refused is tried again: servers lock one out who tries too often."""
MAX_UNHEARD: Final = 2
"""New subscriptions, each on a connection of its own, that may tell nothing before the reads do without."""

_WRONG_USER: Final = (BadUserAccessDenied, BadIdentityTokenRejected, BadIdentityTokenInvalid)
_OPERATING: Final = (LinkError, TrustError, OSError, TimeoutError, UaError, asyncio.IncompleteReadError)

log = structlog.get_logger(__name__)


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
        self._half_made: Subscription | None = None
        self._served = False
        self._patience = 0.0
        self._subscribed = False
        self._unheard = 0
        self._reads = Reads(self._items, self._status, self._gaps)
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
            self._served, self._patience = False, 0.0
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
            await asyncio.sleep(max(delay, self._patience) * random.uniform(0.8, 1.2))
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
        self._subscription = self._half_made = None
        while True:
            try:
                await self._establish(connection)
                self._served = True
                reading = self._reads.verify if self._link.mode == "subscribe" else self._reads.poll
                await _first(connection.down.wait(), reading(connection), self._watch(), self._tend(connection))
            except Again:
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
        if self._half_made is not None:
            # One whose making broke off with the connection would go on in the session that was repaired.
            half_made, self._half_made = self._half_made, None
            await half_made.delete()
        if await connection.namespaces_changed():
            connection.resolve(self._items.all)
            if self._subscription is not None:
                await self._unsubscribe("the server has other namespaces than before")
        if self._subscription is not None:
            try:
                await self._subscription.take_over()
            except (OSError, TimeoutError, UaError) as error:
                await self._unsubscribe(explained(error))
        await self._writer.prepare(connection)
        self._up(connection)
        if self._subscription is not None:
            # What is read is good at once, however long the first message takes.
            await self._reads.everything(connection)
            await self._resume(connection, self._subscription)
        if self._subscription is None and self._link.mode == "subscribe":
            self._subscription = await self._subscribe(connection)
        await self._reads.everything(connection)
        if self._subscription is not None:
            self._subscription.resumed()

    async def _resume(self, connection: Connection, subscription: Subscription) -> None:
        """Waits until the subscription speaks again, and ends one that does not. Meanwhile what is silent is read."""
        try:
            await _first(subscription.resume(), self._reads.verify(connection), self._age(), connection.down.wait())
        except (OSError, TimeoutError, UaError) as error:
            if not connection.down.is_set():
                await self._unsubscribe(explained(error))
        if connection.down.is_set():
            raise LinkError("the connection broke again")

    async def _unsubscribe(self, outage: str = "") -> None:
        """Ends the subscription. ``outage``: what it would have told since is lost, and why."""
        subscription, self._subscription = self._subscription, None
        if outage:
            self._gaps.record("outage", asyncio.get_running_loop().time(), detail=outage)
        if subscription is not None:
            await subscription.delete()

    async def _subscribe(self, connection: Connection) -> Subscription | None:
        """A new subscription; ``None`` when the server has none for us, and all items are left to the reads."""
        if self._unheard >= MAX_UNHEARD:
            # The next connection may try again.
            self._unheard = 0
            self._read_instead("its subscriptions tell nothing")
            return None
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
                self._half_made = subscription
                raise
            await subscription.delete()
            self._read_instead(explained(error))
            return None
        except (OSError, TimeoutError):
            self._half_made = subscription
            raise
        self._status.details["subscription"] = subscription.details()
        self._subscribed = True
        return subscription

    def _read_instead(self, why: str) -> None:
        log.warning("no subscription; every value is read instead", link=self._name, error=why)
        self._status.details["subscription"] = {"refused": why}
        for item in self._items.all:
            item.forget(monitored=False, grace=0.0)

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
        if isinstance(error, MalformedAnswer):
            for device in self._status.devices.values():
                device.malformed += 1
        if isinstance(error, _WRONG_USER):
            self._patience = WRONG_USER_S
        if isinstance(error, UntrustedCertificate):
            self._certificates.rejected(error.thumbprint)

    def _heard(self, devices: Iterable[str]) -> None:
        """Counts a message as a reply of each device that it holds values of."""
        for tag in devices:
            self._status.devices[tag].replies += 1

    # -- watches -----------------------------------------------------------------------------------------------

    async def _age(self) -> None:
        """Looks at ages."""
        while True:
            await asyncio.sleep(WATCH_S)
            self._status.details["stale_items"] = self._items.age(asyncio.get_running_loop().time())

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
            if subscription.spoke.is_set():
                self._unheard = 0
            if now - subscription.last_message > subscription.silence:
                if not subscription.spoke.is_set():
                    # A request of asyncua's that was never answered would make every new subscription mute.
                    self._unheard += 1
                    raise LinkError("the server sends no messages of a new subscription")
                missed = subscription.last_message + subscription.revised.keep_alive
                self._end_subscription("silence", missed, f"{subscription.silence:.1f} s")

    def _end_subscription(self, cause: Cause, since: float, detail: str) -> None:
        """What was not read ``since`` the subscription is dead is bad now; the next round makes a new one."""
        now = asyncio.get_running_loop().time()
        self._gaps.record(cause, now, detail=detail)
        self._items.lose(now, since)
        raise Again

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
            details["oldest_source"] = self._items.oldest_source()
            if changed:
                now = asyncio.get_running_loop().time()
                self._gaps.record("outage", now, detail="the server has other namespaces than before")
                self._items.lose(now)
                raise Again
            await asyncio.sleep(HEALTH_S)


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
