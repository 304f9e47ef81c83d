"""What is asked of a device step by step, by something that is told what came of each step.

An act is a generator of steps: what to ask, when to wait. Whoever has the line carries it out.
"""

from collections.abc import Generator
from typing import NamedTuple

from drivers.modbus.exceptions import exception_text
from drivers.modbus.transaction import Outcome, Result
from drivers.port import WriteResult


class Ask(NamedTuple):
    """A request, what its reply must begin with and how long that is."""

    pdu: bytes
    start: bytes
    reply_bytes: int


class BrokenOff(Exception):
    """Thrown into a procedure that is broken off (Ctrl-C): what it still asks for then takes back what it has begun."""


class Pause(NamedTuple):
    """Nothing for so many seconds; the bus does other things."""

    seconds: float


Step = Ask | Pause | WriteResult
"""A ``WriteResult`` answers who wanted the write; what follows is done for the record."""
Procedure = Generator[Step, Result, None]


def outcome_text(result: Result) -> str:
    """What came of a request, in words; "" for a reply."""
    match result.outcome:
        case Outcome.REPLY:
            return ""
        case Outcome.EXCEPTION:
            return exception_text(result.pdu[1])
        case Outcome.MALFORMED:
            return f"malformed reply {result.pdu.hex(' ')}"
        case Outcome.TIMEOUT:
            return "no reply"
        case Outcome.LOST:
            return result.pdu.decode("utf-8", "replace") or "connection lost"
