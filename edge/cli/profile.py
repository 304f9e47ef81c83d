"""``penstock profile``: what device profiles ship, what one says, and what is doubtful in one of your own."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import ConfigError, PenstockError, Problem
from edge.cli import exit_codes
from edge.cli.options import Json
from edge.cli.printed import print_json

if TYPE_CHECKING:
    from config.lint import Remark
    from config.profile import ModbusProfile, OpcUaProfile

profile_app = typer.Typer(
    name="profile",
    help="Device profiles: list, show, check, and the schema for editors.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Argument(help="a shipped profile by name, or a file", show_default=False)]


@profile_app.command("list")
def list_profiles(as_json: Json = False) -> None:
    """The profiles that ship with Penstock."""
    from config.lint import verified_of
    from config.load import DEVICES, load_profile, profile_names
    from edge.cli.profile_show import show_list

    found = [(name, load_profile(DEVICES / f"{name}.yaml")) for name in profile_names()]
    if as_json:
        rows = [
            {
                "name": name,
                "title": profile.title,
                "vendor": profile.vendor,
                "models": profile.models,
                "signals": len(profile.signals),
                "verified": str(profile.verified),
                "unverified_signals": sum(
                    verified_of(profile, signal) == "unverified" for signal in profile.signals.values()
                ),
            }
            for name, profile in found
        ]
        print_json(rows)
    else:
        show_list(found)


@profile_app.command()
def show(which: Which, as_json: Json = False) -> None:
    """A profile as a table: where each signal stands, how it is read, judged and commanded."""
    from edge.cli.profile_show import show_profile

    name, profile = _profile(which)
    if as_json:
        print_json(profile.model_dump(mode="json", exclude_defaults=True))
    else:
        show_profile(name, profile)


@profile_app.command()
def lint(
    which: Annotated[
        list[str] | None, typer.Argument(help="names or files; all that ship if none", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="warnings count as errors")] = False,
    as_json: Json = False,
) -> None:
    """Check profiles: what the schema refuses, and what it allows and is most likely an oversight."""
    from config.lint import lint as lint_profile
    from config.load import profile_names
    from edge.cli.profile_show import show_remarks

    remarks: list[tuple[str, Remark]] = []
    problems: list[Problem] = []
    checked = which or profile_names()
    for one in checked:
        try:
            name, profile = _profile(one)
        except ConfigError as error:
            problems += error.problems
            continue
        remarks += [(name, remark) for remark in lint_profile(profile)]
    counts = {level: sum(remark.level == level for _, remark in remarks) for level in ("error", "warning", "info")}
    counts["error"] += len(problems)
    if as_json:
        print_json(
            {
                "ok": not counts["error"],
                "profiles": len(checked),
                "counts": counts,
                "problems": [
                    {"file": p.file, "line": p.line, "path": p.path, "found": p.found, "expected": p.expected}
                    for p in problems
                ],
                "remarks": [
                    {
                        "profile": name,
                        "level": remark.level,
                        "code": remark.code,
                        "signal": remark.signal,
                        "text": remark.text,
                    }
                    for name, remark in remarks
                ],
            }
        )
    else:
        show_remarks(problems, remarks, len(checked), counts)
    if counts["error"] or (strict and counts["warning"]):
        sys.exit(exit_codes.WRONG)


@profile_app.command()
def schema() -> None:
    """The JSON schema of a profile file, for editors that complete YAML by it."""
    from pydantic import TypeAdapter

    from config.profile import ModbusProfile, OpcUaProfile, Profile

    adapter: TypeAdapter[ModbusProfile | OpcUaProfile] = TypeAdapter(Profile)
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Penstock device profile",
        **adapter.json_schema(),
    }
    print(json.dumps(described, indent=2))


@profile_app.command()
def pages(
    directory: Annotated[Path, typer.Argument(help="where the pages go, such as docs/devices", show_default=False)],
) -> None:
    """Write a page for each shipped profile, and their index."""
    from config.load import DEVICES, load_profile, profile_names
    from edge.cli.profile_pages import pages as made
    from edge.cli.profile_pages import write_pages

    profiles = {name: load_profile(DEVICES / f"{name}.yaml") for name in profile_names()}
    changed = write_pages(directory, made(profiles))
    print(f"{len(profiles)} profiles, {len(changed)} pages changed in {directory}")


def _profile(which: str) -> "tuple[str, ModbusProfile | OpcUaProfile]":
    """A profile by the name it ships under, or by its path. Raises ``ConfigError``, or an error that lists names."""
    import difflib

    from config.load import DEVICES, load_profile, profile_names

    path = Path(which)
    names = profile_names()
    if which in names:
        return which, load_profile(DEVICES / f"{which}.yaml")
    if path.suffix in (".yaml", ".yml") or path.exists():
        return which, load_profile(path)
    close = difflib.get_close_matches(which, names, 1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise PenstockError(f"no profile '{which}' ships with Penstock ('penstock profile list'), and no such file{hint}")
