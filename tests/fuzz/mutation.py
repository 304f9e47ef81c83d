"""What can happen to a reply on its way: frames that are wrong in a field, bytes that are spoiled, frames too many.

``FORGED`` make other frames in place of the reply, well framed unless that is what is wrong with them; ``SPOILED``
change the bytes of a frame; ``ASTRAY`` add whole frames that answer something else. Delays, splitting and merging are
done where the frames are delivered.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from tests.fuzz.asked import Asked
from tests.fuzz.crc import check_sum


class Wire(NamedTuple):
    """How frames travel: serial or MBAP, and with ids of zero as some servers answer."""

    rtu: bool
    zero_ids: bool = False


def framed(wire: Wire, unit: int, pdu: bytes, transaction: int, protocol: int = 0, longer: int = 0) -> bytes:
    """A frame; with MBAP its length field may be wrong by ``longer``."""
    if wire.rtu:
        body = bytes((unit,)) + pdu
        return body + check_sum(body)
    transaction = 0 if wire.zero_ids else transaction
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1 + longer & 0xFFFF, unit) + pdu


def request_frame(wire: Wire, asked: Asked) -> bytes:
    """The request as it was sent."""
    return framed(Wire(wire.rtu), asked.unit, asked.pdu, asked.transaction)


def reply_frame(wire: Wire, asked: Asked) -> bytes:
    """The right reply."""
    return framed(wire, asked.unit, asked.reply, asked.transaction)


# -- frames made wrong ----------------------------------------------------------------------------------------------

Forge = Callable[[Random, Wire, Asked], bytes]
Spoil = Callable[[Random, bytes], bytes]
Stray = Callable[[Random, Wire, Asked, Sequence[Asked]], bytes]


def _wrong_unit(rng: Random, wire: Wire, asked: Asked) -> bytes:
    return framed(wire, asked.unit ^ 1 << int(rng.random() * 8), asked.reply, asked.transaction)


def _wrong_function(rng: Random, wire: Wire, asked: Asked) -> bytes:
    function = asked.function ^ 1 << int(rng.random() * 8)
    return framed(wire, asked.unit, bytes((function,)) + asked.reply[1:], asked.transaction)


def _wrong_byte_count(rng: Random, wire: Wire, asked: Asked) -> bytes:
    """Or, of a write, the address of another register."""
    count = asked.reply[1] ^ 1 << int(rng.random() * 8)
    return framed(wire, asked.unit, bytes((asked.reply[0], count)) + asked.reply[2:], asked.transaction)


def _other_size(rng: Random, wire: Wire, asked: Asked) -> bytes:
    """All of it is right for another count of registers."""
    size = int(rng.random() * 126) * 2
    pdu = bytes((asked.function, size)) + (asked.reply[2:] * 126)[:size]
    return framed(wire, asked.unit, pdu, asked.transaction)


def _wrong_count_in_data(rng: Random, wire: Wire, asked: Asked) -> bytes:
    """The byte count is right, the data are not so many."""
    cut = asked.reply[: max(1, len(asked.reply) - 1 - int(rng.random() * 4))]
    return framed(wire, asked.unit, cut if rng.random() < 0.5 else asked.reply + rng.randbytes(2), asked.transaction)


def _odd_exception(rng: Random, wire: Wire, asked: Asked) -> bytes:
    code = rng.randbytes((1, 1, 1, 1, 0, 2)[int(rng.random() * 6)])
    return framed(wire, asked.unit, bytes((asked.function | 0x80,)) + code, asked.transaction)


def _exception(rng: Random, wire: Wire, asked: Asked) -> bytes:
    code = (1, 2, 3, 4, 5, 6, 8, 10, 11)[int(rng.random() * 9)]
    return framed(wire, asked.unit, bytes((asked.function | 0x80, code)), asked.transaction)


def _foreign_exception(rng: Random, wire: Wire, asked: Asked) -> bytes:
    return framed(wire, asked.unit, bytes((0x80 | int(rng.random() * 128), 2)), asked.transaction)


def _wrong_transaction(rng: Random, wire: Wire, asked: Asked) -> bytes:
    """On a serial line, which has none: a frame with the head of a Modbus TCP frame."""
    wrong = asked.transaction + (1, -1, 0x100, 0x8000)[int(rng.random() * 4)] & 0xFFFF
    return framed(Wire(rtu=False), asked.unit, asked.reply, wrong)


def _wrong_protocol(rng: Random, wire: Wire, asked: Asked) -> bytes:
    return framed(Wire(rtu=False), asked.unit, asked.reply, asked.transaction, protocol=1 << int(rng.random() * 16))


def _wrong_length(rng: Random, wire: Wire, asked: Asked) -> bytes:
    longer = (-300, -2, -1, 1, 2, 5, 254, 0x4000)[int(rng.random() * 8)]
    return framed(Wire(rtu=False), asked.unit, asked.reply, asked.transaction, longer=longer)


def _empty(rng: Random, wire: Wire, asked: Asked) -> bytes:
    return framed(wire, asked.unit, b"", asked.transaction)


def _bare(rng: Random, wire: Wire, asked: Asked) -> bytes:
    """In the other framing: a gateway that is set wrongly."""
    return framed(Wire(not wire.rtu), asked.unit, asked.reply, asked.transaction)


FORGED: Final[Mapping[str, Forge]] = {
    "wrong unit": _wrong_unit,
    "wrong function": _wrong_function,
    "wrong byte count": _wrong_byte_count,
    "reply of another size": _other_size,
    "data cut or too long": _wrong_count_in_data,
    "exception": _exception,
    "odd exception": _odd_exception,
    "exception to another function": _foreign_exception,
    "wrong transaction": _wrong_transaction,
    "wrong protocol": _wrong_protocol,
    "wrong length": _wrong_length,
    "no PDU": _empty,
    "other framing": _bare,
}


# -- bytes spoiled --------------------------------------------------------------------------------------------------


def _flip_a_bit(rng: Random, frame: bytes) -> bytes:
    at = int(rng.random() * len(frame))
    return frame[:at] + bytes((frame[at] ^ 1 << int(rng.random() * 8),)) + frame[at + 1 :]


def _flip_bits(rng: Random, frame: bytes) -> bytes:
    spoiled = bytearray(frame)
    for _ in range(2 + int(rng.random() * 6)):
        spoiled[int(rng.random() * len(spoiled))] ^= 1 << int(rng.random() * 8)
    return bytes(spoiled)


def _insert(rng: Random, frame: bytes) -> bytes:
    at = int(rng.random() * (len(frame) + 1))
    return frame[:at] + rng.randbytes(1 + int(rng.random() * 3)) + frame[at:]


def _delete(rng: Random, frame: bytes) -> bytes:
    at = int(rng.random() * len(frame))
    return frame[:at] + frame[at + 1 + int(rng.random() * 3) :]


def _replace(rng: Random, frame: bytes) -> bytes:
    at, size = int(rng.random() * len(frame)), 1 + int(rng.random() * 3)
    return (frame[:at] + rng.randbytes(size) + frame[at + size :])[: len(frame)]


def _truncate(rng: Random, frame: bytes) -> bytes:
    return frame[: int(rng.random() * len(frame))]


def _extend(rng: Random, frame: bytes) -> bytes:
    return frame + rng.randbytes(1 + int(rng.random() * 8))


def _noise_before(rng: Random, frame: bytes) -> bytes:
    return rng.randbytes(1 + int(rng.random() * 12)) + frame


def _flood_before(rng: Random, frame: bytes) -> bytes:
    return rng.randbytes(400 + int(rng.random() * 600)) + frame


def _head_again(rng: Random, frame: bytes) -> bytes:
    """The frame begins, breaks off, and begins anew."""
    return frame[: int(rng.random() * len(frame))] + frame


def _zeros(rng: Random, frame: bytes) -> bytes:
    at = int(rng.random() * len(frame))
    size = min(1 + int(rng.random() * 8), len(frame) - at)
    return frame[:at] + bytes((0, 0xFF)[int(rng.random() * 2)] for _ in range(size)) + frame[at + size :]


SPOILED: Final[Mapping[str, Spoil]] = {
    "one bit flipped": _flip_a_bit,
    "bits flipped": _flip_bits,
    "bytes inserted": _insert,
    "bytes deleted": _delete,
    "bytes replaced": _replace,
    "truncated": _truncate,
    "extended": _extend,
    "noise before": _noise_before,
    "flood before": _flood_before,
    "begun twice": _head_again,
    "zeros or ones": _zeros,
}


# -- frames too many ------------------------------------------------------------------------------------------------


def _stale(rng: Random, wire: Wire, asked: Asked, earlier: Sequence[Asked]) -> bytes:
    """The reply to an earlier request, of the same shape if there was one."""
    alike = [one for one in earlier[-8:] if one.start == asked.start and one.unit == asked.unit]
    return reply_frame(wire, rng.choice(alike or earlier)) if earlier else b""


def _foreign(rng: Random, wire: Wire, asked: Asked, earlier: Sequence[Asked]) -> bytes:
    """Of the shape that is awaited, of another unit."""
    return framed(wire, asked.unit ^ 0x40, asked.reply, asked.transaction)


def _unsolicited(rng: Random, wire: Wire, asked: Asked, earlier: Sequence[Asked]) -> bytes:
    pdu = rng.randbytes(1 + int(rng.random() * 12))
    return framed(wire, int(rng.random() * 256), pdu, int(rng.random() * 0x10000))


def _echo(rng: Random, wire: Wire, asked: Asked, earlier: Sequence[Asked]) -> bytes:
    return request_frame(wire, asked)


def _echo_after_noise(rng: Random, wire: Wire, asked: Asked, earlier: Sequence[Asked]) -> bytes:
    return rng.randbytes(1) + request_frame(wire, asked)


def _twice(rng: Random, wire: Wire, asked: Asked, earlier: Sequence[Asked]) -> bytes:
    return reply_frame(wire, asked)


ASTRAY: Final[Mapping[str, Stray]] = {
    "stale reply": _stale,
    "foreign reply": _foreign,
    "unsolicited frame": _unsolicited,
    "echo of the request": _echo,
    "echo after noise": _echo_after_noise,
    "reply twice": _twice,
}
