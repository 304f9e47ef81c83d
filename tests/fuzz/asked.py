"""What is asked of a device, and what it truly answers: no two requests of a conversation have the same truth."""

import struct
from random import Random
from typing import Final, NamedTuple

MOST_ASKED: Final = 256
"""Requests of one conversation: their number is the high byte of every register that is read."""
_WORDS: Final = struct.pack(
    f">{MOST_ASKED * 128}H", *(number << 8 | place for number in range(MOST_ASKED) for place in range(128))
)
_UNITS: Final = (1, 2, 17, 247)
_REGISTERS: Final = (1, 1, 1, 1, 2, 2, 2, 3, 4, 6, 10, 10, 30, 125)
_BITS: Final = (1, 8, 9, 20, 20, 24, 100, 2000)


class Shape(NamedTuple):
    """A request without its moment. ``data_bytes`` of its reply; 0 for a write, whose reply begins with ``start``."""

    unit: int
    pdu: bytes
    start: bytes
    data_bytes: int


class Asked(NamedTuple):
    """A request: how the only reply that can answer it begins, and what the device truly answers."""

    unit: int
    pdu: bytes
    start: bytes
    reply: bytes
    transaction: int = 0

    @property
    def function(self) -> int:
        """The function asked for."""
        return self.pdu[0]


def asked(shape: Shape, number: int) -> Asked:
    """The ``number``-th request of a conversation; its registers hold that number beside their place."""
    reply = shape.start
    if shape.data_bytes:
        reply += _WORDS[number * 256 : number * 256 + shape.data_bytes]
    return Asked(shape.unit, shape.pdu, shape.start, reply)


def some_shape(rng: Random) -> Shape:
    """Any request that Modbus knows for tables of bits and registers."""
    unit = rng.choice(_UNITS)
    address = rng.randrange(0xFF00)
    which = rng.random()
    if which < 0.6:
        function, count = rng.choice((3, 3, 4)), rng.choice(_REGISTERS)
        return _read(unit, struct.pack(">BHH", function, address, count), 2 * count)
    if which < 0.75:
        count = rng.choice(_BITS)
        data_bytes = -(-count // 8)
        if rng.random() < 0.3:
            address = data_bytes << 8 | rng.randrange(256)  # so that the request begins as its reply does
        return _read(unit, struct.pack(">BHH", rng.choice((1, 2)), address, count), data_bytes)
    value = rng.randrange(0x10000)
    match rng.choice((5, 6, 6, 15, 16, 16, 22, 23)):
        case 5:
            return _write(unit, struct.pack(">BHH", 5, address, 0xFF00 * (value & 1)), 5)
        case 6:
            return _write(unit, struct.pack(">BHH", 6, address, value), 5)
        case 15:
            return _write(unit, struct.pack(">BHHBB", 15, address, 8, 1, value & 0xFF), 5)
        case 16:
            count = rng.choice((1, 2, 10))
            return _write(unit, struct.pack(">BHHB", 16, address, count, 2 * count) + rng.randbytes(2 * count), 5)
        case 22:
            return _write(unit, struct.pack(">BHHH", 22, address, value, rng.randrange(0x10000)), 7)
        case _:
            count = rng.choice((1, 2, 10))
            return _read(unit, struct.pack(">BHHHHBH", 23, address, count, address, 1, 2, value), 2 * count)


def _read(unit: int, pdu: bytes, data_bytes: int) -> Shape:
    return Shape(unit, pdu, bytes((pdu[0], data_bytes)), data_bytes)


def _write(unit: int, pdu: bytes, start: int) -> Shape:
    return Shape(unit, pdu, pdu[:start], 0)
