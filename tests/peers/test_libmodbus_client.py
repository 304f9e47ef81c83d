"""libmodbus' client against our simulator, on TCP and on its terminal."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from hil_sim.simulator import Simulator
from tests.peers.everything import (
    ALARM_BIT,
    FLAG_BIT,
    FLAGS,
    HOLDING_END,
    INPUT,
    ORDERED_FLOATS,
    SETPOINT,
    VALUES,
    WIDE,
    address_of,
    holding,
)
from tests.peers.libmodbus import (
    Client,
    LibmodbusError,
    float_of,
    gets_floats_right,
    needs_libmodbus,
    rtu_client,
    tcp_client,
)
from tests.peers.simulated import RTU, TCP, bad_frames, path_of, port_of, signals_of, simulator

pytestmark = needs_libmodbus
DEADLINE_S = 10.0
T = TypeVar("T")


@dataclass
class Bench:
    """A client that is connected to a simulator."""

    client: Client
    simulator: Simulator
    framing: str

    async def do(self, work: Callable[[Client], T]) -> T:
        """Calls the client in a thread: its calls block."""
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.to_thread(work, self.client)

    async def refused_with(self, work: Callable[[Client], object]) -> int:
        """The exception code that something is answered with."""
        with pytest.raises(LibmodbusError) as caught:
            await self.do(work)
        return caught.value.code


@pytest.fixture(params=["tcp", "rtu"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "tcp":
        async with simulator(tmp_path, TCP, 2) as sim:
            with tcp_client(port_of(sim)) as client:
                client.unit(2)
                yield Bench(client, sim, "tcp")
    else:
        async with simulator(tmp_path, RTU, 2) as sim:
            with rtu_client(path_of(sim), 115200) as client:
                client.unit(2)
                yield Bench(client, sim, "rtu")


async def test_every_table_reads_as_it_should(bench: Bench) -> None:
    assert await bench.do(lambda client: client.read("registers", 0, HOLDING_END)) == holding()
    assert await bench.do(lambda client: client.read("input_registers", 0, 3)) == INPUT
    assert await bench.do(lambda client: client.read("bits", 0, 2)) == [1, 0]
    assert await bench.do(lambda client: client.read("input_bits", 0, 2)) == [0, 1]
    assert await bench.do(lambda client: client.read("input_bits", 9, 1)) == [1]
    assert bad_frames(bench.simulator) == 0


async def test_floats_of_every_order_are_what_libmodbus_finds_in_them(bench: Bench) -> None:
    if not gets_floats_right():
        pytest.skip("this build of libmodbus reads floats in another order than it says (its issues 611, 665)")
    registers = await bench.do(lambda client: client.read("registers", 0, HOLDING_END))
    for order, name in ORDERED_FLOATS.items():
        address = address_of(name)
        assert float_of(order, registers[address : address + 2]) == VALUES[name]


async def test_every_function_that_writes_is_carried_out(bench: Bench) -> None:
    await bench.do(lambda client: client.write_bit(1, True))
    assert await signals_of(bench.simulator, "run", "open", device="D-2") == [True, True]
    await bench.do(lambda client: client.write_bits(0, [0, 1]))
    assert await signals_of(bench.simulator, "run", "open", device="D-2") == [False, True]
    await bench.do(lambda client: client.write_register(SETPOINT, 65535))
    await bench.do(lambda client: client.write_registers(WIDE, [0xC020, 0x0000]))
    assert await signals_of(bench.simulator, "setpoint", "wide", device="D-2") == [65535, -2.5]
    await bench.do(lambda client: client.mask_write(FLAGS, 0xFFFF ^ 1 << ALARM_BIT, 1 << ALARM_BIT))
    await bench.do(lambda client: client.mask_write(FLAGS, 0xFFFF ^ 1 << FLAG_BIT, 0))
    assert await signals_of(bench.simulator, "flag", "alarm", device="D-2") == [False, True]
    both = await bench.do(lambda client: client.write_and_read(SETPOINT, [1234], FLAGS, 4))
    assert both == [1 << ALARM_BIT, 1234, 0xC020, 0x0000]
    # The other device has kept everything.
    await bench.do(lambda client: client.unit(1))
    assert await bench.do(lambda client: client.read("registers", 0, HOLDING_END)) == holding()


@pytest.mark.parametrize(
    ("request_pdu", "code"),
    [
        ("03 0032 0001", 2),
        ("03 0031 0002", 2),
        ("06 0000 0001", 2),  # a register that takes no writes
        ("03 0000 0000", 3),
        ("03 0000 007E", 3),
        ("01 0000 07D1", 3),
        ("05 0000 1234", 3),
        ("18 0000", 1),
    ],
)
async def test_what_is_wrong_is_refused_with_its_code(bench: Bench, request_pdu: str, code: int) -> None:
    await refuses(bench, bytes.fromhex(request_pdu), code)


@pytest.mark.parametrize("bench", ["tcp"], indirect=True)
@pytest.mark.parametrize("request_pdu", ["10 002F 0001 03 000100", "0F 0000 0002 02 0000"])
async def test_a_write_whose_lengths_disagree_is_refused(bench: Bench, request_pdu: str) -> None:
    await refuses(bench, bytes.fromhex(request_pdu), 3)


async def refuses(bench: Bench, pdu: bytes, code: int) -> None:
    """A request is refused, and has changed nothing."""
    assert await bench.do(lambda client: client.raw(2, pdu)) == bytes((pdu[0] | 0x80, code))
    assert await bench.do(lambda client: client.read("registers", 0, HOLDING_END)) == holding()


async def test_a_slave_id_is_not_reported(bench: Bench) -> None:
    """Function 17 is none of the simulator's: 01, illegal function."""
    assert await bench.refused_with(lambda client: client.report_slave_id()) == 1


async def test_a_unit_that_is_not_there_is_answered_for_by_a_gateway_only(bench: Bench) -> None:
    bench.client.unit(9)
    bench.client.timeout(0.1)
    code = await bench.refused_with(lambda client: client.read("bits", 0, 1))
    assert code == (0x0B if bench.framing == "tcp" else 0)
