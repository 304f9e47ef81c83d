"""``penstock blackbox``: what is held of the last minutes, and a file of it on demand."""

from typing import Annotated, Final

import typer

from edge.cli.ask import ask
from edge.cli.options import DEFAULT_STATE, Json, State
from edge.cli.printed import print_json, say

SAVE_S: Final = 60.0
"""How long the controller may take to write it: it lets every scan go first."""

blackbox_app = typer.Typer(
    name="blackbox",
    help="The black box: what is held of every scan, and files of it (see 'replay').",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@blackbox_app.command("list")
def list_files(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """How far back the black box reaches, and the files that were saved, the newest first."""
    answer = ask(state, {"op": "blackbox"})
    if as_json:
        print_json(answer)
        return
    say(f"holds the last {answer['held_s']:.0f} s: {answer['held_samples']} readings, scans and events")
    if answer["recording"] is not None:
        recording = answer["recording"]
        over = " (OVER: see the log of the controller)" if recording["over"] else ""
        say(f"records into {recording['file']}: {recording['scans']} scans, {recording['bytes']} bytes{over}")
    for file in answer["files"]:
        say(f"{file['file']}  {file['bytes'] / 1000:.0f} kB")
    if not answer["files"]:
        say("no file yet: a trip saves one, and so does 'penstock blackbox save'")


@blackbox_app.command()
def save(
    reason: Annotated[str, typer.Option("--reason", help="why, in words; it stands in the file")] = "",
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Save the last minutes into a file now."""
    answer = ask(state, {"op": "blackbox-save", "reason": reason}, SAVE_S)
    print_json(answer) if as_json else say(f"{answer['file']}: {answer['scans']} scans, SHA-256 {answer['sha256']}")
