"""``penstock alarms``, and what a person does about them: ``ack``, ``shelve``, ``out-of-service`` and back."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge.cli.ask import ask, quantity
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say
from edge.cli.screen import console

PRIORITY_STYLE: Final = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "journal": "dim",
}
_DAY_S: Final = 86400

AlarmId = Annotated[str, typer.Argument(metavar="ALARM", help="an alarm's id, such as FILL-1.no-flow or LAH-101")]
Why = Annotated[str, typer.Option("--reason", help="why, in words; it is recorded", show_default=False)]


def alarms(
    every: Annotated[bool, typer.Option("--all", help="every alarm that this station can have")] = False,
    shelved: Annotated[
        bool, typer.Option("--shelved", help="those shelved, suppressed by design or out of service")
    ] = False,
    history: Annotated[bool, typer.Option("--history", help="what happened, from the ledger, newest first")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="how many, how often, floods, nuisances")] = False,
    limit: Annotated[int, typer.Option(help="lines of --history", min=1, max=1000)] = 50,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """The alarms, worst first: state, priority, since when, and why."""
    asked = {"all": every, "silenced": shelved, "history": history, "figures": figures}
    chosen = [which for which, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise typer.BadParameter("one of --all, --shelved, --history, --figures")
    which = chosen[0] if chosen else "shown"
    answer = ask(state, {"op": "alarms", "which": which, "limit": limit})
    if as_json:
        print_json(answer)
    elif which == "history":
        console.print(history_table(answer["history"]) if answer["history"] else Text("nothing happened yet"))
    elif which == "figures":
        console.print(figures_view(answer))
    else:
        console.print(alarms_table(answer["alarms"]) if answer["alarms"] else Text("no alarms"))


def ack(
    alarm: Annotated[
        str, typer.Argument(metavar="ALARM", help="an alarm's id; a dispenser or group for all of its alarms; or all")
    ],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Acknowledge an alarm, those of a dispenser or group, or all."""
    answer = ask(state, {"op": "ack", "target": alarm})
    print_json(answer) if as_json else say(f"{'every alarm' if alarm == 'all' else alarm} is acknowledged")


def shelve(
    alarm: AlarmId,
    duration: Annotated[str, typer.Option("--for", help="for how long: '2 h'", show_default=False)],
    reason: Why,
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Silence an alarm for a time. When it is over, what still stands is announced anew."""
    request = {"op": "shelve", "target": alarm, "duration_s": quantity(duration, "time"), "reason": reason}
    answer = ask(state, request)
    print_json(answer) if as_json else say(f"{alarm} is shelved for {duration}; 'penstock unshelve {alarm}' ends it")


def unshelve(alarm: AlarmId, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Take an alarm off the shelf before its time."""
    answer = ask(state, {"op": "unshelve", "target": alarm})
    print_json(answer) if as_json else say(f"{alarm} is no longer shelved")


def out_of_service(alarm: AlarmId, reason: Why, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Take an alarm out of service, for maintenance: silent until somebody puts it back."""
    answer = ask(state, {"op": "out-of-service", "target": alarm, "reason": reason})
    done = f"{alarm} is out of service; 'penstock in-service {alarm}' puts it back"
    print_json(answer) if as_json else say(done)


def in_service(alarm: AlarmId, state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Put an alarm back into service. What stands is announced."""
    answer = ask(state, {"op": "in-service", "target": alarm})
    print_json(answer) if as_json else say(f"{alarm} is in service")


def alarms_table(rows: list[dict[str, Any]]) -> Table:
    """Alarms as a table, in the order given."""
    table = Table("priority", "state", "since", "alarm", "", box=None, header_style="bold", padding=(0, 1))
    for one in rows:
        quiet = one["letter"] in "CFGHI" or not one["stands"]
        style = PRIORITY_STYLE[one["priority"]]
        since = ago(one["since_utc"]) if one["letter"] not in "AGHI" else "-"
        table.add_row(Text(one["priority"], style), one["state"].replace("-", " "), since, _id(one), _told(one, quiet))
    return table


def _id(one: dict[str, Any]) -> Text:
    text = Text(one["id"])
    if one["first_out"]:
        text.append(" FIRST", "bold red")
    return text


def _told(one: dict[str, Any], quiet: bool) -> Text:
    """Its cause, what to do, and who brought it into its state."""
    text = Text(one["text"], "dim" if quiet else "")
    if one["response"]:
        text.append(f"  do: {one['response']}", "green")
    if one["by"]:
        text.append(f"  by {one['by']}", "cyan")
    if one["reason"]:
        text.append(f": {one['reason']}", "cyan")
    if one["until_utc"] is not None:
        text.append(f", until {_clock(one['until_utc'])}", "cyan")
    return text


def history_table(rows: list[dict[str, Any]]) -> Table:
    """Events of alarms, newest first."""
    table = Table("when", "what", "alarm", "", box=None, header_style="bold", padding=(0, 1))
    for one in rows:
        cause, by = one.get("cause"), one.get("by", "")
        told = [cause["text"] if cause else "", f"by {by}" if by else "", one.get("reason", "")]
        if "alarms_in_10_min" in one:
            told.append(f"{one['alarms_in_10_min']} alarms in 10 min")
        what = one["name"].removeprefix("alarm-").replace("-", " ")
        table.add_row(_clock(one["time_ms"] / 1000), what, one["subject"], ", ".join(part for part in told if part))
    return table


def figures_view(answer: dict[str, Any]) -> RenderableType:
    """The figures of ISA-18.2 on one screen."""
    flood = f"since {_clock(answer['flood_since_utc'])}" if answer["flood"] else "no"
    lines = Table(box=None, show_header=False, padding=(0, 1))
    lines.add_row("standing", str(answer["standing"]))
    lines.add_row("unacknowledged", str(answer["unacknowledged"]))
    lines.add_row("silenced", str(answer["silenced"]))
    lines.add_row("in the last 10 min", f"{answer['in_10_min']} (at most {answer['most_in_10_min']} so far)")
    lines.add_row("flood (above 10 in 10 min)", f"{flood}; {answer['floods']} so far")
    for one in answer["by_day"]:
        lines.add_row(datetime.fromtimestamp(one["day"] * _DAY_S, UTC).strftime("%Y-%m-%d"), f"{one['alarms']} alarms")
    parts: list[RenderableType] = [lines]
    rows = {one["id"]: one["count"] for one in answer["most_frequent"]}
    nuisance = dict.fromkeys([*rows, *answer["chattered"], *answer["fleeting"], *answer["stale"]])
    if nuisance:
        table = Table("alarm", "times in 7 days", "chattered", "fleeting", "", box=None, header_style="bold")
        for name in nuisance:
            now = ["chattering now"] if name in answer["chattering"] else []
            now += ["standing for more than a day"] if name in answer["stale"] else []
            counts = (rows.get(name), answer["chattered"].get(name), answer["fleeting"].get(name))
            table.add_row(name, *(str(count) if count else "-" for count in counts), ", ".join(now))
        parts.append(table)
    return Group(*parts)


def ago(utc: float) -> str:
    """How long ago, for a person."""
    seconds = max(time.time() - utc, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.0f} d"


def _clock(utc: float) -> str:
    return datetime.fromtimestamp(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
