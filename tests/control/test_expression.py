"""What a condition says now: three-valued, with its timers, and by which reading."""

import operator
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import expression as tree
from config.expression import parse
from config.sample import Reason, Value
from control.code import Code
from control.expression import Memory, Truth
from control.fill_phase import Phase
from control.guard import Verdict
from control.valve import Position
from tests.control.situations import compiled, situation

BAD = Reason.NO_COMMUNICATION


def _now(text: str, values: dict[str, Value | Reason] | None = None, **others: object) -> Truth:
    condition = compiled(text)
    return condition.step(condition.initial(), situation(values, **others))[0]  # type: ignore[arg-type]


def _over_time(text: str, shown: list[Value | Reason], name: str = "X.on", step: float = 1.0) -> list[Truth]:
    """What a condition says as a signal shows one value after the other."""
    condition = compiled(text)
    memory, truths = condition.initial(), []
    for place, value in enumerate(shown):
        truth, memory = condition.step(memory, situation({name: value}, at=1000.0 + place * step))
        truths.append(truth)
    return truths


@pytest.mark.parametrize(
    ("text", "values", "truth"),
    [
        ("LT-1.level < 0.5 m", {"LT-1.level": 0.4}, True),
        ("LT-1.level < 0.5 m", {"LT-1.level": 0.5}, False),
        ("LT-1.level <= 50 cm", {"LT-1.level": 0.5}, True),
        ("LT-1.level < 0.5 m", {"LT-1.level": BAD}, None),
        ("LT-1.level < 0.5 m", {"LT-1.level": Reason.STALE}, None),
        ("LT-1.level < 0.5 m", {}, None),
        ("0.5 m > LT-1.level", {"LT-1.level": 0.4}, True),
        ("LT-1.level - LT-2.level > 0.2 m", {"LT-1.level": 2.5, "LT-2.level": 2.0}, True),
        ("LT-1.level > LT-2.level + 1 m", {"LT-1.level": 2.5, "LT-2.level": 2.0}, False),
        ("LT-1.level > LT-2.level", {"LT-1.level": 2.5, "LT-2.level": BAD}, None),
        ("abs(LT-1.level - LT-2.level) > 0.2 m", {"LT-1.level": 2.0, "LT-2.level": 2.5}, True),
        ("LT-1.level + LT-1.level > 1 m", {"LT-1.level": float("inf")}, True),
        ("LT-1.level - LT-1.level + LT-2.level > 1 m", {"LT-1.level": float("inf"), "LT-2.level": 1.0}, None),
        ("X.on", {"X.on": True}, True),
        ("X.on", {"X.on": False}, False),
        ("X.on", {"X.on": Reason.NOT_YET_READ}, None),
        ('Z.mode is "remote"', {"Z.mode": "remote"}, True),
        ('Z.mode is "remote"', {"Z.mode": "local"}, False),
        ('Z.mode is not "remote"', {"Z.mode": BAD}, None),
        ("X.on is bad", {"X.on": BAD}, True),
        ("X.on is stale", {"X.on": Reason.STALE}, True),
        ("X.on is uncertain", {"X.on": Reason.STALE}, True),
        ("X.on is good", {"X.on": False}, True),
        ("X.on is not good", {"X.on": Reason.STALE}, True),
    ],
)
def test_a_single_condition(text: str, values: dict[str, Value | Reason], truth: Truth) -> None:
    assert _now(text, values) is truth


@pytest.mark.parametrize(
    ("text", "others", "truth"),
    [
        ("XV-1 is open", {"position": Position.OPEN}, True),
        ("XV-1 is closed", {"position": Position.BETWEEN}, False),
        ("XV-1 is not closed", {"position": Position.UNKNOWN}, None),
        ("P-1 is running", {"running": True}, True),
        ("P-1 is stopped", {"running": True}, False),
        ("P-1 is stopped", {"running": None}, None),
        ("FILL-1.turbidity is breached", {"verdict": Verdict.BREACH}, True),
        ("FILL-1.turbidity is breached", {"verdict": Verdict.HOLD}, None),
        ("FILL-1.turbidity is fit", {"verdict": Verdict.AGING}, True),
        ("FILL-1.turbidity is fit", {"verdict": Verdict.BREACH}, False),
        ("FILL-1.turbidity is fit", {"verdict": Verdict.UNKNOWN}, None),
        ("FILL-1 is tripped", {"tripped": True}, True),
        ("FILL-1 is idle", {"phase": Phase.IDLE}, True),
        ("FILL-1 is dispensing", {"phase": Phase.FULL_FLOW}, True),
        ("FILL-1 is dispensing", {"phase": Phase.ARMED}, False),
    ],
)
def test_the_state_of_equipment(text: str, others: dict[str, object], truth: Truth) -> None:
    assert _now(text, {}, **others) is truth


