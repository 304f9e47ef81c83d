"""The one interface between the controller and its field links.

Readings go into a sink in the very callback that decoded them; writes come in as values and are answered when
the device has been read back. Nothing behind this port waits for anything before it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol

from config.sample import Sample, Value

Sink = Callable[[Sequence[tuple[int, Sample]]], None]
"""Takes the readings of one reply: pairs of signal index and sample."""


class WriteResult(NamedTuple):
    """``ok`` when the device took the value and gave it back; ``detail`` says what was wrong otherwise."""

    ok: bool
    readback: Value
    detail: str = ""


@dataclass(slots=True)
class DeviceStatus:
    """Counters of one device since the start. ``round_trip_s`` is the last one, ``None`` before a reply."""

    online: bool = False
    polls: int = 0
    replies: int = 0
    timeouts: int = 0
    exceptions: int = 0
    malformed: int = 0
    round_trip_s: float | None = None
    last_error: str = ""


@dataclass(slots=True)
class LinkStatus:
    """Counters of one link and of each device on it. ``stray_bytes`` belonged to no awaited reply."""

    connected: bool = False
    connects: int = 0
    crc_errors: int = 0
    stray_bytes: int = 0
    last_error: str = ""
    devices: dict[str, DeviceStatus] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON, for ``penstock status``."""
        return asdict(self)


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
