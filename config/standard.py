"""Quality standards as data: limits by end use, each with its clause and how far it was verified.

The numbers live in ``config/standards/*.yaml`` and ``config/uses.yaml``, never in code. A limit that was not
read in the standard's own text is ``unverified``, and the CLI shows that word.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import Field

from config.model import FileModel, Quantity
from config.units import unit

_STANDARDS: Final = "standards"
_USES: Final = "uses.yaml"
_folder: Final = ContextVar("folder of standards and uses", default=Path(__file__).parent)

PARAMETERS: Final[dict[str, str]] = {
    "turbidity": "NTU",
    "ph": "pH",
    "cod": "mg/L",
    "ammonia": "mg/L",
    "total_phosphorus": "mg/L",
    "total_nitrogen": "mg/L",
    "bod5": "mg/L",
    "suspended_solids": "mg/L",
    "total_chlorine": "mg/L",
    "dissolved_oxygen": "mg/L",
    "conductivity": "uS/cm",
    "tds": "mg/L",
}
"""What can be limited and the unit it is computed in. Ammonia is NH3-N (氨氮)."""


class Staleness(StrEnum):
    """What a guard does when its analyzer's newest result is too old to trust."""

    FAIL_CLOSED = "fail-closed"
    FAIL_HOLD = "fail-hold"
    WARN_ONLY = "warn-only"


class ColdLimit(FileModel):
    """Another ``high`` for water of ``at_most`` this temperature (nitrification is slow in the cold)."""

    high: Quantity
    at_most: Quantity


class Limit(FileModel):
    """One limit: ``low`` and ``high`` in the parameter's unit, ``None`` where the standard sets none.

    ``single``: what a single result (一次监测值) may be at most, beside the mean; ``None`` where there is no such
    limit or its number was not found.
    """

    parameter: str
    low: Quantity | None = None
    high: Quantity | None = None
    cold: ColdLimit | None = None
    single: Quantity | None = None
    clause: str
    averaging: str
    status: Literal["verified", "unverified"]
    source: str


class Column(FileModel):
    """One column of a standard's table: the uses it covers and its limits."""

    title: str
    limits: tuple[Limit, ...]


class Standard(FileModel):
    """One standard. ``standard`` is its number as printed."""

    standard: str
    title: str
    title_zh: str
    columns: dict[str, Column]


class Use(FileModel):
    """An end use: the standard columns that apply (the strictest limit of them counts)."""

    title: str
    title_zh: str
    standards: Annotated[tuple[str, ...], Field(min_length=1)]
    staleness: Staleness


@dataclass(frozen=True, slots=True)
class AppliedLimit:
    """The limit that applies to a parameter and where it comes from; numbers in the canonical unit.

    ``cold``: the upper limit that holds instead in water of at most so many degC, and that temperature.
    """

    parameter: str
    low: float | None
    high: float | None
    origin: str
    status: str
    averaging: str = "daily mean"
    cold: tuple[float, float] | None = None
    single: float | None = None


def standards() -> dict[str, Standard]:
    """All standards by file name: ``gb-t-18920-2020``."""
    return _standards(_folder.get())


def uses() -> dict[str, Use]:
    """All end uses by name: ``road-cleaning``."""
    return _uses(_folder.get())


def standard_texts() -> dict[str, str]:
    """The files of ``standards`` and ``uses`` as they stand, by their path in their folder."""
    folder = _folder.get()
    files = [folder / _USES, *sorted((folder / _STANDARDS).glob("*.yaml"))]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}


@contextlib.contextmanager
def standards_of(folder: Path) -> Iterator[None]:
    """Standards and uses are those of another folder meanwhile: those that held when something was recorded."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


@lru_cache(maxsize=4)
def _standards(folder: Path) -> dict[str, Standard]:
    return {
        path.stem: Standard.model_validate(yaml.safe_load(path.read_text("utf-8")))
        for path in sorted((folder / _STANDARDS).glob("*.yaml"))
    }


@lru_cache(maxsize=4)
def _uses(folder: Path) -> dict[str, Use]:
    data = yaml.safe_load((folder / _USES).read_text("utf-8"))
    return {name: Use.model_validate(use) for name, use in data.items()}


def column_names() -> list[str]:
    """Every ``standard/column`` that a use or a dispenser may name."""
    return [f"{name}/{column}" for name, standard in standards().items() for column in standard.columns]


def applied_limits(columns: tuple[str, ...]) -> dict[str, AppliedLimit]:
    """The strictest limit per parameter over ``standard/column`` names."""
    result: dict[str, AppliedLimit] = {}
    for column in columns:
        name, _, key = column.partition("/")
        for limit in standards()[name].columns[key].limits:
            result[limit.parameter] = _strictest(result.get(limit.parameter), limit, standards()[name].standard)
    return result


def _strictest(known: AppliedLimit | None, limit: Limit, standard: str) -> AppliedLimit:
    found = AppliedLimit(
        limit.parameter,
        limit.low.value if limit.low else None,
        limit.high.value if limit.high else None,
        f"{standard} {limit.clause}",
        limit.status,
        limit.averaging,
        (limit.cold.high.value, limit.cold.at_most.value) if limit.cold else None,
        limit.single.value if limit.single else None,
    )
    if known is None:
        return found
    low, high = found.low, found.high
    tighter_high = high is not None and (known.high is None or high < known.high)
    tighter_low = low is not None and (known.low is None or low > known.low)
    single = min((one for one in (known.single, found.single) if one is not None), default=None)
    cold = _strictest_cold(known, found)
    if not (tighter_high or tighter_low):
        return replace(known, single=single, cold=cold)
    origin = (
        found.origin
        if (tighter_high or high == known.high) and (tighter_low or low == known.low)
        else (f"{known.origin}; {found.origin}")
    )
    status = "verified" if known.status == found.status == "verified" else "unverified"
    return AppliedLimit(
        limit.parameter,
        low if tighter_low else known.low,
        high if tighter_high else known.high,
        origin,
        found.status if origin == found.origin else status,
        found.averaging,
        cold,
        single,
    )


def _strictest_cold(one: AppliedLimit, other: AppliedLimit) -> tuple[float, float] | None:
    """The upper limit in cold water, where it differs: the strictest over what each of two limits allows then."""
    colds = [limit.cold for limit in (one, other) if limit.cold is not None]
    if not colds:
        return None
    at_most = min(cold[1] for cold in colds)
    allowed = [limit.cold[0] if limit.cold is not None else limit.high for limit in (one, other)]
    warm = min(limit.high for limit in (one, other) if limit.high is not None)
    high = min(value for value in allowed if value is not None)
    return (high, at_most) if high > warm else None


def parameter_kind(parameter: str) -> str:
    """The kind of quantity of a parameter: ``turbidity`` -> ``turbidity``, ``cod`` -> ``concentration``."""
    return unit(PARAMETERS[parameter]).kind
