"""What acts on a loop from outside its own error: a ratio as its set-point, a feed-forward, a dose paced by a flow.

*Ratio*: set-point = factor x signal + bias. *Feed-forward*: gain x signal + bias is added to the output. *Dosing*: the
output is what the dose needs at the present flow, ``flow x dose / (strength x capacity)``, and the PID only trims the
dose by so many percent; its gain then does not depend on the flow.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """The set-point of a loop in cascade: ``factor`` x the signal at image index ``signal`` + ``bias``."""

    signal: int
    name: str
    factor: float
    bias: float


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Added to the output: ``gain`` (output per unit of the signal) x signal + ``bias``."""

    signal: int
    name: str
    gain: float
    bias: float

    def feed(self, value: float) -> float:
        """What is added to the output."""
        return self.gain * value + self.bias


@dataclass(frozen=True, slots=True)
class Dosing:
    """A chemical dosed into a flow: ``dose`` in mg/L (= g/m3) wanted, ``strength`` of the chemical in mg/L.

    ``capacity_m3h``: what the dosing pump gives at 100 %.
    """

    signal: int
    name: str
    dose: float
    strength: float
    capacity_m3h: float

    def feed(self, flow_m3h: float) -> float:
        """The output in percent that gives the dose at this flow; nil without flow."""
        return 100.0 * max(flow_m3h, 0.0) * self.dose / (self.strength * self.capacity_m3h)

    @staticmethod
    def output(feed: float, trim: float) -> float:
        """The output with a trim of the dose in percent."""
        return feed * (1.0 + trim / 100.0)

    @staticmethod
    def trim(feed: float, output: float) -> float:
        """The trim of which an output is the result; nil while there is no flow."""
        return 100.0 * (output / feed - 1.0) if feed > 0 else 0.0
