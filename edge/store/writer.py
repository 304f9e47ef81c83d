"""The one thread of the controller that writes to disk, so that the scan never waits for it.

Telemetry is gathered and committed together; ledger entries and the scan's state are written at once, the ledger
first. When the disk does not take them, entries and the newest state wait, telemetry beyond a bound is dropped and
counted, and the loss is itself written down once the disk is back. A fault of the disk never reaches the scan.
"""

import asyncio
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from config.errors import StoreError
from edge.json_text import encoded
from edge.sparkplug import Metric
from edge.store import ledger as ledger_file
from edge.store import spool as spool_file
from edge.store import state as state_file
from edge.store.database import CorruptStore, set_aside
from edge.store.ledger import Ledger, NewEntry
from edge.store.spool import NewRecord, Spool
from edge.store.state import StateFile

COMMIT_S: Final = 0.25
"""Telemetry is committed this often: what a power cut can cost of it, and a bound on flash wear."""
MAX_WAITING: Final = 20_000
"""Telemetry rows in memory while the disk does not take them; about 20 MB."""
RETRY_S: Final = 1.0
COPY_BATCH: Final = 500

File = TypeVar("File", Ledger, Spool, StateFile)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store does. ``fault`` is the disk's last error while it lasts."""

    boot: int
    waiting: int
    written: int
    bytes_written: int
    dropped: int
    last_commit_ms: float
    fault: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class StoreWriter:
    """Opens the three files in ``directory`` and writes to them. Everything but ``stop`` returns at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self.set_aside: list[Path] = []
        self._ledger = self._open(Ledger, ledger_file.FILE_NAME)
        self._spool = self._open(Spool, spool_file.FILE_NAME)
        self._state = self._open(StateFile, state_file.FILE_NAME)
        if self._spool.ledger_through() > self._ledger.last_id():
            self._spool.restart_ledger_copy()
        self.boot = self._state.next_boot(self._first_free_boot())
        self._condition = threading.Condition()
        self._data: deque[NewRecord] = deque()
        self._entries: deque[NewEntry] = deque()
        self._state_json: dict[str, Any] | None = None
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._stopping = False
        self._written = self._bytes = self._dropped = self._dropped_reported = 0
        self._last_commit_ms = 0.0
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)

    def register(self, metrics: list[Metric]) -> dict[tuple[str, str], int]:
        """Gives metrics their aliases. To be called before ``start``."""
        return self._spool.register(metrics)

    def load_state(self) -> dict[str, Any] | None:
        """What was saved before the restart. Raises ``StoreError`` when it cannot be read."""
        if any(path.name.startswith(state_file.FILE_NAME) for path in self.set_aside):
            raise StoreError("the state file was corrupt")
        saved = self._state.load("scan")
        if saved is None:
            return None
        try:
            data: dict[str, Any] = json.loads(saved)
        except ValueError as error:
            raise StoreError("the saved state is not JSON") from error
        return data

    def start(self) -> None:
        self._thread.start()

    def put_data(self, device: str, payload: bytes, time_ms: int) -> None:
        """Records the metrics of one Sparkplug device."""
        self._put_row(NewRecord("data", device, time_ms, payload))

    def put_online(self, device: str, online: bool, time_ms: int) -> None:
        """Records that a device answers again, or no more."""
        self._put_row(NewRecord("online" if online else "offline", device, time_ms, b""))

    def put_entry(self, kind: str, subject: str, body: dict[str, Any], time_ms: int) -> None:
        """Writes an entry to the ledger and on to the spool."""
        with self._condition:
            self._entries.append(NewEntry(kind, subject, body, time_ms))
            self._condition.notify()

    def save_state(self, state: dict[str, Any]) -> None:
        """Saves the scan's state; only the newest counts."""
        with self._condition:
            self._state_json = state
            self._condition.notify()

    async def flush(self, timeout: float) -> bool:
        """Waits until everything put before is on disk; false when that takes longer than ``timeout``."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._condition:
            self._waiters.append((loop, done))
            self._condition.notify()
        try:
            async with asyncio.timeout(timeout):
                await done
        except TimeoutError:
            return False
        return True

    def status(self) -> StoreStatus:
        waiting = len(self._data) + len(self._entries)
        return StoreStatus(
            self.boot, waiting, self._written, self._bytes, self._dropped, self._last_commit_ms, self._fault
        )

    def stop(self, timeout: float = 5.0) -> None:
        """Writes what waits and closes the files."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            for file in (self._ledger, self._spool, self._state):
                file.close()

    def _put_row(self, row: NewRecord) -> None:
        with self._condition:
            if len(self._data) >= MAX_WAITING:
                self._data.popleft()
                self._dropped += 1
            self._data.append(row)

    def _open(self, kind: Callable[[Path], File], name: str) -> File:
        """Opens a file; a corrupt one is set aside and begun anew, so that control can go on."""
        path = self.directory / name
        try:
            return kind(path)
        except CorruptStore as error:
            self._set_aside(path, error)
            return kind(path)

    def _set_aside(self, path: Path, error: StoreError) -> None:
        aside = set_aside(path)
        self.set_aside.append(aside)
        log.error(
            "store file was corrupt and is set aside; a new one is begun",
            error=error.message,
            aside=str(aside),
        )

    def _first_free_boot(self) -> int:
        """A boot number that no record bears yet, whatever became of the state file."""
        last = self._ledger.latest_boot()
        return max(last, self._spool.latest_boot()) + 1

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        last_commit = 0.0
        while True:
            with self._condition:
                urgent = bool(self._entries or self._state_json is not None or self._waiters or self._stopping)
                if not urgent:
                    self._condition.wait(COMMIT_S)
                    urgent = bool(self._entries or self._state_json is not None or self._waiters or self._stopping)
                if not urgent and time.monotonic() - last_commit < COMMIT_S:
                    continue
                entries, rows, state = list(self._entries), list(self._data), self._state_json
                dropped_before = self._dropped
                waiters, self._waiters = self._waiters, []
                stopping = self._stopping
            began = time.monotonic()
            try:
                self._write(entries, rows, state, dropped_before)
            except Exception as error:
                # Whatever it is: a writer that has ended would let a station run on that books nothing.
                self._note_fault(error)
                with self._condition:
                    self._waiters = waiters + self._waiters
                    if not stopping:
                        self._condition.wait(RETRY_S)
                if stopping:
                    return
                continue
            last_commit = time.monotonic()
            self._last_commit_ms = round((last_commit - began) * 1000, 3)
            self._note_fault(None)
            for loop, done in waiters:
                loop.call_soon_threadsafe(_resolve, done)
            if stopping and not self._entries and not self._data:
                return

    def _write(
        self,
        entries: list[NewEntry],
        rows: list[NewRecord],
        state: dict[str, Any] | None,
        dropped_before: int,
    ) -> None:
        """Ledger, then spool, then state: a receipt is on disk before the state forgets its order."""
        if self._dropped > self._dropped_reported:
            count = self._dropped - self._dropped_reported
            body = {"name": "telemetry-dropped", "count": count}
            self._ledger.append(self.boot, [NewEntry("event", "store", body, int(time.time() * 1000))])
            self._dropped_reported += count
        if entries:
            self._ledger.append(self.boot, entries)
            with self._condition:
                for _ in entries:
                    self._entries.popleft()
        if rows:
            self._spool.append(self.boot, rows)
            with self._condition:
                # What was dropped in the meantime is already gone from the front.
                for _ in range(len(rows) - (self._dropped - dropped_before)):
                    self._data.popleft()
            self._written += len(rows)
            self._bytes += sum(len(row.payload) for row in rows)
        self._copy_ledger()
        if state is not None:
            self._state.save("scan", encoded(state))
            with self._condition:
                if self._state_json is state:
                    self._state_json = None

    def _copy_ledger(self) -> None:
        """Puts every ledger entry into the spool that is not there yet, exactly once."""
        while True:
            entries = self._ledger.read(self._spool.ledger_through(), COPY_BATCH)
            if not entries:
                return
            rows = [
                NewRecord(
                    entry.kind,
                    entry.subject,
                    entry.time_ms,
                    encoded(entry.to_json()),
                )
                for entry in entries
            ]
            self._spool.append(self.boot, rows, ledger_through=entries[-1].id)
            self._written += len(rows)

    def _note_fault(self, error: Exception | None) -> None:
        of_the_disk = isinstance(error, sqlite3.Error | OSError)
        if error is not None and self._fault is None:
            log.error("the store cannot be written; control goes on", error=str(error), exc_info=not of_the_disk)
        if error is None and self._fault is not None:
            log.info("the store is written again")
        self._fault = None if error is None else str(error) if of_the_disk else f"{type(error).__name__}: {error}"


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
