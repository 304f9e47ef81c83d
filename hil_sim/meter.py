"""An electromagnetic flow meter: shows the flow, with noise, and totals the true one.

The totaliser is what is billed by, so it integrates the water that really passed; only the displayed flow
is noisy.
"""

import math
from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Meter:
    """``total_m3`` rolls over to 0 at ``rollover_m3``.

    ``noise`` is the standard deviation, as a share of flow.
    """

    bore_m: float = 0.1
    rollover_m3: float = 1_000_000.0
    total_m3: float = 0.0
    passed_m3: float = 0.0
    noise: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))
    true_flow_m3h: float = 0.0
    flow_m3h: float = 0.0

    @property
    def velocity_ms(self) -> float:
        """Mean velocity in the bore."""
        return self.flow_m3h / 3600.0 / (math.pi * self.bore_m**2 / 4)

    def step(self, dt_s: float, passed_m3: float) -> None:
        """Totals ``passed_m3``, the true volume of this step, and shows the flow that it means."""
        self.passed_m3 += passed_m3
        self.total_m3 = (self.total_m3 + passed_m3) % self.rollover_m3
        if dt_s > 0:
            self.true_flow_m3h = passed_m3 / dt_s * 3600.0
            self.flow_m3h = self.true_flow_m3h * (1.0 + self.random.gauss(0.0, self.noise))
