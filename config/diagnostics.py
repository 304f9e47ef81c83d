"""The figures that tell how links and devices do, as signals like any other.

They are recorded, sent and shown like readings: ``<link>.bus_load``, ``<device>.comm_timeouts``. Counters begin at
0 with each start of the controller.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class DiagnosticSignal:
    """One figure: what its values are, in which unit, and what it says."""

    kind: Literal["number", "bool"]
    unit: str
    description: str
    writable: bool = False


LINK_FIGURES: Final[dict[str, DiagnosticSignal]] = {
    "connected": DiagnosticSignal("bool", "1", "the port, connection or session is open"),
    "connects": DiagnosticSignal("number", "1", "times it was opened"),
    "bus_load": DiagnosticSignal("number", "%", "share of the time in which the bus was taken"),
    "crc_errors": DiagnosticSignal("number", "1", "frames with a wrong check sum"),
    "stray_bytes": DiagnosticSignal("number", "1", "bytes that belonged to no awaited reply"),
    "gaps": DiagnosticSignal("number", "1", "losses of notifications that a server admitted or a sequence showed"),
}
DEVICE_FIGURES: Final[dict[str, DiagnosticSignal]] = {
    "comm_online": DiagnosticSignal("bool", "1", "the device answers"),
    "comm_polls": DiagnosticSignal("number", "1", "requests sent"),
    "comm_timeouts": DiagnosticSignal("number", "1", "requests without a reply"),
    "comm_exceptions": DiagnosticSignal("number", "1", "requests that the device refused"),
    "comm_malformed": DiagnosticSignal("number", "1", "replies that could not be one"),
    "comm_missed": DiagnosticSignal("number", "1", "polls left out because the bus was late"),
    "comm_round_trip_p50": DiagnosticSignal("number", "s", "half of the last round trips took at most this"),
    "comm_round_trip_p99": DiagnosticSignal("number", "s", "99 % of the last round trips took at most this"),
}
