"""What a control loop remembers and sees: its mode and what people chose, its state, and the inputs of a step."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control.autotune import AutotuneState, Tuning
from control.cause import Cause
from control.code import Code
from control.pid import PidState


class Mode(StrEnum):
    """Who gives the output, and who the set-point."""

    MANUAL = "manual"
    AUTO = "auto"
    CASCADE = "cascade"


CHINESE: Final[dict[Mode, str]] = {Mode.MANUAL: "手动", Mode.AUTO: "自动", Mode.CASCADE: "串级"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What people choose. ``setpoint`` ``None``: the measurement when the loop first runs.

    ``output`` (of mode manual) ``None``: the one that stands.
    """

    mode: Mode
    setpoint: float | None = None
    output: float | None = None
    by: str = "site file"


@dataclass(frozen=True, slots=True)
class LoopState:
    """What a loop remembers: ``output`` is what it asks of its actuators, ``setpoint`` the one in force.

    ``feed``: the last good feed-forward. ``bad_since`` (monotonic s): since when there is nothing to regulate by.
    ``tuned``: what the last auto-tune found, ``gave_up``: why the last one
    found nothing. ``limited``: why the loop is not free; ``cause``: why the output is so.
    """

    chosen: Chosen
    pid: PidState
    output: float
    setpoint: float | None
    feed: float
    bad_since: float | None
    tune: AutotuneState | None
    tuned: Tuning | None
    gave_up: Cause | None
    limited: Cause | None
    cause: Cause


@dataclass(frozen=True, slots=True)
class LoopInputs:
    """What a step sees besides the image.

    ``outer``: the output of the loop that gives the set-point. ``stopped``: why the output must be the safe one.
    ``taken``: why the output is somebody else's, and is followed at once. ``held``: why the inner loop cannot do what
    it is asked, so that the integral follows it with the tracking time (external reset). ``in_force``: the output that
    is really in force, or what the inner loop really measures; ``None`` if it is not known.
    """

    outer: float | None = None
    stopped: Cause | None = None
    taken: Cause | None = None
    held: Cause | None = None
    in_force: float | None = None


FREE = LoopInputs()
"""Of a loop that nothing keeps from its work."""


def kept(state: LoopState, code: Code) -> Cause | None:
    """What stands already, if it is of this code."""
    return state.limited if state.limited is not None and state.limited.code is code else None


def wrapped(state: LoopState, code: Code, tag: str, because: Cause) -> Cause:
    """A limitation that rests on another cause; the standing one while that says the same."""
    standing = kept(state, code)
    if standing is not None and standing.because is not None:
        inner = standing.because
        if inner is because or (inner.code is because.code and inner.subject == because.subject):
            return standing
    return Cause(code, tag, (), because)
