"""Instruments that look at the water: the continuous probe and the batch analyzer.

A probe follows the water by a first-order lag. A batch analyzer (COD, ammonia) takes a sample, works on it
for a part of its interval and then publishes one result with the time of sampling and a flag; between
results its registers stand still (shared water notes, 2.4).
"""

import math
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

FLAG_OK: Final = 0
STATE_IDLE: Final = 0
STATE_SAMPLE: Final = 1
ANALYSIS_SHARE: Final = 0.25
"""Part of the interval that the analysis takes; the rest of the time the analyzer stands idle."""


@dataclass(slots=True)
class Probe:
    """``reading`` follows the water with time constant ``lag_s``; ``noise`` is half the width of its jitter.

    The jitter is there because a living probe never repeats itself, and who watches for frozen values must
    see that.
    """

    lag_s: float
    smooth: float
    noise: float = 0.0
    random: Random = field(default_factory=lambda: Random(0))
    error: int = 0
    reading: float = field(init=False)

    def __post_init__(self) -> None:
        self.reading = self.smooth

    def step(self, dt_s: float, water: float) -> None:
        """Lets the probe see ``water`` for ``dt_s``. A probe with an error (wiper stuck) measures no more."""
        if self.error:
            return
        self.smooth += (water - self.smooth) * (1.0 - math.exp(-dt_s / self.lag_s))
        self.reading = max(0.0, self.smooth + self.random.uniform(-self.noise, self.noise))


class Result(NamedTuple):
    """What stands in the registers: ``time_s`` UTC of the sample, ``value``, ``flag`` (0 ok)."""

    time_s: float
    value: float
    flag: int


class BatchAnalyzer:
    """One result per ``interval_s``. ``speed`` above 1 lets the analyzer, and nothing else, live faster.

    The first result is published at once, of water sampled now. Two results never carry the same second: the
    registers hold whole seconds, and a result with a known time would not be a new one.
    """

    def __init__(self, interval_s: float, water: float, now_s: float, digits: int = 2) -> None:
        if not interval_s > 0:
            raise ValueError("an interval above 0 s")
        self.interval_s = interval_s
        self.speed = 1.0
        self.alarm = 0
        self.results = 0
        self._digits = digits
        self._elapsed_s = 0.0
        self._sample: tuple[float, float] | None = None
        self.result = Result(-math.inf, 0.0, FLAG_OK)
        self.publish(water, FLAG_OK, now_s)

    @property
    def work_state(self) -> int:
        """1 while a sample is being worked on, else 0."""
        return STATE_IDLE if self._sample is None else STATE_SAMPLE

    def publish(self, value: float, flag: int, time_s: float) -> None:
        """Puts a result of ``time_s`` (UTC) in the registers now."""
        time_s = max(float(math.floor(time_s)), self.result.time_s + 1.0)
        self.result = Result(time_s, round(value, self._digits), flag)
        self.results += 1

    def step(self, dt_s: float, water: float, now_s: float) -> None:
        """Lets time pass; ``now_s`` is UTC, seconds."""
        self._elapsed_s += dt_s * self.speed
        if self._sample is None and self._elapsed_s >= self.interval_s * (1.0 - ANALYSIS_SHARE):
            self._sample = (now_s, water)
        if self._elapsed_s >= self.interval_s:
            # What a long step overran counts for the next interval, but never several results at once.
            self._elapsed_s = (self._elapsed_s - self.interval_s) % self.interval_s
            sampled_s, value = self._sample or (now_s, water)
            self._sample = None
            self.publish(value, FLAG_OK, sampled_s)
