"""A Modbus bus: one request at a time, writes ahead of polls, and no unit that can hold up the others.

A unit that does not answer is left alone for one more time-out, during which a late reply is recognised as
nobody's; after two time-outs it counts as down and is probed once per retry interval. All its signals are bad as
long as it is down, and those of a failed read at once. A write that a down unit has left unanswered is tried again
only as such a probe; a new demand always is.
"""

import asyncio
import heapq
import math
import random
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from config.encoding import Encoding, Table
from config.errors import DeviceError, LinkError
from config.load import LoadedSite
from config.profile import ModbusProfile, ModbusSignal
from config.sample import Reason, Value, bad
from config.signals import Signal
from config.site import ModbusRtuLink, ModbusTcpLink
from drivers.modbus.codec import encode
from drivers.modbus.plan import Read, plan_reads, read_of
from drivers.modbus.transaction import Exchange, Outcome, Result, connect, line_timing
from drivers.port import DeviceStatus, LinkStatus, Notify, Sink, WriteResult

DOWN_AFTER: Final = 2
"""Unanswered requests after which a unit counts as down."""
RECONNECT_AFTER: Final = 2
"""Unanswered requests in a row, of units that had not been down, after which a TCP connection counts as half-open."""
FIRST_RECONNECT_S: Final = 0.2
FLOAT32_PRECISION: Final = 1e-6
"""Relative: how nearly a float register gives back what was written to it."""
MAX_WAITING_WRITES: Final = 256
"""More are refused: a site has some tens of outputs, each with one write in flight."""
GATEWAY_PATH, GATEWAY_SILENT = 0x0A, 0x0B
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    GATEWAY_PATH: "gateway path unavailable",
    GATEWAY_SILENT: "gateway: target did not answer",
}

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Unit:
    """What the bus knows of one device. ``unanswered``: the last write of each signal, when it had no reply."""

    device: str
    number: int
    response_delay: float
    signals: tuple[int, ...]
    status: DeviceStatus
    unanswered: dict[int, bytes] = field(default_factory=dict)
    silent: int = 0
    held_until: float = 0.0

    @property
    def down(self) -> bool:
        return self.silent >= DOWN_AFTER


@dataclass(slots=True)
class _Poll:
    read: Read
    unit: _Unit
    due: float


@dataclass(slots=True)
class _Write:
    signal: Signal
    value: Value
    unit: _Unit
    pdu: bytes
    check: Read
    done: asyncio.Future[WriteResult]


@dataclass(slots=True)
class _Plan:
    """What was compiled from the site for this link."""

    units: dict[str, _Unit] = field(default_factory=dict)
    bases: dict[str, int] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    checks: dict[int, Read] = field(default_factory=dict)
    signals: dict[int, Signal] = field(default_factory=dict)


