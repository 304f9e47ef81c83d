"""Allocation: the places of production and level in the image, and of the off-takes among the dispensers."""

from math import inf

from config.check.allocation import greatest_flow
from config.load import LoadedSite
from control.allocation import Allocation, OffTake


def compile_allocation(loaded: LoadedSite) -> Allocation | None:
    """The block; ``None`` where the site divides nothing."""
    settings, index = loaded.site.allocation, loaded.signals.index
    if settings is None:
        return None
    level, production = settings.level, settings.production
    return Allocation(
        off_takes=tuple(
            OffTake(tag, one.priority, one.minimum, one.share, greatest_flow(loaded.site.dispensers[tag]) or inf)
            for tag, one in settings.off_takes.items()
        ),
        production=index[production] if isinstance(production, str) else None,
        production_name=production if isinstance(production, str) else "",
        production_m3h=0.0 if isinstance(production, str) else production,
        level=index[level.signal] if level is not None else None,
        level_name=level.signal if level is not None else "",
        empty_m=level.empty if level is not None else 0.0,
        full_m=level.full if level is not None else 0.0,
        from_storage_m3h=level.from_storage if level is not None else 0.0,
        ramp_m3h_s=settings.ramp,
        step_m3h=settings.step,
        hold=settings.hold,
    )
