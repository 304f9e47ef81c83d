"""Standards as data: the strictest limit counts, and every limit says where it stands and how far it was checked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.standard import (
    PARAMETERS,
    AppliedLimit,
    Limit,
    _strictest,
    applied_limits,
    column_names,
    parameter_kind,
    standards,
    uses,
)

COLUMNS = column_names()
LIMITS = [
    pytest.param(limit, id=f"{name}/{column}/{limit.parameter}")
    for name, standard in standards().items()
    for column, content in standard.columns.items()
    for limit in content.limits
]


def limit_of(low: float | None, high: float | None, clause: str = "table 9", status: str = "verified") -> Limit:
    return Limit.model_validate(
        {
            "parameter": "total_chlorine",
            "low": f"{low!r} mg/L" if low is not None else None,
            "high": f"{high!r} mg/L" if high is not None else None,
            "clause": clause,
            "averaging": "daily mean",
            "status": status,
            "source": "a test",
        }
    )


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_has_a_clause_a_source_a_status_and_a_unit_of_its_parameter(limit: Limit) -> None:
    assert limit.clause
    assert limit.source
    assert limit.averaging
    assert limit.status in ("verified", "unverified")
    assert limit.parameter in PARAMETERS
    present = [side for side in (limit.low, limit.high) if side is not None]
    assert present
    assert all(side.kind == parameter_kind(limit.parameter) for side in present)
    assert all(side.value > 0 for side in present)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_lower_limit_lies_below_the_upper_one(limit: Limit) -> None:
    if limit.low is not None and limit.high is not None:
        assert limit.low.value < limit.high.value


def test_no_column_limits_a_parameter_twice() -> None:
    for standard in standards().values():
        for column in standard.columns.values():
            named = [limit.parameter for limit in column.limits]
            assert len(named) == len(set(named))


def test_every_standard_and_column_has_its_titles() -> None:
    for standard in standards().values():
        assert standard.standard
        assert standard.title
        assert standard.title_zh
        assert all(column.title for column in standard.columns.values())


@pytest.mark.parametrize("name", uses())
def test_every_use_names_columns_that_exist_and_limits_something(name: str) -> None:
    use = uses()[name]
    assert use.title
    assert use.title_zh
    assert set(use.standards) <= set(COLUMNS)
    assert applied_limits(use.standards)


@given(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4))
def test_the_strictest_limit_of_all_columns_counts(columns: list[str]) -> None:
    applied = applied_limits(tuple(columns))
    for column in columns:
        name, _, key = column.partition("/")
        for limit in standards()[name].columns[key].limits:
            known = applied[limit.parameter]
            if limit.high is not None:
                assert known.high is not None
                assert known.high <= limit.high.value
            if limit.low is not None:
                assert known.low is not None
                assert known.low >= limit.low.value


@given(st.permutations(COLUMNS))
def test_the_order_of_the_columns_changes_no_limit(columns: list[str]) -> None:
    def figures(names: tuple[str, ...]) -> dict[str, tuple[float | None, float | None]]:
        return {name: (limit.low, limit.high) for name, limit in applied_limits(names).items()}

    assert figures(tuple(columns)) == figures(tuple(COLUMNS))


def test_the_origin_is_that_of_the_limit_that_counts() -> None:
    limits = applied_limits(("gb-t-18920-2020/B", "changzhi-iv-1a/outlet"))
    assert (limits["ammonia"].high, limits["turbidity"].high) == (1.5, 10.0)
    assert limits["ammonia"].origin.startswith("Changzhi target")
    assert limits["turbidity"].origin == "GB/T 18920-2020 table 1"
    assert (limits["ammonia"].status, limits["turbidity"].status) == ("unverified", "verified")


@pytest.mark.parametrize("statuses", [("verified", "unverified"), ("unverified", "verified")])
def test_a_limit_put_together_from_two_names_both_and_is_no_better_verified_than_the_worse(
    statuses: tuple[str, str],
) -> None:
    known = AppliedLimit("total_chlorine", 0.2, 3.0, "A table 1", statuses[0])
    both = _strictest(known, limit_of(0.1, 2.5, "table 2", statuses[1]), "B")
    assert (both.low, both.high) == (0.2, 2.5)
    assert both.origin == "A table 1; B table 2"
    assert both.status == "unverified"


def test_a_limit_that_is_stricter_on_both_sides_stands_alone() -> None:
    known = AppliedLimit("total_chlorine", 0.2, 3.0, "A table 1", "unverified")
    assert _strictest(known, limit_of(0.5, 2.5), "B") == AppliedLimit(
        "total_chlorine", 0.5, 2.5, "B table 9", "verified"
    )


@given(st.none() | st.floats(0.01, 10), st.none() | st.floats(0.01, 10), st.none() | st.floats(0.01, 10))
def test_a_limit_is_never_loosened(low: float | None, high: float | None, known_high: float | None) -> None:
    known = AppliedLimit("total_chlorine", None, known_high, "A", "verified")
    strictest = _strictest(known, limit_of(low, high), "B")
    assert strictest.low == low
    assert strictest.high == min((side for side in (high, known_high) if side is not None), default=None)
