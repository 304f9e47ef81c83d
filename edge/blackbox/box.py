"""Keeps the black box of a running controller: takes every scan, and freezes the minutes around a trip into a file.

The file is written at once with what was before the trip, because what trips a station may also end its power, and
again when the time after it is over. All of it is done by a thread that lets go of the interpreter every millisecond,
so that no scan waits for it. A disk that does not take it is an event, never a stop.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from config.load import LoadedSite
from config.sample import Sample
from control.command import Command
from control.instant import Instant
from control.scan import ScanResult
from control.state import ScanState
from edge.blackbox.file import Writer, header, write_spans
from edge.blackbox.recording import Recording
from edge.blackbox.ring import SEGMENT_S, Ring, Span

FOLDER: Final = "blackbox"
SUFFIX: Final = ".pbb"
AT_A_TIME: Final = 100
"""Readings written before the thread lets others go first: about a fifth of a millisecond."""
PAUSE_S: Final = 0.001
CLOSE_S: Final = 3.0
"""How long a stop waits for files that are being written; a supervisor gives it 8 s in all."""
MAX_LISTED: Final = 1000

log = structlog.get_logger(__name__)

Tell = Callable[[dict[str, Any], int], None]
"""Records an event: its body and when, in ms UTC."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A file that was written."""

    path: Path
    sha256: str
    scans: int
    bytes: int
    first_utc: float | None
    last_utc: float | None


@dataclass(slots=True)
class _Pending:
    """What the minutes are frozen for: ``tag`` names the file, ``whole_at`` (monotonic) is when it is complete."""

    tag: str
    why: dict[str, Any]
    at: Instant
    whole_at: float
    later: list[dict[str, Any]] = field(default_factory=list)


