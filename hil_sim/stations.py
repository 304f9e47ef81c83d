"""Which station model fits which site: a table, and the check that it provides what the site asks for."""

from collections.abc import Callable
from types import NoneType
from typing import Final

from config.load import LoadedSite
from hil_sim.base_station import Settings
from hil_sim.errors import SimulatorError
from hil_sim.fill_station import FillStation
from hil_sim.generic_station import GenericStation
from hil_sim.plant_outlet import PlantOutlet
from hil_sim.station import Station

MODELS: Final[dict[str, Callable[[LoadedSite, Settings], Station]]] = {
    "fill-station": FillStation,
    "plant-outlet": PlantOutlet,
    "generic": GenericStation,
}

_KINDS: Final = {
    "number": (int, float, NoneType),
    "bool": (bool, NoneType),
    "text": (str, NoneType),
    "time": (int, float, NoneType),
}

FITS: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (frozenset({"RIO-101", "FIT-101"}), "fill-station"),
    (frozenset({"FCV-201", "FCV-202", "FIT-201", "FIT-202"}), "plant-outlet"),
)
"""A site that has all these devices is simulated by that model; any other site by the generic one."""


def model_for(loaded: LoadedSite) -> str:
    """The name of the model for a site, after its device tags."""
    tags = loaded.site.devices.keys()
    return next((model for needed, model in FITS if needed <= tags), "generic")


def build_station(loaded: LoadedSite, settings: Settings, model: str | None = None) -> Station:
    """The station of a site.

    Raises ``SimulatorError`` that names every signal that the model does not provide.
    """
    name = model or model_for(loaded)
    station = MODELS[name](loaded, settings)
    problems = []
    for signal in loaded.signals.field:
        point = station.points.get(signal.name)
        if point is None:
            problems.append(f"{signal.name} (unknown to the model)")
        elif point.unit != signal.unit:
            problems.append(f"{signal.name} (in {signal.unit or 'no unit'}; the model gives {point.unit or 'no unit'})")
        elif not isinstance(point.get(), _KINDS[signal.kind]):
            problems.append(f"{signal.name} (a {signal.kind} on the site; the model gives {point.get()!r})")
        elif signal.writable and point.set is None:
            problems.append(f"{signal.name} (writable on the site, read-only in the model)")
    if problems:
        raise SimulatorError(
            f"the model '{name}' does not provide: {', '.join(problems)}. "
            "Take these out of the site file, or serve it with --model generic"
        )
    return station
