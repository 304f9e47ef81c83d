"""One exchange at a time with the devices of a Modbus link: send, await the only reply that fits, or give up.

A reply counts only when it comes from the unit asked, for the function asked, with the length asked (and on TCP
with the transaction id asked); anything else is counted and dropped. Nothing is ever sent twice. The outcome is
given to a callback in the very loop step in which the reply was complete.
"""

import asyncio
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple, cast

from pymodbus.transport.serialtransport import create_serial_connection

from config.errors import LinkError
from config.site import ModbusRtuLink, ModbusTcpLink
from drivers.modbus.framing import CRC_BYTES, Expected, FrameCounts, Framing, RtuFraming, TcpFraming

BITS_PER_CHARACTER: Final = 11
"""Start, eight data, parity or second stop, stop (MODBUS over Serial Line V1.02, 2.5.1)."""
FAST_LINE_BAUD: Final = 19200
FAST_LINE_SILENCE_S: Final = 0.00175
"""Above 19,200 baud the silence between frames is fixed (V1.02, 2.5.1.1)."""


class Outcome(Enum):
    """How an exchange ended."""

    REPLY = auto()
    EXCEPTION = auto()
    MALFORMED = auto()
    TIMEOUT = auto()
    LOST = auto()


class Result(NamedTuple):
    """``pdu`` is the reply's (of REPLY and EXCEPTION); ``at`` the loop's time; ``took`` seconds since sending."""

    outcome: Outcome
    pdu: bytes
    at: float
    took: float


Done = Callable[[Result], None]


class Exchange(asyncio.Protocol):
    """A connection to a link's devices, with at most one request outstanding."""

    def __init__(self, framing: Framing, loop: asyncio.AbstractEventLoop, lost: Callable[[str], None]) -> None:
        self._framing = framing
        self._loop = loop
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._transaction = 0
        self._expected: Expected | None = None
        self._done: Done | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._reserved = False
        self.made: asyncio.Future[None] = loop.create_future()
        self.last_byte_at = float("-inf")

    @property
    def busy(self) -> bool:
        """True while a reply is awaited, the line is kept for one caller, or there is no line any more."""
        return self._done is not None or self._reserved or self._transport is None

    def reserve(self) -> None:
        """Keeps the line for one caller, who must release it."""
        self._reserved = True

    def release(self) -> None:
        """Ends ``reserve``."""
        self._reserved = False

    @property
    def counts(self) -> FrameCounts:
        """What arrived and was of no use."""
        return self._framing.counts

    def request(self, unit: int, pdu: bytes, reply_bytes: int, timeout: float, done: Done) -> None:
        """Sends a request whose reply PDU has ``reply_bytes``; ``done`` is called once, within ``timeout``."""
        assert self._done is None, "one request at a time"
        assert self._transport is not None
        self._framing.clear()
        self._transaction = self._transaction % 0xFFFF + 1
        self._expected = Expected(unit, pdu[0], reply_bytes, self._transaction)
        self._done = done
        self._sent_at = time.perf_counter()
        self._timer = self._loop.call_later(timeout, self._timed_out)
        self._transport.write(self._framing.frame(unit, pdu, self._transaction))

    def close(self) -> None:
        """Closes the connection; an awaited reply ends as LOST."""
        self._abort()
        self._end(Outcome.LOST, b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self.made.done():
            self.made.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(Outcome.LOST, b"")
        self._lost(str(exc) if exc is not None else "closed by the other side")

    def data_received(self, data: bytes) -> None:
        self.last_byte_at = self._loop.time()
        try:
            pdu = self._framing.feed(data, self._expected)
        except ValueError as error:
            self._abort()
            self._end(Outcome.MALFORMED, str(error).encode())
            return
        if pdu is None:
            return
        assert self._expected is not None
        if pdu[0] & 0x80:
            self._end(Outcome.EXCEPTION if len(pdu) == 2 else Outcome.MALFORMED, pdu)
        elif len(pdu) != self._expected.pdu_bytes:
            self._end(Outcome.MALFORMED, pdu)
        else:
            self._end(Outcome.REPLY, pdu)

    def _abort(self) -> None:
        # Gone at once: whoever hears of the end must not send anything more on it.
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _timed_out(self) -> None:
        self._end(Outcome.TIMEOUT, b"")

    def _end(self, outcome: Outcome, pdu: bytes) -> None:
        done, timer = self._done, self._timer
        if done is None:
            return
        self._done = self._timer = self._expected = None
        if timer is not None:
            timer.cancel()
        # The loop's clock may tick in milliseconds only; a round trip on TCP is shorter.
        done(Result(outcome, pdu, self._loop.time(), time.perf_counter() - self._sent_at))


class LineTiming(NamedTuple):
    """What a line adds: seconds per byte (0 on TCP) and the silence needed before a frame."""

    byte_s: float
    silence_s: float

    def transfer_s(self, request_pdu: int, reply_pdu: int) -> float:
        """How long a request and its reply take on the line."""
        return (request_pdu + reply_pdu + 2 * (1 + CRC_BYTES)) * self.byte_s


def line_timing(link: ModbusTcpLink | ModbusRtuLink) -> LineTiming:
    """The timing of a link: t3.5 by baud rate, and at least the turnaround the site asks for."""
    if isinstance(link, ModbusTcpLink):
        return LineTiming(0.0, 0.0)
    byte_s = BITS_PER_CHARACTER / link.baudrate
    silence = FAST_LINE_SILENCE_S if link.baudrate > FAST_LINE_BAUD else 3.5 * byte_s
    return LineTiming(byte_s, max(silence, link.turnaround))


async def connect(link: ModbusTcpLink | ModbusRtuLink, lost: Callable[[str], None]) -> Exchange:
    """Opens a link. Raises ``LinkError`` when that fails or takes longer than the link's time-out."""
    loop = asyncio.get_running_loop()
    try:
        if isinstance(link, ModbusTcpLink):
            async with asyncio.timeout(link.timeout):
                _, exchange = await loop.create_connection(
                    lambda: Exchange(TcpFraming(), loop, lost), link.host, link.port
                )
            return exchange
        _, protocol = await create_serial_connection(
            loop,
            lambda: Exchange(RtuFraming(), loop, lost),
            link.port,
            baudrate=link.baudrate,
            bytesize=8,
            parity=link.parity,
            stopbits=link.stopbits,
            timeout=0,
        )
        exchange = cast("Exchange", protocol)
        async with asyncio.timeout(link.timeout):
            await exchange.made  # the serial transport announces itself some loop steps later
        return exchange
    except TimeoutError as error:
        raise LinkError(f"no connection within {link.timeout:g} s") from error
    except (OSError, ValueError) as error:  # pyserial's SerialException is an OSError
        raise LinkError(str(error)) from error
