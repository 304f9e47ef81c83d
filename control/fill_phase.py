"""The phases of a fill and every transition between them (the procedure of ISA-88, shared water notes 3.2).

``idle -> authorised -> checking -> armed -> slow start -> full flow -> slow finish -> closing -> settling -> receipt``;
from any state with an order ``stopping -> settling -> receipt``.
"""

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Where a fill stands."""

    IDLE = "idle"
    AUTHORISED = "authorised"
    CHECKING = "checking"
    ARMED = "armed"
    SLOW_START = "slow-start"
    FULL_FLOW = "full-flow"
    SLOW_FINISH = "slow-finish"
    CLOSING = "closing"
    STOPPING = "stopping"
    SETTLING = "settling"
    RECEIPT = "receipt"


DISPENSING: Final = frozenset({Phase.SLOW_START, Phase.FULL_FLOW, Phase.SLOW_FINISH})
"""The phases in which water may flow."""
ENDING: Final = frozenset({Phase.CLOSING, Phase.STOPPING, Phase.SETTLING, Phase.RECEIPT})
"""The phases in which there is nothing left to cancel."""

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.IDLE: frozenset({Phase.AUTHORISED}),
    Phase.AUTHORISED: frozenset({Phase.CHECKING, Phase.STOPPING}),
    Phase.CHECKING: frozenset({Phase.ARMED, Phase.STOPPING}),
    Phase.ARMED: frozenset({Phase.SLOW_START, Phase.STOPPING}),
    Phase.SLOW_START: frozenset({Phase.FULL_FLOW, Phase.SLOW_FINISH, Phase.CLOSING, Phase.STOPPING}),
    Phase.FULL_FLOW: frozenset({Phase.SLOW_FINISH, Phase.CLOSING, Phase.STOPPING}),
    Phase.SLOW_FINISH: frozenset({Phase.CLOSING, Phase.STOPPING}),
    Phase.CLOSING: frozenset({Phase.SETTLING}),
    Phase.STOPPING: frozenset({Phase.SETTLING}),
    Phase.SETTLING: frozenset({Phase.RECEIPT}),
    Phase.RECEIPT: frozenset({Phase.IDLE}),
}
"""Every transition there is; a dispenser takes no other."""
