"""What a site file may say of how a reading is judged before it is believed: of a device's signal or a measurement."""

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, model_validator

from config.model import FileModel, Measured, PositiveSeconds, Quantity, SignalName
from config.units import difference, unit


class Rate(NamedTuple):
    """A change per second: ``value`` in the canonical unit of ``kind``, per second."""

    value: float
    kind: str


def _rate(text: object) -> Rate:
    if isinstance(text, Rate):
        return text
    example = "a change with its unit and a time, such as '5 NTU/s' or '0.5 m/min'"
    if not isinstance(text, str) or "/" not in text:
        raise ValueError(example)
    # What stands behind the last stroke is the time: 10 m3/h/s is a change of a flow.
    change, _, per = text.rpartition("/")
    over = unit(per.strip())
    if over.kind != "time":
        raise ValueError(f"{example} ('{per}' is a unit of {over.kind})")
    measured = _difference(change)
    value = measured.value / over.factor
    if value <= 0:
        raise ValueError(f"{example}, above nil")
    return Rate(value, measured.kind)


def _difference(text: object) -> Measured:
    if isinstance(text, Measured):
        return text
    words = str(text).split()
    if not isinstance(text, str) or len(words) != 2:
        raise ValueError("a number with its unit, such as '1 NTU'")
    kind = unit(words[1]).kind
    return Measured(difference(text, kind), kind)


ChangeRate = Annotated[Rate, BeforeValidator(_rate, json_schema_input_type=str)]
Difference = Annotated[Measured, BeforeValidator(_difference, json_schema_input_type=str)]
"""How far two quantities are apart: 1 K is 1 degC here."""


class Conditioning(FileModel):
    """How a reading is judged; everything that is not said is not judged.

    ``range``: what this signal can be here, narrower than what its instrument can show; beyond it the reading is over
    or under range. ``max_rate``: the fastest that the water can change; a reading that moved faster is doubted until
    it could have got there at that rate. ``frozen_after``: a number that stays the same to the last bit for so long,
    while it is read anew, comes from a dead sensor (a reading of exactly 0 is not judged so). ``zero_is_no_value``: a
    reading of exactly 0 is no measurement. ``maintenance``, ``calibration``: while this bool signal is on, the reading
    is marked so and has no value; while it is not known, neither is the reading.
    """

    range: tuple[Quantity, Quantity] | None = None
    max_rate: ChangeRate | None = None
    frozen_after: PositiveSeconds | None = None
    zero_is_no_value: bool = False
    maintenance: SignalName | None = None
    calibration: SignalName | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Conditioning":
        if self.range is not None and self.range[0].kind == self.range[1].kind and self.range[0] >= self.range[1]:
            raise ValueError("a range from the lower to the higher end")
        return self

    @property
    def marks(self) -> tuple[str, ...]:
        """The signals that mark this one."""
        return tuple(mark for mark in (self.maintenance, self.calibration) if mark is not None)

    @property
    def judges(self) -> bool:
        """True when there is anything to judge."""
        numbers = self.range is not None or self.max_rate is not None or self.frozen_after is not None
        return numbers or self.zero_is_no_value or bool(self.marks)
