"""The checker proves that it can fail: defects of one line, each of which a walk must find.

A mutant is a place in the source of ``control`` and what stands there instead. It is planted by compiling the changed
source beside the module and swapping the code of the functions that differ; nothing else knows of it.
"""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` stands exactly once in ``module``; ``new`` is planted there. ``name`` says what is then wrong.

    ``preset``: the inputs among which it shows, within so many ``states``; those with many are for ``make prove``.
    """

    name: str
    module: str
    old: str
    new: str
    preset: str = "storm"
    states: int = 3000


MUTANTS: Final = (
    Mutant(
        "a trip no longer forbids",
        "control.protect",
        "run: Cause | None = trip.cause",
        "run: Cause | None = None",
        preset="calm",
    ),
    Mutant(
        "an instant limit does not count",
        "control.fast_guard",
        "value > self.instant_high:",
        "value > 2 * self.instant_high:",
    ),
    Mutant(
        "readings beyond the limit never trip",
        "control.fast_guard",
        "if now.mono - start < self.stop_delay:",
        "if True:",
    ),
    Mutant(
        "silence is tolerated for ever",
        "control.fast_guard",
        "elif now.mono - unknown_since < self.stop_delay:",
        "elif True:",
    ),
    Mutant(
        "a mark has no cap",
        "control.fast_guard",
        "if state.mark.over is None:",
        "if True:",
        preset="marked",
    ),
    Mutant(
        "a reset needs no time in the clear",
        "control.fast_guard",
        "if state.clear_since is None or waited < self.clear_time:",
        "if False:",
    ),
    Mutant(
        "a reset needs no good reading",
        "control.fast_guard",
        "if state.unknown_since is not None:\n            return Cause(Code.QUALITY_UNKNOWN",
        "if False:\n            return Cause(Code.QUALITY_UNKNOWN",
        preset="leak",
    ),
    Mutant(
        "a later cause takes the place of the first-out",
        "control.work",
        "trip = self.trips[index] = also(before, reason)",
        "trip = self.trips[index] = latch(TripState(), tag, reason, self.now)",
    ),
    Mutant(
        "protect loses in arbitration",
        "control.arbitrate",
        "return strongest([standing, wanted, Demand(safe.tag, safe.signal, safe.value, Rank.PROTECT, forbids)])",
        "return strongest([standing, wanted])",
        preset="by hand",
    ),
    Mutant(
        "an override outranks protect",
        "control.arbitrate",
        "return strongest([standing, wanted, Demand(safe.tag, safe.signal, safe.value, Rank.PROTECT, forbids)])",
        "return standing if standing.rank is Rank.OVERRIDE else strongest([standing, wanted, "
        "Demand(safe.tag, safe.signal, safe.value, Rank.PROTECT, forbids)])",
        preset="by hand",
    ),
    Mutant(
        "a reset is taken while its cause stands",
        "control.obey",
        "if standing is not None:",
        "if False:",
    ),
    Mutant(
        "anybody resets from afar",
        "control.obey",
        'if unit.reset == "local" and not command.local:',
        "if False:",
        preset="afar",
    ),
    Mutant(
        "an order is taken again",
        "control.order",
        "if command.order_id in seen",
        "if False and command.order_id in seen",
        preset="calm",
    ),
    Mutant(
        "the valve is not proved closed before a fill",
        "control.batch",
        "if inputs.valve is not Position.CLOSED:\n            return Cause(Code.VALVE_UNKNOWN",
        "if inputs.valve is Position.BETWEEN:\n            return Cause(Code.VALVE_UNKNOWN",
        preset="calm",
    ),
    Mutant(
        "a restart forgets trips",
        "control.saved",
        'if (trip := saved["trips"].get(unit.tag)) is not None',
        "if (trip := None) is not None",
    ),
    Mutant(
        "a restart resumes a fill",
        "control.fill",
        "phase=Phase.STOPPING,\n        restored=True,",
        "phase=Phase.FULL_FLOW,\n        restored=True,",
        preset="calm",
    ),
    Mutant(
        "a restart forgets which orders were filled",
        "control.fill",
        'seen_orders=tuple(saved["seen_orders"]),',
        "seen_orders=(),",
        preset="calm",
    ),
    Mutant(
        "a restart forgets the totaliser",
        "control.fill",
        'meter=meter.from_saved(saved["meter"], now),',
        "meter=meter.NEVER_READ,",
        preset="calm",
    ),
    Mutant(
        "water without an order is not booked",
        "control.meter",
        "idle_m3 = state.idle_m3 + moved.volume_m3",
        "idle_m3 = state.idle_m3",
        preset="calm",
    ),
    Mutant(
        "delivered is counted twice",
        "control.batch",
        "delivered_m3=state.delivered_m3 + counted.volume_m3",
        "delivered_m3=state.delivered_m3 + 2 * counted.volume_m3",
        preset="calm",
    ),
    Mutant(
        "a receipt is written at every scan of settling",
        "control.batch",
        "return self._to(state, Phase.RECEIPT, now), (receipt,)",
        "return (self._to(state, Phase.RECEIPT, now) if settled else state), (receipt,)",
        preset="calm",
    ),
    Mutant(
        "an order goes without a receipt",
        "control.batch",
        "return self._to(state, Phase.RECEIPT, now), (receipt,)",
        "return self._to(state, Phase.RECEIPT, now), ()",
        preset="calm",
    ),
    Mutant(
        "a trip leaves no record",
        "control.work",
        'self.events.append(Event(Kind.EVENT, "trip", tag, {"cause": to_json(trip.cause), **known}))',
        "pass",
    ),
    Mutant(
        "a trip is no alarm",
        "control.alarming",
        "work.alarm(unit.tag, trip, TRIP)",
        "pass",
    ),
    Mutant(
        "a command leaves no record",
        "control.obey",
        "work.events.append(Event(Kind.COMMAND, str(command.op), command.target, body))",
        "work.events += [Event(Kind.COMMAND, str(command.op), command.target, body)] if refusal is None else []",
    ),
    Mutant(
        "an old reading stays good",
        "control.condition",
        "mono - sample.received > limit and",
        "mono - sample.received > 100 * limit and",
        preset="silent",
    ),
    Mutant(
        "an override never ends",
        "control.override",
        "if all(now.mono < one.ends_at for one in standing):",
        "if True:",
        preset="by hand",
    ),
    Mutant(
        "a result beyond the limit is no breach",
        "control.batch_guard",
        "breached=state.breached or cause is not None,",
        "breached=state.breached,",
        preset="results",
    ),
    Mutant(
        "a result never expires",
        "control.batch_guard",
        "expires = self.expired_after * self.interval",
        "expires = 100 * self.interval",
        preset="expiry",
    ),
    Mutant(
        "an older result is news",
        "control.batch_guard",
        "if state.result_time is None or time > state.result_time:",
        "if True:",
        preset="disorder",
    ),
    Mutant(
        "a date ahead is believed",
        "control.batch_guard",
        "if time - now.utc > AHEAD_S:",
        "if False:",
        preset="disorder",
    ),
    Mutant(
        "a date ahead is no evidence against the water",
        "control.batch_guard",
        "if breach is None:\n            return state\n        if state.breached:",
        "if True:\n            return state\n        if state.breached:",
        preset="disorder",
    ),
    Mutant(
        "backlog is news",
        "control.batch_guard",
        "if now.utc - time > BACKLOG_INTERVALS * self.interval:",
        "if False:",
        preset="disorder",
    ),
    Mutant(
        "a reset asks no result",
        "control.batch_guard",
        "if state.good_results < self.results_to_clear:",
        "if False:",
        preset="results",
    ),
    Mutant(
        "a restart makes a result new",
        "control.guard",
        "return now.mono - max(age, now.utc - dated_utc if dated_utc is not None else age)",
        "return now.mono",
        preset="expiry",
    ),
    Mutant(
        "a clock that went back across a restart makes a result young",
        "control.guard",
        "    if now.utc < saved_utc - SMALL_STEP_S:\n        return None\n    age = saved_utc - seen_utc +",
        "    age = now.utc - seen_utc if now.utc < saved_utc else saved_utc - seen_utc +",
        preset="restarts",
        states=10_000,
    ),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The defect stands while the context lasts."""
    module = importlib.import_module(mutant.module)
    source = inspect.getsource(module)
    if source.count(mutant.old) != 1:
        raise ValueError(f"'{mutant.name}': its place stands {source.count(mutant.old)} times in {mutant.module}")
    twin = ModuleType(module.__name__)
    twin.__dict__.update({"__file__": module.__file__, "__package__": module.__package__})
    exec(compile(source.replace(mutant.old, mutant.new), str(module.__file__), "exec"), twin.__dict__)
    changed = [
        (function, other.__code__)
        for name, function in _functions(module).items()
        if (other := _functions(twin).get(name)) is not None and not _same(function.__code__, other.__code__)
    ]
    if not changed:
        raise ValueError(f"'{mutant.name}' changes no function of {mutant.module}")
    kept = [(function, function.__code__) for function, _ in changed]
    try:
        for function, code in changed:
            function.__code__ = code
        yield
    finally:
        for function, code in kept:
            function.__code__ = code


def _functions(module: ModuleType) -> dict[str, FunctionType]:
    """Every function and method that a module defines, by its name."""
    found: dict[str, FunctionType] = {}
    holders: list[tuple[str, Any]] = [("", module)]
    holders += [
        (f"{name}.", value)
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    for prefix, holder in holders:
        for name, value in vars(holder).items():
            function = value.fget if isinstance(value, property) else value
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                found[prefix + name] = function
    return found


def _same(one: CodeType, other: CodeType) -> bool:
    return (
        one.co_code == other.co_code
        and repr(_constants(one)) == repr(_constants(other))
        and (one.co_names == other.co_names)
    )


def _constants(code: CodeType) -> tuple[object, ...]:
    return tuple(
        (constant.co_code, _constants(constant)) if isinstance(constant, CodeType) else constant
        for constant in code.co_consts
    )
