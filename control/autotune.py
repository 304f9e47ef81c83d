"""Relay auto-tune: finds the ultimate gain and period of a loop, and proposes settings. It changes none.

The controller is replaced for some minutes by a relay of small amplitude around the output that stood before; the loop
then swings by itself at about its ultimate frequency. First the measurement is listened to, so that the relay has a
hysteresis larger than its noise. States: ``listening -> swinging``, then done or given up; either way the mode before
goes on at the output before. The swing counts once its last cycles agree. It is given up when the measurement leaves
its band or is not known, or when time is over.

Source: K. J. Astrom, T. Hagglund, Automatic tuning of simple regulators with specifications on phase and amplitude
margins, Automatica 20 (1984) 645-651: ``Ku = 4 d / (pi sqrt(a^2 - e^2))`` with the relay's amplitude d and hysteresis
e and the swing's amplitude a. The describing function knows the first harmonic alone: it is right to some 5 to 25 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import pi, sqrt
from typing import Any, Final

from control.cause import Cause, amount
from control.code import Code
from control.instant import Instant

LISTEN_S: Final = 10.0
"""How long the noise of the measurement is listened to."""
REST: Final = 0.01
"""A loop is at rest when its measurement has moved by less than this part of the band meanwhile."""
NOISE_MARGIN: Final = 1.2
MAX_SPREAD: Final = 0.1
"""The periods of the cycles that count differ by no more than this part of their mean."""
MAX_ASYMMETRY: Final = 3.0
"""One half of the swing may take so many times as long as the other; beyond that the loop was not at rest before."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A tuning rule: factors on Ku and Tu. ``source`` is where it was published."""

    name: str
    source: str
    gain: float
    integral: float
    derivative: float


RULES: Final = (
    Rule("Ziegler-Nichols PI", "Ziegler, Nichols, Trans. ASME 64 (1942) 759-768", 0.45, 1 / 1.2, 0.0),
    Rule("Ziegler-Nichols PID", "Ziegler, Nichols, Trans. ASME 64 (1942) 759-768", 0.6, 0.5, 0.125),
    Rule("Tyreus-Luyben PI", "Tyreus, Luyben, Ind. Eng. Chem. Res. 31 (1992) 2625-2628", 1 / 3.2, 2.2, 0.0),
    Rule("Tyreus-Luyben PID", "Luyben, Ind. Eng. Chem. Res. 35 (1996) 3480-3483", 1 / 2.2, 2.2, 1 / 6.3),
)
"""Ziegler-Nichols answers fast and swings (quarter decay); Tyreus-Luyben is slow and calm, for levels and dosing."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found: ``ultimate_gain`` in output per input unit, ``ultimate_period`` in s, and how.

    ``swing`` and ``hysteresis`` in input units, ``relay`` (its amplitude) in output units, ``cycles`` measured;
    ``spread``: how much the periods differed, as a fraction.
    """

    ultimate_gain: float
    ultimate_period: float
    swing: float
    hysteresis: float
    relay: float
    cycles: int
    spread: float
    found_utc: float

    def proposals(self) -> list[dict[str, Any]]:
        """The settings that each rule proposes: gain, integral and derivative time in s."""
        return [
            {
                "rule": rule.name,
                "source": rule.source,
                "gain": rule.gain * self.ultimate_gain,
                "integral_time_s": rule.integral * self.ultimate_period,
                "derivative_time_s": rule.derivative * self.ultimate_period,
            }
            for rule in RULES
        ]


class Phase(StrEnum):
    """Where the tuning stands."""

    LISTENING = "listening"
    SWINGING = "swinging"


@dataclass(frozen=True, slots=True)
class AutotuneState:
    """A tuning under way. ``centre``: the output before; ``reference``: the measurement before.

    ``halves``: duration (s) and extreme of the last half swings; ``lowest`` and ``highest`` since the last switch.
    ``listened``: the measurement at which listening began.
    """

    began_at: float
    amplitude: float
    cycles: int
    limit_s: float
    centre: float
    reference: float
    lowest: float
    highest: float
    phase: Phase = Phase.LISTENING
    hysteresis: float = 0.0
    up: bool = True
    switched_at: float = 0.0
    halves: tuple[tuple[float, float], ...] = ()
    listened: float = 0.0
    listened_at: float = 0.0

    @property
    def output(self) -> float:
        """What the relay gives now."""
        if self.phase is Phase.LISTENING:
            return self.centre
        return self.centre + (self.amplitude if self.up else -self.amplitude)


