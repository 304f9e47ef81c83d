"""Frames: how a PDU travels. MBAP on TCP, address and CRC on a serial line.

The frame says who is meant; whether a reply answers the request in hand is judged by ``transaction``.
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from pymodbus.framer.rtu import FramerRTU

MBAP_BYTES: Final = 7
MAX_ADU_BYTES: Final = 260
CRC_BYTES: Final = 2
LAST_READ_FUNCTION: Final = 4
"""Functions 01 to 04 read; their replies carry a byte count."""


class Expected(NamedTuple):
    """What a reply must look like: ``unit``, ``function`` and the length of its PDU."""

    unit: int
    function: int
    pdu_bytes: int
    transaction: int


@dataclass(slots=True)
class FrameCounts:
    """What arrived and was of no use."""

    stray_bytes: int = 0
    crc_errors: int = 0


class Framing(Protocol):
    """Cuts a byte stream into replies."""

    counts: FrameCounts

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        """The bytes to send."""
        ...

    def feed(self, data: bytes, expected: Expected | None) -> bytes | None:
        """Takes received bytes; returns the PDU of a reply by the expected unit and function, if there is one.

        A PDU of another length than expected is returned too, for the caller to refuse. Raises ``ValueError``
        when the stream can no longer be understood and must be closed.
        """
        ...

    def clear(self) -> None:
        """Drops what is half received, counting it as stray."""
        ...


class TcpFraming:
    """MODBUS Messaging on TCP/IP V1.0b, 3.1.3. A reply with another transaction id is late or foreign."""

    def __init__(self) -> None:
        self.counts = FrameCounts()
        self._buffer = b""

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu

    def feed(self, data: bytes, expected: Expected | None) -> bytes | None:
        buffer = self._buffer + data if self._buffer else data
        found: bytes | None = None
        while len(buffer) >= MBAP_BYTES:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", buffer)
            if protocol != 0 or not 2 <= length <= MAX_ADU_BYTES - MBAP_BYTES + 1:
                self.counts.stray_bytes += len(buffer)
                self._buffer = b""
                raise ValueError("bytes that are no Modbus TCP frame")
            end = 6 + length
            if len(buffer) < end:
                break
            pdu = buffer[MBAP_BYTES:end]
            mine = (
                expected is not None
                and found is None
                and transaction == expected.transaction
                and unit == expected.unit
                and pdu[0] & 0x7F == expected.function
            )
            if mine:
                found = pdu
            else:
                self.counts.stray_bytes += end
            buffer = buffer[end:]
        self._buffer = buffer
        return found

    def clear(self) -> None:
        # A frame cut off by a time-out still has its end to come; on TCP the stream stays in step.
        return


class RtuFraming:
    """MODBUS over Serial Line V1.02, 2.5.1. A reply carries no id, so only the awaited shape is taken."""

    def __init__(self) -> None:
        self.counts = FrameCounts()
        self._buffer = b""

    def frame(self, unit: int, pdu: bytes, transaction: int) -> bytes:
        body = bytes([unit]) + pdu
        return body + crc(body)

    def feed(self, data: bytes, expected: Expected | None) -> bytes | None:
        if expected is None:
            self.counts.stray_bytes += len(data)
            return None
        buffer = (self._buffer + data)[-2 * MAX_ADU_BYTES :]
        found = self._search(buffer, expected)
        self._buffer = b"" if found is not None else buffer
        return found

    def clear(self) -> None:
        if self._buffer:
            self.counts.stray_bytes += len(self._buffer)
            self.counts.crc_errors += 1
        self._buffer = b""

    def _search(self, buffer: bytes, expected: Expected) -> bytes | None:
        """The first place where an awaited frame stands whole; noise or an echo may stand before it."""
        for start in range(len(buffer) - 4):
            if buffer[start] != expected.unit:
                continue
            function = buffer[start + 1]
            if function == expected.function | 0x80:
                size = 5
            elif function == expected.function:
                # The echo of a request for 17 to 24 bits is as long as its reply, but has no byte count.
                if function <= LAST_READ_FUNCTION and buffer[start + 2] != expected.pdu_bytes - 2:
                    continue
                size = 1 + expected.pdu_bytes + CRC_BYTES
            else:
                continue
            frame = buffer[start : start + size]
            if len(frame) == size and crc(frame[:-2]) == frame[-2:]:
                self.counts.stray_bytes += len(buffer) - size
                return frame[1:-2]
        return None


def crc(data: bytes) -> bytes:
    """The two CRC bytes as they stand on the wire (MODBUS over Serial Line V1.02, 6.2.2)."""
    return FramerRTU.compute_CRC(data).to_bytes(2, "big")
