"""What is done to the devices of a bus, step by step, ahead of all reads.

One step of one job is on the line at a time. A request that follows another of its job goes out before anything else,
so that nothing comes between a write and its read-back; while a job pauses, the bus does other things. Of the jobs
that wait, those of units that answer go first, and units take turns: no queue of one holds up a valve at another.

Of the demands of a signal only the newest is carried out: an older one ends at its next step, at the latest.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from config.errors import DeviceError
from config.sample import Value
from drivers.modbus.device import Device
from drivers.modbus.exceptions import OF_THE_GATEWAY
from drivers.modbus.framing import LAST_READ_FUNCTION
from drivers.modbus.line import Line
from drivers.modbus.procedure import Ask, Pause, Procedure
from drivers.modbus.transaction import REPLY, Outcome, Result
from drivers.modbus.transport import CLOCK_TICK_S
from drivers.modbus.unit import BROADCAST
from drivers.port import WriteResult

MAX_JOBS: Final = 256
"""More are refused: a site has some tens of outputs, each with one write in flight."""
NO_SIGNAL: Final = -1
NOT_TO_ALL: Final = "unit 0 is every device of the bus; say 'broadcast_writes: true' if that is meant"
LAST_S: Final = 3.0
"""What is left to do when a bus stops is given so long: a request in hand, and an off, at usual time-outs."""
SUPERSEDED: Final = "another value was written meanwhile"

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """Something done to a device. ``signal`` and ``value`` of a write; ``done``: who awaits the outcome, if anybody.

    ``sent``: it has asked something; ``over``: why it ends when what it has asked is answered, "" while it goes on.
    """

    device: Device
    steps: Procedure
    done: asyncio.Future[WriteResult] | None
    signal: int = NO_SIGNAL
    value: Value = None
    answered: bool = False
    sent: bool = False
    over: str = ""
    ask: Ask | None = None
    timer: asyncio.TimerHandle | None = None


class Jobs:
    """The jobs of one bus. ``kick`` is called when one of them wants the line."""

    def __init__(self, name: str, line: Line, kick: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._line = line
        self._kick = kick
        self._waiting: deque[Job] = deque()
        self._paused: set[Job] = set()
        self._next: Job | None = None
        self._in_hand: Job | None = None
        self._newest: dict[int, Job] = {}
        self._served: dict[int, int] = {}
        self._turn = 0
        self._closed = ""

    @property
    def waiting(self) -> bool:
        """True when one of them wants the line, and none is on it."""
        return self._in_hand is None and (self._next is not None or bool(self._waiting))

    def go_on(self) -> None:
        """Lets the one whose turn it is use the line, which must be ready."""
        job, self._next = self._next, None
        self._go_on(job if job is not None else self._whose_turn())

    def write(self, device: Device, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        """Commands a signal. An earlier command of it is not carried on."""
        return self.do(device, lambda: device.commands.write(signal, value), signal, value)

    def do(
        self,
        device: Device,
        steps: Callable[[], Procedure],
        signal: int = NO_SIGNAL,
        value: Value = None,
        *,
        writes: bool = True,
    ) -> asyncio.Future[WriteResult]:
        """Does what ``steps`` says. The future never raises."""
        done: asyncio.Future[WriteResult] = self._loop.create_future()
        refusal = self._refusal(device, signal, value, writes=writes)
        if not refusal:
            try:
                self._add(Job(device, steps(), done, signal, value))
            except DeviceError as error:
                refusal = error.message
            except Exception as error:
                log.exception("a job failed by an error of ours", device=device.device, link=self._name)
                refusal = f"failed by an error of the program: {error!r}"
        if refusal:
            done.set_result(WriteResult(False, None, refusal))
        elif self._in_hand is None:
            self._kick()
        return done

    def tell(self, device: Device, steps: Procedure, *, first: bool = False) -> None:
        """Does what nobody awaits: a heartbeat, what a device is told when it begins to answer."""
        job = Job(device, steps, None)
        if first:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)

    def take_back(self, device: Device) -> None:
        """A unit answers that was left with a pulse on: switches it off, unless somebody is at it."""
        for signal in [one for one in device.commands.standing if one not in self._newest]:
            self._add(Job(device, device.commands.take_back(signal), None, signal, False))

    async def close(self, devices: Iterable[Device], why: str) -> None:
        """Ends them all but what must not be left so: pulses that are on are switched off, within ``LAST_S``."""
        self._closed = why
        self.give_up(why)
        if self._in_hand is not None:
            self._in_hand.over = why
        left: list[asyncio.Future[WriteResult]] = []
        for device in devices:
            for signal in device.commands.pulses:
                if self._line.connected and not device.down:
                    left.append(self._loop.create_future())
                    self._waiting.append(Job(device, device.commands.take_back(signal), left[-1]))
        if left:
            if self._in_hand is None:
                self._kick()
            await asyncio.wait(left, timeout=LAST_S)

    def reopen(self) -> None:
        """Takes jobs again, after ``close``."""
        self._closed = ""

    def give_up(self, why: str) -> None:
        """Ends them all: the link has gone."""
        jobs = [*self._waiting, *self._paused, *([self._next] if self._next is not None else [])]
        self._next = None
        self._waiting.clear()
        for job in jobs:
            self._end(job, WriteResult(False, None, why))

    def _refusal(self, device: Device, signal: int, value: Value, *, writes: bool) -> str:
        if not self._line.connected:
            return f"link {self._name} is down: {self._line.status.last_error or 'it has not opened yet'}"
        if self._closed:
            return self._closed
        if len(self._waiting) + len(self._paused) >= MAX_JOBS:
            return f"{MAX_JOBS} writes already wait"
        if writes and device.number == BROADCAST and not device.everybody:
            return NOT_TO_ALL
        return self._in_vain(device, signal, value)

    def _in_vain(self, device: Device, signal: int, value: Value) -> str:
        """Why a demand is not tried now.

        What a unit that is down has just left unanswered is tried again as a probe; a new demand may be a closing
        valve, and is tried at once.
        """
        unanswered = signal in device.unanswered and device.unanswered[signal] == value
        return _does_not_answer(device) if unanswered and self._held(device) else ""

    def _held(self, device: Device) -> bool:
        return device.down and self._loop.time() < device.held_until

    def _add(self, job: Job) -> None:
        if job.signal != NO_SIGNAL:
            before = self._newest.get(job.signal)
            self._newest[job.signal] = job
            if before is not None and before is self._in_hand:
                before.over = SUPERSEDED
            elif before is not None:
                self._end(before, WriteResult(False, None, SUPERSEDED))
        self._waiting.append(job)

    def _whose_turn(self) -> Job:
        """Takes the next job: of a unit that answers before one of those that do not, of each in its turn."""
        job = min(self._waiting, key=lambda one: (one.device.down, self._served.get(one.device.number, 0)))
        self._waiting.remove(job)
        self._turn += 1
        self._served[job.device.number] = self._turn
        return job

    def _go_on(self, job: Job) -> None:
        """Sends a job's request, or runs it to its first one."""
        if job.ask is None:
            # Its unit may have gone down while it waited.
            refusal = "" if job.sent else self._in_vain(job.device, job.signal, job.value)
            if refusal:
                self._end(job, WriteResult(False, None, refusal))
            else:
                self._advance(job, None)
            return
        ask, job.ask = job.ask, None
        if job.device.everybody:
            # Nobody answers: that it was sent is all that can be known of an order, and a question is not worth asking.
            is_order = ask.pdu[0] > LAST_READ_FUNCTION
            if is_order:
                self._line.broadcast(ask.pdu)
            outcome, pdu = (REPLY, ask.start) if is_order else (Outcome.TIMEOUT, b"")
            self._advance(job, Result(outcome, pdu, self._loop.time(), 0.0))
            return
        if job.device.number == BROADCAST and ask.pdu[0] > LAST_READ_FUNCTION:
            self._end(job, WriteResult(False, None, NOT_TO_ALL))
            return
        if job.sent and self._held(job.device):
            # What one job has tried in vain is not tried again step by step: that is what probes are for.
            self._advance(job, Result(Outcome.TIMEOUT, b"", self._loop.time(), 0.0))
            return
        request = self._line.prepared(job.device, ask.pdu, ask.start, ask.reply_bytes)
        self._in_hand, job.sent = job, True
        self._line.request(job.device, request, self._heard, job)

    def _heard(self, job: Job, result: Result) -> None:
        if _is_silence(result):
            self._not_taken(job)
            if job.device.down:
                self._give_up_on(job.device)
        self._advance(job, result)

    def _not_taken(self, job: Job) -> None:
        if job.signal != NO_SIGNAL:
            job.device.unanswered[job.signal] = job.value

    def _give_up_on(self, device: Device) -> None:
        """A unit that is down would leave everything that waits for it unanswered, one time-out after the other."""
        for job in [one for one in self._waiting if one.device is device and not one.sent]:
            self._not_taken(job)
            self._end(job, WriteResult(False, None, _does_not_answer(device)))

    def _advance(self, job: Job, result: Result | None) -> None:
        """Runs a job to its next request or pause. What a reading leads to meanwhile waits for that."""
        self._in_hand = job
        try:
            step = next(job.steps) if result is None else job.steps.send(result)
            while isinstance(step, WriteResult):
                _answer(job, step)
                step = next(job.steps)
        except StopIteration:
            self._ended(job, WriteResult(False, None, "ended without an answer"))
            return
        except DeviceError as error:
            self._ended(job, WriteResult(False, None, error.message))
            return
        except Exception as error:
            # The bus goes on: guards live on its readings.
            log.exception("a job failed by an error of ours", device=job.device.device, link=self._name)
            self._ended(job, WriteResult(False, None, f"failed by an error of the program: {error!r}"))
            return
        finally:
            self._in_hand = None
        if job.over:
            self._end(job, WriteResult(False, None, job.over))
            return
        if isinstance(step, Pause):
            self._paused.add(job)
            job.timer = self._loop.call_later(step.seconds, self._resume, job)
            return
        job.ask = step
        ready = self._line.ready_at()
        if self._next is not None:
            self._waiting.appendleft(job)
        elif ready is not None and ready <= self._loop.time() + CLOCK_TICK_S:
            self._go_on(job)
        else:
            self._next = job

    def _resume(self, job: Job) -> None:
        self._paused.discard(job)
        job.timer = None
        self._waiting.appendleft(job)
        self._kick()

    def _end(self, job: Job, result: WriteResult) -> None:
        """Ends a job that waits, pauses, or is just between two steps."""
        if job.timer is not None:
            job.timer.cancel()
        self._paused.discard(job)
        if job in self._waiting:
            self._waiting.remove(job)
        if self._next is job:
            self._next = None
        job.steps.close()
        self._ended(job, result)

    def _ended(self, job: Job, result: WriteResult) -> None:
        if self._newest.get(job.signal) is job:
            del self._newest[job.signal]
        _answer(job, result)


def _is_silence(result: Result) -> bool:
    """True when the unit said nothing, or its gateway that it heard nothing."""
    gateway = result.outcome is Outcome.EXCEPTION and result.pdu[1] in OF_THE_GATEWAY
    return gateway or result.outcome is Outcome.TIMEOUT


def _does_not_answer(device: Device) -> str:
    return f"{device.device} does not answer"


def _answer(job: Job, result: WriteResult) -> None:
    """Tells who awaits the outcome; where nobody does, a failure is kept with the device."""
    if job.answered:
        return
    job.answered = True
    if job.done is not None:
        if not job.done.done():
            job.done.set_result(result)
        return
    status = job.device.status
    if not result.ok and result.detail != status.last_error:
        status.last_error = result.detail
        log.warning("device was not told", device=job.device.device, why=result.detail)
