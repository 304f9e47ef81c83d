"""``penstock prooftest``: proves that a guard shuts the water off, has it signed, and says when the next is due."""

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from edge.cli import exit_codes
from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, remark, say
from edge.cli.screen import console

POLL_S: Final = 0.2
LONGEST_S: Final = 3600.0
"""No valve takes longer; the controller ends a test by itself much sooner."""

Guard = Annotated[str | None, typer.Argument(help="a guard, such as FILL-1.turbidity; all are listed without one")]


def prooftest(
    guard: Guard = None,
    yes: Annotated[bool, typer.Option("--yes", help="begin without asking")] = False,
    sign_off: Annotated[str, typer.Option("--sign-off", help="who saw it and what was found; signs the result")] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Prove that a guard shuts the water off: a breach is put before it while water flows, and the valve is timed."""
    if guard is None:
        answer = ask(state, {"op": "proof-tests"})
        print_json(answer) if as_json else console.print(_table(answer["guards"]))
        return
    if sign_off:
        answer = ask(state, {"op": "sign-off", "target": guard, "reason": sign_off})
        print_json(answer) if as_json else say(f"{guard}: signed off; 'penstock prooftest' lists when the next is due")
        return
    if not yes:
        remark(f"{guard} will see a breach: its dispenser trips, its valve closes, and it must be reset afterwards.")
        typer.confirm("Is somebody watching the water?", abort=True, err=True)
    ask(state, {"op": "proof-test", "target": guard})
    result = _result(state, guard)
    if as_json:
        print_json({"ok": result["outcome"] == "passed", **result})
    else:
        say(told(result))
        say(f"sign it: penstock prooftest {guard} --sign-off 'NAME: what was found'")
    if result["outcome"] != "passed":
        sys.exit(exit_codes.WRONG)


def told(result: dict[str, Any]) -> str:
    """A result in words."""
    put = f"{result['guard']}: {result['reading']} was put before it"
    if result["trip_s"] is None:
        return f"{put}; FAILED, it did not trip within {result['limit_s']:.1f} s"
    tripped = f"{put}; it tripped after {result['trip_s']:.2f} s"
    if result["closed_s"] is None:
        return f"{tripped}; FAILED, the valve was not proved closed within {result['limit_s']:.1f} s"
    closed = f"the valve was closed after {result['closed_s']:.2f} s (limit {result['limit_s']:.1f} s)"
    return f"{tripped}, {closed}; {result['outcome']}"


def _result(state: Path, guard: str) -> dict[str, Any]:
    """Waits for the end of the test; the controller bounds how long it may take."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        answer = ask(state, {"op": "proof-tests"})
        own = next(one for one in answer["guards"] if one["guard"] == guard)
        if answer["running"] is None and own["unsigned"] is not None:
            found: dict[str, Any] = own["unsigned"]
            return found
        if answer["running"] is None:
            break
        time.sleep(POLL_S)
    remark(f"{guard}: the test ended without a result; was the controller restarted? The trip, if any, still stands")
    sys.exit(exit_codes.WRONG)


def _table(guards: list[dict[str, Any]]) -> Table:
    table = Table("guard", "last proved", "next due", "", box=None, header_style="bold")
    for one in sorted(guards, key=lambda one: (not one["overdue"], one["due_utc"] or float("inf"))):
        last = _day(one["last_utc"]) if one["last_utc"] else "never"
        due = "-" if one["due_utc"] is None else _day(one["due_utc"]) if one["due_utc"] else "now"
        note = "OVERDUE" if one["overdue"] else ""
        if one["unsigned"] is not None:
            note = f"{one['unsigned']['outcome']}, not signed"
        table.add_row(one["guard"], last, due, note)
    return table


def _day(utc: float) -> str:
    return datetime.fromtimestamp(utc).astimezone().strftime("%Y-%m-%d")
