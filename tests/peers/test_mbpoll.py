"""mbpoll, the master for the command line, against our simulator; and against libmodbus, to know what it prints."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.everything import COILS, DISCRETE, FLAGS, INPUT, SETPOINT, VALUES, WIDE, address_of, holding
from tests.peers.libmodbus import LIBRARY, tcp_server
from tests.peers.mbpoll import mbpoll, needs_mbpoll, over_rtu, over_tcp
from tests.peers.serial_bus import serial_bus
from tests.peers.simulated import RTU, TCP, bad_frames, path_of, port_of, simulator

pytestmark = needs_mbpoll
BAUDRATE = 19200


@dataclass
class Bench:
    """Where mbpoll finds unit 1 of ``everything``, and where a unit that is not there."""

    where: list[str]
    nobody: list[str]
    nobody_says: str


@pytest.fixture(params=["simulator tcp", "simulator rtu", "libmodbus"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    match request.param:
        case "libmodbus":
            if LIBRARY is None:
                pytest.skip("libmodbus5 is not installed")
            with tcp_server() as (server, port):
                server.fill(holding(), INPUT, COILS, DISCRETE)
                # It is whatever unit is asked.
                yield Bench(over_tcp(port), [], "")
        case "simulator tcp":
            async with simulator(tmp_path, TCP) as sim:
                where, nobody = (over_tcp(port_of(sim), unit) for unit in (1, 9))
                yield Bench(where, nobody, "Target device failed to respond")
        case _:
            async with simulator(tmp_path, RTU) as sim, serial_bus(BAUDRATE) as bus:
                master = bus.station("mbpoll")
                bus.joined("simulator", path_of(sim))
                where = over_rtu(master.path, BAUDRATE)
                nobody = over_rtu(master.path, BAUDRATE, 9, timeout_s=0.1)
                yield Bench(where, nobody, "Connection timed out")
                assert bus.collisions == 0
                assert bad_frames(sim) == 0


async def test_every_table_is_read(bench: Bench) -> None:
    holding_registers = await mbpoll(bench.where, "4:hex", 0, len(holding()))
    assert [int(value, 16) for value in holding_registers.values.values()] == holding()
    inputs = await mbpoll(bench.where, "3", 0, 1)
    assert inputs.values == {0: str(VALUES["count"])}
    assert (await mbpoll(bench.where, "0", 0, 2)).values == {0: "1", 1: "0"}
    assert (await mbpoll(bench.where, "1", 0, 2)).values == {0: "0", 1: "1"}


@pytest.mark.parametrize(
    ("name", "table", "options"),
    [
        ("f32", "4:float", ["-B"]),
        ("f32_cdab", "4:float", []),
        ("i32", "4:int", ["-B"]),
        ("i32_cdab", "4:int", []),
        ("temperature", "3:float", ["-B"]),
    ],
)
async def test_numbers_of_two_registers_are_what_mbpoll_finds_in_them(
    bench: Bench, name: str, table: str, options: list[str]
) -> None:
    address = 1 if name == "temperature" else address_of(name)
    assert (await mbpoll([*options, *bench.where], table, address)).values == {address: str(VALUES[name])}


async def test_writes_are_carried_out(bench: Bench) -> None:
    assert (await mbpoll(bench.where, "4", SETPOINT, write=("4711",))).ok
    assert (await mbpoll(["-B", *bench.where], "4:float", WIDE, write=("-2.5",))).ok
    assert (await mbpoll(bench.where, "4:hex", FLAGS, 4)).values == {
        46: "0x0020",
        47: "0x1267",
        48: "0xC020",
        49: "0x0000",
    }
    assert (await mbpoll(bench.where, "0", 0, write=("0", "1"))).ok
    assert (await mbpoll(bench.where, "0", 0, 2)).values == {0: "0", 1: "1"}


async def test_a_refusal_is_shown_with_its_meaning(bench: Bench) -> None:
    refused = await mbpoll(bench.where, "4", 190, 20)
    assert not refused.ok
    assert "Illegal data address" in refused.complaint


@pytest.mark.parametrize("bench", ["simulator tcp", "simulator rtu"], indirect=True)
async def test_a_unit_that_is_not_there_is_told_from_one_that_is(bench: Bench) -> None:
    silent = await mbpoll(bench.nobody, "4", 0)
    assert not silent.ok
    assert bench.nobody_says in silent.complaint
    assert (await mbpoll(bench.where, "4", 0)).ok
