"""Concessions: where a site file lets a guard be laxer than the standard or than its use, by name.

A limit is relaxed by a permit that the site file names, with the person who approved it; stale results only warn where
it says ``staleness: warn-only``. Each is recorded at every start and shown by ``validate``, ``status`` and ``why``.
"""

from dataclasses import dataclass

from config.check.guards import dispenser_limits, laxer_sides
from config.guard import BatchGuard, FastGuard, Guard, PermitGuard
from config.load import LoadedSite
from config.standard import AppliedLimit, Staleness
from config.units import CANONICAL
from control.cause import Cause, amount
from control.code import Code


@dataclass(frozen=True, slots=True)
class Concession:
    """What is conceded at a guard of a dispenser, as a cause."""

    dispenser: str
    cause: Cause


def concessions(loaded: LoadedSite) -> tuple[Concession, ...]:
    """All of a checked site, in the order of its file."""
    return tuple(
        Concession(tag, cause)
        for tag, dispenser in loaded.site.dispensers.items()
        for parameter, guard in dispenser.guards.items()
        for cause in _of(f"{tag}.{parameter}", guard, dispenser_limits(dispenser).get(parameter))
    )


def _of(name: str, guard: Guard, limit: AppliedLimit | None) -> list[Cause]:
    found: list[Cause] = []
    if isinstance(guard, FastGuard | BatchGuard) and limit is not None and guard.relaxed is not None:
        by = guard.relaxed
        for field, value, standard in laxer_sides(guard, limit):
            own = guard.high if field == "high" else guard.low
            unit = CANONICAL[own.kind] if own is not None else ""
            figures = (
                f"{amount(standard, unit)} ({limit.origin})",
                amount(value, unit),
                by.by,
                by.approved_by,
                by.reason,
            )
            found.append(Cause(Code.LIMIT_RELAXED, name, figures))
    if isinstance(guard, BatchGuard | PermitGuard) and guard.staleness is Staleness.WARN_ONLY:
        found.append(Cause(Code.WARN_ONLY, name))
    return found
