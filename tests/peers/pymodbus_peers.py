"""Servers and clients of pymodbus: its own transactions, its own data model, its own framers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusTlsClient
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.peers.everything import COILS, DISCRETE, INPUT, UNIT, VALUES, address_of, holding

Server = ModbusTcpServer | ModbusSerialServer
Client = AsyncModbusTcpClient | AsyncModbusSerialClient
DATATYPE: Final = AsyncModbusTcpClient.DATATYPE
TIMEOUT_S: Final = 3.0

ENCODINGS: Final = {
    "u16": (DataType.UINT16, DATATYPE.UINT16),
    "i16": (DataType.INT16, DATATYPE.INT16),
    "u32": (DataType.UINT32, DATATYPE.UINT32),
    "i32": (DataType.INT32, DATATYPE.INT32),
    "u64": (DataType.UINT64, DATATYPE.UINT64),
    "i64": (DataType.INT64, DATATYPE.INT64),
    "f32": (DataType.FLOAT32, DATATYPE.FLOAT32),
    "f64": (DataType.FLOAT64, DATATYPE.FLOAT64),
    "text": (DataType.STRING, DATATYPE.STRING),
}
"""What pymodbus' servers and clients call our encodings."""


def no_refusal(function: int, address: int) -> ExcCodes | None:
    """Takes every request."""
    return None


@dataclass
class Behaviour:
    """What a device was asked, as function and address; ``refuse`` may answer with an exception instead."""

    asked: list[tuple[int, int]] = field(default_factory=list)
    refuse: Callable[[int, int], ExcCodes | None] = no_refusal

    async def action(
        self, function: int, start: int, address: int, count: int, registers: list[int], values: object
    ) -> ExcCodes | None:
        """What pymodbus calls for each access."""
        self.asked.append((function, address))
        return self.refuse(function, address)

    def count(self, function: int, address: int) -> int:
        """How often something was asked."""
        return self.asked.count((function, address))


def device(behaviour: Behaviour, unit: int = UNIT) -> SimDevice:
    """The device of ``everything``, its numbers encoded by pymodbus wherever it knows the encoding."""

    def data(address: int, values: Any, datatype: DataType) -> SimData:
        return SimData(address, values=values, datatype=datatype)

    blocks = [data(address_of(name), VALUES[name], server) for name, (server, _) in ENCODINGS.items()]
    for name, value in VALUES.items():
        if name.endswith("_cdab"):
            assert isinstance(value, int | float)
            words = AsyncModbusTcpClient.convert_to_registers(value, ENCODINGS[name[:3]][1], word_order="little")
            blocks.append(data(address_of(name), words, DataType.REGISTERS))
    first = address_of("f32_badc")
    blocks.append(data(first, holding()[first:], DataType.REGISTERS))
    inputs = [data(0, INPUT[0], DataType.UINT16), data(1, VALUES["temperature"], DataType.FLOAT32)]
    coils = data(0, [*COILS, *[False] * (16 - len(COILS))], DataType.BITS)
    discrete = data(0, [*DISCRETE, *[False] * (16 - len(DISCRETE))], DataType.BITS)
    return SimDevice(unit, ([coils], [discrete], blocks, inputs), action=behaviour.action)


@asynccontextmanager
async def _serving(server: Server) -> AsyncIterator[None]:
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def tcp_server(
    devices: SimDevice | list[SimDevice], framer: FramerType = FramerType.SOCKET, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Server, int]]:
    """A server on a free port, and the port."""
    address = ("127.0.0.1", 0)
    server = (
        ModbusTcpServer(devices, framer=framer, address=address)
        if tls is None
        else ModbusTlsServer(devices, framer=framer, address=address, sslctx=tls)
    )
    async with _serving(server):
        listening = server.transport
        assert isinstance(listening, asyncio.Server)
        yield server, listening.sockets[0].getsockname()[1]


@asynccontextmanager
async def serial_server(
    devices: SimDevice | list[SimDevice], path: str, baudrate: int, *, broadcasts: bool = False
) -> AsyncIterator[Server]:
    """A server on a serial port."""
    server = ModbusSerialServer(devices, port=path, baudrate=baudrate, broadcast_enable=broadcasts)
    async with _serving(server):
        yield server


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Client]:
    """A client while the block runs."""
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


def tcp_client(port: int, framer: FramerType = FramerType.SOCKET) -> AsyncModbusTcpClient:
    """A client of Modbus TCP, or of serial frames on TCP."""
    return AsyncModbusTcpClient("127.0.0.1", port=port, framer=framer, timeout=TIMEOUT_S, retries=0)


def tls_client(port: int, tls: ssl.SSLContext) -> AsyncModbusTcpClient:
    """A client of Modbus TCP with TLS."""
    return AsyncModbusTlsClient("127.0.0.1", port=port, sslctx=tls, timeout=TIMEOUT_S, retries=0)


def serial_client(path: str, baudrate: int, timeout_s: float = TIMEOUT_S) -> AsyncModbusSerialClient:
    """A client on a serial port."""
    return AsyncModbusSerialClient(path, baudrate=baudrate, timeout=timeout_s, retries=0)
