"""An OPC UA link against asyncua's own server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes

from config.load import LoadedSite
from config.sample import Quality, Reason, Value
from drivers.port import WriteResult
from tests.drivers.sites import Drivers, driving, free_port, site_of
from tests.hil_sim.sites import until

URI = "urn:test:plant"
STAMP = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)

NODES: dict[str, tuple[str, Any, ua.VariantType]] = {
    "level": ("s=LT-1.Level", 250.0, ua.VariantType.Double),
    "running": ("s=P-1.Running", True, ua.VariantType.Boolean),
    "name": ("s=Name", "清水池", ua.VariantType.String),
    "demand": ("i=2001", 0, ua.VariantType.Int16),
    "setpoint": ("i=2002", 0.0, ua.VariantType.Float),
    "run": ("i=2003", False, ua.VariantType.Boolean),
}


class Plc:
    """A server with one device's nodes; ``foreign`` namespaces stand before the device's own."""

    def __init__(self, port: int, foreign: int = 0, uri: str = URI) -> None:
        self._port, self._foreign, self._uri = port, foreign, uri
        self._server = Server()
        self.nodes: dict[str, Any] = {}

    async def start(self) -> None:
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}/")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for number in range(self._foreign):
            other = await self._server.register_namespace(f"urn:test:other:{number}")
            # The same identifiers with other values: what a stale index would read.
            await self._add(other, 100.0 + number)
        self.nodes = await self._add(await self._server.register_namespace(self._uri))
        await self._server.start()

    async def _add(self, index: int, level: float | None = None) -> dict[str, Any]:
        nodes: dict[str, Any] = {}
        for name, (identifier, value, kind) in NODES.items():
            shown = level if level is not None and name == "level" else value
            node = ua.NodeId.from_string(f"ns={index};{identifier}")
            nodes[name] = await self._server.nodes.objects.add_variable(
                node, ua.QualifiedName(name, index), shown, varianttype=kind
            )
            await nodes[name].set_writable()
        return nodes

    async def stop(self) -> None:
        if self._server.bserver is not None:
            await self._server.stop()

    async def show(self, name: str, value: Any, status: int = StatusCodes.Good, *, stamped: bool = False) -> None:
        """Publishes a value with a status; the kind stays that of the node unless there is no value."""
        variant = ua.Variant(None, ua.VariantType.Null) if value is None else ua.Variant(value, NODES[name][2])
        stamp: Any = STAMP if stamped else None
        data = ua.DataValue(variant, ua.StatusCode(ua.UInt32(status)), SourceTimestamp=stamp)
        if value is None:
            # This server writes no null to a node with a type; others show one until their first value.
            self._server.set_attribute_value_callback(self.nodes[name].nodeid, lambda node, attribute: data)
            return
        await self._server.write_attribute_value(self.nodes[name].nodeid, data)


@asynccontextmanager
async def plc(port: int, **settings: Any) -> AsyncIterator[Plc]:
    server = Plc(port, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def bench(folder: Path, port: int) -> LoadedSite:
    signals: dict[str, dict[str, object]] = {
        name: {"namespace": URI, "node": identifier} for name, (identifier, _, _) in NODES.items()
    }
    signals["level"] |= {"unit": "cm", "range": [0, 500]}
    signals["demand"] |= {"unit": "%", "scale": 0.1, "writable": True}
    signals["setpoint"] |= {"unit": "L/s", "writable": True}
    signals["running"] |= {"type": "bool"}
    signals["run"] |= {"type": "bool", "writable": True}
    signals["name"] |= {"type": "text"}
    profile = {"protocol": "opcua", "signals": signals}
    link = {"type": "opcua", "url": f"opc.tcp://127.0.0.1:{port}/", "timeout": "1 s", "retry": "0.3 s"}
    return site_of(folder, {"plc": link}, {"PLC": {"link": "plc", "poll": "50 ms", "profile": profile}})


async def test_a_value_comes_in_the_canonical_unit_and_is_bad_alone_when_it_is_none(tmp_path: Path) -> None:
    port = free_port()
    async with plc(port) as server, driving(bench(tmp_path, port)) as drivers:
        readings = drivers.readings
        await until(lambda: readings.is_good("PLC.level", 2.5) and readings.is_good("PLC.running", True))
        assert readings.is_good("PLC.name", "清水池")

        await server.show("level", 260.0, stamped=True)
        await until(lambda: readings.is_good("PLC.level", 2.6))
        assert readings.of["PLC.level"][-1].source_time == STAMP.timestamp()

        await server.show("level", 270.0, StatusCodes.UncertainLastUsableValue)
        await until(lambda: 2.7 in readings.values("PLC.level"))
        uncertain = readings.of["PLC.level"][-1]
        assert (uncertain.quality, uncertain.reason) == (Quality.UNCERTAIN, Reason.SERVER_UNCERTAIN)

        for value, status, reason in (
            (280.0, StatusCodes.BadSensorFailure, Reason.DEVICE_FAULT),
            (float("nan"), StatusCodes.Good, Reason.NOT_A_NUMBER),
            (float("inf"), StatusCodes.Good, Reason.NOT_A_NUMBER),
            (501.0, StatusCodes.Good, Reason.OUT_OF_RANGE),
            (None, StatusCodes.Good, Reason.NOT_A_NUMBER),
        ):
            await server.show("level", value, status)
            await until(lambda: readings.is_bad("PLC.level", reason))  # noqa: B023 - awaited in this round
            await readings.more("PLC.level", 1)
            assert readings.is_good("PLC.running", True)
        await server.nodes["demand"].delete()
        await until(lambda: readings.is_bad("PLC.demand", Reason.DEVICE_FAULT))
        await readings.more("PLC.running")
        assert readings.is_good("PLC.running", True)

        for name in ("running", "name"):
            await server.show(name, None)
            await until(lambda: readings.is_bad(f"PLC.{name}", Reason.NOT_A_NUMBER))  # noqa: B023


async def _written(drivers: Drivers, name: str, value: Value) -> WriteResult:
    return await drivers.write(f"PLC.{name}", value)


async def test_a_write_is_converted_to_the_nodes_type_and_read_back(tmp_path: Path) -> None:
    port = free_port()
    async with plc(port) as server, driving(bench(tmp_path, port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.demand", 0))
        confirmed = await _written(drivers, "demand", 45.5)
        assert confirmed.ok
        assert confirmed.readback == pytest.approx(45.5)
        assert await server.nodes["demand"].read_value() == 455
        assert (await _written(drivers, "setpoint", 36.1)).ok
        assert await server.nodes["setpoint"].read_value() == pytest.approx(36.1 / 3.6)
        assert await _written(drivers, "run", True) == (True, True, "")
        assert drivers.readings.values("PLC.run")[-1] is True

        # Finer than the node's steps: the nearest one is what was meant.
        assert (await _written(drivers, "demand", 45.54)).ok
        for value in (1e9, float("nan"), float("inf"), "x", None):
            result = await _written(drivers, "demand", value)
            assert not result.ok
            assert result.detail
        assert await server.nodes["demand"].read_value() == 455
        await server.nodes["setpoint"].set_read_only()
        refused = await _written(drivers, "setpoint", 1.0)
        assert not refused.ok
        assert refused.detail


async def test_a_restarted_server_with_shifted_namespaces_gives_the_right_values_again(tmp_path: Path) -> None:
    port = free_port()
    async with driving(bench(tmp_path, port)) as drivers:
        await until(drivers.readings.all_bad)
        assert not (await _written(drivers, "run", True)).ok
        async with plc(port, foreign=1):
            await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
        await until(drivers.readings.all_bad)
        assert not drivers.links["plc"].status().connected
        written = drivers.write("PLC.run", True)
        assert written.done()
        assert not written.result().ok
        async with plc(port, foreign=3):
            await until(lambda: drivers.readings.is_good("PLC.level", 2.5))
            status = drivers.links["plc"].status()
            assert status.connected
            assert status.devices["PLC"].online
        assert set(drivers.readings.values("PLC.level")) == {2.5}


async def test_a_missing_namespace_is_named(tmp_path: Path) -> None:
    port = free_port()
    async with plc(port, uri="urn:test:elsewhere"), driving(bench(tmp_path, port)) as drivers:
        await until(lambda: URI in drivers.links["plc"].status().last_error)
        assert drivers.readings.all_bad()
        assert not drivers.links["plc"].status().connected
