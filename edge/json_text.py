"""JSON between processes, files and the platform, as UTF-8 can hold it.

JSON may name half a character (a lone surrogate, ``"\\ud800"``) that no file, database or message can hold. From
outside it is refused; what has come in by another way, such as a text out of an instrument, is written as that escape.
"""

import json
from typing import Any


def parsed(data: bytes | str) -> Any:
    """The value of a JSON text. Raises ``ValueError`` for one that is none, or that UTF-8 cannot hold."""
    value = json.loads(data)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def encoded(value: Any, *, sort_keys: bool = False) -> bytes:
    """A value as compact JSON."""
    return held(json.dumps(value, ensure_ascii=False, sort_keys=sort_keys, separators=(",", ":"))).encode()


def held(text: str) -> str:
    """A text as UTF-8 can hold it; within JSON it stays the same text."""
    return text.encode("utf-8", "backslashreplace").decode()
