"""The file of a black box: lines of JSON, each with a check sum that goes on from the line before, in one gzip stream.

The form is a contract (docs/replay.md). What is whole can be read up to where it is cut off or damaged, and nothing
that is read is executed or believed: lengths are bounded, and a value of a wrong type is refused.
"""

import hashlib
import json
import platform
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from config.errors import PenstockError
from config.load import LoadedSite
from config.sample import Sample
from config.standard import standard_texts
from control.arbitration import Demand
from control.command import Answer, Command
from control.event import Event
from control.instant import Instant
from control.state import ScanState
from edge.blackbox.codec import Shared, Uncarried, carried
from edge.blackbox.fingerprint import code_fingerprint
from edge.blackbox.ring import Scanned, Span

FORMAT: Final = 1
MAGIC: Final = "penstock-black-box"
MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""Of one line: the state and image of 10,000 signals take about 2 MB, the largest site file 32 MB."""
MAX_FILE_BYTES: Final = 16 * 1024**3
"""Of the whole text: an hour of a station with 2,000 new readings a second takes about 600 MB."""
CHECK_S: Final = 10.0
"""How often the whole state is written, to be compared: what comes out of a scan is compared in every one."""
_CHUNK: Final = 16 * 1024
"""Read and unpacked at a time: what is whole before a damaged place is lost with the rest of its piece."""
_LEVEL: Final = 5
_GZIP: Final = 31

STATE: Final = carried(ScanState)
IMAGE: Final = carried(tuple[Sample, ...])
SAMPLE: Final = carried(Sample)
INSTANT: Final = carried(Instant)
COMMANDS: Final = carried(tuple[Command, ...])
DEMAND: Final = carried(Demand)
EVENTS: Final = carried(tuple[Event, ...])
ANSWERS: Final = carried(tuple[Answer, ...])


class BadFile(PenstockError):
    """What is no file of a black box, or none that this version reads."""

    code = "black-box-file"


class Start(NamedTuple):
    """What the first scan of a file begins with."""

    state: ScanState
    image: tuple[Sample, ...]


class Check(NamedTuple):
    """The state at a point of a file; ``last``: at its end."""

    state: ScanState
    last: bool


Part = Start | Check | Scanned


def header(loaded: LoadedSite) -> dict[str, Any]:
    """The first line but ``why`` the file was saved: everything that a replay needs beside the scans."""
    return {
        MAGIC: FORMAT,
        "version": penstock_version(),
        "code": code_fingerprint(),
        "python": platform.python_version(),
        "platform": f"{platform.machine()} {'-'.join(filter(None, platform.libc_ver()))}",
        "site": loaded.site.site.id,
        "site_file": loaded.text,
        "profiles": loaded.profile_texts,
        "standards": standard_texts(),
    }


def penstock_version() -> str:
    """Of the package as it is installed; empty where it is not."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return ""


