"""The grammar of expressions: what reads as what, what is written back, and what is said of everything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.expression import (
    COMPARATORS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NODES,
    WORDS,
    Abs,
    And,
    Comparison,
    Expression,
    ExpressionError,
    For,
    Is,
    Not,
    Or,
    Quantity,
    Signal,
    Sum,
    Term,
    leaves,
    parse,
    signals,
)
from config.units import quantity, units_of


def _one(term: Term) -> Sum:
    return Sum(((False, term),))


LOW = Comparison(_one(Signal("LT-101.level")), "<", _one(Quantity(0.5, "length", "0.5 m")))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("X.on", Signal("X.on")),
        ("LT-101.level < 0.5 m", LOW),
        ("LT-101.level<0.5m", LOW),
        ("（LT-101.level ＜ 0.5 ｍ）", LOW),
        ("LT-101.level < 0.5 m for 5 s", For(LOW, Quantity(5.0, "time", "5 s"))),
        ("not X.on for 5 s", For(Not(Signal("X.on")), Quantity(5.0, "time", "5 s"))),
        ("not (X.on for 5 s)", Not(For(Signal("X.on"), Quantity(5.0, "time", "5 s")))),
        ("X.on and Y.on for 5 s", And((Signal("X.on"), For(Signal("Y.on"), Quantity(5.0, "time", "5 s"))))),
        ("X.on or Y.on and Z.on", Or((Signal("X.on"), And((Signal("Y.on"), Signal("Z.on")))))),
        ("(X.on or Y.on) or Z.on", Or((Signal("X.on"), Signal("Y.on"), Signal("Z.on")))),
        ("not not X.on", Not(Not(Signal("X.on")))),
        ("XV-101 is not closed", Not(Is("XV-101", "closed"))),
        ("not XV-101 is closed", Not(Is("XV-101", "closed"))),
        ("FIT-101.flow is bad", Is("FIT-101.flow", "bad")),
        ('PLC.mode is "远程 (A)"', Is("PLC.mode", "远程 (A)", quoted=True)),
        (
            "LT-1.level-LT-2.level > 20 cm",
            Comparison(
                Sum(((False, Signal("LT-1.level")), (True, Signal("LT-2.level")))),
                ">",
                _one(Quantity(0.2, "length", "20 cm")),
            ),
        ),
        (
            "abs(A.x - B.x) >= - 5 degC",
            Comparison(
                _one(Abs(Sum(((False, Signal("A.x")), (True, Signal("B.x")))))),
                ">=",
                _one(Quantity(-5.0, "temperature", "-5 degC")),
            ),
        ),
        (
            "LT-101.level < 0.5 m until 0.6 m",
            Comparison(LOW.left, "<", LOW.right, Quantity(0.6, "length", "0.6 m")),
        ),
        ("A.starts = 3", Comparison(_one(Signal("A.starts")), "=", _one(Quantity(3.0, "count", "3")))),
    ],
)
def test_what_an_expression_reads_as(text: str, tree: Expression) -> None:
    assert parse(text) == tree
    assert parse(str(tree)) == tree


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "a condition: a signal such as 'LT-101.level'"),
        ("X.on and", 9, "a condition"),
        ("A.x <", 6, "a signal, or a quantity with its unit"),
        ("A.x < 5 bra", 9, "a unit after 5, such as m, bar or m3/h (did you mean 'bar'?)"),
        ("A.x < 5 ntu", 9, "(did you mean 'NTU'?)"),
        ("A.x == 5 m", 5, "'=' instead of '=='"),
        ("A.x ≤ 5 m", 5, "'<=' instead of '≤'"),
        ("A.x && B.y", 5, "'and' instead of '&&'"),
        ("1 m < A.x < 2 m", 11, "'and' between two comparisons"),
        ("A.x AND B.y", 5, "(did you mean 'and'?)"),
        ("NOT A.x", 1, "'not' in small letters"),
        ("LT-101 < 5 m", 1, "such as 'LT-101.level'"),
        ("P-101 is runing", 10, "(did you mean 'running'?)"),
        ("(A.x", 5, "')'"),
        ("A.x)", 4, "no ')' without a '(' before it"),
        ("A.x for 5", 9, "a duration above 0"),
        ("A.x for 5 m", 9, "a duration above 0"),
        ("A.x for 0 s", 9, "a duration above 0"),
        ("A.x for 5 s for 3 s", 13, "parentheses"),
        ("A.x < 0.5 m until 0.4 m", 19, "a limit above 0.5 m"),
        ("A.x > 0.5 m until 0.6 m", 19, "a limit below 0.5 m"),
        ("A.x < 0.5 m until 1 bar", 19, "a length"),
        ("A.x = 0.5 m until 1 m", 19, "'until' only after < <= > or >="),
        ("A.x < B.x until 5 m", 17, "'until' only after a comparison with a single quantity"),
        ("A.x < 1e999 m", 7, "a finite number"),
        ("A.x - B.x > 5 K", 13, "a difference in degC"),
        ('A.mode is "auto', 11, 'a closing "'),
        ('远程 is "a"', 1, "no '远'"),
        ("not " * (MAX_DEPTH + 1) + "A.x", 4 * (MAX_DEPTH + 1) + 1, f"at most {MAX_DEPTH} levels"),
        ("(" * 200 + "A.x" + ")" * 200, MAX_DEPTH + 2, f"at most {MAX_DEPTH} levels"),
        (" or ".join(["A.b"] * (MAX_NODES + 1)), None, f"at most {MAX_NODES} conditions"),
        ("A.x or " * MAX_LENGTH, MAX_LENGTH + 1, "the end of the expression"),
    ],
)
def test_what_is_said_of_what_is_none(text: str, column: int | None, expected: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse(text)
    said = str(raised.value)
    assert expected in said
    if column is not None:
        assert f"at column {column}\n" in said


def test_the_caret_stands_under_the_mistake_also_after_wide_characters() -> None:
    with pytest.raises(ExpressionError) as raised:
        parse('PLC.mode is "远程" annd A.x')
    _, line, caret = str(raised.value).splitlines()
    # Two Chinese characters are four columns wide on a screen.
    assert caret.index("^") == line.index("annd") + 2


def test_leaves_and_signals_in_the_order_of_the_text() -> None:
    tree = parse('not A.x or (B.level < C.level for 3 s and XV-1 is open) or D.flow is bad or A.x or E.m is "go"')
    assert [str(leaf) for leaf in leaves(tree)] == [
        "A.x",
        "B.level < C.level",
        "XV-1 is open",
        "D.flow is bad",
        "A.x",
        'E.m is "go"',
    ]
    assert signals(tree) == ["A.x", "B.level", "C.level", "D.flow", "E.m"]


# Any tree that the grammar knows, and any text at all.

_LENGTHS = [unit.symbol for unit in units_of("length")]
_NAMES = st.from_regex(r"[A-Z]{1,3}-?[0-9]{0,3}\.[a-z][a-z0-9_]{0,5}", fullmatch=True)
_TAGS = st.sampled_from(["XV-101", "P-101", "FILL-1", "a", "not-1", "is2"])


def _length(number: float, symbol: str) -> Quantity:
    text = f"{number!r} {symbol}"
    return Quantity(quantity(text, "length") + 0.0, "length", text)


_QUANTITIES = st.builds(
    _length,
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: number + 0.0),
    st.sampled_from(_LENGTHS),
)
_TERMS: st.SearchStrategy[Term] = st.recursive(
    st.one_of(_NAMES.map(Signal), _QUANTITIES),
    lambda inner: st.lists(st.tuples(st.booleans(), inner), min_size=1, max_size=3).map(lambda found: Abs(_sum(found))),
    max_leaves=4,
)


def _sum(found: list[tuple[bool, Term]]) -> Sum:
    (_, first), *others = found
    return Sum(((False, first), *others))


_SUMS = st.lists(st.tuples(st.booleans(), _TERMS), min_size=1, max_size=3).map(_sum)
_LEAVES: st.SearchStrategy[Expression] = st.one_of(
    _NAMES.map(Signal),
    st.builds(Comparison, _SUMS, st.sampled_from(COMPARATORS), _SUMS),
    st.builds(
        lambda name, limit: Comparison(_one(Signal(name)), ">", _one(limit), _length(limit.value - 1.5, "m")),
        _NAMES,
        _QUANTITIES,
    ),
    st.builds(Is, _TAGS, st.sampled_from((*WORDS["valve"], *WORDS["pump"], *WORDS["dispenser"]))),
    st.builds(Is, _NAMES, st.sampled_from((*WORDS["signal"], *WORDS["guard"]))),
    st.builds(Is, _NAMES, st.text(st.characters(exclude_characters='"\n'), max_size=8), st.just(True)),
)


def _flat(kind: type[And] | type[Or], parts: list[Expression]) -> Expression:
    return kind(tuple(one for part in parts for one in (part.of if isinstance(part, kind) else (part,))))


_TREES: st.SearchStrategy[Expression] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(Not),
        st.builds(For, inner, st.sampled_from([Quantity(5.0, "time", "5 s"), Quantity(0.1, "time", "100 ms")])),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: _flat(And, parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: _flat(Or, parts)),
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(_TREES)
def test_what_is_written_back_reads_as_the_same(tree: Expression) -> None:
    text = str(tree)
    if len(text) <= MAX_LENGTH:
        assert parse(text) == tree
        assert str(parse(text)) == text


_WORDS = ["and", "or", "not", "for", "until", "is", "is not", "abs", "(", ")", "<", "=", "-"]
_OPERANDS = ["A.x", "XV-1", "closed", "bad", '"a"', '"', "5 s", "0.5 m", "5 m3/h", "3", "1e9"]
_STRANGE = ["²", "㎥", "\x00", "１", "٣", "%"]
_PIECES = st.sampled_from([*_WORDS, *_OPERANDS, *_STRANGE])


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map(" ".join), st.lists(_PIECES).map("".join)))
def test_any_text_reads_or_is_refused_with_a_place(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError as error:
        found = error
    else:
        assert parse(str(tree)) == tree
        return
    # Compatibility forms of Unicode may make up to 18 characters of one.
    assert 0 <= found.at <= 18 * len(text)
    assert str(found).endswith("^")
