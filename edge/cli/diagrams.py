"""Pictures of the state machines, from the tables that the code itself goes by.

``make docs`` writes them to ``docs/diagrams``; a test holds them to the tables.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from control import alarm
from control.fill_phase import TRANSITIONS as FILL
from control.fill_phase import Phase as Fill
from edge.cli.state_diagram import Edge, Machine, draw


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
    return (_alarm(), Machine("batch", "A fill at a batch dispenser", "批量取水", _FILL_ZH, _edges(FILL)))


def _alarm() -> Machine:
    loud = tuple(str(state) for state in alarm.State if state not in alarm.SILENCED)
    silenced = tuple(str(state) for state in alarm.State if state in alarm.SILENCED)
    return Machine(
        name="alarm",
        title="An alarm (ISA-18.2, IEC 62682)",
        title_zh="报警",
        states={str(state): alarm.CHINESE[state] for state in alarm.State},
        edges=tuple(Edge(str(a), str(b), str(trigger)) for (a, trigger), b in alarm.TRANSITIONS.items()),
        letters={str(state): letter for state, letter in alarm.LETTERS.items()},
        frames=(("from any of A to F", loud), ("from any of G to I", silenced)),
    )


def _edges(table: Mapping[Fill, Iterable[Fill]]) -> tuple[Edge, ...]:
    """The transitions of a table that does not say by what, in the order of its states."""
    order = list(table)
    return tuple(Edge(str(a), str(b)) for a in order for b in sorted(table[a], key=order.index))


_FILL_ZH: Final[Mapping[str, str]] = {
    Fill.IDLE: "空闲",
    Fill.AUTHORISED: "已授权",
    Fill.CHECKING: "检查",
    Fill.ARMED: "就绪",
    Fill.SLOW_START: "小流量起动",
    Fill.FULL_FLOW: "大流量",
    Fill.SLOW_FINISH: "小流量收尾",
    Fill.CLOSING: "关阀",
    Fill.STOPPING: "中止",
    Fill.SETTLING: "静置",
    Fill.RECEIPT: "出具单据",
}
