"""What a faulty device or line makes of a reply: fewer registers, a foreign name, a flipped bit, a lost end."""

from collections.abc import Callable
from typing import Final, NamedTuple

from hil_sim.faults import Fault
from hil_sim.framing import rtu_frame, tcp_frame

SISTER: Final = {1: 2, 2: 1, 3: 4, 4: 3}
"""The function that a wrong reply names instead, where it has a twin."""
LAST_UNIT: Final = 247
READS: Final = (1, 2, 3, 4, 23)

Take = Callable[[str], Fault | None]
"""The fault of a name, if it is on and concerns the request."""


class Reply(NamedTuple):
    """A reply before it is a frame. ``head``: transaction and protocol of the TCP header, ``None`` for RTU."""

    head: bytes | None
    number: int
    pdu: bytes

    @property
    def frame(self) -> bytes:
        """The bytes on the wire."""
        if self.head is None:
            return rtu_frame(self.number, self.pdu)
        return tcp_frame(self.head, self.number, self.pdu)


def spoil(reply: Reply, take: Take) -> bytes:
    """The frame of a reply after the faults that change its bytes."""
    head, number, pdu = reply
    if (fault := take("short")) is not None:
        pdu = _shortened(pdu, int(fault.settings["registers"]))
    if (fault := take("wrong-function")) is not None:
        function = pdu[0] & 0x7F
        other = int(fault.settings.get("function", SISTER.get(function, function ^ 1)))
        pdu = bytes((other | pdu[0] & 0x80,)) + pdu[1:]
    if (fault := take("wrong-unit")) is not None:
        number = int(fault.settings.get("unit", number % LAST_UNIT + 1))
    if head is not None and (fault := take("wrong-id")) is not None:
        sent = int.from_bytes(head[:2], "big")
        head = int(fault.settings.get("id", (sent + 1) & 0xFFFF)).to_bytes(2, "big") + head[2:]
    frame = Reply(head, number, pdu).frame
    if take("garbled") is not None:
        frame = garbled(frame, 2 if head is not None else len(frame) // 2)
    if (fault := take("cut")) is not None:
        frame = frame[: -int(fault.settings["bytes"])]
    return frame


def garbled(data: bytes, at: int) -> bytes:
    """The same bytes with one bit of byte ``at`` flipped."""
    return data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]


def _shortened(pdu: bytes, registers: int) -> bytes:
    """A well-formed reply with fewer registers than were asked for, or else with its last byte missing."""
    if pdu[0] not in READS:
        return pdu[:-1]
    unit = 1 if pdu[0] in (1, 2) else 2
    keep = min(unit * registers, max(0, pdu[1] - unit))
    return bytes((pdu[0], keep)) + pdu[2 : 2 + keep]
