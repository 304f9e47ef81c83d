"""The OPC UA server, read by asyncua's client."""

import asyncio
from pathlib import Path

import pytest
import yaml
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from config.load import load_site
from hil_sim.opcua_server import FOREIGN_OFFSET, OpcUaOptions, OpcUaServer
from hil_sim.simulator import Simulator
from tests.hil_sim.sites import DEADLINE_S, simulated

URI = "urn:test:plant"


def plc_site(folder: Path, **link: object) -> Path:
    node = {"namespace": URI, "type": "number"}
    signals = {
        "level": {**node, "node": "s=LT-1.Level", "unit": "cm"},
        "running": {**node, "node": "s=P-1.Running", "type": "bool"},
        "name": {**node, "node": "s=Name", "type": "text"},
        "demand": {**node, "node": "i=2001", "unit": "%", "scale": 0.1, "writable": True},
    }
    text = {
        "site": {"id": "plc"},
        "links": {"plc": {"type": "opcua", "url": "opc.tcp://192.0.2.1:4840", **link}},
        "devices": {"PLC-1": {"link": "plc", "profile": {"protocol": "opcua", "signals": signals}}},
    }
    path = folder / "plc.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return path


def server_of(simulator: Simulator) -> OpcUaServer:
    server = simulator.servers["plc"]
    assert isinstance(server, OpcUaServer)
    return server


async def test_an_opcua_link_from_birth_to_death(tmp_path: Path) -> None:
    # One test, because building an address space takes most of a second.
    async with simulated(load_site(plc_site(tmp_path))) as simulator:
        url = server_of(simulator).endpoint["url"]
        assert isinstance(url, str)
        async with Client(url, timeout=2) as client:
            index = await client.get_namespace_index(URI)
            level = client.get_node(f"ns={index};s=LT-1.Level")
            running = client.get_node(f"ns={index};s=P-1.Running")
            demand = client.get_node(f"ns={index};i=2001")
            assert await level.read_data_type_as_variant_type() == ua.VariantType.Double
            assert await running.read_data_type_as_variant_type() == ua.VariantType.Boolean

            await simulator.request({"op": "set", "name": "PLC-1.level", "value": 2.5})
            await simulator.request({"op": "set", "name": "PLC-1.running", "value": True})
            await simulator.request({"op": "set", "name": "PLC-1.name", "value": "清水池"})
            await _reads(level, 250.0)
            await _reads(running, True)
            await _reads(client.get_node(f"ns={index};s=Name"), "清水池")
            stamped = await level.read_data_value()
            assert stamped.SourceTimestamp is not None

            with pytest.raises(UaStatusCodeError):
                await level.write_value(ua.Variant(1.0, ua.VariantType.Double))
            await demand.write_value(ua.Variant(455.0, ua.VariantType.Double))
            point = simulator.station.points["PLC-1.demand"]
            assert point.get() == pytest.approx(45.5)
            await _reads(demand, 455.0)

            await simulator.request({"op": "silence", "device": "PLC-1", "on": True})
            await _status(level, StatusCodes.BadNoCommunication)
            await simulator.request({"op": "silence", "device": "PLC-1", "on": False})
            await _reads(level, 250.0)

            await simulator.request({"op": "refuse", "link": "plc", "on": True})
            with pytest.raises((ConnectionError, asyncio.TimeoutError, UaError)):
                await level.read_value()
        with pytest.raises(OSError):
            await Client(url, timeout=1).connect()
        await simulator.request({"op": "refuse", "link": "plc", "on": False})
        async with Client(url, timeout=2) as client:
            assert await client.get_node(f"ns={index};s=LT-1.Level").read_value() == 250.0


async def test_a_restart_shifts_the_namespaces_and_churn_changes_every_number(tmp_path: Path) -> None:
    async with simulated(load_site(plc_site(tmp_path))) as simulator:
        server = server_of(simulator)
        url = str(server.endpoint["url"])
        await simulator.request({"op": "set", "name": "PLC-1.level", "value": 2.5})
        async with Client(url, timeout=2) as client:
            before = await client.get_namespace_index(URI)
        await simulator.request({"op": "restart", "link": "plc", "foreign": 2})
        assert server.endpoint["url"] == url
        async with Client(url, timeout=2) as client:
            index = await client.get_namespace_index(URI)
            assert index == before + 2
            await _reads(client.get_node(f"ns={index};s=LT-1.Level"), 250.0)
            # What a client with the old index reads, if anything, is another value.
            await _reads(client.get_node(f"ns={before};s=LT-1.Level"), 250.0 + FOREIGN_OFFSET)

            await simulator.request({"op": "churn", "link": "plc", "period_s": 0.2})
            level = client.get_node(f"ns={index};s=LT-1.Level")
            seen = {await level.read_value()}
            async with asyncio.timeout(DEADLINE_S):
                while len(seen) < 4:
                    seen.add(await level.read_value())
            counted = await simulator.request({"op": "churn", "link": "plc"})
            assert counted["produced"] == server.produced >= 4
            await simulator.request({"op": "churn", "link": "plc", "period_s": 0})
            await _reads(level, 250.0)


async def test_a_secured_link_is_served_to_its_user_with_a_trusted_certificate_and_to_nobody_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    security = {"security": {"policy": "Basic256Sha256"}, "username": "operator"}
    site = plc_site(tmp_path, **security, password_file=str(tmp_path / "password"))
    pki, key, certificate = tmp_path / "pki", tmp_path / "client.pem", tmp_path / "client.der"
    async with simulated(load_site(site), opcua=OpcUaOptions(pki=pki)) as simulator:
        url = str(server_of(simulator).endpoint["url"])

        async def read(password: str) -> object:
            client = Client(url, timeout=2)
            client.set_user("operator")
            client.set_password(password)
            await client.setup_self_signed_certificate(key, certificate)
            await client.set_security_string(f"Basic256Sha256,SignAndEncrypt,{certificate},{key}")
            async with client:
                index = await client.get_namespace_index(URI)
                return await client.get_node(f"ns={index};s=LT-1.Level").read_value()

        with pytest.raises(UaStatusCodeError, match="BadCertificateUntrusted"):
            await read("secret")
        (pki / "trusted").mkdir()
        (pki / "trusted" / "client.der").write_bytes(certificate.read_bytes())
        assert await read("secret") == 0.0
        with pytest.raises(UaStatusCodeError, match="BadUserAccessDenied"):
            await read("other")
        with pytest.raises(UaError, match="No matching endpoints"):
            await Client(url, timeout=2).connect()


async def _reads(node: Node, expected: object) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            data = await node.read_data_value(raise_on_bad_status=False)
            if data.Value is not None and data.Value.Value == expected:
                return
            await asyncio.sleep(0.01)


async def _status(node: Node, expected: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            data = await node.read_data_value(raise_on_bad_status=False)
            if data.StatusCode is not None and data.StatusCode.value == expected:
                return
            await asyncio.sleep(0.01)
