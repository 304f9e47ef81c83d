"""The tanker fill station of ``config/sites/fill-station.yaml``: tank, pump, motor valve, meter, analyzers.

Clear-water tank -> P-101 -> FIT-101 -> XV-101 -> tanker. The arm's outlet lies above the tank's overflow
edge, so nothing runs unless the pump turns.
"""

from typing import Final

from config.load import LoadedSite
from config.sample import Value
from hil_sim.base_station import BaseStation, Settings
from hil_sim.line import Line
from hil_sim.pump import Pump
from hil_sim.tank import Tank
from hil_sim.tanker import Tanker
from hil_sim.valve import MotorValve

INFLOW_M3H: Final = 40.0
FULL_FLOW_M3H: Final = 60.0
BORE_M: Final = 0.1
SHUTOFF_HEAD_M: Final = 25.0
OUTLET_HEIGHT_M: Final = 6.5
START_LEVEL_M: Final = 3.0
TANKER_M3: Final = 20.0
START_TOTAL_M3: Final = 48_216.375
"""A meter that has served for a while: a total that starts at nil would hide carry faults."""


class FillStation(BaseStation):
    """One fill arm. ``settings`` say how fast its analyzers are and with which seed it varies."""

    def __init__(self, loaded: LoadedSite, settings: Settings) -> None:
        super().__init__(loaded, settings, Tank.at_level(150.0, 5.5, START_LEVEL_M))
        self.valve = MotorValve(self.travel_s("XV-101", 4.0))
        self.pump = Pump()
        self.valves["XV-101"] = self.valve
        self.pumps["P-101"] = self.pump
        self.line = Line(FULL_FLOW_M3H, SHUTOFF_HEAD_M - OUTLET_HEIGHT_M + START_LEVEL_M)
        self.tanker = Tanker(TANKER_M3)
        self.measure("RIO-101.lsh_101", "", lambda: self.tanker.probe_dry)
        self.measure("RIO-101.zso_101", "", lambda: self.valve.opened)
        self.measure("RIO-101.zsc_101", "", lambda: self.valve.closed)
        self.measure("RIO-101.yl_101", "", lambda: self.pump.running)
        self.command("RIO-101.xv_101", "", lambda: self.valve.energised, self._energise)
        self.command("RIO-101.p_101", "", lambda: self.pump.commanded, self._run)
        self.meter = self.add_meter("FIT-101", START_TOTAL_M3, BORE_M)
        self.add_turbidity_probe("AIT-101")
        self.add_analyzer("AIT-102", "cod")
        self.add_analyzer("AIT-103", "ammonia")
        self.measure("PLC-100.level", "m", lambda: self.level_m)
        self.add_probe("PLC-100.outlet_turbidity", "NTU", "turbidity", 2.0, 0.01)
        self.add_probe("PLC-100.outlet_ph", "pH", "ph", 5.0, 0.005)

    def step(self, dt_s: float) -> None:
        """Lets ``dt_s`` pass."""
        self.valve.step(dt_s)
        self.pump.step(dt_s)
        head_m = SHUTOFF_HEAD_M * self.pump.speed**2 + self.tank.level_m - OUTLET_HEIGHT_M
        flow_m3s = self.line.flow_m3s(head_m, self.valve.opening)
        given_m3 = self.tank.step(dt_s, INFLOW_M3H / 3600.0, flow_m3s)
        self.meter.step(dt_s, given_m3)
        self.tanker.step(dt_s, given_m3)
        self.step_water(dt_s)

    def _energise(self, value: Value) -> None:
        self.valve.energised = bool(value)

    def _run(self, value: Value) -> None:
        self.pump.commanded = bool(value)
