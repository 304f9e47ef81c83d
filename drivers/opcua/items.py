"""The items of a link: what was last told and last read of each signal, and when it was last confirmed.

A subscription is silent about a value that does not change, so silence alone never keeps a value good. An item is
confirmed when the server tells its value or gives it to a read; one that was not confirmed within its
``stale_after`` is stale. What a read finds wins over what the subscription told; that the two differ for longer than
a message can be on its way is a gap.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua

from config.sample import NOT_YET_READ, Quality, Reason, Sample
from config.signals import Signal
from drivers.opcua import reading
from drivers.opcua.reading import Decoder
from drivers.port import Sink

NEVER: Final = float("-inf")
VERIFY_SHARE: Final = 0.4
"""An item is read when it was silent for this share of its ``stale_after``: one failed read still leaves time."""


@dataclass(slots=True, eq=False)
class Item:
    """One signal on the server. Times are on the loop's clock.

    ``monitored``: the subscription is to tell of it; ``grace``: how long a message may be on its way. ``patience``: how
    long it may be silent before it is read; one that is not told of is read each poll. ``told``: what the subscription
    said last, ``None`` before it said anything. ``doubt_until``: a read found something else, and the subscription
    has until then to tell it as well. ``read_source``: the server's time of the value last read, ``read_fresh`` until
    when a message may be older. ``last``: what the server said last, ``None`` while it is out of reach.
    """

    signal: Signal
    decode: Decoder
    node_id: ua.NodeId = field(default_factory=ua.NodeId)
    monitored: bool = False
    grace: float = 0.0
    patience: float = 0.0
    told: ua.DataValue | None = None
    told_at: float = NEVER
    confirmed: float = NEVER
    read_at: float = NEVER
    read_source: float | None = None
    read_fresh: float = NEVER
    doubt_until: float | None = None
    last: ua.DataValue | None = None
    shown: Sample = NOT_YET_READ
    stale: bool = False

    def __post_init__(self) -> None:
        self.forget(monitored=self.monitored, grace=self.grace)

    def due(self, now: float) -> bool:
        """True when it is to be read: silent for too long, in doubt for long enough, or not told of at all."""
        if self.doubt_until is not None:
            return now >= self.doubt_until
        return now - (self.confirmed if self.monitored else self.read_at) >= self.patience

    def forget(self, *, monitored: bool, grace: float) -> None:
        """Begins anew with a subscription that has told nothing yet."""
        self.told, self.told_at, self.doubt_until = None, NEVER, None
        self.monitored, self.grace = monitored, grace
        verify_after = self.signal.stale_after * VERIFY_SHARE
        self.patience = verify_after if monitored else min(self.signal.poll, verify_after)


class Items:
    """All items of a link, and the way of their values into the sink."""

    def __init__(self, signals: Iterable[Signal], sink: Sink) -> None:
        self.all = [Item(signal, reading.decoder(signal)) for signal in signals]
        self.by_index = {item.signal.index: item for item in self.all}
        self._sink = sink

    def tell(self, changes: Sequence[tuple[Item, ua.DataValue]], received: float) -> None:
        """Takes what a subscription told, the oldest first. ``received``: when it can have been measured at the latest.

        A value that is older by the server's own time than one just read is no news: it was on its way meanwhile.
        """
        indices: list[int] = []
        samples: list[Sample] = []
        for item, data in changes:
            item.told, item.told_at, item.doubt_until = data, received, None
            if received < item.read_fresh and _older(data, item.read_source):
                continue
            sample = item.decode(data, received)
            item.last, item.shown, item.confirmed, item.stale = data, sample, received, False
            indices.append(item.signal.index)
            samples.append(sample)
        if indices:
            self._sink(indices, samples)

    def read(self, items: Sequence[Item], values: Sequence[ua.DataValue], sent: float, received: float) -> list[Item]:
        """Takes what a read gave; returns the items of which the subscription has told something else for too long."""
        indices: list[int] = []
        samples: list[Sample] = []
        missed: list[Item] = []
        for item, data in zip(items, values, strict=True):
            item.read_at = received
            if item.told_at >= sent:
                # The subscription has spoken since: which of the two is newer nobody can say, and both are.
                continue
            self._note_read(item, data, received)
            if self._contradicts(item, data, received):
                missed.append(item)
            sample = item.decode(data, received)
            item.last, item.shown, item.confirmed, item.stale = data, sample, received, False
            indices.append(item.signal.index)
            samples.append(sample)
        if indices:
            self._sink(indices, samples)
        return missed

    def show(self, item: Item, data: ua.DataValue, received: float) -> Sample:
        """Takes a value read back after a write."""
        self._note_read(item, data, received)
        item.last, item.shown, item.confirmed, item.stale = data, item.decode(data, received), received, False
        self._sink([item.signal.index], [item.shown])
        return item.shown

    def lose(self, now: float, since: float = NEVER) -> None:
        """Makes every item bad that was not confirmed after ``since``: the server is out of reach."""
        losing = [item for item in self.all if item.confirmed <= since or since == NEVER]
        sample = reading.lost(now)
        for item in losing:
            item.last, item.shown, item.stale, item.confirmed = None, sample, False, NEVER
        if losing:
            self._sink([item.signal.index for item in losing], [sample] * len(losing))

    def age(self, now: float) -> int:
        """Marks what was not confirmed in time as stale; returns how many are."""
        aged = [
            item
            for item in self.all
            if now - item.confirmed > item.signal.stale_after
            and not item.stale
            and item.shown.quality is not Quality.BAD
        ]
        for item in aged:
            item.shown, item.stale = item.shown.degraded(Reason.STALE), True
        if aged:
            self._sink([item.signal.index for item in aged], [item.shown for item in aged])
        return sum(item.stale for item in self.all)

    def oldest_source(self) -> dict[str, Any] | None:
        """The signal whose value the server has had for longest, and for how long, by the server's own two times.

        For people: most servers date a value when it last changed, so that an old one is no fault by itself.
        """
        ages = [
            (age, item.signal.name)
            for item in self.all
            if item.last is not None and (age := reading.source_age(item.last)) is not None
        ]
        if not ages:
            return None
        age, name = max(ages)
        return {"signal": name, "age_s": round(age, 1)}

    @staticmethod
    def _note_read(item: Item, data: ua.DataValue, received: float) -> None:
        item.read_source = reading.source_time(data)
        item.read_fresh = received + item.grace

    @staticmethod
    def _contradicts(item: Item, data: ua.DataValue, received: float) -> bool:
        """True when a second look, after the time that a message may take, still finds what was not told."""
        if not item.monitored or (item.told is not None and reading.same(item.told, data)):
            item.doubt_until = None
            return False
        if item.doubt_until is None:
            item.doubt_until = received + item.grace
            return False
        if received < item.doubt_until:
            return False
        item.doubt_until, item.told = None, data
        return True


def _older(data: ua.DataValue, source: float | None) -> bool:
    """True when the server dates a value before ``source``."""
    time = reading.source_time(data)
    return source is not None and time is not None and time < source
