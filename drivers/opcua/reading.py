"""A DataValue of a server as a Sample: its status as quality and reason, its value in the signal's unit.

The status is kept whole, as eight hexadecimal digits in ``Sample.raw``. Its top two bits are the severity
(OPC 10000-4, 7.39); names and numbers of the codes are those of OPC 10000-6, annex A.2.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from asyncua import ua

from config.profile import OpcUaSignal
from config.sample import Quality, Reason, Sample, Value, bad, quality_of
from config.signals import Signal
from drivers.opcua.errors import is_printable

Decoder = Callable[[ua.DataValue, float], Sample]
"""Makes the sample of a value and the time at which it was received."""

CODE: Final = 0xFFFF_0000
"""The part of a status that is its code; the rest are bits about the value."""
OVERFLOW: Final = 0x0480
"""Info type DataValue with the overflow bit: the item's queue on the server has lost values."""
SEMANTICS_CHANGED: Final = 0x4000
"""What the value means has changed, its unit perhaps; told once, with the first value after it."""

_BAD: Final[dict[int, Reason]] = {
    0x8005_0000: Reason.NO_COMMUNICATION,  # BadCommunicationError
    0x800A_0000: Reason.NO_COMMUNICATION,  # BadTimeout
    0x800C_0000: Reason.NO_COMMUNICATION,  # BadShutdown
    0x800D_0000: Reason.NO_COMMUNICATION,  # BadServerNotConnected
    0x8031_0000: Reason.NO_COMMUNICATION,  # BadNoCommunication
    0x808A_0000: Reason.NO_COMMUNICATION,  # BadNotConnected
    0x8032_0000: Reason.NOT_YET_READ,  # BadWaitingForInitialData
    0x8004_0000: Reason.DEVICE_BUSY,  # BadResourceUnavailable
    0x801F_0000: Reason.DEVICE_REFUSED,  # BadUserAccessDenied
    0x8033_0000: Reason.DEVICE_REFUSED,  # BadNodeIdInvalid
    0x8034_0000: Reason.DEVICE_REFUSED,  # BadNodeIdUnknown
    0x8035_0000: Reason.DEVICE_REFUSED,  # BadAttributeIdInvalid
    0x803D_0000: Reason.DEVICE_REFUSED,  # BadNotSupported
    0x803A_0000: Reason.WRITE_ONLY,  # BadNotReadable
    0x803C_0000: Reason.OUT_OF_RANGE,  # BadOutOfRange
    0x808D_0000: Reason.OUT_OF_SERVICE,  # BadOutOfService
}
_UNCERTAIN: Final[dict[int, Reason]] = {
    0x408F_0000: Reason.STALE,  # UncertainNoCommunicationLastUsableValue
    0x4090_0000: Reason.STALE,  # UncertainLastUsableValue
    0x4091_0000: Reason.MANUAL,  # UncertainSubstituteValue
    0x4208_0000: Reason.MANUAL,  # UncertainTransducerInManual
    0x4209_0000: Reason.MANUAL,  # UncertainSimulatedValue
    0x4094_0000: Reason.OVER_RANGE,  # UncertainEngineeringUnitsExceeded
}
_GOOD_LOCAL_OVERRIDE: Final = 0x0096_0000
"""A value that somebody has put in the place of the measured one: good for the server, no measurement for us."""


def reason_of(status: int) -> Reason:
    """What a 32-bit status code says of a value."""
    severity = status >> 30
    if severity >= Quality.BAD:
        return _BAD.get(status & CODE, Reason.DEVICE_FAULT)
    if severity == Quality.UNCERTAIN:
        return _UNCERTAIN.get(status & CODE, Reason.SERVER_UNCERTAIN)
    if status & CODE == _GOOD_LOCAL_OVERRIDE:
        return Reason.MANUAL
    return Reason.UNIT_CHANGED if status & SEMANTICS_CHANGED else Reason.OK


def status_of(data: ua.DataValue) -> int:
    """The 32-bit status code; a server leaves a plain Good out."""
    return int(data.StatusCode.value) if data.StatusCode is not None else 0


def definition_of(signal: Signal) -> OpcUaSignal:
    """The signal's entry in its profile."""
    assert isinstance(signal.definition, OpcUaSignal)
    return signal.definition


def decoder(signal: Signal) -> Decoder:
    """The way from a signal's DataValue to its Sample."""
    definition = definition_of(signal)
    convert = {"number": _number(signal, definition), "bool": _bool, "text": _text}[definition.type]

    def decode(data: ua.DataValue, received: float) -> Sample:
        status = status_of(data)
        raw = b"%08X" % status
        time = source_time(data)
        reason = reason_of(status) if status else Reason.OK
        quality = quality_of(reason)
        if quality is Quality.BAD:
            return Sample(None, quality, reason, received, time, raw)
        value, wrong = convert(data.Value.Value if data.Value is not None else None)
        if wrong is not None:
            return Sample(None, quality_of(wrong), wrong, received, time, raw)
        return Sample(value, quality, reason, received, time, raw)

    return decode


def lost(received: float) -> Sample:
    """What a signal is when its server cannot be reached."""
    return bad(Reason.NO_COMMUNICATION, received)


def same(one: ua.DataValue, other: ua.DataValue) -> bool:
    """True when both tell the same value with the same status; times and bits about the value aside."""
    if (status_of(one) ^ status_of(other)) & CODE:
        return False
    first = one.Value.Value if one.Value is not None else None
    second = other.Value.Value if other.Value is not None else None
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)


def source_time(data: ua.DataValue) -> float | None:
    """Seconds UTC of the server's time of a value; ``None`` without one, and for the year 1601 that means the same."""
    time = utc(data.SourceTimestamp) if data.SourceTimestamp is not None else 0.0
    return time if time > 0 else None


def source_age(data: ua.DataValue) -> float | None:
    """Seconds from the time of the source to that of the server, which keeps both: no clock of ours is in it."""
    source = source_time(data)
    if source is None or data.ServerTimestamp is None:
        return None
    return max(utc(data.ServerTimestamp) - source, 0.0)


def utc(stamp: datetime) -> float:
    """Seconds UTC of a time stamp as asyncua gives it: UTC without saying so."""
    return stamp.replace(tzinfo=UTC).timestamp()


_Converted = tuple[Value, Reason | None]


def _number(signal: Signal, definition: OpcUaSignal) -> Callable[[object], _Converted]:
    scale, offset, factor, bias = definition.scale, definition.offset, signal.factor, signal.bias
    low, high = definition.range if definition.range is not None else (-math.inf, math.inf)

    def convert(value: object) -> _Converted:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None, Reason.NOT_A_NUMBER
        declared = value * scale + offset
        if not low <= declared <= high:
            return None, Reason.OUT_OF_RANGE
        shown = declared * factor + bias
        return (shown, None) if math.isfinite(shown) else (None, Reason.NOT_A_NUMBER)

    return convert


def _bool(value: object) -> _Converted:
    if isinstance(value, bool):
        return value, None
    # Servers show a bit as a number; anything else than 0 and 1 is no answer to a yes or no.
    return (bool(value), None) if isinstance(value, int) and value in (0, 1) else (None, Reason.NOT_A_NUMBER)


def _text(value: object) -> _Converted:
    if isinstance(value, ua.LocalizedText):
        value = value.Text
    if not isinstance(value, str | bool | int | float):
        return None, Reason.NOT_A_NUMBER
    text = str(value)
    # asyncua puts a lone surrogate in the place of each byte that is no UTF-8; that is not printable either.
    return (text, None) if is_printable(text) else (None, Reason.NOT_A_NUMBER)
