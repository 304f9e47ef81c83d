"""What is done to the devices of a bus, step by step, ahead of all reads.

One step of one job is on the line at a time. A request that follows another of its job goes out before anything else,
so that nothing comes between a write and its read-back; while a job pauses, the bus does other things.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from config.errors import DeviceError
from config.sample import Value
from drivers.modbus.command import Ask, Pause, Procedure
from drivers.modbus.device import Device
from drivers.modbus.line import Line
from drivers.modbus.transaction import REPLY, Outcome, Result
from drivers.modbus.transport import CLOCK_TICK_S
from drivers.modbus.unit import BROADCAST
from drivers.port import WriteResult

MAX_JOBS: Final = 256
"""More are refused: a site has some tens of outputs, each with one write in flight."""
NO_SIGNAL: Final = -1
NOT_TO_ALL: Final = "unit 0 is every device of the bus; say 'broadcast_writes: true' if that is meant"
LAST_READ_FUNCTION: Final = 4

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """Something done to a device. ``signal`` and ``value`` of a write; ``done``: who awaits the outcome, if anybody."""

    device: Device
    steps: Procedure
    done: asyncio.Future[WriteResult] | None
    signal: int = NO_SIGNAL
    value: Value = None
    answered: bool = False
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
        self._in_hand = False

    @property
    def waiting(self) -> bool:
        """True when one of them wants the line, and none is on it."""
        return not self._in_hand and (self._next is not None or bool(self._waiting))

    def go_on(self) -> None:
        """Lets the one whose turn it is use the line, which must be ready."""
        job, self._next = self._next, None
        self._go_on(job if job is not None else self._waiting.popleft())

    def write(self, device: Device, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        """Commands a signal. What an earlier command of it still waits for no longer matters."""
        before = next((job for job in self._paused if job.signal == signal), None)
        done = self.do(device, lambda: device.commands.write(signal, value), signal, value)
        if before is not None and not done.done():
            self._end(before, WriteResult(False, None, "another value was written meanwhile"))
        return done

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
                self._waiting.append(Job(device, steps(), done, signal, value))
            except DeviceError as error:
                refusal = error.message
        if refusal:
            done.set_result(WriteResult(False, None, refusal))
        elif not self._in_hand:
            self._kick()
        return done

    def tell(self, device: Device, steps: Procedure, *, first: bool = False) -> None:
        """Does what nobody awaits: a heartbeat, what a device is told when it begins to answer."""
        job = Job(device, steps, None)
        if first:
            self._waiting.appendleft(job)
        else:
            self._waiting.append(job)

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
        if len(self._waiting) + len(self._paused) >= MAX_JOBS:
            return f"{MAX_JOBS} writes already wait"
        if writes and device.number == BROADCAST and not device.everybody:
            return NOT_TO_ALL
        # What a unit that is down has just left unanswered is tried again as a probe; a new demand may be a closing
        # valve, and is tried at once.
        held = device.down and self._loop.time() < device.held_until
        if held and signal in device.unanswered and device.unanswered[signal] == value:
            return f"{device.device} does not answer"
        return ""

    def _go_on(self, job: Job) -> None:
        """Sends a job's request, or runs it to its first one."""
        if job.ask is None:
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
        request = self._line.prepared(job.device, ask.pdu, ask.start, ask.reply_bytes)
        self._in_hand = True
        self._line.request(job.device, request, self._heard, job)

    def _heard(self, job: Job, result: Result) -> None:
        if result.outcome is Outcome.TIMEOUT and job.signal != NO_SIGNAL:
            job.device.unanswered[job.signal] = job.value
        self._advance(job, result)

    def _advance(self, job: Job, result: Result | None) -> None:
        """Runs a job to its next request or pause. What a reading leads to meanwhile waits for that."""
        self._in_hand = True
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
        finally:
            self._in_hand = False
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
        if job.timer is not None:
            job.timer.cancel()
        self._paused.discard(job)
        job.steps.close()
        _answer(job, result)


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
