"""Guards: on a parameter that the use limits, never laxer than the standard."""

from collections.abc import Iterator

from config.check.references import Finding, References, Where, no_such, of_kind
from config.dispenser import Dispenser
from config.guard import BatchGuard, FastGuard, PermitGuard
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
        if isinstance(guard, PermitGuard):
            yield from _permit(known, at, guard)
            continue
        if parameter not in PARAMETERS:
            yield no_such(at, parameter, PARAMETERS, "parameter")
            continue
        kind = parameter_kind(parameter)
        yield from known.signal((*at, "signal"), guard.signal, kind)
        if parameter not in limits and guard.high is None and guard.low is None:
            named = ", ".join((*uses()[dispenser.use].standards, *dispenser.standards))
            expected = f"a parameter that use '{dispenser.use}' limits ({named}: {', '.join(sorted(limits))})"
            yield Finding(at, f"'{parameter}'", expected)
            continue
        limit = limits.get(parameter, AppliedLimit(parameter, None, None, "the site file", "verified"))
        yield from _guard_limits(at, guard, limit, kind)
        if guard.temperature is not None:
            yield from _temperature(known, at, guard, limit)
        if isinstance(guard, BatchGuard):
            yield from _results(known, at, guard)


def _guard_limits(at: Where, guard: FastGuard | BatchGuard, limit: AppliedLimit, kind: str) -> Iterator[Finding]:
    wrong = [
        finding
        for field in ("high", "low", "warn", "warn_low", "instant", "instant_low")
        if (measured := getattr(guard, field, None)) is not None
        for finding in of_kind((*at, field), measured, kind)
    ]
    yield from wrong
    if wrong:
        return
    symbol = CANONICAL[kind]
    high, low = effective(guard, limit)
    yield from _laxer(at, guard, limit, symbol)
    thresholds = [
        ("warn", guard.warn, high, -1, "the stop limit"),
        ("warn_low", guard.warn_low, low, 1, "the lower stop limit"),
    ]
    if isinstance(guard, FastGuard):
        thresholds += [
            ("instant", guard.instant, high, 1, "the stop limit"),
            ("instant_low", guard.instant_low, low, -1, "the lower stop limit"),
        ]
    for field, threshold, bound, side, what in thresholds:
        if threshold is not None and bound is not None and (threshold.value - bound) * side < 0:
            expected = f"{'at least' if side > 0 else 'at most'} {what}, {bound:g} {symbol}"
            yield Finding((*at, field), f"{threshold.value:g} {symbol}", expected)


def _laxer(at: Where, guard: FastGuard | BatchGuard, limit: AppliedLimit, symbol: str) -> Iterator[Finding]:
    """A limit beyond the standard's, unless the site file says by what right."""
    found = laxer_sides(guard, limit)
    if guard.relaxed is not None:
        if not found:
            expected = f"no 'relaxed', because no limit here is laxer than that of {limit.origin}"
            yield Finding((*at, "relaxed"), f"'{guard.relaxed.by}'", expected)
        return
    for field, value, bound in found:
        side = "at most" if field == "high" else "at least"
        expected = (
            f"{side} {bound:g} {symbol}, the limit of {limit.origin} (a laxer one needs "
            "'relaxed: {by, reason, approved_by}', which names the permit that allows it)"
        )
        yield Finding((*at, field), f"{value:g} {symbol}", expected)


def laxer_sides(guard: FastGuard | BatchGuard, limit: AppliedLimit) -> list[tuple[str, float, float]]:
    """Which limits of a guard are laxer than the standard's: field, value and the standard's."""
    found: list[tuple[str, float, float]] = []
    if guard.high is not None and limit.high is not None and guard.high.value > limit.high:
        found.append(("high", guard.high.value, limit.high))
    if guard.low is not None and limit.low is not None and guard.low.value < limit.low:
        found.append(("low", guard.low.value, limit.low))
    return found


def _results(known: References, at: Where, guard: BatchGuard) -> Iterator[Finding]:
    """How results are told apart: by their time, or by the work state of the analyzer."""
    if guard.work_state is not None:
        yield from known.signal((*at, "work_state", "signal"), guard.work_state.signal, "count")
    elif known.kind(guard.signal) and not known.has_result_time(guard.signal):
        expected = "a signal with time_from, or work_state: a batch guard never tells results apart by their value"
        yield Finding((*at, "signal"), f"'{guard.signal}', which has no result time", expected)


def _temperature(known: References, at: Where, guard: FastGuard | BatchGuard, limit: AppliedLimit) -> Iterator[Finding]:
    assert guard.temperature is not None
    yield from known.signal((*at, "temperature"), guard.temperature, "temperature")
    if limit.cold is None or guard.high is not None:
        expected = f"no temperature: {limit.origin} has one limit for all water, or the site file gives one"
        yield Finding((*at, "temperature"), f"'{guard.temperature}'", expected)


def _permit(known: References, at: Where, guard: PermitGuard) -> Iterator[Finding]:
    if guard.signal is None and not guard.sources:
        yield Finding(at, "neither signal nor sources", "where permits come from: a signal, or sources: [platform]")
    if guard.signal is not None:
        kind = known.kind(guard.signal)
        yield from known.signal((*at, "signal"), guard.signal, "bool" if kind == "bool" else "count")
        if kind is not None and not known.has_source_time(guard.signal):
            expected = "a signal with a time of its own (OPC UA, or time_from): the time of issue of a permit"
            yield Finding((*at, "signal"), f"'{guard.signal}', which has none", expected)
    if guard.pipe is not None:
        yield from known.signal((*at, "pipe", "flow"), guard.pipe.flow, "flow")
        if guard.travel is not None:
            yield Finding((*at, "travel"), "travel beside pipe", "one of them: a time, or a volume with its flow")


def effective(guard: FastGuard | BatchGuard, limit: AppliedLimit) -> tuple[float | None, float | None]:
    """The limits that a guard stops at: the site file's own where it gives any."""
    high = guard.high.value if guard.high is not None else limit.high
    low = guard.low.value if guard.low is not None else limit.low
    return high, low
