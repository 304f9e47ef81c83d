"""Write requests: how a value is asked of a device, and which registers of it may be written at all."""

import struct
from collections.abc import Mapping
from typing import Final

from config.encoding import Table
from config.errors import DeviceError
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile
from config.sample import Value
from config.signals import Signal
from drivers.modbus.codec import encode
from drivers.modbus.decoder import modbus

MOST_COILS: Final = 1968
MOST_REGISTERS: Final = 123
"""In one write (Application Protocol V1.1b3, 6.11 and 6.12)."""


def value_pdu(profile: ModbusProfile, signal: Signal, value: Value) -> bytes:
    """The write of a value; of one bit of a register its mask write, or just the register's word with it.

    Raises ``DeviceError``.
    """
    definition = modbus(signal)
    address = definition.address - profile.base
    if signal.kind == "bool" and not isinstance(value, bool):
        raise DeviceError(f"{signal.name}: {value!r} is not on or off")
    if definition.table is Table.COIL:
        return _coil_pdu(profile, address, bool(value))
    if definition.bit is not None:
        mask = bit_mask(definition)
        if profile.writing.bits == "mask":
            return struct.pack(">BHHH", 22, address, 0xFFFF ^ mask, mask if value else 0)
        return struct.pack(">H", mask if value else 0)
    return register_pdu(profile, definition.address, encode(signal, value))


def bit_mask(definition: ModbusSignal) -> int:
    """The bit of a signal in its register as it travels, high byte first."""
    assert definition.bit is not None
    mask = 1 << definition.bit
    low_first = definition.order in ("DCBA", "BADC")
    return (mask >> 8 | mask << 8) & 0xFFFF if low_first else mask


def _coil_pdu(profile: ModbusProfile, address: int, on: bool) -> bytes:
    if profile.writing.coils == "multiple":
        return struct.pack(">BHHBB", 15, address, 1, 1, on)
    return struct.pack(">BHH", 5, address, 0xFF00 if on else 0)


def register_pdu(profile: ModbusProfile, register: int, data: bytes) -> bytes:
    """The write of registers from ``register`` on, as the maker's manual counts them; ``data`` as it travels."""
    address, count = register - profile.base, len(data) // 2
    if count == 1 and profile.writing.registers != "multiple":
        return b"\x06" + struct.pack(">H", address) + data
    return struct.pack(">BHHB", 16, address, count, len(data)) + data


WHOLE: Final = 0xFFFF
"""Every bit of a register."""


def allowed_bits(profile: ModbusProfile) -> dict[tuple[Table, int], int]:
    """Every coil and register of a device that may be written, as on the wire, and which bits of it (coils: all)."""
    allowed: dict[tuple[Table, int], int] = {}
    for signal in profile.signals.values():
        if signal.writable:
            bits = WHOLE if signal.bit is None else bit_mask(signal)
            for address in range(signal.address, signal.address + signal.registers):
                place = signal.table, address - profile.base
                allowed[place] = allowed.get(place, 0) | bits
    for span in profile.writing.allow:
        allowed |= {(span.table, address - profile.base): WHOLE for address in range(span.first, span.last + 1)}
    return allowed


def written_bits(pdu: bytes) -> int:
    """The bits that a write request changes of each register it names: those of a mask write, else all."""
    return WHOLE ^ int.from_bytes(pdu[3:5]) if pdu[0] == 22 else WHOLE


def written_addresses(pdu: bytes) -> tuple[Table, range]:
    """What a write request changes, as on the wire. Raises ``DeviceError`` for one that is no write we know."""
    if len(pdu) >= 5:
        function, address, number = struct.unpack_from(">BHH", pdu)
        match function:
            case 5 if len(pdu) == 5 and number in (0, 0xFF00):
                return Table.COIL, range(address, address + 1)
            case 6 if len(pdu) == 5:
                return Table.HOLDING, range(address, address + 1)
            case 15 if 0 < number <= MOST_COILS and len(pdu) == 6 - (-number // 8) and pdu[5] == -(-number // 8):
                return Table.COIL, range(address, address + number)
            case 16 if 0 < number <= MOST_REGISTERS and len(pdu) == 6 + 2 * number and pdu[5] == 2 * number:
                return Table.HOLDING, range(address, address + number)
            case 22 if len(pdu) == 7:
                return Table.HOLDING, range(address, address + 1)
    raise DeviceError(f"{pdu.hex(' ')} is no whole write request of function 05, 06, 15, 16 or 22")


def check_allowed(pdu: bytes, every: Mapping[tuple[Table, int], int]) -> None:
    """Raises ``DeviceError`` for a write to a register, or to bits of one, that ``every`` allowed one does not have."""
    table, addresses = written_addresses(pdu)
    bits = written_bits(pdu)
    for address in addresses:
        allowed = every.get((table, address), 0)
        if not allowed:
            raise DeviceError(
                f"{table} {address} (on the wire) is not in the profile's list of what may be written: "
                "no writable signal stands there, and 'writing.allow' does not name it"
            )
        if bits & ~allowed:
            raise DeviceError(
                f"{table} {address} (on the wire): of this register only the bits {allowed:#06x} may be written, "
                f"and this would write {bits:#06x}; write the signal, or mask these bits (function 22)"
            )
