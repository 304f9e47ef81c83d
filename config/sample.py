"""The Sample: one reading of one signal, and how far it may be trusted.

The words are those of OPC UA Part 8 (status codes) and HJ 212-2017 table 8 (data flags); both are carried
so that nothing needs to be guessed at the far end.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple

Value = float | int | bool | str | None


class Quality(IntEnum):
    """How far a value may be trusted. The numbers are the top two bits of an OPC UA status code."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Reason(StrEnum):
    """Why a quality is what it is. ``OK`` goes with GOOD only; every other reason says what is wrong."""

    OK = "ok"
    NOT_YET_READ = "not-yet-read"
    NO_COMMUNICATION = "no-communication"
    DEVICE_REFUSED = "device-refused"
    DEVICE_BUSY = "device-busy"
    DEVICE_FAULT = "device-fault"
    NOT_A_NUMBER = "not-a-number"
    OUT_OF_RANGE = "out-of-range"
    OVER_RANGE = "over-range"
    UNDER_RANGE = "under-range"
    JUMPED = "jumped"
    STALE = "stale"
    FROZEN = "frozen"
    MAINTENANCE = "maintenance"
    CALIBRATION = "calibration"
    OUT_OF_SERVICE = "out-of-service"
    MANUAL = "manual"
    SERVER_UNCERTAIN = "server-uncertain"
    UNIT_CHANGED = "unit-changed"
    WRITE_ONLY = "write-only"


_OPCUA_STATUS: dict[Reason, int] = {
    Reason.OK: 0x0000_0000,  # Good
    Reason.NOT_YET_READ: 0x8032_0000,  # BadWaitingForInitialData
    Reason.NO_COMMUNICATION: 0x8031_0000,  # BadNoCommunication
    Reason.DEVICE_REFUSED: 0x808B_0000,  # BadDeviceFailure
    Reason.DEVICE_BUSY: 0x8004_0000,  # BadResourceUnavailable
    Reason.DEVICE_FAULT: 0x808B_0000,  # BadDeviceFailure
    Reason.NOT_A_NUMBER: 0x808C_0000,  # BadSensorFailure
    Reason.OUT_OF_RANGE: 0x803C_0000,  # BadOutOfRange
    Reason.OVER_RANGE: 0x4094_0000,  # UncertainEngineeringUnitsExceeded
    Reason.UNDER_RANGE: 0x4094_0000,  # UncertainEngineeringUnitsExceeded
    Reason.JUMPED: 0x4093_0000,  # UncertainSensorNotAccurate
    Reason.STALE: 0x4090_0000,  # UncertainLastUsableValue
    Reason.FROZEN: 0x4093_0000,  # UncertainSensorNotAccurate
    Reason.MAINTENANCE: 0x808D_0000,  # BadOutOfService
    Reason.CALIBRATION: 0x808D_0000,  # BadOutOfService
    Reason.OUT_OF_SERVICE: 0x808D_0000,  # BadOutOfService
    Reason.MANUAL: 0x4091_0000,  # UncertainSubstituteValue
    Reason.SERVER_UNCERTAIN: 0x4000_0000,  # Uncertain
    Reason.UNIT_CHANGED: 0x4093_0000,  # UncertainSensorNotAccurate
    Reason.WRITE_ONLY: 0x803A_0000,  # BadNotReadable
}

_HJ212_FLAG: dict[Reason, str] = {
    Reason.OK: "N",
    Reason.NOT_YET_READ: "B",
    Reason.NO_COMMUNICATION: "B",
    Reason.DEVICE_REFUSED: "D",
    Reason.DEVICE_BUSY: "B",
    Reason.DEVICE_FAULT: "D",
    Reason.NOT_A_NUMBER: "D",
    Reason.OUT_OF_RANGE: "D",
    Reason.OVER_RANGE: "T",
    Reason.UNDER_RANGE: "D",
    Reason.JUMPED: "D",
    Reason.STALE: "B",
    Reason.FROZEN: "D",
    Reason.MAINTENANCE: "M",
    Reason.CALIBRATION: "C",
    Reason.OUT_OF_SERVICE: "F",
    Reason.MANUAL: "S",
    Reason.SERVER_UNCERTAIN: "D",
    Reason.UNIT_CHANGED: "D",
    Reason.WRITE_ONLY: "F",
}

_QUALITY_OF: dict[Reason, Quality] = {reason: Quality(min(status >> 30, 2)) for reason, status in _OPCUA_STATUS.items()}


def quality_of(reason: Reason) -> Quality:
    """The quality that goes with a reason (the severity bits of its OPC UA status code)."""
    return _QUALITY_OF[reason]


def opcua_status(reason: Reason) -> int:
    """The 32-bit OPC UA status code of a reason (OPC 10000-6 annex A.2)."""
    return _OPCUA_STATUS[reason]


def hj212_flag(reason: Reason) -> str:
    """The HJ 212-2017 table 8 data flag (N F M C D T B S) of a reason."""
    return _HJ212_FLAG[reason]


class Sample(NamedTuple):
    """One reading of a signal.

    ``value``: in the signal's unit (see ``config.units``), ``None`` whenever there is no number to give.
    ``quality``, ``reason``: see above. ``received``: when the reply arrived, seconds on the monotonic clock
    of the event loop. ``source_time``: the instrument's own time of the value, seconds UTC, ``None`` where
    it gives none. ``raw``: the bytes on the wire that the value was decoded from, for `why`.
    """

    value: Value
    quality: Quality
    reason: Reason
    received: float
    source_time: float | None = None
    raw: bytes = b""

    @property
    def good(self) -> bool:
        """True for a value measured now, by the right unit, at the right address."""
        return self.quality is Quality.GOOD

    @property
    def number(self) -> float | None:
        """The value of a good reading of a number, else ``None``."""
        value = self.value
        if self.quality is not Quality.GOOD or not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value)

    def degraded(self, reason: Reason) -> "Sample":
        """The same reading with a worse quality; a BAD reason also drops the value."""
        quality = _QUALITY_OF[reason]
        value = None if quality is Quality.BAD else self.value
        return Sample(value, quality, reason, self.received, self.source_time, self.raw)


def bad(reason: Reason, received: float, raw: bytes = b"") -> Sample:
    """A reading that gave no value."""
    return Sample(None, Quality.BAD, reason, received, None, raw)


NOT_YET_READ = Sample(None, Quality.BAD, Reason.NOT_YET_READ, float("-inf"))
"""What every slot of the image holds until its first reading."""
