"""pymodbus' own client against our simulator: TCP, TLS, serial frames on TCP, and a serial port."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.exceptions import ModbusIOException

from hil_sim.modbus_tcp import ServerTls
from hil_sim.simulator import Simulator
from tests.hil_sim.certificates import Authority
from tests.peers.everything import ALARM_BIT, FLAG_BIT, FLAGS, HOLDING_END, SETPOINT, VALUES, WIDE, address_of, holding
from tests.peers.pymodbus_peers import (
    DATATYPE,
    ENCODINGS,
    TIMEOUT_S,
    Client,
    connected,
    serial_client,
    tcp_client,
    tls_client,
)
from tests.peers.simulated import RTU, TCP, bad_frames, path_of, port_of, signals_of, simulator

BAUDRATE = 115200


@dataclass
class Bench:
    """A client that is connected to a simulator."""

    client: Client
    simulator: Simulator
    framing: str


@pytest.fixture(params=["tcp", "tls", "rtu-over-tcp", "rtu"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    match request.param:
        case "tcp":
            async with simulator(tmp_path, TCP, 2) as sim, connected(tcp_client(port_of(sim))) as client:
                yield Bench(client, sim, "tcp")
        case "tls":
            authority = Authority(tmp_path)
            identity = authority.issue("localhost", "127.0.0.1")
            files = ServerTls(identity.cert, identity.key)
            context = ssl.create_default_context(cafile=str(authority.file))
            link = TCP | {"tls": {"ca_file": str(authority.file)}}
            async with (
                simulator(tmp_path, link, 2, files) as sim,
                connected(tls_client(port_of(sim), context)) as client,
            ):
                yield Bench(client, sim, "tcp")
        case "rtu-over-tcp":
            async with (
                simulator(tmp_path, TCP | {"framing": "rtu"}, 2) as sim,
                connected(tcp_client(port_of(sim), FramerType.RTU)) as client,
            ):
                yield Bench(client, sim, "rtu")
        case _:
            async with simulator(tmp_path, RTU, 2) as sim, connected(serial_client(path_of(sim), BAUDRATE)) as client:
                yield Bench(client, sim, "rtu")


async def test_every_table_and_every_encoding_reads_as_it_should(bench: Bench) -> None:
    client = bench.client
    for unit in (1, 2):
        registers = (await client.read_holding_registers(0, count=HOLDING_END, device_id=unit)).registers
        assert registers == holding()
        for name in VALUES:
            if name[:3] in ENCODINGS and not name.endswith(("badc", "dcba")):
                datatype = ENCODINGS[name[:3]][1] if name != "text" else DATATYPE.STRING
                size = datatype.value[1] or 4
                words = registers[address_of(name) : address_of(name) + size]
                low_first = name.endswith("cdab")
                found = client.convert_from_registers(words, datatype, word_order="little" if low_first else "big")
                assert found == VALUES[name]
        inputs = (await client.read_input_registers(0, count=3, device_id=unit)).registers
        assert inputs[0] == VALUES["count"]
        assert client.convert_from_registers(inputs[1:], DATATYPE.FLOAT32) == VALUES["temperature"]
        assert (await client.read_coils(0, count=2, device_id=unit)).bits[:2] == [True, False]
        assert (await client.read_discrete_inputs(0, count=2, device_id=unit)).bits[:2] == [False, True]
        assert (await client.read_discrete_inputs(9, count=1, device_id=unit)).bits[:1] == [True]
    assert bad_frames(bench.simulator) == 0


async def test_every_function_that_writes_is_carried_out(bench: Bench) -> None:
    client = bench.client
    assert not (await client.write_coil(1, True, device_id=2)).isError()
    assert await signals_of(bench.simulator, "run", "open", device="D-2") == [True, True]
    assert not (await client.write_coils(0, [False, True], device_id=2)).isError()
    assert await signals_of(bench.simulator, "run", "open", device="D-2") == [False, True]
    assert not (await client.write_register(SETPOINT, 65535, device_id=2)).isError()
    wide = client.convert_to_registers(-2.5, DATATYPE.FLOAT32)
    assert not (await client.write_registers(WIDE, wide, device_id=2)).isError()
    assert await signals_of(bench.simulator, "setpoint", "wide", device="D-2") == [65535, -2.5]
    masked = await client.mask_write_register(
        address=FLAGS, and_mask=0xFFFF ^ 1 << FLAG_BIT, or_mask=1 << ALARM_BIT, device_id=2
    )
    assert not masked.isError()
    # The formula of function 22 takes from the or-mask only what the and-mask has cleared.
    assert await signals_of(bench.simulator, "flag", "alarm", device="D-2") == [False, False]
    await client.mask_write_register(
        address=FLAGS, and_mask=0xFFFF ^ 1 << ALARM_BIT, or_mask=1 << ALARM_BIT, device_id=2
    )
    assert await signals_of(bench.simulator, "flag", "alarm", device="D-2") == [False, True]
    both = await client.readwrite_registers(
        read_address=FLAGS, read_count=4, write_address=SETPOINT, values=[1234], device_id=2
    )
    assert both.registers == [1 << ALARM_BIT, 1234, *wide]
    # The other device has kept everything.
    assert (await client.read_holding_registers(0, count=HOLDING_END, device_id=1)).registers == holding()


async def test_refusals_are_understood(bench: Bench) -> None:
    client = bench.client
    assert (await client.read_holding_registers(HOLDING_END, count=1)).exception_code == 2
    assert (await client.read_holding_registers(HOLDING_END - 1, count=2)).exception_code == 2
    assert (await client.write_register(0, 1)).exception_code == 2
    assert (await client.read_exception_status()).exception_code == 1
    assert (await client.report_device_id()).exception_code == 1


async def test_a_unit_that_is_not_there_is_answered_for_by_a_gateway_only(bench: Bench) -> None:
    client = bench.client
    if bench.framing == "tcp":
        assert (await client.read_coils(0, count=1, device_id=9)).exception_code == 0x0B
    else:
        client.ctx.comm_params.timeout_connect = 0.1
        with pytest.raises(ModbusIOException):
            await client.read_coils(0, count=1, device_id=9)
        client.ctx.comm_params.timeout_connect = TIMEOUT_S
    assert (await client.read_coils(0, count=1, device_id=1)).bits[:1] == [True]


async def test_a_diagnostic_query_comes_back(bench: Bench) -> None:
    """Function 08, sub-function 0."""
    async with asyncio.timeout(2):
        reply = await bench.client.diag_query_data(b"\x12\x34", device_id=1)
    assert not reply.isError()
    assert reply.message == b"\x12\x34"  # type: ignore[attr-defined]
