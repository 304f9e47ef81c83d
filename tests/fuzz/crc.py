"""The check sum of serial frames, made anew from the specification: the oracle must not lean on the driver's own."""

from typing import Final


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


_REMAINDERS: Final = tuple(_remainder(byte) for byte in range(256))


def check_sum(data: bytes) -> bytes:
    """The two bytes that end a frame (MODBUS over Serial Line V1.02, 6.2.2)."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _REMAINDERS[(register ^ byte) & 0xFF]
    return bytes((register & 0xFF, register >> 8))
