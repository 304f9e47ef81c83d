"""Requests and the only replies that can answer them: send, await, or give up.

A reply counts only when it comes from the unit asked, begins as the request demands (function and byte count of a read,
address and value of a write) and has the length demanded, and on TCP carries the transaction id; anything else is
counted and dropped. Nothing is ever sent twice. The outcome is given to a callback in the very loop step in which the
reply was complete; there is no task that could end, and nothing that a cancellation could leave half done.
"""

import asyncio
import random
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, NamedTuple, cast

from drivers.modbus.framing import Expected, FrameCounts, Framing

_new = tuple.__new__
_EARLY_S: Final = 0.002
"""A loop's timer may fire this much before its time (uvloop counts in milliseconds)."""


class Outcome(Enum):
    """How an exchange ended."""

    REPLY = auto()
    EXCEPTION = auto()
    MALFORMED = auto()
    TIMEOUT = auto()
    LOST = auto()


REPLY: Final = Outcome.REPLY
"""For the path that every poll takes: in Python 3.11 a member of an enum costs ten times a name."""


class Request(NamedTuple):
    """A request's PDU, the only reply that can answer it, and how long that is awaited, in seconds."""

    pdu: bytes
    expected: Expected
    timeout: float


class Result(NamedTuple):
    """``pdu`` is the reply's; ``at`` the loop's time; ``took`` seconds since sending."""

    outcome: Outcome
    pdu: bytes
    at: float
    took: float


Done = Callable[[Any, Result], None]
"""Takes what the asker gave along, and the result."""


_Pending = tuple[float, float, Done, Any]
"""A request in hand: its deadline on the loop's clock, when it was sent, and who is told of its outcome."""


class Exchange(asyncio.Protocol):
    """A connection to a link's devices, with at most ``in_flight`` requests outstanding.

    ``lost`` is called once when the connection has ended, with the reason. ``silence``, in seconds, ends what comes in
    one go; ``talk_since``: when what came last and nobody had asked for began.
    """

    def __init__(
        self,
        framing: Framing,
        loop: asyncio.AbstractEventLoop,
        lost: Callable[[str], None],
        in_flight: int = 1,
        silence: float = 0.0,
    ) -> None:
        self._framing = framing
        self._loop = loop
        self._lost = lost
        self._in_flight = in_flight
        self._silence = silence
        self._transport: asyncio.Transport | None = None
        # Not from 1 on: a gateway may still have replies to requests of an earlier connection.
        self._transaction = random.randrange(0xFFFF)
        self._pending: dict[int, _Pending] = {}
        self._expected: dict[int, Expected] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._busy_since = 0.0
        self.ended = False
        self.busy_s = 0.0
        self.made: asyncio.Future[None] = loop.create_future()
        self.last_byte_at = float("-inf")
        self.talk_since = float("-inf")

    @property
    def free(self) -> bool:
        """True when a request may be sent now."""
        return self._transport is not None and len(self._pending) < self._in_flight

    @property
    def idle(self) -> bool:
        """True when nothing is awaited."""
        return not self._pending

    @property
    def counts(self) -> FrameCounts:
        """What arrived and was of no use."""
        return self._framing.counts

    def request(self, unit: int, request: Request, done: Done, context: Any = None) -> None:
        """Sends a request to a unit; ``done`` is called once with ``context`` and the result, within its time-out."""
        assert len(self._pending) < self._in_flight, "more requests than the link takes"
        assert self._transport is not None
        pdu, expected, timeout = request
        # The loop's clock may tick in milliseconds only; a round trip on TCP is shorter.
        deadline, sent_at = self._loop.time() + timeout, time.perf_counter()
        transaction = self._transaction = self._transaction % 0xFFFF + 1
        frame = self._framing.frame(unit, pdu, transaction)
        if not self._pending:
            self._busy_since = sent_at
        self._pending[transaction] = (deadline, sent_at, done, context)
        self._expected[transaction] = expected
        if deadline < self._timer_at:
            self._set_timer(deadline)
        self._transport.write(frame)

    def send(self, unit: int, pdu: bytes) -> None:
        """Sends what nobody answers: a broadcast."""
        assert self._transport is not None
        self._transport.write(self._framing.frame(unit, pdu, 0))

    def close(self, why: str) -> None:
        """Closes the connection at once; awaited replies end as LOST."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._gone(why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self.made.done():
            self.made.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._gone(str(exc) if exc is not None else "closed by the other side")

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        now = self._loop.time()
        if not self._pending and now - self.last_byte_at > self._silence:
            self.talk_since = now
        self.last_byte_at = now
        try:
            replies = self._framing.feed(data, self._expected)
        except ValueError as error:
            self.close(str(error))
            return
        for transaction, pdu in replies:
            expected = self._expected.get(transaction)
            if expected is None:
                # What an earlier reply led to has closed the connection.
                return
            if now > self._pending[transaction][0] + _EARLY_S:
                # The loop has stood still: how old this is nobody knows.
                self._end(transaction, Outcome.TIMEOUT, b"")
                continue
            if len(pdu) == expected.pdu_bytes and pdu.startswith(expected.start):
                outcome = REPLY
            elif pdu[0] & 0x80 and len(pdu) == 2:
                outcome = Outcome.EXCEPTION
            else:
                outcome = Outcome.MALFORMED
            self._end(transaction, outcome, pdu)

    def _gone(self, why: str) -> None:
        if self.ended:
            return
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        for transaction in list(self._pending):
            self._end(transaction, Outcome.LOST, b"")
        self._lost(why)

    def _expire(self) -> None:
        """Ends what has not been answered in time. The timer is not set anew for each request, but when it fires."""
        self._timer, self._timer_at = None, float("inf")
        now = self._loop.time() + _EARLY_S
        for transaction in [number for number, pending in self._pending.items() if pending[0] <= now]:
            if transaction in self._pending:
                self._framing.given_up(transaction)
                self._end(transaction, Outcome.TIMEOUT, b"")
        if self._pending:
            self._set_timer(min(pending[0] for pending in self._pending.values()))

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._expire), at

    def _end(self, transaction: int, outcome: Outcome, pdu: bytes) -> None:
        _, sent_at, done, context = self._pending.pop(transaction)
        del self._expected[transaction]
        now = time.perf_counter()
        if not self._pending:
            self.busy_s += now - self._busy_since
        at = self.talk_since = self.last_byte_at if outcome is REPLY else self._loop.time()
        done(context, _new(Result, (outcome, pdu, at, now - sent_at)))
