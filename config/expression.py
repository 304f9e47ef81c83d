'''Expressions: conditions over signals and equipment, as interlocks, permissives and alarms of a site file write them.

    LT-101.level < 0.5 m for 5 s and P-101 is running

An expression is read by the grammar below into a tree and never run as code. ``str(tree)`` writes it back in its
canonical form, which reads as the same tree. What its names mean is checked in ``config.check.expressions``.

    expression = either ;
    either     = both { "or" both } ;
    both       = lasting { "and" lasting } ;
    lasting    = negation [ "for" quantity ] ;
    negation   = "not" negation | "(" either ")" | statement ;
    statement  = sum comparator sum [ "until" quantity ]
               | subject "is" [ "not" ] ( word | text )
               | signal ;
    comparator = "<" | "<=" | ">" | ">=" | "=" | "!=" ;
    sum        = term { ( "+" | "-" ) term } ;
    term       = quantity | signal | "abs" "(" sum ")" ;
    quantity   = [ "+" | "-" ] number [ unit ] ;
    subject    = signal | tag ;
    signal     = tag "." field ;
    text       = """, anything but quotes, """ ;

``for`` is an on-delay (TON of IEC 61131-3) of the one condition before it; ``until`` is a dead band: true as soon as
the comparison holds, and then until the other limit is reached (``LT-101.level < 0.5 m until 0.6 m``).
'''

import difflib
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator

from config.units import CANONICAL, quantity, symbols, unit

MAX_LENGTH: Final = 1000
"""Characters. A condition that is longer than ten lines is nobody's any more: make it several interlocks."""
MAX_DEPTH: Final = 32
"""Parentheses, ``not`` and ``abs`` within each other."""
MAX_NODES: Final = 100
"""Conditions, operands and operators in one expression: it is evaluated in every scan."""

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "signal": ("good", "uncertain", "bad", "stale"),
    "valve": ("open", "closed"),
    "pump": ("running", "stopped"),
    "guard": ("fit", "breached"),
    "dispenser": ("tripped", "dispensing", "idle"),
}
"""What may stand after ``is``, by what the subject is."""
COMPARATORS: Final = ("<", "<=", ">", ">=", "=", "!=")

_KEYWORDS: Final = ("and", "or", "not", "for", "until", "is", "abs")
_TYPED_OTHERWISE: Final = {
    "&&": "and",
    "&": "and",
    "||": "or",
    "|": "or",
    "==": "=",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "!": "not",
}
"""Signs of other languages, and what is written here instead."""


class ExpressionError(ValueError):
    """An expression that cannot be read. The text says what was expected, at which column, and points there."""

    def __init__(self, text: str, at: int, expected: str) -> None:
        super().__init__(f"{expected} at column {at + 1}\n{pointer(text, at)}")
        self.at = at
        self.expected = expected


def pointer(text: str, at: int) -> str:
    """The line of an expression around a place, and a caret under it; wide characters take two columns."""
    first, last = max(at - 60, 0), at + 40
    shown = ("..." if first else "") + text[first:last].replace("\n", " ") + ("..." if last < len(text) else "")
    before = shown[: at - first + (3 if first else 0)]
    columns = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in before)
    return f"      {shown}\n      {' ' * columns}^"


def _place() -> int:
    """Where a part began in the text: for messages, no part of what it says."""
    return field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Quantity:
    """``value`` in the canonical unit of ``kind``; ``text`` as it was written."""

    value: float
    kind: str
    text: str
    at: int = _place()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Signal:
    """The value of a signal: a number in a comparison, on or off where it stands alone."""

    name: str
    at: int = _place()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Abs:
    """The absolute value of a sum."""

    of: "Sum"
    at: int = _place()

    def __str__(self) -> str:
        return f"abs({self.of})"


