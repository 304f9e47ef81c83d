"""A Modbus RTU bus on a pseudo-terminal, with every unit of the link on it (MODBUS over Serial Line V1.02).

The controller opens the terminal's slave side as if it were a serial port. A pseudo-terminal is endlessly
fast, so the time that request and reply would take on the wire is waited out before the reply is given.
"""

import asyncio
import errno
import os
import termios
import time
import tty
from collections.abc import Mapping
from typing import Final

from hil_sim.bus import Bus, Request
from hil_sim.faults import Faults
from hil_sim.framing import RtuReceiver
from hil_sim.serial_line import SerialLine
from hil_sim.spoiling import garbled
from hil_sim.unit import Unit
from hil_sim.wire_log import WireLog

CHUNK: Final = 4096
OUTPUT_SPEED: Final = 5
"""Where ``termios.tcgetattr`` gives it."""
SPEEDS: Final = {
    getattr(termios, f"B{baudrate}"): baudrate
    for baudrate in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}


class ModbusRtuServer:
    """One bus. ``path`` is the terminal that the controller opens.

    Frames for units that are not on the bus, and frames with a wrong CRC, get no answer; a broadcast is carried out
    by every unit and answered by none. ``local_echo``: the adapter hears what it sends. ``refuse(True)`` cuts the
    cable: nothing is heard or said.
    """

    def __init__(
        self,
        link: str,
        units: Mapping[int, Unit],
        wire: WireLog,
        baudrate: int,
        *,
        turnaround_s: float = 0.0,
        local_echo: bool = False,
    ) -> None:
        self.link = link
        self.path = ""
        self.held = b""
        self.faults = Faults("link", "link on a terminal", *(["link with local_echo"] if local_echo else []))
        self._line = SerialLine(baudrate, turnaround_s)
        self.bus = Bus(link, units, wire, self.faults, tcp_framing=False, line=self._line)
        self.bus.outlets[self] = None
        self._echo = local_echo
        self._master = self._slave = -1
        self._cut = False
        self._foreign = 0

    async def start(self) -> None:
        """Makes the terminal.

        The slave side is held open so that a closing controller does not hang it up.
        """
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._loop = asyncio.get_running_loop()
        self._receiver = RtuReceiver(self._loop, self._frame, self._line.silence_s)
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

    @property
    def bad_frames(self) -> int:
        """How often something came that was no frame, or came at another speed."""
        return self._receiver.bad_frames + self._foreign

    @property
    def counts(self) -> dict[str, int]:
        """What a person who looks at the link wants to know."""
        return {"bad_frames": self.bad_frames, "hurried": self._line.hurried}

    async def refresh(self) -> None:
        """Nothing to do: values are encoded when a request asks for them."""

    def fault(self, name: str, on: bool, settings: Mapping[str, float], functions: tuple[int, ...] = ()) -> None:
        """Switches a fault of the link. Raises ``SimulatorError`` for one that makes no sense."""
        self.faults.switch(name, on, settings, functions)

    def tick(self, now_s: float) -> None:
        """Lets time pass: postponed and unasked things happen."""
        self.bus.tick(now_s)

    def send(self, data: bytes) -> bool:
        """Says something on the bus; false when nobody listens."""
        if self._cut or self._master < 0:
            return False
        if self.held:
            data, self.held = self.held + data, b""
        try:
            os.write(self._master, data)
        except BlockingIOError:
            # Nobody reads the line; on a real bus the characters are lost just so.
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        return True

    def _forget(self) -> None:
        self.held = b""
        self._receiver.forget()
        self.bus.forget()

    def _readable(self) -> None:
        received_ns = time.monotonic_ns()
        try:
            data = os.read(self._master, CHUNK)
        except BlockingIOError:
            return
        if self._cut:
            return
        if self._echo:
            collided = self.faults.take("collision", 0) is not None
            self.send(garbled(data, len(data) // 2) if collided else data)
            if collided:
                return
        if self._at_another_speed():
            self._foreign += 1
            return
        self._receiver.feed(data, received_ns)

    def _at_another_speed(self) -> bool:
        """True when the master's terminal is not set to the speed that the bus is said to run at."""
        fault = self.faults.active.get("wrong-speed")
        if fault is None:
            return False
        return SPEEDS.get(termios.tcgetattr(self._slave)[OUTPUT_SPEED]) != fault.settings["baudrate"]

    def _frame(self, frame: bytes, received_ns: int) -> None:
        self.bus.handle(Request(frame[0], frame[1:-2], None, received_ns), self, self._loop.time())
