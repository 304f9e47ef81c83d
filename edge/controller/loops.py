"""What the controller tells of its loops, as data."""

from math import isfinite
from typing import Any

from config.sample import Sample
from control.autotune import to_saved
from control.cause import Cause, chain, sentence
from control.feed_forward import Dosing
from control.loop import Loop
from control.loop_state import LoopState
from control.program import LoopUnit, Program
from control.state import ScanState


def loops_report(program: Program, state: ScanState, image: tuple[Sample, ...], mono: float) -> list[dict[str, Any]]:
    """Every loop, the outer ones of cascades first: measurement, set-point, output, mode, and why it is not free."""
    return [_report(program, unit, one, image, mono) for unit, one in zip(program.loops, state.loops, strict=True)]


def _report(
    program: Program, unit: LoopUnit, state: LoopState, image: tuple[Sample, ...], mono: float
) -> dict[str, Any]:
    loop = unit.loop
    moves = [program.safe[output.place].tag for output in unit.outputs]
    if unit.inner is not None:
        moves.append(program.loops[unit.inner].loop.tag)
    return {
        "loop": loop.tag,
        "mode": str(state.chosen.mode),
        "by": state.chosen.by,
        "signal": loop.pv_name,
        "pv": image[loop.pv].number,
        "setpoint": state.setpoint,
        "own_setpoint": state.chosen.setpoint,
        "setpoint_range": [loop.setpoint_low, loop.setpoint_high],
        "setpoint_from": loop.remote_name or None,
        "unit": loop.unit,
        "output": round(state.output, 4),
        "output_range": [loop.low, loop.high],
        "output_unit": loop.output_unit,
        "trim_percent": _rounded(state.pid.output) if isinstance(loop.feed_forward, Dosing) else None,
        "moves": moves,
        "limited": _told(state.limited),
        "cause": _told(state.cause),
        "pid": {
            "gain": loop.pid.gain,
            "integral_time_s": loop.pid.integral_time if isfinite(loop.pid.integral_time) else None,
            "derivative_time_s": loop.pid.derivative_time,
        },
        "tune": _tune(loop, state, mono),
    }


def _tune(loop: Loop, state: LoopState, mono: float) -> dict[str, Any] | None:
    """What of an auto-tune there is to tell; ``None`` where the site allows none."""
    if loop.tune is None:
        return None
    now, found = state.tune, state.tuned
    under_way = None
    if now is not None:
        under_way = {
            "phase": str(now.phase),
            "half_cycles": len(now.halves),
            "cycles": now.cycles,
            "runs_s": round(mono - now.began_at, 1),
            "limit_s": now.limit_s,
        }
    return {
        "amplitude": loop.tune.amplitude,
        "under_way": under_way,
        "gave_up": _told(state.gave_up),
        "found": {**to_saved(found), "proposals": found.proposals()} if found is not None else None,
    }


def _rounded(value: float | None) -> float | None:
    return round(value, 4) if value is not None else None


def _told(cause: Cause | None) -> list[str] | None:
    return [sentence(one) for one in chain(cause)] if cause is not None else None
