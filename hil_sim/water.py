"""The water itself: what its quality really is, before any instrument has seen it.

Each parameter wanders slowly and smoothly around its natural value (a sum of sines with seeded phases). An
upset leads it, at once or by a ramp, to another value, holds it there, and may end by itself.
``TransportDelay`` is the way from where the water is made to where it is measured.
"""

import math
import random
from collections import deque
from typing import Final, NamedTuple

WANDER: Final = ((41.0, 0.2), (173.0, 0.3), (1009.0, 0.5))
"""Periods in s and weights: no two minutes look alike, and nothing moves faster than real water does."""


class Parameter:
    """One quality parameter: ``natural`` plus a wander of at most ``swing``, unless an upset holds it."""

    def __init__(self, natural: float, swing: float, source: random.Random) -> None:
        self.natural = natural
        self.swing = swing
        self._waves = [(weight, period_s, source.uniform(0.0, 2 * math.pi)) for period_s, weight in WANDER]
        self._time_s = 0.0
        self._target: float | None = None
        self._from = 0.0
        self._changed_s = -math.inf
        self._ramp_s = 0.0
        self._ends_s = math.inf

    @property
    def upset(self) -> bool:
        """True while an upset holds the parameter or leads it there."""
        return self._target is not None

    @property
    def value(self) -> float:
        """What it is now."""
        goal = self._undisturbed() if self._target is None else self._target
        gone_s = self._time_s - self._changed_s
        if gone_s >= self._ramp_s:
            return goal
        return self._from + (goal - self._from) * gone_s / self._ramp_s

    def lead(self, target: float, ramp_s: float = 0.0, for_s: float | None = None) -> None:
        """Begins an upset: ``target`` within ``ramp_s``; it ends ``for_s`` from now (``None``: never).

        Raises ``ValueError`` for a negative time.
        """
        if for_s is not None and for_s < 0:
            raise ValueError("a duration of 0 s or more")
        self._change(target, ramp_s)
        self._ends_s = math.inf if for_s is None else self._time_s + for_s

    def calm(self, ramp_s: float = 0.0) -> None:
        """Ends the upset: back to natural within ``ramp_s``. Raises ``ValueError`` for a negative time."""
        self._change(None, ramp_s)
        self._ends_s = math.inf

    def step(self, dt_s: float) -> None:
        """Lets time pass."""
        self._time_s += dt_s
        if self._time_s >= self._ends_s:
            self.calm(self._ramp_s)

    def _change(self, target: float | None, ramp_s: float) -> None:
        if not ramp_s >= 0:
            raise ValueError("a ramp of 0 s or more")
        self._from = self.value
        self._target, self._ramp_s, self._changed_s = target, ramp_s, self._time_s

    def _undisturbed(self) -> float:
        turn = 2 * math.pi * self._time_s
        wander = sum(weight * math.sin(turn / period_s + phase) for weight, period_s, phase in self._waves)
        return self.natural + self.swing * wander


class Water:
    """The quality of one water, by parameter name."""

    def __init__(self, parameters: dict[str, Parameter]) -> None:
        self.parameters = parameters

    @classmethod
    def reclaimed(cls, seed: int) -> "Water":
        """Ordinary reclaimed water: turbidity 2 to 3 NTU, COD about 18, NH3-N about 0.6 mg/L."""
        source = random.Random(seed)
        natural = {
            "turbidity": (2.5, 0.45),
            "ph": (7.3, 0.15),
            "cod": (18.0, 1.5),
            "ammonia": (0.6, 0.1),
            "temperature": (18.0, 0.3),
        }
        return cls({name: Parameter(value, swing, source) for name, (value, swing) in natural.items()})

    def __getitem__(self, name: str) -> float:
        return self.parameters[name].value

    def step(self, dt_s: float) -> None:
        """Lets time pass for every parameter."""
        for parameter in self.parameters.values():
            parameter.step(dt_s)


class _Slug(NamedTuple):
    leaves_s: float
    value: float


class TransportDelay:
    """Plug flow with a fixed delay: what comes in leaves ``delay_s`` later, unmixed."""

    RESOLUTION_S: Final = 0.1
    """Values are kept this far apart, so that an hour of pipe is 36,000 of them and no more."""

    def __init__(self, delay_s: float, initial: float) -> None:
        if delay_s < 0:
            raise ValueError("a delay of 0 s or more")
        self.delay_s = delay_s
        self.value = initial
        self._time_s = 0.0
        self._last_in_s = -math.inf
        self._under_way: deque[_Slug] = deque(maxlen=int(delay_s / self.RESOLUTION_S) + 2)

    def step(self, dt_s: float, entering: float) -> float:
        """Lets ``entering`` in, returns what leaves."""
        self._time_s += dt_s
        if self.delay_s == 0.0:
            self.value = entering
            return entering
        if self._time_s - self._last_in_s >= self.RESOLUTION_S:
            self._under_way.append(_Slug(self._time_s + self.delay_s, entering))
            self._last_in_s = self._time_s
        while self._under_way and self._under_way[0].leaves_s <= self._time_s:
            self.value = self._under_way.popleft().value
        return self.value
