"""What people and the platform may ask of the controller, and the answer the scan gives."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from config.sample import Value
from control.cause import Cause


class Op(StrEnum):
    """The commands a scan understands."""

    ORDER = "order"
    CANCEL = "cancel"
    RESET = "reset"
    SETPOINT = "setpoint"
    START = "start"
    PERMIT = "permit"
    QUOTA = "quota"
    PRE_ACT_RESET = "pre-act-reset"
    METER_REPLACED = "meter-replaced"
    FORCE = "force"
    RELEASE = "release"
    BYPASS = "bypass"
    END_BYPASS = "end-bypass"
    MODE = "mode"
    LOOP_SETPOINT = "loop-setpoint"
    LOOP_OUTPUT = "loop-output"
    TUNE = "tune"
    ACK = "ack"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    OUT_OF_SERVICE = "out-of-service"
    IN_SERVICE = "in-service"
    PUMP_OUT_OF_SERVICE = "pump-out-of-service"
    PUMP_IN_SERVICE = "pump-in-service"
    ROTATE = "rotate"
    PROOF_TEST = "proof-test"
    SIGN_OFF = "sign-off"


@dataclass(frozen=True, slots=True)
class Command:
    """One request.

    ``id`` is unique; ``target`` is the tag or name of what it is about (a dispenser, a loop, an alarm, an actuator);
    ``source`` says who and by which way (``local:li.wei``, ``platform:dispatch``). ``volume_m3``, ``order_id``,
    ``vehicle``, ``user``, ``use`` and ``expires_utc`` (until when it may begin) go with an order, ``flow_m3h`` with a
    set-point of flow; a set-point of pressure is a ``value`` in bar. A quota names its span (``daily``, ``yearly``) as
    ``value`` and its limit as ``volume_m3``, below nil for that of the site file; the ``value`` of a new meter is what
    it reads in m3. What else a command says stands in ``value``, in the unit of what it is about; ``duration_s`` is for
    how long it holds, ``count`` how many times, ``reason`` is why, in a person's words; ``issued_utc`` is when a permit
    was issued.
    """

    id: str
    op: Op
    target: str
    source: str
    order_id: str = ""
    volume_m3: float = 0.0
    vehicle: str = ""
    user: str = ""
    use: str = ""
    expires_utc: float | None = None
    flow_m3h: float = 0.0
    value: Value = None
    duration_s: float = 0.0
    count: int = 0
    reason: str = ""
    issued_utc: float = 0.0

    @property
    def local(self) -> bool:
        """True when it came from a person on site."""
        return self.source.startswith("local:")

    def arguments(self) -> dict[str, Any]:
        """What it says beyond its op and target: the arguments that are given."""
        given = {name: getattr(self, name) for name in _ARGUMENTS}
        return {name: value for name, value in given.items() if value not in ("", None)}


_ARGUMENTS = (
    "order_id",
    "volume_m3",
    "vehicle",
    "user",
    "use",
    "expires_utc",
    "flow_m3h",
    "value",
    "duration_s",
    "count",
    "reason",
    "issued_utc",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scan made of a command: accepted, or refused because of ``refusal``."""

    command: Command
    refusal: Cause | None = None
    text: str = ""

    @property
    def accepted(self) -> bool:
        return self.refusal is None
