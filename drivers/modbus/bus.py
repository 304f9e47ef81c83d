"""A Modbus bus: who is asked when, and what becomes of the answers.

Writes go ahead of reads, reads go by their periods and priorities, and no unit can hold up the others: one that
does not answer is bad at once, and probed seldom (``unit``). Nothing here waits: a reply, a timer or a write moves
the bus on, and each does so in the loop step in which it came.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import structlog

from config.errors import DeviceError
from config.link import ModbusLink, ModbusTcpLink
from config.load import LoadedSite
from config.sample import Reason, Sample, Value, bad
from drivers.modbus.device import Device, by_hand, device_of
from drivers.modbus.exceptions import (
    ACKNOWLEDGE,
    BUSY,
    BUSY_TRIES,
    OF_THE_GATEWAY,
    OF_THE_MAP,
    exception_text,
)
from drivers.modbus.framing import LAST_READ_FUNCTION
from drivers.modbus.health import Health
from drivers.modbus.jobs import Jobs
from drivers.modbus.line import Line
from drivers.modbus.plan import Read
from drivers.modbus.procedure import Ask, Procedure
from drivers.modbus.schedule import Schedule, Turn, phases
from drivers.modbus.torn import Settling
from drivers.modbus.transaction import REPLY, Outcome, Request, Result
from drivers.modbus.transport import CLOCK_TICK_S
from drivers.modbus.unit import MAX_DOUBLINGS, Unit
from drivers.port import LinkEvent, LinkStatus, Notify, Sink, WriteResult

BUSY_PAUSE_S: Final = 0.1
"""A read that a device was too busy for is asked again after this, then twice as long and so on."""
FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 60.0
"""A value that a device refuses, or says nothing to, is tried less and less often, at least so often."""
UNANSWERED_TO_SPLIT: Final = 2
"""A block that was never answered, and met with silence this often while its unit answers others, is taken apart."""
EARLY_RETRY_S: Final = 5.0
"""A read of a longer period is tried again before its next turn when it was lost: a frame is lost now and then."""
CODES_KEPT: Final = 3
"""What says how others are to be read counts for so many failed readings of it; then they are read no more either."""
CYCLE_LINGER_S: Final = 0.2
"""A connection per cycle is kept over a pause this short."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Poll:
    """A read and how it fares.

    ``answered``: it was once. ``silent``: times in a row that it had no answer though its unit has answered others
    since; ``refused``: times in a row that the device had no such registers; ``failed``: times in a row that it gave no
    values, for whatever reason. ``settling``: of totals that may be read while they are changed.
    """

    unit: Device
    read: Read
    request: Request
    answered: bool = False
    silent: int = 0
    refused: int = 0
    replies_when_silent: int = -1
    busy: int = 0
    failed: int = 0
    settling: Settling | None = None

    @property
    def fields(self) -> list[str]:
        return [signal.field for group in self.read.groups for signal in group.signals]


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
        self._overlaps = isinstance(link, ModbusTcpLink) and link.in_flight > 1
        self._own_number = next((unit.number for unit in devices if unit.accept_any), None)

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> LinkStatus:
        self._line.count()
        return self._line.status

    async def run(self) -> None:
        closed = f"link {self._name} is closed"
        self._jobs.reopen()
        line = asyncio.create_task(self._line.run(), name=f"line {self._name}")
        try:
            await asyncio.shield(line)
        except asyncio.CancelledError:
            # What may not be left as it is, such as a pulse that is on, is done while there is a line.
            await self._jobs.close(self._devices.values(), closed)
            raise
        finally:
            line.cancel()
            try:
                await asyncio.gather(line, return_exceptions=True)
            finally:
                self._jobs.give_up(closed)
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
        """One read between the polls, for a person, of any unit of the link. The future never raises.

        Raises ``DeviceError`` for what is no read: a write goes by ``write`` or ``write_raw``, and their lists.
        """
        if not 0 < ask.pdu[0] <= LAST_READ_FUNCTION:
            raise DeviceError(f"function {ask.pdu[0]:02d} is no read: functions 01 to {LAST_READ_FUNCTION:02d} are")
        heard: asyncio.Future[Result] = self._loop.create_future()
        if self._own_number not in (None, number):
            # A late reply of the one unit there, which may answer as any other, would be taken for this one's.
            alone = f"unit {self._own_number} is alone on link {self._name} and answers as any: ask that one"
            heard.set_result(Result(Outcome.LOST, alone.encode(), self._loop.time(), 0.0))
            return heard
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
        periods = [poll.read.period for poll in self._polls]
        # A connection for each round is opened for all of it.
        at_once = isinstance(self._link, ModbusTcpLink) and self._link.connection == "per-cycle"
        first = repeat(0.0, len(periods)) if at_once else phases(periods, self._phase)
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
        return turn is None or self._take_turn(turn, now - CLOCK_TICK_S)

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

    def _take_turn(self, turn: Turn[_Poll | _Beat], now: float) -> bool:
        """Asks what is to be asked; false when nothing else can be, before it is answered."""
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
            return self._overlaps
        return True

    # -- reads -------------------------------------------------------------------------------------------------------

    def _poll(self, unit: Device, read: Read) -> _Poll:
        settling = Settling(read.torn.units) if read.torn is not None else None
        return _Poll(unit, read, self._ask_for(unit, read), settling=settling)

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
        unit.probing = True
        unit.status.polls += 1
        self._line.request(unit, request, self._probed, (unit, read))

    def _probed(self, context: tuple[Device, Read], result: Result) -> None:
        unit, read = context
        unit.probing = False
        if result.outcome is Outcome.TIMEOUT:
            unit.left_unanswered(read.pdu)
        elif result.outcome is REPLY:
            unit.has_answered(read.pdu)
            # A total that may be torn is left to its poll, which sees to it that it is whole.
            if read.torn is None:
                self._sink(read.signals, read.decode(result.pdu[2:], result.at))

    def _polled(self, turn: Turn[_Poll | _Beat], result: Result) -> None:
        """Makes readings of a reply, good or bad, and gives the read its next turn."""
        poll = turn.item
        assert isinstance(poll, _Poll)
        read, again_at = poll.read, None
        outcome, pdu, at, _ = result
        if outcome is REPLY:
            unit = poll.unit
            if unit.commands.standing:
                self._jobs.take_back(unit)
            if not poll.answered or unit.vain:
                poll.answered = True
                unit.has_answered(read.pdu)
            if poll.failed or poll.busy:
                poll.silent = poll.refused = poll.busy = poll.failed = 0
            if self._overlaps and time.perf_counter() - result.took < unit.written_at:
                # It may have been carried out before the write, and would take back what reading back has shown.
                again_at = at
            elif poll.settling is None:
                self._sink(read.signals, read.decode(pdu[2:], at))
            else:
                again_at = self._settle(poll, poll.settling, pdu[2:], at)
        elif outcome is Outcome.EXCEPTION:
            again_at = self._refused(poll, result)
        elif outcome is Outcome.TIMEOUT:
            again_at = self._unanswered(poll, result)
        else:
            self._block_bad(poll, Reason.NO_COMMUNICATION, at)
            again_at = self._soon(poll, at)
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
        if code in OF_THE_GATEWAY:
            self._block_bad(poll, Reason.NO_COMMUNICATION, result.at)
            return None
        self._block_bad(poll, Reason.DEVICE_REFUSED, result.at)
        poll.unit.status.last_error = f"{exception_text(code)} at {_place(poll.read)}"
        if code not in OF_THE_MAP:
            return None
        poll.refused += 1
        if self._taken_apart(poll, result.at, exception_text(code)):
            return float("inf")
        return result.at + max(poll.read.period, _backoff(FIRST_RETRY_S, poll.refused - 1))

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
            return self._soon(poll, result.at)
        if not poll.answered and self._taken_apart(poll, result.at, "silence while other registers are answered"):
            return float("inf")
        return result.at + max(poll.read.period, _backoff(poll.request.timeout, poll.silent))

    def _soon(self, poll: _Poll, at: float) -> float | None:
        """When a read that was lost is tried again, if that is not to wait for its period."""
        if poll.read.period <= EARLY_RETRY_S:
            return None
        return at + min(_backoff(FIRST_RETRY_S, poll.failed - 1), poll.read.period)

    def _settle(self, poll: _Poll, settling: Settling, data: bytes, at: float) -> float | None:
        """Takes what a read gives, its totals only when they are whole; returns when these are to be read again."""
        read, torn = poll.read, poll.read.torn
        assert torn is not None
        samples = read.decode(data, at)
        pause = settling.pause(torn.read(data), at)
        if pause is None:
            self._sink(read.signals, samples)
            return None
        others = {index: one for index, one in zip(read.signals, samples, strict=True) if index not in torn.signals}
        if others:
            self._sink(tuple(others), list(others.values()))
        if not settling.never_whole(at):
            return at + pause
        self._sink(tuple(torn.signals), [bad(Reason.DEVICE_FAULT, at)] * len(torn.signals))
        return None

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
        poll.failed += 1
        if poll.settling is not None:
            poll.settling.interrupted()
        if poll.failed >= CODES_KEPT:
            poll.unit.parameters.lost(poll.fields)
        self._sink(poll.read.signals, [bad(reason, at)] * len(poll.read.signals))

    def _take(self, read: Read, samples: list[Sample]) -> None:
        self._sink(read.signals, samples)


def _backoff(first: float, doublings: int) -> float:
    """A pause that grows, in seconds. After years in vain the number of doublings is no power that a float can hold."""
    return min(math.ldexp(first, min(doublings, MAX_DOUBLINGS)), LONGEST_RETRY_S)


def _place(read: Read) -> str:
    """The registers of a read in words, as on the wire."""
    group = read.groups[0]
    last = max(other.last for other in read.groups)
    return f"{group.table} {group.first}" + (f" to {last}" if last > group.first else "")
