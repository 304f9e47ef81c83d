"""The valves and analog outputs of a site file, with the signals that command them and tell where they are."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.model import (
    FileModel,
    Percent,
    PositiveBar,
    PositiveMetres,
    PositiveSeconds,
    PositiveSpeed,
    Seconds,
    SignalName,
)


class Pipe(FileModel):
    """The pipe that a valve closes, for an estimate of water hammer. ``max_rise``: what it bears above its pressure.

    ``wave_speed``: some 1000 m/s in steel and ductile iron, less in plastic.
    """

    length: PositiveMetres
    diameter: PositiveMetres
    wave_speed: PositiveSpeed = 1000.0
    max_rise: PositiveBar | None = None


class _Valve(FileModel):
    """What every valve may say.

    ``travel``: its full stroke time. ``remote``: on while the selector at the actuator lets the controller command it.
    ``fault``: the actuator's own fault bit. ``fail``: what it does without power and without a controller; ``last``: it
    stays where it is. ``slow_factor``: a stroke of so many times ``travel`` is an alarm.
    """

    travel: PositiveSeconds
    remote: SignalName | None = None
    fault: SignalName | None = None
    fail: Literal["close", "last"] = "close"
    slow_factor: Annotated[float, Field(ge=1.05, le=1.45)] = 1.3
    pipe: Pipe | None = None


class MotorValve(_Valve):
    """An open/close valve with limit switches for both ends, energised to open.

    With a ``close_command`` it has two commands, and stays where it is without both.
    """

    type: Literal["motor"]
    open_command: SignalName
    close_command: SignalName | None = None
    opened: SignalName
    closed: SignalName

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.fail == "last" and self.close_command is None:
            raise ValueError("fail: close, because a valve that is energised to open closes without power")
        return self


class ModulatingValve(_Valve):
    """A positioned valve. ``position_command`` and ``position`` in percent open; limit switches where it has them.

    ``close_time``: a full stroke is closed in no less than this, for the sake of the pipe; a burst and an overfill
    close at the actuator's own speed (``travel``). ``tolerance``: how exactly it stands where it was told.
    ``stick_after``: standing still so long under a new demand is sticking; by default a quarter of ``travel``, and 5 s
    at least.
    """

    type: Literal["modulating"]
    position_command: SignalName
    position: SignalName
    opened: SignalName | None = None
    closed: SignalName | None = None
    closed_below: Percent = 1.0
    close_time: Seconds = 0.0
    tolerance: Annotated[Percent, Field(gt=0)] = 3.0
    stick_after: PositiveSeconds | None = None


Valve = Annotated[MotorValve | ModulatingValve, Field(discriminator="type")]


class AnalogOutput(FileModel):
    """A demand in percent for a device that follows it by itself: the speed of a dosing pump, a damper.

    ``safe`` is what it is given when nobody demands anything, and when the controller ends; every other demand is kept
    between ``low`` and ``high``. ``feedback``: what the device does, in percent; away from the demand by more than
    ``tolerance`` for ``follow_after`` it is an alarm.
    """

    command: SignalName
    safe: Percent = 0.0
    low: Percent = 0.0
    high: Percent = 100.0
    feedback: SignalName | None = None
    tolerance: Annotated[Percent, Field(gt=0)] = 5.0
    follow_after: PositiveSeconds = 10.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low below high")
        return self
