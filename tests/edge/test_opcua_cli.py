"""``penstock opcua``: look through a server, and the way from an unknown server to a trusted one."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from asyncua import ua

from config.load import load_profile
from config.profile import OpcUaProfile
from edge.cli import exit_codes
from tests.drivers.opcua_plc import URI, Plc, plc, plc_site
from tests.drivers.opcua_vault import Vault, vault
from tests.drivers.sites import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30.0
ESC = "surrogateescape"
"""How asyncua reads text that is no UTF-8."""
GOOD_COMMAND = "penstock opcua trust add "


async def penstock(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, while the server of the test goes on answering."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def named(identifier: str, index: int) -> ua.NodeId:
    return ua.NodeId(ua.String(identifier), ua.Int16(index))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Plc]:
    async with plc(free_port()) as one:
        index = one.nodes["level"].nodeid.NamespaceIndex
        station = await one.server.nodes.objects.add_object(named("Station", index), f"{index}:Station 1")
        flow = await station.add_variable(named("Station.Flow", index), f"{index}:FlowRate", 12.5)
        about = await flow.add_property(0, "EngineeringUnits", ua.EUInformation(DisplayName=ua.LocalizedText("L/s")))
        assert about is not None
        await flow.add_property(0, "EURange", ua.Range(Low=0.0, High=50.0))
        await station.add_variable(named("Station.Trend", index), f"{index}:Trend", [1.0, 2.0])
        await station.add_variable(named("Station.Broken", index), f"{index}:Broken", [1.0, float("nan")])
        await station.add_variable(named("Station.Open", index), f"{index}:Open", float("nan"))
        await station.add_variable(
            named("Station.Gbk", index), f"{index}:Gbk\x1b", "清".encode("gbk").decode("utf-8", ESC)
        )
        await station.add_variable(named("液位", index), f"{index}:液位", 3.0)
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured() -> AsyncIterator[Vault]:
    async with vault(free_port()) as one:
        yield one


def url(server: Plc) -> str:
    return f"opc.tcp://127.0.0.1:{server.port}/"


async def test_browse_shows_every_node_in_the_form_a_profile_needs(server: Plc) -> None:
    code, out, err = await penstock("opcua", "browse", url(server), "--values")
    assert (code, err) == (exit_codes.DONE, "")
    lines = {line.strip().split(":")[0]: line.strip() for line in out.splitlines()}
    level = lines["level"]
    assert yaml.safe_load(level)["level"] == {"namespace": URI, "node": "s=LT-1.Level"}
    assert level.endswith("# Double, read and write, 250.0")
    assert lines["FlowRate"].endswith("# Double, L/s, read, 12.5")
    assert lines["Trend"].endswith("# array of Double, read, [1.0, 2.0]")
    assert f"Station 1/  # nsu={URI};s=Station" in out
    assert "Server" not in out
    # A server's words may hold anything, and a terminal is to see none of it.
    assert r"Gbk\x1b: " in out
    assert "\x1b" not in out


async def test_browse_begins_at_a_node_and_goes_as_deep_as_it_is_told(server: Plc) -> None:
    code, out, _ = await penstock("opcua", "browse", url(server), "--node", f"nsu={URI};s=Station", "--json")
    assert code == exit_codes.DONE
    tree = json.loads(out, parse_constant=pytest.fail)["tree"]
    assert [child["name"] for child in tree["children"]] == ["FlowRate", "Trend", "Broken", "Open", "Gbk\x1b", "液位"]
    assert tree["children"][0]["range"] == [0.0, 50.0]
    # What JSON has no word for.
    assert tree["children"][3]["value"] is None
    code, out, _ = await penstock("opcua", "browse", url(server), "--depth", 1)
    assert "Station 1/" in out
    assert "FlowRate" not in out
    code, _, err = await penstock("opcua", "browse", url(server), "--node", "nsu=urn:nowhere;s=x")
    assert code == exit_codes.UNREACHABLE
    assert "no node of this server" in err


async def test_the_profile_that_browse_prints_is_one(server: Plc, tmp_path: Path) -> None:
    code, out, _ = await penstock("opcua", "browse", url(server), "--profile")
    assert code == exit_codes.DONE
    path = tmp_path / "plc.yaml"
    path.write_text(out, encoding="utf-8")
    profile = load_profile(path)
    assert isinstance(profile, OpcUaProfile)
    flow = profile.signals["flow_rate"]
    assert (flow.node, flow.unit, flow.range) == ("s=Station.Flow", "L/s", (0.0, 50.0))
    assert profile.signals["running"].type == "bool"
    assert profile.signals["signal"].node == "s=液位"
    assert "trend" not in profile.signals
    assert not any(signal.writable for signal in profile.signals.values())
    assert profile.verified == "unverified"


async def test_a_server_that_is_not_there_is_said_to_be(server: Plc) -> None:
    code, _, err = await penstock("opcua", "browse", f"opc.tcp://127.0.0.1:{free_port()}/")
    assert code == exit_codes.UNREACHABLE
    assert "Connect call failed" in err


async def test_the_way_from_an_unknown_server_to_its_values(secured: Vault, tmp_path: Path) -> None:
    secured.clients = []
    code, _, err = await penstock("opcua", "browse", url(secured))
    assert code == exit_codes.UNREACHABLE
    assert "speaks with nobody unprotected; it offers: Basic256Sha256 with sign," in err

    site = plc_site(tmp_path, secured.port, security={"policy": "Aes256Sha256RsaPss"}, timeout="4 s").path
    browse = ("opcua", "browse", site, "--state", tmp_path)
    code, _, err = await penstock(*browse)
    assert code == exit_codes.UNREACHABLE
    command = shlex.split(err[err.index(GOOD_COMMAND) :])
    code, out, _ = await penstock("opcua", "trust", "--state", tmp_path, "--json")
    listed: dict[str, Any] = json.loads(out)
    assert listed["trusted"] == []
    assert [entry["thumbprint"] for entry in listed["rejected"]] == [command[4]]

    code, out, _ = await penstock(*command[1:])
    assert code == exit_codes.DONE
    assert out.startswith(f"trusted: {command[4]}  vault  valid until ")
    trusted = out.removeprefix("trusted: ")

    # Trust has two sides: now the server must know this box.
    code, _, err = await penstock(*browse)
    assert code == exit_codes.UNREACHABLE
    assert "'penstock opcua trust show own'" in err
    code, out, _ = await penstock("opcua", "trust", "show", "own", "--state", tmp_path, "--json")
    own = json.loads(out)
    assert own["application_uri"].endswith(":penstock:bench")
    secured.clients.append(Path(own["file"]).read_bytes())
    code, out, err = await penstock(*browse, "--values")
    assert (code, err) == (exit_codes.DONE, "")
    assert "level: {namespace: 'urn:test:plant', node: s=LT-1.Level}" in out

    code, out, _ = await penstock("opcua", "trust", "remove", command[4][:8], "--state", tmp_path)
    assert (code, out) == (exit_codes.DONE, f"trusted no more: {trusted}")


async def test_what_is_wrong_with_the_files_of_the_trust_list_is_said(tmp_path: Path) -> None:
    trusted = tmp_path / "pki" / "trusted"
    trusted.mkdir(parents=True)
    (trusted / "plant.crl").write_bytes(b"damaged")
    code, out, err = await penstock("opcua", "trust", "--state", tmp_path)
    assert (code, err) == (exit_codes.DONE, "")
    assert f"problem: {trusted / 'plant.crl'}: is no revocation list that can be read" in out
    for command in (("trust",), ("trust", "show", "own")):
        code, _, err = await penstock("opcua", *command, "--state", tmp_path / ("x" * 300))
        assert code in (exit_codes.WRONG, exit_codes.UNREACHABLE)
        assert err.endswith(": File name too long\n")
        assert err.count("\n") == 1


async def test_what_cannot_be_trusted_is_refused_in_plain_words(tmp_path: Path) -> None:
    code, out, _ = await penstock("opcua", "trust", "add", "00" * 20, "--state", tmp_path, "--json")
    assert code == exit_codes.WRONG
    assert json.loads(out)["code"] == "trust"
    code, _, err = await penstock("opcua", "trust", "show", "own", "--state", tmp_path)
    assert code == exit_codes.UNREACHABLE
    assert "give --site SITE to make it now" in err
