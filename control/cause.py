"""Why something is as it is: a chain from an output down to the value on the wire.

Every demand, refusal, trip and alarm carries a Cause. A Cause is data (a code and its figures), so that the
platform can match on it and a person can read it in their language; ``sentence`` renders it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from config.sample import Reason, Sample, Value


class Code(StrEnum):
    """What kind of cause. Stable across versions."""

    TRIPPED = "tripped"
    ABOVE_LIMIT = "above-limit"
    BELOW_LIMIT = "below-limit"
    ABOVE_INSTANT = "above-instant-limit"
    BELOW_INSTANT = "below-instant-limit"
    OVER_RANGE = "over-range"
    RESULT_ABOVE = "result-above-limit"
    RESULT_BELOW = "result-below-limit"
    QUALITY_UNKNOWN = "quality-unknown"
    MARK_TOO_LONG = "mark-too-long"
    RESULT_AGING = "result-aging"
    RESULT_STALE = "result-stale"
    RESULT_EXPIRED = "result-expired"
    NO_RESULT = "no-result"
    NOT_CLEAR_YET = "not-clear-yet"
    RESULTS_NEEDED = "results-needed"
    LEVEL_LOW = "level-low"
    LEVEL_LOW_LOW = "level-low-low"
    LEVEL_UNKNOWN = "level-unknown"
    METER_UNKNOWN = "meter-unknown"
    VALVE_NOT_OPENED = "valve-not-opened"
    VALVE_NOT_CLOSED = "valve-not-closed"
    VALVE_LEFT_POSITION = "valve-left-position"
    VALVE_CONTRADICTION = "valve-contradiction"
    VALVE_UNKNOWN = "valve-unknown"
    PUMP_NOT_RUNNING = "pump-not-running"
    PUMP_NOT_STOPPED = "pump-not-stopped"
    PUMP_UNKNOWN = "pump-unknown"
    NO_FLOW = "no-flow"
    HIGH_FLOW = "high-flow"
    FLOW_WITHOUT_ORDER = "flow-without-order"
    FLOW_AFTER_CLOSE = "flow-after-close"
    OVERRUN = "overrun"
    TOTALISER_BACKWARD = "totaliser-backward"
    ORDER_TIMEOUT = "order-timeout"
    PRESET_REACHED = "preset-reached"
    CANCELLED = "cancelled"
    RESTARTED = "restarted"
    NO_ORDER = "no-order"
    FILLING = "filling"
    CLOSING = "closing"
    REGULATING = "regulating"
    SETPOINT_NIL = "setpoint-nil"
    VALVE_FIRST = "valve-first"
    BUSY = "busy"
    ORDER_SEEN = "order-seen"
    VOLUME_NOT_ALLOWED = "volume-not-allowed"
    SETPOINT_NOT_ALLOWED = "setpoint-not-allowed"
    NOT_TRIPPED = "not-tripped"
    RESET_ONLY_LOCAL = "reset-only-local"
    NOTHING_TO_CANCEL = "nothing-to-cancel"
    NO_SUCH_DISPENSER = "no-such-dispenser"
    WRONG_MODE = "wrong-mode"
    DEVICE_OFFLINE = "device-offline"
    OUTPUT_NOT_FOLLOWED = "output-not-followed"
    NOT_USED = "not-used"
    FAULT_STANDS = "fault-stands"
    STATE_LOST = "state-lost"


_SENTENCES: dict[Code, str] = {
    Code.TRIPPED: "{s} is tripped since {0}; it needs a reset by a person",
    Code.ABOVE_LIMIT: "{s} was above its stop limit {0} for {1}",
    Code.BELOW_LIMIT: "{s} was below its stop limit {0} for {1}",
    Code.ABOVE_INSTANT: "{s} is above its instant limit {0}",
    Code.BELOW_INSTANT: "{s} is below its instant limit {0}",
    Code.OVER_RANGE: "{s} is over the range of its instrument, which counts as above the limit {0}",
    Code.RESULT_ABOVE: "{s}: an analyzer result is above the limit {0}",
    Code.RESULT_BELOW: "{s}: an analyzer result is below the limit {0}",
    Code.QUALITY_UNKNOWN: "{s} is not known ({0}), so the water is not known to be fit",
    Code.MARK_TOO_LONG: "{s} has been marked {0} for longer than {1}",
    Code.RESULT_AGING: "{s}: the newest analyzer result is {0} old, later than expected",
    Code.RESULT_STALE: "{s}: the newest analyzer result is {0} old, too old to start on",
    Code.RESULT_EXPIRED: "{s}: the newest analyzer result is {0} old, too old to go on",
    Code.NO_RESULT: "{s}: the analyzer has given no valid result yet",
    Code.NOT_CLEAR_YET: "{s} must stay good and within {0} for {1} more",
    Code.RESULTS_NEEDED: "{s} needs {0} more good analyzer results within {1}",
    Code.LEVEL_LOW: "{s} is below {0}: no new order",
    Code.LEVEL_LOW_LOW: "{s} is below {0}",
    Code.LEVEL_UNKNOWN: "{s} is not known ({0}), which counts as empty",
    Code.METER_UNKNOWN: "{s} is not known ({0}), so water could not be accounted for",
    Code.VALVE_NOT_OPENED: "{s} did not reach open within {0}",
    Code.VALVE_NOT_CLOSED: "{s} did not reach closed within {0}",
    Code.VALVE_LEFT_POSITION: "{s} left closed without a command",
    Code.VALVE_CONTRADICTION: "{s} shows open and closed at the same time: limit switch or wiring fault",
    Code.VALVE_UNKNOWN: "the position of {s} is not known ({0})",
    Code.PUMP_NOT_RUNNING: "{s} gave no run feedback within {0}",
    Code.PUMP_NOT_STOPPED: "{s} still reports running {0} after its stop",
    Code.PUMP_UNKNOWN: "the run feedback of {s} is not known ({0})",
    Code.NO_FLOW: "{s}: no flow for {0} with the valve open",
    Code.HIGH_FLOW: "{s}: flow {0} is above {1}",
    Code.FLOW_WITHOUT_ORDER: "{s}: water flows ({0}) without an order",
    Code.FLOW_AFTER_CLOSE: "{s}: water still flows ({0}) after the valve was closed",
    Code.OVERRUN: "{s}: delivered {0}, more than ordered ({1}) by more than the pre-act limit",
    Code.TOTALISER_BACKWARD: "{s}: the totaliser went back from {0} to {1}; counting goes on from there",
    Code.ORDER_TIMEOUT: "{s}: the order was not finished within {0}",
    Code.PRESET_REACHED: "{s}: the ordered volume {0} is reached",
    Code.CANCELLED: "{s}: cancelled by {0}",
    Code.RESTARTED: "{s}: the controller was restarted during the fill; a fill is never resumed",
    Code.NO_ORDER: "{s} has no order",
    Code.FILLING: "{s} fills order {0}: {1} of {2}",
    Code.CLOSING: "{s} ends order {0}",
    Code.REGULATING: "{s} holds {0}",
    Code.SETPOINT_NIL: "{s} has a set-point of nil",
    Code.VALVE_FIRST: "{s} waits for {0} to leave closed before it starts",
    Code.BUSY: "{s} is busy with order {0}",
    Code.ORDER_SEEN: "order {0} has been carried out before",
    Code.VOLUME_NOT_ALLOWED: "a volume of {0} is not allowed; more than nil and up to {1} is",
    Code.SETPOINT_NOT_ALLOWED: "a set-point of {0} is not allowed; 0 to {1} is",
    Code.NOT_TRIPPED: "{s} is not tripped",
    Code.RESET_ONLY_LOCAL: "{s} may only be reset by a person on site",
    Code.NOTHING_TO_CANCEL: "{s} has no order that could still be cancelled",
    Code.NO_SUCH_DISPENSER: "there is no dispenser '{s}'",
    Code.WRONG_MODE: "{s} is a {0} dispenser, which does not take '{1}'",
    Code.DEVICE_OFFLINE: "{s} does not answer ({0})",
    Code.OUTPUT_NOT_FOLLOWED: "{s} was written {0} but reads back {1}",
    Code.NOT_USED: "{s} belongs to no dispenser",
    Code.STATE_LOST: "what {s} remembered could not be read ({0}), so it may have been tripped",
    Code.FAULT_STANDS: "{s} cannot be reset while its cause stands",
}


class Seen(NamedTuple):
    """The reading a cause rests on, as it was then: what `why` shows as the value on the wire."""

    signal: str
    value: Value
    unit: str
    reason: str
    utc: float
    source_time: float | None
    raw: str


@dataclass(frozen=True, slots=True)
class Cause:
    """One link of a chain: ``subject`` is the tag or signal it speaks of, ``values`` its figures with units."""

    code: Code
    subject: str
    values: tuple[str, ...] = ()
    because: "Cause | None" = None
    seen: Seen | None = None


def seen(name: str, unit: str, sample: Sample, utc: float) -> Seen:
    """Keeps a reading for a cause."""
    return Seen(name, sample.value, unit, str(sample.reason), utc, sample.source_time, sample.raw.hex(" "))


def sentence(cause: Cause) -> str:
    """One cause in words (English)."""
    return _SENTENCES[cause.code].format(*cause.values, s=cause.subject)


def chain(cause: Cause | None) -> list[Cause]:
    """A cause and what it rests on, outermost first."""
    links: list[Cause] = []
    while cause is not None:
        links.append(cause)
        cause = cause.because
    return links


def root(cause: Cause) -> Cause:
    """The first cause: the end of the chain."""
    return chain(cause)[-1]


def to_json(cause: Cause) -> dict[str, Any]:
    """A cause as JSON, with its sentence."""
    result: dict[str, Any] = {
        "code": str(cause.code),
        "subject": cause.subject,
        "values": list(cause.values),
        "text": sentence(cause),
    }
    if cause.seen is not None:
        result["seen"] = cause.seen._asdict()
    if cause.because is not None:
        result["because"] = to_json(cause.because)
    return result


def from_json(data: dict[str, Any]) -> Cause:
    """The inverse of ``to_json``. Raises ``KeyError`` or ``ValueError`` on anything else."""
    because = data.get("because")
    kept = data.get("seen")
    return Cause(
        Code(data["code"]),
        data["subject"],
        tuple(data["values"]),
        from_json(because) if because else None,
        Seen(**kept) if kept else None,
    )


def amount(value: float, unit: str) -> str:
    """A figure for a person: ``12.4 NTU``, ``90 s``, ``1.5 h``."""
    if unit == "s" and value >= 5400:
        return f"{value / 3600:.1f} h"
    # A total has the digits of its display, never an exponent.
    digits = 4 if abs(value) < 1e4 else 10
    return f"{value:.{digits}g} {unit}" if unit else f"{value:.{digits}g}"


def reason_text(sample: Sample) -> str:
    """Why a reading cannot be used, in words."""
    return str(sample.reason).replace("-", " ") if sample.reason is not Reason.OK else "no value"
