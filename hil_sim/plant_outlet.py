"""The outlet of the plant of ``config/sites/plant-outlet.yaml``: two pipes, each with its own valve.

Clear-water tank -> the plant's own pumps (a header of constant head) -> FIT-201/FCV-201 to industry and
FIT-202/FCV-202 to the river. One set of analyzers watches the water of both. P-301 doses hypochlorite behind FIT-201;
AIT-205 sees what is left of it further down the pipe, when the water's demand is met.
"""

import math
from random import Random
from typing import Final

from config.load import LoadedSite
from config.sample import Value
from hil_sim.analyzer import Probe
from hil_sim.base_station import BaseStation, Settings
from hil_sim.line import Line
from hil_sim.meter import Meter
from hil_sim.tank import Tank
from hil_sim.valve import ModulatingValve

INFLOW_M3H: Final = 180.0
BORE_M: Final = 0.2
HEADER_HEAD_M: Final = 20.0
START_LEVEL_M: Final = 3.0
INDUSTRY_FULL_FLOW_M3H: Final = 240.0
RIVER_FULL_FLOW_M3H: Final = 180.0
DOSING_CAPACITY_M3H: Final = 0.01
HYPOCHLORITE_MG_L: Final = 100_000.0
CHLORINE_DEMAND_MG_L: Final = 1.2
CHLORINE_LAG_S: Final = 15.0
"""Mixing, contact and probe between the dosing point and the reading."""
DRIVE_LAG_S: Final = 2.0
AUTHORITY: Final = 0.7
VALVE_EXPONENT: Final = 1.5


class Dosing:
    """A dosing pump on a drive, and the residual chlorine that a probe finds behind it."""

    def __init__(self, random: Random) -> None:
        self.demand_percent = 0.0
        self.speed_percent = 0.0
        self._mixed = 0.0
        self.residual = Probe(CHLORINE_LAG_S, 0.0, 0.005, random)

    def step(self, dt_s: float, flow_m3h: float) -> None:
        """Lets time pass; in a pipe that stands still the probe sees what it saw."""
        self.speed_percent += (self.demand_percent - self.speed_percent) * (1.0 - math.exp(-dt_s / DRIVE_LAG_S))
        if flow_m3h > 1.0:
            dose = self.speed_percent / 100.0 * DOSING_CAPACITY_M3H * HYPOCHLORITE_MG_L / flow_m3h
            left = max(0.0, dose - CHLORINE_DEMAND_MG_L)
            self._mixed += (left - self._mixed) * (1.0 - math.exp(-dt_s / CHLORINE_LAG_S))
        self.residual.step(dt_s, self._mixed)


class PlantOutlet(BaseStation):
    """Two branches on one tank."""

    def __init__(self, loaded: LoadedSite, settings: Settings) -> None:
        super().__init__(loaded, settings, Tank.at_level(400.0, 5.5, START_LEVEL_M))
        self.branches = [
            self._branch("1", INDUSTRY_FULL_FLOW_M3H, 183_420.125),
            self._branch("2", RIVER_FULL_FLOW_M3H, 90_511.75),
        ]
        self.add_turbidity_probe("AIT-201")
        self.add_analyzer("AIT-202", "cod")
        self.add_analyzer("AIT-203", "ammonia")
        self.dosing = Dosing(self.random)
        self.measure("P-301.speed", "%", lambda: self.dosing.speed_percent)
        self.command("P-301.speed_command", "%", lambda: self.dosing.demand_percent, self._dose)
        self.measure("AIT-205.chlorine", "mg/L", lambda: self.dosing.residual.reading)
        self.measure("PLC-200.level", "m", lambda: self.level_m)
        self.add_probe("PLC-200.outlet_ph", "pH", "ph", 5.0, 0.005)

    def step(self, dt_s: float) -> None:
        """Lets ``dt_s`` pass."""
        head_m = HEADER_HEAD_M + self.tank.level_m
        flows: list[float] = []
        for valve, line, _ in self.branches:
            valve.step(dt_s)
            flows.append(line.flow_m3s(head_m, valve.opening))
        wanted_m3s = sum(flows)
        drawn_m3 = self.tank.step(dt_s, INFLOW_M3H / 3600.0, wanted_m3s)
        for (_, _, meter), flow_m3s in zip(self.branches, flows, strict=True):
            # An empty tank leaves both branches the same share of what they would have taken.
            meter.step(dt_s, drawn_m3 * flow_m3s / wanted_m3s if wanted_m3s > 0 else 0.0)
        self.dosing.step(dt_s, self.branches[0][2].true_flow_m3h)
        self.step_water(dt_s)

    def _dose(self, value: Value) -> None:
        if not isinstance(value, int | float) or not 0.0 <= value <= 100.0:
            raise ValueError("a speed of 0 to 100 %")
        self.dosing.demand_percent = value

    def _branch(self, number: str, full_flow_m3h: float, total_m3: float) -> tuple[ModulatingValve, Line, Meter]:
        valve = ModulatingValve(self.travel_s(f"FV-20{number}", 20.0))
        self.valves[f"FV-20{number}"] = valve
        line = Line(full_flow_m3h, HEADER_HEAD_M + START_LEVEL_M, AUTHORITY, VALVE_EXPONENT)

        def demand(value: Value) -> None:
            if not isinstance(value, int | float):
                raise ValueError("a demand in percent")
            valve.demand(value)

        tag = f"FCV-20{number}"
        self.measure(f"{tag}.position", "%", lambda: valve.position_percent)
        self.command(f"{tag}.position_command", "%", lambda: valve.demand_percent, demand)
        self.measure(f"{tag}.remote", "", lambda: True)
        self.measure(f"{tag}.fault", "", lambda: False)
        return valve, line, self.add_meter(f"FIT-20{number}", total_m3, BORE_M)
