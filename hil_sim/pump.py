"""A pump on a contactor: runs up, runs down, reports running, trips on overload.

A trip opens the contactor and stays until it is reset by hand at the starter (here: by the control channel),
whatever the command says.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Pump:
    """``commanded`` is the contactor coil; ``speed`` goes to 1 in ``run_up_s``, to 0 in ``run_down_s``."""

    run_up_s: float = 1.0
    run_down_s: float = 1.5
    running_above: float = 0.5
    commanded: bool = False
    tripped: bool = False
    speed: float = 0.0

    @property
    def running(self) -> bool:
        """The running contact: the motor turns at more than ``running_above`` of its speed."""
        return self.speed > self.running_above

    def step(self, dt_s: float) -> None:
        """Moves the speed towards what the contactor says."""
        if self.commanded and not self.tripped:
            self.speed = min(1.0, self.speed + dt_s / self.run_up_s)
        else:
            self.speed = max(0.0, self.speed - dt_s / self.run_down_s)
