"""The valves, pumps and analog outputs of a site file, with the signals that command them and tell where they are."""

from typing import Annotated, Literal

from pydantic import Field

from config.model import FileModel, Percent, PositiveSeconds, Seconds, SignalName


class MotorValve(FileModel):
    """An open/close valve: energised to open, limit switches for both ends. ``travel`` is its full stroke time."""

    type: Literal["motor"]
    open_command: SignalName
    opened: SignalName
    closed: SignalName
    travel: PositiveSeconds


class ModulatingValve(FileModel):
    """A positioned valve. ``position_command`` and ``position`` in percent open.

    ``close_time``: a full stroke is closed in no less than this, for the sake of the pipe; a burst and an overfill
    close at the actuator's own speed (``travel``).
    """

    type: Literal["modulating"]
    position_command: SignalName
    position: SignalName
    travel: PositiveSeconds
    closed_below: Percent = 1.0
    close_time: Seconds = 0.0


Valve = Annotated[MotorValve | ModulatingValve, Field(discriminator="type")]


class Pump(FileModel):
    """A pump with run feedback. It is started after its valve has left closed and stopped before it closes."""

    run_command: SignalName
    running: SignalName
    start_timeout: PositiveSeconds = 5.0


class AnalogOutput(FileModel):
    """A demand in percent for a device that follows it by itself: the speed of a dosing pump, a damper.

    ``safe`` is what it is given when nobody demands anything, and when the controller ends.
    """

    command: SignalName
    safe: Percent = 0.0