@dataclass(frozen=True, slots=True)
class Sum:
    """One or more terms, each added or (``minus``) taken off. The first is never taken off."""

    terms: "tuple[tuple[bool, Term], ...]"

    def __str__(self) -> str:
        (_, first), *others = self.terms
        return str(first) + "".join(f" {'-' if minus else '+'} {term}" for minus, term in others)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left comparator right``; with ``until`` it stays true until the other limit is reached."""

    left: Sum
    comparator: str
    right: Sum
    until: Quantity | None = None
    at: int = _place()

    def __str__(self) -> str:
        until = f" until {self.until}" if self.until is not None else ""
        return f"{self.left} {self.comparator} {self.right}{until}"


@dataclass(frozen=True, slots=True)
class Is:
    """A subject is in the state that a word names; with ``quoted`` a signal of text has this value."""

    subject: str
    word: str
    quoted: bool = False
    at: int = _place()

    def __str__(self) -> str:
        return self.write("is")

    def write(self, verb: str) -> str:
        said = f'"{self.word}"' if self.quoted else self.word
        return f"{self.subject} {verb} {said}"


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    of: "Expression"

    def __str__(self) -> str:
        if isinstance(self.of, Is):
            return self.of.write("is not")
        return f"not {_within(self.of, Or, And, For)}"


@dataclass(frozen=True, slots=True)
class For:
    """A condition that must hold for ``duration`` (above 0) before it counts."""

    of: "Expression"
    duration: Quantity

    def __str__(self) -> str:
        return f"{_within(self.of, Or, And, For)} for {self.duration}"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more conditions, none of which is itself an ``And``."""

    of: "tuple[Expression, ...]"

    def __str__(self) -> str:
        return " and ".join(_within(one, Or, And) for one in self.of)


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more conditions, none of which is itself an ``Or``."""

    of: "tuple[Expression, ...]"

    def __str__(self) -> str:
        return " or ".join(_within(one, Or) for one in self.of)


Term = Quantity | Signal | Abs
Leaf = Comparison | Is | Signal
Expression = Or | And | For | Not | Leaf


def _within(part: Expression, *weaker: type) -> str:
    return f"({part})" if isinstance(part, weaker) else str(part)


def leaves(expression: Expression) -> Iterator[Leaf]:
    """The single conditions of an expression, in the order of its text."""
    match expression:
        case Or(parts) | And(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part) | For(part):
            yield from leaves(part)
        case Comparison() | Is() | Signal():
            yield expression


def terms(sum_: Sum) -> Iterator[Signal | Quantity]:
    """The signals and quantities of a sum, those within ``abs`` too, in the order of its text."""
    for _, term in sum_.terms:
        if isinstance(term, Abs):
            yield from terms(term.of)
        else:
            yield term


def signals(expression: Expression) -> list[str]:
    """The names of the signals whose values an expression rests on, each once, in the order of its text."""
    names: dict[str, None] = {}
    for leaf in leaves(expression):
        match leaf:
            case Comparison():
                both = (*terms(leaf.left), *terms(leaf.right))
                names |= {term.name: None for term in both if isinstance(term, Signal)}
            case Signal():
                names[leaf.name] = None
            case Is() if "." in leaf.subject and (leaf.quoted or leaf.word in WORDS["signal"]):
                names[leaf.subject] = None
    return list(names)


def parse(text: str) -> Expression:
    """Reads an expression. Raises ``ExpressionError`` for everything that is none."""
    # Full-width parentheses and signs, as a Chinese keyboard types them, are the plain ones; a text stays as it is.
    parts = text.split('"')
    spelt = '"'.join(part if place % 2 else unicodedata.normalize("NFKC", part) for place, part in enumerate(parts))
    if len(spelt) > MAX_LENGTH:
        raise ExpressionError(spelt[:MAX_LENGTH], MAX_LENGTH, f"the end of the expression ({MAX_LENGTH} characters)")
    return _Parser(spelt).whole()


def _read(value: object) -> object:
    if not isinstance(value, str):
        if isinstance(value, Or | And | For | Not | Comparison | Is | Signal):
            return value
        raise ValueError("an expression, such as 'LT-101.level < 0.5 m for 5 s'")
    return parse(value)


When = Annotated[Expression, PlainValidator(_read, json_schema_input_type=str), PlainSerializer(str, return_type=str)]
"""An expression in a site file: the model holds the tree."""


_TOKEN: Final = re.compile(
    r"""
      (?P<space> \s+ )
    | (?P<signal> [A-Za-z][A-Za-z0-9_-]* \. [a-z][a-z0-9_]* )
    | (?P<word> [A-Za-z][A-Za-z0-9_-]* )
    | (?P<number> (?: [0-9]+ \.? [0-9]* | \. [0-9]+ ) (?: [eE] [+-]? [0-9]+ )? )
    | (?P<text> "[^"\n]*" )
    | (?P<sign> <= | >= | != | [<>=()+-] )
    """,
    re.VERBOSE,
)
_A_CONDITION: Final = "a condition: a signal such as 'LT-101.level', a quantity such as '0.5 m', 'not' or '('"
_AN_OPERAND: Final = "a signal, or a quantity with its unit, such as '0.5 m'"
_UNIT: Final = re.compile(r"[^\s()<>=!+,;&|\"-]+")
"""What stands after a number: a unit, or the next word."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    quantity: Quantity | None = None


