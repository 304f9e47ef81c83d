"""A Modbus bus: who is asked when, and what becomes of the answers.

Writes go ahead of reads, reads go by their periods and priorities, and no unit can hold up the others: one that
does not answer is bad at once, and probed seldom (``unit``). Nothing here waits: a reply, a timer or a write moves
the bus on, and each does so in the loop step in which it came.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

import structlog

from config.errors import DeviceError
from config.load import LoadedSite
from config.profile import ModbusProfile
from config.sample import Reason, Sample, Value, bad
from config.signals import Signal
from config.site import ModbusLink, ModbusTcpLink
from drivers.modbus.block import modbus
from drivers.modbus.codec import Number
from drivers.modbus.command import Ask, DeviceCommands, Pause, Procedure
from drivers.modbus.exceptions import ACKNOWLEDGE, BUSY, GATEWAY_PATH, GATEWAY_SILENT, OF_THE_MAP, exception_text
from drivers.modbus.health import Health
from drivers.modbus.line import Line
from drivers.modbus.parameters import Parameters
from drivers.modbus.plan import DevicePlan, Read
from drivers.modbus.schedule import Schedule, Turn, phases
from drivers.modbus.transaction import REPLY, Outcome, Request, Result
from drivers.modbus.transport import CLOCK_TICK_S
from drivers.modbus.unit import Unit
from drivers.port import DeviceStatus, LinkEvent, LinkStatus, Notify, Sink, WriteResult

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
BROADCAST: Final = 0
READ_FUNCTIONS: Final = frozenset({1, 2, 3, 4})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Device(Unit):
    """A unit with what may be done to it."""

    commands: DeviceCommands = field(kw_only=True)
    may_broadcast: bool = field(kw_only=True)
    write_only: tuple[int, ...] = field(kw_only=True)


@dataclass(slots=True)
class _Poll:
    """A read and how it fares.

    ``answered``: it was once. ``silent``: times in a row that it had no answer though its unit has answered others
    since; ``refused``: times in a row that the device had no such registers. ``parts``: what its totals read last.
    """

    unit: _Device
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

    unit: _Device


@dataclass(slots=True, eq=False)
class _Job:
    """Something done to a device, step by step. ``key``: the signal of a write; ``done``: who awaits the outcome."""

    unit: _Device
    steps: Procedure
    done: asyncio.Future[WriteResult] | None
    key: int = -1
    value: Value = None
    answered: bool = False
    ask: Ask | None = None
    timer: asyncio.TimerHandle | None = None


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
        self._devices: dict[str, _Device] = {}
        self._signals: dict[int, Signal] = {}
        for tag, signals in loaded.signals.by_device().items():
            if loaded.site.devices[tag].link == name:
                self._devices[tag] = self._device(tag, signals, loaded)
                self._signals |= {signal.index: signal for signal in signals}
        units = self._devices.values()
        self._health = Health(name, link, units, sink, self._online, self._reconnect)
        self._line = Line(name, link, self._up, self._down, self._free, self._health.book)
        self._line.status.devices = {tag: unit.status for tag, unit in self._devices.items()}
        self._schedule: Schedule[_Poll | _Beat] = Schedule()
        self._jobs: deque[_Job] = deque()
        self._paused: set[_Job] = set()
        self._reserved: _Job | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._asked_at = float("-inf")

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
            self._give_up_jobs(f"link {self._name} is closed")
            self._sleep(None)

    def write(self, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        definition = self._signals[signal]
        unit = self._devices[definition.device]
        before = next((job for job in self._paused if job.key == signal), None)
        done = self._start(unit, lambda: unit.commands.write(signal, value), signal, value)
        if before is not None and not done.done():
            # What an earlier demand should have led to no longer matters.
            self._end(before, WriteResult(False, None, "another value was written meanwhile"))
        return done

    def write_raw(self, device: str, pdu: bytes) -> asyncio.Future[WriteResult]:
        """Sends a write as it stands, if the device's profile allows these registers. The future never raises."""
        unit = self._devices[device]
        return self._start(unit, lambda: unit.commands.raw(pdu))

    def act(self, device: str, action: str) -> asyncio.Future[WriteResult]:
        """Carries out an action of the device's profile. The future never raises."""
        unit = self._devices[device]
        return self._start(unit, lambda: unit.commands.action(action))

    def ask(self, device: str, ask: Ask) -> asyncio.Future[Result]:
        """One read between the polls, for a person. The future never raises."""
        heard: asyncio.Future[Result] = self._loop.create_future()
        unit = self._devices[device]

        def once() -> Procedure:
            result = yield ask
            if not heard.done():
                heard.set_result(result)
            yield WriteResult(True, None)

        def given_up(done: asyncio.Future[WriteResult]) -> None:
            if not heard.done():
                now = self._loop.time()
                heard.set_result(Result(Outcome.LOST, done.result().detail.encode(), now, 0.0))

        self._start(unit, once).add_done_callback(given_up)
        return heard

    # -- the link ----------------------------------------------------------------------------------------------------

    def _up(self) -> None:
        """The link is open: every read begins anew."""
        now = self._asked_at = self._loop.time()
        self._health.connected()
        self._schedule.clear()
        polls = [self._poll(unit, read) for unit in self._devices.values() for read in unit.plan.reads]
        first = phases([poll.read.period for poll in polls], self._phase)
        for poll, after in zip(polls, first, strict=True):
            self._schedule.put(Turn(poll, poll.read.period, poll.read.priority, now + after))
        for unit in self._devices.values():
            period = unit.commands.heartbeat_period
            if period is not None:
                self._schedule.put(Turn(_Beat(unit), period, "high", now))
        self._kick()

    def _down(self, why: str) -> None:
        self._sleep(None)
        self._give_up_jobs(f"link {self._name} went down: {why}")
        self._health.disconnected()

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
            self._jobs.appendleft(_Job(device, device.commands.start_up(), None))

    def _give_up_jobs(self, why: str) -> None:
        reserved, self._reserved = self._reserved, None
        for job in [*self._jobs, *self._paused, *([reserved] if reserved is not None else [])]:
            self._end(job, WriteResult(False, None, why))
        self._jobs.clear()

    # -- the cycle ---------------------------------------------------------------------------------------------------

    def _kick(self) -> None:
        """Sends what is to be sent now, or sets a timer for when there will be something."""
        while True:
            # What is due within a tick of the loop's clock is due: waiting for it would only turn the loop idly.
            now = self._loop.time() + CLOCK_TICK_S
            ready = self._line.ready_at()
            if ready is None:
                if self._jobs and self._line.connected:
                    self._line.need()
                return
            if self._reserved is not None or self._jobs:
                if ready > now:
                    self._sleep(ready)
                    return
                job, self._reserved = self._reserved, None
                self._go_on(job if job is not None else self._jobs.popleft())
                continue
            due = self._schedule.next_at()
            if due is None or due > now or ready > now:
                self._rest_until(due, ready, now)
                return
            turn = self._schedule.take(now)
            if turn is not None:
                self._take_turn(turn, now - CLOCK_TICK_S)

    def _free(self) -> None:
        """The bus may take a request again. A write goes out now, a read when all that has arrived was looked at."""
        if self._jobs or self._reserved is not None:
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
            elif now >= self._asked_at + link.keep_alive:
                self._asked_at = now
                for unit in self._devices.values():
                    if not unit.down:
                        self._probe(unit, now)
                        return
            else:
                wait = min(wait, self._asked_at + link.keep_alive)
        self._sleep(wait)

    def _take_turn(self, turn: Turn[_Poll | _Beat], now: float) -> None:
        item = turn.item
        unit = item.unit
        if now < unit.held_until:
            turn.pass_on(now)
            self._schedule.put(turn, max(unit.held_until, turn.due))
        elif isinstance(item, _Beat):
            turn.pass_on(now)
            self._schedule.put(turn)
            if not unit.down:
                self._jobs.append(_Job(unit, unit.commands.heartbeat(), None))
        elif unit.down or (unit.silent and unit.known and item.read.pdu != unit.probe().pdu):
            # First something that it is known to answer: registers that it does not have take no unit down.
            self._schedule.put(turn, min(turn.due, now))
            self._probe(unit, now)
        else:
            unit.status.missed += turn.pass_on(now)
            unit.status.polls += 1
            self._asked_at = now
            self._line.request(unit, item.request, self._polled, turn)

    # -- reads -------------------------------------------------------------------------------------------------------

    def _poll(self, unit: _Device, read: Read) -> _Poll:
        return _Poll(unit, read, self._ask_for(unit, read))

    def _ask_for(self, unit: _Device, read: Read) -> Request:
        return self._line.prepared(unit, read.pdu, read.reply_start, read.reply_bytes)

    def _probe(self, unit: _Device, now: float) -> None:
        """Asks only to hear whether the unit answers."""
        read = unit.probe()
        request = self._ask_for(unit, read)
        if unit.down:
            request = request._replace(timeout=unit.probe_timeout(request.timeout))
        if unit.silent:
            unit.held_until = now + request.timeout
        unit.status.polls += 1
        self._asked_at = now
        self._line.request(unit, request, self._probed, (unit, read))

    def _probed(self, context: tuple[_Device, Read], result: Result) -> None:
        unit, read = context
        if result.outcome is Outcome.REPLY:
            unit.known.add(read.pdu)
            self._sink(read.signals, read.decode(result.pdu[2:], result.at))

    def _polled(self, turn: Turn[_Poll | _Beat], result: Result) -> None:
        """Makes readings of a reply, good or bad, and gives the read its next turn."""
        poll = turn.item
        assert isinstance(poll, _Poll)
        read, again_at = poll.read, None
        outcome, pdu, at, _ = result
        if outcome is REPLY:
            if not poll.answered:
                poll.answered = True
                poll.unit.known.add(read.pdu)
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
            self._schedule.put(turn, again_at)

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
        for half in halves:
            self._schedule.put(Turn(self._poll(poll.unit, half), half.period, half.priority, at))
        return True

    def _block_bad(self, poll: _Poll, reason: Reason, at: float) -> None:
        self._sink(poll.read.signals, [bad(reason, at)] * len(poll.read.signals))

    # -- what is done to devices -------------------------------------------------------------------------------------

    def _start(
        self, unit: _Device, steps: Callable[[], Procedure], key: int = -1, value: Value = None
    ) -> asyncio.Future[WriteResult]:
        """Does something ahead of all reads. ``key`` and ``value`` of a write of a signal."""
        done: asyncio.Future[WriteResult] = self._loop.create_future()
        refusal = self._refusal(unit, key, value, self._loop.time())
        try:
            job = _Job(unit, steps(), done, key, value)
        except DeviceError as error:
            refusal = error.message
        if refusal:
            done.set_result(WriteResult(False, None, refusal))
            return done
        self._jobs.append(job)
        self._kick()
        return done

    def _refusal(self, unit: _Device, key: int, value: Value, now: float) -> str:
        if not self._line.connected:
            return f"link {self._name} is down: {self._line.status.last_error or 'it has not opened yet'}"
        if len(self._jobs) + len(self._paused) >= MAX_JOBS:
            return f"{MAX_JOBS} writes already wait"
        if unit.number == BROADCAST and not unit.may_broadcast and key >= 0:
            return "unit 0 is every device of the bus; say 'broadcast_writes: true' if that is meant"
        # What a unit that is down has just left unanswered is tried again as a probe; a new demand may be a closing
        # valve, and is tried at once.
        if unit.down and now < unit.held_until and key in unit.unanswered and unit.unanswered[key] == value:
            return f"{unit.device} does not answer"
        return ""

    def _go_on(self, job: _Job) -> None:
        """Sends a job's request, or runs it to its first one."""
        if job.ask is None:
            self._advance(job, None)
            return
        ask, job.ask = job.ask, None
        self._asked_at = self._loop.time()
        if job.unit.number == BROADCAST and job.unit.may_broadcast and ask.pdu[0] not in READ_FUNCTIONS:
            self._line.broadcast(ask.pdu)
            # Nobody answers a broadcast; that it was sent is all that can be known.
            self._advance(job, Result(Outcome.REPLY, ask.start, self._loop.time(), 0.0))
            return
        request = self._line.prepared(job.unit, ask.pdu, ask.start, ask.reply_bytes)
        self._line.request(job.unit, request, self._heard, job)

    def _heard(self, job: _Job, result: Result) -> None:
        if result.outcome is Outcome.TIMEOUT and job.key >= 0:
            job.unit.unanswered[job.key] = job.value
        self._advance(job, result)

    def _advance(self, job: _Job, result: Result | None) -> None:
        """Runs a job to its next request or pause. A request that follows another goes out before anything else."""
        try:
            step = next(job.steps) if result is None else job.steps.send(result)
            while isinstance(step, WriteResult):
                _answer(job, step)
                step = next(job.steps)
        except StopIteration:
            _answer(job, WriteResult(False, None, "ended without an answer"))
            return
        except DeviceError as error:
            _answer(job, WriteResult(False, None, error.message))
            return
        if isinstance(step, Pause):
            self._paused.add(job)
            job.timer = self._loop.call_later(step.seconds, self._resume, job)
            return
        job.ask = step
        ready = self._line.ready_at()
        if self._reserved is None and ready is not None and ready <= self._loop.time() + CLOCK_TICK_S:
            self._go_on(job)
        elif self._reserved is None:
            self._reserved = job
        else:
            self._jobs.appendleft(job)

    def _resume(self, job: _Job) -> None:
        self._paused.discard(job)
        job.timer = None
        self._jobs.appendleft(job)
        self._kick()

    def _end(self, job: _Job, result: WriteResult) -> None:
        if job.timer is not None:
            job.timer.cancel()
        self._paused.discard(job)
        job.steps.close()
        _answer(job, result)

    # -- what it is made of ------------------------------------------------------------------------------------------

    def _device(self, tag: str, signals: list[Signal], loaded: LoadedSite) -> _Device:
        settings, profile = loaded.site.devices[tag], loaded.profiles[tag]
        assert isinstance(profile, ModbusProfile)
        assert settings.unit is not None
        status = DeviceStatus()

        def unit_changed(field: str, before: int, now: int) -> None:
            log.warning("unit changed", device=tag, signal=field, before=before, now=now)
            self._notify(LinkEvent("unit-changed", self._name, tag, {"signal": field, "before": before, "now": now}))

        def unconfirmed(signal: Signal, what: str) -> None:
            if not what:
                status.unconfirmed.pop(signal.field, None)
                return
            status.unconfirmed[signal.field] = what
            log.warning("command without effect", device=tag, signal=signal.name, seen=what)
            self._notify(LinkEvent("not-confirmed", self._name, tag, {"signal": signal.name, "seen": what}))

        parameters = Parameters(unit_changed)
        plan = DevicePlan(signals, profile, ZoneInfo(loaded.site.site.timezone), parameters)
        commands = DeviceCommands(signals, profile, plan, self._take, unconfirmed)
        return _Device(
            device=tag,
            number=settings.unit,
            accept_any=settings.accept_any_unit,
            response_delay=profile.limits.response_delay,
            signals=tuple(signal.index for signal in signals),
            status=status,
            plan=plan,
            parameters=parameters,
            commands=commands,
            may_broadcast=settings.broadcast_writes,
            write_only=tuple(signal.index for signal in signals if not modbus(signal).readable),
        )

    def _take(self, read: Read, samples: list[Sample]) -> None:
        self._sink(read.signals, samples)


def _is_torn(poll: _Poll, parts: tuple[Number | None, ...]) -> bool:
    """True when a total may hold an old part beside a new one, and is to be read once more."""
    before, poll.parts = poll.parts, parts
    moved = before is not None and any(
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


def _answer(job: _Job, result: WriteResult) -> None:
    """Tells who awaits the outcome; where nobody does (what a device is told by itself), a failure is kept."""
    if job.answered:
        return
    job.answered = True
    if job.done is not None:
        if not job.done.done():
            job.done.set_result(result)
        return
    status = job.unit.status
    if not result.ok and result.detail != status.last_error:
        status.last_error = result.detail
        log.warning("device was not told", device=job.unit.device, why=result.detail)
