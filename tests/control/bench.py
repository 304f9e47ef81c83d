"""A station in a test: the fill station's program, scanned in virtual time against a few lines of plant."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.load import LoadedSite, load_site
from config.sample import Quality, Reason, Sample, Value, quality_of
from control.command import Answer, Command, Op
from control.compiler import compile_site
from control.event import Event
from control.fill import BatchState
from control.instant import Instant
from control.invariants import broken
from control.program import Program
from control.scan import ScanResult, scan
from control.state import ScanState, initial_state
from control.witness import Step, Witness, first_witness, looked_on, restarted

SITES = Path(__file__).parents[2] / "config" / "sites"
START_UTC = 1_790_000_000.0
PERIOD_S = 0.1


def load(name: str) -> LoadedSite:
    return load_site(SITES / f"{name}.yaml")


def edited(name: str, *changes: tuple[str, str]) -> LoadedSite:
    """An example site with parts of its text replaced, each of which must be there."""
    text = (SITES / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return load_site(path)


@dataclass
class Bench:
    """Scans a program every 100 ms of virtual time. ``values`` are what the instruments show."""

    loaded: LoadedSite
    values: dict[str, Value] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)
    source_times: dict[str, float] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    mono: float = 1000.0
    utc_offset: float = START_UTC
    program: Program = field(init=False)
    state: ScanState = field(init=False)
    image: list[Sample] = field(init=False)
    conditioned: tuple[Sample, ...] = ()
    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    _seen: Witness | None = None
    _left: ScanState | None = None
    _command_count: int = 0

    def __post_init__(self) -> None:
        self.program = compile_site(self.loaded)
        self.state = initial_state(self.program)
        self.image = [Sample(None, Quality.BAD, Reason.NOT_YET_READ, float("-inf")) for _ in self.program.signal_names]

    @property
    def now(self) -> Instant:
        return Instant(self.mono, self.utc_offset + self.mono)

    def shown(self, name: str) -> Sample:
        """A signal as the scan made it."""
        return self.conditioned[self.program.signal_names.index(name)]

    @property
    def alarms(self) -> set[str]:
        return {alarm.id for alarm in self.state.alarms.standing}

    def output(self, tag: str) -> Value:
        return next(demand.value for demand in self.state.outputs if demand.tag == tag)

    def events_named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def refresh(self) -> None:
        """Every instrument that is not silent answers now."""
        for index, name in enumerate(self.program.signal_names):
            if name in self.silent or name.partition(".")[0] in self.silent:
                continue
            reason = self.reasons.get(name, Reason.OK)
            value = self.values.get(name, 0.0)
            quality = quality_of(reason)
            shown = None if quality is Quality.BAD else value
            self.image[index] = Sample(shown, quality, reason, self.mono, self.source_times.get(name))

    def plant(self) -> None:
        """Overridden by a station: moves the plant by one period."""

    def scanned(self, image: tuple[Sample, ...], commands: tuple[Command, ...], result: ScanResult) -> None:
        """Overridden by whoever looks on; ``state`` is still the one before."""

    def _look_on(self, image: tuple[Sample, ...], commands: tuple[Command, ...], result: ScanResult) -> None:
        """Whatever a test does, no scan breaks a promise. Another state than the last scan left is a restart."""
        before = self._seen or first_witness(self.program, self.now)
        if self.state is not self._left:
            before = restarted(before, self.program, self.now)
        step = Step(self.program, self.state, image, commands, self.now, result)
        self._seen = looked_on(before, step)
        found = [f"{one.name}: {text}" for one, text in broken(step, before, self._seen)]
        assert not found, found

    def scan(self, *commands: Command) -> None:
        self.mono = round(self.mono + PERIOD_S, 6)
        self.plant()
        self.refresh()
        image = tuple(self.image)
        result = scan(self.program, self.state, image, commands, self.now)
        self._look_on(image, commands, result)
        self.scanned(image, commands, result)
        self.state, self._left, self.conditioned = result.state, result.state, result.image
        self.events.extend(result.events)
        self.answers.extend(result.answers)
        undeclared = self.state.alarms.states.get(0)
        assert undeclared is None, f"not in control/alarm_list.py: {undeclared.cause}"

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.scan()

    def ask(self, op: Op, dispenser: str, source: str = "local:test", **arguments: object) -> Answer:
        self._command_count += 1
        self.scan(Command(f"c{self._command_count}", op, dispenser, source, **arguments))  # type: ignore[arg-type]
        return self.answers[-1]


class FillStation(Bench):
    """The example fill station with a valve of 4 s travel, a pump that follows at once, and 60 m3/h."""

    travel_s = 4.0

    def __init__(self, loaded: LoadedSite | None = None) -> None:
        super().__init__(loaded or load("fill-station"))
        self.position = 0.0
        self.flow_m3h = 0.0
        self.total_m3 = 1000.0
        self.valve_stuck = False
        self.leak_m3h = 0.0
        self.full_flow_m3h = 60.0
        self.values |= {
            "AIT-101.turbidity": 2.5,
            "PLC-100.outlet_ph": 7.4,
            "PLC-100.level": 3.0,
            "RIO-101.lsh_101": True,
            "AIT-102.cod": 18.0,
            "AIT-103.ammonia": 0.6,
        }
        self.new_result("AIT-102.cod")
        self.new_result("AIT-103.ammonia")
        self.plant()

    def new_result(self, name: str, value: float | None = None, at_utc: float | None = None) -> None:
        if value is not None:
            self.values[name] = value
        self.source_times[name] = self.now.utc if at_utc is None else at_utc

    @property
    def fill(self) -> BatchState:
        state = self.state.dispensers[0]
        assert isinstance(state, BatchState)
        return state

    def plant(self) -> None:
        if not self.valve_stuck:
            step = PERIOD_S / self.travel_s
            self.position = min(max(self.position + (step if self.output("XV-101") else -step), 0.0), 1.0)
        running = bool(self.output("P-101"))
        self.flow_m3h = (self.full_flow_m3h * self.position if running else 0.0) + self.leak_m3h
        self.total_m3 += self.flow_m3h / 3600 * PERIOD_S
        self.values |= {
            "RIO-101.zso_101": self.position >= 1.0,
            "RIO-101.zsc_101": self.position <= 0.0,
            "RIO-101.yl_101": running,
            "RIO-101.xv_101": self.output("XV-101"),
            "RIO-101.p_101": self.output("P-101"),
            "FIT-101.flow": self.flow_m3h,
            "FIT-101.total": self.total_m3,
        }

    def ready(self) -> "FillStation":
        """Runs until everything has been known for long enough to start."""
        self.run(6.0)
        return self

    def order(self, volume_m3: float = 0.5, order_id: str = "o-1", **more: Any) -> Answer:
        return self.ask(Op.ORDER, "FILL-1", order_id=order_id, volume_m3=volume_m3, vehicle="晋D12345", **more)

    def until(self, phase: str, limit_s: float = 120.0) -> None:
        for _ in range(round(limit_s / PERIOD_S)):
            if self.fill.phase == phase:
                return
            self.scan()
        raise AssertionError(f"still {self.fill.phase}, not {phase}, after {limit_s} s")
