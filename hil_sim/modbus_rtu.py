"""A Modbus RTU bus on a pseudo-terminal, with every unit of the link on it (MODBUS over Serial Line V1.02).

The controller opens the terminal's slave side as if it were a serial port. A pseudo-terminal is endlessly
fast, so the time that request and reply would take on the wire is waited out before the reply is given.
"""

import asyncio
import errno
import os
import time
import tty
from collections.abc import Mapping
from typing import Final

from hil_sim.unit import WRITE_TABLE, Unit
from hil_sim.wire_log import Event, WireLog

BITS_PER_CHAR: Final = 11
FAST_SILENCE_S: Final = 0.00175
"""Above 19200 baud the 3.5 characters of silence are this fixed time (serial line guide 2.5.1.1)."""
QUIET_S: Final = 0.02
"""Silence after which a fragment is dropped; far above 3.5 characters, because a scheduler is not a UART."""
DEVICE_DELAY_S: Final = 0.005
"""What a typical instrument takes to think, unless its profile says less."""
MAX_FRAME: Final = 256
MAX_REPLIES: Final = 8
"""A master has one request outstanding; who sends many more without waiting gets no answer to them."""
BROADCAST: Final = 0
CHUNK: Final = 4096


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


def _framed(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def _frame_length(data: bytes) -> int | None:
    """Length of the request that ``data`` begins with, ``None`` while or as long as that cannot be told."""
    if len(data) < 2:
        return None
    if 1 <= data[1] <= 6:
        return 8
    if data[1] in (15, 16):
        return 9 + data[6] if len(data) > 6 else None
    return None


class ModbusRtuServer:
    """One bus. ``path`` is the terminal that the controller opens.

    Frames for units that are not on the bus, and frames with a wrong CRC, get no answer; a broadcast is
    carried out by every unit and answered by none. ``refuse(True)`` cuts the cable: nothing is heard or
    said.
    """

    def __init__(self, link: str, units: Mapping[int, Unit], wire: WireLog, baudrate: int) -> None:
        self.link = link
        self.units = units
        self.wire = wire
        self.path = ""
        self.bad_frames = 0
        self._char_s = BITS_PER_CHAR / baudrate
        self._silence_s = 3.5 * self._char_s if baudrate <= 19200 else FAST_SILENCE_S
        self._master = self._slave = -1
        self._cut = False
        self._rest = b""
        self._quiet: asyncio.TimerHandle | None = None
        self._replies: set[asyncio.TimerHandle] = set()
        self._busy_until_s = 0.0

    async def start(self) -> None:
        """Makes the terminal.

        The slave side is held open so that a closing controller does not hang it up.
        """
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._readable)

    async def stop(self) -> None:
        """Takes the terminal away."""
        if self._master < 0:
            return
        self._loop.remove_reader(self._master)
        self._forget()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    async def refuse(self, on: bool) -> None:
        """Cuts the cable, or mends it."""
        self._cut = on
        self._forget()

    @property
    def endpoint(self) -> dict[str, object]:
        """What the site file says of this link."""
        return {"port": self.path}

    async def refresh(self) -> None:
        """Nothing to do: values are encoded when a request asks for them."""

    def _forget(self) -> None:
        self._rest = b""
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        for reply in self._replies:
            reply.cancel()
        self._replies.clear()

    def _readable(self) -> None:
        received_ns = time.monotonic_ns()
        try:
            data = os.read(self._master, CHUNK)
        except BlockingIOError:
            return
        if self._cut:
            return
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
        self._rest += data
        while (length := _frame_length(self._rest)) is not None and len(self._rest) >= length:
            frame = self._rest[:length]
            if crc16(frame):
                break
            self._rest = self._rest[length:]
            self._frame(frame, received_ns)
        if self._rest:
            self._quiet = self._loop.call_later(QUIET_S, self._silence, received_ns)

    def _silence(self, received_ns: int) -> None:
        """The line went quiet: what is left is a frame of a function we do not know, or rubbish."""
        frame, self._rest, self._quiet = self._rest, b"", None
        if 4 <= len(frame) <= MAX_FRAME and crc16(frame) == 0 and _frame_length(frame) is None:
            self._frame(frame, received_ns)
        else:
            self.bad_frames += 1

    def _frame(self, frame: bytes, received_ns: int) -> None:
        number, pdu = frame[0], frame[1:-2]
        if number == BROADCAST:
            for unit in self.units.values():
                if not unit.silent and pdu[0] in WRITE_TABLE:
                    unit.respond(pdu, self._loop.time())
            return
        addressed = self.units.get(number)
        if addressed is None or addressed.silent or len(self._replies) >= MAX_REPLIES:
            return
        reply, address, values = addressed.respond(pdu, self._loop.time())
        event = None
        if values is not None:
            if pdu[0] > 4:
                self.wire.add(Event(received_ns, self.link, number, "write", pdu[0], address, values))
            else:
                event = Event(0, self.link, number, "reply", pdu[0], address, values)
        sent = _framed(bytes((number,)) + reply)
        on_wire_s = (len(frame) + len(sent)) * self._char_s + 2 * self._silence_s
        device_s = min(DEVICE_DELAY_S, addressed.response_delay_s)
        # Half duplex: a reply never overtakes one that is still being sent.
        due_s = max(self._loop.time(), self._busy_until_s) + on_wire_s + device_s
        self._busy_until_s = due_s
        handle: asyncio.TimerHandle

        def send() -> None:
            self._replies.discard(handle)
            self._send(sent, event)

        handle = self._loop.call_at(due_s, send)
        self._replies.add(handle)

    def _send(self, data: bytes, event: Event | None) -> None:
        # Taken before: the other side may have the reply, and this process be set aside, before the call returns.
        sent_ns = time.monotonic_ns()
        try:
            os.write(self._master, data)
        except BlockingIOError:
            # Nobody reads the line; on a real bus the characters are lost just so.
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return
        if event is not None:
            self.wire.add(event._replace(t_ns=sent_ns))
