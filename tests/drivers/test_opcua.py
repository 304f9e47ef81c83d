"""An OPC UA link against asyncua's own server: values, and a server that comes back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from config.sample import Quality, Reason
from tests.drivers.opcua_plc import NODES, STAMP, URI, Plc, plc_site
from tests.drivers.sites import driving
from tests.hil_sim.sites import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])
SHORT = {name: {"stale_after": "0.3 s"} for name in NODES}
"""Every item is read after 0.12 s of silence, so that the tests need not wait."""


@MODES
async def test_a_value_comes_in_the_canonical_unit_and_is_bad_alone_when_it_is_none(
    tmp_path: Path, server: Plc, mode: str
) -> None:
    async with driving(plc_site(tmp_path, server.port, mode, SHORT)) as drivers:
        readings = drivers.readings
        await until(lambda: readings.is_good("PLC.level", 2.5) and readings.is_good("PLC.running", True))
        assert readings.is_good("PLC.name", "清水池")

        await server.show("level", 260.0, stamped=True)
        await until(lambda: readings.is_good("PLC.level", 2.6))
        assert readings.of["PLC.level"][-1].source_time == STAMP.timestamp()

        await server.show("level", 270.0, StatusCodes.UncertainLastUsableValue)
        await until(lambda: 2.7 in readings.values("PLC.level"))
        uncertain = readings.of["PLC.level"][-1]
        assert (uncertain.quality, uncertain.reason) == (Quality.UNCERTAIN, Reason.STALE)
        assert uncertain.raw == b"40900000"

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
        for name in ("running", "name"):
            await server.show(name, None)
            await until(lambda: readings.is_bad(f"PLC.{name}", Reason.NOT_A_NUMBER))  # noqa: B023


@MODES
@pytest.mark.parametrize("most", [1, 3])
async def test_a_server_that_reads_few_nodes_at_a_time_is_asked_for_no_more(
    tmp_path: Path, server: Plc, mode: str, most: int
) -> None:
    server.most_nodes_per_read = most
    async with driving(plc_site(tmp_path, server.port, mode, SHORT)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.level", 2.5) and drivers.readings.is_good("PLC.run", False))
        assert (await drivers.write("PLC.run", True)).ok
        await until(lambda: "server_state" in drivers.details)
        assert drivers.links["plc"].status().connects == 1


async def test_a_missing_namespace_is_named(tmp_path: Path, server: Plc) -> None:
    elsewhere = {"other": {"namespace": "urn:test:elsewhere", "node": "i=1"}}
    async with driving(plc_site(tmp_path, server.port, extra=elsewhere)) as drivers:
        status = drivers.links["plc"].status()
        await until(lambda: "no namespace urn:test:elsewhere" in status.last_error)
        assert URI in status.last_error
        assert drivers.readings.all_bad()
        assert not status.connected


@MODES
async def test_a_node_that_the_server_does_not_have_is_bad_alone_and_is_found_when_it_appears(
    tmp_path: Path, server: Plc, mode: str
) -> None:
    identifier = f"s=Late in mode {mode}"
    late = {"late": {"namespace": URI, "node": identifier}}
    async with driving(plc_site(tmp_path, server.port, mode, extra=late)) as drivers:
        readings = drivers.readings
        await until(lambda: readings.is_good("PLC.level", 2.5) and readings.is_bad("PLC.late", Reason.DEVICE_REFUSED))
        assert readings.of["PLC.late"][-1].raw == b"80340000"
        if mode == "subscribe":
            await until(lambda: drivers.details["subscription"]["refused"] == {"BadNodeIdUnknown (0x80340000)": 1})
        node = await server.add(identifier, 7.0, ua.VariantType.Double)
        await until(lambda: readings.is_good("PLC.late", 7.0))
        await node.delete()


async def test_the_servers_clock_is_shown_and_not_trusted(tmp_path: Path, server: Plc) -> None:
    behind = datetime.now(UTC) - timedelta(hours=2)
    await server.set_clock(behind)
    async with driving(plc_site(tmp_path, server.port)) as drivers:
        await until(lambda: "clock_skew_s" in drivers.details)
        assert drivers.details["clock_skew_s"] == pytest.approx(-7200, abs=30)
        assert drivers.details["server_state"] == "running"
        await server.show("level", 260.0, stamped=True)
        await until(lambda: drivers.readings.is_good("PLC.level", 2.6))
