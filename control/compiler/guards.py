"""Guards: limits of the site file, or of the standards of the use where the site file gives none."""

from config.check.guards import dispenser_limits, effective, laxer_sides
from config.dispenser import Dispenser
from config.guard import BatchGuard as BatchSettings
from config.guard import FastGuard as FastSettings
from config.guard import Guard as Settings
from config.guard import PermitGuard as PermitSettings
from config.load import LoadedSite
from config.model import Measured
from config.standard import AppliedLimit, Staleness, uses
from control.cold import ColdLimit
from control.guard import BatchGuard, FastGuard, Guard, PermitGuard, WorkState
from control.mark import MarkCap
from control.slug import Pipe
from control.trend import EarlyWarning

GAP_POINTS = 3.0
"""A trend is forgotten when no point came for this many times the spacing of its points."""


def compile_guards(tag: str, dispenser: Dispenser, loaded: LoadedSite) -> list[Guard]:
    """The guards of one dispenser, in the order of the site file."""
    return [
        _guard(f"{tag}.{parameter}", parameter, settings, dispenser, loaded)
        for parameter, settings in dispenser.guards.items()
    ]


def guard_limit(parameter: str, dispenser: Dispenser) -> AppliedLimit:
    """What the standards of a dispenser say of a parameter; nothing where only the site file limits it."""
    nothing = AppliedLimit(parameter, None, None, "the site file alone", "verified")
    return dispenser_limits(dispenser).get(parameter, nothing)


def _guard(name: str, parameter: str, settings: Settings, dispenser: Dispenser, loaded: LoadedSite) -> Guard:
    staleness = uses()[dispenser.use].staleness
    match settings:
        case FastSettings():
            return _fast(name, parameter, settings, guard_limit(parameter, dispenser), loaded)
        case BatchSettings():
            limit = guard_limit(parameter, dispenser)
            return _batch(name, parameter, settings, limit, settings.staleness or staleness, loaded)
        case PermitSettings():
            return _permit(name, parameter, settings, settings.staleness or staleness, loaded)


def _fast(name: str, parameter: str, settings: FastSettings, limit: AppliedLimit, loaded: LoadedSite) -> FastGuard:
    signal = loaded.signals[settings.signal]
    high, low = effective(settings, limit)
    early = settings.early_warning
    spacing = early.window / early.points if early is not None else 0.0
    return FastGuard(
        name=name,
        parameter=parameter,
        signal=signal.index,
        signal_name=signal.name,
        unit=signal.unit,
        high=high,
        low=low,
        instant_high=_value(settings.instant),
        instant_low=_value(settings.instant_low),
        stop_delay=settings.stop_delay,
        clear_time=settings.clear_time,
        hysteresis=settings.hysteresis,
        mark_cap=MarkCap(signal.name, settings.mark_cap, settings.mark_day_cap),
        limit_origin=_origin(settings, limit),
        limit_status=limit.status,
        warn_high=_value(settings.warn),
        warn_low=_value(settings.warn_low),
        warn_delay=settings.warn_delay,
        min_hold=settings.min_hold,
        zero_counts=settings.zero_counts,
        cold=_cold(settings, limit, loaded),
        early=EarlyWarning(
            signal.name, signal.unit, high, low, early.horizon, spacing, early.points, GAP_POINTS * spacing
        )
        if early is not None
        else None,
    )


def _batch(
    name: str, parameter: str, settings: BatchSettings, limit: AppliedLimit, staleness: Staleness, loaded: LoadedSite
) -> BatchGuard:
    signal = loaded.signals[settings.signal]
    high, low = effective(settings, limit)
    early, work = settings.early_warning, settings.work_state
    return BatchGuard(
        name=name,
        parameter=parameter,
        signal=signal.index,
        signal_name=signal.name,
        unit=signal.unit,
        high=high,
        low=low,
        interval=settings.interval,
        staleness=staleness,
        expired_after=settings.expired_after,
        results_to_clear=settings.results_to_clear,
        hysteresis=settings.hysteresis,
        mark_cap=MarkCap(signal.name, settings.mark_cap, settings.mark_day_cap),
        limit_origin=_origin(settings, limit),
        limit_status=limit.status,
        warn_high=_value(settings.warn),
        warn_low=_value(settings.warn_low),
        min_hold=settings.min_hold,
        zero_counts=settings.zero_counts,
        timed=loaded.signals.has_result_time(settings.signal),
        work_state=WorkState(loaded.signals.index[work.signal], work.sampling, work.idle, work.cleaning)
        if work is not None
        else None,
        cold=_cold(settings, limit, loaded),
        early=EarlyWarning(
            signal.name, signal.unit, high, low, early.horizon, 0.0, early.results, GAP_POINTS * settings.interval
        )
        if early is not None
        else None,
    )


def _permit(
    name: str, parameter: str, settings: PermitSettings, staleness: Staleness, loaded: LoadedSite
) -> PermitGuard:
    index, pipe = loaded.signals.index, settings.pipe
    return PermitGuard(
        name=name,
        parameter=parameter,
        signal=index[settings.signal] if settings.signal is not None else None,
        signal_name=settings.signal or "",
        fit_value=settings.fit_value,
        by_platform="platform" in settings.sources,
        by_local="local" in settings.sources,
        interval=settings.interval,
        ttl=settings.ttl if settings.ttl is not None else settings.expired_after * settings.interval,
        staleness=staleness,
        permits_to_clear=settings.permits_to_clear,
        pipe=Pipe(volume_m3=pipe.volume, flow=index[pipe.flow])
        if pipe is not None
        else Pipe(travel=settings.travel or 0.0),
        min_hold=settings.min_hold,
    )


def _value(quantity: Measured | None) -> float | None:
    return quantity.value if quantity is not None else None


def _cold(settings: FastSettings | BatchSettings, limit: AppliedLimit, loaded: LoadedSite) -> ColdLimit | None:
    """The other limit of cold water, where the standard has one and the water's temperature is measured."""
    if settings.temperature is None or limit.cold is None or settings.high is not None:
        return None
    high, at_most = limit.cold
    return ColdLimit(loaded.signals.index[settings.temperature], at_most, high)


def _origin(settings: FastSettings | BatchSettings, limit: AppliedLimit) -> str:
    if laxer_sides(settings, limit) and settings.relaxed is not None:
        return f"{settings.relaxed.by}, laxer than {limit.origin}"
    own = (settings.high is not None and settings.high.value != limit.high) or (
        settings.low is not None and settings.low.value != limit.low
    )
    if own and limit.high is None and limit.low is None:
        return limit.origin
    return f"site file, stricter than {limit.origin}" if own else limit.origin
