"""The number in the bytes of a reading, before anybody judges it: what a value outside its range was."""

import math

from config.encoding import BIT_TABLES, TIMES, Encoding
from config.signals import Signal
from drivers.modbus.codec import converter
from drivers.modbus.decoder import modbus
from drivers.modbus.layout import compile_layout, place_of


def number_in(signal: Signal, raw: bytes) -> float | None:
    """What ``Sample.raw`` of a Modbus number reads as, in the unit of its profile; of a code the code itself.

    ``None`` where the bytes alone do not tell: no number, or one whose decimals or unit stand elsewhere.
    """
    definition = modbus(signal)
    told_elsewhere = definition.table in BIT_TABLES or definition.parameters()
    if told_elsewhere or definition.type in TIMES or definition.type in (Encoding.STRING, Encoding.BOOL):
        return None
    places, at = [place_of(0, definition.type, definition.order)], 2 * definition.registers
    for part in definition.parts:
        place = place_of(at, part.type, part.order or definition.order)
        places.append(place)
        at = place.end
    if len(raw) != at:
        return None
    unpack, index = compile_layout(places)
    values = unpack(raw)
    number = 0.0
    for place, encoding, scale in zip(
        places,
        (definition.type, *(part.type for part in definition.parts)),
        (1.0, *(part.scale for part in definition.parts)),
        strict=True,
    ):
        convert, held = converter(encoding), values[index[place]]
        meant = held if convert is None else convert(held)
        if meant is None:
            return None
        number += meant * scale
    if definition.bits is not None:
        number = int(number) >> definition.bits[0] & (1 << (definition.bits[1] - definition.bits[0] + 1)) - 1
    if not math.isfinite(number):
        return None
    return float(number) if definition.enum or definition.switch else number * definition.scale + definition.offset
