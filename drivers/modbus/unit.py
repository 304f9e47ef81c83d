"""What a bus knows of one unit: whether it answers, and which late replies of it may still come.

**The circuit breaker.** After ``DOWN_AFTER`` unanswered requests a unit is down: it is probed by its smallest read
only, and so seldom that all units that are down take at most ``DOWN_SHARE`` of the bus from those that answer.

**Late replies.** A reply on a serial line does not say which request it answers. But a device answers in order, so
that a reply proves that none to an earlier request will come. After a time-out the next read of the unit is therefore
one whose reply cannot be taken for the late one (another byte count or function); any answer to it clears the unit.
This needs no guess at how late a reply can be.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

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
LATEST_S: Final = 60.0
"""No reply is later than this."""
MAX_LATE: Final = 16
"""Requests that a unit may still answer. No device keeps so many; beyond that the oldest are forgotten."""


class _Late(NamedTuple):
    """A request that was given up at a time, on the loop's clock, and how its reply begins."""

    start: bytes
    at: float


@dataclass(slots=True)
class Unit:
    """One device on a bus. ``number``: the unit it is asked as; ``accept_any``: it may answer as another.

    ``held_until``, on the loop's clock: it is not polled before. ``known``: read requests that it has answered;
    others it may meet with silence because it has no such registers. ``vain``: how often each was left unanswered since
    it was answered. ``late``: what it may still answer, in the order in which it was asked. ``unanswered``: the last
    written value of each signal that had no reply. ``answered_at``: when it last did, ``written_at``:
    when a write to it last ended, by ``time.perf_counter``. ``probing``: it is asked only to hear whether it answers.
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
    vain: dict[bytes, int] = field(default_factory=dict)
    late: list[_Late] = field(default_factory=list)
    unanswered: dict[int, object] = field(default_factory=dict)
    probing: bool = False
    written_at: float = float("-inf")

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
        known = [read for read in probes if read.pdu in self.known]
        if not known:
            return probes[tries % len(probes)]
        if tries % 2:
            return probes[tries // 2 % len(probes)]
        return min(known, key=lambda read: self.vain.get(read.pdu, 0))

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

    def has_answered(self, pdu: bytes) -> None:
        """It has registers at the places that a read asks for."""
        self.known.add(pdu)
        self.vain.pop(pdu, None)

    def left_unanswered(self, pdu: bytes) -> None:
        """It has not answered a read, this time."""
        self.vain[pdu] = self.vain.get(pdu, 0) + 1

    # -- late replies ------------------------------------------------------------------------------------------------

    def may_be_late(self, start: bytes, now: float) -> bool:
        """True when a reply that begins so could be one to an earlier request."""
        late = self.late
        while late and late[0].at < now - LATEST_S:
            del late[0]
        return any(_alike(one.start, start) for one in late)

    def unlike(self, start: bytes, now: float, timeout: float) -> Read | None:
        """A read whose reply tells that no late one that begins with ``start`` will come.

        ``None`` when the device has no such read: then it must be left alone until ``may_be_late`` has become false,
        ``DRAIN_TIMEOUTS`` times ``timeout`` after it was given up.
        """
        read = self.plan.unlike(start, [one.start for one in self.late], self.known, self.vain)
        if read is None and now >= max(one.at for one in self.late) + DRAIN_TIMEOUTS * timeout:
            self.late.clear()
        return read

    def heard(self, start: bytes, now: float, *, whole: bool) -> None:
        """It has answered the request whose reply begins so; not ``whole``: with no more than its function.

        It may as well have been the first of its kind among those that were given up. What it was asked before that
        one is answered or never will be; what it was asked after may still be answered.
        """
        if not self.late:
            return
        alike = [
            i for i, one in enumerate(self.late) if (_alike(one.start, start) if whole else one.start[0] == start[0])
        ]
        if alike:
            del self.late[: alike[0] + 1]
            self.late.append(_Late(start, now))
        else:
            self.late.clear()

    def may_still_answer(self, start: bytes, now: float) -> None:
        """A request whose reply begins so was given up."""
        self.late.append(_Late(start, now))
        del self.late[:-MAX_LATE]


def _alike(one: bytes, other: bytes) -> bool:
    """True when the beginnings of two replies do not tell them apart."""
    return one.startswith(other) or other.startswith(one)