class _Parser:
    """Recursive descent over the tokens, one method per rule of the grammar, each with one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0
        self._nodes = 0

    def whole(self) -> Expression:
        found = self._either()
        if self._here.kind != "end":
            raise self._wrong(self._after_condition())
        return found

    @property
    def _here(self) -> _Token:
        return self._tokens[self._place]

    def _next(self) -> _Token:
        token = self._here
        self._place += token.kind != "end"
        return token

    def _take(self, *texts: str) -> _Token | None:
        """The next token, if it is one of these keywords or signs."""
        here = self._here
        return self._next() if here.kind in ("word", "sign") and here.text in texts else None

    def _wrong(self, expected: str) -> ExpressionError:
        return ExpressionError(self._text, self._here.at, expected)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"at most {MAX_DEPTH} levels of parentheses and 'not'")

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._wrong(f"at most {MAX_NODES} conditions and operands")

    def _after_condition(self) -> str:
        here = self._here
        if here.kind == "sign" and here.text in COMPARATORS:
            return "'and' between two comparisons"
        if here.text == ")":
            return "no ')' without a '(' before it"
        if here.text == "for":
            return "parentheses around what is to last longer, because 'for' was said already"
        hint = _hint(here.text, ("and", "or", "for", "is", "until")) if here.kind == "word" else ""
        return f"'and', 'or', 'for' or the end{hint}"

    def _either(self) -> Expression:
        found = [self._both()]
        while self._take("or"):
            found.append(self._both())
        if len(found) == 1:
            return found[0]
        self._count()
        return Or(tuple(one for part in found for one in (part.of if isinstance(part, Or) else (part,))))

    def _both(self) -> Expression:
        found = [self._lasting()]
        while self._take("and"):
            found.append(self._lasting())
        if len(found) == 1:
            return found[0]
        self._count()
        return And(tuple(one for part in found for one in (part.of if isinstance(part, And) else (part,))))

    def _lasting(self) -> Expression:
        found = self._negation()
        if not self._take("for"):
            return found
        self._count()
        at = self._here.at
        duration = self._quantity("a duration after 'for', such as '5 s'")
        if duration.kind != "time" or duration.value <= 0:
            raise ExpressionError(self._text, at, "a duration above 0, such as '5 s'")
        return For(found, duration)

    def _negation(self) -> Expression:
        if self._take("not"):
            self._deeper()
            self._count()
            found: Expression = Not(self._negation())
            self._depth -= 1
            return found
        if self._take("("):
            self._deeper()
            found = self._either()
            if not self._take(")"):
                raise self._wrong(f"')', or {self._after_condition()}")
            self._depth -= 1
            return found
        return self._statement()

    def _statement(self) -> Expression:
        self._count()
        first = self._here
        if first.kind in ("signal", "word") and first.text not in _KEYWORDS:
            after = self._tokens[self._place + 1]
            if after.kind == "word" and after.text == "is":
                return self._is()
            if first.kind == "word":
                raise self._wrong(_for_word(first.text, after))
        left = self._sum(_A_CONDITION)
        comparator = self._take(*COMPARATORS)
        if comparator is None:
            (_, alone), *others = left.terms
            if isinstance(alone, Signal) and not others:
                return alone
            raise self._wrong(f"one of {' '.join(COMPARATORS)} and what it is compared with")
        right = self._sum(_AN_OPERAND)
        until = self._until(comparator.text, right) if self._take("until") else None
        self._no_offset(left, right, until)
        return Comparison(left, comparator.text, right, until, first.at)

    def _is(self) -> Expression:
        subject = self._next()
        self._next()
        negated = self._take("not") is not None
        said = self._here
        if said.kind == "text":
            if subject.kind != "signal":
                raise self._wrong(_after_is("tag"))
            self._next()
            found = Is(subject.text, said.text[1:-1], True, subject.at)
        else:
            known = _words("signal" if subject.kind == "signal" else "tag")
            if said.kind != "word" or said.text not in known:
                raise self._wrong(_after_is(subject.kind) + (_hint(said.text, known) if said.kind == "word" else ""))
            self._next()
            found = Is(subject.text, said.text, False, subject.at)
        return Not(found) if negated else found

    def _sum(self, expected: str) -> Sum:
        found = [(False, self._term(expected))]
        while sign := self._take("+", "-"):
            self._count()
            found.append((sign.text == "-", self._term(_AN_OPERAND)))
        return Sum(tuple(found))

    def _term(self, expected: str) -> Term:
        here = self._here
        if here.kind == "signal":
            self._next()
            return Signal(here.text, here.at)
        if here.kind == "word" and here.text == "abs":
            self._next()
            if not self._take("("):
                raise self._wrong("'(' after 'abs'")
            self._deeper()
            found = Abs(self._sum(_AN_OPERAND), here.at)
            if not self._take(")"):
                raise self._wrong("')' after what 'abs' is of")
            self._depth -= 1
            return found
        return self._quantity(expected)

    def _quantity(self, expected: str) -> Quantity:
        sign = self._here if self._here.kind == "sign" and self._here.text in "+-" else None
        number = self._tokens[self._place + 1] if sign is not None else self._here
        if number.quantity is None:
            raise self._wrong(expected)
        self._place += 2 if sign is not None else 1
        found = number.quantity
        if sign is None or sign.text == "+":
            return found
        # By its text, because a unit may have an offset.
        text = f"-{found.text}"
        return Quantity(quantity(text, found.kind) + 0.0, found.kind, text, sign.at)

    def _until(self, comparator: str, right: Sum) -> Quantity:
        at = self._here.at
        found = self._quantity("a quantity after 'until': where the condition ends")
        limit = right.terms[0][1]
        if len(right.terms) > 1 or not isinstance(limit, Quantity):
            raise ExpressionError(self._text, at, "'until' only after a comparison with a single quantity")
        if comparator in ("=", "!="):
            raise ExpressionError(self._text, at, "'until' only after < <= > or >=")
        if found.kind != limit.kind:
            raise ExpressionError(self._text, at, f"a {limit.kind}, such as '5 {CANONICAL[limit.kind]}'")
        below = comparator in ("<", "<=")
        if (found.value <= limit.value) if below else (found.value >= limit.value):
            raise ExpressionError(self._text, at, f"a limit {'above' if below else 'below'} {limit}")
        return found

    def _no_offset(self, left: Sum, right: Sum, until: Quantity | None) -> None:
        """5 K of difference are 5 degC, and 5 K of temperature are -268.15 degC: which is meant cannot be told."""
        if len(left.terms) == 1 and len(right.terms) == 1 and not any(_has_abs(one) for one in (left, right)):
            return
        for term in (*terms(left), *terms(right), *([until] if until is not None else [])):
            if isinstance(term, Quantity) and unit(term.text.split()[-1] if " " in term.text else "1").offset:
                raise ExpressionError(self._text, term.at, f"a difference in {CANONICAL[term.kind]}")


def _has_abs(sum_: Sum) -> bool:
    return any(isinstance(term, Abs) for _, term in sum_.terms)


def _words(subject: str) -> tuple[str, ...]:
    """What may be said of a name: of ``signal`` (``X.y``, also a guard), or of a tag."""
    kinds = ("signal", "guard") if subject == "signal" else ("valve", "pump", "dispenser")
    return tuple(word for kind in kinds for word in WORDS[kind])


def _after_is(subject: str) -> str:
    text = ' or a "text"' if subject == "signal" else ""
    return f"{', '.join(_words('signal' if subject == 'signal' else 'tag'))}{text} after 'is'"


def _for_word(word: str, after: _Token) -> str:
    """What was meant by a word that is neither a keyword nor followed by ``is``."""
    lowered = word.lower()
    if lowered in _KEYWORDS and lowered != word:
        return f"'{lowered}' in small letters"
    hint = _hint(word, _KEYWORDS)
    if hint and after.kind != "end":
        return f"a condition{hint}"
    return f"'{word} is ...', or the name of a signal, such as '{word}.level'"


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word.lower(), known, 1, 0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ExpressionError(text, at, _for_unreadable(text, at))
        kind, found = match.lastgroup, match[0]
        other = _TYPED_OTHERWISE.get(text[at : at + 2])
        if kind == "sign" and other is not None and text[at : at + 2] not in COMPARATORS:
            raise ExpressionError(text, at, f"'{other}' instead of '{text[at : at + 2]}'")
        if kind == "number":
            read, end = _read_quantity(text, at, match.end())
            yield _Token("number", found, at, read)
            at = end
            continue
        if kind != "space":
            yield _Token(kind, found, at)
        at = match.end()
    yield _Token("end", "", len(text))


def _for_unreadable(text: str, at: int) -> str:
    if text[at] == '"':
        return 'a closing "'
    for typed in (text[at : at + 2], text[at]):
        meant = _TYPED_OTHERWISE.get(typed)
        if meant is not None:
            return f"'{meant}' instead of '{typed}'"
    if not text[at].isprintable():
        return "printable characters"
    return f"no '{text[at]}': signals, quantities, words, ( ) + - and {' '.join(COMPARATORS)}"


def _read_quantity(text: str, at: int, end: int) -> tuple[Quantity, int]:
    """The quantity that begins with the number at ``at``, and where it ends; a bare number is a count."""
    number = text[at:end]
    space = end
    while space < len(text) and text[space] in " \t":
        space += 1
    match = _UNIT.match(text, space)
    symbol = match[0] if match is not None else ""
    if match is None or symbol in _KEYWORDS:
        return _measured(text, at, number, "count", number), end
    try:
        known = unit(symbol)
    except ValueError:
        close = _hint_unit(symbol)
        raise ExpressionError(text, space, f"a unit after {number}, such as m, bar or m3/h{close}") from None
    return _measured(text, at, f"{number} {symbol}", known.kind, number), match.end()


def _measured(text: str, at: int, written: str, kind: str, number: str) -> Quantity:
    try:
        value = quantity(written, kind)
    except ValueError:
        raise ExpressionError(text, at, f"a finite number instead of {number}") from None
    if not math.isfinite(value):
        raise ExpressionError(text, at, f"a finite number instead of {number}")
    return Quantity(value, kind, written, at)


def _hint_unit(symbol: str) -> str:
    same = next((known for known in symbols() if known.lower() == symbol.lower()), None)
    close = [same] if same else difflib.get_close_matches(symbol, symbols(), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""
