"""Expressions: the checked tree becomes a condition, with an index for every name and a place for every timer."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from config import expression as written
from config.signals import SignalTable
from control import expression as compiled
from control.expression import STATES, Condition, Node, Operand, Told

_COMPARATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Names:
    """Where everything that an expression may name stands in the program: tags and names by their place.

    ``feedback``: the signals by which a valve, a pump or a guard is known.
    """

    table: SignalTable
    valves: Mapping[str, int]
    pumps: Mapping[str, int]
    guards: Mapping[str, int]
    dispensers: Mapping[str, int]
    feedback: Mapping[str, tuple[str, ...]]

    def find(self, subject: str, word: str) -> tuple[str, int]:
        """What a subject is of which ``word`` is said, and its place."""
        places = {
            "signal": self.table.index,
            "valve": self.valves,
            "pump": self.pumps,
            "guard": self.guards,
            "dispenser": self.dispensers,
        }
        return next(
            (kind, places[kind][subject])
            for kind, words in written.WORDS.items()
            if word in words and subject in places[kind]
        )


def compile_expression(expression: written.Expression, names: Names) -> Condition:
    """Compiles an expression that was checked."""
    work = _Work(names)
    return Condition(str(expression), work.node(expression), work.places)


@dataclass(slots=True)
class _Work:
    names: Names
    places: int = field(default=0)

    def node(self, expression: written.Expression) -> Node:
        match expression:
            case written.Or(parts):
                return compiled.Or(tuple(self.node(part) for part in parts))
            case written.And(parts):
                return compiled.And(tuple(self.node(part) for part in parts))
            case written.Not(part):
                return compiled.Not(self.node(part))
            case written.For(part, duration):
                return compiled.For(self.node(part), duration.value, self._place(2))
            case written.Comparison():
                return self._comparison(expression)
            case written.Signal(name):
                return compiled.On(self.names.table.index[name], self._told(expression))
            case written.Is(subject, word, quoted):
                if quoted:
                    return compiled.Says(self.names.table.index[subject], word, self._told(expression))
                kind, place = self.names.find(subject, word)
                return compiled.Is(STATES[kind, word], place, self._told(expression))

    def _place(self, count: int) -> int:
        first, self.places = self.places, self.places + count
        return first

    def _comparison(self, leaf: written.Comparison) -> Node:
        left, right = self._sum(leaf.left), self._sum(leaf.right)
        holds, told = _COMPARATORS[leaf.comparator], self._told(leaf)
        if leaf.until is None:
            return compiled.Compared(left, holds, right, told)
        short = operator.lt if leaf.comparator in ("<", "<=") else operator.gt
        return compiled.Compared(left, holds, right, told, leaf.until.value, short, self._place(1))

    def _sum(self, sum_: written.Sum) -> Operand:
        if len(sum_.terms) == 1:
            return self._term(sum_.terms[0][1])
        return compiled.Total(tuple((minus, self._term(term)) for minus, term in sum_.terms))

    def _term(self, term: written.Term) -> Operand:
        match term:
            case written.Quantity():
                return compiled.Number(term.value)
            case written.Signal(name):
                return compiled.Reading(self.names.table.index[name])
            case written.Abs(of):
                return compiled.Absolute(self._sum(of))

    def _told(self, leaf: written.Leaf) -> Told:
        names = tuple(written.signals(leaf))
        dispenser = None
        if isinstance(leaf, written.Is) and not names:
            kind, place = self.names.find(leaf.subject, leaf.word)
            names = self.names.feedback.get(leaf.subject, ())
            dispenser = place if kind == "dispenser" else None
        table = self.names.table
        return Told(
            str(leaf),
            leaf.subject if isinstance(leaf, written.Is) else names[0],
            tuple(table.index[name] for name in names),
            names,
            tuple(table[name].unit for name in names),
            dispenser,
        )
