"""The controller: readings come in, a scan is made, outputs go out. One task, one loop, no waiting in between.

A periodic scan runs on a fixed schedule; a critical reading has a scan made in the very callback that brought it,
so that the write it causes leaves before the loop does anything else. An error inside a scan is a programming
error: outputs are driven safe and the process ends, to be started again by its supervisor.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from config.errors import CommandRefused
from config.load import LoadedSite
from config.sample import NOT_YET_READ, Sample
from control.arbitrate import at_stop
from control.command import Answer, Command
from control.fill import BatchState
from control.fill_phase import DISPENSING
from control.instant import Instant
from control.program import Program
from control.saved import to_saved
from control.scan import ScanResult, scan
from control.state import ScanState
from drivers.links import open_links
from drivers.port import LinkDriver, LinkEvent
from edge.blackbox.box import BlackBox
from edge.clock import synchronised
from edge.controller.diagnostics import Diagnostics
from edge.controller.outputs import Outputs
from edge.controller.recorder import Recorder
from edge.controller.timing import Timing
from edge.store.writer import StoreWriter

MAX_INBOX: Final = 64
"""Commands waiting for a scan; more are refused. A person and a platform together ask a few a second."""
SAVE_FILLING_S: Final = 1.0
SAVE_IDLE_S: Final = 30.0
"""How old the saved totals may get: the first while water is dispensed, the second (for flash wear) otherwise."""
CLOCK_S: Final = 10.0
"""How often the kernel is asked whether its clock follows a time server."""
SAFE_STOP_S: Final = 2.0
"""How long a stop waits for the outputs to be confirmed safe."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A command in the inbox and who waits for its answer."""

    command: Command
    answer: asyncio.Future[Answer]


