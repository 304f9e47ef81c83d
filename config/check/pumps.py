"""Pumps and their groups: signals of their kind, one owner for each pump, and stages that do not hunt."""

from collections.abc import Iterator
from typing import Final

from config.check.references import Finding, References, Where, no_such, of_kind
from config.pump import Pump, PumpGroup, Staging
from config.units import CANONICAL

MOST_OF_UP: Final = 0.9
"""``down`` is at most this part of ``up``, else a group would stop the pump that it has just started."""
_KIND: Final = {"flow": "flow", "pressure": "pressure", "openings": "ratio"}


def check_pumps(known: References) -> Iterator[Finding]:
    for tag, pump in known.site.pumps.items():
        here: Where = ("pumps", tag)
        yield from known.signal((*here, "run_command"), pump.run_command, "bool", writable=True)
        for field in ("running", "remote", "fault"):
            signal = getattr(pump, field)
            if signal is not None:
                yield from known.signal((*here, field), signal, "bool")
        yield from _check_dry_run(known, here, pump)
        if pump.speed is not None and pump.speed.output not in {*known.site.analog_outputs, *known.unknown}:
            yield no_such((*here, "speed", "output"), pump.speed.output, known.site.analog_outputs, "analog output")


def _check_dry_run(known: References, here: Where, pump: Pump) -> Iterator[Finding]:
    if pump.dry_run is None:
        return
    suction, current, flow = pump.dry_run.suction, pump.dry_run.current, pump.dry_run.flow
    if suction is not None:
        at: Where = (*here, "dry_run", "suction")
        if suction.below.kind not in ("length", "pressure"):
            expected = "a level or a pressure, such as '0.3 m' or '0.1 bar'"
            yield Finding((*at, "below"), f"a {suction.below.kind}", expected)
        else:
            yield from known.signal((*at, "signal"), suction.signal, suction.below.kind)
    if current is not None:
        at = (*here, "dry_run", "current")
        yield from known.signal((*at, "signal"), current.signal, "current")
        yield from of_kind((*at, "below"), current.below, "current")
    if flow is not None:
        yield from known.signal((*here, "dry_run", "flow", "signal"), flow.signal, "flow")


def check_pump_groups(known: References) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for tag, group in known.site.pump_groups.items():
        here: Where = ("pump_groups", tag)
        if tag in known.site.pumps:
            yield Finding(here, f"'{tag}', which is also a pump", "a name of its own")
        for place, pump in enumerate(group.pumps):
            if pump not in {*known.site.pumps, *known.unknown}:
                yield no_such((*here, "pumps", place), pump, known.site.pumps, "pump")
            elif pump in owners:
                yield Finding((*here, "pumps", place), f"'{pump}', which is in {owners[pump]}", "a pump in one group")
            owners.setdefault(pump, tag)
        if group.duty > len(group.pumps):
            yield Finding((*here, "duty"), str(group.duty), f"at most {len(group.pumps)}, the pumps of the group")
        yield from _check_staging(known, here, group)
    for tag, dispenser in known.site.dispensers.items():
        if dispenser.pump in owners:
            found = f"'{dispenser.pump}', which is in group {owners[dispenser.pump]}"
            yield Finding(("dispensers", tag, "pump"), found, f"the group, {owners[dispenser.pump]}")


def _check_staging(known: References, here: Where, group: PumpGroup) -> Iterator[Finding]:
    staging = group.staging
    if staging is None:
        if group.duty > 1:
            yield Finding(
                (*here, "staging"), "nothing", f"how many of the {group.duty} run: by flow, pressure, openings"
            )
        return
    at: Where = (*here, "staging")
    if group.duty == 1:
        yield Finding(at, "stages for a group in which one pump runs", "duty: 2 or more, or no staging")
    wrong = [
        finding
        for field in ("up", "down")
        for finding in of_kind((*at, field), getattr(staging, field), _KIND[staging.by])
    ]
    yield from wrong or _apart(at, staging)
    if staging.by == "openings":
        if staging.signal is not None:
            yield Finding((*at, "signal"), f"'{staging.signal}'", "no signal: the openings are known")
    elif staging.signal is None:
        yield Finding((*at, "signal"), "nothing", f"the signal of the {staging.by}")
    else:
        yield from known.signal((*at, "signal"), staging.signal, staging.by)


def _apart(at: Where, staging: Staging) -> Iterator[Finding]:
    up, down, unit = staging.up.value, staging.down.value, CANONICAL[_KIND[staging.by]]
    if staging.by == "pressure":
        if down <= up:
            yield Finding((*at, "down"), f"{down:g} {unit}", f"above up, {up:g} {unit}: more pumps, more pressure")
    elif not 0 <= down <= MOST_OF_UP * up:
        expected = f"0 to {MOST_OF_UP * up:g} {unit}, well below up, so that the group does not hunt"
        yield Finding((*at, "down"), f"{down:g} {unit}", expected)
