"""The one interface between the controller and its field links.

Readings go into a sink in the very callback that decoded them; writes come in as values and are answered when
the device has been read back; what is no reading but worth a record goes out as an event. Nothing behind this port
waits for anything before it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from config.sample import Sample, Value

Sink = Callable[[Sequence[int], Sequence[Sample]], None]
"""Takes the readings of one reply: signal indices, and their samples in the same order."""

ROUND_TRIPS: Final = 256
"""Round trips remembered of a device, for the percentiles."""


class LinkEvent(NamedTuple):
    """Something that is no reading but worth a record: a gap in what a server sent, a command without effect.

    ``device`` is "" for what concerns the whole link. ``body`` is JSON data.
    """

    name: str
    link: str
    device: str
    body: Mapping[str, Any]


Notify = Callable[[LinkEvent], None]


class WriteResult(NamedTuple):
    """``ok`` when the device took the value and gave it back; ``detail`` says what was wrong otherwise."""

    ok: bool
    readback: Value
    detail: str = ""


@dataclass(slots=True)
class DeviceStatus:
    """Counters of one device since the start.

    ``missed``: polls left out because the bus was late. ``round_trips`` in seconds, the newest last.
    ``unconfirmed``: signals whose last command had no effect in time, and what was seen instead.
    """

    online: bool = False
    polls: int = 0
    replies: int = 0
    timeouts: int = 0
    exceptions: int = 0
    malformed: int = 0
    missed: int = 0
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=ROUND_TRIPS))
    unconfirmed: dict[str, str] = field(default_factory=dict)
    last_error: str = ""

    def round_trip(self, share: float) -> float | None:
        """The round trip, in seconds, that ``share`` of the last ones did not exceed; ``None`` before a reply."""
        if not self.round_trips:
            return None
        ordered = sorted(self.round_trips)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    def to_json(self) -> dict[str, Any]:
        """As JSON, for ``penstock status``."""
        return {
            "online": self.online,
            "polls": self.polls,
            "replies": self.replies,
            "timeouts": self.timeouts,
            "exceptions": self.exceptions,
            "malformed": self.malformed,
            "missed": self.missed,
            "round_trip_s": self.round_trips[-1] if self.round_trips else None,
            "round_trip_p50_s": self.round_trip(0.5),
            "round_trip_p99_s": self.round_trip(0.99),
            "unconfirmed": dict(self.unconfirmed),
            "last_error": self.last_error,
        }


@dataclass(slots=True)
class LinkStatus:
    """Counters of one link and of each device on it, since the start.

    ``busy_s``: seconds in which the bus was taken. ``stray_bytes`` belonged to no awaited reply. ``gaps``: losses of
    notifications that a server admitted or a sequence number showed. ``details``: what else there is to say of this
    kind of link, as JSON data.
    """

    connected: bool = False
    connects: int = 0
    busy_s: float = 0.0
    crc_errors: int = 0
    stray_bytes: int = 0
    gaps: int = 0
    last_error: str = ""
    devices: dict[str, DeviceStatus] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON, for ``penstock status``."""
        return {
            "connected": self.connected,
            "connects": self.connects,
            "busy_s": self.busy_s,
            "crc_errors": self.crc_errors,
            "stray_bytes": self.stray_bytes,
            "gaps": self.gaps,
            "last_error": self.last_error,
            "devices": {tag: device.to_json() for tag, device in self.devices.items()},
            "details": dict(self.details),
        }


class LinkDriver(Protocol):
    """A bus or a session."""

    @property
    def name(self) -> str:
        """The link's tag in the site file."""
        ...

    async def run(self) -> None:
        """Speaks with the link's devices until cancelled; an operating error never ends it."""
        ...

    def write(self, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        """Writes ahead of all polls, once, and reads back. The future never raises."""
        ...

    def status(self) -> LinkStatus:
        """How the link does."""
        ...
