"""What a command's exit code says. Stable across versions."""

from typing import Final

DONE: Final = 0
WRONG: Final = 1
"""The site file, or what was asked, is wrong; a demo or check did not go as it must; a reading is bad."""
USAGE: Final = 2
"""The command line is wrong."""
REFUSED: Final = 3
"""Understood and refused, or not confirmed; it says why."""
UNREACHABLE: Final = 4
"""No controller, broker, store, port or device could be reached."""
