"""Where the numbers of a block stand, compiled to as few unpackings as there are byte orders in it."""

import struct
from array import array
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from config.encoding import REGISTERS, Encoding, Order
from drivers.modbus.codec import STRUCT_LETTER, Number

Values = tuple[Number, ...]

_ARRANGEMENT: Final = {
    Order.ABCD: (False, ">"),
    Order.DCBA: (False, "<"),
    Order.BADC: (True, ">"),
    Order.CDAB: (True, "<"),
}
"""For each order: whether the bytes within every register are swapped first, and the byte order that is then left."""


class Place(NamedTuple):
    """A number in a block: its first byte, how many registers it takes and how they are to be read."""

    at: int
    letter: str
    order: Order

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.at + struct.calcsize(">" + self.letter)


def place_of(at: int, encoding: Encoding, order: Order) -> Place:
    """The place of a number whose first byte is ``at``. In one register only the order of its two bytes counts."""
    if REGISTERS[encoding] == 1:
        order = Order.DCBA if order in (Order.DCBA, Order.BADC) else Order.ABCD
    return Place(at, STRUCT_LETTER[encoding], order)


def compile_layout(places: Iterable[Place]) -> tuple[Callable[[bytes], Values], dict[Place, int]]:
    """What unpacks the numbers at ``places``, and the index of each among the unpacked ones."""
    layers: list[tuple[bool, str, list[Place]]] = []
    for place in sorted(set(places)):
        swapped, endian = _ARRANGEMENT[place.order]
        for layer in layers:
            if layer[:2] == (swapped, endian) and layer[2][-1].end <= place.at:
                layer[2].append(place)
                break
        else:
            layers.append((swapped, endian, [place]))
    index = {place: i for i, place in enumerate(place for _, _, layer in layers for place in layer)}
    structs = [(struct.Struct(_format(endian, layer)).unpack_from, swapped) for swapped, endian, layer in layers]
    if not structs:
        return (lambda data: ()), index
    if len(structs) == 1:
        unpack, swapped = structs[0]
        return (lambda data: unpack(_swapped(data))) if swapped else unpack, index
    any_swapped = any(swapped for _, swapped in structs)

    def unpack_all(data: bytes) -> Values:
        turned = _swapped(data) if any_swapped else data
        values: Values = ()
        for unpack, swapped in structs:
            values += unpack(turned if swapped else data)
        return values

    return unpack_all, index


def _format(endian: str, layer: list[Place]) -> str:
    text, at = endian, 0
    for place in layer:
        text += f"{place.at - at}x" if place.at > at else ""
        text += place.letter
        at = place.end
    return text


def _swapped(data: bytes) -> bytes:
    registers = array("H", data)
    registers.byteswap()
    return registers.tobytes()
