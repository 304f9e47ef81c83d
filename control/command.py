"""What people and the platform may ask of the controller, and the answer the scan gives."""

from dataclasses import dataclass
from enum import StrEnum

from control.cause import Cause


class Op(StrEnum):
    """The commands a scan understands."""

    ORDER = "order"
    CANCEL = "cancel"
    RESET = "reset"
    SETPOINT = "setpoint"


@dataclass(frozen=True, slots=True)
class Command:
    """One request.

    ``id`` is unique; ``source`` says who and by which way (``local:li.wei``, ``platform:dispatch``).
    ``volume_m3``, ``order_id``, ``vehicle`` go with an order, ``flow_m3h`` with a set-point.
    """

    id: str
    op: Op
    dispenser: str
    source: str
    order_id: str = ""
    volume_m3: float = 0.0
    vehicle: str = ""
    flow_m3h: float = 0.0

    @property
    def local(self) -> bool:
        """True when it came from a person on site."""
        return self.source.startswith("local:")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scan made of a command: accepted, or refused because of ``refusal``."""

    command: Command
    refusal: Cause | None = None
    text: str = ""

    @property
    def accepted(self) -> bool:
        return self.refusal is None
