"""What each thing that goes wrong at a dispenser leads to: its alarm, and what is done (see docs/dispensers.md).

A valve closes at its normal speed: water that is stopped at 1 m/s hits the pipe with some 10 bar (Joukowsky, shared
water notes 3.5). Only a burst and an overfill close it as fast as is safe.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from control.alarm import Priority
from control.cause import root
from control.code import Code
from control.trip import TripState


class Action(StrEnum):
    """What is done beside the alarm."""

    CONTINUE = "continues"
    REFUSE = "refuses"
    """Takes no new order; what runs goes on."""
    STOP = "stops"
    """Ends the fill, or closes the off-take for as long as it lasts, at the valve's normal speed."""
    STOP_FAST = "stops fast"
    """Ends the fill by the fastest safe close."""
    TRIP = "trips"
    """Latches a trip at the valve's normal speed: a person must look."""
    TRIP_FAST = "trips fast"
    """Latches a trip by the fastest safe close."""
    THROTTLE = "throttles or stops"
    """As ``at_limit`` says."""


class Response(NamedTuple):
    """``alarm``: its priority, ``None`` where it is no alarm but the ordinary end of a fill."""

    alarm: Priority | None
    action: Action


BATCH: Final[dict[Code, Response]] = {
    Code.NO_FLOW: Response(Priority.MEDIUM, Action.STOP),
    Code.LOW_FLOW: Response(Priority.LOW, Action.CONTINUE),
    Code.HIGH_FLOW: Response(Priority.HIGH, Action.TRIP_FAST),
    Code.OVERRUN: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.ORDER_TIMEOUT: Response(Priority.MEDIUM, Action.STOP),
    Code.METER_UNKNOWN: Response(Priority.MEDIUM, Action.STOP),
    Code.METER_DISAGREES: Response(Priority.MEDIUM, Action.STOP),
    Code.TOTALISER_BACKWARD: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.TOTALISER_JUMP: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.PIPE_EMPTY: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.FLOW_WITHOUT_ORDER: Response(Priority.HIGH, Action.TRIP),
    Code.FLOW_AFTER_CLOSE: Response(Priority.HIGH, Action.TRIP),
    Code.OVERFILL: Response(Priority.HIGH, Action.STOP_FAST),
    Code.HOSE_NOT_CONNECTED: Response(Priority.MEDIUM, Action.STOP),
    Code.PERMISSIVE_UNKNOWN: Response(Priority.MEDIUM, Action.STOP),
    Code.ARM_TIMEOUT: Response(None, Action.STOP),
    Code.ORDER_EXPIRED: Response(None, Action.STOP),
    Code.STOPPED_BY_DRIVER: Response(None, Action.STOP),
    Code.CANCELLED: Response(None, Action.STOP),
    Code.QUOTA_WARNING: Response(Priority.LOW, Action.CONTINUE),
    Code.QUOTA_NEAR: Response(Priority.LOW, Action.CONTINUE),
    Code.QUOTA_REACHED: Response(Priority.MEDIUM, Action.REFUSE),
    Code.QUOTA_CHANGED: Response(Priority.LOW, Action.CONTINUE),
}
"""Of a batch dispenser."""

CONTINUOUS: Final[dict[Code, Response]] = {
    Code.NO_FLOW: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.LOW_FLOW: Response(Priority.LOW, Action.CONTINUE),
    Code.HIGH_FLOW: Response(Priority.HIGH, Action.TRIP_FAST),
    Code.METER_UNKNOWN: Response(Priority.MEDIUM, Action.STOP),
    Code.METER_DISAGREES: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.TOTALISER_BACKWARD: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.TOTALISER_JUMP: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.PIPE_EMPTY: Response(Priority.MEDIUM, Action.CONTINUE),
    Code.PRESSURE_UNKNOWN: Response(Priority.MEDIUM, Action.STOP),
    Code.FLOW_WITHOUT_ORDER: Response(Priority.HIGH, Action.TRIP),
    Code.QUOTA_WARNING: Response(Priority.LOW, Action.CONTINUE),
    Code.QUOTA_NEAR: Response(Priority.LOW, Action.CONTINUE),
    Code.QUOTA_REACHED: Response(Priority.MEDIUM, Action.THROTTLE),
    Code.QUOTA_CHANGED: Response(Priority.LOW, Action.CONTINUE),
}
"""Of a continuous dispenser."""

TRIPS: Final = frozenset({Action.TRIP, Action.TRIP_FAST})
FAST: Final = frozenset({Action.STOP_FAST, Action.TRIP_FAST})
_BURSTS: Final = frozenset(code for code, to in (BATCH | CONTINUOUS).items() if to.action is Action.TRIP_FAST)


def closes_fast(trip: TripState) -> bool:
    """True while a trip stands whose first cause asks for the fastest safe close."""
    return trip.cause is not None and root(trip.cause).code in _BURSTS
