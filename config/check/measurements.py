"""Measurements and conditioning: names of their own, inputs of one kind, no circle, quantities of the signal's kind."""

from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Final

from config.check.references import Finding, References, Where, of_kind
from config.conditioning import Conditioning, Rate
from config.measurement import AwayFrom, Derived, Voted
from config.signals import conditioning_needs
from config.units import CANONICAL

FROZEN_POLLS: Final = 3.0
"""A value that is the same in fewer readings than this tells nothing of its sensor."""


def check_measurements(known: References) -> Iterator[Finding]:
    for name, measurement in known.site.measurements.items():
        here: Where = ("measurements", name)
        yield from _own_name(known, here, name)
        for place, one in enumerate(measurement.inputs):
            at: Where = (*here, "signal") if isinstance(measurement, Derived) else (*here, "of", place)
            yield from known.there_is(at, one)
        match measurement:
            case Derived():
                yield from _check_derived(known, here, measurement)
            case Voted():
                yield from _check_voted(known, here, measurement)
        if measurement.deadband is not None and (kind := known.kind(name)) is not None:
            yield from of_kind((*here, "deadband"), measurement.deadband, kind)
        yield from check_conditioning(known, here, name, measurement, 0.0)
    try:
        TopologicalSorter(conditioning_needs(known.site)).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        name = next(one for one in circle if one in known.site.measurements)
        yield Finding(("measurements", name), " from ".join(reversed(circle)), "no circle: each from signals before it")


def check_conditioning(
    known: References, here: Where, name: str, settings: Conditioning, poll: float
) -> Iterator[Finding]:
    """How a reading is judged: in its own unit, marked by bool signals. ``poll`` in s, 0 where it is not known."""
    for field in ("maintenance", "calibration"):
        mark = getattr(settings, field)
        if mark is not None:
            yield from known.signal((*here, field), mark, "bool")
    kind = known.kind(name)
    if kind is None:
        return
    if kind not in CANONICAL:
        for field in ("range", "max_rate", "frozen_after", "zero_is_no_value"):
            if getattr(settings, field):
                yield Finding((*here, field), f"'{name}', a {kind}", "a signal that is a number")
        return
    for place, end in enumerate(settings.range or ()):
        yield from of_kind((*here, "range", place), end, kind)
    if settings.max_rate is not None:
        yield from _of_rate((*here, "max_rate"), settings.max_rate, kind)
    if settings.frozen_after is not None and known.has_result_time(name):
        found = f"frozen_after for '{name}', whose results stand until the next"
        yield Finding((*here, "frozen_after"), found, "none: how old a result is its guard judges")
    elif settings.frozen_after is not None and settings.frozen_after < FROZEN_POLLS * poll:
        expected = f"at least {FROZEN_POLLS:g} polls, {FROZEN_POLLS * poll:g} s"
        yield Finding((*here, "frozen_after"), f"{settings.frozen_after:g} s", expected)


def _own_name(known: References, here: Where, name: str) -> Iterator[Finding]:
    tag, site = name.partition(".")[0], known.site
    owners: tuple[tuple[str, Container[str]], ...] = (
        ("link", site.links),
        ("device", site.devices),
        ("valve", site.valves),
        ("pump", site.pumps),
        ("dispenser", site.dispensers),
    )
    for what, owner in owners:
        if tag in owner:
            expected = "a tag of its own: of what does not answer the platform is told nothing"
            yield Finding(here, f"'{tag}', which is also a {what}", expected)


def _check_derived(known: References, here: Where, measurement: Derived) -> Iterator[Finding]:
    kind = known.kind(measurement.signal)
    if kind is None:
        return
    if measurement.scale is not None:
        if kind not in CANONICAL:
            yield Finding((*here, "signal"), f"'{measurement.signal}', a {kind}", "a signal that is a number")
        else:
            yield from of_kind((*here, "scale", "from"), measurement.scale.from_[0], kind)
    if measurement.filter > 0 and measurement.scale is None and kind not in CANONICAL:
        yield Finding((*here, "filter"), f"a filter of '{measurement.signal}', a {kind}", "a signal that is a number")


def _check_voted(known: References, here: Where, measurement: Voted) -> Iterator[Finding]:
    kind = known.kind(measurement.of[0])
    if kind is None:
        return
    if kind not in CANONICAL and kind != "bool":
        expected = "signals that are numbers, or on or off"
        yield Finding((*here, "of", 0), f"'{measurement.of[0]}', a {kind}", expected)
        return
    for place, one in enumerate(measurement.of[1:], 1):
        if not list(known.there_is((), one)):
            yield from known.signal((*here, "of", place), one, kind)
    if isinstance(measurement.trip, bool) is not (kind == "bool"):
        found = f"trip: {measurement.trip} for a {kind}"
        expected = "true or false" if kind == "bool" else "high, low or {away_from: ...}"
        yield Finding((*here, "trip"), found.replace("True", "true").replace("False", "false"), expected)
        return
    if kind == "bool" and measurement.filter > 0:
        yield Finding((*here, "filter"), "a filter of signals that are on or off", "no filter")
    if isinstance(measurement.trip, AwayFrom):
        yield from of_kind((*here, "trip", "away_from"), measurement.trip.away_from, kind)
    if measurement.disagreement is not None:
        yield from of_kind((*here, "disagreement"), measurement.disagreement, kind)


def _of_rate(path: Where, rate: Rate, kind: str) -> Iterator[Finding]:
    if rate.kind != kind:
        yield Finding(path, f"a change of {rate.kind}", f"a change of {kind}, such as '5 {CANONICAL[kind]}/s'")
