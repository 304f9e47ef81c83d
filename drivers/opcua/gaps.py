"""Gaps: what a server or the way from it has lost, counted at once and told in bounded events.

A gap is told the moment it is seen; more of its kind within ``EVENT_EVERY_S`` are gathered into one event, so that a
server that loses something in each message costs the record a line every ten seconds and no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog

from config.signals import Signal
from drivers.port import LinkEvent, LinkStatus, Notify

Cause = Literal["sequence", "overflow", "verify", "silence", "ended", "outage"]
"""What showed a gap.

``sequence``: messages are missing and the server could not send them again. ``overflow``: an item's queue on the
server was too short. ``verify``: a read found another value than the subscription had told. ``silence``: no message
and no keep-alive in time. ``ended``: the server ended the subscription. ``outage``: it was lost with its session.
"""

EVENT_EVERY_S: Final = 10.0
MAX_NAMES: Final = 10
"""Signals named in one event; the rest is counted."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pending:
    """Gaps of one cause that were not told yet."""

    told_at: float = float("-inf")
    gaps: int = 0
    lost: int = 0
    signals: dict[str, str] = field(default_factory=dict)
    more: int = 0
    detail: str = ""


class Gaps:
    """Counts the gaps of one link and tells them."""

    def __init__(self, link: str, status: LinkStatus, notify: Notify) -> None:
        self._link = link
        self._status = status
        self._notify = notify
        self._pending: dict[Cause, _Pending] = {}

    def record(self, cause: Cause, now: float, signals: Iterable[Signal] = (), lost: int = 0, detail: str = "") -> None:
        """Counts one gap. ``lost``: messages known to be lost; ``now`` in seconds on the loop's clock."""
        self._status.gaps += 1
        pending = self._pending.setdefault(cause, _Pending())
        pending.gaps += 1
        pending.lost += lost
        pending.detail = detail or pending.detail
        for signal in signals:
            if signal.name in pending.signals:
                continue
            if len(pending.signals) < MAX_NAMES:
                pending.signals[signal.name] = signal.device
            else:
                pending.more += 1
        self.flush(now)

    def flush(self, now: float) -> None:
        """Tells what has waited long enough."""
        for cause, pending in self._pending.items():
            if pending.gaps and now - pending.told_at >= EVENT_EVERY_S:
                self._tell(cause, pending)
                self._pending[cause] = _Pending(told_at=now)

    def _tell(self, cause: Cause, pending: _Pending) -> None:
        body: dict[str, object] = {"cause": cause, "gaps": pending.gaps}
        if pending.lost:
            body["lost"] = pending.lost
        if pending.signals:
            body["signals"] = list(pending.signals)
        if pending.more:
            body["more_signals"] = pending.more
        if pending.detail:
            body["detail"] = pending.detail
        devices = set(pending.signals.values())
        device = devices.pop() if len(devices) == 1 and not pending.more else ""
        log.warning("gap", link=self._link, device=device, **body)
        self._notify(LinkEvent("gap", self._link, device, body))
