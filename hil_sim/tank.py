"""The clear-water tank: a volume balance with an overflow edge.

Upright walls, so level is volume over area. What runs over the edge is counted, and so is what a test puts
in or takes out by hand: nothing appears or vanishes unbooked.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Tank:
    """``area_m2`` and ``overflow_level_m`` are its shape, ``volume_m3`` its content, the rest its books.

    At every moment ``volume + drawn + overflow - inflow - adjusted`` is the volume it started with.
    """

    area_m2: float
    overflow_level_m: float
    volume_m3: float
    inflow_m3: float = 0.0
    drawn_m3: float = 0.0
    overflow_m3: float = 0.0
    adjusted_m3: float = 0.0

    @classmethod
    def at_level(cls, area_m2: float, overflow_level_m: float, level_m: float) -> "Tank":
        """A tank filled to ``level_m``."""
        return cls(area_m2, overflow_level_m, area_m2 * level_m)

    @property
    def level_m(self) -> float:
        """Height of the water above the floor."""
        return self.volume_m3 / self.area_m2

    def step(self, dt_s: float, inflow_m3s: float, demand_m3s: float) -> float:
        """Lets ``inflow_m3s`` in and up to ``demand_m3s`` out; returns the volume drawn, m3."""
        assert dt_s >= 0
        assert inflow_m3s >= 0
        assert demand_m3s >= 0
        entered = inflow_m3s * dt_s
        self.inflow_m3 += entered
        self.volume_m3 += entered
        drawn = min(demand_m3s * dt_s, self.volume_m3)
        self.drawn_m3 += drawn
        self.volume_m3 -= drawn
        excess = self.volume_m3 - self.area_m2 * self.overflow_level_m
        if excess > 0:
            self.overflow_m3 += excess
            self.volume_m3 -= excess
        return drawn

    def set_level(self, level_m: float) -> None:
        """Puts the level where a test wants it and books the difference as ``adjusted_m3``.

        Raises ``ValueError`` outside 0 to the overflow edge.
        """
        if not 0 <= level_m <= self.overflow_level_m:
            raise ValueError(f"a level of 0 to {self.overflow_level_m:g} m")
        volume = self.area_m2 * level_m
        self.adjusted_m3 += volume - self.volume_m3
        self.volume_m3 = volume
