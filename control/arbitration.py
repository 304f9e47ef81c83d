"""Arbitration: one writer per actuator.

Every actuator gets exactly one demand each scan, the one of highest rank. Nothing outranks protect; an actuator
that nobody demands anything of goes to its safe position.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from config.sample import Value
from control.cause import Cause


class Rank(IntEnum):
    """Who outranks whom, lowest first."""

    SAFE_DEFAULT = 0
    REGULATE = 1
    SEQUENCE = 2
    OVERRIDE = 3
    PROTECT = 4


CHINESE: Final[dict[Rank, str]] = {
    Rank.SAFE_DEFAULT: "安全位置",
    Rank.REGULATE: "调节",
    Rank.SEQUENCE: "顺序控制",
    Rank.OVERRIDE: "人工强制",
    Rank.PROTECT: "保护",
}


@dataclass(frozen=True, slots=True)
class Demand:
    """One output: ``value`` for the writable signal ``signal`` of actuator ``tag``, with rank and cause."""

    tag: str
    signal: int
    value: Value
    rank: Rank
    cause: Cause


def strongest(demands: list[Demand]) -> Demand:
    """The demand that wins. Between equals the first wins. Needs at least one (the safe default)."""
    return max(demands, key=lambda demand: demand.rank)
