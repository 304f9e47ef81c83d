"""Which states are the same: two that no input can ever tell apart have one key.

The key is made from a state by the names of its fields: a moment (``..._since``, ``..._at``) becomes its age, capped
beyond the longest delay of the station; a cause becomes its code, or that there is one; a record (``..._utc``,
extremes, text) that no decision reads is left out. A field of a new name is taken as it is: that can only make more
states, never fewer.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from control.cause import Cause
from control.code import Code
from control.instant import Instant

RECORDS: Final = frozenset(
    {
        "unattributed_m3",
        "counted_m3",
        "max_flow_m3h",
        "highest_m3h",
        "first_flow_at",
        "read_at",
        "quality",
        "served_m3",
        "outputs",
        "total_start_m3",
        "at_close_m3",
        "later",
        "check",
        "strokes",
        "result_lag_s",
    }
)
"""Fields that are written for people and read by no decision (outputs are a function of the rest).

``check`` compares over spans of at most 5 s, shorter than a tick; ``read_at`` is read within a quarter of an hour;
``strokes`` only warn.
"""
MONITORS: Final = frozenset({"alarms", "alarm_memories", "compliance", "devices", "follow", "permits"})
"""Blocks that only look on: no other block reads them, so that they cannot tell two states apart."""
READ_STOPS: Final = frozenset({Code.PRESET_REACHED, Code.HIGH_FLOW})
"""Why a fill ended, where that decides anything: what is learned from, and what trips."""
MOST_M3: Final = 2.0
"""Delivered beyond twice the order of 1 m3 is told apart by nothing."""
MOST_RESULTS: Final = 2
"""More good results in a row than a reset needs are told apart by nothing."""
MOMENTS: Final = ("_since", "_at", "_until")


@dataclass(frozen=True, slots=True)
class Scale:
    """Between which ages nothing differs, in seconds: ``cap``, beyond the longest delay; ``result_cap``, beyond what
    an analyzer's result may be old, or dated ahead."""

    cap: float
    result_cap: float = 0.0


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of a class that make its key: taken as they stand, as ages, or each in a way of its own."""

    plain: Callable[[Any], tuple[Hashable, ...]]
    moments: Callable[[Any], tuple[float | None, ...]]
    others: tuple[tuple[str, Callable[[Any, Instant, Scale], Hashable]], ...]


PLAIN: Final = (bool, int, float, str, NoneType)


@cache
def _fields(kind: type) -> _Fields:
    plain: list[str] = []
    moments: list[str] = []
    others: list[tuple[str, Callable[[Any, Instant, Scale], Hashable]]] = []
    hints = get_type_hints(kind)
    for field in fields(kind):
        name = field.name
        if name in RECORDS or name in MONITORS or name.endswith("_utc"):
            continue
        if name in _IN_A_WAY_OF_ITS_OWN:
            others.append((name, _IN_A_WAY_OF_ITS_OWN[name]))
        elif name.endswith(MOMENTS) and _is_any_of(hints[name], (float, NoneType)):
            moments.append(name)
        elif name.endswith(MOMENTS):
            others.append((name, _age))
        elif _is_any_of(hints[name], PLAIN):
            plain.append(name)
        else:
            others.append((name, key))
    return _Fields(_getter(plain), _getter(moments), tuple(others))


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda value: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda value: (get(value),)


def _is_any_of(hint: Any, kinds: tuple[type, ...]) -> bool:
    members = get_args(hint) or (hint,)
    return all(isinstance(member, type) and issubclass(member, kinds) for member in members)


def _is_there(value: Any, now: Instant, scale: Scale) -> Hashable:
    return value is not None


def _stop(value: Cause | None, now: Instant, scale: Scale) -> Hashable:
    return None if value is None else value.code if value.code in READ_STOPS else "another"


def _capped(at: float | None, now: Instant, cap: float) -> Hashable:
    return None if at is None else min(round(now.mono - at, 3), cap)


def _result_age(value: Any, now: Instant, scale: Scale) -> Hashable:
    """When a result was first seen, as its age."""
    if isinstance(value, tuple):
        return tuple([_result_age(one, now, scale) for one in value])
    return _capped(value, now, scale.result_cap)


def _dated(value: Any, now: Instant, scale: Scale) -> Hashable:
    """The date of a result, by how far it lies behind or ahead of the clock."""
    if isinstance(value, tuple):
        return tuple([_dated(one, now, scale) for one in value])
    if value is None:
        return None
    behind: float = round(now.utc - value, 3)
    return max(min(behind, scale.result_cap), -scale.result_cap)


_IN_A_WAY_OF_ITS_OWN: Final[dict[str, Callable[[Any, Instant, Scale], Hashable]]] = {
    "total_m3": _is_there,
    "cause": _is_there,
    "idle_m3": lambda value, now, scale: value > 0,
    "delivered_m3": lambda value, now, scale: min(value, MOST_M3),
    "stop": _stop,
    "started_at": lambda value, now, scale: _capped(value, now, max(scale.cap, scale.result_cap)),
    "good_results": lambda value, now, scale: min(value, MOST_RESULTS),
    "result_at": _result_age,
    "result_time": _dated,
    "refused_time": _dated,
    "spent_s": lambda value, now, scale: min(value, 2 * scale.cap),
}


def _age(value: Any, now: Instant, scale: Scale) -> Hashable:
    if isinstance(value, tuple):
        return tuple([_age(one, now, scale) for one in value])
    return _capped(value, now, scale.cap)


def key(value: Any, now: Instant, scale: Scale) -> Hashable:
    """The key of a state or a part of one."""
    if value is None or isinstance(value, bool | int | float | str | frozenset):
        return value
    if isinstance(value, Cause):
        return value.code
    if isinstance(value, tuple):
        return tuple([key(one, now, scale) for one in value])
    if is_dataclass(value) and not isinstance(value, type):
        known = _fields(value.__class__)
        mono, cap = now.mono, scale.cap
        ages = [None if at is None else cap if mono - at >= cap else round(mono - at, 3) for at in known.moments(value)]
        return (
            known.plain(value),
            *ages,
            *[extract(getattr(value, name), now, scale) for name, extract in known.others],
        )
    raise TypeError(f"no key for a {type(value).__name__}")
