"""PID settings: a gap in the unit of what is measured."""

from collections.abc import Iterator

from config.check.references import Finding, Where, of_kind
from config.pid import Pid
from config.units import CANONICAL


def check_pid(here: Where, pid: Pid, kind: str) -> Iterator[Finding]:
    """``kind``: what the controller measures."""
    if pid.gap is None:
        return
    wrong = list(of_kind((*here, "gap"), pid.gap, kind))
    yield from wrong
    if not wrong and pid.gap.value <= 0:
        yield Finding((*here, "gap"), f"{pid.gap.value:g} {CANONICAL[kind]}", f"above 0 {CANONICAL[kind]}")
