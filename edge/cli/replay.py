"""``penstock replay``: the scans of a black box made again and compared, and what happened around a trip."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edge.cli import exit_codes
from edge.cli.ask import quantity
from edge.cli.options import Json
from edge.cli.printed import print_json, remark, say

if TYPE_CHECKING:
    from edge.blackbox.replay import Report
    from edge.blackbox.timeline import Row, Timeline

BEFORE_S: Final = 30.0
AFTER_S: Final = 10.0
"""What is shown around a trip unless --from and --to say otherwise."""


def replay(
    file: Annotated[Path, typer.Argument(help="a file of the black box (.pbb)", show_default=False)],
    show: Annotated[
        list[str] | None, typer.Option("--show", help="tell what became of this output, dispenser or signal, and why")
    ] = None,
    first: Annotated[str, typer.Option("--from", help="show from then: '-5 min' is before the trip")] = "",
    last: Annotated[str, typer.Option("--to", help="show up to then: '10 s'")] = "",
    site: Annotated[Path | None, typer.Option("--site", help="what would have happened with this site file")] = None,
    as_json: Json = False,
) -> None:
    """Make the scans of a black box again and say where they come out otherwise than recorded."""
    from config.load import load_site
    from edge.blackbox.replay import replay as make_again
    from edge.blackbox.replay import to_json

    timeline = _timeline(tuple(show or ()), first, last)
    other = load_site(site) if site is not None else None
    began = time.perf_counter()
    report = make_again(file, other, timeline.see if timeline.names else None)
    seconds = time.perf_counter() - began
    if as_json:
        answer: dict[str, Any] = {**to_json(report), "seconds": round(seconds, 3)}
        if timeline.names:
            answer["timeline"] = [_row_json(row) for row in timeline.rows]
        print_json(answer)
    else:
        _show_timeline(timeline)
        _show(file, report, seconds)
    if not report.identical or report.damaged is not None:
        sys.exit(exit_codes.WRONG)


def _timeline(names: tuple[str, ...], first: str, last: str) -> "Timeline":
    from edge.blackbox.timeline import Timeline

    begin = quantity(first, "time") if first else -BEFORE_S
    end = quantity(last, "time") if last else AFTER_S
    if not names and (first or last):
        remark("--from and --to go with --show; every scan is compared")
    return Timeline(names, begin, end)


def _row_json(row: "Row") -> dict[str, Any]:
    return {"at_s": row.at, "utc": row.utc, "name": row.name, "state": row.state, "causes": list(row.causes)}


def _show_timeline(timeline: "Timeline") -> None:
    if not timeline.names:
        return
    width = max((len(row.name) for row in timeline.rows), default=0)
    for row in timeline.rows:
        say(f"{row.at:+10.3f} s  {row.name:<{width}}  {row.state}")
        for depth, cause in enumerate(row.causes):
            say(f"{'':12}  {'':{width}}  {'  ' * depth}because {cause}")
    if not timeline.rows:
        say("nothing between these times; --from and --to are counted from what the file was saved for")
    if timeline.more:
        say(f"... and {timeline.more} more")
    say("")


def _show(file: Path, report: "Report", seconds: float) -> None:
    head = report.head
    say(f"{file}: {_why(head['why'])} at {head.get('site')}")
    say(
        f"{report.scans} scans from {_utc(report.first_utc)} to {_utc(report.last_utc)}, made again in {seconds:.1f} s "
        f"({'the same code' if report.same_code else 'OTHER CODE than recorded them'})"
    )
    if not report.same_code:
        say(f"recorded by Penstock {head.get('version')} on Python {head.get('python')}, {head.get('platform')}")
    if report.other_site:
        began = ", as after a restart with it, because it has other parts" if report.as_after_restart else ""
        say(f"with the other site file{began}:")
    if report.unknown:
        say(f"left out, because this version does not know it: {', '.join(sorted(report.unknown))}")
    if report.added:
        say(f"not in the file and begun anew, because it is new in this version: {', '.join(sorted(report.added))}")
    if report.identical:
        say("identical: every output, event, answer and state")
    else:
        say(f"DIFFERENT: {report.differing} of {report.scans} scans come out otherwise")
        for place, one in enumerate(report.differences):
            again = f" ({one.times} times, last at {_utc(one.last_utc)})" if one.times > 1 else ""
            say(f"{'first' if place == 0 else 'then'} at {_utc(one.utc)}: {one.what}{again}")
            for name, value, because in (("was", one.was, one.was_because), ("now", one.now, one.now_because)):
                say(f"  {name} {value}")
                for cause in because:
                    say(f"      because {cause}")
    if report.damaged is not None:
        say(f"NOT WHOLE: {report.damaged}; what was before that has been replayed")


def _why(why: dict[str, Any]) -> str:
    if "trip" in why:
        return f"trip of {why['trip']}"
    if "recording" in why:
        return "recording"
    if "raised" in why:
        return f"scan that failed ({why['raised']})"
    return f"saved for {why.get('asked_by', 'somebody')}: {why.get('reason') or 'no reason given'}"


def _utc(utc: float) -> str:
    return datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
