"""The quality guards of a dispenser in a site file."""

from typing import Annotated, Literal

from pydantic import Field

from config.model import FileModel, Percent, PositiveSeconds, Quantity, Seconds, SignalName
from config.override import Bypassable
from config.standard import Staleness


class FastGuard(FileModel):
    """Watches a continuously measured parameter: beyond its limit for ``stop_delay``, or beyond ``instant`` at once.

    ``high`` and ``low`` may only be stricter than the standard. Clears after ``clear_time`` inside the limit by
    ``hysteresis`` (percent of the limit).
    """

    kind: Literal["fast"]
    signal: SignalName
    high: Quantity | None = None
    low: Quantity | None = None
    instant: Quantity | None = None
    instant_low: Quantity | None = None
    stop_delay: Seconds = 5.0
    clear_time: Seconds = 600.0
    hysteresis: Percent = 10.0
    mark_cap: Seconds = 1800.0
    bypass: Bypassable | None = None
    proof_interval: PositiveSeconds | None = None


class BatchGuard(FileModel):
    """Watches an analyzer that gives one result per ``interval``; ages: fresh, aging, stale, expired.

    A single result beyond the limit trips. Ages are multiples of ``interval`` (fresh to 1.5, aging to 2.5,
    expired from ``expired_after``). Clears after ``results_to_clear`` good new results.
    """

    kind: Literal["batch"]
    signal: SignalName
    interval: PositiveSeconds
    high: Quantity | None = None
    low: Quantity | None = None
    staleness: Staleness | None = None
    expired_after: Annotated[float, Field(gt=2.5, le=24)] = 4.0
    results_to_clear: Annotated[int, Field(ge=1, le=24)] = 2
    hysteresis: Percent = 10.0
    bypass: Bypassable | None = None
    proof_interval: PositiveSeconds | None = None


Guard = Annotated[FastGuard | BatchGuard, Field(discriminator="kind")]
