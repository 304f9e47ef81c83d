"""The pumps of a site file, what their motors may be asked, and the groups in which they stand in for each other."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.model import FileModel, FlowM3h, Percent, PositiveSeconds, Quantity, Seconds, SignalName, Tag


class Suction(FileModel):
    """Level or pressure at the suction: ``below`` its limit for ``after`` there is no water, and no start either."""

    signal: SignalName
    below: Quantity
    after: Seconds = 2.0


class MotorCurrent(FileModel):
    """A motor that lifts no water takes less than ``below``."""

    signal: SignalName
    below: Quantity
    after: PositiveSeconds = 5.0


class NoFlow(FileModel):
    """Less than ``below`` while it runs, for ``after``."""

    signal: SignalName
    below: FlowM3h
    after: PositiveSeconds = 15.0


class DryRun(FileModel):
    """By what it is known that a pump runs dry: one of the three, or more."""

    suction: Suction | None = None
    current: MotorCurrent | None = None
    flow: NoFlow | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.suction is None and self.current is None and self.flow is None:
            raise ValueError("suction, current or flow")
        return self


class Speed(FileModel):
    """The drive of a pump: its analog ``output``, and the speed at which it runs when no loop gives another."""

    output: Tag
    run: Percent = 100.0


class Pump(FileModel):
    """A pump with run feedback. It is started after its valve has left closed and stopped before it closes.

    ``starts_per_hour``, ``start_interval`` (between two starts), ``min_on`` and ``min_off`` are the motor maker's
    values; the defaults are the strictest seen. ``closed_path``: how long it may run while every way out is closed.
    ``remote``, ``fault``: as of a valve.
    """

    run_command: SignalName
    running: SignalName
    start_timeout: PositiveSeconds = 5.0
    remote: SignalName | None = None
    fault: SignalName | None = None
    starts_per_hour: Annotated[int, Field(ge=1, le=60)] | Literal["unlimited"] = 3
    start_interval: Seconds = 900.0
    min_on: Seconds = 60.0
    min_off: Seconds = 0.0
    closed_path: PositiveSeconds = 10.0
    dry_run: DryRun | None = None
    speed: Speed | None = None


class Staging(FileModel):
    """How many pumps of a group run.

    ``by: flow``: one more above ``up`` for each pump that runs, one fewer when the flow is below ``down`` for each of
    the rest. ``by: openings``: the same with the sum of the dispensers' openings, in percent. ``by: pressure``: one
    more below ``up``, one fewer above ``down``.
    """

    by: Literal["flow", "pressure", "openings"]
    signal: SignalName | None = None
    up: Quantity
    down: Quantity
    up_after: PositiveSeconds = 10.0
    down_after: PositiveSeconds = 60.0


class Exercise(FileModel):
    """A pump that has not run for ``idle`` runs for ``run`` (or its ``min_on``) while the group pumps."""

    idle: PositiveSeconds = 7 * 86400.0
    run: PositiveSeconds = 5.0


class PumpGroup(FileModel):
    """Pumps that stand in for each other. ``duty``: how many may run at a time; the others are on standby.

    ``rotation``: the pump with the fewest ``hours`` starts next, or they ``alternate``. ``rotate_after``: a run of this
    length is handed over to another pump. ``stagger``: between two starts.
    """

    pumps: Annotated[tuple[Tag, ...], Field(min_length=2, max_length=16)]
    duty: Annotated[int, Field(ge=1, le=16)] = 1
    rotation: Literal["hours", "alternate"] = "hours"
    rotate_after: PositiveSeconds | None = None
    staging: Staging | None = None
    stagger: Seconds = 2.0
    exercise: Exercise | None = None
