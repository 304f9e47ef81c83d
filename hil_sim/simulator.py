"""The simulator of one site: station, servers, the clock that steps them, and the control operations."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlparse
from zoneinfo import ZoneInfo

from config.link import ModbusRtuLink, ModbusTcpLink, OpcUaLink
from config.load import LoadedSite
from config.profile import ModbusProfile
from config.sample import Value
from hil_sim.base_station import Settings
from hil_sim.control_channel import ControlChannel
from hil_sim.errors import SimulatorError
from hil_sim.faults import Faults
from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.modbus_tcp import ModbusTcpServer, ServerTls
from hil_sim.opcua_server import REFRESH_S, OpcUaOptions, OpcUaServer
from hil_sim.serial_line import SerialLine
from hil_sim.site_out import write_site
from hil_sim.stations import build_station
from hil_sim.unit import Unit
from hil_sim.wire_log import WireLog

STEP_S: Final = 0.02
MAX_CATCH_UP_S: Final = 5.0
"""A simulator that stood still longer (a suspended laptop) lets the rest of that time pass unsimulated."""
DEFAULT_WIRE_EVENTS: Final = 1000
MAX_WIRE_EVENTS: Final = 5000
OWN_UNIT: Final = 2
"""A probe that answers with an address of its own: asked as unit 0 it says 2 (shared field notes, 1.2, Yunyi)."""
LAST_UNIT: Final = 247


class LinkServer(Protocol):
    """What every kind of link server has in common."""

    faults: Faults

    @property
    def endpoint(self) -> dict[str, object]:
        """The keys of the site file's link that lead to this server."""
        ...

    async def start(self) -> None:
        """Opens it."""
        ...

    async def stop(self) -> None:
        """Closes it."""
        ...

    async def refuse(self, on: bool) -> None:
        """Makes it unreachable, or reachable again at the same place."""
        ...

    async def refresh(self) -> None:
        """Publishes what has changed, for servers that publish."""
        ...

    @property
    def counts(self) -> dict[str, int]:
        """What a person who looks at the link wants to know."""
        ...

    def fault(self, name: str, on: bool, settings: Mapping[str, float], functions: tuple[int, ...] = ()) -> None:
        """Switches a fault of the link. Raises ``SimulatorError`` for one that makes no sense."""
        ...

    def tick(self, now_s: float) -> None:
        """Lets time pass."""
        ...


