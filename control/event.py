"""What happened in a scan and must be remembered: the ledger takes every one, in order."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What kind of record an event becomes."""

    EVENT = "event"
    RECEIPT = "receipt"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Event:
    """``name`` says what (``trip``, ``reset``, ``receipt``), ``subject`` where, ``body`` the figures, as JSON."""

    kind: Kind
    name: str
    subject: str
    body: dict[str, Any]
