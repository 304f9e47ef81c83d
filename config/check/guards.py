"""Guards: on a parameter that the use limits, never laxer than the standard."""

from collections.abc import Iterator

from config.check.references import Finding, References, Where, no_such, of_kind
from config.dispenser import Dispenser
from config.guard import BatchGuard, FastGuard, Guard
from config.standard import PARAMETERS, AppliedLimit, applied_limits, column_names, parameter_kind, uses
from config.units import CANONICAL


def dispenser_limits(dispenser: Dispenser) -> dict[str, AppliedLimit]:
    """The strictest limit per parameter over the dispenser's use and its further standards."""
    return applied_limits((*uses()[dispenser.use].standards, *dispenser.standards))


def check_guards(known: References, here: Where, dispenser: Dispenser) -> Iterator[Finding]:
    if dispenser.use not in uses():
        yield no_such((*here, "use"), dispenser.use, uses(), "end use")
        return
    columns = column_names()
    for index, column in enumerate(dispenser.standards):
        if column not in columns:
            yield no_such((*here, "standards", index), column, dict.fromkeys(columns), "standard/column")
    if any(column not in columns for column in dispenser.standards):
        return
    limits = dispenser_limits(dispenser)
    for parameter, guard in dispenser.guards.items():
        at: Where = (*here, "guards", parameter)
        if parameter not in PARAMETERS:
            yield no_such(at, parameter, PARAMETERS, "parameter")
            continue
        kind = parameter_kind(parameter)
        yield from known.signal((*at, "signal"), guard.signal, kind)
        if parameter not in limits:
            named = ", ".join((*uses()[dispenser.use].standards, *dispenser.standards))
            expected = f"a parameter that use '{dispenser.use}' limits ({named}: {', '.join(sorted(limits))})"
            yield Finding(at, f"'{parameter}'", expected)
            continue
        yield from _guard_limits(known, at, guard, limits[parameter], kind)


def _guard_limits(known: References, at: Where, guard: Guard, limit: AppliedLimit, kind: str) -> Iterator[Finding]:
    wrong = [
        finding
        for field in ("high", "low", "instant", "instant_low")
        if (measured := getattr(guard, field, None)) is not None
        for finding in of_kind((*at, field), measured, kind)
    ]
    yield from wrong
    if wrong:
        return
    symbol = CANONICAL[kind]
    high, low = _effective(guard, limit)
    if guard.high is not None and limit.high is not None and guard.high.value > limit.high:
        expected = f"at most {limit.high:g} {symbol}, the limit of {limit.origin} (a site may only be stricter)"
        yield Finding((*at, "high"), f"{guard.high.value:g} {symbol}", expected)
    if guard.low is not None and limit.low is not None and guard.low.value < limit.low:
        expected = f"at least {limit.low:g} {symbol}, the limit of {limit.origin} (a site may only be stricter)"
        yield Finding((*at, "low"), f"{guard.low.value:g} {symbol}", expected)
    if isinstance(guard, FastGuard):
        if guard.instant is not None and high is not None and guard.instant.value < high:
            expected = f"at least the stop limit, {high:g} {symbol}"
            yield Finding((*at, "instant"), f"{guard.instant.value:g} {symbol}", expected)
        if guard.instant_low is not None and low is not None and guard.instant_low.value > low:
            expected = f"at most the lower stop limit, {low:g} {symbol}"
            yield Finding((*at, "instant_low"), f"{guard.instant_low.value:g} {symbol}", expected)
    if isinstance(guard, BatchGuard) and known.kind(guard.signal) and not known.has_result_time(guard.signal):
        expected = "a signal with time_from: a batch guard tells results apart by the analyzer's own time"
        yield Finding((*at, "signal"), f"'{guard.signal}', which has no result time", expected)


def _effective(guard: Guard, limit: AppliedLimit) -> tuple[float | None, float | None]:
    high = guard.high.value if guard.high is not None else limit.high
    low = guard.low.value if guard.low is not None else limit.low
    return high, low
