"""Which of a standard's two limits holds: the one for all water, or the one for cold water.

Ammonia nitrogen of GB 18918-2002 is 5 mg/L, and 8 mg/L in water of at most 12 degC. A temperature that is not known
selects the stricter one.
"""

from dataclasses import dataclass

from config.sample import Sample


@dataclass(frozen=True, slots=True)
class ColdLimit:
    """Settings: the upper limit in water of ``at_most`` degC, measured by the signal at an image index."""

    temperature: int
    at_most: float
    high: float

    def holds(self, image: tuple[Sample, ...]) -> bool:
        """True when the water is known to be that cold."""
        degc = image[self.temperature].number
        return degc is not None and degc <= self.at_most