_T, _F, _U = True, False, None


@pytest.mark.parametrize(
    ("one", "other", "both", "either"),
    [
        (_T, _T, _T, _T),
        (_T, _F, _F, _T),
        (_T, _U, _U, _T),
        (_F, _F, _F, _F),
        (_F, _U, _F, _U),
        (_U, _U, _U, _U),
    ],
)
def test_and_or_are_those_of_kleene(one: Truth, other: Truth, both: Truth, either: Truth) -> None:
    shown: dict[Truth, Value | Reason] = {True: True, False: False, None: BAD}
    for first, second in ((one, other), (other, one)):
        values = {"X.on": shown[first], "Y.on": shown[second]}
        assert _now("X.on and Y.on", values) is both
        assert _now("X.on or Y.on", values) is either


def test_not_of_the_unknown_is_unknown() -> None:
    assert [_now("not X.on", {"X.on": shown}) for shown in (True, False, BAD)] == [False, True, None]


def test_a_delay_must_last() -> None:
    assert _over_time("X.on for 2 s", [True, True, True, True, False, True]) == [_F, _F, _T, _T, _F, _F]


def test_a_lost_poll_does_not_start_a_delay_anew() -> None:
    assert _over_time("X.on for 3 s", [True, BAD, True, True, True, True]) == [_F, _F, _F, _U, _U, _T]


def test_what_is_never_known_is_unknown_only_after_the_delay() -> None:
    assert _over_time("X.on for 2 s", [BAD, BAD, BAD, False, BAD]) == [_F, _F, _U, _F, _F]


def test_a_dead_band_holds_until_its_other_limit() -> None:
    shown: list[Value | Reason] = [0.55, 0.49, 0.55, BAD, 0.59, 0.6, 0.55]
    assert _over_time("LT-1.level < 0.5 m until 0.6 m", shown, "LT-1.level") == [_F, _T, _T, _U, _T, _F, _F]
    assert _over_time("LT-1.level > 0.5 m until 0.4 m", [0.45, 0.51, 0.41, 0.4], "LT-1.level") == [_F, _T, _T, _F]


def test_a_timer_runs_on_beside_what_decides() -> None:
    condition = compiled("X.on or Y.on for 2 s")
    memory = condition.initial()
    for place, x in enumerate((True, True, False)):
        truth, memory = condition.step(memory, situation({"X.on": x, "Y.on": True}, at=1000.0 + place))
        assert truth is True


def test_the_memory_is_the_same_object_while_nothing_changes() -> None:
    condition = compiled("X.on for 2 s and LT-1.level < 0.5 m until 0.6 m")
    _, memory = condition.step(condition.initial(), situation({"X.on": True, "LT-1.level": 0.4}, at=1.0))
    _, again = condition.step(memory, situation({"X.on": True, "LT-1.level": 0.45}, at=2.0))
    assert again is memory


def test_the_deciding_condition_is_told_with_its_reading() -> None:
    condition = compiled("X.on and (LT-1.level < 0.5 m or LT-2.level < 0.5 m)")
    at = situation({"X.on": True, "LT-1.level": 0.9, "LT-2.level": 0.42})
    assert condition.step((), at)[0] is True
    low = compiled("not X.on or LT-2.level < 0.5 m for 3 s").deciding((None, None), at)
    assert (low.code, low.subject) == (Code.CONDITION_NOT_MET, "X.on") or low.subject == "X.on"
    both = compiled("LT-1.level < 0.5 m or LT-2.level < 0.5 m").deciding((), at)
    assert (both.code, both.subject) == (Code.CONDITION_MET, "LT-2.level")
    assert both.values == ("LT-2.level < 0.5 m", "LT-2.level = 0.42 m")
    assert both.seen is not None
    assert both.seen.value == 0.42


def test_what_is_not_known_is_told_by_the_reading_that_is_not_good() -> None:
    cause = compiled("LT-1.level - LT-2.level > 0.2 m").deciding((), situation({"LT-1.level": 2.0, "LT-2.level": BAD}))
    assert (cause.code, cause.subject) == (Code.CONDITION_UNKNOWN, "LT-2.level")
    assert cause.values[1] == "LT-1.level = 2 m, LT-2.level: no communication"


def test_equipment_is_told_by_its_feedback_and_a_dispenser_by_its_phase() -> None:
    valve = compiled("XV-1 is open").deciding((), situation({"X.on": True}, position=Position.OPEN))
    assert valve.seen is not None
    assert valve.seen.signal == "X.on"
    dispenser = compiled("FILL-1 is idle").deciding((), situation(phase=Phase.FULL_FLOW))
    assert dispenser.values == ("FILL-1 is idle", "FILL-1: full-flow")


