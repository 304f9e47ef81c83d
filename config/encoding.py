"""How a value stands in registers: tables, encodings and byte orders.

The words are those of site files and profiles; drivers decode by them and the simulator encodes by them, each
with its own code.
"""

from enum import StrEnum
from typing import Final


class Table(StrEnum):
    """The four Modbus data tables (Modbus Application Protocol V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"


class Encoding(StrEnum):
    """How a value stands in registers.

    ``sm16`` and ``sm32``: sign and magnitude, the highest bit is the minus sign. ``bcd*``: decimal digits, four
    to a register. ``string``: two characters a register. Times: ``bcd-time`` is YYMMDDhhmmss in three registers, two
    BCD digits a byte; ``ymdhms-time`` six registers year (2026 or 26), month, day, hour, minute, second; both are the
    site's local time. ``unix-time`` is uint32 seconds UTC since 1970.
    """

    BOOL = "bool"
    UINT16 = "uint16"
    INT16 = "int16"
    SM16 = "sm16"
    BCD16 = "bcd16"
    UINT32 = "uint32"
    INT32 = "int32"
    SM32 = "sm32"
    BCD32 = "bcd32"
    UINT64 = "uint64"
    INT64 = "int64"
    BCD64 = "bcd64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BCD_TIME = "bcd-time"
    YMDHMS_TIME = "ymdhms-time"
    UNIX_TIME = "unix-time"


REGISTERS: Final[dict[Encoding, int]] = {
    Encoding.BOOL: 1,
    Encoding.UINT16: 1,
    Encoding.INT16: 1,
    Encoding.SM16: 1,
    Encoding.BCD16: 1,
    Encoding.UINT32: 2,
    Encoding.INT32: 2,
    Encoding.SM32: 2,
    Encoding.BCD32: 2,
    Encoding.UINT64: 4,
    Encoding.INT64: 4,
    Encoding.BCD64: 4,
    Encoding.FLOAT32: 2,
    Encoding.FLOAT64: 4,
    Encoding.STRING: 1,
    Encoding.BCD_TIME: 3,
    Encoding.YMDHMS_TIME: 6,
    Encoding.UNIX_TIME: 2,
}
"""Registers that an encoding takes. A bool in a coil or discrete input takes one bit, a string its ``length``."""

TIMES: Final = frozenset({Encoding.BCD_TIME, Encoding.YMDHMS_TIME, Encoding.UNIX_TIME})
FLOATS: Final = frozenset({Encoding.FLOAT32, Encoding.FLOAT64})
UNSIGNED: Final = frozenset({Encoding.UINT16, Encoding.UINT32, Encoding.UINT64})
INTEGERS: Final = frozenset(
    {
        *UNSIGNED,
        Encoding.INT16,
        Encoding.SM16,
        Encoding.BCD16,
        Encoding.INT32,
        Encoding.SM32,
        Encoding.BCD32,
        Encoding.INT64,
        Encoding.BCD64,
    }
)
NUMBERS: Final = INTEGERS | FLOATS
BY_REGISTER: Final = frozenset({Encoding.STRING, Encoding.BCD_TIME, Encoding.YMDHMS_TIME})
BIT_TABLES: Final = frozenset({Table.COIL, Table.DISCRETE})


class Order(StrEnum):
    """Byte order of a value of more than one register; A is its most significant byte.

    For 64 bit the same rule is applied to registers and bytes: ``CDAB`` is least significant register first,
    ``DCBA`` all bytes reversed, ``BADC`` bytes swapped within each register. One register has an order too: ``ABCD``
    and ``CDAB`` are high byte first, ``DCBA`` and ``BADC`` low byte first. Strings, ``bcd-time`` and
    ``ymdhms-time`` are read register by register: ``BADC`` swaps the bytes within each, and ``CDAB`` and ``DCBA``
    do not exist for them.
    """

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


INTEGER_RANGE: Final[dict[Encoding, tuple[int, int]]] = {
    Encoding.UINT16: (0, 2**16 - 1),
    Encoding.INT16: (-(2**15), 2**15 - 1),
    Encoding.SM16: (1 - 2**15, 2**15 - 1),
    Encoding.BCD16: (0, 10**4 - 1),
    Encoding.UINT32: (0, 2**32 - 1),
    Encoding.INT32: (-(2**31), 2**31 - 1),
    Encoding.SM32: (1 - 2**31, 2**31 - 1),
    Encoding.BCD32: (0, 10**8 - 1),
    Encoding.UINT64: (0, 2**64 - 1),
    Encoding.INT64: (-(2**63), 2**63 - 1),
    Encoding.BCD64: (0, 10**16 - 1),
}
"""The least and the greatest whole number that an encoding can hold."""
