"""What the two stations have in common: a tank, a water, instruments, and how a test reaches into them."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from config.guard import BatchGuard
from config.load import LoadedSite
from config.sample import Value
from hil_sim.analyzer import BatchAnalyzer, Probe
from hil_sim.errors import SimulatorError
from hil_sim.meter import Meter
from hil_sim.pump import Pump
from hil_sim.station import Point
from hil_sim.tank import Tank
from hil_sim.valve import ModulatingValve, MotorValve
from hil_sim.water import TransportDelay, Water

DEFAULT_INTERVAL_S = 3600.0
"""Interval of an analyzer that no guard of the site watches."""
METER_NOISE = 0.003
"""0.3 % of reading: a healthy magnetic meter."""
METER_RANGE_MS = 5.0
"""Velocity that a meter shows as 100 %."""
METER_UNIT_CODES = {"flow_unit": 2, "total_unit": 0, "reverse_total_unit": 0}
"""The "0x00" map's codes for m3/h and m3."""
HEALTHY_ELECTRODES_OHM = 20_000.0
PROBE_VERSION = 0x01000107
"""Hardware 1.0, software 1.7."""
WIPE_INTERVAL_S = 1800.0
LEVEL_JITTER_M = 0.001
MAX_SPEED = 10_000.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a station is to be run, beside what its site file says.

    ``analyzer_interval_s`` replaces the interval of every batch analyzer; ``start_s`` is UTC at the first
    step; ``pipe_delay_s`` the way from the plant outlet to the station's own probe.
    """

    seed: int = 0
    analyzer_interval_s: float | None = None
    start_s: float = 0.0
    pipe_delay_s: float = 0.0


class BaseStation:
    """Tank, water and instruments; the subclass adds lines and maps the signals."""

    def __init__(self, loaded: LoadedSite, settings: Settings, tank: Tank) -> None:
        self.site = loaded.site
        self.settings = settings
        self.now_s = settings.start_s
        self.tank = tank
        self.water = Water.reclaimed(settings.seed)
        self.random = random.Random(settings.seed + 1)
        self.level_m = tank.level_m
        self.valves: dict[str, MotorValve | ModulatingValve] = {}
        self.pumps: dict[str, Pump] = {}
        self.meters: dict[str, Meter] = {}
        self.probes: dict[str, Probe] = {}
        self.analyzers: dict[str, BatchAnalyzer] = {}
        self._sees: dict[str, str] = {}
        self._downstream: set[str] = set()
        self._pipe = TransportDelay(settings.pipe_delay_s, self.water["turbidity"])
        self._points: dict[str, Point] = {}

    @property
    def points(self) -> Mapping[str, Point]:
        """Every signal that the station provides, by name."""
        return self._points

    # -- building --------------------------------------------------------------------------------------------

    def add_meter(self, tag: str, initial_m3: float, bore_m: float) -> Meter:
        """A flow meter with the signals of a magnetic meter; it rolls over where the site says it does."""
        rollover = next(
            (d.meter.rollover for d in self.site.dispensers.values() if d.meter.total == f"{tag}.total"), None
        )
        meter = Meter(bore_m, rollover or 1_000_000.0, initial_m3, noise=METER_NOISE, random=self.random)
        self.meters[tag] = meter
        self.measure(f"{tag}.flow", "m3/h", lambda: meter.flow_m3h)
        self.measure(f"{tag}.total", "m3", lambda: meter.total_m3)
        self.measure(f"{tag}.reverse_total", "m3", lambda: 0.0)
        self.measure(f"{tag}.velocity", "m/s", lambda: meter.velocity_ms)
        self.measure(f"{tag}.percent", "%", lambda: 100.0 * meter.velocity_ms / METER_RANGE_MS)
        self.measure(f"{tag}.electrode_resistance", "Ohm", lambda: HEALTHY_ELECTRODES_OHM)
        self.measure(f"{tag}.bore", "m", lambda: meter.bore_m)
        for alarm in ("excitation_alarm", "electrode_alarm", "empty_pipe", "high_alarm", "low_alarm"):
            self.measure(f"{tag}.{alarm}", "1", lambda: 0)
        for code, number in METER_UNIT_CODES.items():
            self.measure(f"{tag}.{code}", "1", _constant(number))
        return meter

    def add_probe(self, name: str, unit: str, parameter: str, lag_s: float, noise: float) -> Probe:
        """A continuous instrument that shows ``parameter`` of the water as signal ``name``."""
        probe = Probe(lag_s, self.water[parameter], noise, self.random)
        self.probes[name] = probe
        self._sees[name] = parameter
        self.measure(name, unit, lambda: probe.reading)
        return probe

    def add_turbidity_probe(self, tag: str) -> None:
        """A turbidity probe with temperature and error byte, at the far end of the pipe from the plant."""
        name = f"{tag}.turbidity"
        probe = self.add_probe(name, "NTU", "turbidity", 1.0, 0.01)
        self._downstream.add(name)
        self.add_probe(f"{tag}.temperature", "degC", "temperature", 20.0, 0.02)
        self.measure(f"{tag}.error", "1", lambda: probe.error)
        self.measure(f"{tag}.calibration_k", "1", _constant(1.0))
        self.measure(f"{tag}.calibration_b", "1", _constant(0.0))
        self.measure(f"{tag}.version", "1", _constant(PROBE_VERSION))
        settings: dict[str, Value] = {"wipe_interval": WIPE_INTERVAL_S}
        self.command(f"{tag}.wipe_interval", "s", lambda: settings["wipe_interval"], _keep(settings, "wipe_interval"))

    def add_analyzer(self, tag: str, parameter: str) -> None:
        """A batch analyzer of ``parameter`` with the signals of the CNEMC register list."""
        name = f"{tag}.{parameter}"
        interval_s = self.settings.analyzer_interval_s or self._guard_interval_s(name)
        analyzer = BatchAnalyzer(interval_s, self.water[parameter], self.now_s)
        self.analyzers[tag] = analyzer
        self._sees[tag] = parameter
        self.measure(f"{tag}.result_time", "", lambda: analyzer.result.time_s)
        self.measure(name, "mg/L", lambda: analyzer.result.value)
        self.measure(f"{tag}.flag", "1", lambda: analyzer.result.flag)
        self.measure(f"{tag}.work_state", "1", lambda: analyzer.work_state)
        self.measure(f"{tag}.alarm", "1", lambda: analyzer.alarm)

    def measure(self, name: str, unit: str, get: Callable[[], Value]) -> None:
        """A read-only signal."""
        self._points[name] = Point(unit, get)

    def command(self, name: str, unit: str, get: Callable[[], Value], put: Callable[[Value], None]) -> None:
        """A writable signal; it reads back what was last commanded."""
        self._points[name] = Point(unit, get, put)

    def travel_s(self, tag: str, default_s: float) -> float:
        """The stroke time of a valve as the site file states it."""
        valve = self.site.valves.get(tag)
        return valve.travel if valve is not None else default_s

    def _guard_interval_s(self, signal: str) -> float:
        for dispenser in self.site.dispensers.values():
            for guard in dispenser.guards.values():
                if isinstance(guard, BatchGuard) and guard.signal == signal:
                    return guard.interval
        return DEFAULT_INTERVAL_S

    # -- time ------------------------------------------------------------------------------------------------

    def step_water(self, dt_s: float) -> None:
        """Lets time pass for the water and everything that looks at it."""
        self.now_s += dt_s
        self.water.step(dt_s)
        arriving = self._pipe.step(dt_s, self.water["turbidity"])
        for name, probe in self.probes.items():
            probe.step(dt_s, arriving if name in self._downstream else self.water[self._sees[name]])
        for tag, analyzer in self.analyzers.items():
            analyzer.step(dt_s, self.water[self._sees[tag]], self.now_s)
        self.level_m = max(0.0, self.tank.level_m + self.random.uniform(-LEVEL_JITTER_M, LEVEL_JITTER_M))

    # -- what a test asks ------------------------------------------------------------------------------------

    def truth(self) -> dict[str, object]:
        """What is really so; see docs/simulators.md for every key."""
        tank = self.tank
        return {
            "tank": {
                "level_m": tank.level_m,
                "volume_m3": tank.volume_m3,
                "inflow_m3": tank.inflow_m3,
                "drawn_m3": tank.drawn_m3,
                "overflow_m3": tank.overflow_m3,
                "adjusted_m3": tank.adjusted_m3,
            },
            "dispensed_m3": {tag: meter.passed_m3 for tag, meter in self.meters.items()},
            "flow_m3h": {tag: meter.true_flow_m3h for tag, meter in self.meters.items()},
            "valves": {
                tag: {"opening_percent": 100.0 * valve.opening, "stuck": valve.stuck}
                for tag, valve in self.valves.items()
            },
            "pumps": {
                tag: {"commanded": pump.commanded, "speed": pump.speed, "tripped": pump.tripped}
                for tag, pump in self.pumps.items()
            },
            "water": {name: parameter.value for name, parameter in self.water.parameters.items()},
            "upsets": [name for name, parameter in self.water.parameters.items() if parameter.upset],
            "results": {tag: analyzer.results for tag, analyzer in self.analyzers.items()},
            "now_s": self.now_s,
        }

    def upset(self, parameter: str, value: float, ramp_s: float, for_s: float | None) -> None:
        """Leads a parameter of the water to ``value``."""
        if not math.isfinite(value):
            raise SimulatorError(f"{value} is no value for {parameter}; give a finite number")
        _of(self.water.parameters, parameter, "parameter").lead(float(value), ramp_s, for_s)

    def calm(self, parameter: str, ramp_s: float) -> None:
        """Lets a parameter of the water return to its natural value."""
        _of(self.water.parameters, parameter, "parameter").calm(ramp_s)

    def set(self, name: str, value: Value) -> None:
        """Refused: a signal of a modelled station shows what the model does."""
        raise SimulatorError(f"'{name}' shows what the station does; use upset, level, valve, pump or analyzer")

    def follow(self, name: str, on: bool) -> None:
        """Refused: feedback comes from what the station does."""
        raise SimulatorError(f"'{name}' shows what the station does; use valve or pump to break it")

    def stick_valve(self, tag: str, stuck: bool) -> None:
        """Holds a valve where it is, or frees it."""
        _of(self.valves, tag, "valve").stuck = stuck

    def trip_pump(self, tag: str, tripped: bool) -> None:
        """Trips a pump's overload relay, or resets it."""
        _of(self.pumps, tag, "pump").tripped = tripped

    def analyzer(self, device: str, request: Mapping[str, float]) -> None:
        """Publishes a result, sets an alarm code, or the error byte of a turbidity probe."""
        unknown = request.keys() - {"value", "flag", "alarm", "error"}
        if unknown or not request:
            raise SimulatorError("an analyzer takes value, flag and alarm; a probe takes error")
        if "error" in request:
            _of(self.probes, f"{device}.turbidity", "turbidity probe").error = int(request["error"])
            return
        analyzer = _of(self.analyzers, device, "batch analyzer")
        analyzer.alarm = int(request.get("alarm", analyzer.alarm))
        if "value" in request or "flag" in request:
            value = request.get("value", self.water[self._sees[device]])
            analyzer.publish(value, int(request.get("flag", 0)), self.now_s)

    def set_level(self, level_m: float) -> None:
        """Puts the tank to a level; the difference is booked as adjusted."""
        try:
            self.tank.set_level(level_m)
        except ValueError as error:
            raise SimulatorError(f"{level_m:g} m is out of the tank; give {error}") from error

    def speed(self, factor: float) -> None:
        """How many times faster than real the batch analyzers live."""
        if not 0.0 < factor <= MAX_SPEED:
            raise SimulatorError(f"a factor of {factor:g} makes no sense; give more than 0 and at most {MAX_SPEED:g}")
        for analyzer in self.analyzers.values():
            analyzer.speed = factor


def _keep(settings: dict[str, Value], name: str) -> Callable[[Value], None]:
    def put(value: Value) -> None:
        settings[name] = value

    return put


def _constant(value: Value) -> Callable[[], Value]:
    return lambda: value


Thing = TypeVar("Thing")


def _of(things: Mapping[str, Thing], name: str, what: str) -> Thing:
    thing = things.get(name)
    if thing is None:
        raise SimulatorError(f"no {what} '{name}'; there is: {', '.join(things) or 'none'}")
    return thing
