"""A Modbus bus: who is asked when, and what becomes of the answers.

Writes go ahead of reads, reads go by their periods and priorities, and no unit can hold up the others: one that
does not answer is bad at once, and probed seldom (``unit``). Nothing here waits: a reply, a timer or a write moves
the bus on, and each does so in the loop step in which it came.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Final

import structlog

from config.load import LoadedSite
from config.sample import Reason, Sample, Value, bad
from config.site import ModbusLink, ModbusTcpLink
from drivers.modbus.codec import Number
from drivers.modbus.command import Ask, Procedure
from drivers.modbus.device import Device, by_hand, device_of
from drivers.modbus.exceptions import ACKNOWLEDGE, BUSY, GATEWAY_PATH, GATEWAY_SILENT, OF_THE_MAP, exception_text
from drivers.modbus.health import Health
from drivers.modbus.jobs import Jobs
from drivers.modbus.line import Line
from drivers.modbus.plan import Read
from drivers.modbus.schedule import Schedule, Turn, phases
from drivers.modbus.transaction import REPLY, Outcome, Request, Result
from drivers.modbus.transport import CLOCK_TICK_S
from drivers.modbus.unit import Unit
from drivers.port import LinkEvent, LinkStatus, Notify, Sink, WriteResult

MAX_JOBS: Final = 256
"""More writes are refused: a site has some tens of outputs, each with one write in flight."""
BUSY_TRIES: Final = 4
BUSY_PAUSE_S: Final = 0.1
"""A read that a device was too busy for is asked again after this, then twice as long and so on."""
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
"""A value that a device refuses, or says nothing to, is tried less and less often, at least so often."""
UNANSWERED_TO_SPLIT: Final = 2
"""A block that was never answered, and met with silence this often while its unit answers others, is taken apart."""
TORN_TRIES: Final = 3
TORN_PAUSE_S: Final = 0.05
"""A total whose whole number has moved is read again after this, so often at most, until two readings agree."""
TORN_FALL: Final = 0.5
"""A total that has fallen by more than half of its whole unit has an old whole number beside new decimals."""
CYCLE_LINGER_S: Final = 0.2
"""A connection per cycle is kept over a pause this short."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Poll:
    """A read and how it fares.

    ``answered``: it was once. ``silent``: times in a row that it had no answer though its unit has answered others
    since; ``refused``: times in a row that the device had no such registers. ``parts``: what its totals read last.
    """

    unit: Device
    read: Read
    request: Request
    answered: bool = False
    silent: int = 0
    refused: int = 0
    replies_when_silent: int = -1
    busy: int = 0
    torn: int = 0
    parts: tuple[Number | None, ...] | None = None


@dataclass(slots=True)
class _Beat:
    """The heartbeat of a device."""

    unit: Device


