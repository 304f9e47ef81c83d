"""Writes to an OPC UA server: converted, checked, sent once, read back."""

from pathlib import Path

import pytest

from config.sample import Value
from drivers.port import WriteResult
from tests.drivers.opcua_plc import Plc, plc_site
from tests.drivers.sites import Drivers, driving
from tests.hil_sim.sites import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _written(drivers: Drivers, name: str, value: Value) -> WriteResult:
    return await drivers.write(f"PLC.{name}", value)


async def test_a_write_is_converted_to_the_nodes_type_and_read_back(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.demand", 0))
        confirmed = await _written(drivers, "demand", 45.5)
        assert confirmed.ok
        assert confirmed.readback == pytest.approx(45.5)
        assert await server.value("demand") == 455
        assert (await _written(drivers, "setpoint", 36.1)).ok
        assert await server.value("setpoint") == pytest.approx(36.1 / 3.6)
        assert await _written(drivers, "run", True) == (True, True, "")
        assert drivers.readings.values("PLC.run")[-1] is True

        # Finer than the node's steps: the nearest one is what was meant.
        assert (await _written(drivers, "demand", 45.54)).ok
        for value, said in (
            (1e9, "a Int16 takes -32768 to 32767"),
            (float("nan"), "not a number"),
            (float("inf"), "not a number"),
            ("x", "not a number"),
            (None, "not a number"),
        ):
            result = await _written(drivers, "demand", value)
            assert not result.ok
            assert said in result.detail
        assert await server.value("demand") == 455


async def test_a_write_that_the_server_does_not_allow_is_refused_in_plain_words_until_it_does(
    tmp_path: Path, server: Plc
) -> None:
    async with driving(plc_site(tmp_path, server.port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.setpoint", 0))
        beyond = await _written(drivers, "setpoint", 361.0)
        assert not beyond.ok
        assert "outside the profile's range of 0 to 100" in beyond.detail

        # Known as writable at connect: the server's own answer is what is told.
        await server.nodes["setpoint"].set_read_only()
        refused = await _written(drivers, "setpoint", 1.0)
        assert not refused.ok
        assert "BadUserAccessDenied (0x801F0000)" in refused.detail
        assert drivers.details["writes"]["PLC.setpoint"] == "BadUserAccessDenied (0x801F0000)"


async def test_a_node_that_is_read_only_at_connect_is_looked_at_again_before_a_write_is_refused(
    tmp_path: Path, server: Plc
) -> None:
    await server.nodes["setpoint"].set_read_only()
    async with driving(plc_site(tmp_path, server.port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.setpoint", 0))
        refused = await _written(drivers, "setpoint", 1.0)
        assert not refused.ok
        assert "does not let this user write i=2002" in refused.detail
        assert await server.value("setpoint") == 0

        await server.nodes["setpoint"].set_writable()
        assert (await _written(drivers, "setpoint", 1.0)).ok
        assert drivers.details["writes"]["PLC.setpoint"] == "Good (0x00000000)"


async def test_a_write_that_the_plc_does_not_take_over_is_not_confirmed(tmp_path: Path, server: Plc) -> None:
    async with driving(plc_site(tmp_path, server.port)) as drivers:
        await until(lambda: drivers.readings.is_good("PLC.run", False))
        server.ignore_writes("run")
        result = await _written(drivers, "run", True)
        assert not result.ok
        assert result.readback is False
        assert "wrote True, read back False" in result.detail
