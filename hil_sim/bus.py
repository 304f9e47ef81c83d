"""One link behind its server: which unit answers a request, when, and what becomes of the reply on its way.

The servers cut frames out of what they receive; here they all meet. Without faults and without a serial line a reply
goes out at once; that way is kept short, because benchmarks run on it.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from hil_sim.faults import Fault, Faults
from hil_sim.pdu import GATEWAY_TARGET_SILENT, WRITE_TABLE, Answer
from hil_sim.serial_line import DEVICE_DELAY_S, SerialLine
from hil_sim.spoiling import READS, Reply, Take, spoil
from hil_sim.unit import Unit
from hil_sim.wire_log import Event, WireLog

BROADCAST: Final = 0
MAX_PENDING: Final = 64
"""Replies under way. A master has a few requests outstanding; who sends many more gets no answer to them."""
ACKNOWLEDGE: Final = 0x05
BUSY: Final = 0x06
GATEWAY_PATH: Final = 0x0A
CODES: Final = {
    "busy": BUSY,
    "acknowledge": ACKNOWLEDGE,
    "gateway-path": GATEWAY_PATH,
    "gateway-target": GATEWAY_TARGET_SILENT,
}
UNASKED_HEAD: Final = b"\0\0\0\0"
SERIAL_OVERHEAD: Final = 3
"""Unit and CRC of a frame on the serial line."""


class Outlet(Protocol):
    """Where replies go: a connection, or the terminal. ``held`` goes out in front of what is sent next."""

    held: bytes

    def send(self, data: bytes) -> bool:
        """Hands bytes over at once; false when nobody is there any more to take them."""
        ...


class Request(NamedTuple):
    """A request as a server cut it out. ``head``: transaction and protocol of the TCP header, ``None`` for RTU."""

    number: int
    pdu: bytes
    head: bytes | None
    received_ns: int


class Bus:
    """The units of a link and its faults. ``line``: the serial line that the units are on, if there is one.

    With ``tcp_framing`` a unit that is not there is answered as by a gateway, target silent (0B), and so are requests
    to unit 0; on a serial bus nobody answers, and unit 0 is every device. A device of the site with unit 0 is spoken
    to as any other, unless it is marked as a broadcast.
    """

    def __init__(
        self,
        link: str,
        units: Mapping[int, Unit],
        wire: WireLog,
        faults: Faults,
        *,
        tcp_framing: bool,
        line: SerialLine | None = None,
    ) -> None:
        self.units = units
        self.line = line
        self.faults = faults
        self.outlets: dict[Outlet, None] = {}
        self._link = link
        self._wire = wire
        self._tcp = tcp_framing
        self._pending: set[asyncio.TimerHandle] = set()
        self._postponed: list[tuple[float, Unit, Request]] = []
        self._reports_due_s: dict[int, float] = {}
        self._slow_until_s = 0.0
        for unit in units.values():
            unit.faults.places |= {"device of Modbus TCP"} if tcp_framing else frozenset()
        zero = units.get(BROADCAST)
        self._broadcasts = zero.broadcast if zero is not None else not tcp_framing

    def forget(self) -> None:
        """Gives up every reply that is under way."""
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()
        self._postponed.clear()

    # -- requests --------------------------------------------------------------------------------------------

    def handle(self, request: Request, outlet: Outlet, now_s: float) -> None:
        """Has a request answered, or not, through ``outlet``; ``now_s`` is the loop's time."""
        number, pdu, head, _ = request
        unit = self.units.get(number)
        if self.line is not None and head is None and not self.line.hears(now_s):
            return
        if number == BROADCAST and self._broadcasts:
            self._broadcast(request, now_s)
        elif unit is None:
            if head is not None and "no-reply" not in self.faults.active:
                outlet.send(Reply(head, number, bytes((pdu[0] | 0x80, GATEWAY_TARGET_SILENT))).frame)
        elif self.line is not None or unit.faults.active or self.faults.active:
            self._answer_by_and_by(request, unit, outlet, now_s)
        else:
            answer = unit.respond(pdu, now_s)
            # Taken before: the other side may have the reply, and this process be set aside, before the call returns.
            sent_ns = time.monotonic_ns()
            if answer.written is not None:
                self._log_write(request, answer)
            if outlet.send(Reply(head, unit.answers_as, answer.pdu).frame) and answer.read is not None:
                self._log_reply(request, answer, sent_ns)

    def _broadcast(self, request: Request, now_s: float) -> None:
        """Every unit carries a write out and none answers."""
        if request.pdu[0] not in WRITE_TABLE:
            return
        for unit in self.units.values():
            if "no-reply" not in unit.faults.active and "no-reply" not in self.faults.active:
                self._log_write(request._replace(number=unit.number), unit.respond(request.pdu, now_s))

    def _log_write(self, request: Request, answer: Answer) -> None:
        if answer.written is not None:
            function = request.pdu[0]
            self._wire.add(Event(request.received_ns, self._link, request.number, "write", function, *answer.written))

    def _log_reply(self, request: Request, answer: Answer, sent_ns: int) -> None:
        if answer.read is not None:
            self._wire.add(Event(sent_ns, self._link, request.number, "reply", request.pdu[0], *answer.read))

    # -- the long way: a serial line, or faults --------------------------------------------------------------

    def _answer_by_and_by(self, request: Request, unit: Unit, outlet: Outlet, now_s: float) -> None:
        function = request.pdu[0]

        def take(name: str) -> Fault | None:
            return unit.faults.take(name, function) or self.faults.take(name, function)

        if take("no-reply") or len(self._pending) >= MAX_PENDING:
            return
        answer = self._answer(request, unit, now_s, take)
        self._log_write(request, answer)
        if take("lost-reply") or (answer.refused and take("silent-refusals")):
            return
        reply = Reply(request.head, unit.answers_as, answer.pdu)
        frame = spoil(reply, take)
        spoiled = frame != reply.frame
        before = self._before(request, unit, take)
        frame += frame if take("doubled") else b""
        due_s = self._due_s(request, unit, len(answer.pdu), now_s, take)
        if not outlet.held and take("merged"):
            outlet.held = before + frame
            return
        pause = take("split")
        first = frame[: len(frame) // 2] if pause else frame
        self._send_at(due_s, outlet, before + first, request, None if spoiled or pause else answer)
        if pause:
            rest = frame[len(first) :]
            self._send_at(due_s + pause.settings["pause_s"], outlet, rest, request, None if spoiled else answer)

    def _answer(self, request: Request, unit: Unit, now_s: float, take: Take) -> Answer:
        """What the unit says, or a gateway or its own state in its place."""
        function = request.pdu[0]
        for name in ("exception", *CODES):
            fault = take(name)
            if fault is None:
                continue
            code = CODES.get(name) or int(fault.settings["code"])
            if name == "acknowledge" and function not in READS:
                if len(self._postponed) >= MAX_PENDING:
                    code = BUSY
                else:
                    self._postponed.append((now_s + fault.settings["after_s"], unit, request))
            return Answer(bytes((function | 0x80, code)))
        return unit.respond(request.pdu, now_s)

    def _before(self, request: Request, unit: Unit, take: Take) -> bytes:
        """What comes in front of a reply."""
        data = b""
        if take("echo"):
            data += Reply(request.head, request.number, request.pdu).frame
        if (fault := take("noise")) is not None:
            data += bytes(0xA5 ^ i & 0xFF for i in range(int(fault.settings["bytes"])))
        reporting = unit.faults.active.get("unsolicited") or self.faults.active.get("unsolicited")
        if reporting is not None and reporting.settings["every_s"] == 0 and take("unsolicited"):
            data += self._report(unit)
        return data

    def _due_s(self, request: Request, unit: Unit, reply_bytes: int, now_s: float, take: Take) -> float:
        """When the reply is there."""
        slow, late = take("slow"), take("late")
        slow_s = slow.settings["delay_s"] if slow else 0.0
        due_s = now_s
        if self.line is not None:
            chars = len(request.pdu) + reply_bytes + 2 * SERIAL_OVERHEAD
            # A gateway keeps the line's silence by itself, a converter leaves that to the master.
            rest_s = self.line.turnaround_s if request.head is not None else 0.0
            thinking_s = min(DEVICE_DELAY_S, unit.response_delay_s) + slow_s
            due_s = self.line.due_s(now_s, chars, thinking_s, rest_s)
        elif slow:
            due_s = self._slow_until_s = max(now_s, self._slow_until_s) + slow_s
        # A late reply does not hold up the others: it comes when somebody else may be speaking.
        return due_s + (late.settings["delay_s"] if late else 0.0)

    def _send_at(self, due_s: float, outlet: Outlet, data: bytes, request: Request, answer: Answer | None) -> None:
        loop = asyncio.get_running_loop()
        handle: asyncio.TimerHandle | None = None

        def send() -> None:
            if handle is not None:
                self._pending.discard(handle)
            if self.line is not None:
                self.line.replied(loop.time())
            sent_ns = time.monotonic_ns()
            if outlet.send(data) and answer is not None:
                self._log_reply(request, answer, sent_ns)

        if due_s <= loop.time():
            send()
        else:
            handle = loop.call_at(due_s, send)
            self._pending.add(handle)

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Carries out what was postponed and sends what nobody asked for."""
        due = [entry for entry in self._postponed if entry[0] <= now_s]
        for entry in due:
            self._postponed.remove(entry)
            _, unit, request = entry
            answer = unit.respond(request.pdu, now_s)
            self._log_write(request._replace(received_ns=time.monotonic_ns()), answer)
        for unit in self.units.values():
            if unit.faults.active or self.faults.active:
                self._report_unasked(unit, now_s)

    def _report_unasked(self, unit: Unit, now_s: float) -> None:
        faults = next((faults for faults in (unit.faults, self.faults) if "unsolicited" in faults.active), None)
        every_s = faults.active["unsolicited"].settings["every_s"] if faults is not None else 0.0
        if faults is None or not every_s:
            self._reports_due_s.pop(unit.number, None)
            return
        if now_s < self._reports_due_s.setdefault(unit.number, now_s):
            return
        self._reports_due_s[unit.number] = now_s + every_s
        if faults.take("unsolicited", READS[0]):
            data = self._report(unit)
            for outlet in list(self.outlets):
                outlet.send(data)

    def _report(self, unit: Unit) -> bytes:
        return Reply(UNASKED_HEAD if self._tcp else None, unit.answers_as, unit.report()).frame