class ModbusBus:
    """The driver of one Modbus link. ``phase``, 0 to 1: where in its periods this bus begins."""

    def __init__(
        self, name: str, link: ModbusLink, loaded: LoadedSite, sink: Sink, notify: Notify, phase: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._link = link
        self._sink = sink
        self._notify = notify
        self._phase = phase
        of_device = loaded.signals.by_device
        self._devices = {
            tag: device_of(tag, of_device[tag], loaded, self._take, notify)
            for tag, device in loaded.site.devices.items()
            if device.link == name
        }
        self._device_of = {signal: device for device in self._devices.values() for signal in device.signals}
        devices = self._devices.values()
        answering = [device for device in devices if not device.everybody]
        self._by_hand: dict[int, Device] = {}
        self._everybody = [device for device in devices if device.everybody]
        self._health = Health(name, link, answering, sink, self._online, self._reconnect)
        self._line = Line(name, link, self._up, self._down, self._free, self._health.book)
        self._line.status.devices = {tag: device.status for tag, device in self._devices.items()}
        self._jobs = Jobs(name, self._line, self._kick)
        self._schedule: Schedule[_Poll | _Beat] = Schedule()
        self._polls = [self._poll(device, read) for device in answering for read in device.plan.reads]
        self._wake: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> LinkStatus:
        self._line.count()
        return self._line.status

    async def run(self) -> None:
        try:
            await self._line.run()
        finally:
            self._jobs.give_up(f"link {self._name} is closed")
            self._sleep(None)
            self._health.stopped()
            for device in self._everybody:
                device.status.online = False

    def write(self, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        return self._jobs.write(self._device_of[signal], signal, value)

    def write_raw(self, device: str, pdu: bytes) -> asyncio.Future[WriteResult]:
        """Sends a write as it stands, if the device's profile allows these registers. The future never raises."""
        commands = self._devices[device].commands
        return self._jobs.do(self._devices[device], lambda: commands.raw(pdu))

    def act(self, device: str, action: str) -> asyncio.Future[WriteResult]:
        """Carries out an action of the device's profile. The future never raises."""
        commands = self._devices[device].commands
        return self._jobs.do(self._devices[device], lambda: commands.action(action))

    def ask(self, number: int, ask: Ask) -> asyncio.Future[Result]:
        """One read between the polls, for a person, of any unit of the link. The future never raises."""
        heard: asyncio.Future[Result] = self._loop.create_future()
        if number not in self._by_hand:
            known = (device for device in self._devices.values() if device.number == number and not device.everybody)
            self._by_hand[number] = by_hand(number, next(known, None))

        def once() -> Procedure:
            result = yield ask
            if not heard.done():
                heard.set_result(result)
            yield WriteResult(True, None)

        def given_up(done: asyncio.Future[WriteResult]) -> None:
            if not heard.done():
                heard.set_result(Result(Outcome.LOST, done.result().detail.encode(), self._loop.time(), 0.0))

        self._jobs.do(self._by_hand[number], once, writes=False).add_done_callback(given_up)
        return heard

    # -- the link ----------------------------------------------------------------------------------------------------

    def _up(self) -> None:
        """The link is open: every read begins anew, in the parts that blocks have been taken apart to."""
        now = self._loop.time()
        self._health.connected()
        for device in self._everybody:
            device.status.online = True
            self._sink(device.write_only, [bad(Reason.WRITE_ONLY, now)] * len(device.write_only))
        self._schedule.clear()
        first = phases([poll.read.period for poll in self._polls], self._phase)
        for poll, after in zip(self._polls, first, strict=True):
            self._schedule.put(Turn(poll, poll.read.period, poll.read.priority, now + after))
        for device in self._devices.values():
            period = device.commands.heartbeat_period
            if period is not None:
                self._schedule.put(Turn(_Beat(device), period, "high", now))
        self._kick()

    def _down(self, why: str) -> None:
        self._sleep(None)
        self._jobs.give_up(f"link {self._name} went down: {why}")
        self._health.disconnected()
        for device in self._everybody:
            device.status.online = False
            at = self._loop.time()
            self._sink(device.signals, [bad(Reason.NO_COMMUNICATION, at)] * len(device.signals))

    def _reconnect(self, why: str) -> None:
        self._line.close(why)

    def _online(self, unit: Unit, was_down: bool) -> None:
        """A unit begins to answer: what it is to be told is told first; after an absence all of it is read at once."""
        device = self._devices[unit.device]
        now = self._loop.time()
        if was_down:
            self._schedule.hurry(lambda item: item.unit is device, now)
        if device.write_only:
            self._sink(device.write_only, [bad(Reason.WRITE_ONLY, now)] * len(device.write_only))
        if device.commands.has_start_up:
            self._jobs.tell(device, device.commands.start_up(), first=True)

    # -- the cycle ---------------------------------------------------------------------------------------------------

    def _kick(self) -> None:
        """Sends what is to be sent now, or sets a timer for when there will be something."""
        try:
            while self._move_on():
                pass
        except Exception as error:
            self._line.fail(error)

    def _move_on(self) -> bool:
        """Sends one thing, if one is to be sent now; false when the bus has to wait, and its timer is set."""
        # What is due within a tick of the loop's clock is due: waiting for it would only turn the loop idly.
        now = self._loop.time() + CLOCK_TICK_S
        ready = self._line.ready_at()
        if ready is None:
            if self._jobs.waiting and self._line.connected:
                self._line.need()
            return False
        if self._jobs.waiting:
            if ready > now:
                self._sleep(ready)
                return False
            self._jobs.go_on()
            return True
        due = self._schedule.next_at()
        if due is None or due > now or ready > now:
            self._rest_until(due, ready, now)
            return False
        turn = self._schedule.take(now)
        if turn is not None:
            self._take_turn(turn, now - CLOCK_TICK_S)
        return True

    def _free(self) -> None:
        """The bus may take a request again. A write goes out now, a read when all that has arrived was looked at."""
        if self._jobs.waiting:
            self._kick()
        else:
            self._loop.call_soon(self._kick)

    def _sleep(self, until: float | None) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if until is not None:
            self._wake = self._loop.call_at(until, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._line.need()
        self._kick()

    def _rest_until(self, due: float | None, ready: float, now: float) -> None:
        """Sets the timer for the next thing to do, and keeps or gives up the connection until then."""
        wait = max(due, ready) if due is not None else now + LONGEST_RETRY_S
        link = self._link
        if isinstance(link, ModbusTcpLink) and self._line.idle:
            if link.connection == "per-cycle":
                if wait - now > CYCLE_LINGER_S:
                    self._line.rest()
            elif now >= self._line.asked_at + link.keep_alive:
                for unit in self._devices.values():
                    if not unit.down and not unit.everybody:
                        self._probe(unit, now)
                        return
            else:
                wait = min(wait, self._line.asked_at + link.keep_alive)
        self._sleep(wait)

    def _take_turn(self, turn: Turn[_Poll | _Beat], now: float) -> None:
        item = turn.item
        unit = item.unit
        if now < unit.held_until:
            turn.pass_on(now)
            self._schedule.put_off(turn, max(unit.held_until, turn.due))
        elif isinstance(item, _Beat):
            turn.pass_on(now + CLOCK_TICK_S)
            self._schedule.put(turn)
            if not unit.down:
                self._jobs.tell(unit, unit.commands.heartbeat())
        elif unit.down or (unit.silent and unit.known and item.read.pdu != unit.probe().pdu):
            # First something that it is known to answer: registers that it does not have take no unit down.
            self._schedule.put(turn, now - turn.period)  # ahead of what has come due since
            self._probe(unit, now)
        else:
            unit.status.missed += turn.pass_on(now + CLOCK_TICK_S)
            unit.status.polls += 1
            self._line.request(unit, item.request, self._polled, turn)

    # -- reads -------------------------------------------------------------------------------------------------------

    def _poll(self, unit: Device, read: Read) -> _Poll:
        return _Poll(unit, read, self._ask_for(unit, read))

    def _ask_for(self, unit: Device, read: Read) -> Request:
        return self._line.prepared(unit, read.pdu, read.reply_start, read.reply_bytes)

    def _probe(self, unit: Device, now: float) -> None:
        """Asks only to hear whether the unit answers."""
        read = unit.probe()
        request = self._ask_for(unit, read)
        if unit.down:
            request = request._replace(timeout=unit.probe_timeout(request.timeout))
        if unit.silent:
            unit.held_until = now + request.timeout
        unit.status.polls += 1
        self._line.request(unit, request, self._probed, (unit, read))

    def _probed(self, context: tuple[Device, Read], result: Result) -> None:
        unit, read = context
        if result.outcome is Outcome.TIMEOUT:
            unit.left_unanswered(read.pdu)
        elif result.outcome is REPLY:
            unit.has_answered(read.pdu)
            # A total that may be torn is left to its poll, which reads it twice.
            if read.whole_parts is None:
                self._sink(read.signals, read.decode(result.pdu[2:], result.at))

    def _polled(self, turn: Turn[_Poll | _Beat], result: Result) -> None:
        """Makes readings of a reply, good or bad, and gives the read its next turn."""
        poll = turn.item
        assert isinstance(poll, _Poll)
        read, again_at = poll.read, None
        outcome, pdu, at, _ = result
        if outcome is REPLY:
            if not poll.answered or poll.unit.vain:
                poll.answered = True
                poll.unit.has_answered(read.pdu)
            poll.silent = poll.refused = poll.busy = 0
            data = pdu[2:]
            if read.whole_parts is not None and _is_torn(poll, read.whole_parts(data)):
                again_at = at + TORN_PAUSE_S
            else:
                self._sink(read.signals, read.decode(data, at))
        elif outcome is Outcome.EXCEPTION:
            again_at = self._refused(poll, result)
        elif outcome is Outcome.TIMEOUT:
            again_at = self._unanswered(poll, result)
        else:
            self._block_bad(poll, Reason.NO_COMMUNICATION, at)
        if again_at is None:
            self._schedule.put(turn)
        elif again_at < float("inf"):
            self._schedule.put_off(turn, again_at)

    def _refused(self, poll: _Poll, result: Result) -> float | None:
        """What a device's refusal makes of a block; returns when it is to be read again, if not at its period."""
        code = result.pdu[1]
        if code in (BUSY, ACKNOWLEDGE):
            poll.busy += 1
            if poll.busy < BUSY_TRIES:
                return result.at + math.ldexp(BUSY_PAUSE_S, poll.busy - 1)
            poll.busy = 0
            self._block_bad(poll, Reason.DEVICE_BUSY, result.at)
            return None
        if code in (GATEWAY_PATH, GATEWAY_SILENT):
            self._block_bad(poll, Reason.NO_COMMUNICATION, result.at)
            return None
        self._block_bad(poll, Reason.DEVICE_REFUSED, result.at)
        poll.unit.status.last_error = f"{exception_text(code)} at {_place(poll.read)}"
        if code not in OF_THE_MAP:
            return None
        poll.refused += 1
        if self._taken_apart(poll, result.at, exception_text(code)):
            return float("inf")
        return result.at + max(poll.read.period, min(math.ldexp(FIRST_RETRY_S, poll.refused - 1), LONGEST_RETRY_S))

    def _unanswered(self, poll: _Poll, result: Result) -> float | None:
        """What silence makes of a block. Some devices say nothing to registers that they do not have."""
        unit = poll.unit
        unit.left_unanswered(poll.read.pdu)
        if not unit.down:
            self._block_bad(poll, Reason.NO_COMMUNICATION, result.at)
        answers_others = unit.status.replies > poll.replies_when_silent >= 0
        poll.replies_when_silent = unit.status.replies
        poll.silent += answers_others
        if poll.silent < UNANSWERED_TO_SPLIT:
            return None
        if not poll.answered and self._taken_apart(poll, result.at, "silence while other registers are answered"):
            return float("inf")
        pause = math.ldexp(poll.request.timeout, poll.silent)
        return result.at + max(poll.read.period, min(pause, LONGEST_RETRY_S))

    def _taken_apart(self, poll: _Poll, at: float, why: str) -> bool:
        """Replaces a block by its halves, for good; false for one that cannot be halved."""
        halves = poll.unit.plan.split(poll.read)
        if halves is None:
            return False
        log.warning("block taken apart", device=poll.unit.device, block=_place(poll.read), why=why)
        body = {"block": _place(poll.read), "why": why}
        self._notify(LinkEvent("block-taken-apart", self._name, poll.unit.device, body))
        self._polls.remove(poll)
        for half in halves:
            self._polls.append(self._poll(poll.unit, half))
            self._schedule.put(Turn(self._polls[-1], half.period, half.priority, at))
        return True

    def _block_bad(self, poll: _Poll, reason: Reason, at: float) -> None:
        self._sink(poll.read.signals, [bad(reason, at)] * len(poll.read.signals))

    def _take(self, read: Read, samples: list[Sample]) -> None:
        self._sink(read.signals, samples)


def _is_torn(poll: _Poll, parts: tuple[Number | None, ...]) -> bool:
    """True when a total may hold an old part beside a new one, and is to be read once more."""
    before, poll.parts = poll.parts, parts
    moved = before is None or any(
        whole != earlier_whole or (total is not None and earlier is not None and total < earlier - TORN_FALL)
        for whole, total, earlier_whole, earlier in zip(parts[::2], parts[1::2], before[::2], before[1::2], strict=True)
    )
    if not moved or poll.torn >= TORN_TRIES:
        poll.torn = 0
        return False
    poll.torn += 1
    return True


def _place(read: Read) -> str:
    """The registers of a read in words, as on the wire."""
    group = read.groups[0]
    last = max(other.last for other in read.groups)
    return f"{group.table} {group.first}" + (f" to {last}" if last > group.first else "")
