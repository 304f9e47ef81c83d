"""What a site file must hold beyond its form: every reference leads somewhere, units fit, limits are lawful."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.check.alarms import check_alarms
from config.check.allocation import check_allocation
from config.check.devices import check_devices
from config.check.dispensers import check_dispenser
from config.check.equipment import check_analog_outputs, check_shared_outputs, check_valves
from config.check.interlocks import check_interlocks
from config.check.links import check_links
from config.check.loops import check_loops
from config.check.measurements import check_measurements
from config.check.pumps import check_pump_groups, check_pumps
from config.check.quality import check_compliance, check_permits
from config.check.references import Finding, Profiles, References
from config.check.uplink import check_uplink
from config.site import Site


def check_site(site: Site, profiles: Profiles, unknown: frozenset[str]) -> list[Finding]:
    """Every finding on a well-formed site. Tags in ``unknown`` were left out and are not reported again."""
    return list(_findings(References(site, profiles, unknown)))


def _findings(known: References) -> Iterator[Finding]:
    yield from _check_timezone(known)
    yield from check_links(known)
    yield from check_devices(known)
    yield from check_measurements(known)
    yield from check_valves(known)
    yield from check_pumps(known)
    yield from check_pump_groups(known)
    yield from check_analog_outputs(known)
    yield from check_shared_outputs(known)
    for tag, dispenser in known.site.dispensers.items():
        yield from check_dispenser(known, ("dispensers", tag), dispenser)
    yield from check_loops(known)
    yield from check_interlocks(known)
    yield from check_alarms(known)
    yield from check_allocation(known)
    yield from check_permits(known)
    yield from check_compliance(known)
    yield from check_uplink(known)


def _check_timezone(known: References) -> Iterator[Finding]:
    try:
        ZoneInfo(known.site.site.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield Finding(("site", "timezone"), f"'{known.site.site.timezone}'", "a time zone such as 'Asia/Shanghai'")
