"""Measurements: signals that are calculated from others and have a name of their own, such as ``LT-101.level``.

Either one signal is scaled and filtered (a 4-20 mA level on a remote I/O), or several are voted on (2oo3 turbidity).
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from config.conditioning import Conditioning, Difference
from config.model import FileModel, Measured, Percent, PositiveSeconds, Quantity, Seconds, SignalName

CURRENT_LOOP: Final = (0.004, 0.02)
"""The signal current of a transmitter, in A (IEC 60381-1: 4 to 20 mA)."""


def _end(text: object) -> object:
    """A bare number is a count: what an analog input sends that has no unit of its own."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return Measured(float(text), "count")
    return text


class Scale(FileModel):
    """A straight line, or with ``root`` the square root of one (flow from differential pressure), through two points.

    ``from`` at the input is ``to`` in the measurement. ``cutoff``: what is less than this share of the span of ``to``
    counts as its lower end. ``live_zero: namur`` judges a current of 4 to 20 mA after NAMUR NE 43 and is what it is by
    default; ``none`` is for transmitters that do not keep to it.
    """

    from_: Annotated[tuple[Quantity, Quantity], Field(alias="from")]
    to: tuple[Quantity, Quantity]
    root: bool = False
    cutoff: Percent = 0.0
    live_zero: Literal["namur", "none"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _counts(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("from"), list | tuple):
            return {**data, "from": [_end(end) for end in data["from"]]}
        return data

    @model_validator(mode="after")
    def _possible(self) -> "Scale":
        for name, (first, last) in (("from", self.from_), ("to", self.to)):
            if first.kind != last.kind:
                raise ValueError(f"two quantities of one kind under '{name}', not {first.kind} and {last.kind}")
            if first.value == last.value:
                raise ValueError(f"two different quantities under '{name}'")
        if self.live_zero == "namur" and not self._is_current_loop():
            raise ValueError("from: [4 mA, 20 mA], because NAMUR NE 43 speaks of that current only")
        return self

    @property
    def namur(self) -> bool:
        """True when the current is judged after NAMUR NE 43."""
        return self.live_zero == "namur" or (self.live_zero is None and self._is_current_loop())

    def _is_current_loop(self) -> bool:
        ends = tuple(end.value for end in self.from_)
        return self.from_[0].kind == "current" and all(
            abs(end - wanted) < 1e-9 for end, wanted in zip(ends, CURRENT_LOOP, strict=True)
        )


class Derived(Conditioning):
    """One signal, scaled and filtered.

    ``filter``: time constant of a first-order lag; it begins anew after a reading that is not good. ``deadband``:
    smallest change worth a record.
    """

    signal: SignalName
    scale: Scale | None = None
    filter: Seconds = 0.0
    deadband: Difference | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The signals that it is calculated from."""
        return (self.signal,)


class AwayFrom(FileModel):
    """The worst reading is the one that is farthest from this quantity: 7 pH."""

    away_from: Quantity


def _direction(trip: object) -> object:
    if isinstance(trip, bool | dict | AwayFrom) or trip in ("high", "low"):
        return trip
    raise ValueError("high, low, true, false, or {away_from: 7 pH}: in which direction a reading is worse")


Direction = Annotated[Literal["high", "low"] | bool | AwayFrom, BeforeValidator(_direction)]


class Voted(Conditioning):
    """Several signals of the same quantity, of which so many must be beyond a limit for the result to be.

    ``vote: 2oo3`` gives the second-worst of three, ``1oo2`` the worst, ``2oo2`` the better of two; ``median`` the
    middle one. Worst is what goes in the direction ``trip``; a reading that is not good is the worst of all, unless
    ``on_bad: leave-out`` says, with the reason under ``because``, that the others decide while one of them is good.
    Readings that are farther apart than ``disagreement`` for ``disagreement_time`` are an alarm.
    """

    vote: Annotated[str, StringConstraints(pattern=r"^([1-9]oo[2-9]|median)$")]
    of: Annotated[tuple[SignalName, ...], Field(min_length=2, max_length=9)]
    trip: Direction
    disagreement: Difference | None = None
    disagreement_time: PositiveSeconds = 30.0
    on_bad: Literal["trip", "leave-out"] = "trip"
    because: str = ""
    filter: Seconds = 0.0
    deadband: Difference | None = None

    @model_validator(mode="after")
    def _possible(self) -> "Voted":
        if len(set(self.of)) != len(self.of):
            raise ValueError("each signal once under 'of'")
        if (counted := re.fullmatch(r"(\d)oo(\d)", self.vote)) is not None:
            needed, present = int(counted[1]), int(counted[2])
            if present != len(self.of):
                raise ValueError(f"{present} signals under 'of' for a vote of {self.vote}, not {len(self.of)}")
            if needed > present:
                raise ValueError(f"a vote of at most {present}oo{present}")
        if (self.on_bad == "leave-out") != bool(self.because.strip()):
            raise ValueError(
                "'because' with 'on_bad: leave-out' and only there: why a bad reading may be left out, and who says so"
            )
        if isinstance(self.trip, bool) and self.disagreement is not None:
            raise ValueError("no 'disagreement' for signals that are on or off: they disagree when they differ")
        if not isinstance(self.trip, bool) and self.disagreement is None:
            raise ValueError("'disagreement', how far apart the readings may be, such as '1 NTU'")
        return self

    @property
    def needed(self) -> int:
        """How many readings must be beyond a limit for the result to be."""
        return (len(self.of) + 1) // 2 if self.vote == "median" else int(self.vote[0])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The signals that it is calculated from."""
        return self.of


def _which(data: Any) -> str:
    """Told apart by their words, so that an error speaks of the one that was meant."""
    if isinstance(data, Voted) or (isinstance(data, dict) and ("vote" in data or "of" in data)):
        return "Voted"
    return "Derived"


Measurement = Annotated[Annotated[Derived, Tag("Derived")] | Annotated[Voted, Tag("Voted")], Discriminator(_which)]
