"""The way to the units of a link: opens it, keeps it open, and sends one request after the other as the line allows.

It keeps the silence that a serial line needs before a frame, computes each deadline from line speed and device, and
sees to it that a late reply can never be taken for the answer to a later request (``unit``).
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import structlog

from config.errors import LinkError
from config.link import ModbusLink, ModbusTcpLink
from drivers.modbus.framing import MAX_PDU_BYTES, Expected
from drivers.modbus.transaction import REPLY, Done, Exchange, Outcome, Request, Result
from drivers.modbus.transport import connect, has_transaction_ids, line_timing
from drivers.modbus.unit import Unit
from drivers.port import LinkStatus

FIRST_RECONNECT_S: Final = 0.2
NEVER: Final = float("-inf")
STOPPED: Final = "the driver was stopped"
ODD_IDS: Final = "replies with ids of 0"
LONGEST_TALK_S: Final = 1.0
"""A line on which something that nobody asked for comes without a pause for so long, and a frame, is given up."""
WRITES: Final = frozenset({5, 6, 15, 16, 22, 23})
"""The reply to a write tells what was written: a late one does no harm. And a closing valve waits for nothing."""
BROADCAST_PAUSE_S: Final = 0.2
"""What devices get to carry out a broadcast once it has left (MODBUS over Serial Line V1.02, 2.4.1: 100 to 200 ms)."""

log = structlog.get_logger(__name__)


class _Wanted(NamedTuple):
    """A request that waits until nothing can be taken for its reply."""

    unit: Unit
    request: Request
    done: Done
    context: Any


class Line:
    """One link.

    ``up`` and ``down`` are called when it has opened and ended, ``free`` when it may take a request again, ``book``
    with the outcome of every request and the time, in seconds, that it was awaited.
    """

    def __init__(
        self,
        name: str,
        link: ModbusLink,
        up: Callable[[], None],
        down: Callable[[str], None],
        free: Callable[[], None],
        book: Callable[[Unit, Result, float], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._link = link
        self._up = up
        self._down = down
        self._free = free
        self._book = book
        self._timing = line_timing(link)
        self._longest_talk = LONGEST_TALK_S + self._timing.frame_s(MAX_PDU_BYTES)
        self._has_ids = has_transaction_ids(link)
        self._overlaps = isinstance(link, ModbusTcpLink) and link.in_flight > 1
        self._exchange: Exchange | None = None
        self._gone = asyncio.Event()
        self._needed = asyncio.Event()
        self._resting = False
        self._ended = False
        self._failure: Exception | None = None
        self._answered = False
        self._quiet_until = NEVER
        self._paced = self._timing.silence_s > 0
        self._next: _Wanted | None = None
        self._next_timer: asyncio.TimerHandle | None = None
        self._requests = 0
        self._past = LinkStatus()
        self.status = LinkStatus()
        self.asked_at = NEVER

    @property
    def connected(self) -> bool:
        """True while requests can be sent, or could be after a moment's connecting."""
        return self.status.connected

    @property
    def idle(self) -> bool:
        """True when nothing is awaited."""
        return self._exchange is None or (self._exchange.idle and self._next is None)

    def count(self) -> None:
        """Brings the figures in ``status`` up to date."""
        status, past = self.status, self._past
        status.busy_s = past.busy_s + self._requests * self._timing.silence_s
        status.stray_bytes, status.crc_errors = past.stray_bytes, past.crc_errors
        status.details = dict(past.details)
        if self._exchange is not None:
            counts = self._exchange.counts
            if counts.odd_ids:
                status.details[ODD_IDS] = past.details.get(ODD_IDS, 0) + counts.odd_ids
            status.busy_s += self._exchange.busy_s
            status.stray_bytes += counts.stray_bytes
            status.crc_errors += counts.crc_errors + counts.echo_errors

    async def run(self) -> None:
        """Keeps the link open until cancelled. Raises what ``fail`` was told."""
        delay = FIRST_RECONNECT_S
        self._ended, self._failure = False, None
        try:
            while True:
                self._gone.clear()
                self._answered = False
                try:
                    exchange = await connect(self._link, self._lost)
                except LinkError as error:
                    self._ended_because(error.message)
                else:
                    if exchange.ended:
                        self._ended_because("closed by the other side at once")
                    else:
                        self._exchange = exchange
                        self._opened()
                        await self._gone.wait()
                if self._resting:
                    await self._needed.wait()
                if self._failure is not None:
                    raise self._failure
                if self._resting:
                    delay = FIRST_RECONNECT_S
                    continue
                if self._answered:
                    delay = FIRST_RECONNECT_S
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                delay = min(delay * 2, self._link.retry)
        finally:
            self._ended = True
            self._resting = False
            self.close(STOPPED)
            self.status.connected = False
            self.status.last_error = STOPPED

    def fail(self, error: Exception) -> None:
        """Ends ``run`` with an error of ours: a bus that has stumbled over one must not go on doing nothing."""
        if self._failure is None:
            self._failure = error
        self._gone.set()
        self._needed.set()

    def ready_at(self) -> float | None:
        """When a request may be sent; a time gone by is now, ``None`` not before a reply or a connection has come."""
        exchange = self._exchange
        if exchange is None or not exchange.free or self._next is not None:
            return None
        if not self._paced:
            return NEVER
        if exchange.last_byte_at - exchange.talk_since > self._longest_talk:
            self._loop.call_soon(self.close, "the line is never silent")
            return None
        return max(exchange.last_byte_at + self._timing.silence_s, self._quiet_until)

    def prepared(self, unit: Unit, pdu: bytes, start: bytes, reply_bytes: int) -> Request:
        """A request to a unit whose reply begins with ``start`` and has ``reply_bytes``.

        It is awaited as long as it takes on the line and in the device, and the link's margin.
        """
        timeout = self._timing.transfer_s(len(pdu), reply_bytes) + unit.response_delay + self._link.timeout
        return Request(pdu, Expected(unit.answers_as, start, reply_bytes), timeout)

    def request(self, unit: Unit, request: Request, done: Done, context: Any) -> None:
        """Asks a unit; ``done`` is called once. To be called only when ``ready_at`` allows it.

        If a late reply of the unit could be taken for this one's, it is asked something else first; if that is not
        answered, neither was this.
        """
        assert self._exchange is not None
        self._requests += 1
        self.asked_at = self._loop.time()
        start = request.expected.start
        if unit.late and start[0] not in WRITES and unit.may_be_late(start, self._loop.time()):
            self._clear_up(_Wanted(unit, request, done, context))
            return
        self._exchange.request(unit.number, request, self._asked, (unit, request, done, context))

    def broadcast(self, pdu: bytes) -> None:
        """Sends to every unit; nobody answers."""
        assert self._exchange is not None
        self._requests += 1
        self.asked_at = self._loop.time()
        self._exchange.send(0, pdu)
        self._paced = True
        self._quiet_until = self._loop.time() + self._timing.frame_s(len(pdu)) + BROADCAST_PAUSE_S

    def rest(self) -> None:
        """Gives the connection up until ``need``."""
        if self._exchange is not None:
            self._resting = True
            self._needed.clear()
            self._exchange.close("the round is done")

    def need(self) -> None:
        """Opens the connection again if it rests."""
        self._needed.set()

    def close(self, why: str) -> None:
        """Ends the connection at once; ``run`` opens it anew."""
        if self._exchange is not None:
            self._exchange.close(why)

    # -- opening and ending ------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        self.status.connects += 1
        if self._resting:
            self._resting = False
            self._free()
            return
        log.info("link up", link=self._name)
        self.asked_at = self._loop.time()
        self.status.connected = True
        self.status.last_error = ""
        self._up()

    def _lost(self, why: str) -> None:
        """The exchange has ended; every awaited reply was given up before this is called."""
        try:
            self._let_go(why)
        except Exception as error:
            self.fail(error)
        self._gone.set()

    def _let_go(self, why: str) -> None:
        self.count()
        self._past.busy_s = self.status.busy_s - self._requests * self._timing.silence_s
        self._past.stray_bytes, self._past.crc_errors = self.status.stray_bytes, self.status.crc_errors
        self._past.details = dict(self.status.details)
        self._exchange = None
        if self._next_timer is not None:
            self._next_timer.cancel()
            self._next_timer = None
        wanted, self._next = self._next, None
        if wanted is not None:
            wanted.done(wanted.context, Result(Outcome.LOST, b"", self._loop.time(), 0.0))
        if not self._resting and not self._ended:
            self._ended_because(why)

    def _ended_because(self, why: str) -> None:
        if why != self.status.last_error:
            log.warning("link down", link=self._name, error=why)
        self._resting = False
        self.status.connected = False
        self.status.last_error = why
        self._down(why)

    # -- late replies ------------------------------------------------------------------------------------------------

    def _clear_up(self, wanted: _Wanted) -> None:
        """Asks what no late reply can be taken for, and then what is wanted."""
        assert self._exchange is not None
        start, timeout = wanted.request.expected.start, wanted.request.timeout
        read = wanted.unit.unlike(start, self._loop.time(), timeout)
        if read is None:
            # Nothing can be told apart: the unit is left alone until its late reply must have come.
            self._loop.call_soon(self._gave_up, wanted, Result(Outcome.TIMEOUT, b"", self._loop.time(), 0.0))
            return
        request = self.prepared(wanted.unit, read.pdu, read.reply_start, read.reply_bytes)
        self._exchange.request(wanted.unit.number, request, self._cleared, (request, wanted))

    def _cleared(self, context: tuple[Request, _Wanted], result: Result) -> None:
        request, wanted = context
        try:
            self._book(wanted.unit, result, request.timeout)
            self._note(wanted.unit, request, result)
            if result.outcome is REPLY:
                wanted.unit.has_answered(request.pdu)
            elif result.outcome is Outcome.TIMEOUT:
                wanted.unit.left_unanswered(request.pdu)
        except Exception as error:
            self.fail(error)
        if result.outcome in (Outcome.TIMEOUT, Outcome.LOST):
            self._gave_up(wanted, result)
            return
        # The line needs its silence first.
        self._next = wanted
        self._next_timer = self._loop.call_later(self._timing.silence_s, self._send_next)

    def _send_next(self) -> None:
        wanted, self._next, self._next_timer = self._next, None, None
        assert wanted is not None
        self.request(*wanted)

    def _gave_up(self, wanted: _Wanted, result: Result) -> None:
        try:
            wanted.done(wanted.context, result)
        except Exception as error:
            self.fail(error)
        self._free()

    def _asked(self, context: tuple[Unit, Request, Done, Any], result: Result) -> None:
        unit, request, done, inner = context
        try:
            if self._overlaps and request.expected.start[0] in WRITES:
                unit.written_at = time.perf_counter()
            self._book(unit, result, request.timeout)
            if self._has_ids and result.outcome is REPLY:
                self._answered = True
            else:
                self._note(unit, request, result)
            done(inner, result)
        except Exception as error:
            self.fail(error)
        self._free()

    def _note(self, unit: Unit, request: Request, result: Result) -> None:
        outcome = result.outcome
        if outcome is REPLY or outcome is Outcome.EXCEPTION:
            self._answered = True
        if self._has_ids:
            return
        if outcome is Outcome.TIMEOUT or outcome is Outcome.LOST:
            unit.may_still_answer(request.expected.start, result.at)
        else:
            unit.heard(request.expected.start, result.at, whole=outcome is REPLY)