class Simulator:
    """Serves one site until cancelled.

    ``start`` binds everything, ``run`` lets time pass, ``stop`` clears up. ``tls`` is for every link that has it.
    """

    def __init__(
        self,
        loaded: LoadedSite,
        settings: Settings,
        control: Path | None = None,
        model: str | None = None,
        tls: ServerTls | None = None,
        opcua: OpcUaOptions | None = None,
    ) -> None:
        self.loaded = loaded
        self._opcua = opcua or OpcUaOptions()
        self.station = build_station(loaded, settings, model)
        self.wire = WireLog()
        self.units: dict[tuple[str, int], Unit] = {}
        self.servers: dict[str, LinkServer] = {}
        self.unsimulated_s = 0.0
        self._stepped_s = 0.0
        self._tls = tls
        self._control = ControlChannel(control, self.request) if control is not None else None
        zone = ZoneInfo(loaded.site.site.timezone)
        of_device = loaded.signals.by_device
        for tag, device in loaded.site.devices.items():
            profile = loaded.profiles[tag]
            if isinstance(profile, ModbusProfile):
                assert device.unit is not None
                unit = Unit(tag, device.unit, profile, of_device[tag], self.station.points, zone)
                unit.broadcast = device.broadcast_writes and device.unit == 0
                if device.accept_any_unit:
                    unit.answers_as = (device.unit + OWN_UNIT) % (LAST_UNIT + 1)
                self.units[device.link, device.unit] = unit
        for name in loaded.site.links:
            self.servers[name] = self._server(name)

    def _server(self, name: str) -> LinkServer:
        units = {number: unit for (link, number), unit in self.units.items() if link == name}
        match self.loaded.site.links[name]:
            case ModbusTcpLink() as link:
                if link.tls is not None and self._tls is None:
                    raise SimulatorError(f"link '{name}' has tls; give --tls-cert and --tls-key for the server's side")
                return ModbusTcpServer(
                    name,
                    units,
                    self.wire,
                    framing=link.framing,
                    line=SerialLine(link.line.baudrate, link.line.turnaround) if link.line is not None else None,
                    tls=self._tls if link.tls is not None else None,
                )
            case ModbusRtuLink() as link:
                return ModbusRtuServer(
                    name,
                    units,
                    self.wire,
                    link.baudrate,
                    turnaround_s=link.turnaround,
                    local_echo=link.local_echo,
                )
            case OpcUaLink() as link:
                signals = [signal for signal in self.loaded.signals.field if signal.link == name]
                port = urlparse(link.url).port or 0 if self._opcua.fixed_ports else 0
                return OpcUaServer(name, link, signals, self.station.points, self._opcua.pki, port)

    async def start(self) -> None:
        """Opens every link and the control channel."""
        self._stepped_s = asyncio.get_running_loop().time()
        try:
            for server in self.servers.values():
                await server.start()
            # What the links' opening took has passed in the station too, before anybody looks at it.
            self._catch_up()
            if self._control is not None:
                await self._control.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes everything that was opened."""
        if self._control is not None:
            await self._control.stop()
        for server in self.servers.values():
            await server.stop()

    def write_site(self, out: Path) -> None:
        """Writes the site file that leads to this simulator."""
        write_site(self.loaded, {name: server.endpoint for name, server in self.servers.items()}, out)

    async def run(self) -> None:
        """Lets time pass, until cancelled."""
        loop = asyncio.get_running_loop()
        refreshed_s = loop.time()
        while True:
            await asyncio.sleep(STEP_S)
            self._catch_up()
            if self._stepped_s - refreshed_s >= REFRESH_S:
                refreshed_s = self._stepped_s
                for server in self.servers.values():
                    await server.refresh()

    def _catch_up(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self.advance(now_s - self._stepped_s, now_s)
        self._stepped_s = now_s

    def advance(self, elapsed_s: float, now_s: float) -> None:
        """Steps the station by ``elapsed_s``, ``STEP_S`` or so at a time, then looks at the watchdogs."""
        if elapsed_s > MAX_CATCH_UP_S:
            self.unsimulated_s += elapsed_s - MAX_CATCH_UP_S
            elapsed_s = MAX_CATCH_UP_S
        # A timer is always a little late: half a step more is still one step.
        steps = max(1, round(elapsed_s / STEP_S))
        for _ in range(steps):
            self.station.step(elapsed_s / steps)
        for unit in self.units.values():
            unit.watch(now_s)
        for server in self.servers.values():
            server.tick(now_s)

    # -- the control operations ------------------------------------------------------------------------------

    async def request(self, request: dict[str, Any]) -> dict[str, object]:
        """Carries out one control request. Raises ``SimulatorError`` for one that makes no sense."""
        match request["op"]:
            case "state":
                return self._state()
            case "upset":
                value, ramp_s = _number(request, "value"), _number(request, "ramp_s", 0.0, low=0.0)
                self.station.upset(_text(request, "parameter"), value, ramp_s, _for_s(request))
            case "calm":
                self.station.calm(_text(request, "parameter"), _number(request, "ramp_s", 0.0, low=0.0))
            case "set":
                self.station.set(_text(request, "name"), _value(request))
            case "follow":
                self.station.follow(_text(request, "name"), _flag(request, "on"))
            case "fault":
                self._fault(request)
            case "silence":
                self._silence(_text(request, "device"), _flag(request, "on"))
            case "exception":
                code = _number(request, "code", 4.0)
                self._unit(_text(request, "device")).fault("exception", _flag(request, "on"), {"code": code})
            case "refuse":
                await self._link(_text(request, "link")).refuse(_flag(request, "on"))
            case "valve":
                self.station.stick_valve(_text(request, "tag"), _flag(request, "stuck"))
            case "pump":
                self.station.trip_pump(_text(request, "tag"), _flag(request, "tripped"))
            case "analyzer":
                fields = {key: _number(request, key) for key in request.keys() - {"op", "device"}}
                self.station.analyzer(_text(request, "device"), fields)
            case "level":
                self.station.set_level(_number(request, "value"))
            case "speed":
                self.station.speed(_number(request, "factor"))
            case "restart":
                server = self._opcua_server(_text(request, "link"))
                await server.restart(int(_number(request, "foreign", 0.0, low=0.0)))
            case "churn":
                server = self._opcua_server(_text(request, "link"))
                period_s = _number(request, "period_s", 0.0, low=0.0)
                if "period_s" in request:
                    server.churn(period_s or None)
                return {"t_ns": time.monotonic_ns(), "produced": server.produced}
            case "record":
                self.wire.on = _flag(request, "on")
            case "wire":
                return self._wire(request)
            case other:
                raise SimulatorError(f"no operation '{other}'; docs/simulators.md lists them")
        return {"t_ns": time.monotonic_ns()}

    def _state(self) -> dict[str, object]:
        return {
            "t_ns": time.monotonic_ns(),
            "signals": {signal.name: self.station.points[signal.name].get() for signal in self.loaded.signals.field},
            "truth": self.station.truth(),
            "watchdogs": {u.device: u.watchdog.tripped for u in self.units.values() if u.watchdog.watched},
            "faults": {name: faults.plain() for name, faults in self._faults() if faults.active},
            "pulses": {name: count for unit in self.units.values() for name, count in unit.pulses.items()},
            "actions": {unit.device: unit.actions for unit in self.units.values() if unit.actions},
            "links": {name: server.counts for name, server in self.servers.items()},
            "unsimulated_s": self.unsimulated_s,
        }

    def _faults(self) -> Iterator[tuple[str, Faults]]:
        yield from ((unit.device, unit.faults) for unit in self.units.values())
        yield from ((name, server.faults) for name, server in self.servers.items())

    def _fault(self, request: Mapping[str, Any]) -> None:
        settings = {
            key: _number(request, key) for key in request.keys() - {"op", "device", "link", "name", "on", "functions"}
        }
        functions = request.get("functions", [])
        if not isinstance(functions, list) or not all(isinstance(f, int) and 1 <= f <= 0x7F for f in functions):
            raise SimulatorError('"functions" must be a list of function codes')
        if ("device" in request) is ("link" in request):
            raise SimulatorError('either a "device" or a "link"')
        at: Unit | LinkServer
        at = self._unit(_text(request, "device")) if "device" in request else self._link(_text(request, "link"))
        at.fault(_text(request, "name"), _flag(request, "on"), settings, tuple(functions))

    def _silence(self, device: str, on: bool) -> None:
        settings = self.loaded.site.devices.get(device)
        if settings is None:
            raise SimulatorError(f"no device '{device}'; there is: {', '.join(self.loaded.site.devices)}")
        server = self.servers[settings.link]
        if isinstance(server, OpcUaServer):
            (server.silent.add if on else server.silent.discard)(device)
        else:
            self._unit(device).fault("no-reply", on, {})

    def _unit(self, device: str) -> Unit:
        unit = next((unit for unit in self.units.values() if unit.device == device), None)
        if unit is None:
            raise SimulatorError(f"no Modbus device '{device}'")
        return unit

    def _link(self, name: str) -> LinkServer:
        server = self.servers.get(name)
        if server is None:
            raise SimulatorError(f"no link '{name}'; there is: {', '.join(self.servers)}")
        return server

    def _opcua_server(self, name: str) -> OpcUaServer:
        server = self._link(name)
        if not isinstance(server, OpcUaServer):
            raise SimulatorError(f"link '{name}' is no OPC UA link")
        return server

    def _wire(self, request: Mapping[str, Any]) -> dict[str, object]:
        limit = int(_number(request, "limit", DEFAULT_WIRE_EVENTS, low=1))
        kind = _text(request, "kind") if "kind" in request else None
        signal = _text(request, "signal") if "signal" in request else None
        since_ns = int(_number(request, "since_ns", 0.0))
        events, more = self.wire.since(self.units, since_ns, min(limit, MAX_WIRE_EVENTS), kind, signal)
        return {"t_ns": time.monotonic_ns(), "events": events, "more": more}


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise SimulatorError(f'"{key}" must be a text')
    return value


def _flag(request: Mapping[str, Any], key: str) -> bool:
    value = request.get(key)
    if not isinstance(value, bool):
        raise SimulatorError(f'"{key}" must be true or false')
    return value


def _number(request: Mapping[str, Any], key: str, default: float | None = None, low: float | None = None) -> float:
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SimulatorError(f'"{key}" must be a number')
    if low is not None and value < low:
        raise SimulatorError(f'"{key}" must be at least {low:g}')
    return value


def _for_s(request: Mapping[str, Any]) -> float | None:
    return _number(request, "for_s", low=0.0) if request.get("for_s") is not None else None


def _value(request: Mapping[str, Any]) -> Value:
    value = request.get("value")
    if "value" not in request or not (value is None or isinstance(value, float | int | bool | str)):
        raise SimulatorError('"value" must be a number, true or false, a text or null')
    return value
