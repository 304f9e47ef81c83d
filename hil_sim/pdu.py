"""Requests and replies of Modbus without their frames: functions, exceptions, and writes taken apart."""

import struct
from typing import Final, NamedTuple

from config.encoding import Table

ILLEGAL_FUNCTION: Final = 0x01
ILLEGAL_ADDRESS: Final = 0x02
ILLEGAL_VALUE: Final = 0x03
GATEWAY_TARGET_SILENT: Final = 0x0B

READ_TABLE: Final = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT, 23: Table.HOLDING}
WRITE_TABLE: Final = {
    5: Table.COIL,
    15: Table.COIL,
    6: Table.HOLDING,
    16: Table.HOLDING,
    22: Table.HOLDING,
    23: Table.HOLDING,
}
RETURN_QUERY_DATA: Final = b"\0\0"
"""The sub-function of function 08 that a device without a serial line's counters has."""

MAX_WRITE_REGISTERS: Final = 123
MAX_READ_WRITE_REGISTERS: Final = 121
MAX_WRITE_BITS: Final = 1968


class Block(NamedTuple):
    """What was read or written from ``address`` on: registers two bytes each, bits one byte each (its lowest bit)."""

    address: int
    data: bytes


class Answer(NamedTuple):
    """The reply PDU and what it read or wrote; neither when the request was refused."""

    pdu: bytes
    read: Block | None = None
    written: Block | None = None

    @property
    def refused(self) -> bool:
        """True for an exception."""
        return bool(self.pdu[0] & 0x80)


class RefusedError(Exception):
    """A request that is answered with an exception, by its ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def written(pdu: bytes) -> tuple[int, bytes, bytes]:
    """Address, data and the reply of a well-formed write; refuses any other."""
    function = pdu[0]
    if function in (5, 6):
        if len(pdu) != 5:
            raise RefusedError(ILLEGAL_VALUE)
        address = pdu[1] << 8 | pdu[2]
        if function == 6:
            return address, pdu[3:5], pdu
        if pdu[3:5] not in (b"\xff\x00", b"\x00\x00"):
            raise RefusedError(ILLEGAL_VALUE)
        return address, bytes((pdu[3] & 1,)), pdu
    if len(pdu) < 6:
        raise RefusedError(ILLEGAL_VALUE)
    address, count, size = struct.unpack(">HHB", pdu[1:6])
    payload = pdu[6:]
    most = MAX_WRITE_BITS if function == 15 else MAX_WRITE_REGISTERS
    expected = (count + 7) // 8 if function == 15 else 2 * count
    if not 1 <= count <= most or size != expected or len(payload) != size:
        raise RefusedError(ILLEGAL_VALUE)
    if function == 15:
        payload = bytes(payload[i // 8] >> (i % 8) & 1 for i in range(count))
    return address, payload, pdu[:5]
