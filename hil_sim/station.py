"""What a simulated station offers: its signals by name, its truths, and the things that can be done to it.

The servers know nothing of water: they read ``Point.get`` when a request asks and call ``Point.set`` when one
writes. Values are in the canonical unit of the signal, times are seconds UTC.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from config.sample import Value


@dataclass(frozen=True, slots=True)
class Point:
    """One signal of a station: its canonical ``unit`` ("" for bool, text, times), how to read and write it.

    ``set`` raises ``ValueError`` for a value that the device refuses.
    """

    unit: str
    get: Callable[[], Value]
    set: Callable[[Value], None] | None = None


class Station(Protocol):
    """A model of a whole station, stepped with ``dt_s``; it has no clock of its own.

    The requests raise ``SimulatorError`` for a tag or name that the station has not.
    """

    @property
    def points(self) -> Mapping[str, Point]:
        """Every signal that the station provides, by name."""
        ...

    def step(self, dt_s: float) -> None:
        """Lets ``dt_s`` pass."""
        ...

    def truth(self) -> dict[str, object]:
        """What is really so, whatever the instruments say; plain data for JSON."""
        ...

    def upset(self, parameter: str, value: float, ramp_s: float, for_s: float | None) -> None:
        """Leads a quality parameter of the water to ``value``."""
        ...

    def calm(self, parameter: str, ramp_s: float) -> None:
        """Ends an upset."""
        ...

    def set(self, name: str, value: Value) -> None:
        """Gives a signal a value; only where no model stands behind the signals."""
        ...

    def follow(self, name: str, on: bool) -> None:
        """Has a feedback follow its command, or stay as it is; only where no model stands behind the signals."""
        ...

    def stick_valve(self, tag: str, stuck: bool) -> None:
        """Holds a valve where it is, or frees it."""
        ...

    def trip_pump(self, tag: str, tripped: bool) -> None:
        """Trips a pump's overload relay, or resets it."""
        ...

    def analyzer(self, device: str, request: Mapping[str, float]) -> None:
        """Publishes a result (``value``, ``flag``), sets ``alarm``, or the ``error`` of a probe."""
        ...

    def set_level(self, level_m: float) -> None:
        """Puts the tank to a level."""
        ...

    def speed(self, factor: float) -> None:
        """How many times faster than real the batch analyzers live."""
        ...
