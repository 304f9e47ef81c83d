"""Expressions: every name leads somewhere, what is compared is of one kind, and what is said can be so."""

from collections.abc import Iterator, Mapping

from config.check.references import Finding, References, Where, no_such
from config.diagnostics import DEVICE_FIGURES, LINK_FIGURES, DiagnosticSignal
from config.expression import (
    WORDS,
    Comparison,
    Expression,
    Is,
    Quantity,
    Signal,
    Sum,
    leaves,
    terms,
)
from config.modbus_signal import ModbusSignal
from config.units import CANONICAL, unit


def check_expression(known: References, path: Where, expression: Expression) -> Iterator[Finding]:
    """Everything that is wrong with what an expression speaks of."""
    for leaf in leaves(expression):
        match leaf:
            case Comparison():
                yield from _check_comparison(known, path, leaf)
            case Is():
                yield from _check_is(known, path, leaf)
            case Signal(name):
                yield from _there_is(known, path, name)
                kind = _kind(known, name)
                if kind is not None and kind != "bool":
                    expected = f"a bool signal, or what {name} is compared with"
                    yield Finding(path, f"'{name}' alone, which is a {kind}", expected)


def _check_comparison(known: References, path: Where, leaf: Comparison) -> Iterator[Finding]:
    operands = (*terms(leaf.left), *terms(leaf.right))
    names = dict.fromkeys(term.name for term in operands if isinstance(term, Signal))
    missing = [finding for name in names for finding in _there_is(known, path, name)]
    if missing:
        yield from missing
        return
    if not names:
        yield Finding(path, f"'{leaf}', which is always the same", "a comparison with a signal in it")
        return
    kinds = {name: kind for name in names if (kind := _kind(known, name)) is not None}
    if len(kinds) < len(names):
        return
    first, kind = next(iter(kinds.items()))
    if kind not in CANONICAL or _is_time(known, first):
        word = "time" if kind == "time" else kind
        expected = f"'{first}' alone" if kind == "bool" else f"'{first} is \"...\"'" if kind == "text" else "a number"
        yield Finding(path, f"'{leaf}', where {first} is a {word}", expected)
        return
    for other, found in kinds.items():
        if found != kind:
            yield Finding(
                path, f"'{leaf}', where {first} is a {kind} and {other} a {found}", f"a {kind} beside {first}"
            )
            return
    for term in (*operands, *([leaf.until] if leaf.until is not None else [])):
        if isinstance(term, Quantity) and term.kind != kind:
            found = f"'{term}' beside {first}, a {term.kind}" if " " in term.text else f"'{term}' without a unit"
            yield Finding(path, found, f"a {kind}, such as '5 {CANONICAL[kind]}'")
            return
    if leaf.comparator in ("=", "!=") and kind != "count":
        expected = "< <= > or >=, or abs( ) of a difference: a measurement is hardly ever equal to anything"
        yield Finding(path, f"'{leaf}'", expected)
    elif str(leaf.left) == str(leaf.right):
        yield Finding(path, f"'{leaf}', which is always the same", "two different things to compare")
    else:
        yield from _within_range(known, path, leaf)


def _within_range(known: References, path: Where, leaf: Comparison) -> Iterator[Finding]:
    """A limit that a signal never comes to: nothing outside its range is a good reading."""
    for signal, limit in ((leaf.left, leaf.right), (leaf.right, leaf.left)):
        one, other = _single(signal), _single(limit)
        if not (isinstance(one, Signal) and isinstance(other, Quantity)):
            continue
        definition = known.definition(one.name)
        if definition is None or definition.range is None or one.name in known.site.measurements:
            continue
        symbol = unit(definition.unit)
        low, high = sorted(end * symbol.factor + symbol.offset for end in definition.range)
        for quantity in (other, *([leaf.until] if leaf.until is not None else [])):
            if not low <= quantity.value <= high:
                canonical = CANONICAL[quantity.kind]
                expected = f"a limit within the range of {one.name}, {low:g} to {high:g} {canonical}"
                yield Finding(path, f"'{quantity}'", expected)


def _single(sum_: Sum) -> object:
    return sum_.terms[0][1] if len(sum_.terms) == 1 else None


def _check_is(known: References, path: Where, leaf: Is) -> Iterator[Finding]:
    if leaf.quoted:
        yield from _there_is(known, path, leaf.subject)
        kind = _kind(known, leaf.subject)
        if kind is not None and kind != "text":
            yield Finding(path, f"'{leaf}', where {leaf.subject} is a {kind}", "a signal of text")
            return
        definition = known.definition(leaf.subject)
        said = definition.enum.values() if isinstance(definition, ModbusSignal) else ()
        if said and leaf.word not in said:
            yield no_such(path, leaf.word, dict.fromkeys(said), f"word of {leaf.subject}")
        return
    if leaf.word in WORDS["signal"]:
        yield from _there_is(known, path, leaf.subject)
        return
    site = known.site
    of: Mapping[str, Mapping[str, object]] = {
        "valve": site.valves,
        "pump": site.pumps,
        "dispenser": site.dispensers,
        "guard": {f"{tag}.{guard}": None for tag, one in site.dispensers.items() for guard in one.guards},
    }
    kind = next(kind for kind, words in WORDS.items() if leaf.word in words)
    if leaf.subject in of[kind] or leaf.subject in known.unknown or leaf.subject.partition(".")[0] in known.unknown:
        return
    for other, names in of.items():
        if leaf.subject in names:
            yield Finding(path, f"'{leaf}'", f"one of {', '.join(WORDS[other])}, because {leaf.subject} is a {other}")
            return
    yield no_such(path, leaf.subject, of[kind], kind)


def _there_is(known: References, path: Where, name: str) -> Iterator[Finding]:
    if _figure(known, name) is None:
        yield from known.there_is(path, name)


def _kind(known: References, name: str) -> str | None:
    figure = _figure(known, name)
    if figure is None:
        return known.kind(name)
    return unit(figure.unit).kind if figure.kind == "number" else figure.kind


def _figure(known: References, name: str) -> DiagnosticSignal | None:
    """A figure of how a link or device does, such as ``FIT-101.comm_online``."""
    owner, _, field = name.partition(".")
    figures = LINK_FIGURES if owner in known.site.links else DEVICE_FIGURES if owner in known.site.devices else {}
    return figures.get(field)


def _is_time(known: References, name: str) -> bool:
    """A moment, not a duration in seconds."""
    definition = known.definition(name)
    return definition is not None and definition.kind == "time"
