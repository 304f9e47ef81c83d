"""The tanker under the fill arm, with its overfill probe.

It takes what the arm gives; once nothing has flowed for a while it has driven off and an empty one stands there.
"""

from dataclasses import dataclass
from typing import Final

PROBE_SHARE: Final = 0.9
"""An overfill probe is mounted at nine tenths of the tank."""
LEAVES_AFTER_S: Final = 5.0


@dataclass(slots=True)
class Tanker:
    """``held_m3`` of ``capacity_m3``."""

    capacity_m3: float
    held_m3: float = 0.0
    dry_s: float = 0.0

    @property
    def probe_dry(self) -> bool:
        """The probe's contact: closed while it is dry and whole, open when water reaches it."""
        return self.held_m3 < PROBE_SHARE * self.capacity_m3

    def step(self, dt_s: float, given_m3: float) -> None:
        """Lets ``dt_s`` pass, in which the arm gave ``given_m3``."""
        self.held_m3 += given_m3
        self.dry_s = 0.0 if given_m3 > 0 else self.dry_s + dt_s
        if self.dry_s >= LEAVES_AFTER_S:
            self.held_m3 = 0.0
