"""A recording: every scan for as long as the controller runs, into one file that grows.

Each whole segment is written by a thread as it comes. A disk that is full, or too slow to keep up, ends the recording
with a word in the log; the file is then good up to there.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import structlog

from config.errors import PenstockError
from config.load import LoadedSite
from edge.blackbox.file import Writer, header
from edge.blackbox.ring import Span

MAX_BYTES: Final = 4 * 1024**3
"""A recording ends when its file has become so large: an hour of the demo takes about 10 MB."""
MAX_WAITING: Final = 32
"""Segments that wait for the disk."""
AT_A_TIME: Final = 100
PAUSE_S: Final = 0.001

log = structlog.get_logger(__name__)


class Recording:
    """Raises ``PenstockError`` when the file is there already or cannot be made."""

    def __init__(self, path: Path, loaded: LoadedSite) -> None:
        self._path = path
        self._head = {**header(loaded), "why": {"recording": path.name, "utc": time.time()}}
        try:
            self._file = path.open("xb")
        except FileExistsError as error:
            raise PenstockError(f"{path} exists already: a recording needs a file of its own") from error
        except OSError as error:
            raise PenstockError(f"{path} cannot be made: {error.strerror}") from error
        self._writer = Writer(self._file)
        self._waiting: list[Span] = []
        self._busy: asyncio.Task[None] | None = None
        self._last: Span | None = None
        self._over = False

    def take(self, span: Span) -> None:
        """Takes a whole segment and returns at once."""
        if self._over:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._end("the disk does not keep up")
            return
        self._waiting.append(span)
        if self._busy is None or self._busy.done():
            self._busy = asyncio.get_running_loop().create_task(self._write_waiting())

    def status(self) -> dict[str, Any]:
        """How much is on disk."""
        return {
            "file": str(self._path),
            "scans": self._writer.scans,
            "bytes": self._writer.bytes,
            "over": self._over,
        }

    async def close(self, last: Span | None) -> None:
        """Writes the segment that is not whole yet, and the end."""
        if last is not None:
            self.take(last)
        if self._busy is not None:
            await self._busy
        if not self._over:
            await asyncio.to_thread(self._finish)
        self._file.close()

    async def _write_waiting(self) -> None:
        while self._waiting and not self._over:
            span = self._waiting.pop(0)
            try:
                await asyncio.to_thread(self._write, span)
            except Exception as error:
                # Whatever it is: what is only recorded must not end what controls.
                self._end((isinstance(error, OSError) and error.strerror) or str(error), error)
                return
            if self._writer.bytes > MAX_BYTES:
                self._end(f"the file has reached {MAX_BYTES} bytes")

    def _write(self, span: Span) -> None:
        if self._last is None:
            self._writer.begin(self._head, span.state, span.image)
        if span.scans:
            self._writer.check(span.state, span.scans[0].now.mono)
        since_pause = 0
        for scanned in span.scans:
            self._writer.scan(scanned)
            since_pause += scanned.entries
            if since_pause >= AT_A_TIME:
                since_pause = 0
                time.sleep(PAUSE_S)
        self._writer.flush()
        self._last = span

    def _finish(self) -> None:
        if self._last is not None:
            self._writer.end(self._last.after)
            self._file.flush()

    def _end(self, why: str, error: Exception | None = None) -> None:
        self._over = True
        self._waiting.clear()
        unexpected = error is not None and not isinstance(error, OSError)
        log.error("the recording ends; control goes on", file=str(self._path), why=why, exc_info=unexpected)
