"""One subscription on a server: made with stated intervals, its messages counted, its losses found.

asyncua's own ``Subscription`` hides what is needed here: it makes a task of each value, never looks at a sequence
number, and asks for a keep-alive of most of a minute when the server revises an interval. This one stands on the
services of ``UaClient`` and ``UaSession`` alone, which are public and take the parameters of OPC 10000-4 as they are.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import BadMessageNotAvailable, UaError, UaStatusCodeError

from config.errors import LinkError
from drivers.opcua import reading
from drivers.opcua.errors import MalformedAnswer, decoding, status_name
from drivers.opcua.gaps import Gaps
from drivers.opcua.items import Item, Items

KEEP_ALIVE_S: Final = 1.0
"""A subscription that has nothing to tell says so this often."""
SILENCE_S: Final = 2.0
"""So much longer than a keep-alive may take is silence; together they stay well below the 5 s that is promised."""
RESUME_S: Final = 1.5
"""So much longer than a keep-alive may take is waited for the first message after a reconnect."""
LIFETIME_S: Final = 60.0
"""The server keeps a subscription that nobody asks for so long, as long as the session."""
MIN_PUBLISHING_S: Final = 0.05
MAX_PUBLISHING_S: Final = 1.0
CRITICAL_PUBLISHING_S: Final = 0.1
"""How long the server may gather changes at most where a signal is critical."""
MAX_NOTIFICATIONS: Final = 500
"""Values in one message. Decoding a message holds up the scan: 500 values take some 10 ms."""
CUT_S: Final = 5.0
"""A connection cut for so long loses nothing, as far as the server grants the queue for it."""
MIN_QUEUE: Final = 4
MAX_QUEUE: Final = 100
"""Values of an item that the server is asked to keep between two messages."""
MAX_REVISED_S: Final = 3600.0
"""No server that works publishes less often."""
MAX_REPUBLISH: Final = 100
"""Messages asked for again at a gap; a longer one is recorded as lost without asking."""
SEQUENCE_RANGE: Final = 0xFFFF_FFFF
"""Sequence numbers run from 1 to this and begin anew (OPC 10000-4, 7.32)."""
FIRST_HANDLE: Final = 1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Revised:
    """What the server made of the intervals asked for; seconds."""

    publishing: float
    keep_alive: float
    lifetime: float


def publishing_interval(items: Sequence[Item], asked: float | None) -> float:
    """How long the server may gather changes, in seconds: as asked, or as the fastest item needs it."""
    fastest = min((item.signal.poll for item in items), default=MAX_PUBLISHING_S)
    if any(item.signal.critical for item in items):
        fastest = min(fastest, CRITICAL_PUBLISHING_S)
    return asked if asked is not None else min(max(fastest, MIN_PUBLISHING_S), MAX_PUBLISHING_S)


def _counts(publishing: float) -> tuple[int, int]:
    """Publishing intervals until a keep-alive, and until the server forgets a subscription that nobody asks for."""
    keep_alive = max(round(KEEP_ALIVE_S / publishing), 1)
    return keep_alive, max(round(LIFETIME_S / publishing), 3 * keep_alive)


def sampling_interval(item: Item, publishing: float) -> float:
    """How often the server is to look at an item, in seconds: each poll, a critical one for every message."""
    return min(item.signal.poll, publishing) if item.signal.critical else item.signal.poll


def queue_size(sampling: float, publishing: float) -> int:
    """Values that the server is to keep of an item: more than fit between two messages, and what a short cut takes."""
    return min(max(math.ceil(publishing / sampling) + 1, math.ceil(CUT_S / sampling), MIN_QUEUE), MAX_QUEUE)


class Subscription:
    """One subscription with all items of a link. ``heard`` is told of which devices a message held values.

    ``spoke`` is set by every message; ``ended`` holds why the server ended it, ``failure`` what went wrong in taking a
    message. ``last_message`` is when the last one came, in seconds on the loop's clock.
    """

    def __init__(
        self,
        client: Client,
        link: str,
        items: Items,
        gaps: Gaps,
        heard: Callable[[Iterable[str]], None],
        timeout: float,
        items_per_call: int,
    ) -> None:
        self._client = client
        self._session = client.uaclient.session
        self._link = link
        self._items = items
        self._gaps = gaps
        self._heard = heard
        self._timeout = timeout
        self._items_per_call = items_per_call
        self._id = 0
        self._token = self._session.authentication_token
        self._expected = 1
        self._by_handle: dict[int, Item] = {}
        self._deleted = False
        self._released = asyncio.Event()
        self._released.set()
        self._broken_at: float | None = None
        self.failure: Exception | None = None
        self.revised = Revised(0.0, 0.0, 0.0)
        self.spoke = asyncio.Event()
        self.ended = ""
        self.last_message = float("-inf")
        self.republished = 0
        self.refused: dict[str, int] = {}
        self.slowest_sampling = 0.0
        self.shortest_queue = 0

    async def create(self, asked: float | None) -> None:
        """Makes the subscription and its items. Raises what asyncua raises; an item refused is left to the reads."""
        self.last_message = asyncio.get_running_loop().time()
        await self._open(publishing_interval(self._items.all, asked))
        if self._keeps_silent_too_long():
            await self._shorten_keep_alive()
        step = self._items_per_call
        for start in range(0, len(self._items.all), step):
            await self._create_items(self._items.all[start : start + step], FIRST_HANDLE + start)
        log.info("subscribed", link=self._link, **self.details())

    async def _open(self, publishing: float) -> None:
        keep_alive, lifetime = _counts(publishing)
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publishing * 1000,
            RequestedLifetimeCount=ua.UInt32(lifetime),
            RequestedMaxKeepAliveCount=ua.UInt32(keep_alive),
            MaxNotificationsPerPublish=ua.UInt32(MAX_NOTIFICATIONS),
            PublishingEnabled=True,
        )
        with decoding():
            async with asyncio.timeout(self._timeout):
                result = await self._client.uaclient.create_subscription(parameters, self._take)
            self._id = int(result.SubscriptionId)
            self.revised = _revised(result)

    def _keeps_silent_too_long(self) -> bool:
        keep_alive, _ = _counts(self.revised.publishing)
        return self.revised.keep_alive > (keep_alive + 0.5) * self.revised.publishing

    async def _shorten_keep_alive(self) -> None:
        """Asks for the keep-alive that fits the publishing interval that was granted, which is another than asked for.

        Some servers answer a change with what they had: then a second subscription takes the place of the first. One
        that grants neither is watched by what it said at first.
        """
        first, publishing = self._id, self.revised.publishing
        keep_alive, lifetime = _counts(publishing)
        parameters = ua.ModifySubscriptionParameters(
            SubscriptionId=ua.UInt32(first),
            RequestedPublishingInterval=publishing * 1000,
            RequestedLifetimeCount=ua.UInt32(lifetime),
            RequestedMaxKeepAliveCount=ua.UInt32(keep_alive),
            MaxNotificationsPerPublish=ua.UInt32(MAX_NOTIFICATIONS),
        )
        try:
            with decoding():
                async with asyncio.timeout(self._timeout):
                    self.revised = _revised(await self._client.uaclient.update_subscription(parameters))
            if self._keeps_silent_too_long():
                await self._open(publishing)
        except UaStatusCodeError as error:
            log.debug("keep-alive not shortened", link=self._link, error=status_name(error.code))
        if self._id != first:
            await self._delete(first)

    async def _create_items(self, items: Sequence[Item], first: int) -> None:
        requests: list[ua.MonitoredItemCreateRequest] = []
        for handle, item in enumerate(items, first):
            sampling = sampling_interval(item, self.revised.publishing)
            item.forget(monitored=True, grace=self._grace(sampling))
            self._by_handle[handle] = item
            requests.append(
                ua.MonitoredItemCreateRequest(
                    ItemToMonitor=ua.ReadValueId(NodeId=item.node_id, AttributeId=AttributeIds.Value),
                    MonitoringMode=ua.MonitoringMode.Reporting,
                    RequestedParameters=ua.MonitoringParameters(
                        ClientHandle=ua.UInt32(handle),
                        SamplingInterval=sampling * 1000,
                        QueueSize=ua.UInt32(queue_size(sampling, self.revised.publishing)),
                        DiscardOldest=True,
                    ),
                )
            )
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=ua.UInt32(self._id),
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=requests,
        )
        with decoding():
            async with asyncio.timeout(self._timeout):
                results = await self._client.uaclient.create_monitored_items(parameters)
            for item, result in zip(items, results, strict=True):
                if not result.StatusCode.is_good():
                    name = status_name(result.StatusCode.value)
                    self.refused[name] = self.refused.get(name, 0) + 1
                    item.forget(monitored=False, grace=0.0)
                    continue
                sampling = _seconds(result.RevisedSamplingInterval)
                item.grace = self._grace(sampling)
                self.slowest_sampling = max(self.slowest_sampling, sampling)
                queue = int(result.RevisedQueueSize)
                self.shortest_queue = min(self.shortest_queue or queue, queue)

    def _grace(self, sampling: float) -> float:
        """How long a change may be on its way: until it is sampled, until it is sent, and until it is here."""
        return max(sampling, 0.0) + self.revised.publishing + self._timeout / 2

    @property
    def silence(self) -> float:
        """Seconds without a message after which the subscription counts as dead."""
        return self.revised.keep_alive + SILENCE_S

    def suspend(self) -> None:
        """Called when the connection breaks: messages that come in once it is repaired wait for ``resume``."""
        self._released.clear()
        if self._broken_at is None:
            self._broken_at = self.last_message

    async def take_over(self) -> None:
        """Asks the server for the subscription after a reconnect. Raises ``UaError`` when the server has it no more.

        In the session it was made in nothing needs to be done; to a new one it is transferred.
        """
        token = self._session.authentication_token
        if token != self._token:
            parameters = ua.TransferSubscriptionsParameters(
                SubscriptionIds=[ua.UInt32(self._id)], SendInitialValues=False
            )
            with decoding():
                async with asyncio.timeout(self._timeout):
                    [result] = await self._session.transfer_subscriptions(parameters)
                result.StatusCode.check()
            self._token = token

    async def resume(self) -> None:
        """Takes messages again after a reconnect. Raises ``TimeoutError`` when none comes.

        What was sent meanwhile is found by the sequence number of the next message. Until ``resumed`` all that comes
        counts as measured when the connection broke.
        """
        self.spoke.clear()
        self._released.set()
        self._session.ensure_publish_loop()
        # A keep-alive is due within its interval; a server that sends none holds a dead subscription.
        async with asyncio.timeout(self.revised.keep_alive + RESUME_S):
            await self.spoke.wait()

    def resumed(self) -> None:
        """Called when everything was read since the reconnect: what comes from now on is of now."""
        self._broken_at = None

    async def delete(self) -> None:
        """Ends the subscription on the server, if it can still be told; what it still says is not heard."""
        self._deleted = True
        self._released.set()
        if self._id:
            await self._delete(self._id)

    async def _delete(self, number: int) -> None:
        try:
            with decoding():
                async with asyncio.timeout(self._timeout):
                    await self._client.uaclient.delete_subscriptions([number])
        except (LinkError, OSError, TimeoutError, UaError) as error:
            log.debug("subscription not ended in order", link=self._link, error=str(error))

    def details(self) -> dict[str, Any]:
        """What the server made of it, for people."""
        details: dict[str, Any] = {
            "items": len(self._by_handle) - sum(self.refused.values()),
            "publishing_s": self.revised.publishing,
            "keep_alive_s": self.revised.keep_alive,
            "lifetime_s": self.revised.lifetime,
            "sampling_s": self.slowest_sampling,
            "queue": self.shortest_queue,
        }
        if self.refused:
            details["refused"] = dict(self.refused)
        if self.shortest_queue and self.slowest_sampling and self.shortest_queue < self._queue_needed():
            details["queue_needed"] = self._queue_needed()
        if self.republished:
            details["republished"] = self.republished
        return details

    def _queue_needed(self) -> int:
        fastest = min((sampling_interval(item, self.revised.publishing) for item in self._items.all), default=1.0)
        return math.ceil(self.revised.publishing / fastest)

    # -- messages ----------------------------------------------------------------------------------------------

    async def _take(self, result: ua.PublishResult) -> None:
        """Takes one message. asyncua awaits this before it asks for the next one, and only logs what it raises."""
        await self._released.wait()
        if self._deleted or result.SubscriptionId != self._id:
            return
        try:
            await self._take_message(result)
        except Exception as error:
            self.failure = error
            raise

    async def _take_message(self, result: ua.PublishResult) -> None:
        now = asyncio.get_running_loop().time()
        before = self.last_message if self._broken_at is None else self._broken_at
        self.last_message = now
        with decoding():
            message = result.NotificationMessage
            number, told = int(message.SequenceNumber), _told(message)
        if message.NotificationData:
            ahead = (number - self._expected) % SEQUENCE_RANGE
            if ahead == SEQUENCE_RANGE - 1:
                # The last one again: a server may repeat what was not acknowledged before a break.
                self.spoke.set()
                return
            await self._fill(ahead, before, now)
            self._expected = number % SEQUENCE_RANGE + 1
            self._deliver(told, now if self._broken_at is None else self._broken_at)
        elif number:
            # A keep-alive carries the number of the message to come (OPC 10000-4, 5.13.1.1).
            ahead = (number - self._expected) % SEQUENCE_RANGE
            if ahead <= SEQUENCE_RANGE // 2:
                await self._fill(ahead, before, now)
                self._expected = number
        if not result.MoreNotifications:
            self.spoke.set()

    async def _fill(self, missing: int, before: float, now: float) -> None:
        """Asks again for ``missing`` messages; what the server no longer has is a gap.

        Their values were measured after ``before`` at the earliest, and that is how old they count.
        """
        if not missing:
            return
        if missing > SEQUENCE_RANGE // 2:
            self._gaps.record("sequence", now, detail=f"the server counts anew, {self._expected} was due")
            return
        lost = missing
        for told in await self._republished(min(missing, MAX_REPUBLISH)):
            lost -= 1
            self.republished += 1
            self._deliver(told, before)
        if lost:
            self._gaps.record("sequence", now, lost=lost, detail=f"from message {self._expected} on")

    async def _republished(self, count: int) -> list["_Told"]:
        """Those of the ``count`` next messages that the server can send again, within one time-out for all."""
        messages: list[_Told] = []
        try:
            async with asyncio.timeout(self._timeout):
                for ahead in range(count):
                    number = (self._expected - 1 + ahead) % SEQUENCE_RANGE + 1
                    try:
                        with decoding():
                            message = await self._session.republish(self._id, number)
                            told = _told(message)
                    except BadMessageNotAvailable:
                        continue
                    # asyncua's server answers an empty message where others say that it is not available.
                    if message.NotificationData:
                        messages.append(told)
        except MalformedAnswer:
            raise
        except (OSError, TimeoutError, UaError) as error:
            log.debug("not republished", link=self._link, error=str(error))
        return messages

    def _deliver(self, told: "_Told", received: float) -> None:
        changes: list[tuple[Item, ua.DataValue]] = []
        overflowed: list[Item] = []
        for handle, data in told.values:
            item = self._by_handle.get(handle)
            if item is None:
                continue
            changes.append((item, data))
            if reading.status_of(data) & reading.OVERFLOW == reading.OVERFLOW:
                overflowed.append(item)
        self.ended = told.ended or self.ended
        if changes:
            self._items.tell(changes, received)
            self._heard({item.signal.device for item, _ in changes})
        if overflowed:
            now = asyncio.get_running_loop().time()
            self._gaps.record("overflow", now, [item.signal for item in overflowed])


@dataclass(frozen=True, slots=True)
class _Told:
    """What one message says: values by the handle of their item, and why the subscription ends if it does."""

    values: list[tuple[int, ua.DataValue]]
    ended: str


def _told(message: ua.NotificationMessage) -> _Told:
    values: list[tuple[int, ua.DataValue]] = []
    ended = ""
    for notification in message.NotificationData or ():
        if isinstance(notification, ua.DataChangeNotification):
            values += [(int(one.ClientHandle), one.Value) for one in notification.MonitoredItems or ()]
        elif isinstance(notification, ua.StatusChangeNotification):
            ended = status_name(notification.Status.value)
    return _Told(values, ended)


def _revised(result: ua.CreateSubscriptionResult | ua.ModifySubscriptionResult) -> Revised:
    interval = _seconds(result.RevisedPublishingInterval)
    if not 0 < interval <= MAX_REVISED_S:
        raise ValueError(f"a publishing interval of {interval:g} s")
    return Revised(interval, interval * result.RevisedMaxKeepAliveCount, interval * result.RevisedLifetimeCount)


def _seconds(milliseconds: float) -> float:
    if not math.isfinite(milliseconds):
        raise ValueError(f"an interval of {milliseconds} ms")
    return milliseconds / 1000
