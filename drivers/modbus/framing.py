"""Frames: how a PDU travels. MBAP on TCP, address and CRC on a serial line or through a transparent converter.

A framing cuts what arrives into replies and gives out only those that answer a request in hand; all else is counted.
It does no I/O and knows no time, so that it can be fed anything.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from pymodbus.framer.rtu import FramerRTU

_MBAP: Final = struct.Struct(">HHHB")
MBAP_BYTES: Final = 7
MAX_ADU_BYTES: Final = 260
MAX_PDU_BYTES: Final = 253
MAX_RTU_BYTES: Final = 256
CRC_BYTES: Final = 2
LAST_READ_FUNCTION: Final = 4
"""Functions 01 to 04 read; their request is hardly ever like their reply."""
ECHOES_TO_BELIEVE: Final = 3
"""Requests heard back in a row after which a line counts as one that echoes."""


class Expected(NamedTuple):
    """The only reply that can answer a request.

    ``unit`` that must answer (``None``: any), ``start`` of its PDU (function and byte count of a read, address and
    value of a write), ``pdu_bytes`` its length.
    """

    unit: int | None
    start: bytes
    pdu_bytes: int


@dataclass(slots=True)
class FrameCounts:
    """What arrived and was of no use, or not quite right."""

    stray_bytes: int = 0
    crc_errors: int = 0
    echo_errors: int = 0
    odd_ids: int = 0


Reply = tuple[int, bytes]
"""The transaction that is answered, and the reply's PDU: as long as expected or an exception; on TCP any length."""


class Framing(Protocol):
    """Cuts a byte stream into replies."""

    counts: FrameCounts

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        """The bytes to send."""
        ...

    def feed(self, data: bytes, pending: Mapping[int, Expected]) -> list[Reply]:
        """Takes received bytes; returns the replies to the requests in hand, by transaction.

        Raises ``ValueError`` when the stream can no longer be understood and must be closed.
        """
        ...

    def given_up(self, transaction: int) -> None:
        """Nobody waits for this reply any more; what has come of it is of no use."""
        ...


