"""The quality guards of a dispenser in a site file."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from config.model import FileModel, Percent, PositiveSeconds, PositiveVolumeM3, Quantity, Seconds, SignalName
from config.override import Bypassable
from config.standard import Staleness

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
"""What a person writes: who, why, by which paper."""


class Relaxed(FileModel):
    """By what right a limit is laxer than the standard: ``by`` names the permit or contract, ``approved_by`` who."""

    by: Text
    reason: Text
    approved_by: Text


class FastEarlyWarning(FileModel):
    """Warns ``horizon`` before a limit will be passed, by the trend of ``points`` points over ``window``."""

    horizon: PositiveSeconds = 3600.0
    window: PositiveSeconds = 1800.0
    points: Annotated[int, Field(ge=5, le=30)] = 16


class BatchEarlyWarning(FileModel):
    """Warns ``horizon`` before a limit will be passed, by the trend of the last ``results``."""

    horizon: PositiveSeconds = 4 * 3600.0
    results: Annotated[int, Field(ge=5, le=30)] = 6


class _Limited(FileModel):
    """``high`` and ``low`` may only be stricter than the standard, but where ``relaxed`` says by what right.

    Beyond ``warn`` (below ``warn_low``) there is an alarm and no stop. ``hysteresis``: percent of the limit.
    ``mark_cap``, ``mark_day_cap``: how long a maintenance or calibration mark may hold the last verdict at a time, and
    in 24 hours. ``min_hold``: a trip is not reset sooner. ``temperature``: selects the limit where the standard has
    another one for cold water. ``zero_counts``: a reading of exactly 0 is a measurement here; else it is none where
    there is no lower limit, because that is what instruments show that do not measure.
    """

    signal: SignalName
    high: Quantity | None = None
    low: Quantity | None = None
    warn: Quantity | None = None
    warn_low: Quantity | None = None
    hysteresis: Percent = 10.0
    min_hold: Seconds = 0.0
    relaxed: Relaxed | None = None
    temperature: SignalName | None = None
    zero_counts: bool = False
    bypass: Bypassable | None = None
    proof_interval: PositiveSeconds | None = None


class FastGuard(_Limited):
    """Watches a continuously measured parameter: beyond its limit for ``stop_delay``, or beyond ``instant`` at once.

    Clears after ``clear_time`` inside the limit by the hysteresis. ``warn_delay``: the warning's delay.
    """

    kind: Literal["fast"]
    instant: Quantity | None = None
    instant_low: Quantity | None = None
    stop_delay: Seconds = 5.0
    warn_delay: Seconds = 60.0
    clear_time: Seconds = 600.0
    mark_cap: Seconds = 1800.0
    mark_day_cap: Seconds = 2 * 3600.0
    early_warning: FastEarlyWarning | None = None


class WorkState(FileModel):
    """Where an analyzer says what it does. Any code that is not listed is a check or a calibration."""

    signal: SignalName
    sampling: int = 1
    idle: int = 0
    cleaning: tuple[int, ...] = (10,)


class BatchGuard(_Limited):
    """Watches an analyzer that gives one result per ``interval``; ages: fresh, aging, stale, expired.

    A single result beyond the limit trips. Ages are multiples of ``interval`` (fresh to 1.5, aging to 2.5,
    expired from ``expired_after``). Clears after ``results_to_clear`` good new results. ``work_state``: needed where
    results have no time of their own, or where check results stand in the same place.
    """

    kind: Literal["batch"]
    interval: PositiveSeconds
    staleness: Staleness | None = None
    expired_after: Annotated[float, Field(gt=2.5, le=24)] = 4.0
    results_to_clear: Annotated[int, Field(ge=1, le=24)] = 2
    work_state: WorkState | None = None
    mark_cap: Seconds = 4 * 3600.0
    mark_day_cap: Seconds = 8 * 3600.0
    early_warning: BatchEarlyWarning | None = None


class Pipe(FileModel):
    """What must pass before good water arrives: ``volume``, by the ``flow`` that is measured in the pipe."""

    volume: PositiveVolumeM3
    flow: SignalName


class PermitGuard(FileModel):
    """Holds a permit of the plant upstream, read at ``signal`` or given by command from ``sources``.

    A bool signal says fit when true, a number when it is ``fit_value``. A permit is renewed each ``interval`` and holds
    for ``ttl`` (by default ``expired_after`` intervals) from its issue. After the water was not fit, or not known, the
    pipe is flushed: for the time ``travel``, or the volume of ``pipe``. A trip clears on ``permits_to_clear`` permits.
    """

    kind: Literal["permit"]
    signal: SignalName | None = None
    fit_value: float = 1.0
    sources: tuple[Literal["platform", "local"], ...] = ()
    interval: PositiveSeconds = 60.0
    ttl: PositiveSeconds | None = None
    staleness: Staleness | None = None
    expired_after: Annotated[float, Field(gt=2.5, le=24)] = 4.0
    permits_to_clear: Annotated[int, Field(ge=1, le=24)] = 1
    travel: Seconds | None = None
    pipe: Pipe | None = None
    min_hold: Seconds = 0.0
    bypass: Bypassable | None = None
    proof_interval: PositiveSeconds | None = None


Guard = Annotated[FastGuard | BatchGuard | PermitGuard, Field(discriminator="kind")]
