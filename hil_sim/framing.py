"""Frames of Modbus: the RTU frame with its CRC, the TCP header, and where a request ends.

Framing is independent of what carries it: a transparent converter passes RTU frames over TCP.
"""

import asyncio
from collections.abc import Callable
from typing import Final

HEADER: Final = 7
MAX_LENGTH: Final = 254
"""Unit byte and the largest PDU (253 bytes), as the TCP header counts them."""
MAX_RTU_FRAME: Final = 256
MAX_UNREAD: Final = 4096
"""Bytes without a frame and without a silence: rubbish, dropped so that it cannot fill the memory."""
QUIET_S: Final = 0.02
"""Silence, beyond 3.5 characters, after which a fragment is dropped: a scheduler is not a UART."""
LOOK_S: Final = 0.002
"""Within this a loop that was held up has looked at what lies in its terminals and sockets."""


def crc16(data: bytes) -> int:
    """The Modbus CRC (polynomial A001 reflected, start FFFF); sent low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def _crc_entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (0xA001 if index & 1 else 0)
    return index


_CRC_TABLE: Final = tuple(_crc_entry(index) for index in range(256))


def rtu_frame(number: int, pdu: bytes) -> bytes:
    """Unit, PDU and CRC."""
    body = bytes((number,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def tcp_frame(head: bytes, number: int, pdu: bytes) -> bytes:
    """``head`` (transaction and protocol, 4 bytes), length, unit and PDU."""
    return head + (len(pdu) + 1).to_bytes(2, "big") + bytes((number,)) + pdu


def rtu_request_length(data: bytes) -> int | None:
    """Length of the request frame that ``data`` begins with, ``None`` while or as long as that cannot be told."""
    if len(data) < 2:
        return None
    function = data[1]
    if 1 <= function <= 6 or function == 8:
        return 8
    if function in (15, 16):
        return 9 + data[6] if len(data) > 6 else None
    if function == 22:
        return 10
    if function == 23:
        return 13 + data[10] if len(data) > 10 else None
    return None


class RtuReceiver:
    """Cuts what comes in into request frames, by their length or else by the silence behind them.

    ``bad_frames`` counts what was no frame. Bytes in pieces are put together; a fragment is dropped after ``QUIET_S``
    more than ``silence_s``, the 3.5 characters of the line.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, frame: Callable[[bytes, int], None], silence_s: float) -> None:
        self.bad_frames = 0
        self._quiet_s = silence_s + QUIET_S
        self._loop = loop
        self._frame = frame
        self._rest = b""
        self._quiet: asyncio.TimerHandle | None = None

    def feed(self, data: bytes, received_ns: int) -> None:
        """Takes what was received at ``received_ns``."""
        self._hush()
        self._rest += data
        while (length := rtu_request_length(self._rest)) is not None and len(self._rest) >= length:
            frame = self._rest[:length]
            if crc16(frame):
                break
            self._rest = self._rest[length:]
            self._frame(frame, received_ns)
        if len(self._rest) > MAX_UNREAD:
            self._rest = b""
            self.bad_frames += 1
        if self._rest:
            self._quiet = self._loop.call_later(self._quiet_s, self._silence, received_ns)

    def forget(self) -> None:
        """Drops what has come so far."""
        self._hush()
        self._rest = b""

    def _hush(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def _silence(self, received_ns: int) -> None:
        """The line went quiet, unless the loop was held up and has not looked at it meanwhile: it does so now."""
        self._quiet = self._loop.call_later(LOOK_S, self._ended, received_ns)

    def _ended(self, received_ns: int) -> None:
        """What is left is a request of another length, or rubbish."""
        frame, self._rest, self._quiet = self._rest, b"", None
        if 4 <= len(frame) <= MAX_RTU_FRAME and crc16(frame) == 0:
            self._frame(frame, received_ns)
        else:
            self.bad_frames += 1
