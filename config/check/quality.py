"""Permits that are given, and what is evaluated beside the guards: all of it there, and limited by the use."""

from collections.abc import Iterator

from config.check.guards import dispenser_limits
from config.check.references import Finding, References, Where, no_such
from config.standard import PARAMETERS, column_names, parameter_kind, uses


def check_permits(known: References) -> Iterator[Finding]:
    dispensers = known.site.dispensers
    guards = {f"{tag}.{name}": None for tag, one in dispensers.items() for name in one.guards}
    taken = {*known.site.devices, *known.site.links, *dispensers}
    for name, permit in known.site.permits.items():
        here: Where = ("permits", name)
        if name in taken:
            yield Finding(here, f"'{name}'", "a name of its own: a link, device or dispenser is called so")
        if not permit.dispensers and not permit.guards:
            yield Finding(here, "neither dispensers nor guards", "what the permit rests on")
        for place, tag in enumerate(permit.dispensers):
            if tag not in dispensers and tag not in known.unknown:
                yield no_such((*here, "dispensers", place), tag, dispensers, "dispenser")
        for place, guard in enumerate(permit.guards):
            if guard not in guards and guard.partition(".")[0] not in known.unknown:
                yield no_such((*here, "guards", place), guard, guards, "guard")
        if permit.ttl < 2.5 * permit.interval:
            expected = f"at least 2.5 intervals ({2.5 * permit.interval:g} s): one that is late is not yet stale"
            yield Finding((*here, "ttl"), f"{permit.ttl:g} s", expected)


def check_compliance(known: References) -> Iterator[Finding]:
    for tag, parameters in known.site.compliance.items():
        here: Where = ("compliance", tag)
        dispenser = known.site.dispensers.get(tag)
        if dispenser is None:
            if tag not in known.unknown:
                yield no_such(here, tag, known.site.dispensers, "dispenser")
            continue
        if dispenser.use not in uses() or any(one not in column_names() for one in dispenser.standards):
            continue
        limits = dispenser_limits(dispenser)
        for parameter, evaluated in parameters.items():
            at: Where = (*here, parameter)
            if parameter not in PARAMETERS:
                yield no_such(at, parameter, PARAMETERS, "parameter")
                continue
            yield from known.signal((*at, "signal"), evaluated.signal, parameter_kind(parameter))
            if parameter in dispenser.guards:
                yield Finding(
                    at, f"'{parameter}', which is guarded", "a parameter without a guard: guards are evaluated"
                )
            elif parameter not in limits:
                expected = f"a parameter that use '{dispenser.use}' limits: {', '.join(sorted(limits))}"
                yield Finding(at, f"'{parameter}'", expected)
            timed = evaluated.interval is None or known.has_result_time(evaluated.signal)
            if known.kind(evaluated.signal) and not timed:
                expected = "a signal with time_from: its results are told apart by their time"
                yield Finding((*at, "signal"), f"'{evaluated.signal}', which has no result time", expected)
