"""Which alarms each thing has, and the priority of each: the list from which the alarms of a station are made at load.

A thing raises an alarm by handing its cause to ``Work.alarm`` under its own name; what it may raise must stand here.
The alarm's id is that name and the code: ``RIO-101.offline``, ``FILL-1.turbidity.result-stale``. Whatever a dispenser
itself raises stands in ``response.py``, beside what is done about it.
"""

from collections.abc import Mapping
from typing import Final

from control.alarm import Priority
from control.code import Code

TRIP: Final = "trip"
OFFLINE: Final = "offline"
NOT_FOLLOWED: Final = "not-followed"
OVERRIDDEN: Final = "overridden"
BYPASSED: Final = "bypassed"
ALLOCATION_NAME: Final = "allocation"
"""What raises the alarms of the allocation as a whole."""

Declared = Mapping[str, Priority]
"""The priority of each alarm that a thing may raise, by the alarm's name."""

UNDECLARED: Final = "controller.undeclared"
"""The alarm that shows what is raised without standing in this list, so that nothing is lost to a mistake in it."""

PUMP_FAULTS: Final[Declared] = {
    Code.PUMP_NOT_RUNNING: Priority.MEDIUM,
    Code.PUMP_NOT_STOPPED: Priority.MEDIUM,
    Code.PUMP_UNKNOWN: Priority.MEDIUM,
    Code.PUMP_FAULT: Priority.MEDIUM,
    Code.PUMP_DRY: Priority.MEDIUM,
    Code.PUMP_SUCTION_LOW: Priority.MEDIUM,
    Code.PUMP_CLOSED_PATH: Priority.MEDIUM,
    Code.PUMP_LOCAL: Priority.MEDIUM,
    Code.PUMP_OUT_OF_SERVICE: Priority.LOW,
}
"""Of the pump of a dispenser, raised there; of a pump of a group, raised by the pump."""
DISPENSER: Final[Declared] = {
    TRIP: Priority.HIGH,
    Code.LEVEL_LOW: Priority.MEDIUM,
    Code.LEVEL_LOW_LOW: Priority.MEDIUM,
    Code.LEVEL_UNKNOWN: Priority.MEDIUM,
    Code.VALVE_NOT_OPENED: Priority.MEDIUM,
    Code.VALVE_NOT_CLOSED: Priority.MEDIUM,
    Code.VALVE_LEFT_POSITION: Priority.MEDIUM,
    Code.VALVE_CONTRADICTION: Priority.MEDIUM,
    Code.VALVE_UNKNOWN: Priority.MEDIUM,
    Code.VALVE_DRIFTED: Priority.MEDIUM,
    Code.VALVE_NOT_REACHED: Priority.MEDIUM,
    Code.VALVE_STUCK: Priority.MEDIUM,
    Code.VALVE_FAULT: Priority.MEDIUM,
    Code.VALVE_LOCAL: Priority.MEDIUM,
    Code.GROUP_NO_PUMP: Priority.HIGH,
    **PUMP_FAULTS,
}
"""Its trip, its supply, its equipment."""
_LIMITED: Final[Declared] = {
    Code.MARK_TOO_LONG: Priority.MEDIUM,
    Code.PROOF_TEST_DUE: Priority.LOW,
    Code.MARK_DAY_USED: Priority.MEDIUM,
    Code.BREACH_AHEAD: Priority.LOW,
}
GUARD: Final[Mapping[str, Declared]] = {
    "fast": {
        **_LIMITED,
        Code.QUALITY_UNKNOWN: Priority.MEDIUM,
        Code.ABOVE_WARN: Priority.LOW,
        Code.BELOW_WARN: Priority.LOW,
    },
    "batch": {
        **_LIMITED,
        Code.RESULT_AGING: Priority.LOW,
        Code.RESULT_STALE: Priority.MEDIUM,
        Code.RESULT_EXPIRED: Priority.MEDIUM,
        Code.NO_RESULT: Priority.MEDIUM,
        Code.RESULT_AHEAD: Priority.MEDIUM,
        Code.RESULT_ZERO: Priority.MEDIUM,
        Code.RESULT_ABOVE_WARN: Priority.LOW,
        Code.RESULT_BELOW_WARN: Priority.LOW,
    },
    "permit": {
        Code.PERMIT_AGING: Priority.LOW,
        Code.PERMIT_STALE: Priority.MEDIUM,
        Code.PERMIT_EXPIRED: Priority.MEDIUM,
        Code.PERMIT_AHEAD: Priority.MEDIUM,
        Code.NO_PERMIT: Priority.MEDIUM,
        Code.FLUSHING: Priority.LOW,
    },
}
"""Short of a breach, which is a trip; by kind of guard."""
SIGNAL: Final[Declared] = {
    Code.SIGNAL_ABOVE_RANGE: Priority.MEDIUM,
    Code.SIGNAL_BELOW_RANGE: Priority.MEDIUM,
    Code.SIGNAL_JUMPED: Priority.MEDIUM,
    Code.SIGNAL_FROZEN: Priority.MEDIUM,
    Code.SIGNAL_ZERO: Priority.MEDIUM,
    Code.LOOP_FAILED: Priority.MEDIUM,
    Code.LOOP_SATURATED: Priority.MEDIUM,
    Code.VOTE_DISAGREES: Priority.MEDIUM,
    Code.VOTE_SHORT: Priority.MEDIUM,
}
"""Of a signal that is judged, or calculated."""
VALVE: Final[Declared] = {
    Code.VALVE_STICKING: Priority.LOW,
    Code.VALVE_SLOW: Priority.LOW,
}
"""What comes before a fault, which is raised by the dispenser."""
PUMP: Final[Declared] = {Code.PUMP_SHORT_RUN: Priority.LOW, **PUMP_FAULTS}
ANALOG: Final[Declared] = {Code.ANALOG_NOT_FOLLOWED: Priority.MEDIUM}
LOOP: Final[Declared] = {
    Code.LOOP_BLIND: Priority.MEDIUM,
}
INTERLOCK: Final = (Code.INTERLOCK_ACTS, Code.INTERLOCK_UNKNOWN)
"""With the priority that the site file gives the interlock."""
OFF_TAKE: Final[Declared] = {
    Code.ALLOCATION_OUT: Priority.MEDIUM,
}
ALLOCATION: Final[Declared] = {
    Code.PRODUCTION_UNKNOWN: Priority.MEDIUM,
    Code.LEVEL_UNKNOWN: Priority.MEDIUM,
}
DEVICE: Final[Declared] = {OFFLINE: Priority.MEDIUM}
OUTPUT: Final[Declared] = {NOT_FOLLOWED: Priority.MEDIUM}

FORCED: Final[Declared] = {OVERRIDDEN: Priority.MEDIUM}
BYPASS: Final[Declared] = {BYPASSED: Priority.HIGH}

ON_DELAYS: Final[Mapping[str, float]] = {Code.QUALITY_UNKNOWN: 10.0, Code.NO_RESULT: 10.0}
"""On-delays in seconds: what is not known because the station has only just begun to read is nobody's alarm. It is the
alarm that waits; the water does not flow meanwhile."""
NOT_SILENCED: Final = frozenset({TRIP, OVERRIDDEN, BYPASSED})
"""Names of alarms that nobody may shelve or take out of service, unless the site file says so."""
