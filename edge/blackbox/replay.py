"""Replay: the scans of a black box made again, by the code and the site file of today or another, and compared.

The scan is a pure function, so that the same code and the same site give the same outputs, events, answers and states
to the last bit. Where they differ, something else decides today: that is said with its time, tag, values and causes.
"""

import itertools
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from config.errors import ConfigError
from config.load import LoadedSite, load_site
from config.sample import NOT_YET_READ, Sample
from config.standard import standards_of
from control.arbitration import Demand
from control.cause import Cause, chain, sentence
from control.compiler import compile_site
from control.instant import Instant
from control.program import Program
from control.saved import restored, to_saved
from control.scan import ScanResult, scan
from control.state import ScanState, initial_state
from edge.blackbox.difference import ABSENT, first_difference, text
from edge.blackbox.file import (
    ANSWERS,
    DEMAND,
    EVENTS,
    STATE,
    BadFile,
    Check,
    Part,
    Start,
    came_out,
    open_file,
    penstock_version,
)
from edge.blackbox.fingerprint import code_fingerprint
from edge.blackbox.ring import Scanned, changed

MAX_NAMED: Final = 20
"""Differences that are told in full; all are counted."""
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")

Seen = Callable[["Replayed"], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """``what`` differs (a tag, or the way to a part of the state), when, and what it was and is now.

    ``was_because`` and ``now_because``: the chain of causes in words, where there is one. What differs again in the
    same way is counted: ``times``, most lately at ``last_utc``.
    """

    utc: float
    what: str
    was: str
    now: str
    was_because: tuple[str, ...] = ()
    now_because: tuple[str, ...] = ()
    times: int = 1
    last_utc: float = 0.0


@dataclass(slots=True)
class Report:
    """What came of a replay. ``damaged`` says where the file ends to be whole."""

    head: dict[str, Any]
    same_code: bool
    other_site: bool
    scans: int = 0
    differing: int = 0
    first_utc: float = 0.0
    last_utc: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    damaged: str | None = None
    unknown: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    as_after_restart: bool = False

    @property
    def identical(self) -> bool:
        return not self.differences


class Replayed(NamedTuple):
    """One scan made again. ``zero_utc``: from when seconds are counted."""

    program: Program
    zero_utc: float
    now: Instant
    result: ScanResult


def replay(path: Path, other: LoadedSite | None = None, seen: Seen | None = None) -> Report:
    """Makes all scans of a file again. ``other``: by another site file. ``seen`` is told every scan.

    Raises ``BadFile`` for what is no black box, ``ConfigError`` when its site cannot be loaded by this version.
    """
    with path.open("rb") as file:
        reader = open_file(file, path)
        program = _program(reader.head, path)
        report = Report(reader.head, reader.head.get("code") == code_fingerprint(), other is not None)
        reader.initial = initial_state(program)
        parts = reader.parts()
        start = next(parts, None)
        if not isinstance(start, Start):
            raise BadFile(f"{path}: {reader.problem or 'it does not begin with a state'}")
        if len(start.image) != len(program.signal_names):
            raise BadFile(f"{path}: an image of {len(start.image)} signals for a site of {len(program.signal_names)}")
        if other is None:
            run = _Run(program, start.state, list(start.image), None, report, seen, len(start.image))
        else:
            first = next((part for part in parts if isinstance(part, Scanned)), None)
            if first is None:
                raise BadFile(f"{path}: {reader.problem or 'there is no scan in it'}")
            run = _of_another(program, other, start, first.now, report, seen)
            parts = itertools.chain([first], parts)
        run.begin(start.state, reader.added)
        run.all(parts)
        report.damaged, report.unknown, report.added = reader.problem, reader.unknown, frozenset(reader.added)
    return report


def _of_another(
    program: Program,
    other: LoadedSite,
    start: Start,
    at: Instant,
    report: Report,
    seen: Seen | None,
) -> "_Run":
    """A run by another site file: it must have no signal that was not recorded."""
    known = {name: place for place, name in enumerate(program.signal_names)}
    read = other.signals.signals[: other.signals.measured_from]
    lacks = [one.name for one in read if one.name not in known]
    if lacks:
        raise BadFile(f"{other.path} has signals that were not recorded: {', '.join(lacks[:10])}")
    today = compile_site(other)
    places: list[int | None] = [None] * len(program.signal_names)
    image = [NOT_YET_READ] * len(today.signal_names)
    for place, name in enumerate(today.signal_names):
        if name in known:
            places[known[name]] = place
            image[place] = start.image[known[name]]
    state = start.state
    if _shape(program) != _shape(today):
        # As it would be if the controller had been started anew with this file just then.
        report.as_after_restart = True
        state = restored(today, to_saved(program, start.state, at), at)
    return _Run(today, state, image, places, report, seen, len(start.image))


def _shape(program: Program) -> tuple[Any, ...]:
    """What must be the same for a state of one program to be one of another: the blocks and their order."""
    return (
        program.signal_names,
        [demand.tag for demand in program.safe],
        [(guard.name, type(guard)) for guard in program.guards],
        [(unit.tag, type(unit.dispenser)) for unit in program.dispensers],
        [unit.loop.tag for unit in program.loops],
        [block.index for block in program.conditioned],
        [device.tag for device in program.devices],
    )


@dataclass(slots=True)
class _Run:
    """The state of a replay. ``places``: where each recorded signal stands in the image, ``None`` where they agree."""

    program: Program
    state: ScanState
    image: list[Sample]
    places: list[int | None] | None
    report: Report
    seen: Seen | None
    width: int
    _was: dict[str, Demand] = field(default_factory=dict)
    _apart: set[str] = field(default_factory=set)
    _added: set[str] = field(default_factory=set)
    _zero: float = 0.0
    _found: int = 0
    _places_named: dict[Difference, int] = field(default_factory=dict)

    def begin(self, recorded: ScanState, added: set[str]) -> None:
        """The outputs that were in force before the first scan; ``added``: what of the state was not recorded."""
        self._added = added
        self._was = {demand.tag: demand for demand in recorded.outputs}

    def all(self, parts: Iterator[Part]) -> None:
        for part in parts:
            match part:
                case Scanned():
                    self._scan(part)
                case Check():
                    self._compare_state(part)
                case _:
                    raise BadFile("a second beginning in the middle of it")

    def _scan(self, scanned: Scanned) -> None:
        report = self.report
        for place, sample in zip(scanned.places, scanned.samples, strict=True):
            if not 0 <= place < self.width:
                raise BadFile(f"a reading of signal {place}, of {self.width}")
            slot = place if self.places is None else self.places[place]
            if slot is not None:
                self.image[slot] = sample
        image, before, now = tuple(self.image), self.state, scanned.now
        result: ScanResult | None = None
        raised = ""
        try:
            result = scan(self.program, before, image, scanned.commands, now)
            self.state = result.state
        except Exception as error:
            # It raised when it was recorded too, or does today: either way that is what is to be told.
            raised = f"{type(error).__name__}: {error}"
        if report.scans == 0:
            report.first_utc = now.utc
            self._zero = _zero_utc(report.head, now.utc)
        report.scans += 1
        report.last_utc = now.utc
        if self.seen is not None and result is not None:
            self.seen(Replayed(self.program, self._zero, now, result))
        self._compare(scanned, before, result, raised)

    def _compare(self, scanned: Scanned, before: ScanState, result: ScanResult | None, raised: str) -> None:
        if result is None:
            today = Scanned(scanned.now, (), (), raised=raised)
        else:
            outputs = changed(before.outputs, result.state.outputs)
            today = Scanned(scanned.now, (), (), (), outputs, result.events, result.answers)
        if text(came_out(scanned)) == text(came_out(today)) and not self._apart:
            return
        found_before = self._found
        if scanned.raised != raised:
            self._note(scanned, "scan", scanned.raised or "ended well", raised or "ends well")
        self._compare_outputs(scanned, today, result.state if result is not None else before)
        for name, form in (("events", EVENTS), ("answers", ANSWERS)):
            found = first_difference(
                form.encode(getattr(scanned, name), None), form.encode(getattr(today, name), None), name
            )
            if found is not None:
                self._note(scanned, found.where, _shown(found.was), _shown(found.now))
        self.report.differing += self._found > found_before or bool(self._apart)

    def _compare_outputs(self, scanned: Scanned, today: Scanned, after: ScanState) -> None:
        """What was in force after the scan beside what is now; told when either changes, counted while it lasts."""
        was, now = self._was, {demand.tag: demand for demand in after.outputs}
        was.update({demand.tag: demand for _, demand in scanned.outputs})
        for tag in dict.fromkeys([demand.tag for one in (scanned, today) for _, demand in one.outputs]):
            one, other = was.get(tag), now.get(tag)
            if self._same(one, other):
                self._apart.discard(tag)
                continue
            self._apart.add(tag)
            self._note(
                scanned,
                tag,
                _demand(one),
                _demand(other),
                _because(one.cause if one is not None else None),
                _because(other.cause if other is not None else None),
            )

    def _same(self, one: Demand | None, other: Demand | None) -> bool:
        if one is None or other is None:
            return False
        if self.places is not None:
            # The same output may stand elsewhere in the image of another site file.
            other = replace(other, signal=one.signal)
        return text(DEMAND.encode(one, None)) == text(DEMAND.encode(other, None))

    def _compare_state(self, check: Check) -> None:
        if self.places is not None or (self.report.scans == 0 and not check.last):
            return
        was, now = (
            {name: part for name, part in STATE.encode(state, None).items() if name not in self._added}
            for state in (check.state, self.state)
        )
        if text(was) == text(now):
            return
        found = first_difference(was, now)
        assert found is not None
        where = self._named(found.where)
        self._add(Difference(self.report.last_utc, where, _shown(found.was), _shown(found.now)))

    def _named(self, where: str) -> str:
        """``.dispensers[0].phase`` as ``FILL-1.phase``: the place in a list by the name of what stands there."""
        program = self.program
        names = {
            "guards": [guard.name for guard in program.guards],
            "valves": [valve.tag for valve in program.valves],
            "pumps": [pump.tag for pump in program.pumps],
            "dispensers": [unit.tag for unit in program.dispensers],
            "trips": [unit.tag for unit in program.dispensers],
            "levels": [unit.tag for unit in program.dispensers],
            "loops": [unit.loop.tag for unit in program.loops],
            "outputs": [demand.tag for demand in program.safe],
            "follow": [demand.tag for demand in program.safe],
            "devices": [device.tag for device in program.devices],
            "conditioned": [block.name for block in program.conditioned],
        }
        found = re.match(r"\.(\w+)\[(\d+)\](.*)", where)
        if found is None or found[1] not in names or int(found[2]) >= len(names[found[1]]):
            return f"state{where}"
        return f"{names[found[1]][int(found[2])]} ({found[1]}){found[3]}"

    def _note(
        self,
        scanned: Scanned,
        what: str,
        was: str,
        now: str,
        was_because: tuple[str, ...] = (),
        now_because: tuple[str, ...] = (),
    ) -> None:
        self._add(Difference(scanned.now.utc, what, was, now, was_because, now_because))

    def _add(self, difference: Difference) -> None:
        self._found += 1
        named, way = self.report.differences, replace(difference, utc=0.0)
        place = self._places_named.get(way)
        if place is not None:
            named[place] = replace(named[place], times=named[place].times + 1, last_utc=difference.utc)
        elif len(named) < MAX_NAMED:
            self._places_named[way] = len(named)
            named.append(difference)


def _zero_utc(head: dict[str, Any], first_utc: float) -> float:
    """From when seconds are counted: from what a file was saved for; in a recording from its first scan."""
    at = head["why"].get("utc")
    return first_utc if "recording" in head["why"] or not isinstance(at, float) else at


def _demand(demand: Demand | None) -> str:
    if demand is None:
        return "nothing: there is no such output"
    value = {True: "on", False: "off"}[demand.value] if isinstance(demand.value, bool) else repr(demand.value)
    return f"{value}, demanded by {demand.rank.name.lower().replace('_', ' ')}"


def _because(cause: Cause | None) -> tuple[str, ...]:
    return tuple(sentence(one) for one in chain(cause))


def _shown(data: Any) -> str:
    if data is ABSENT:
        return "nothing"
    shown = text(data)
    return shown if len(shown) <= 200 else shown[:197] + "..."


def _program(head: dict[str, Any], path: Path) -> Program:
    """The program of the site that a file carries, with the profiles and standards that it carries."""
    with tempfile.TemporaryDirectory(prefix="penstock-replay-") as folder:
        site = Path(folder) / "site" / "site file.yaml"
        _put(site, head["site_file"])
        for name, content in head["profiles"].items():
            _put(site.parent / f"{_checked(name, path)}.yaml", content)
        base = Path(folder) / "standards"
        for name, content in head["standards"].items():
            inner, _, file = name.rpartition("/")
            _put(base / (_checked(inner, path) if inner else "") / _checked(file, path), content)
        with standards_of(base):
            try:
                return compile_site(load_site(site))
            except ConfigError as error:
                raise BadFile(f"{path}: this version cannot load its site: {error.message}") from error


def _checked(name: str, path: Path) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise BadFile(f"{path}: it carries a file of the name {name!r}")
    return name


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")


def to_json(report: Report) -> dict[str, Any]:
    """A report as JSON."""
    head = report.head
    return {
        "ok": report.identical and report.damaged is None,
        "identical": report.identical,
        "damaged": report.damaged,
        "site": head.get("site"),
        "why": head["why"],
        "scans": report.scans,
        "differing": report.differing,
        "first_utc": report.first_utc,
        "last_utc": report.last_utc,
        "same_code": report.same_code,
        "recorded_by": {name: head.get(name) for name in ("version", "code", "python", "platform")},
        "replayed_by": {"version": penstock_version(), "code": code_fingerprint()},
        "other_site": report.other_site,
        "as_after_restart": report.as_after_restart,
        "unknown_fields": sorted(report.unknown),
        "new_parts": sorted(report.added),
        "differences": [
            {
                "utc": one.utc,
                "what": one.what,
                "was": one.was,
                "now": one.now,
                "was_because": list(one.was_because),
                "now_because": list(one.now_because),
                "times": one.times,
                "last_utc": one.last_utc or one.utc,
            }
            for one in report.differences
        ],
    }