class Writer:
    """Writes the lines of one file, and counts. ``data`` of a call are the bytes to go to the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._crc = 0
        self._hash = hashlib.sha256()
        self._checked_at: float | None = None
        self.bytes = 0
        self.scans = 0
        self.first_utc: float | None = None
        self.last_utc: float | None = None

    def begin(self, head: dict[str, Any], state: ScanState, image: tuple[Sample, ...]) -> None:
        """The header, and what the first scan starts with."""
        self._line(head)
        shared = Shared()
        self._line({"image": IMAGE.encode(image, shared), "state": STATE.encode(state, shared)})

    def check(self, state: ScanState, mono: float) -> None:
        """The state before the next scan, unless one was written a moment ago."""
        if self._checked_at is None or mono - self._checked_at >= CHECK_S:
            self._checked_at = mono
            self._line({"check": STATE.encode(state, None)})

    def scan(self, scanned: Scanned) -> None:
        """One scan."""
        line: dict[str, Any] = {"scan": list(scanned.now)}
        if scanned.places:
            pairs = zip(scanned.places, scanned.samples, strict=True)
            line["samples"] = [[place, *SAMPLE.encode(sample, None)] for place, sample in pairs]
        if scanned.commands:
            line["commands"] = COMMANDS.encode(scanned.commands, None)
        line |= came_out(scanned)
        self._line(line)
        self.scans += 1
        self.last_utc = scanned.now.utc
        self.first_utc = self.last_utc if self.first_utc is None else self.first_utc

    def end(self, state: ScanState) -> None:
        """The state after the last scan; nothing comes after it."""
        self._line({"end": {"scans": self.scans, "state": STATE.encode(state, None)}})
        self._put(self._zip.flush(zlib.Z_FINISH))

    def flush(self) -> None:
        """Hands on what was written so far, so that it can be read although the file has no end yet."""
        self._put(self._zip.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()

    def sha256(self) -> str:
        """Of the bytes written."""
        return self._hash.hexdigest()

    def _line(self, data: dict[str, Any]) -> None:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
        self._crc = zlib.crc32(text, self._crc)
        self._put(self._zip.compress(b"%08x %s\n" % (self._crc, text)))

    def _put(self, data: bytes) -> None:
        if data:
            self._file.write(data)
            self._hash.update(data)
            self.bytes += len(data)


def came_out(scanned: Scanned) -> dict[str, Any]:
    """What a scan gave, as a line has it: the demands that changed, events, answers, or the error that it raised."""
    line: dict[str, Any] = {}
    if scanned.outputs:
        line["outputs"] = [[place, DEMAND.encode(demand, None)] for place, demand in scanned.outputs]
    if scanned.events:
        line["events"] = EVENTS.encode(scanned.events, None)
    if scanned.answers:
        line["answers"] = ANSWERS.encode(scanned.answers, None)
    if scanned.raised:
        line["raised"] = scanned.raised
    return line


def write_spans(writer: Writer, head: dict[str, Any], spans: tuple[Span, ...]) -> Iterator[int]:
    """Writes a whole file; gives after every scan how much was written, so that its caller may let others go first."""
    writer.begin(head, spans[0].state, spans[0].image)
    yield len(spans[0].image)
    for span in spans:
        if span.scans:
            writer.check(span.state, span.scans[0].now.mono)
        for scanned in span.scans:
            writer.scan(scanned)
            yield scanned.entries
    writer.end(spans[-1].after)


@dataclass(slots=True)
class Reader:
    """Reads a file. ``problem`` says where it ends to be whole; ``None`` when it is whole to its end.

    ``unknown``: fields that it has and this version does not know; ``added``: parts of the state that it has not, which
    begin as ``initial`` has them, to be set before anything is read.
    """

    head: dict[str, Any]
    _lines: Iterator[dict[str, Any]]
    problem: str | None = None
    unknown: frozenset[str] = frozenset()
    ended: bool = False
    initial: ScanState | None = None
    added: set[str] = field(default_factory=set)

    def parts(self) -> Iterator[Part]:
        """What stands in the file, in order, up to its end or to where it is damaged."""
        shared = Shared()
        try:
            for line in self._lines:
                yield self._part(line, shared)
        except _Damaged as error:
            self.problem = str(error)
        except (Uncarried, RecursionError) as error:
            text = error.message if isinstance(error, Uncarried) else "values within values without end"
            self.problem = f"it holds what this version cannot read: {text}"
        finally:
            self.unknown = frozenset(shared.unknown)
        if self.problem is None and not self.ended:
            self.problem = "it has no end: whoever wrote it was stopped"

    def _part(self, line: dict[str, Any], shared: Shared) -> Part:
        if "scan" in line:
            return _scanned(line)
        if "image" in line and "state" in line:
            image = IMAGE.decode(line["image"], shared)
            return Start(self._state(line["state"], shared), image)
        if "check" in line:
            return Check(self._state(line["check"], None), last=False)
        if isinstance(line.get("end"), dict):
            self.ended = True
            return Check(self._state(line["end"].get("state"), None), last=True)
        raise Uncarried("a line that is neither scan, check nor end")

    def _state(self, data: Any, shared: Shared | None) -> ScanState:
        if isinstance(data, dict) and self.initial is not None:
            begun = STATE.encode(self.initial, None)
            self.added.update(begun.keys() - data.keys())
            data = {**begun, **data}
        state: ScanState = STATE.decode(data, shared)
        return state


def _scanned(line: dict[str, Any]) -> Scanned:
    places: list[int] = []
    samples: list[Sample] = []
    try:
        mono, utc, synchronised = line["scan"]
        now = Instant(float(mono), float(utc), synchronised)
        for place, *sample in line.get("samples", ()):
            places.append(int(place))
            samples.append(SAMPLE.decode(sample, None))
        outputs = tuple([(int(place), DEMAND.decode(demand, None)) for place, demand in line.get("outputs", ())])
    except (TypeError, ValueError) as error:
        raise Uncarried(f"a scan of another form ({error})") from error
    return Scanned(
        now,
        tuple(places),
        tuple(samples),
        COMMANDS.decode(line.get("commands", []), None),
        outputs,
        EVENTS.decode(line.get("events", []), None),
        ANSWERS.decode(line.get("answers", []), None),
        str(line.get("raised", "")),
    )


class _Damaged(Exception):
    """A file ends to be whole."""


def open_file(file: BinaryIO, path: Path) -> Reader:
    """Reads the header. Raises ``BadFile`` for what is none of ours, or of another version."""
    lines = _lines(file)
    try:
        head = next(lines, None)
    except _Damaged as error:
        raise BadFile(f"{path}: no black box of Penstock ({error})") from error
    if head is None or not isinstance(head.get(MAGIC), int):
        raise BadFile(f"{path}: no black box of Penstock")
    if head[MAGIC] != FORMAT:
        raise BadFile(f"{path}: a black box of form {head[MAGIC]}; this version reads form {FORMAT}")
    texts = [head.get("site_file"), *_texts(head.get("profiles")), *_texts(head.get("standards"))]
    if not all(isinstance(text, str) for text in texts) or not isinstance(head.get("why"), dict):
        raise BadFile(f"{path}: its header is not complete")
    return Reader(head, lines)


def _texts(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else [None]


def _lines(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The lines, each checked. Raises ``_Damaged`` where they end to be whole."""
    unzip, crc, rest, total, number = zlib.decompressobj(_GZIP), 0, b"", 0, 0
    while not unzip.eof:
        data = unzip.unconsumed_tail or file.read(_CHUNK)
        if not data:
            break
        try:
            text = unzip.decompress(data, _CHUNK)
        except zlib.error as error:
            raise _Damaged(f"damaged after line {number}: {error}") from error
        total += len(text)
        *whole, rest = (rest + text).split(b"\n")
        if len(rest) > MAX_LINE_BYTES or total > MAX_FILE_BYTES:
            raise _Damaged(f"after line {number} it is larger than any black box")
        for line in whole:
            crc = zlib.crc32(line[9:], crc)
            if line[:9] != b"%08x " % crc:
                raise _Damaged(f"damaged after line {number}: the check sum of the next line is wrong")
            try:
                found = json.loads(line[9:])
            except (ValueError, RecursionError) as error:
                raise _Damaged(f"damaged after line {number}: no JSON") from error
            if not isinstance(found, dict):
                raise _Damaged(f"damaged after line {number}: no mapping")
            number += 1
            yield found
    if not unzip.eof or rest:
        raise _Damaged(f"cut off after line {number}")
