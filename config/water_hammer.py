"""How hard a valve may hit its pipe: an estimate of the pressure surge when it closes (Joukowsky).

dp = rho a dv for a stroke that ends before the wave is back from the far end of the pipe (2 L / a); for a slower one
about dp (2 L / a) / T (shared water notes 3.5: some 10 bar for 1 m/s at a = 1000 m/s). A butterfly valve stops most of
the flow in the last third of its stroke, so that it hits harder than a straight line says: an estimate, no design.
"""

import math
from dataclasses import dataclass
from typing import Final

from config.equipment import ModulatingValve, Pipe, Valve
from config.site import Site

DENSITY: Final = 1000.0
PASCAL_PER_BAR: Final = 1e5


@dataclass(frozen=True, slots=True)
class Surge:
    """``rise`` of pressure in bar at ``velocity`` in m/s; ``fast``: the stroke ends within ``reflection`` seconds."""

    rise: float
    velocity: float
    reflection: float
    fast: bool


def surge(pipe: Pipe, flow_m3h: float, closing_s: float) -> Surge:
    """The surge when a flow is stopped in ``closing_s``."""
    velocity = flow_m3h / 3600.0 / (math.pi * pipe.diameter**2 / 4)
    reflection = 2 * pipe.length / pipe.wave_speed
    slam = DENSITY * pipe.wave_speed * velocity / PASCAL_PER_BAR
    fast = closing_s <= reflection
    return Surge(slam if fast else slam * reflection / closing_s, velocity, reflection, fast)


def water_hammer(site: Site) -> list[str]:
    """A warning for each valve whose stroke is fast for its pipe, or whose surge is more than the pipe bears."""
    warnings = []
    for tag, valve in site.valves.items():
        flow = _flow(site, tag)
        if valve.pipe is None or flow is None:
            continue
        closing = _closing(valve)
        found = surge(valve.pipe, flow, closing)
        most = valve.pipe.max_rise
        if not found.fast and (most is None or found.rise <= most):
            continue
        why = (
            f"which is within the {found.reflection:.2g} s that a wave takes there and back"
            if found.fast
            else f"and the pipe bears {most:g} bar"
        )
        warnings.append(
            f"valve {tag}: stopping {flow:g} m3/h ({found.velocity:.1f} m/s) in {closing:g} s may add "
            f"{found.rise:.1f} bar of pressure, {why}. Close it more slowly (travel, close_time), or protect the pipe"
        )
    return warnings


def _closing(valve: Valve) -> float:
    return max(valve.travel, valve.close_time) if isinstance(valve, ModulatingValve) else valve.travel


def _flow(site: Site, tag: str) -> float | None:
    """The most that flows through a valve, in m3/h, as far as its dispenser says."""
    for dispenser in site.dispensers.values():
        if tag not in (dispenser.valve, getattr(dispenser, "slow_valve", None)):
            continue
        if dispenser.mode == "batch":
            return dispenser.full_flow
        return dispenser.max_setpoint.value if dispenser.control == "flow" else dispenser.high_flow
    return None
