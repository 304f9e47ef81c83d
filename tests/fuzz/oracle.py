"""What may come of a request, told from the bytes alone that were delivered while it was in hand.

A reply may be taken only if such a frame was among them: from the unit asked, with the function and byte count (or
what was written) and the length demanded, with a right check sum on a serial line and the request's id on TCP. Nothing
here is the driver's: frames are cut and summed anew. What no master could detect (data changed under a right id, since
TCP frames carry no check sum of their own; a spoiled serial frame whose sum is right by chance) is told apart, not
hidden.
"""

from typing import Final

from drivers.modbus.transaction import Outcome
from tests.fuzz.asked import Asked
from tests.fuzz.crc import check_sum
from tests.fuzz.kind import Kind

TRUE: Final = "true reply"
UNDETECTABLE: Final = "another reply, undetectable"
_REMEMBERED: Final = 512
"""Bytes of a serial line among which a reply must be found: two of the longest frames."""


class Finding(Exception):
    """Something that the driver must never do."""


class Oracle:
    """Watches one connection. ``broken``: what came cannot be cut into frames any more, so it must have been closed."""

    def __init__(self, kind: Kind) -> None:
        self.broken = False
        self.hung_up = False
        self.echoing = kind.echo
        self._kind = kind
        self._stream = b""
        self._heard = bytearray()
        self._naming: dict[int, list[bytes]] = {}
        self._in_hand: dict[int, Asked] = {}

    def sent(self, asked: Asked) -> None:
        """A request is on its way."""
        self._in_hand[asked.transaction] = asked
        self._naming[asked.transaction] = []
        self._heard.clear()

    def heard(self, data: bytes) -> None:
        """Something arrives."""
        if self._kind.wire.rtu:
            self._heard += data
        elif not self.broken:
            self._cut(self._stream + data)

    def ended(self, asked: Asked, outcome: Outcome, pdu: bytes) -> str:
        """Judges the outcome of a request; returns what it is in words. Raises ``Finding``."""
        del self._in_hand[asked.transaction]
        naming = self._naming.pop(asked.transaction)
        whole = len(pdu) == len(asked.reply) and pdu.startswith(asked.start)
        refusal = len(pdu) == 2 and pdu[0] == asked.function | 0x80
        if outcome is Outcome.REPLY:
            self._require(whole, "a reply of the wrong shape was taken")
            self._require(self._came(asked, pdu, naming), "a reply was taken that no conforming frame holds")
            return TRUE if pdu == asked.reply else UNDETECTABLE
        if outcome is Outcome.EXCEPTION:
            self._require(refusal, "something else was taken for an exception")
            self._require(self._came(asked, pdu, naming), "an exception was taken that no conforming frame holds")
            return "exception"
        if outcome is Outcome.MALFORMED:
            self._require(not self._kind.wire.rtu, "a malformed reply without a check sum")
            self._require(not whole and not refusal, "a right reply was called malformed")
            self._require(self._came(asked, pdu, naming), "a malformed reply that never came")
            return "malformed"
        if outcome is Outcome.LOST:
            self._require(self.broken or self.hung_up, "the connection was given up for no reason")
            return "connection lost"
        self._require(not naming, "a frame that names the request was overlooked")
        self._require(not self._stands_whole(asked), "the right reply was overlooked")
        return "time-out"

    @staticmethod
    def _require(fulfilled: bool, otherwise: str) -> None:
        if not fulfilled:
            raise Finding(otherwise)

    # -- Modbus TCP --------------------------------------------------------------------------------------------------

    def _cut(self, stream: bytes) -> None:
        while len(stream) >= 7:
            length = int.from_bytes(stream[4:6], "big")
            if stream[2:4] != b"\0\0" or not 2 <= length <= 254:
                self.broken = True
                return
            if len(stream) < 6 + length:
                break
            named = self._named(int.from_bytes(stream[:2], "big"), stream[6], stream[7])
            if named is not None:
                self._naming[named].append(stream[7 : 6 + length])
            stream = stream[6 + length :]
        self._stream = stream

    def _named(self, transaction: int, unit: int, function: int) -> int | None:
        """The request in hand that a frame's head names."""
        asked = self._in_hand.get(transaction)
        if asked is not None:
            right_unit = unit == asked.unit or self._kind.any_unit or (unit == 0 and not self._kind.strict)
        elif transaction == 0 and not self._kind.strict and len(self._in_hand) == 1:
            [asked] = self._in_hand.values()
            right_unit = unit == asked.unit
        else:
            return None
        return asked.transaction if right_unit and function & 0x7F == asked.function else None

    # -- serial lines ------------------------------------------------------------------------------------------------

    def _came(self, asked: Asked, pdu: bytes, naming: list[bytes]) -> bool:
        if not self._kind.wire.rtu:
            return naming[:1] == [pdu]
        heard, at = self._heard, self._heard.find(pdu, 1)
        while at > 0:
            frame = bytes(heard[at - 1 : at + len(pdu)])
            of_the_unit = self._kind.any_unit or frame[0] == asked.unit
            echo = asked.function <= 4 and frame[1:] == asked.pdu and frame[0] == asked.unit
            if of_the_unit and not echo and heard[at + len(pdu) : at + len(pdu) + 2] == check_sum(frame):
                return True
            at = heard.find(pdu, at + 1)
        return False

    def _stands_whole(self, asked: Asked) -> bool:
        """True when the right reply came, on a line that did not hold it back to look for an echo."""
        if not self._kind.wire.rtu or self.echoing or len(self._heard) > _REMEMBERED or asked.reply == asked.pdu:
            return False
        body = bytes((asked.unit,)) + asked.reply
        return body + check_sum(body) in self._heard
