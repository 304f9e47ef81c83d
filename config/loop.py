"""The loops of a site file: what each measures, where its set-point comes from, and what its output moves."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.model import (
    FileModel,
    Percent,
    PositiveFlowM3h,
    PositiveSeconds,
    Quantity,
    Seconds,
    SignalName,
    Tag,
)
from config.pid import Pid

Range = tuple[Quantity, Quantity]


class LoopOutput(FileModel):
    """What a loop moves: a modulating ``valve``, an ``analog_output``, or the set-point of another ``loop``."""

    valve: Tag | None = None
    analog_output: Tag | None = None
    loop: Tag | None = None

    @model_validator(mode="after")
    def _one(self) -> "LoopOutput":
        if sum(one is not None for one in (self.valve, self.analog_output, self.loop)) != 1:
            raise ValueError("one of valve, analog_output, loop")
        return self


class SplitOutput(FileModel):
    """One of several actuators of a loop: it moves from 0 to 100 % while the output goes through ``range``.

    ``reverse``: from 100 % to 0 instead.
    """

    valve: Tag | None = None
    analog_output: Tag | None = None
    range: tuple[Percent, Percent]
    reverse: bool = False

    @model_validator(mode="after")
    def _one(self) -> "SplitOutput":
        if (self.valve is None) == (self.analog_output is None):
            raise ValueError("one of valve, analog_output")
        if self.range[0] >= self.range[1]:
            raise ValueError("a range that rises, such as [0 %, 50 %]")
        return self


class Ratio(FileModel):
    """The set-point in cascade: ``factor`` x ``signal`` + ``bias``."""

    signal: SignalName
    factor: float
    bias: Quantity | None = None


class FeedForward(FileModel):
    """Added to the output: ``gain`` (output per unit of the signal) x ``signal`` + ``bias``."""

    signal: SignalName
    gain: float
    bias: Quantity | None = None


class Dosing(FileModel):
    """A chemical dosed into a ``flow``: the output follows flow x ``dose``; the PID trims the dose by up to ``trim``.

    ``strength`` of the chemical as it is pumped; ``capacity``: what the dosing pump gives at 100 %.
    """

    flow: SignalName
    dose: Quantity
    strength: Quantity
    capacity: PositiveFlowM3h
    trim: Percent


class BadPv(FileModel):
    """When the measurement or the feed-forward is not known: the output is held, and ``after`` that goes to ``output``.

    Without ``output`` it is held for as long as it takes.
    """

    after: Seconds = 30.0
    output: Quantity | None = None


class Tune(FileModel):
    """Allows the relay auto-tune: greatest ``amplitude``, how far the measurement may go (``band``), a time limit."""

    amplitude: Quantity
    band: Quantity
    max_time: PositiveSeconds = 3600.0


class Loop(FileModel):
    """A control loop.

    ``setpoint`` is that of mode auto, and none means the measurement that is found at the start; commands may move it
    within ``setpoint_range``. In mode ``cascade`` the set-point comes from the loop whose ``output`` this one is, or
    from ``ratio``. ``action``: ``reverse`` when the output must fall while the measurement rises. ``output_range``
    bounds the output, ``rate`` is its greatest change per second. ``dispenser``: stops with it.
    """

    pv: SignalName
    setpoint: Quantity | None = None
    setpoint_range: Range
    ratio: Ratio | None = None
    mode: Literal["auto", "manual", "cascade"] = "auto"
    action: Literal["reverse", "direct"] = "reverse"
    pid: Pid
    output: LoopOutput | None = None
    split_range: Annotated[tuple[SplitOutput, ...], Field(min_length=2, max_length=4)] | None = None
    output_range: Range | None = None
    rate: Quantity | None = None
    feed_forward: FeedForward | None = None
    dosing: Dosing | None = None
    bad_pv: BadPv = BadPv()
    dispenser: Tag | None = None
    tune: Tune | None = None

    @model_validator(mode="after")
    def _possible(self) -> "Loop":
        if (self.output is None) == (self.split_range is None):
            raise ValueError("one of output, split_range")
        if self.feed_forward is not None and self.dosing is not None:
            raise ValueError("one of feed_forward, dosing")
        return self
