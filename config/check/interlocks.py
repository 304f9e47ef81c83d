"""Interlocks and permissives: names of their own, on conditions that can be, acting on what there is."""

from collections.abc import Iterator, Mapping

from config.check.expressions import check_expression
from config.check.references import Finding, References, Where, no_such

_Targets = Mapping[str, Mapping[str, object]]
"""What a list of tags may name, by what it is."""


def check_interlocks(known: References) -> Iterator[Finding]:
    site = known.site
    taken: Mapping[str, str] = {
        **dict.fromkeys(site.devices, "a device"),
        **dict.fromkeys(site.links, "a link"),
        **dict.fromkeys(site.valves, "a valve"),
        **dict.fromkeys(site.pumps, "a pump"),
        **dict.fromkeys(site.analog_outputs, "an analog output"),
        **dict.fromkeys(site.dispensers, "a dispenser"),
        **dict.fromkeys(site.loops, "a loop"),
    }
    startable: _Targets = {"dispenser": site.dispensers, "pump": site.pumps}
    for name, interlock in site.interlocks.items():
        here: Where = ("interlocks", name)
        yield from _own_name(here, name, taken)
        yield from check_expression(known, (*here, "when"), interlock.when)
        yield from _there_are(known, (*here, "trips"), interlock.trips, {"dispenser": site.dispensers})
        yield from _there_are(
            known, (*here, "stops"), interlock.stops, {**startable, "analog output": site.analog_outputs}
        )
        yield from _there_are(known, (*here, "closes"), interlock.closes, {"valve": site.valves})
        for place, tag in enumerate(interlock.stops):
            if tag in interlock.trips:
                expected = "it once: what trips a dispenser stops it too"
                yield Finding((*here, "stops", place), f"'{tag}', which is under trips", expected)
    for name, permissive in site.permissives.items():
        here = ("permissives", name)
        yield from _own_name(here, name, {**taken, **dict.fromkeys(site.interlocks, "an interlock")})
        yield from check_expression(known, (*here, "when"), permissive.when)
        yield from _there_are(known, (*here, "for"), permissive.for_, startable)


def _own_name(here: Where, name: str, taken: Mapping[str, str]) -> Iterator[Finding]:
    if name in taken:
        yield Finding(here, f"'{name}', which is {taken[name]}", "a name of its own, such as 'suction-low'")


def _there_are(known: References, path: Where, tags: tuple[str, ...], of: _Targets) -> Iterator[Finding]:
    every = {tag: None for names in of.values() for tag in names}
    for place, tag in enumerate(tags):
        if tag in tags[:place]:
            yield Finding((*path, place), f"'{tag}' a second time", "each tag once")
        elif tag not in every and tag not in known.unknown:
            yield no_such((*path, place), tag, every, " or ".join(of))