# Against a slow evaluator: every condition over the whole past, by its definition.

_Past = list[dict[str, Value | Reason]]
_OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


def _by_definition(expression: tree.Expression, times: list[float], past: _Past) -> Truth:
    """The truth at the end of a past, straight from the words of the documentation."""
    values = past[-1]
    match expression:
        case tree.Or(parts):
            truths = [_by_definition(part, times, past) for part in parts]
            return True if True in truths else None if None in truths else False
        case tree.And(parts):
            truths = [_by_definition(part, times, past) for part in parts]
            return False if False in truths else None if None in truths else True
        case tree.Not(part):
            return {True: False, False: True, None: None}[_by_definition(part, times, past)]
        case tree.For(part, duration):
            trail = list(_backwards(part, times, past))
            for wanted, told in (((True,), True), ((True, None), None)):
                lasting = [at for at, truth, unbroken in _run(trail, wanted) if unbroken]
                if lasting and times[-1] - lasting[-1] >= duration.value:
                    return told
            return False
        case tree.Comparison(left, comparator, right, until):
            one, other = _number(left, values), _number(right, values)
            if one is None or other is None:
                return None
            if _OPERATORS[comparator](one, other) or until is None:
                return bool(_OPERATORS[comparator](one, other))
            below = comparator in ("<", "<=")
            for earlier in reversed(past):
                number = _number(left, earlier)
                if number is None:
                    continue
                if not (number < until.value if below else number > until.value):
                    return False
                if _OPERATORS[comparator](number, other):
                    return True
            return False
        case tree.Signal(name):
            shown = values[name]
            return shown if isinstance(shown, bool) else None
        case tree.Is(subject, word):
            assert word == "good"
            return not isinstance(values[subject], Reason)


def _backwards(part: tree.Expression, times: list[float], past: _Past) -> Iterator[tuple[float, Truth]]:
    for end in range(len(past), 0, -1):
        yield times[end - 1], _by_definition(part, times[:end], past[:end])


def _run(trail: list[tuple[float, Truth]], wanted: tuple[Truth, ...]) -> Iterator[tuple[float, Truth, bool]]:
    unbroken = True
    for at, truth in trail:
        unbroken = unbroken and any(truth is one for one in wanted)
        yield at, truth, unbroken


def _number(sum_: tree.Sum, values: dict[str, Value | Reason]) -> float | None:
    total = 0.0
    for minus, term in sum_.terms:
        match term:
            case tree.Quantity(value):
                number: float | None = value
            case tree.Abs(of):
                inner = _number(of, values)
                number = None if inner is None else abs(inner)
            case tree.Signal(name):
                shown = values[name]
                number = float(shown) if isinstance(shown, float) else None
        if number is None:
            return None
        total += -number if minus else number
    return total


_LEAVES = st.sampled_from(
    [
        "X.on",
        "Y.on",
        "X.on is good",
        "LT-1.level < 2 m",
        "LT-1.level >= LT-2.level",
        "LT-1.level < 1 m until 3 m",
        "LT-2.level > 3 m until 1 m",
        "abs(LT-1.level - LT-2.level) > 1 m",
        "LT-1.level + LT-2.level - 1 m <= 3 m",
    ]
)
_TEXTS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from([1.0, 2.0, 3.5])).map(lambda pair: f"({pair[0]}) for {pair[1]} s"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
    ),
    max_leaves=4,
)
_ON: st.SearchStrategy[Value | Reason] = st.sampled_from([True, True, False, BAD])
_LEVEL: st.SearchStrategy[Value | Reason] = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, BAD])
_SHOWN = st.fixed_dictionaries({"X.on": _ON, "Y.on": _ON, "LT-1.level": _LEVEL, "LT-2.level": _LEVEL})


@settings(max_examples=120)
@given(_TEXTS, st.lists(st.tuples(st.sampled_from([0.25, 0.5, 1.0, 2.0]), _SHOWN), min_size=1, max_size=7))
def test_it_says_what_its_definition_says(text: str, course: list[tuple[float, dict[str, Value | Reason]]]) -> None:
    condition, expression = compiled(text), parse(text)
    memory: Memory = condition.initial()
    at, times, past = 1000.0, [], []
    for step, values in course:
        at += step
        times.append(at)
        past.append(values)
        here = situation(values, at=at)
        truth, memory = condition.step(memory, here)
        assert truth is _by_definition(expression, times, past), text
        # To tell what decided changes nothing and says what it is.
        cause = condition.deciding(memory, here)
        assert cause.code in (Code.CONDITION_MET, Code.CONDITION_NOT_MET, Code.CONDITION_UNKNOWN)
        assert condition.step(memory, here) == (truth, memory)
