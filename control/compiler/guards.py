"""Guards: limits of the site file, or of the standards of the use where the site file gives none."""

from config.check.guards import dispenser_limits
from config.dispenser import Dispenser
from config.guard import BatchGuard as BatchSettings
from config.guard import FastGuard as FastSettings
from config.guard import Guard as Settings
from config.load import LoadedSite
from config.standard import AppliedLimit, uses
from control.guard import BatchGuard, FastGuard, Guard


def compile_guards(tag: str, dispenser: Dispenser, loaded: LoadedSite) -> list[Guard]:
    """The guards of one dispenser, in the order of the site file."""
    limits = dispenser_limits(dispenser)
    return [
        _guard(f"{tag}.{parameter}", parameter, guard, limits[parameter], dispenser, loaded)
        for parameter, guard in dispenser.guards.items()
    ]


def _guard(
    name: str,
    parameter: str,
    settings: Settings,
    limit: AppliedLimit,
    dispenser: Dispenser,
    loaded: LoadedSite,
) -> Guard:
    signal = loaded.signals[settings.signal]
    high = settings.high.value if settings.high is not None else limit.high
    low = settings.low.value if settings.low is not None else limit.low
    stricter = (settings.high is not None and high != limit.high) or (settings.low is not None and low != limit.low)
    origin = f"site file, stricter than {limit.origin}" if stricter else limit.origin
    match settings:
        case FastSettings():
            return FastGuard(
                name=name,
                parameter=parameter,
                signal=signal.index,
                signal_name=signal.name,
                unit=signal.unit,
                high=high,
                low=low,
                instant_high=settings.instant.value if settings.instant is not None else None,
                instant_low=settings.instant_low.value if settings.instant_low is not None else None,
                stop_delay=settings.stop_delay,
                clear_time=settings.clear_time,
                hysteresis=settings.hysteresis,
                mark_cap=settings.mark_cap,
                limit_origin=origin,
                limit_status=limit.status,
            )
        case BatchSettings():
            return BatchGuard(
                name=name,
                parameter=parameter,
                signal=signal.index,
                signal_name=signal.name,
                unit=signal.unit,
                high=high,
                low=low,
                interval=settings.interval,
                staleness=settings.staleness or uses()[dispenser.use].staleness,
                expired_after=settings.expired_after,
                results_to_clear=settings.results_to_clear,
                hysteresis=settings.hysteresis,
                limit_origin=origin,
                limit_status=limit.status,
            )
