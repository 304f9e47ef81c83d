"""A pipe with a valve in it: how much flows at which head and opening.

Quasi-static: flow goes with the root of the head over the resistance of pipe and valve. It is smooth
because the pump and the valve move smoothly, and exactly zero through a closed valve. Water never runs
backwards: a check valve stands in the line.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """``full_flow_m3h`` flows at ``nominal_head_m`` with the valve fully open.

    ``authority``: the valve's share of the loss when open (0.1: a line-size butterfly, most of the change
    in the last third of closing; 0.7: a control valve). ``exponent``: inherent curve of the valve, 1 is
    linear.
    """

    full_flow_m3h: float
    nominal_head_m: float
    authority: float = 0.1
    exponent: float = 1.0

    def flow_m3s(self, head_m: float, opening: float) -> float:
        """Flow at ``head_m`` across the line (negative head: none) and valve ``opening`` 0 to 1."""
        valve = opening**self.exponent
        if head_m <= 0.0 or valve * valve == 0.0:
            return 0.0
        share = 1.0 / math.sqrt(1.0 - self.authority + self.authority / (valve * valve))
        return self.full_flow_m3h / 3600.0 * share * math.sqrt(head_m / self.nominal_head_m)
