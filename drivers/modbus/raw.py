"""What a person asks for by table and address: how such a place may be written, and the request that it is."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from config.command import Writing
from config.encoding import BIT_TABLES, Table
from config.errors import DeviceError
from drivers.modbus.plan import READ_FUNCTION
from drivers.modbus.procedure import Ask
from drivers.modbus.write_request import MOST_COILS, MOST_REGISTERS

MAX_REGISTERS: Final = 125
MAX_BITS: Final = 2000
"""What fits one read (MODBUS Application Protocol V1.1b3, 6.1 to 6.4)."""
ADDRESSES: Final = 0x10000

_REFERENCE: Final = re.compile(r"(0:?|[134][xX:]?)(\d{4,5})")
"""``0x0017`` is left out: it is a hexadecimal number."""
_TABLE_OF_DIGIT: Final = {"0": Table.COIL, "1": Table.DISCRETE, "3": Table.INPUT, "4": Table.HOLDING}
DIGIT_OF_TABLE: Final = {table: digit for digit, table in _TABLE_OF_DIGIT.items()}
"""The digit by which vendors' tables name a data table: 4 is holding."""


@dataclass(frozen=True, slots=True)
class Place:
    """``count`` registers or bits of a table from ``address`` on, as on the wire."""

    table: Table
    address: int
    count: int

    @property
    def bits(self) -> bool:
        """True for a table of bits."""
        return self.table in BIT_TABLES

    @property
    def last(self) -> int:
        """The last address."""
        return self.address + self.count - 1

    @property
    def ask(self) -> Ask:
        """The read request, and what its reply must be."""
        data = -(-self.count // 8) if self.bits else 2 * self.count
        function = READ_FUNCTION[self.table]
        return Ask(struct.pack(">BHH", function, self.address, self.count), bytes((function, data)), 2 + data)

    def __str__(self) -> str:
        return f"{self.table} {self.address}" + (f" to {self.last}" if self.count > 1 else "")


def place(table: Table, address: int, count: int) -> Place:
    """A place that one read request can ask for. Raises ``DeviceError`` for one that it cannot."""
    most, what = (MAX_BITS, "bits") if table in BIT_TABLES else (MAX_REGISTERS, "registers")
    if not 1 <= count <= most:
        raise DeviceError(f"{count} {what}: one Modbus read takes 1 to {most}; read the rest in a second one")
    if not 0 <= address < ADDRESSES:
        raise DeviceError(f"address {address}: Modbus addresses are 0 to {ADDRESSES - 1}")
    if address + count > ADDRESSES:
        raise DeviceError(f"{count} {what} from {address} on: the last Modbus address is {ADDRESSES - 1}")
    return Place(table, address, count)


def reference(text: str) -> tuple[Table, int] | None:
    """Table and wire address of a place in the notation of vendors' tables, ``None`` for any other text.

    ``40001`` and ``400001`` are the first holding register, which is address 0 on the wire; ``30001`` is the first
    input register, ``10001`` the first discrete input, ``00001`` the first coil. ``4:0001`` and ``4x0001`` are the
    same.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None or not 1 <= int(match[2]) <= ADDRESSES:
        return None
    return _TABLE_OF_DIGIT[match[1][0]], int(match[2]) - 1


def as_reference(table: Table, address: int) -> str:
    """A wire address as vendors' tables would have it: ``holding`` 0 is ``40001``."""
    number = address + 1
    return f"{DIGIT_OF_TABLE[table]}{number:0{4 if number < 10_000 else 5}d}"


def number(text: str) -> int:
    """A whole number as people write it: ``9728``, ``0x2600`` or ``2600h``. Raises ``DeviceError``."""
    written = text.strip().lower()
    try:
        if written.endswith("h"):
            return int(written[:-1], 16)
        return int(written, 16) if written.startswith("0x") else int(written)
    except ValueError:
        raise DeviceError(f"'{text}' is no whole number, such as 9728, 0x2600 or 2600h") from None


def read_bits(data: bytes, count: int) -> list[bool]:
    """The first ``count`` bits of a reply's data."""
    return [bool(data[i >> 3] >> (i & 7) & 1) for i in range(count)]


def write_pdu(table: Table, address: int, values: Sequence[int], writing: Writing) -> bytes:
    """The request that writes raw values, in the way that the device takes writes. Raises ``DeviceError``."""
    coils = table is Table.COIL
    most = MOST_COILS if coils else MOST_REGISTERS
    if table not in (Table.COIL, Table.HOLDING):
        raise DeviceError(f"{table} cannot be written: only coils and holding registers can")
    if not 1 <= len(values) <= most:
        raise DeviceError(f"{len(values)} values: one Modbus write takes 1 to {most}")
    if not 0 <= address <= ADDRESSES - len(values):
        raise DeviceError(f"address {address}: Modbus addresses are 0 to {ADDRESSES - 1}")
    highest = 1 if coils else 0xFFFF
    for value in values:
        if not 0 <= value <= highest:
            raise DeviceError(f"{value}: a {table} holds 0 to {highest}")
    way = writing.coils if coils else writing.registers
    if len(values) == 1 and way != "multiple":
        return struct.pack(">BHH", 5 if coils else 6, address, (0xFF00 if values[0] else 0) if coils else values[0])
    if not coils and way == "single":
        raise DeviceError(f"{len(values)} values: this device takes one register a write; write them one by one")
    if coils:
        packed = sum(1 << i for i, value in enumerate(values) if value).to_bytes(-(-len(values) // 8), "little")
        return struct.pack(">BHHB", 15, address, len(values), len(packed)) + packed
    return struct.pack(f">BHHB{len(values)}H", 16, address, len(values), 2 * len(values), *values)
