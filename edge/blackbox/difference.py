"""Where two values that a codec has put into JSON differ, to the last bit."""

import json
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """``where`` is the way to the first difference (``.fill.meter.total_m3``); ``was`` and ``now`` stand there."""

    where: str
    was: Any
    now: Any


class Absent(NamedTuple):
    """Stands for what one of two has not got."""


ABSENT = Absent()


def text(data: Any) -> str:
    """JSON by which equal means the same to the last bit: ``1``, ``1.0`` and ``true`` differ, and so do ``0.0`` and
    ``-0.0``."""
    return json.dumps(data, separators=(",", ":"))


def first_difference(was: Any, now: Any, where: str = "") -> Difference | None:
    """The first place where they differ, in the order of their fields."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*was, *now]):
            found = first_difference(was.get(name, ABSENT), now.get(name, ABSENT), f"{where}.{name}")
            if found is not None:
                return found
        return None
    if isinstance(was, list) and isinstance(now, list):
        for place in range(max(len(was), len(now))):
            one, other = (data[place] if place < len(data) else ABSENT for data in (was, now))
            found = first_difference(one, other, f"{where}[{place}]")
            if found is not None:
                return found
        return None
    if was is ABSENT or now is ABSENT or text(was) != text(now):
        return Difference(where, was, now)
    return None