class Controller:
    """Holds the image and the scan state, and runs the cycle."""

    def __init__(
        self,
        loaded: LoadedSite,
        program: Program,
        state: ScanState,
        store: StoreWriter,
        aliases: dict[tuple[str, str], int],
        pki: Path,
        record: Path | None = None,
    ) -> None:
        self.loaded = loaded
        self.program = program
        self.state = state
        self.store = store
        self.timing = Timing()
        self.black_box = BlackBox(loaded, store.directory, self._note_black_box, record)
        self.image: tuple[Sample, ...] = (NOT_YET_READ,) * len(program.signal_names)
        self.drivers: Sequence[LinkDriver] = open_links(loaded, self.take, self._note_event, pki)
        self._raw: list[Sample] = list(self.image)
        self._so_since: list[float | None] = [None] * len(self._raw)
        self._critical = tuple(signal.critical for signal in loaded.signals.signals)
        self._conditioned = frozenset(block.index for block in program.conditioned)
        self._inbox: deque[_Waiting] = deque()
        self._recorder = Recorder(loaded, program, aliases, store, self.drivers)
        self._diagnostics = Diagnostics(loaded.signals, self.drivers, loaded.site.record.diagnostics)
        self._outputs = Outputs(self._driver_of_outputs(), program.signal_names)
        self._period = loaded.site.scan.period
        self._saved_state: ScanState | None = None
        self._saved_at = float("-inf")
        self._scanning = False
        self._failure: asyncio.Future[None] | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._synchronised = synchronised()
        self._clock_asked_at = float("-inf")

    def now(self) -> Instant:
        """The present moment, on the loop's clock and in UTC."""
        return Instant(self._clock(), time.time(), self._synchronised)

    def take(self, indices: Sequence[int], samples: Sequence[Sample]) -> None:
        """Takes the readings of one reply into the image; scans at once when one of them is critical."""
        now = self.now()
        critical = False
        for index, sample in zip(indices, samples, strict=True):
            before, self._raw[index] = self._raw[index], sample
            if index not in self._conditioned:
                if sample.reason is not before.reason:
                    self._so_since[index] = now.utc
                self._recorder.note(index, sample, now)
            critical = critical or self._critical[index]
        if critical and not self._scanning:
            self._guarded_scan(on_demand=True)

    def since(self, index: int) -> float | None:
        """Since when a signal has the reason that it has now, seconds UTC; ``None`` where its age has given it."""
        read = index in self._conditioned or self.image[index].reason is self._raw[index].reason
        return self._so_since[index] if read else None

    def _note_event(self, event: LinkEvent) -> None:
        """Records what a driver reports beside its readings."""
        body = {"name": event.name, "link": event.link, **event.body}
        self.store.put_entry("event", event.device or event.link, body, int(time.time() * 1000))

    def _note_black_box(self, body: dict[str, Any], time_ms: int) -> None:
        self.store.put_entry("event", "blackbox", body, time_ms)

    async def ask(self, command: Command) -> Answer:
        """Puts a command before the next scan and returns what it made of it, once that is on disk."""
        if len(self._inbox) >= MAX_INBOX:
            raise CommandRefused(f"{MAX_INBOX} commands already wait; try again")
        waiting = _Waiting(command, asyncio.get_running_loop().create_future())
        self._inbox.append(waiting)
        asyncio.get_running_loop().call_soon(self._guarded_scan_for_inbox)
        answer = await waiting.answer
        await self.store.flush(SAFE_STOP_S)
        return answer

    async def run(self) -> None:
        """Runs drivers and cycle until cancelled; then drives the outputs safe and saves."""
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._failure = loop.create_future()
        async with contextlib.AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            links = [group.create_task(driver.run(), name=f"link {driver.name}") for driver in self.drivers]
            try:
                await self._cycle()
            finally:
                await self._stop()
                for link in links:
                    link.cancel()

    async def _cycle(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._failure is not None
        due = loop.time()
        while True:
            late = loop.time() - due
            missed = int(late / self._period)
            self.timing.periodic(late, missed)
            self._guarded_scan(on_demand=False)
            if loop.time() - self._clock_asked_at >= CLOCK_S:
                self._synchronised, self._clock_asked_at = synchronised(), loop.time()
            if self._diagnostics.due(loop.time()):
                self.take(self._diagnostics.indices, self._diagnostics.take(loop.time()))
            due += self._period * (missed + 1)
            await asyncio.wait({self._failure}, timeout=max(due - loop.time(), 0.0))
            if self._failure.done():
                self._failure.result()

    def _guarded_scan_for_inbox(self) -> None:
        if self._inbox:
            self._guarded_scan(on_demand=True)

    def _guarded_scan(self, *, on_demand: bool) -> None:
        """A scan whose failure ends the process instead of the caller (a driver's callback, say)."""
        assert self._failure is not None
        if self._failure.done():
            return
        self._scanning = True
        try:
            self._scan(on_demand=on_demand)
        except Exception as error:
            log.critical("scan failed; outputs are driven safe", exc_info=error)
            self._failure.set_exception(error)
            self._outputs.write(at_stop(self.program), self.image, self._clock())
        finally:
            self._scanning = False

    def _scan(self, *, on_demand: bool) -> None:
        began, now = time.perf_counter(), self.now()
        waiting = list(self._inbox)
        self._inbox.clear()
        raw, commands = tuple(self._raw), tuple(w.command for w in waiting)
        try:
            result = scan(self.program, self.state, raw, commands, now)
        except Exception as error:
            self.black_box.note_failed(self.state, raw, commands, now, error)
            raise
        began_with, self.state = self.state, result.state
        before, self.image = self.image, result.image
        self._outputs.write(result.state.outputs, result.image, now.mono)
        self.black_box.note(began_with, raw, commands, now, result)
        self._record(result, raw, before, now)
        for one, answer in zip(waiting, result.answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)
        self.timing.ran(time.perf_counter() - began, on_demand=on_demand)

    def _record(self, result: ScanResult, raw: tuple[Sample, ...], before: tuple[Sample, ...], now: Instant) -> None:
        image = result.image
        if image is not raw:
            for index, (read, used) in enumerate(zip(raw, image, strict=True)):
                if used is not read and index not in self._conditioned:
                    self._recorder.note(index, used, now)
        for index in self._conditioned:
            if image[index] is not before[index]:
                if image[index].reason is not before[index].reason:
                    self._so_since[index] = now.utc
                self._recorder.note(index, image[index], now)
        for event in result.events:
            body = {"name": event.name, **event.body}
            self.store.put_entry(str(event.kind), event.subject, body, int(now.utc * 1000))
        if result.events or self._save_due(now):
            self._save(now)
        self._recorder.cycle(result.state, result.image, self.timing, now)

    def _save_due(self, now: Instant) -> bool:
        if self._saved_state is self.state:
            return False
        filling = any(isinstance(d, BatchState) and d.phase in DISPENSING for d in self.state.dispensers)
        return now.mono - self._saved_at >= (SAVE_FILLING_S if filling else SAVE_IDLE_S)

    def _save(self, now: Instant) -> None:
        self._saved_state, self._saved_at = self.state, now.mono
        self.store.save_state(to_saved(self.program, self.state, now))

    async def _stop(self) -> None:
        """Leaves the plant safe: every output to its safe position, confirmed if the field still answers."""
        now = self.now()
        self._outputs.write(at_stop(self.program), self.image, now.mono)
        if not await self._outputs.settle(SAFE_STOP_S):
            log.warning("not every output was confirmed safe before the stop")
        else:
            log.info("stopped; every output is confirmed safe")
        for waiting in self._inbox:
            waiting.answer.cancel()
        now = self.now()
        self._recorder.flush(now)
        self._save(now)
        await self.black_box.close()

    def _driver_of_outputs(self) -> dict[int, LinkDriver]:
        by_link = {driver.name: driver for driver in self.drivers}
        return {
            demand.signal: by_link[self.loaded.signals.signals[demand.signal].link] for demand in self.state.outputs
        }
