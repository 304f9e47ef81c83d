"""The scan of a large station: 25 signals, a guard, a dispenser, an interlock and a loop for each take-off point.

Half of the points fill tankers, half serve a pipe. A fifth of the readings is new in every scan, with noise. Before the
measured scans every order runs and every valve has moved; collector and thresholds are those of the controller.
"""

import cProfile
import gc
import json
import pstats
import random
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.load import LoadedSite, load_site
from config.sample import Quality, Reason, Sample, Value
from control.command import Command, Op
from control.compiler import compile_site
from control.fill import BatchState
from control.instant import Instant
from control.program import Program
from control.scan import ScanResult, scan
from control.state import ScanState, initial_state
from edge.blackbox.ring import Ring
from edge.controller.process import YOUNG_OBJECTS
from tests.bench.figures import figure, percentile

SIGNALS_PER_POINT = 25
SIZES = (100, 300, 1_000, 3_000, 10_000)
TARGET = 1_000
PERIOD_S = 0.1
SHARE = 5
"""One in so many readings is new in a scan."""
WARM_UP = 250
SCANS = {100: 1500, 300: 1500, 1_000: 1500, 3_000: 400, 10_000: 150}
UTC = 1_790_000_000.0


def run() -> None:
    """Measures and prints."""
    print("scan of a large station: half of its points fill, half serve; a fifth of the readings is new each time")
    for size in SIZES:
        station = Station(size // SIGNALS_PER_POINT)
        station.warm_up()
        figures = station.measured(SCANS[size])
        _tell(station, figures)
        if size == TARGET:
            for name, value, unit in station.allocated(30):
                figure(f"  {name}", value, unit)
            figure("  the ring of the black box, median", station.ring_us(300), "us")


@dataclass
class Figures:
    """In ms, of each scan; ``bare``: making the image and touching each reading; ``collector``: its pauses.

    ``processor``: without what other processes take on a machine that is not idle.
    """

    scans: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    collector: list[float] = field(default_factory=list)


def _tell(station: "Station", figures: Figures) -> None:
    program = station.program
    signals = len(program.signal_names)
    median, bare = percentile(figures.scans, 0.5), percentile(figures.bare, 0.5)
    blocks = (program.guards, program.dispensers, program.loops, program.interlocks, program.alarms.alarms)
    names = ("guards", "dispensers", "loops", "interlocks", "alarms")
    made_of = ", ".join(f"{len(block)} {name}" for block, name in zip(blocks, names, strict=True))
    print(f"  {signals} signals ({station.points * SIGNALS_PER_POINT} of the field), {made_of}")
    figure("  median", median, "ms")
    figure("  99th percentile", percentile(figures.scans, 0.99), "ms")
    figure("  99th percentile, of the processor's time", percentile(figures.processor, 0.99), "ms")
    figure("  median per signal", median / signals * 1e3, "us")
    figure("  calls per signal", station.calls(20) / signals, "")
    figure("  making and touching the image alone", bare, "ms")
    figure("  pauses of the collector", len(figures.collector), "")
    figure("  longest of them", max(figures.collector, default=0.0), "ms")


def site(points: int) -> dict[str, Any]:
    """The site as a file has it."""
    bits = {"table": "coil", "type": "bool", "writable": True}
    common: dict[str, Any] = {
        "flow": {"table": "input", "address": 0, "type": "float32", "unit": "m3/h"},
        "total": {"table": "input", "address": 2, "type": "float64", "unit": "m3"},
        "turbidity": {"table": "input", "address": 6, "type": "float32", "unit": "NTU"},
        "level": {"table": "input", "address": 8, "type": "float32", "unit": "m"},
        "chlorine": {"table": "input", "address": 10, "type": "float32", "unit": "mg/L"},
        "dose": {"table": "holding", "address": 0, "type": "float32", "unit": "%", "writable": True},
        "running": {"table": "discrete", "address": 2, "type": "bool"},
        "run": {**bits, "address": 1},
    }
    motor = {
        "open": {**bits, "address": 0},
        "opened": {"table": "discrete", "address": 0, "type": "bool"},
        "closed": {"table": "discrete", "address": 1, "type": "bool"},
    }
    positioned = {
        "position": {"table": "input", "address": 12, "type": "float32", "unit": "%"},
        "wanted": {"table": "holding", "address": 2, "type": "float32", "unit": "%", "writable": True},
    }

    def profile(own: dict[str, Any]) -> dict[str, Any]:
        used = {**common, **own}
        spare = {
            f"t{i}": {"table": "input", "address": 20 + 2 * i, "type": "float32", "unit": "degC"}
            for i in range(SIGNALS_PER_POINT - len(used))
        }
        return {"protocol": "modbus", "signals": {**used, **spare}}

    found: dict[str, Any] = {
        "site": {"id": "bench"},
        "links": {},
        "devices": {},
        "measurements": {},
        "valves": {},
        "pumps": {},
        "analog_outputs": {},
        "dispensers": {},
        "loops": {},
        "interlocks": {},
    }
    for n in range(points):
        tag, link, fills = f"D-{n}", f"io-{n // 100}", n % 2 == 0
        found["links"].setdefault(link, {"type": "modbus-tcp", "host": f"127.0.0.{n // 100 + 1}"})
        unit = n % 100 + 1
        own_signals = motor if fills else positioned
        found["devices"][tag] = {"link": link, "unit": unit, "poll": "0.5 s", "profile": profile(own_signals)}
        found["measurements"][f"M-{n}.level"] = {"signal": f"{tag}.level", "filter": "10 s"}
        found["pumps"][f"P-{n}"] = {"run_command": f"{tag}.run", "running": f"{tag}.running"}
        found["analog_outputs"][f"DOSE-{n}"] = {"command": f"{tag}.dose"}
        common_part = {
            "use": "road-cleaning",
            "meter": {"flow": f"{tag}.flow", "total": f"{tag}.total"},
            "valve": f"V-{n}",
            "pump": f"P-{n}",
            "supply_level": {"signal": f"{tag}.level", "low": "1 m", "low_low": "0.5 m"},
            "guards": {"turbidity": {"kind": "fast", "signal": f"{tag}.turbidity", "instant": "15 NTU"}},
        }
        if fills:
            feedback = {name: f"{tag}.{name}" for name in ("opened", "closed")}
            found["valves"][f"V-{n}"] = {"type": "motor", "open_command": f"{tag}.open", "travel": "4 s", **feedback}
            own: dict[str, Any] = {"mode": "batch", "max_order": "500 m3", "full_flow": "60 m3/h"}
        else:
            ways = {"position_command": f"{tag}.wanted", "position": f"{tag}.position"}
            found["valves"][f"V-{n}"] = {"type": "modulating", "travel": "20 s", **ways}
            own = {
                "mode": "continuous",
                "setpoint": "60 m3/h",
                "max_setpoint": "200 m3/h",
                "pid": {"gain": 0.15, "integral_time": "1.5 s"},
            }
        found["dispensers"][f"OUT-{n}"] = {**own, **common_part}
        found["loops"][f"AIC-{n}"] = {
            "pv": f"{tag}.chlorine",
            "setpoint": "0.5 mg/L",
            "setpoint_range": ["0 mg/L", "2 mg/L"],
            "pid": {"gain": 2.0, "integral_time": "30 s"},
            "output": {"analog_output": f"DOSE-{n}"},
        }
        found["interlocks"][f"LSLL-{n}"] = {"when": f"M-{n}.level < 0.4 m for 5 s", "stops": [f"OUT-{n}"]}
    return found


def _loaded(points: int) -> LoadedSite:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        path.write_text(json.dumps(site(points)), "utf-8")
        return load_site(path)


Watch = Callable[[ScanState, tuple[Sample, ...], tuple[Command, ...], Instant, ScanResult], object]


class Station:
    """A program, its state, and a field that does what it is told. ``watch`` is given every step of it."""

    def __init__(self, points: int) -> None:
        self.points = points
        self.loaded = _loaded(points)
        self.program: Program = compile_site(self.loaded)
        self.watch: Watch | None = None
        self.state: ScanState = initial_state(self.program)
        self.mono = 1000.0
        self._random = random.Random(points)
        self._index = {name: place for place, name in enumerate(self.program.signal_names)}
        self._fields = [place for place, name in enumerate(self.program.signal_names) if name.startswith("D-")]
        self._values: list[Value] = [self._first(name) for name in self.program.signal_names]
        self._count = 0
        self._image = [
            Sample(value, Quality.GOOD, Reason.OK, self.mono)
            if name.startswith("D-")
            else Sample(None, Quality.BAD, Reason.NOT_YET_READ, float("-inf"))
            for name, value in zip(self.program.signal_names, self._values, strict=True)
        ]

    @staticmethod
    def _first(name: str) -> Value:
        field_name = name.partition(".")[2]
        known: dict[str, Value] = {
            "flow": 0.0,
            "total": 1000.0,
            "turbidity": 2.0,
            "level": 3.0,
            "chlorine": 0.5,
            "closed": True,
        }
        if field_name in ("opened", "open", "run", "running"):
            return False
        return known.get(field_name, 20.0 if field_name.startswith("t") else 0.0)

    def warm_up(self) -> None:
        """Until everything runs: fits, orders, open valves, running pumps."""
        for _ in range(60):
            self.step()
        orders = [
            Command(f"c{n}", Op.ORDER, f"OUT-{n}", "local:bench", order_id=f"o{n}", volume_m3=400.0)
            for n in range(0, self.points, 2)
        ]
        result = self.step(*orders)
        refused = [answer.refusal for answer in result.answers if answer.refusal is not None]
        assert not refused, refused[0]
        for _ in range(WARM_UP):
            self.step()
        filling = [one for one in self.state.dispensers if isinstance(one, BatchState) and one.order is not None]
        assert len(filling) == (self.points + 1) // 2
        assert not any(trip.latched for trip in self.state.trips)

    def step(self, *commands: Command) -> ScanResult:
        """Moves the field by a period and scans."""
        image, now = self._moved()
        result = scan(self.program, self.state, image, commands, now)
        if self.watch is not None:
            self.watch(self.state, image, commands, now, result)
        self.state = result.state
        return result

    def measured(self, scans: int) -> Figures:
        """The time of each scan, of what must be done at the least, and of the collector's pauses."""
        figures, began = Figures(), 0.0

        def watch(phase: str, _: dict[str, int]) -> None:
            nonlocal began
            if phase == "start":
                began = time.perf_counter()
            else:
                figures.collector.append((time.perf_counter() - began) * 1e3)

        before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 50)
        gc.callbacks.append(watch)
        try:
            for _ in range(scans):
                image, now = self._moved()
                c0, t0 = time.thread_time(), time.perf_counter()
                result = scan(self.program, self.state, image, (), now)
                t1, c1 = time.perf_counter(), time.thread_time()
                self.state = result.state
                t2 = time.perf_counter()
                bare = tuple(self._image)
                for sample in bare:
                    sample.received  # noqa: B018
                t3 = time.perf_counter()
                figures.scans.append((t1 - t0) * 1e3)
                figures.processor.append((c1 - c0) * 1e3)
                figures.bare.append((t3 - t2) * 1e3)
        finally:
            gc.callbacks.remove(watch)
            gc.set_threshold(*before)
            gc.unfreeze()
        return figures

    def allocated(self, scans: int) -> Iterator[tuple[str, float, str]]:
        """What a scan allocates at its height, what of that stays, and how many blocks stay."""
        peaks, stays, blocks = [], [], []
        tracemalloc.start()
        try:
            for _ in range(scans):
                image, now = self._moved()
                tracemalloc.reset_peak()
                start, count = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
                result = scan(self.program, self.state, image, (), now)
                current, peak = tracemalloc.get_traced_memory()
                blocks.append(float(sys.getallocatedblocks() - count))
                peaks.append((peak - start) / 1e3)
                stays.append((current - start) / 1e3)
                self.state = result.state
        finally:
            tracemalloc.stop()
        yield "allocated at the height of a scan", percentile(peaks, 0.5), "kB"
        yield "of that in its result", percentile(stays, 0.5), "kB"
        yield "blocks in its result", percentile(blocks, 0.5), "blocks"

    def calls(self, scans: int) -> float:
        """How many calls of functions a scan makes: a measure of its work that no cache and no neighbour disturbs."""
        profile = cProfile.Profile()
        for _ in range(scans):
            image, now = self._moved()
            self.state = profile.runcall(scan, self.program, self.state, image, (), now).state
        return float(pstats.Stats(profile).total_calls) / scans  # type: ignore[attr-defined]

    def ring_us(self, scans: int) -> float:
        """What it costs to keep a scan."""
        ring, times = Ring(360.0, 100_000), []
        for _ in range(scans):
            before = self.state
            image, now = self._moved()
            result = scan(self.program, self.state, image, (), now)
            self.state = result.state
            t0 = time.perf_counter()
            ring.note(before, image, (), now, result)
            times.append((time.perf_counter() - t0) * 1e6)
        return percentile(times, 0.5)

    def _moved(self) -> tuple[tuple[Sample, ...], Instant]:
        """The field a period later: outputs have their effect, and a fifth of the readings is new."""
        self.mono = round(self.mono + PERIOD_S, 6)
        self._count += 1
        self._plant()
        due = self._fields[self._count % SHARE :: SHARE]
        # Both limit switches of a valve come in one reply, at once.
        moved = [place for place in self._fields if self._values[place] is not self._image[place].value]
        for place in (*due, *(place for place in moved if isinstance(self._values[place], bool))):
            value = self._values[place]
            if isinstance(value, float):
                value += self._random.gauss(0.0, 0.001)
            self._image[place] = Sample(value, Quality.GOOD, Reason.OK, self.mono, None, b"\x41\x20\x00\x00")
        return tuple(self._image), Instant(self.mono, UTC + self.mono)

    def _plant(self) -> None:
        outputs = {demand.tag: demand.value for demand in self.state.outputs}
        for n in range(self.points):
            valve, running = outputs[f"V-{n}"], bool(outputs[f"P-{n}"])
            self._set(n, "running", running)
            if n % 2 == 0:
                self._set(n, "opened", bool(valve))
                self._set(n, "closed", not valve)
                flow = 60.0 if valve and running else 0.0
            else:
                opening = float(valve or 0.0)
                self._set(n, "position", opening)
                flow = 1.2 * opening if running else 0.0
            self._set(n, "flow", flow)
            place = self._index[f"D-{n}.chlorine"]
            chlorine = float(self._values[place] or 0.0)
            self._values[place] = chlorine + 0.02 * (0.2 + 0.01 * float(outputs[f"DOSE-{n}"] or 0.0) - chlorine)
            place = self._index[f"D-{n}.total"]
            self._values[place] = float(self._values[place] or 0.0) + flow / 3600 * PERIOD_S

    def _set(self, n: int, name: str, value: Value) -> None:
        self._values[self._index[f"D-{n}.{name}"]] = value
