"""Allocation: of production in a unit of flow, by a level, between dispensers that there are."""

from collections.abc import Iterator

from config.check.references import Finding, References, Where, no_such
from config.dispenser import BatchDispenser, ContinuousDispenser
from config.units import CANONICAL


def check_allocation(known: References) -> Iterator[Finding]:
    """Every finding on the allocation of a site."""
    allocation = known.site.allocation
    if allocation is None:
        return
    here: Where = ("allocation",)
    if isinstance(allocation.production, str):
        yield from known.signal((*here, "production"), allocation.production, "flow")
    if allocation.level is not None:
        yield from known.signal((*here, "level", "signal"), allocation.level.signal, "length")
    for tag, off_take in allocation.off_takes.items():
        at: Where = (*here, "off_takes", tag)
        dispenser = known.site.dispensers.get(tag)
        if dispenser is None:
            if tag not in known.unknown:
                yield no_such(at, tag, known.site.dispensers, "dispenser")
            continue
        most = greatest_flow(dispenser)
        if most is not None and off_take.minimum > most:
            found = f"{off_take.minimum:g} {CANONICAL['flow']}"
            yield Finding((*at, "minimum"), found, f"at most {most:g} {CANONICAL['flow']}, all that {tag} can take")
        if (
            isinstance(dispenser, ContinuousDispenser)
            and dispenser.control == "pressure"
            and dispenser.limit_pid is None
        ):
            found = f"'{tag}', whose pressure is held without limit_pid"
            yield Finding(at, found, "a limit_pid at the dispenser, which holds the flow that is allocated")


def greatest_flow(dispenser: BatchDispenser | ContinuousDispenser) -> float | None:
    """The greatest flow of a dispenser, in m3/h, as far as the site file says it."""
    match dispenser:
        case BatchDispenser():
            return dispenser.full_flow
        case ContinuousDispenser() if dispenser.control == "flow":
            return dispenser.max_setpoint.value
        case _:
            return dispenser.high_flow
