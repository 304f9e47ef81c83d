"""``penstock loops``, ``loop``, ``tune``: how the loops do, and what a person asks of one."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli import exit_codes
from edge.cli.ask import ask, quantity
from edge.cli.options import DEFAULT_STATE, Json, State, check_words
from edge.cli.printed import print_json, progress, remark, say

LoopName = Annotated[str, typer.Argument(help="the loop, such as LIC-101", show_default=False)]
POLL_S: Final = 1.0
MODES: Final = ("auto", "manual", "cascade")
USAGE: Final = "auto, manual, cascade, setpoint VALUE or output VALUE"


def loops(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """The loops: measurement, set-point, output, mode, and why one is not free."""
    answer = ask(state, {"op": "loops"})
    print_json(answer) if as_json else _show_all(answer["loops"])


def loop(
    name: LoopName,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ASK]", help=f"{USAGE}; without it: shows the loop", show_default=False),
    ] = None,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Show one loop, or ask it for another mode, set-point ('setpoint 1.2 m') or output ('output 40 %').

    A mode changes without a bump. The set-point is that of mode auto; an output needs mode manual.
    """
    check_words(words or [])
    known = _known(state, name)
    if not words:
        print_json({"ok": True, **known}) if as_json else _show_one(known)
        return
    request = {"target": name, **_request(known, words)}
    answer = ask(state, request)
    print_json(answer) if as_json else say(f"{name}: {' '.join(words)} accepted")


def tune(
    name: LoopName,
    amplitude: Annotated[
        str, typer.Option(help="of the relay: '5 %'; by default the greatest that the site allows", show_default=False)
    ] = "",
    cycles: Annotated[int, typer.Option(min=1, max=20, help="how many cycles are measured")] = 4,
    again: Annotated[bool, typer.Option("--show", help="only show what the last tune proposed")] = False,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Let a loop swing by a relay, and propose settings by named rules. It changes none.

    Ends by itself, when the measurement leaves its band or is lost, and by 'penstock loop NAME auto'.
    """
    known = _known(state, name)
    if not again:
        request: dict[str, Any] = {"op": "tune", "target": name, "count": cycles}
        if amplitude:
            request["value"] = quantity(amplitude, _kind(known["output_unit"]))
        before = (known["tune"] or {}).get("found")
        ask(state, request)
        known = _awaited(state, name)
        if known["tune"]["found"] == before:
            why = "; because ".join(known["tune"]["gave_up"] or ["it was ended by hand"])
            print_json({"ok": False, "error": why}) if as_json else remark(f"{name}: {why}")
            sys.exit(exit_codes.WRONG)
    found = (known["tune"] or {}).get("found")
    if found is None:
        remark(f"{name} has not been tuned")
        sys.exit(exit_codes.WRONG)
    print_json({"ok": True, "loop": name, **found}) if as_json else _show_found(known, found)


def _known(state: Path, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = ask(state, {"op": "loops"})["loops"]
    for one in found:
        if one["loop"] == name:
            return one
    names = ", ".join(one["loop"] for one in found) or "none in this site"
    raise typer.BadParameter(f"'{name}' is no loop; there is: {names}")


def _request(known: dict[str, Any], words: list[str]) -> dict[str, Any]:
    asked, rest = words[0], " ".join(words[1:])
    if asked in MODES and not rest:
        return {"op": "mode", "value": asked}
    if asked in ("setpoint", "output") and rest:
        unit = known["unit"] if asked == "setpoint" else known["output_unit"]
        return {"op": f"loop-{asked}", "value": quantity(rest, _kind(unit))}
    raise typer.BadParameter(f"'{' '.join(words)}' is not {USAGE}")


def _kind(symbol: str) -> str:
    from config.units import kind_of

    return kind_of(symbol)


def _awaited(state: Path, name: str) -> dict[str, Any]:
    try:
        while (known := _known(state, name))["tune"]["under_way"] is not None:
            now = known["tune"]["under_way"]
            told = f"{now['phase']}, {now['half_cycles'] // 2} of {now['cycles']} cycles, {now['runs_s']:.0f} s"
            progress(f"{name}: {told} (at most {now['limit_s']:.0f} s)")
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        remark(f"the tune goes on; 'penstock loop {name} auto' ends it")
        raise
    finally:
        progress("")
    return known


def _show_all(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from edge.cli.screen import console

    if not found:
        say("this site has no loops")
        return
    table = Table(box=None, padding=(0, 1))
    for heading in ("loop", "measurement", "set-point", "output", "mode", "moves", "not free because"):
        table.add_column(heading)
    for one in found:
        table.add_row(
            one["loop"],
            _amount(one["pv"], one["unit"]),
            _amount(one["setpoint"], one["unit"]),
            _amount(one["output"], one["output_unit"]),
            one["mode"],
            ", ".join(one["moves"]),
            "; because ".join(one["limited"] or []),
        )
    console.print(table)


def _show_one(one: dict[str, Any]) -> None:
    say(f"{one['loop']}: {one['mode']}, by {one['by']}")
    say(f"  measurement {one['signal']}  {_amount(one['pv'], one['unit'])}")
    origin = f" (from {one['setpoint_from']} in cascade)" if one["setpoint_from"] else ""
    say(f"  set-point   {_amount(one['setpoint'], one['unit'])}, {_range(one['setpoint_range'], one['unit'])}{origin}")
    moves = ", ".join(one["moves"])
    say(f"  output      {_amount(one['output'], one['output_unit'])} to {moves}, {_range(one['output_range'], '')}")
    if one["trim_percent"] is not None:
        say(f"  trim        {one['trim_percent']:g} % of the dose")
    pid = one["pid"]
    integral = "none" if pid["integral_time_s"] is None else f"{pid['integral_time_s']:g} s"
    say(f"  settings    gain {pid['gain']:g}, integral {integral}, derivative {pid['derivative_time_s']:g} s")
    for line in one["cause"] or []:
        say(f"  because {line}")


def _show_found(known: dict[str, Any], found: dict[str, Any]) -> None:
    from rich.table import Table

    from edge.cli.screen import console

    unit, output = known["unit"], known["output_unit"]
    say(
        f"{known['loop']}: ultimate gain {found['ultimate_gain']:.4g} {output} per {unit}, ultimate period "
        f"{found['ultimate_period']:.4g} s (a relay of {found['relay']:g} {output} swings it by {found['swing']:.3g} "
        f"{unit}; {found['cycles']} cycles, periods within {found['spread']:.0%})"
    )
    table = Table(box=None, padding=(0, 1))
    for heading in ("rule", "gain", "integral", "derivative", "source"):
        table.add_column(heading)
    for one in found["proposals"]:
        derivative = f"{one['derivative_time_s']:.3g} s" if one["derivative_time_s"] else "-"
        table.add_row(one["rule"], f"{one['gain']:.4g}", f"{one['integral_time_s']:.4g} s", derivative, one["source"])
    console.print(table)
    say("nothing was changed: settings stand in the site file")


def _amount(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.4g} {unit}".strip()


def _range(ends: list[float], unit: str) -> str:
    return f"{ends[0]:g} to {ends[1]:g} {unit}".strip()
