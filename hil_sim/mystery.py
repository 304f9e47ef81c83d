"""A made-up flow meter whose map nobody is told: something to practise on, as a technician meets it.

Only its local display can be read, flow and total. Where they stand, in which order of bytes, at which speed and as
which unit it answers is drawn from a seed; ``reveal`` gives it as a profile, to compare one's own with.
"""

import math
import random
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

from config.profile import ModbusProfile
from config.sample import Value
from config.signals import signal_table
from config.site import Site
from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.modbus_tcp import ModbusTcpServer
from hil_sim.station import Point
from hil_sim.unit import Unit
from hil_sim.wire_log import WireLog

TAG: Final = "X"
LINK: Final = "bus"
UPDATE_S: Final = 2.0
"""The instrument measures so often; in between display and registers stand still and agree."""
SWING_S: Final = 240.0
HIGHEST_UNIT: Final = 24
BORE_M: Final = 0.1
FLOWING: Final = 0x0001
HIGH_FLOW: Final = 0x0010
SELF_TEST_OK: Final = 0x0200


class Mystery:
    """The instrument of a seed: its secret ``profile``, what it measures, and its server."""

    def __init__(self, seed: int, tcp: bool) -> None:
        drawn = random.Random(seed)
        self.unit_number = drawn.randint(2, HIGHEST_UNIT)
        self.baudrate = drawn.choice((4800, 9600, 19200, 38400))
        self.data = _map(drawn)
        self.data["serial"] = {"baudrate": self.baudrate, "unit": self.unit_number}
        self.profile = ModbusProfile.model_validate(self.data)
        self._mean_m3h = drawn.uniform(30.0, 70.0)
        self._phase = drawn.uniform(0.0, 2 * math.pi)
        self._elapsed_s = 0.0
        self._measured_s = 0.0
        self.flow_m3h = self._flow(0.0)
        self.total_m3 = round(drawn.uniform(2_000.0, 90_000.0), 3)
        self.server = self._serve(tcp)

    def reveal(self) -> dict[str, Any]:
        """The profile as plain data, as one would write it."""
        return self.data

    @property
    def display(self) -> str:
        """What stands on the instrument's own display."""
        return f"flow {self.flow_m3h:8.2f} m3/h    total {self.total_m3:12.3f} m3"

    def step(self, dt_s: float) -> None:
        """Lets ``dt_s`` pass."""
        self._elapsed_s += dt_s
        while self._elapsed_s - self._measured_s >= UPDATE_S:
            self._measured_s += UPDATE_S
            self.flow_m3h = self._flow(self._measured_s)
            self.total_m3 = round(self.total_m3 + self.flow_m3h * UPDATE_S / 3600.0, 3)

    def _flow(self, at_s: float) -> float:
        return round(self._mean_m3h * (1.0 + 0.15 * math.sin(self._phase + 2 * math.pi * at_s / SWING_S)), 2)

    def _status(self) -> Value:
        return FLOWING | SELF_TEST_OK | (HIGH_FLOW if self.flow_m3h > self._mean_m3h else 0)

    def _serve(self, tcp: bool) -> ModbusTcpServer | ModbusRtuServer:
        measured: dict[str, tuple[str, Callable[[], Value]]] = {
            "flow": ("m3/h", lambda: self.flow_m3h),
            "total": ("m3", lambda: self.total_m3),
            "velocity": ("m/s", lambda: self.flow_m3h / 3600.0 / (math.pi * BORE_M**2 / 4)),
            "status": ("1", self._status),
        }
        points = {f"{TAG}.{name}": Point(unit, get) for name, (unit, get) in measured.items()}
        site = Site.model_validate(
            {
                "site": {"id": "mystery"},
                "links": {LINK: {"type": "modbus-rtu", "port": "-", "baudrate": self.baudrate}},
                "devices": {TAG: {"link": LINK, "unit": self.unit_number, "profile": self.profile}},
            }
        )
        signals = signal_table(site, {TAG: self.profile}).field
        unit = Unit(TAG, self.unit_number, self.profile, signals, points, ZoneInfo(site.site.timezone))
        units = {self.unit_number: unit}
        if tcp:
            return ModbusTcpServer(LINK, units, WireLog())
        server = ModbusRtuServer(LINK, units, WireLog(), self.baudrate)
        # Unlike a served site, where the terminal's speed does not matter: here it has to be found.
        server.fault("wrong-speed", True, {"baudrate": self.baudrate})
        return server


def _map(drawn: random.Random) -> dict[str, Any]:
    """The secret: a profile as plain data."""
    table = drawn.choice(("holding", "input"))
    order = drawn.choice(("CDAB", "BADC", "DCBA"))
    decimals = drawn.choice(({"type": "float32"}, {"type": "uint16", "scale": 0.001}))
    address = drawn.choice((0, 16, 100, 256, 300, 512, 1000, 0x1010))
    blocks: list[tuple[str, int]] = [("flow", 2), ("velocity", 2), ("total", 4), ("status", 1)]
    drawn.shuffle(blocks)
    signals: dict[str, Any] = {}
    for name, registers in blocks:
        where = {"table": table, "address": address}
        if name == "status":
            signals[name] = where
        elif name == "total":
            fraction = {"address": address + 2, **decimals}
            signals[name] = {**where, "type": "uint32", "order": order, "unit": "m3", "fraction": fraction}
        else:
            signals[name] = {**where, "type": "float32", "order": order, "unit": "m3/h" if name == "flow" else "m/s"}
        address += registers + drawn.choice((0, 0, 2))
    return {
        "title": "Made-up electromagnetic flow meter",
        "protocol": "modbus",
        "limits": {"registers": 16, "gap": 0},
        "signals": signals,
    }
