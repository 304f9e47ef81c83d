"""The phases of a fill and every transition between them (the procedure of ISA-88, shared water notes 3.2).

``idle -> authorised -> checking -> armed -> slow start -> full flow -> slow finish -> closing -> settling -> receipt``;
from any state with an order ``stopping -> settling -> receipt``.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Where a fill stands."""

    IDLE = "idle"
    AUTHORISED = "authorised"
    CHECKING = "checking"
    ARMED = "armed"
    SLOW_START = "slow-start"
    FULL_FLOW = "full-flow"
    SLOW_FINISH = "slow-finish"
    CLOSING = "closing"
    STOPPING = "stopping"
    SETTLING = "settling"
    RECEIPT = "receipt"


CHINESE: Final[Mapping[str, str]] = {
    Phase.IDLE: "空闲",
    Phase.AUTHORISED: "已授权",
    Phase.CHECKING: "检查",
    Phase.ARMED: "就绪",
    Phase.SLOW_START: "小流量起动",
    Phase.FULL_FLOW: "大流量",
    Phase.SLOW_FINISH: "小流量收尾",
    Phase.CLOSING: "关阀",
    Phase.STOPPING: "中止",
    Phase.SETTLING: "静置",
    Phase.RECEIPT: "出具单据",
}
DISPENSING: Final = frozenset({Phase.SLOW_START, Phase.FULL_FLOW, Phase.SLOW_FINISH})
"""The phases in which water may flow."""
ENDING: Final = frozenset({Phase.CLOSING, Phase.STOPPING, Phase.SETTLING, Phase.RECEIPT})
"""The phases in which there is nothing left to cancel."""

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.IDLE: frozenset({Phase.AUTHORISED}),
    Phase.AUTHORISED: frozenset({Phase.CHECKING, Phase.STOPPING}),
    Phase.CHECKING: frozenset({Phase.ARMED, Phase.STOPPING}),
    Phase.ARMED: frozenset({Phase.SLOW_START, Phase.STOPPING}),
    Phase.SLOW_START: frozenset({Phase.FULL_FLOW, Phase.SLOW_FINISH, Phase.CLOSING, Phase.STOPPING}),
    Phase.FULL_FLOW: frozenset({Phase.SLOW_FINISH, Phase.CLOSING, Phase.STOPPING}),
    Phase.SLOW_FINISH: frozenset({Phase.CLOSING, Phase.STOPPING}),
    Phase.CLOSING: frozenset({Phase.SETTLING}),
    Phase.STOPPING: frozenset({Phase.SETTLING}),
    Phase.SETTLING: frozenset({Phase.RECEIPT}),
    Phase.RECEIPT: frozenset({Phase.IDLE}),
}
"""Every transition there is; a dispenser takes no other."""
