"""Valves: the motor valve with limit switches, and the modulating valve with a position.

Both move at the speed of their full stroke and both can be stuck where they are. A motor valve is energised
to open and closes by itself when de-energised (as ``config.site.MotorValve`` says).
"""

from dataclasses import dataclass
from typing import Final

END_TOLERANCE: Final = 1e-9
"""A stroke is a sum of many small steps: this near to its end the valve stands at it."""


def _toward(opening: float, target: float, step: float) -> float:
    moved = min(opening + step, target) if opening < target else max(opening - step, target)
    return target if abs(moved - target) < END_TOLERANCE else moved


@dataclass(slots=True)
class MotorValve:
    """``opening`` from 0 (closed) to 1 (open); a full stroke takes ``travel_s``."""

    travel_s: float
    energised: bool = False
    stuck: bool = False
    opening: float = 0.0

    @property
    def opened(self) -> bool:
        """The open limit switch."""
        return self.opening >= 1.0

    @property
    def closed(self) -> bool:
        """The closed limit switch."""
        return self.opening <= 0.0

    def step(self, dt_s: float) -> None:
        """Travels towards the end that the command asks for."""
        if not self.stuck:
            self.opening = _toward(self.opening, 1.0 if self.energised else 0.0, dt_s / self.travel_s)


@dataclass(slots=True)
class ModulatingValve:
    """Follows ``demand_percent`` no faster than a full stroke in ``travel_s``."""

    travel_s: float
    demand_percent: float = 0.0
    stuck: bool = False
    opening: float = 0.0

    @property
    def position_percent(self) -> float:
        """What the position transmitter reports."""
        return 100.0 * self.opening

    def demand(self, percent: float) -> None:
        """Takes a new demand. Raises ``ValueError`` outside 0 to 100 %, as a positioner does."""
        if not 0.0 <= percent <= 100.0:
            raise ValueError("a demand of 0 to 100 %")
        self.demand_percent = percent

    def step(self, dt_s: float) -> None:
        """Travels towards the demand."""
        if not self.stuck:
            self.opening = _toward(self.opening, self.demand_percent / 100.0, dt_s / self.travel_s)
