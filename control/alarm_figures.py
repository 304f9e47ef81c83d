"""Figures of the alarms: how many, how often, a flood, and which ones are a nuisance.

The measures are those of ISA-18.2 (clause 16) and EEMUA 191, for one operator position, which is the station: alarms in
10 minutes; a flood begins above 10 in 10 minutes and ends below 5; chattering is three or more within a minute;
fleeting is returned before a person could do anything; stale is standing for more than a day. An alarm counts when it
is announced; journal entries and what is suppressed do not. Memory is bounded: the newest ``MOST_RECENT`` times, and a
count a day of each alarm for ``DAYS`` days.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from control.event import Event, Kind
from control.instant import Instant

WINDOW_S: Final = 600.0
FLOOD_ABOVE: Final = 10
FLOOD_ENDS_BELOW: Final = 5
CHATTER_S: Final = 60.0
CHATTER_COUNT: Final = 3
FLEETING_S: Final = 10.0
STALE_S: Final = 86400.0
DAYS: Final = 7
DAY_S: Final = 86400
MOST_RECENT: Final = 1000
"""With more alarms than these in 10 minutes, the figure says 1000."""


@dataclass(frozen=True, slots=True)
class Count:
    """Of one alarm: ``last``, the newest times (monotonic s); how often it began to chatter, how often it fleeted."""

    last: tuple[float, ...] = ()
    chatters: int = 0
    fleeting: int = 0

    def chattering(self, now: Instant) -> bool:
        """True when its newest three came within a minute, and that minute is not over."""
        return len(self.last) == CHATTER_COUNT and now.mono - self.last[0] <= CHATTER_S


@dataclass(frozen=True, slots=True)
class Figures:
    """``recent``: when alarms were announced in the last 10 minutes (monotonic s). ``days``: counts by alarm, by UTC
    day since 1970, the newest last. ``flood_since_utc``: a flood is on."""

    recent: tuple[float, ...] = ()
    flood_since_utc: float | None = None
    floods: int = 0
    most_in_window: int = 0
    days: tuple[tuple[int, Mapping[str, int]], ...] = ()
    counts: Mapping[str, Count] = field(default_factory=dict)

    def step(
        self, occurred: Sequence[str], returned: Sequence[str], now: Instant
    ) -> tuple["Figures", tuple[Event, ...]]:
        """The figures after a scan in which these alarms were announced, and those returned unacknowledged."""
        fleeted = [alarm for alarm in returned if self._fleeting(alarm, now)]
        if not occurred and not fleeted and not (self.recent and now.mono - self.recent[0] > WINDOW_S):
            return self, ()
        since = now.mono - WINDOW_S
        kept = tuple(at for at in self.recent if at >= since)
        recent = (*kept, *(now.mono for _ in occurred))[-MOST_RECENT:]
        after = replace(self, recent=recent, most_in_window=max(self.most_in_window, len(recent)))
        if occurred or fleeted:
            after = replace(after, counts=self._counted(occurred, fleeted, now), days=self._day(occurred, now))
        return after._flood(now)

    def _fleeting(self, alarm: str, now: Instant) -> bool:
        last = self.counts.get(alarm, _NONE).last
        return bool(last) and now.mono - last[-1] <= FLEETING_S

    def _counted(self, occurred: Sequence[str], fleeted: Sequence[str], now: Instant) -> dict[str, Count]:
        counts = dict(self.counts)
        for alarm in occurred:
            before = counts.get(alarm, _NONE)
            after = replace(before, last=(*before.last, now.mono)[-CHATTER_COUNT:])
            begins = after.chattering(now) and not before.chattering(now)
            counts[alarm] = replace(after, chatters=before.chatters + begins)
        for alarm in fleeted:
            before = counts.get(alarm, _NONE)
            counts[alarm] = replace(before, fleeting=before.fleeting + 1)
        return counts

    def _day(self, occurred: Sequence[str], now: Instant) -> tuple[tuple[int, Mapping[str, int]], ...]:
        today = int(now.utc // DAY_S)
        earlier = [(day, counts) for day, counts in self.days if today - DAYS < day and day != today]
        counts = dict(next((counts for day, counts in self.days if day == today), {}))
        for alarm in occurred:
            counts[alarm] = counts.get(alarm, 0) + 1
        return tuple(sorted([*earlier, (today, counts)], key=lambda one: one[0])[-DAYS:])

    def _flood(self, now: Instant) -> tuple["Figures", tuple[Event, ...]]:
        many = len(self.recent)
        if self.flood_since_utc is None and many > FLOOD_ABOVE:
            body = {"alarms_in_10_min": many}
            begun = replace(self, flood_since_utc=now.utc, floods=self.floods + 1)
            return begun, (Event(Kind.EVENT, "alarm-flood", "alarms", body),)
        if self.flood_since_utc is not None and many < FLOOD_ENDS_BELOW:
            ended = {"alarms_in_10_min": many, "since_utc": self.flood_since_utc}
            return replace(self, flood_since_utc=None), (Event(Kind.EVENT, "alarm-flood-ended", "alarms", ended),)
        return self, ()

    def in_window(self, now: Instant) -> int:
        """How many were announced in the last 10 minutes."""
        return sum(1 for at in self.recent if now.mono - at <= WINDOW_S)

    def chattering(self, now: Instant) -> list[str]:
        """The alarms that chatter now."""
        return [alarm for alarm, count in self.counts.items() if count.chattering(now)]

    def most_frequent(self, limit: int = 10) -> list[tuple[str, int]]:
        """The alarms that came most often in the days counted, the most frequent first."""
        totals: dict[str, int] = {}
        for alarm, count in self._by_alarm():
            totals[alarm] = totals.get(alarm, 0) + count
        return sorted(totals.items(), key=lambda one: (-one[1], one[0]))[:limit]

    def _by_alarm(self) -> Iterator[tuple[str, int]]:
        for _, counts in self.days:
            yield from counts.items()


_NONE: Final = Count()


def to_saved(figures: Figures) -> dict[str, Any]:
    """What survives a restart: the counts, not the minutes."""
    return {
        "floods": figures.floods,
        "most_in_window": figures.most_in_window,
        "days": [[day, dict(counts)] for day, counts in figures.days],
        "counts": {
            alarm: [count.chatters, count.fleeting]
            for alarm, count in figures.counts.items()
            if count.chatters or count.fleeting
        },
    }


def from_saved(saved: dict[str, Any]) -> Figures:
    """The figures after a restart."""
    return Figures(
        floods=int(saved["floods"]),
        most_in_window=int(saved["most_in_window"]),
        days=tuple((int(day), dict(counts)) for day, counts in saved["days"]),
        counts={
            alarm: Count((), int(chatters), int(fleeting)) for alarm, (chatters, fleeting) in saved["counts"].items()
        },
    )
