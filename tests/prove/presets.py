"""Every set of inputs that is walked, of every small station, by its name."""

from typing import Final

from tests.prove import fill, results
from tests.prove.explore import Station

PRESETS: Final = (*fill.PRESETS, *results.PRESETS)


def station_of(preset: str) -> Station:
    """The station at which a preset may happen."""
    if preset in fill.PRESETS:
        return fill.station(fill.PRESETS[preset])
    return results.station(results.PRESETS[preset])
