"""Alarms of the site's own: a name of their own, conditions that can be, a dead band that fits.

Whether an id without ``when`` is one of the station's alarms is known when the site is compiled, for only then is it
known what alarms there are.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from config.alarm import Alarm
from config.check.expressions import check_expression
from config.check.references import Finding, References, Where
from config.expression import Comparison, Expression, Quantity, Signal
from config.units import CANONICAL


def check_alarms(known: References) -> Iterator[Finding]:
    for name, alarm in known.site.alarms.items():
        here: Where = ("alarms", name)
        if alarm.suppressed_when is not None:
            yield from check_expression(known, (*here, "suppressed_when"), alarm.suppressed_when)
        if alarm.when is None:
            if "." not in name:
                expected = "the condition of an alarm of the site's own, such as 'LT-101.level > 5 m'"
                yield Finding((*here, "when"), "nothing", expected)
            continue
        yield from _own_name(known, here, name)
        yield from check_expression(known, (*here, "when"), alarm.when)
        if alarm.deadband is not None:
            yield from _check_deadband(known, here, alarm)


def with_deadband(alarm: Alarm) -> Expression:
    """The condition of an alarm that was checked; its dead band is what an expression calls ``until``."""
    assert alarm.when is not None
    if alarm.deadband is None:
        return alarm.when
    limited = _limited(alarm.when)
    assert limited is not None
    comparison, limit = limited
    above = comparison.comparator in (">", ">=")
    back = limit.value - alarm.deadband.value if above else limit.value + alarm.deadband.value
    text = f"{back:.10g} {CANONICAL[limit.kind]}"
    return replace(comparison, until=Quantity(back, limit.kind, text))


def _own_name(known: References, here: Where, name: str) -> Iterator[Finding]:
    site = known.site
    if "." in name:
        yield Finding(here, f"'{name}' with 'when'", "a name without a dot for an alarm of the site's own: LAH-101")
    sections: Mapping[str, Container[str]] = {
        "link": site.links,
        "device": site.devices,
        "valve": site.valves,
        "pump": site.pumps,
        "dispenser": site.dispensers,
        "analog output": site.analog_outputs,
        "loop": site.loops,
        "interlock": site.interlocks,
        "permissive": site.permissives,
    }
    for what, owner in sections.items():
        if name in owner:
            article = "an" if what[0] in "ai" else "a"
            yield Finding(here, f"'{name}', which is also {article} {what}", "a name of its own")


def _check_deadband(known: References, here: Where, alarm: Alarm) -> Iterator[Finding]:
    assert alarm.when is not None
    assert alarm.deadband is not None
    at = (*here, "deadband")
    limited = _limited(alarm.when)
    if limited is None:
        expected = "a dead band for one comparison of a signal with a quantity; elsewhere the expression says 'until'"
        yield Finding(at, f"a dead band for '{alarm.when}'", expected)
        return
    kind = limited[1].kind
    if alarm.deadband.kind != kind:
        yield Finding(at, f"a {alarm.deadband.kind}", f"a {kind}, such as '0.1 {CANONICAL[kind]}'")
    elif alarm.deadband.value <= 0:
        yield Finding(at, f"{alarm.deadband.value:g} {CANONICAL[kind]}", "above 0")


def _limited(expression: Expression) -> tuple[Comparison, Quantity] | None:
    """The comparison of one signal with one quantity that an expression is, if it is no more."""
    if not isinstance(expression, Comparison) or expression.until is not None:
        return None
    if len(expression.left.terms) != 1 or len(expression.right.terms) != 1:
        return None
    (_, left), (_, right) = expression.left.terms[0], expression.right.terms[0]
    ordered = expression.comparator in ("<", "<=", ">", ">=")
    if not (ordered and isinstance(left, Signal) and isinstance(right, Quantity)):
        return None
    return expression, right
