"""What every model read from a file has in common: frozen, no unknown keys, quantities written with units."""

from typing import Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from config.units import quantity, unit


class FileModel(BaseModel):
    """A part of a site file or profile: immutable once read, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Measured(NamedTuple):
    """A quantity of any kind: ``value`` in the canonical unit of ``kind`` (see ``config.units``)."""

    value: float
    kind: str


def _measured(text: object) -> Measured:
    if isinstance(text, Measured):
        return text
    words = str(text).split()
    if not isinstance(text, str) or len(words) != 2:
        raise ValueError("a number with its unit, such as '10 NTU'")
    kind = unit(words[1]).kind
    return Measured(quantity(text, kind), kind)


def _of(
    kind: str, *, minimum: float | None = None, above: float | None = None, maximum: float | None = None
) -> BeforeValidator:
    def read(text: object) -> float:
        value = quantity(text, kind)
        if minimum is not None and value < minimum:
            raise ValueError(f"a {kind} of at least {minimum:g}")
        if above is not None and value <= above:
            raise ValueError(f"a {kind} above {above:g}")
        if maximum is not None and value > maximum:
            raise ValueError(f"a {kind} of at most {maximum:g}")
        return value

    return BeforeValidator(read, json_schema_input_type=str)


Quantity = Annotated[Measured, BeforeValidator(_measured, json_schema_input_type=str)]
Seconds = Annotated[float, _of("time", minimum=0)]
PositiveSeconds = Annotated[float, _of("time", above=0)]
FlowM3h = Annotated[float, _of("flow", minimum=0)]
PositiveFlowM3h = Annotated[float, _of("flow", above=0)]
VolumeM3 = Annotated[float, _of("volume", minimum=0)]
PositiveVolumeM3 = Annotated[float, _of("volume", above=0)]
Metres = Annotated[float, _of("length")]
PositiveMetres = Annotated[float, _of("length", above=0)]
PositiveBar = Annotated[float, _of("pressure", above=0)]
PositiveSpeed = Annotated[float, _of("speed", above=0)]
Percent = Annotated[float, _of("ratio", minimum=0, maximum=100)]
Fraction = Annotated[float, Field(ge=0, le=1)]

Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
"""A name that may stand in a signal name, an MQTT topic and a file name."""

SignalName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*\.[a-z][a-z0-9_]*$")]
"""``<device>.<signal>``, such as ``FIT-101.flow``."""

FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
"""The name of a signal within its device: ``flow``."""
Address = Annotated[int, Field(ge=0, le=65536)]
"""A register or bit as its manual counts it (see ``base`` of a profile)."""
Register = Annotated[int, Field(ge=0, le=0xFFFF)]
"""The raw value of one register."""
