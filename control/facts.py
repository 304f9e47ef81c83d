"""What a dispenser reports of itself, as values that are recorded and sent like any signal."""

from config.sample import Value
from control.batch import BatchDispenser
from control.cause import root, sentence
from control.continuous import ContinuousDispenser, ContinuousState
from control.fill import BatchState
from control.permit import Permit, PermitState
from control.state import ScanState

BATCH_FACTS = (
    ("phase", "text"),
    ("tripped", "bool"),
    ("first_out", "text"),
    ("unattributed", "m3"),
    ("order", "text"),
    ("preset", "m3"),
    ("delivered", "m3"),
)
CONTINUOUS_FACTS = (
    ("phase", "text"),
    ("tripped", "bool"),
    ("first_out", "text"),
    ("unattributed", "m3"),
    ("setpoint", "m3/h"),
    ("opening", "%"),
    ("served", "m3"),
)
"""Name and unit of each fact (``bool`` and ``text`` have none), in the order in which ``facts`` gives them."""


PERMIT_FACTS = (("fit", "bool"), ("issued", "s"), ("ttl", "s"), ("because", "text"))
"""Of a permit that this site gives: when it was issued in seconds UTC, how long it holds, why it is not fit."""


def permit_facts(permit: Permit, state: PermitState) -> tuple[Value, ...]:
    """The facts of one permit, in the order of ``PERMIT_FACTS``."""
    because = sentence(state.cause) if state.cause is not None else ""
    return (state.fit is True, round(state.issued_utc, 3), permit.ttl, because)


def fact_names(dispenser: BatchDispenser | ContinuousDispenser) -> list[str]:
    """The names of a dispenser's facts."""
    return [name for name, _ in fact_units(dispenser)]


def fact_units(dispenser: BatchDispenser | ContinuousDispenser) -> tuple[tuple[str, str], ...]:
    """Name and unit of each of a dispenser's facts."""
    if isinstance(dispenser, BatchDispenser):
        return BATCH_FACTS
    return tuple((name, dispenser.unit if name == "setpoint" else unit) for name, unit in CONTINUOUS_FACTS)


def facts(state: ScanState, index: int) -> tuple[Value, ...]:
    """The facts of one dispenser, in the order of ``BATCH_FACTS`` or ``CONTINUOUS_FACTS``."""
    dispenser, trip = state.dispensers[index], state.trips[index].cause
    first_out = sentence(root(trip)) if trip is not None else ""
    common = (str(dispenser.phase), trip is not None, first_out, round(dispenser.meter.unattributed_m3, 6))
    match dispenser:
        case BatchState():
            order = dispenser.order
            if order is None:
                return (*common, "", 0.0, 0.0)
            return (*common, order.id, order.volume_m3, round(dispenser.delivered_m3, 6))
        case ContinuousState():
            return (
                *common,
                round(dispenser.ramped, 3),
                round(dispenser.opening, 2),
                round(dispenser.served_m3, 6),
            )