@dataclass(frozen=True, slots=True)
class Autotune:
    """What a site allows: the greatest ``amplitude`` (output units), the ``band`` of the measurement, a time limit."""

    amplitude: float
    band: float
    limit_s: float

    def begin(
        self, amplitude: float, cycles: int, limit_s: float, output: float, measured: float, now: Instant
    ) -> AutotuneState:
        """A tuning that starts now, around the present output and measurement."""
        limit_s = min(limit_s, self.limit_s) if limit_s > 0 else self.limit_s
        begun = AutotuneState(now.mono, amplitude, cycles, limit_s, output, measured, measured, measured)
        return replace(begun, listened=measured, listened_at=now.mono)

    def step(
        self, state: AutotuneState, tag: str, unit: str, measured: float, *, reverse: bool, now: Instant
    ) -> AutotuneState | Tuning | Cause:
        """One scan: the state to go on with, what was found, or why it is given up."""
        if abs(measured - state.reference) > self.band:
            return Cause(Code.TUNE_LEFT_BAND, tag, (amount(measured, unit), amount(self.band, unit)))
        if now.mono - state.began_at > state.limit_s:
            return Cause(Code.TUNE_TIMEOUT, tag, (amount(state.limit_s, "s"), str(len(state.halves) // 2)))
        if measured < state.lowest or measured > state.highest:
            state = replace(state, lowest=min(state.lowest, measured), highest=max(state.highest, measured))
        if state.phase is Phase.LISTENING:
            return self._listen(state, measured, now)
        error = state.reference - measured if reverse else measured - state.reference
        if (error <= state.hysteresis) if not state.up else (error >= -state.hysteresis):
            return state
        return self._switch(state, tag, reverse=reverse, measured=measured, now=now)

    def _listen(self, state: AutotuneState, measured: float, now: Instant) -> AutotuneState:
        if now.mono - state.listened_at < LISTEN_S:
            return state
        if abs(measured - state.listened) > max((state.highest - state.lowest) / 2, REST * self.band):
            # It drifts, or the noise looks so: listen again.
            return replace(state, listened=measured, listened_at=now.mono, lowest=measured, highest=measured)
        reference = (state.lowest + state.highest) / 2
        return replace(
            state,
            phase=Phase.SWINGING,
            hysteresis=NOISE_MARGIN * (state.highest - state.lowest) / 2,
            reference=reference,
            lowest=measured,
            highest=measured,
            switched_at=now.mono,
        )

    def _switch(
        self, state: AutotuneState, tag: str, *, reverse: bool, measured: float, now: Instant
    ) -> AutotuneState | Tuning | Cause:
        """The measurement has crossed: the half swing that ends here is kept, and the relay turns."""
        extreme = state.lowest if state.up == reverse else state.highest
        halves = (*state.halves[1 - 2 * state.cycles :], (now.mono - state.switched_at, extreme))
        state = replace(state, up=not state.up, switched_at=now.mono, halves=halves, lowest=measured, highest=measured)
        if len(halves) < 2 * state.cycles:
            return state
        return _found(state, tag, now) or state


def _found(state: AutotuneState, tag: str, now: Instant) -> Tuning | Cause | None:
    """What the last cycles say; ``None`` while they do not agree."""
    first, second = state.halves[::2], state.halves[1::2]
    periods = [a + b for (a, _), (b, _) in zip(first, second, strict=True)]
    period = sum(periods) / len(periods)
    if max(periods) - min(periods) > MAX_SPREAD * period:
        return None
    halves_s = sum(a for a, _ in first), sum(b for b, _ in second)
    if max(halves_s) > MAX_ASYMMETRY * min(halves_s):
        return Cause(Code.TUNE_ASYMMETRIC, tag, tuple(amount(t / len(periods), "s") for t in halves_s))
    swing = abs(sum(e for _, e in first) - sum(e for _, e in second)) / len(periods) / 2
    if swing <= state.hysteresis:
        return Cause(Code.TUNE_TOO_SMALL, tag, (f"{state.amplitude:g}",))
    return Tuning(
        ultimate_gain=4 * state.amplitude / (pi * sqrt(swing**2 - state.hysteresis**2)),
        ultimate_period=period,
        swing=swing,
        hysteresis=state.hysteresis,
        relay=state.amplitude,
        cycles=len(periods),
        spread=(max(periods) - min(periods)) / period,
        found_utc=now.utc,
    )


def to_saved(tuning: Tuning) -> dict[str, Any]:
    """What was found, as JSON."""
    return {name: getattr(tuning, name) for name in Tuning.__dataclass_fields__}


def from_saved(saved: Mapping[str, Any]) -> Tuning:
    """The inverse of ``to_saved``. Raises ``TypeError`` on other data."""
    return Tuning(**saved)
