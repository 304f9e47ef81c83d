"""The arguments of a request on the controller's socket, each checked before anything is done."""

import math
from typing import Any, Final

MAX_TEXT: Final = 200
"""Longest text taken from a request."""


class BadRequest(Exception):
    """A request whose arguments are missing or of the wrong kind."""


def text(request: dict[str, Any], key: str, default: str | None = None) -> str:
    """A text of at most ``MAX_TEXT`` characters."""
    value = request.get(key, default)
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise BadRequest(f"'{key}' must be a text of at most {MAX_TEXT} characters")
    return value


def number(request: dict[str, Any], key: str, default: float | None = None) -> float:
    """A finite number."""
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequest(f"'{key}' must be a number")
    return float(value)


def whole(request: dict[str, Any], key: str, default: int | None = None) -> int:
    """A whole number."""
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"'{key}' must be a whole number")
    return value


def texts(request: dict[str, Any], key: str, most: int) -> list[str]:
    """A list of at most ``most`` texts; empty when it is not given."""
    values = request.get(key, [])
    if not isinstance(values, list) or len(values) > most or not all(isinstance(v, str) for v in values):
        raise BadRequest(f"'{key}' must be a list of at most {most} texts")
    return values


def wholes(request: dict[str, Any], key: str, most: int) -> list[int]:
    """A list of one to ``most`` whole numbers."""
    values = request.get(key)
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise BadRequest(f"'{key}' must be a list of 1 to {most} whole numbers")
    if any(isinstance(v, bool) or not isinstance(v, int) for v in values):
        raise BadRequest(f"'{key}' must be a list of whole numbers")
    return values
