"""How a site divides scarce water between its off-takes."""

from typing import Annotated

from pydantic import Field, model_validator

from config.model import FileModel, FlowM3h, Metres, PositiveFlowM3h, PositiveSeconds, SignalName, Tag


class StorageLevel(FileModel):
    """The tank that buffers: above ``full`` all of ``from_storage`` may be drawn, at ``empty`` nothing at all."""

    signal: SignalName
    empty: Metres
    full: Metres
    from_storage: FlowM3h = 0.0

    @model_validator(mode="after")
    def _rises(self) -> "StorageLevel":
        if self.empty >= self.full:
            raise ValueError("empty below full")
        return self


class OffTake(FileModel):
    """A dispenser that takes part: ``priority`` 1 comes first, equals divide by ``share``; ``minimum`` or nothing."""

    priority: Annotated[int, Field(ge=1, le=99)]
    minimum: FlowM3h = 0.0
    share: Annotated[float, Field(gt=0)] = 1.0


class Allocation(FileModel):
    """What is available is ``production`` (a signal, or a figure) and what ``level`` allows.

    It moves by no more than ``ramp`` per second, and is divided anew when it has moved by a ``step``. An off-take that
    could not have its minimum stays out for ``hold``.
    """

    production: SignalName | PositiveFlowM3h
    level: StorageLevel | None = None
    off_takes: Annotated[dict[Tag, OffTake], Field(min_length=1)]
    ramp: PositiveFlowM3h = 1.0
    step: PositiveFlowM3h = 5.0
    hold: PositiveSeconds = 300.0
