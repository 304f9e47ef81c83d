"""The exception codes of Modbus (Application Protocol V1.1b3, 7) and what they mean for who asked."""

from typing import Final

ACKNOWLEDGE: Final = 0x05
"""Taken, and carried out later: ask for the outcome, do not send again."""
BUSY: Final = 0x06
"""Not taken: send again later."""
BUSY_TRIES: Final = 4
"""So often in all a device is asked that says that it is busy."""
GATEWAY_PATH: Final = 0x0A
GATEWAY_SILENT: Final = 0x0B
OF_THE_GATEWAY: Final = frozenset({GATEWAY_PATH, GATEWAY_SILENT})
"""The gateway answers for a unit that does not: that unit is silent, the gateway is in order."""
OF_THE_MAP: Final = frozenset({0x01, 0x02, 0x03})
"""The request itself is wrong for this device and stays so: its map is another."""

_TEXT: Final = {
    0x01: "illegal function",
    0x02: "illegal data address",
    0x03: "illegal data value",
    0x04: "device failure",
    ACKNOWLEDGE: "acknowledge",
    BUSY: "device busy",
    0x08: "memory parity error",
    GATEWAY_PATH: "gateway path unavailable",
    GATEWAY_SILENT: "gateway: target did not answer",
}


def exception_text(code: int) -> str:
    """A code in words: ``exception 02 illegal data address``."""
    return f"exception {code:02X} {_TEXT.get(code, 'unknown')}"
