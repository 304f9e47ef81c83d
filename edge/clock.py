"""Does the clock of this machine follow a time server? Receipts say so: their times are worth no more."""

import ctypes
from typing import Final

TIME_ERROR: Final = 5
"""What ``adjtimex`` returns while the kernel's clock is not synchronised (Linux adjtimex(2))."""
_TIMEX_BYTES: Final = 512
"""More than ``struct timex`` takes on any Linux; all nil, so that it only asks."""


def synchronised() -> bool | None:
    """True while the kernel says that its clock follows a time server; ``None`` where it does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else bool(state != TIME_ERROR)
