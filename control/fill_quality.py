"""The quality of the water over a fill: at its start, at its worst and at its end, with the age of what was known.

A receipt says of every parameter what it was, how it was known (flag, age, signal or permit) and which limit held.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """What is watched of the water: its limit and where that comes from, the signal or permit it is read from."""

    name: str
    unit: str
    limit: str
    limit_status: str
    limit_origin: str
    source: str


class QualityReading(NamedTuple):
    """A parameter at one moment. ``flag``: HJ 212-2017 table 8. ``age_s``: of the value, then."""

    value: float | None
    flag: str
    verdict: int
    verdict_name: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class FillQuality:
    """A parameter over a fill: at its start, its extremes, its worst verdict, at its end."""

    start: QualityReading
    end: QualityReading
    lowest: float | None
    highest: float | None
    worst: int
    worst_name: str


def began(present: tuple[QualityReading, ...]) -> tuple[FillQuality, ...]:
    """The quality as a fill begins."""
    return tuple(FillQuality(r, r, r.value, r.value, r.verdict, r.verdict_name) for r in present)


def widened(kept: tuple[FillQuality, ...], present: tuple[QualityReading, ...]) -> tuple[FillQuality, ...]:
    """``kept`` widened by the present readings; the same object when they lie within."""
    if len(kept) != len(present):
        return began(present)
    new = tuple(_widened(old, reading) for old, reading in zip(kept, present, strict=True))
    return kept if all(after is before for after, before in zip(new, kept, strict=True)) else new


def ended(kept: tuple[FillQuality, ...], present: tuple[QualityReading, ...]) -> tuple[FillQuality, ...]:
    """The quality as a fill ends."""
    if len(kept) != len(present):
        return began(present)
    return tuple(replace(_widened(old, r), end=r) for old, r in zip(kept, present, strict=True))


def _widened(kept: FillQuality, reading: QualityReading) -> FillQuality:
    value, worse = reading.value, reading.verdict > kept.worst
    lower = value is not None and (kept.lowest is None or value < kept.lowest)
    higher = value is not None and (kept.highest is None or value > kept.highest)
    if not (worse or lower or higher):
        return kept
    return FillQuality(
        kept.start,
        kept.end,
        value if lower else kept.lowest,
        value if higher else kept.highest,
        reading.verdict if worse else kept.worst,
        reading.verdict_name if worse else kept.worst_name,
    )


def quality_body(parameters: tuple[Parameter, ...], quality: tuple[FillQuality, ...]) -> list[dict[str, Any]]:
    """The quality of a fill as JSON; empty for a fill that never began."""
    return [
        {
            "parameter": parameter.name,
            "unit": parameter.unit,
            "limit": parameter.limit,
            "limit_status": parameter.limit_status,
            "limit_origin": parameter.limit_origin,
            "source": parameter.source,
            "start": over.start.value,
            "start_flag": over.start.flag,
            "start_age_s": _rounded(over.start.age_s, 1),
            "lowest": over.lowest,
            "highest": over.highest,
            "worst_verdict": over.worst_name,
            "end": over.end.value,
            "end_flag": over.end.flag,
            "end_age_s": _rounded(over.end.age_s, 1),
        }
        for parameter, over in zip(parameters, quality, strict=False)
    ]


def _rounded(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None else None


def to_saved(quality: tuple[FillQuality, ...]) -> list[dict[str, Any]]:
    """The quality of an open fill, as JSON."""
    return [
        {
            "start": list(one.start),
            "end": list(one.end),
            "lowest": one.lowest,
            "highest": one.highest,
            "worst": one.worst,
            "worst_name": one.worst_name,
        }
        for one in quality
    ]


def from_saved(saved: list[dict[str, Any]]) -> tuple[FillQuality, ...]:
    """The inverse of ``to_saved``. Raises ``KeyError``, ``TypeError`` on other data."""
    return tuple(
        FillQuality(
            QualityReading(*one["start"]),
            QualityReading(*one["end"]),
            one["lowest"],
            one["highest"],
            one["worst"],
            one["worst_name"],
        )
        for one in saved
    )
