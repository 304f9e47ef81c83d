"""What people may ask of a loop: another mode, a set-point, an output by hand, a relay auto-tune.

Each function returns the loop's new state, or why it refuses. A change of mode moves nothing by itself: cascade to auto
keeps the set-point in force, manual begins with the output that stands.
"""

from dataclasses import replace
from math import isfinite

from config.sample import Sample
from control.cause import Cause, amount
from control.code import Code
from control.command import Command
from control.instant import Instant
from control.loop import Loop
from control.loop_state import Chosen, LoopState, Mode

DEFAULT_CYCLES = 4
MAX_CYCLES = 20


def choose_mode(loop: Loop, state: LoopState, command: Command) -> LoopState | Cause:
    """Another mode. It also ends an auto-tune; the output before the tune goes on."""
    known = {str(mode) for mode in Mode}
    if command.value not in known:
        return Cause(Code.LOOP_NO_SUCH_MODE, loop.tag, (str(command.value),))
    mode, chosen = Mode(str(command.value)), state.chosen
    if mode is Mode.CASCADE and loop.remote is None:
        return Cause(Code.LOOP_NO_REMOTE, loop.tag)
    if state.tune is not None:
        state = replace(state, tune=None, output=loop.output_of(state.tune.centre, state.feed), pid=loop.initial().pid)
    setpoint = state.setpoint if chosen.mode is Mode.CASCADE and mode is Mode.AUTO else chosen.setpoint
    output = state.output if mode is Mode.MANUAL else None
    return _changed(loop, state, Chosen(mode, setpoint, output, command.source))


def choose_setpoint(loop: Loop, state: LoopState, command: Command) -> LoopState | Cause:
    """Another set-point of mode auto, in the unit of the measurement."""
    if state.tune is not None:
        return Cause(Code.LOOP_TUNES, loop.tag, (amount(state.tune.amplitude, loop.output_unit),))
    if state.chosen.mode is Mode.CASCADE:
        return Cause(Code.LOOP_IN_CASCADE, loop.tag, (loop.remote_name,))
    value = _number(command.value)
    if value is None or not loop.setpoint_low <= value <= loop.setpoint_high:
        return _not_allowed(loop.tag, command, loop.setpoint_low, loop.setpoint_high, loop.unit)
    return _changed(loop, state, replace(state.chosen, setpoint=value, by=command.source))


def choose_output(loop: Loop, state: LoopState, command: Command) -> LoopState | Cause:
    """Another output of mode manual."""
    if state.chosen.mode is not Mode.MANUAL:
        return Cause(Code.LOOP_NOT_MANUAL, loop.tag, (str(state.chosen.mode),))
    if state.tune is not None:
        return Cause(Code.LOOP_TUNES, loop.tag, (amount(state.tune.amplitude, loop.output_unit),))
    value = _number(command.value)
    if value is None or not loop.low <= value <= loop.high:
        return _not_allowed(loop.tag, command, loop.low, loop.high, loop.output_unit)
    return _changed(loop, state, replace(state.chosen, output=value, by=command.source))


def begin_tune(
    loop: Loop, state: LoopState, image: tuple[Sample, ...], command: Command, now: Instant
) -> LoopState | Cause:
    """A relay auto-tune: ``value`` is its amplitude (none: the greatest allowed), ``count`` the cycles measured."""
    tune, measured = loop.tune, image[loop.pv].number
    if tune is None:
        return Cause(Code.TUNE_NOT_ALLOWED, loop.tag)
    if state.tune is not None:
        return Cause(Code.LOOP_TUNES, loop.tag, (amount(state.tune.amplitude, loop.output_unit),))
    if state.limited is not None:
        return Cause(Code.TUNE_NOT_FREE, loop.tag, (), state.limited)
    amplitude = tune.amplitude if command.value is None else _number(command.value)
    if amplitude is None or not 0.0 < amplitude <= tune.amplitude:
        return _not_allowed(loop.tag, command, 0.0, tune.amplitude, loop.output_unit)
    cycles = command.count or DEFAULT_CYCLES
    if not 1 <= cycles <= MAX_CYCLES:
        return Cause(Code.LOOP_VALUE_NOT_ALLOWED, loop.tag, (f"{cycles} cycles", "1", str(MAX_CYCLES)))
    centre = loop.pid_output_of(state.output, state.feed)
    if measured is None or not loop.pid.low <= centre - amplitude <= centre + amplitude <= loop.pid.high:
        values = (amount(state.output, loop.output_unit), amount(amplitude, loop.output_unit))
        return Cause(Code.TUNE_NO_ROOM, loop.tag, values)
    begun = tune.begin(amplitude, cycles, command.duration_s, centre, measured, now)
    return replace(state, tune=begun, gave_up=None, cause=loop.initial().cause)


def _changed(loop: Loop, state: LoopState, chosen: Chosen) -> LoopState:
    """The choice, with a cause that will be said anew."""
    return replace(state, chosen=chosen, cause=loop.initial().cause)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def _not_allowed(tag: str, command: Command, low: float, high: float, unit: str) -> Cause:
    asked = amount(command.value, unit) if isinstance(command.value, float) else str(command.value)
    return Cause(Code.LOOP_VALUE_NOT_ALLOWED, tag, (asked, amount(low, unit), amount(high, unit)))