class TcpFraming:
    """MODBUS Messaging on TCP/IP V1.0b, 3.1.3. A reply with another transaction id is late or foreign.

    Not ``strict``: transaction 0 is taken for the one request in hand, or unit 0 for the unit asked, as some servers
    answer.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.counts = FrameCounts()
        self._strict = strict
        self._buffer = b""

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu

    def feed(self, data: bytes, pending: Mapping[int, Expected]) -> list[Reply]:
        buffer = self._buffer + data if self._buffer else data
        replies: list[Reply] = []
        start, size = 0, len(buffer)
        while size - start >= MBAP_BYTES:
            transaction, protocol, length, unit = _MBAP.unpack_from(buffer, start)
            if protocol != 0 or not 2 <= length <= MAX_ADU_BYTES - MBAP_BYTES + 1:
                self.counts.stray_bytes += size - start
                self._buffer = b""
                raise ValueError("bytes that are no Modbus TCP frame")
            end = start + 6 + length
            if end > size:
                break
            pdu = buffer[start + MBAP_BYTES : end]
            expected = pending.get(transaction)
            if expected is None or unit != expected.unit or pdu[0] & 0x7F != expected.start[0]:
                transaction = self._leniently(transaction, unit, pdu[0], pending)
            if transaction is None or (replies and any(transaction == other for other, _ in replies)):
                self.counts.stray_bytes += end - start
            else:
                replies.append((transaction, pdu))
            start = end
        self._buffer = buffer[start:] if start < size else b""
        return replies

    def given_up(self, transaction: int) -> None:
        # A frame cut off by a time-out still has its end to come; on TCP the stream stays in step.
        return

    def _leniently(self, transaction: int, unit: int, function: int, pending: Mapping[int, Expected]) -> int | None:
        """The request that a reply answers which does not name it exactly, ``None`` when it answers none."""
        nameless = not self._strict and transaction == 0 and len(pending) == 1
        if nameless:
            [(transaction, expected)] = pending.items()
        elif transaction in pending:
            expected = pending[transaction]
        else:
            return None
        foreign = expected.unit is not None and unit != expected.unit
        # With neither name nor unit it could be anybody's.
        anybodys = nameless and (foreign or (unit == 0 and expected.unit is None))
        if function & 0x7F != expected.start[0] or anybodys or (foreign and (self._strict or unit != 0)):
            return None
        self.counts.odd_ids += nameless or foreign
        return transaction


class RtuFraming:
    """MODBUS over Serial Line V1.02, 2.5.1. A reply carries no id, so only the awaited shape is taken.

    ``echo``: the line is known to give back what is sent on it. A line that is not, and gives back every request,
    is found out; then the echo is taken off too.
    """

    def __init__(self, *, echo: bool = False) -> None:
        self.counts = FrameCounts()
        self._buffer = b""
        self._request = self._sent = b""
        self._echoes = ECHOES_TO_BELIEVE if echo else 0
        self._always_echoes = echo

    @property
    def echoes(self) -> bool:
        """True for a line that gives back what is sent on it."""
        return self._echoes >= ECHOES_TO_BELIEVE

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        self._drop_buffer()
        body = bytes([unit]) + pdu
        self._request = self._sent = body + crc(body)
        return self._sent

    def feed(self, data: bytes, pending: Mapping[int, Expected]) -> list[Reply]:
        if not pending:
            self.counts.stray_bytes += len(data)
            return []
        self._buffer += data
        if len(self._buffer) > 2 * MAX_RTU_BYTES:
            self.counts.stray_bytes += len(self._buffer) - 2 * MAX_RTU_BYTES
            self._buffer = self._buffer[-2 * MAX_RTU_BYTES :]
        self._take_off_echo()
        [(transaction, expected)] = pending.items()
        found = self._search(self._buffer, expected)
        if found is None:
            return []
        self._buffer = b""
        self._sent = b""
        return [(transaction, found)]

    def given_up(self, transaction: int) -> None:
        # What was sent is still looked for, and something else has come.
        if self._sent and self.echoes and not self._always_echoes and not self._sent.startswith(self._buffer):
            self._echoes = 0
        self._drop_buffer()

    def _drop_buffer(self) -> None:
        if self._buffer:
            self.counts.stray_bytes += len(self._buffer)
            self.counts.crc_errors += 1
        self._buffer = b""

    def _take_off_echo(self) -> None:
        """An echo stands first and is what was sent. One that comes back changed was overlaid by somebody else."""
        sent = self._sent
        if not sent or len(self._buffer) < len(sent):
            return
        # The echo of a write is just like its reply: only a line that has echoed reads before is known to echo it.
        is_read = sent[1] <= LAST_READ_FUNCTION
        if self._buffer.startswith(sent) and (self.echoes or is_read):
            self._buffer = self._buffer[len(sent) :]
            self._echoes = min(self._echoes + 1, ECHOES_TO_BELIEVE)
            if not self.echoes:
                self.counts.stray_bytes += len(sent)
        elif self._always_echoes:
            self.counts.echo_errors += 1
        elif is_read:
            self._echoes = 0
        self._sent = b""

    def _search(self, buffer: bytes, expected: Expected) -> bytes | None:
        """The first place where an awaited frame stands whole; noise or a foreign frame may stand before it."""
        if len(buffer) < 5 or (self._sent and self.echoes):
            return None
        start, function = expected.start, expected.start[0]
        whole = 1 + expected.pdu_bytes + CRC_BYTES
        for at in range(len(buffer) - 4):
            if expected.unit is not None and buffer[at] != expected.unit:
                continue
            if buffer[at + 1] == function | 0x80:
                size = 5
            elif buffer.startswith(start, at + 1):
                size = whole
            else:
                continue
            frame = buffer[at : at + size]
            if len(frame) == size and crc(frame[:-2]) == frame[-2:]:
                if frame == self._request and function <= LAST_READ_FUNCTION:
                    continue  # an echo with noise before it
                self.counts.stray_bytes += len(buffer) - size
                return frame[1:-2]
        return None


def crc(data: bytes) -> bytes:
    """The two CRC bytes as they stand on the wire (MODBUS over Serial Line V1.02, 6.2.2)."""
    return FramerRTU.compute_CRC(data).to_bytes(2, "big")
