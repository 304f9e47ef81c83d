"""Pictures of the state machines, from the tables that the code itself goes by.

``make docs`` writes them to ``docs/diagrams``; a test holds them to the tables.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from control import alarm
from control.continuous import CHINESE as SUPPLY_ZH
from control.continuous import TRANSITIONS as SUPPLY
from control.continuous import Phase as Supply
from control.fill_phase import CHINESE as FILL_ZH
from control.fill_phase import TRANSITIONS as FILL
from control.fill_phase import Phase as Fill
from control.pump import TRANSITIONS as PUMP
from control.pump import Stage as Pump
from control.valve import TRANSITIONS as VALVE
from control.valve import Stage as Valve
from control.verdict import CHINESE, Verdict
from control.verdict import TRANSITIONS as VERDICTS
from edge.cli.state_diagram import Edge, Machine, draw

_State = TypeVar("_State", bound=StrEnum)


def diagrams(
    directory: Annotated[Path, typer.Argument(help="where the pictures go, such as docs/diagrams", show_default=False)],
) -> None:
    """Write the pictures of the state machines."""
    changed = write_diagrams(directory, pictures())
    print(f"{len(changed)} pictures changed in {directory}")


def pictures() -> dict[str, str]:
    """Every picture as SVG, by its file name."""
    return {f"{machine.name}.svg": draw(machine) for machine in machines()}


def write_diagrams(directory: Path, made: Mapping[str, str]) -> list[Path]:
    """Writes what is new or changed, and returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in made.items():
        path = directory / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def machines() -> tuple[Machine, ...]:
    """Every state machine that has a table."""
    return (
        _alarm(),
        _guard(),
        Machine("batch", "A fill at a batch dispenser", "批量取水", Fill.IDLE, FILL_ZH, _edges(FILL)),
        Machine("continuous", "A continuous dispenser", "连续供水", Supply.STOPPED, SUPPLY_ZH, _edges(SUPPLY)),
        Machine("valve", "A valve", "阀门", Valve.UNKNOWN, _VALVE_ZH, _edges(VALVE)),
        Machine("pump", "A pump", "泵", Pump.UNKNOWN, _PUMP_ZH, _edges(PUMP)),
    )


def _alarm() -> Machine:
    loud = tuple(str(state) for state in alarm.State if state not in alarm.SILENCED)
    silenced = tuple(str(state) for state in alarm.State if state in alarm.SILENCED)
    return Machine(
        name="alarm",
        title="An alarm (ISA-18.2, IEC 62682)",
        title_zh="报警",
        first=alarm.State.NORMAL,
        states={str(state): alarm.CHINESE[state] for state in alarm.State},
        edges=tuple(Edge(str(a), str(b), str(trigger)) for (a, trigger), b in alarm.TRANSITIONS.items()),
        letters={str(state): letter for state, letter in alarm.LETTERS.items()},
        frames=(("from any of A to F", loud), ("from any of G to I", silenced)),
    )


def _guard() -> Machine:
    names = {verdict: verdict.name.lower() for verdict in Verdict}
    return Machine(
        name="guard",
        title="What a guard says of the water",
        title_zh="水质防护",
        first=names[Verdict.UNKNOWN],
        states={names[verdict]: CHINESE[verdict] for verdict in Verdict},
        edges=tuple(Edge(names[a], names[b]) for a, targets in VERDICTS.items() for b in sorted(targets)),
    )


def _edges(table: Mapping[_State, Iterable[_State]]) -> tuple[Edge, ...]:
    """The transitions of a table that does not say by what, in the order of its states."""
    order = list(table)
    return tuple(Edge(str(a), str(b)) for a in order for b in sorted(table[a], key=order.index))


_VALVE_ZH: Final[Mapping[str, str]] = {
    Valve.UNKNOWN: "阀位未知",
    Valve.CLOSED: "关到位",
    Valve.OPENING: "开启中",
    Valve.OPEN: "开到位",
    Valve.CLOSING: "关闭中",
    Valve.LOCAL: "就地",
    Valve.FAULT: "故障",
}
_PUMP_ZH: Final[Mapping[str, str]] = {
    Pump.UNKNOWN: "状态未知",
    Pump.STOPPED: "停止",
    Pump.STARTING: "启动中",
    Pump.RUNNING: "运行",
    Pump.STOPPING: "停止中",
    Pump.LOCAL: "就地",
    Pump.OUT_OF_SERVICE: "停用",
    Pump.FAULT: "故障",
}
