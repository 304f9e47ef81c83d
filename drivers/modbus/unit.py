"""What a bus knows of one unit: whether it answers, and which late replies of it may still come.

**The circuit breaker.** After ``DOWN_AFTER`` unanswered requests a unit is down: it is probed by its smallest read
only, and so seldom that all units that are down take at most ``DOWN_SHARE`` of the bus from those that answer.

**Late replies.** A reply on a serial line does not say which request it answers. A device answers in order, so that
a reply to a later request proves that none to an earlier one will come. After a time-out the next read of the unit
is therefore one whose reply cannot be taken for the late one (another byte count or function); any answer to it
clears the unit. This needs no guess at how late a reply can be.
"""

from dataclasses import dataclass, field
from typing import Final

from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from drivers.port import DeviceStatus

BROADCAST: Final = 0
"""The unit that is every device of a bus (MODBUS over Serial Line V1.02, 2.1)."""
DOWN_AFTER: Final = 2
"""Unanswered requests after which a unit counts as down. One lost frame is no reason to blind a guard."""
DOWN_SHARE: Final = 0.05
"""Most of the bus' time that the units that are down may take together, while others answer."""
MIN_PROBE_S: Final = 0.05
PROBE_ROUND_TRIPS: Final = 4.0
"""A unit that is down is awaited this many of its slowest round trips, if any were seen: shorter than the time-out.

With each probe in vain it is awaited twice as long, up to the time-out: it may have become slower.
"""
MAX_DOUBLINGS: Final = 16
DRAIN_TIMEOUTS: Final = 3.0
"""How many time-outs must pass before a reply is believed again, of a unit for which there is no unlike request."""


@dataclass(slots=True)
class Unit:
    """One device on a bus. ``number``: the unit it is asked as; ``accept_any``: it may answer as another.

    ``held_until``, on the loop's clock: it is not polled before. ``known``: read requests that it has answered;
    others it may meet with silence because it has no such registers. ``late``: beginnings of replies that may still
    come, to be minded until ``late_until``. ``unanswered``: the last written value of each signal that had no
    reply. ``answered_at``: when it last did, by ``time.perf_counter``.
    """

    device: str
    number: int
    accept_any: bool
    response_delay: float
    signals: tuple[int, ...]
    status: DeviceStatus
    plan: DevicePlan
    parameters: Parameters
    silent: int = 0
    held_until: float = 0.0
    known: set[bytes] = field(default_factory=set)
    answered_at: float = float("-inf")
    late: set[bytes] = field(default_factory=set)
    late_until: float = float("inf")
    unanswered: dict[int, object] = field(default_factory=dict)

    @property
    def answers_as(self) -> int | None:
        """The unit that its replies name; ``None``: any."""
        return None if self.accept_any else self.number

    @property
    def down(self) -> bool:
        """True after ``DOWN_AFTER`` unanswered requests in a row."""
        return self.silent >= DOWN_AFTER

    def probe(self) -> Read:
        """What to ask it to hear whether it answers: what it has answered before, else each of its reads in turn.

        As a device may have been replaced by one that has other registers, so is every other probe of one that is
        down.
        """
        tries = max(self.silent - DOWN_AFTER, 0)
        probes = self.plan.probes
        known = next((read for read in probes if read.pdu in self.known), None)
        if known is None:
            return probes[tries % len(probes)]
        return known if tries % 2 == 0 else probes[tries // 2 % len(probes)]

    def probe_timeout(self, full: float) -> float:
        """How long a probe is awaited, in seconds; ``full`` is the time-out of a request in order."""
        slowest = self.status.round_trip(1.0)
        if slowest is None:
            return full
        doublings = min(max(self.silent - DOWN_AFTER, 0), MAX_DOUBLINGS)
        return min(full, max(PROBE_ROUND_TRIPS * slowest, MIN_PROBE_S) * 2.0**doublings)

    def answered(self) -> None:
        """It has answered, well or with an exception."""
        self.silent = 0
        self.held_until = 0.0
        self.unanswered.clear()

    def missed(self, now: float, timeout: float, retry: float, down: int, *, others_answer: bool) -> None:
        """It has left a request unanswered for ``timeout`` seconds.

        ``retry``: how often it is probed at most while it is down; ``down``: how many other units are.
        """
        self.silent += 1
        if not self.down:
            # Left alone for once: its late reply would only disturb what others are asked.
            self.held_until = now + timeout
            return
        share = timeout * (1.0 / DOWN_SHARE - 1.0) * (down + 1) if others_answer else 0.0
        self.held_until = now + max(retry, share)

    # -- late replies ------------------------------------------------------------------------------------------------

    def may_be_late(self, start: bytes, now: float) -> bool:
        """True when a reply that begins so could be one to an earlier request."""
        if now >= self.late_until:
            self.late.clear()
            self.late_until = float("inf")
        return start in self.late

    def unlike(self, now: float, timeout: float) -> Read | None:
        """A read whose reply can be no late one.

        ``None`` when the device has no such read: then it must be left alone until ``late_until``.
        """
        read = self.plan.unlike(self.late, self.known)
        if read is None and self.late_until == float("inf"):
            self.late_until = now + DRAIN_TIMEOUTS * timeout
        return read

    def heard(self, start: bytes, *, exception: bool) -> None:
        """It has answered a request whose reply begins so: what it was asked before is answered or never will be."""
        self.late.clear()
        self.late_until = float("inf")
        if exception:
            # It may be the refusal of an earlier request of the same function.
            self.late.add(start)

    def may_still_answer(self, start: bytes) -> None:
        """A request whose reply begins so was given up."""
        self.late.add(start)
