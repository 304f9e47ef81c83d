"""What may be forced, and what may be bypassed, by name."""

from math import inf

from config.load import LoadedSite
from control.arbitration import Demand
from control.bypass import BypassRule
from control.override import Forceable, OverrideRules


def compile_overrides(loaded: LoadedSite, safe: tuple[Demand, ...]) -> OverrideRules:
    """Every output and signal that the site lets people force."""
    rules, forceable = loaded.site.overrides, dict[str, Forceable]()
    if rules.signals:
        for signal in loaded.signals.signals:
            if not signal.writable:
                forceable[signal.name] = Forceable(False, signal.index, signal.kind, -inf, inf)
    if rules.outputs:
        for place, demand in enumerate(safe):
            if demand.tag in forceable:
                # The close command of a valve with two: it follows what the valve is given.
                continue
            kind = "bool" if isinstance(demand.value, bool) else "number"
            forceable[demand.tag] = Forceable(True, place, kind, 0.0, 100.0)
    return OverrideRules(rules.longest, not rules.remote, forceable)


def compile_bypasses(loaded: LoadedSite) -> dict[str, BypassRule]:
    """Every protective function that the site file lets people bypass."""
    site = loaded.site
    allowed = {name: interlock.bypass for name, interlock in site.interlocks.items()}
    for tag, dispenser in site.dispensers.items():
        allowed |= {f"{tag}.{parameter}": guard.bypass for parameter, guard in dispenser.guards.items()}
    return {name: BypassRule(rule.longest, rule.per_day) for name, rule in allowed.items() if rule is not None}
