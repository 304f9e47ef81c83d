"""Which instrument answers: how well what was read fits a profile.

A profile's ``identify`` says what no other model reads. Beyond it every signal is a witness: a float of a sane size in
its range, a code that is listed, a date that is one speak for the profile, each as much as it is unlikely by chance; a
refused register, an impossible number, an unlisted code speak against it. Zeros say next to nothing.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from config.command import Expected
from config.encoding import FLOATS, TIMES, Encoding
from config.modbus_signal import ModbusSignal
from config.profile import ModbusProfile
from config.sample import Quality, Reason
from drivers.modbus.decoder import modbus
from drivers.modbus.fresh import Reading

FINGERPRINT: Final = 8.0
"""What a signal of ``identify`` weighs: more than any measured value, for its value is told on purpose."""
SANE: Final = (1e-4, 1e7)
DOUBT: Final = 1.5
"""Weight against every profile from the start: a little that fits is not much."""


@dataclass(slots=True)
class Fit:
    """How a profile fits. ``points`` 0 to 100; ``for_it`` and ``against_it`` are weights, with a reason each."""

    name: str
    identified: bool = False
    for_it: float = 0.0
    against_it: float = 0.0
    fits: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def points(self) -> int:
        """How sure it is."""
        return round(100 * self.for_it / (self.for_it + self.against_it + DOUBT))

    def note(self, weight: float, why: str) -> None:
        """Takes what one signal says: for the profile with a weight above 0, against it below."""
        if weight >= 0:
            self.for_it += weight
            self.fits += [why] if weight >= 0.5 else []
        else:
            self.against_it -= weight
            self.misfits.append(why)


def note_identity(fit: Fit, profile: ModbusProfile, readings: Iterable[Reading]) -> None:
    """Takes the signals of a profile's ``identify``."""
    right = 0
    for reading in readings:
        wanted = profile.identify.get(reading.signal.field)
        if wanted is None:
            continue
        if _same(reading, wanted):
            right += 1
            fit.note(FINGERPRINT, f"{reading.signal.field} reads {wanted}, as only this model does")
        else:
            seen = reading.error or _shown(reading)
            fit.note(-FINGERPRINT, f"{reading.signal.field} must read {wanted}: {seen}")
    fit.identified = right > 0 and right == len(profile.identify)


def note_readings(fit: Fit, readings: Iterable[Reading]) -> None:
    """Takes readings of a profile's signals. What is refused in one block counts once."""
    refused: set[str] = set()
    for reading in readings:
        if reading.error:
            if reading.error not in refused:
                refused.add(reading.error)
                fit.note(-1.0, f"{reading.signal.field}: {reading.error}")
            else:
                fit.note(-0.3, f"{reading.signal.field}: {reading.error}")
            continue
        weight, why = _witness(reading)
        fit.note(weight, f"{reading.signal.field} {why}")


def ranked(fits: Mapping[str, Fit]) -> list[Fit]:
    """The best first."""
    return sorted(fits.values(), key=lambda fit: (not fit.identified, -fit.points, -fit.for_it, fit.name))


def _witness(reading: Reading) -> tuple[float, str]:
    signal, sample = reading.signal, reading.sample
    definition = modbus(signal)
    if not any(sample.raw):
        return (0.05, "reads zero") if sample.quality is Quality.GOOD else (-0.3, "zeros, which it cannot read")
    if definition.type is Encoding.BOOL:
        return 0.02, "is on or off"
    if sample.quality is Quality.BAD:
        return _bad(definition, sample.reason, sample.raw)
    shown = _shown(reading)
    if definition.type in TIMES:
        return 2.0, f"is a time: {shown}"
    if definition.type is Encoding.STRING:
        return (2.0, f"is a text: {shown}") if sample.value else (-0.3, "is an empty text")
    if definition.enum or definition.switch is not None:
        return 0.8, f"is a code that is listed: {shown}"
    assert isinstance(sample.value, int | float)
    if definition.type in FLOATS:
        return _float(float(sample.value), definition, shown)
    ranged = f"is in its range: {shown}"
    if definition.range is None:
        return 0.1, f"reads {shown}"
    # What of all its registers can hold is in range: the smaller, the more it says.
    width = abs(definition.range[1] - definition.range[0]) / abs(definition.scale)
    share = min(width / 2.0 ** (16 * definition.registers), 1.0)
    return min(max(-math.log10(share) / 2, 0.1), 1.5), ranged


def _float(value: float, definition: ModbusSignal, shown: str) -> tuple[float, str]:
    if not SANE[0] <= abs(value) <= SANE[1]:
        return -0.7, f"is a float of odd size: {shown}"
    return (1.5, f"is in its range: {shown}") if definition.range is not None else (1.0, f"is a sane float: {shown}")


def _bad(definition: ModbusSignal, reason: Reason, raw: bytes) -> tuple[float, str]:
    if reason is Reason.NOT_A_NUMBER and definition.type in FLOATS:
        return -0.4, f"is no number ({raw.hex(' ')}): not available, or another map"
    if reason in (Reason.NOT_A_NUMBER, Reason.OUT_OF_RANGE):
        return -1.0, f"cannot be right: {raw.hex(' ')} ({reason})"
    # The device says of itself that the value is not to be used: its map may be this one all the same.
    return 0.1, f"is marked {reason}"


def _same(reading: Reading, wanted: Expected) -> bool:
    signal, seen = reading.signal, reading.sample.value
    if reading.error or seen is None:
        return False
    if isinstance(wanted, bool) or isinstance(seen, bool):
        return seen is wanted
    if isinstance(wanted, str) or isinstance(seen, str):
        return str(seen) == str(wanted)
    return math.isclose(seen, wanted * signal.factor + signal.bias, rel_tol=1e-6, abs_tol=1e-9)


def _shown(reading: Reading) -> str:
    value = reading.sample.value
    if value is None:
        return str(reading.sample.reason)
    if reading.signal.kind == "time" and isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = f"{value:.6g}" if number else str(value)
    return f"{text} {reading.signal.unit}".strip() if reading.signal.unit != "1" else text
