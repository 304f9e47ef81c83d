"""Valves, pumps, groups and analog outputs as JSON: what they do, what is wrong, and what they have done so far."""

from typing import Any

from config.sample import Value
from control.cause import Cause, sentence
from control.instant import Instant
from control.program import Program
from control.pump_duty import run_seconds
from control.state import ScanState


def equipment(program: Program, state: ScanState, now: Instant) -> dict[str, Any]:
    """The equipment of a station, by section and tag as in its site file."""
    given = {demand.tag: demand.value for demand in reversed(state.outputs)}
    return {
        "valves": _valves(program, state, given),
        "pumps": _pumps(program, state, now),
        "pump_groups": _groups(program, state),
        "analog_outputs": {
            analog.tag: {"output": given[analog.tag], "safe": analog.safe, "fault": _told(at.alarm)}
            for analog, at in zip(program.analog_outputs, state.analog_outputs, strict=True)
        },
    }


def _valves(program: Program, state: ScanState, given: dict[str, Value]) -> dict[str, Any]:
    return {
        valve.tag: {
            "position": str(at.position),
            "stage": str(at.stage),
            "output": given[valve.tag],
            "fault": _told(at.fault),
            "warnings": [sentence(cause) for cause in valve.warnings(at)],
            "fail": "last" if valve.stays else "close",
            "strokes": at.strokes.count,
            "travel_s": valve.travel,
            "opening_s": _rounded(at.strokes.opening_s),
            "closing_s": _rounded(at.strokes.closing_s),
        }
        for valve, at in zip(program.valves, state.valves, strict=True)
    }


def _pumps(program: Program, state: ScanState, now: Instant) -> dict[str, Any]:
    groups = {place: group.tag for group in program.pump_groups for place in group.places}
    return {
        pump.tag: {
            "running": does.running,
            "stage": str(does.stage),
            "group": groups.get(place),
            "output": does.commanded,
            "fault": _told(does.fault),
            "waits": _told(pump.waits(does, now)),
            "starts": does.duty.starts,
            "run_hours": round(run_seconds(does.duty, now) / 3600.0, 3),
        }
        for place, (pump, does) in enumerate(zip(program.pumps, state.pumps, strict=True))
    }


def _groups(program: Program, state: ScanState) -> dict[str, Any]:
    return {
        group.tag: {
            "needed": chosen.needed,
            "duty": group.duty,
            "running": [pump.tag for pump, on in zip(group.pumps, chosen.on, strict=True) if on],
            "unavailable": _told(group.unavailable(state.pumps)),
        }
        for group, chosen in zip(program.pump_groups, state.pump_groups, strict=True)
    }


def _told(cause: Cause | None) -> str | None:
    return sentence(cause) if cause is not None else None


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 2) if seconds is not None else None