class BlackBox:
    """``tell`` records events. ``record``: a file that takes every scan while the controller runs."""

    def __init__(self, loaded: LoadedSite, state_dir: Path, tell: Tell, record: Path | None = None) -> None:
        settings = loaded.site.blackbox
        self._head = header(loaded)
        self._folder = state_dir / FOLDER
        self._tell = tell
        self._before, self._after, self._keep = settings.before, settings.after, settings.keep
        self.recording = Recording(record, loaded) if record is not None else None
        closed = self.recording.take if self.recording is not None else None
        self._ring = Ring(settings.before + settings.after + SEGMENT_S, settings.max_samples, closed)
        self._pending: _Pending | None = None
        self._writing: set[asyncio.Task[Saved | None]] = set()
        self._one_at_a_time = asyncio.Lock()

    def note(
        self,
        before: ScanState,
        image: tuple[Sample, ...],
        commands: tuple[Command, ...],
        now: Instant,
        result: ScanResult,
    ) -> None:
        """Takes a scan. Returns at once; a file that is due is written by a thread."""
        self._ring.note(before, image, commands, now, result)
        if result.events:
            for event in result.events:
                if event.name == "trip":
                    self._freeze(event.subject, {"trip": event.subject, **event.body}, now)
        if self._pending is not None and now.mono >= self._pending.whole_at:
            self._write(self._pending, whole=True)
            self._pending = None

    def note_failed(
        self,
        before: ScanState,
        image: tuple[Sample, ...],
        commands: tuple[Command, ...],
        now: Instant,
        error: Exception,
    ) -> None:
        """Takes a scan that raised, the last one: its file is written while the controller stops."""
        raised = f"{type(error).__name__}: {error}"
        self._ring.note(before, image, commands, now, None, raised)
        self._pending = self._pending or _Pending("failed", {"raised": raised}, now, now.mono)

    async def save(self, why: dict[str, Any], now: Instant) -> Saved | None:
        """Writes all that is held, because somebody asks for it; ``None`` when the disk does not take it."""
        return await self._write(_Pending("saved", why, now, now.mono), whole=True)

    def files(self) -> list[Path]:
        """The files that there are, the newest first."""
        with contextlib.suppress(OSError):
            return sorted(self._folder.glob(f"*{SUFFIX}"), reverse=True)[:MAX_LISTED]
        return []

    def status(self, now: Instant) -> dict[str, Any]:
        """How far back it reaches and how much that is."""
        return {
            "held_s": round(self._ring.seconds_held(now), 1),
            "held_samples": self._ring.entries,
            "recording": self.recording.status() if self.recording is not None else None,
        }

    async def close(self) -> None:
        """Writes what is pending and ends the recording. At most ``CLOSE_S``."""
        if self._pending is not None:
            self._write(self._pending, whole=True)
            self._pending = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                if self._writing:
                    await asyncio.wait(self._writing)
                if self.recording is not None:
                    spans = self._ring.spans()
                    await self.recording.close(spans[-1] if spans else None)

    def _freeze(self, tag: str, why: dict[str, Any], now: Instant) -> None:
        if self._pending is not None:
            self._pending.later.append({**why, "utc": now.utc})
            return
        self._pending = _Pending(tag, why, now, now.mono + self._after)
        if self._after > 0:
            self._write(self._pending, whole=False)

    def _write(self, pending: _Pending, *, whole: bool) -> asyncio.Task[Saved | None]:
        spans = around(self._ring.spans(), pending.at.mono - self._before)
        head = {**self._head, "why": {**pending.why, "utc": pending.at.utc, "later": list(pending.later)}}
        task = asyncio.get_running_loop().create_task(self._written(pending, head, spans, whole=whole))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return task

    async def _written(
        self, pending: _Pending, head: dict[str, Any], spans: tuple[Span, ...], *, whole: bool
    ) -> Saved | None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(pending.at.utc))
        path = self._folder / f"{stamp}-{pending.tag}{SUFFIX}"
        async with self._one_at_a_time:
            try:
                saved = await asyncio.to_thread(save_file, path, head, spans, self._keep)
            except Exception as error:
                # Whatever it is: what is only recorded must not end what controls.
                text = (isinstance(error, OSError) and error.strerror) or str(error)
                unexpected = not isinstance(error, OSError)
                log.error(
                    "the black box cannot be written; control goes on",
                    file=str(path),
                    error=text,
                    exc_info=unexpected,
                )
                self._tell({"name": "black-box-not-saved", "file": path.name, "error": text}, int(time.time() * 1000))
                return None
        body = {
            "name": "black-box-saved",
            "file": path.name,
            "sha256": saved.sha256,
            "scans": saved.scans,
            "bytes": saved.bytes,
            "first_utc": saved.first_utc,
            "last_utc": saved.last_utc,
            "whole": whole,
        }
        self._tell(body, int(time.time() * 1000))
        return saved


def around(spans: tuple[Span, ...], first_mono: float) -> tuple[Span, ...]:
    """The segments from the one in which a moment lies."""
    kept = [span for span in spans if span.scans and span.scans[-1].now.mono >= first_mono]
    return tuple(kept) or spans[-1:]


def save_file(path: Path, head: dict[str, Any], spans: tuple[Span, ...], keep: int) -> Saved:
    """Writes a file so that it is there whole or not at all, and removes the oldest beyond ``keep``.

    Raises ``OSError``. To be run by a thread: it pauses often.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            writer = Writer(file)
            since_pause = 0
            for entries in write_spans(writer, head, spans):
                since_pause += entries
                if since_pause >= AT_A_TIME:
                    since_pause = 0
                    time.sleep(PAUSE_S)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)
    for left in path.parent.glob(f"*{SUFFIX}.tmp"):
        left.unlink(missing_ok=True)
    for old in sorted(path.parent.glob(f"*{SUFFIX}"))[:-keep]:
        if old != path:
            old.unlink(missing_ok=True)
    return Saved(path, writer.sha256(), writer.scans, writer.bytes, writer.first_utc, writer.last_utc)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
