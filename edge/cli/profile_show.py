"""What ``penstock profile`` prints for people."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from config.errors import Problem
from config.lint import Remark, verified_of
from config.modbus_signal import ModbusSignal, Verified
from config.profile import ModbusProfile, OpcUaProfile, OpcUaSignal
from edge.cli.profile_pages import duration, encoding, rules
from edge.cli.screen import console

_LEVEL_STYLE: Final = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_VERIFIED_STYLE: Final = {Verified.MANUAL: "green", Verified.TRANSCRIPT: "green", Verified.UNVERIFIED: "yellow"}


def show_list(found: Sequence[tuple[str, ModbusProfile | OpcUaProfile]]) -> None:
    """One line for each profile."""
    table = Table(box=None, padding=(0, 1))
    for heading in ("profile", "instrument", "vendor", "signals", "verified"):
        table.add_column(heading)
    for name, profile in found:
        verified = Text(str(profile.verified), _VERIFIED_STYLE[profile.verified])
        table.add_row(name, profile.title, profile.vendor, str(len(profile.signals)), verified)
    console.print(table)


def show_profile(name: str, profile: ModbusProfile | OpcUaProfile) -> None:
    """Head, notes and signals of one profile."""
    console.print(Text(f"{name}: {profile.title}", "bold"))
    for what, said in (("vendor", profile.vendor), ("models", profile.models), ("source", profile.source)):
        if said:
            console.print(Text(f"{what}: {said}"))
    console.print(Text.assemble("verified: ", (str(profile.verified), _VERIFIED_STYLE[profile.verified])))
    for note in profile.notes:
        console.print(Text(f"- {note}"))
    table = Table(box=None, padding=(0, 1))
    for heading in ("signal", "stands on", "encoding", "unit", "range", "read", "verified", "says"):
        table.add_column(heading)
    for field, signal in profile.signals.items():
        table.add_row(*_row(field, profile, signal))
    console.print(table)
    if isinstance(profile, ModbusProfile):
        for action, how in profile.actions.items():
            console.print(Text(f"action {action}: {how.request} -> {how.reply}  {how.description}"))


def _row(
    field: str, profile: ModbusProfile | OpcUaProfile, signal: ModbusSignal | OpcUaSignal
) -> tuple[str | Text, ...]:
    verified = verified_of(profile, signal)
    said = [signal.description] if signal.description else []
    if isinstance(signal, ModbusSignal) and isinstance(profile, ModbusProfile):
        place = f"{signal.table} {signal.address}"
        if profile.base:
            place += f" (wire {signal.address - profile.base})"
        how = encoding(signal)
        said += rules(signal)
    else:
        assert isinstance(signal, OpcUaSignal)
        place, how = f"{signal.node} of {signal.namespace}", signal.type
    if signal.writable:
        said.append("writable")
    return (
        field,
        place,
        how,
        signal.unit if signal.kind == "number" and signal.unit != "1" else "",
        f"{signal.range[0]:g} .. {signal.range[1]:g}" if signal.range is not None else "",
        duration(signal.poll) if signal.poll is not None else "",
        Text(str(verified), _VERIFIED_STYLE[verified]),
        Text("; ".join(said)),
    )


def show_remarks(
    problems: Sequence[Problem], remarks: Sequence[tuple[str, Remark]], checked: int, counts: dict[str, int]
) -> None:
    """Problems first, then the remarks, then how many of each."""
    for problem in problems:
        console.print(Text.assemble(("error", _LEVEL_STYLE["error"]), f" {problem}"))
    for name, remark in remarks:
        where = f"{name}: {remark.signal}" if remark.signal else name
        line = f" {where} {remark.text} [{remark.code}]"
        console.print(Text.assemble((remark.level, _LEVEL_STYLE[remark.level]), line), soft_wrap=True)
    summary = ", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts.items())
    console.print(Text(f"{checked} profile{'s' if checked != 1 else ''} checked: {summary}"))
