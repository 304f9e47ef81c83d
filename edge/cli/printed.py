"""What commands print without tables: lines, remarks, progress, and answers as JSON.

Names and texts come from instruments, servers and brokers. None of them may move the cursor, colour the screen or turn
the writing around.
"""

import json
import math
import os
import re
import sys
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]",
)
"""Control characters other than tab and line end, what turns the direction of writing, halves of characters."""


def printable(text: str) -> str:
    """The text with a replacement character for each that a terminal would obey instead of showing it."""
    return _UNPRINTABLE.sub(REPLACEMENT, text)


def say(text: str) -> None:
    """Prints a line of the answer."""
    print(printable(text))


def remark(text: str) -> None:
    """Says something beside the answer."""
    if text:
        print(printable(text), file=sys.stderr)


def progress(text: str) -> None:
    """Shows how far something is, on one line of a terminal; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{printable(text)}", end="", file=sys.stderr, flush=True)


def print_json(value: object, *, one_line: bool = False) -> None:
    """Prints an answer as JSON: over several lines for a person at a terminal, on one for whatever reads it."""
    indent = 2 if os.isatty(1) and not one_line else None
    text = json.dumps(_finite(value), ensure_ascii=False, indent=indent, allow_nan=False)
    # The same text for a reader of JSON, and none that a terminal obeys.
    print(_UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def _finite(value: object) -> object:
    """The same with ``None`` for what JSON has no number for."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case _:
            return value