class ModbusBus:
    """The driver of one Modbus link."""

    def __init__(
        self,
        name: str,
        link: ModbusTcpLink | ModbusRtuLink,
        loaded: LoadedSite,
        sink: Sink,
        notify: Notify,
        phase: float,
    ) -> None:
        self._name = name
        self._link = link
        self._sink = sink
        self._notify = notify
        self._phase = phase
        self._timing = line_timing(link)
        self._status = LinkStatus()
        self._plan = _compile(name, loaded, self._status)
        self._heap: list[tuple[float, int, _Poll]] = []
        self._writes: deque[_Write] = deque()
        self._exchange: Exchange | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._gone: asyncio.Event | None = None
        self._silent_in_a_row = 0
        self._order = 0
        self._ended = False

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> LinkStatus:
        if self._exchange is not None:
            self._status.stray_bytes = self._exchange.counts.stray_bytes
            self._status.crc_errors = self._exchange.counts.crc_errors
        return self._status

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_RECONNECT_S
        try:
            while True:
                self._gone = asyncio.Event()
                try:
                    self._exchange = await connect(self._link, self._connection_lost)
                except LinkError as error:
                    self._note_link_error(error.message)
                    self._all_bad()
                    await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                    delay = min(delay * 2, self._link.retry)
                    continue
                self._connected(loop.time())
                answered_before = self._replies()
                await self._gone.wait()
                self._exchange = None
                if self._replies() > answered_before:
                    delay = FIRST_RECONNECT_S
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                delay = min(delay * 2, self._link.retry)
        finally:
            self._disconnect()

    def write(self, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        done: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()
        definition = self._plan.signals[signal]
        if self._exchange is None or not self._status.connected:
            done.set_result(WriteResult(False, None, f"link {self._name} is down: {self._status.last_error}"))
            return done
        if len(self._writes) >= MAX_WAITING_WRITES:
            done.set_result(WriteResult(False, None, f"{MAX_WAITING_WRITES} writes already wait"))
            return done
        try:
            pdu = write_pdu(definition, value, self._plan.bases[definition.device])
        except DeviceError as error:
            done.set_result(WriteResult(False, None, error.message))
            return done
        unit = self._plan.units[definition.device]
        self._writes.append(_Write(definition, value, unit, pdu, self._plan.checks[signal], done))
        self._kick()
        return done

    # -- connection ---------------------------------------------------------------------------------------------

    def _connected(self, now: float) -> None:
        self._status.connected = True
        self._status.connects += 1
        self._status.last_error = ""
        self._silent_in_a_row = 0
        self._heap.clear()
        same_period: dict[float, int] = {}
        for read in self._plan.reads:
            # Reads of one period are spread over it, so that they do not queue behind each other for ever.
            place = same_period.get(read.period, 0)
            same_period[read.period] = place + 1
            total = sum(other.period == read.period for other in self._plan.reads)
            unit = self._plan.units[read.device]
            unit.held_until = 0.0
            first = now + min(read.period, 1.0) * place / total
            self._push(_Poll(read, unit, first))
        log.info("link up", link=self._name)
        self._kick()

    def _connection_lost(self, why: str) -> None:
        if self._ended:
            return
        self._note_link_error(why)
        self._status.connected = False
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        for write in self._writes:
            _answer(write, WriteResult(False, None, f"link {self._name} went down: {why}"))
        self._writes.clear()
        self._all_bad()
        if self._gone is not None:
            self._gone.set()

    def _disconnect(self) -> None:
        self._ended = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()
        if self._wake is not None:
            self._wake.cancel()
        for write in self._writes:
            _answer(write, WriteResult(False, None, f"link {self._name} is closed"))
        self._writes.clear()

    def _note_link_error(self, text: str) -> None:
        if text != self._status.last_error:
            log.warning("link down", link=self._name, error=text)
        self._status.last_error = text

    def _replies(self) -> int:
        return sum(device.replies for device in self._status.devices.values())

    def _all_bad(self) -> None:
        for unit in self._plan.units.values():
            self._unit_bad(unit)

    # -- the cycle ----------------------------------------------------------------------------------------------

    def _push(self, poll: _Poll) -> None:
        self._order += 1
        heapq.heappush(self._heap, (poll.due, self._order, poll))

    def _kick(self) -> None:
        """Starts the next request if the bus is free, or sets a timer for when there will be one."""
        exchange = self._exchange
        if exchange is None or exchange.busy or not self._status.connected:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        free_at = exchange.last_byte_at + self._timing.silence_s
        while self._writes and self._is_vain(self._writes[0], now):
            write = self._writes.popleft()
            _answer(write, WriteResult(False, None, f"{write.unit.device} does not answer"))
        if self._writes:
            if now < free_at:
                self._wake = loop.call_at(free_at, self._kick)
            else:
                self._start_write(self._writes.popleft())
            return
        while self._heap:
            due, _, poll = self._heap[0]
            at = max(due, free_at)
            if now < at:
                self._wake = loop.call_at(at, self._kick)
                return
            heapq.heappop(self._heap)
            if now < poll.unit.held_until:
                poll.due = poll.unit.held_until
                self._push(poll)
                continue
            self._start_poll(poll, now)
            return

    def _timeout(self, unit: _Unit, request: int, reply: int) -> float:
        return self._timing.transfer_s(request, reply) + unit.response_delay + self._link.timeout

    def _start_poll(self, poll: _Poll, now: float) -> None:
        assert self._exchange is not None
        unit, read = poll.unit, poll.read
        unit.status.polls += 1
        behind = int((now - poll.due) / read.period)
        poll.due += read.period * (behind + 1)
        reply_bytes = 2 + read.data_bytes
        timeout = self._timeout(unit, len(read.pdu), reply_bytes)
        if unit.down:
            unit.held_until = now + self._link.retry
        self._exchange.request(unit.number, read.pdu, reply_bytes, timeout, lambda result: self._polled(poll, result))

    def _polled(self, poll: _Poll, result: Result) -> None:
        self._push(poll)
        data = self._data(poll.unit, poll.read, result)
        if data is not None:
            self._sink(poll.read.signals, poll.read.decode(data, result.at))
        self._kick()

    def _data(self, unit: _Unit, read: Read, result: Result) -> bytes | None:
        """The data of a good reply; anything else is booked to the unit and makes the block bad."""
        match result.outcome:
            case Outcome.REPLY if result.pdu[1] == read.data_bytes:
                self._answered(unit, result)
                return result.pdu[2:]
            case Outcome.EXCEPTION:
                self._refused(unit, read, result)
            case Outcome.REPLY | Outcome.MALFORMED:
                unit.status.malformed += 1
                unit.status.last_error = f"malformed reply {result.pdu.hex(' ')}"
                self._block_bad(read, Reason.NO_COMMUNICATION, result.at)
            case Outcome.TIMEOUT:
                self._silent(unit, read, result.at)
            case Outcome.LOST:
                pass
        return None

    def _answered(self, unit: _Unit, result: Result) -> None:
        self._silent_in_a_row = 0
        unit.silent = 0
        unit.held_until = 0.0
        unit.unanswered.clear()
        status = unit.status
        status.replies += 1
        status.round_trips.append(result.took)
        if not status.online:
            status.online = True
            status.last_error = ""
            log.info("device answers", device=unit.device, link=self._name)

    def _refused(self, unit: _Unit, read: Read, result: Result) -> None:
        code = result.pdu[1]
        unit.status.exceptions += 1
        error = f"exception {code:02X} {EXCEPTIONS.get(code, 'unknown')}"
        if code in (GATEWAY_PATH, GATEWAY_SILENT):
            # The gateway answers for a unit that does not: the unit is silent, the connection is in order.
            self._silent_in_a_row = 0
            unit.status.last_error = error
            self._silent(unit, read, result.at)
            self._silent_in_a_row = 0
            return
        self._answered(unit, result)
        unit.status.last_error = error
        self._block_bad(read, Reason.DEVICE_REFUSED, result.at)

    def _silent(self, unit: _Unit, read: Read, at: float) -> None:
        unit.status.timeouts += 1
        self._missed(unit, at)
        if unit.down:
            self._unit_bad(unit)
        else:
            self._block_bad(read, Reason.NO_COMMUNICATION, at)

    def _missed(self, unit: _Unit, at: float) -> None:
        """Books an unanswered request and decides how long to leave the unit, or the connection, alone."""
        # One unit known to be down says nothing of the connection, as long as another answers.
        telling = not unit.down or all(other.down for other in self._plan.units.values())
        unit.silent += 1
        unit.held_until = at + (self._link.retry if unit.down else self._link.timeout)
        if unit.silent == DOWN_AFTER:
            log.warning("device does not answer", device=unit.device, link=self._name)
        self._silent_in_a_row += telling
        if isinstance(self._link, ModbusTcpLink) and self._silent_in_a_row >= RECONNECT_AFTER:
            self._silent_in_a_row = 0
            exchange = self._exchange
            if exchange is not None:
                asyncio.get_running_loop().call_soon(exchange.close)

    def _block_bad(self, read: Read, reason: Reason, at: float) -> None:
        self._sink(read.signals, [bad(reason, at)] * len(read.signals))

    def _unit_bad(self, unit: _Unit) -> None:
        unit.status.online = False
        at = asyncio.get_running_loop().time()
        self._sink(unit.signals, [bad(Reason.NO_COMMUNICATION, at)] * len(unit.signals))

    # -- writes -------------------------------------------------------------------------------------------------

    def _is_vain(self, write: _Write, now: float) -> bool:
        """True for what a down unit has just left unanswered; a new demand may be a closing valve and is tried."""
        unit = write.unit
        return unit.down and now < unit.held_until and unit.unanswered.get(write.signal.index) == write.pdu

    def _start_write(self, write: _Write) -> None:
        assert self._exchange is not None
        unit = write.unit
        reply_bytes = 5
        timeout = self._timeout(unit, len(write.pdu), reply_bytes)
        self._exchange.request(
            unit.number, write.pdu, reply_bytes, timeout, lambda result: self._written(write, result)
        )

    def _written(self, write: _Write, result: Result) -> None:
        failure = self._write_failure(write, result)
        if failure is not None:
            _answer(write, WriteResult(False, None, failure))
        elif self._exchange is not None and self._status.connected:
            self._read_back(write)
            return
        else:
            _answer(write, WriteResult(False, None, f"link {self._name} went down before the read-back"))
        self._kick()

    def _write_failure(self, write: _Write, result: Result) -> str | None:
        unit = write.unit
        match result.outcome:
            case Outcome.REPLY if result.pdu == write.pdu[:5]:
                self._answered(unit, result)
                return None
            case Outcome.EXCEPTION:
                code = result.pdu[1]
                unit.status.exceptions += 1
                return f"refused with exception {code:02X} {EXCEPTIONS.get(code, 'unknown')}"
            case Outcome.REPLY | Outcome.MALFORMED:
                unit.status.malformed += 1
                return f"malformed reply {result.pdu.hex(' ')}"
            case Outcome.TIMEOUT:
                unit.status.timeouts += 1
                self._missed(unit, result.at)
                unit.unanswered[write.signal.index] = write.pdu
                if unit.down:
                    self._unit_bad(unit)
                return "no reply"
            case Outcome.LOST:
                return "connection lost"

    def _read_back(self, write: _Write) -> None:
        assert self._exchange is not None
        check = write.check
        reply_bytes = 2 + check.data_bytes
        timeout = self._timeout(write.unit, len(check.pdu), reply_bytes)

        def checked(result: Result) -> None:
            data = self._data(write.unit, check, result)
            if data is None:
                _answer(write, WriteResult(False, None, "written, but it could not be read back"))
            else:
                [sample] = check.decode(data, result.at)
                self._sink(check.signals, [sample])
                ok = _equal(write.signal, sample.value, write.value)
                detail = "" if ok else f"wrote {write.value!r}, read back {sample.value!r}"
                _answer(write, WriteResult(ok, sample.value, detail))
            self._kick()

        loop = asyncio.get_running_loop()
        if self._timing.silence_s <= 0:
            self._exchange.request(write.unit.number, check.pdu, reply_bytes, timeout, checked)
            return
        # The line needs its silence first; nothing else may come between a write and its read-back.
        exchange = self._exchange
        exchange.reserve()

        def send() -> None:
            exchange.release()
            if self._exchange is exchange and self._status.connected:
                exchange.request(write.unit.number, check.pdu, reply_bytes, timeout, checked)
            else:
                _answer(write, WriteResult(False, None, f"link {self._name} went down before the read-back"))

        loop.call_later(self._timing.silence_s, send)


def write_pdu(signal: Signal, value: Value, base: int) -> bytes:
    """The request that writes a value: function 05 for a coil, 06 for one register, 16 for more.

    ``base`` is what the profile counts its addresses from. Raises ``DeviceError``.
    """
    definition = signal.definition
    assert isinstance(definition, ModbusSignal)
    address = struct.pack(">H", definition.address - base)
    if definition.table is Table.COIL:
        if not isinstance(value, bool):
            raise DeviceError(f"{signal.name}: {value!r} is not on or off")
        return b"\x05" + address + (b"\xff\x00" if value else b"\x00\x00")
    data = encode(signal, value)
    if len(data) == 2:
        return b"\x06" + address + data
    return b"\x10" + address + struct.pack(">HB", len(data) // 2, len(data)) + data


def _equal(signal: Signal, read: Value, written: Value) -> bool:
    if isinstance(written, float | int) and not isinstance(written, bool) and isinstance(read, float | int):
        definition = signal.definition
        assert isinstance(definition, ModbusSignal)
        if definition.type in (Encoding.FLOAT32, Encoding.FLOAT64):
            return math.isclose(read, written, rel_tol=FLOAT32_PRECISION, abs_tol=FLOAT32_PRECISION)
        return abs(read - written) <= abs(definition.scale * signal.factor) / 2 + 1e-9
    return read == written


def _answer(write: _Write, result: WriteResult) -> None:
    if not write.done.done():
        write.done.set_result(result)


def _compile(name: str, loaded: LoadedSite, status: LinkStatus) -> _Plan:
    plan = _Plan()
    zone = ZoneInfo(loaded.site.site.timezone)
    of_device = loaded.signals.by_device()
    for tag, device in loaded.site.devices.items():
        if device.link != name:
            continue
        profile, number = loaded.profiles[tag], device.unit
        assert isinstance(profile, ModbusProfile)
        assert number is not None
        signals = of_device[tag]
        status.devices[tag] = DeviceStatus()
        delay = profile.limits.response_delay
        plan.units[tag] = _Unit(tag, number, delay, tuple(s.index for s in signals), status.devices[tag])
        plan.bases[tag] = profile.base
        plan.reads += plan_reads(tag, number, signals, profile, zone)
        for signal in signals:
            if signal.writable:
                plan.checks[signal.index] = read_of(tag, number, signal, signals, profile, zone)
                plan.signals[signal.index] = signal
    return plan
