"""What looks on at the water: the compliance of every measured parameter, and the permits that are given."""

from zoneinfo import ZoneInfo

from config.check.guards import laxer_sides
from config.compliance import rules
from config.dispenser import Dispenser
from config.guard import BatchGuard, FastGuard
from config.load import LoadedSite
from config.standard import AppliedLimit
from control.compiler.guards import guard_limit
from control.compliance import HOUR_S, Compliance, Evaluated
from control.guard import Guard
from control.permit import Permit


def compile_compliance(loaded: LoadedSite, guards: list[Guard], zone: ZoneInfo) -> Compliance:
    """Everything that is guarded or named under ``compliance``, and that a standard limits."""
    places = {guard.name: place for place, guard in enumerate(guards)}
    evaluated = [
        one
        for tag, dispenser in loaded.site.dispensers.items()
        for one in (*_guarded(tag, dispenser, loaded, places), *_named(tag, dispenser, loaded))
    ]
    rule = rules()
    status = "verified" if rule.hour_share.status == rule.day_share.status == "verified" else "unverified"
    return Compliance(tuple(evaluated), zone, rule.hour_share.value, rule.day_share.value, status)


def compile_permits(loaded: LoadedSite, guards: list[Guard]) -> tuple[Permit, ...]:
    """The permits that this site gives."""
    return tuple(
        Permit(
            name,
            tuple(
                place
                for place, guard in enumerate(guards)
                if guard.name in permit.guards or guard.name.partition(".")[0] in permit.dispensers
            ),
            permit.interval,
            permit.ttl,
        )
        for name, permit in loaded.site.permits.items()
    )


def _guarded(tag: str, dispenser: Dispenser, loaded: LoadedSite, places: dict[str, int]) -> list[Evaluated]:
    found: list[Evaluated] = []
    for parameter, guard in dispenser.guards.items():
        if not isinstance(guard, FastGuard | BatchGuard):
            continue
        limit = guard_limit(parameter, dispenser)
        low, high, clause = limit.low, limit.high, limit.origin
        if guard.relaxed is not None:
            for side, value, _ in laxer_sides(guard, limit):
                low, high = (value, high) if side == "low" else (low, value)
            clause = f"{guard.relaxed.by}, laxer than {limit.origin}"
        interval = guard.interval if isinstance(guard, BatchGuard) else None
        by_guard = isinstance(guard, BatchGuard) and guard.work_state is not None
        place = places[f"{tag}.{parameter}"] if by_guard else None
        if low is not None or high is not None:
            found.append(_evaluated(tag, dispenser, loaded, guard.signal, interval, limit, low, high, clause, place))
    return found


def _named(tag: str, dispenser: Dispenser, loaded: LoadedSite) -> list[Evaluated]:
    found: list[Evaluated] = []
    for parameter, one in loaded.site.compliance.get(tag, {}).items():
        limit = guard_limit(parameter, dispenser)
        bounds = (limit.low, limit.high, limit.origin)
        found.append(_evaluated(tag, dispenser, loaded, one.signal, one.interval, limit, *bounds, None))
    return found


def _evaluated(
    tag: str,
    dispenser: Dispenser,
    loaded: LoadedSite,
    signal: str,
    interval: float | None,
    limit: AppliedLimit,
    low: float | None,
    high: float | None,
    clause: str,
    guard: int | None,
) -> Evaluated:
    table = loaded.signals
    return Evaluated(
        name=f"{tag}.{limit.parameter}",
        parameter=limit.parameter,
        unit=table[signal].unit,
        signal=table.index[signal],
        flow=table.index[dispenser.meter.flow],
        batch=interval is not None,
        guard=guard,
        hours=_hours(interval),
        late=2 if interval is not None else 0,
        low=low,
        high=high,
        single=limit.single,
        clause=clause,
        status=limit.status,
        averaging=limit.averaging,
    )


def _hours(interval: float | None) -> int:
    """How many hours a mean takes: one, or the shortest part of a day in which an analyzer gives a result."""
    wanted = (interval or 0.0) / HOUR_S
    return next((hours for hours in (1, 2, 3, 4, 6, 8, 12) if hours >= wanted), 24)
