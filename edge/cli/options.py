"""What several commands have in common on their command line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from typer.core import TyperCommand

DEFAULT_STATE: Final = Path("/var/lib/penstock")

State = Annotated[Path, typer.Option("--state", help="the state directory", envvar="PENSTOCK_STATE", readable=False)]
Json = Annotated[bool, typer.Option("--json", help="answer as JSON")]
Lang = Annotated[Literal["en", "zh"], typer.Option("--lang", help="the language of the sentences")]
Unit = Annotated[
    int | None, typer.Option("--unit", help="the Modbus unit, of a link or of --port or --host", min=0, max=255)
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="the profile (name or file) of what --port or --host leads to")
]

_NEGATIVE: Final = re.compile(r"-\.?[0-9]")


class TakesNegatives(TyperCommand):
    """A command among whose words may be negative numbers: ``write TIC-1.setpoint -5``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Takes a negative number for a word. No option of ours begins with a digit."""
        ctx.ignore_unknown_options = any(_NEGATIVE.match(word) for word in args)
        return super().parse_args(ctx, args)


def check_words(words: Sequence[str]) -> None:
    """Refuses words of which nothing can be seen."""
    for place, word in enumerate(words, 1):
        if not word.strip():
            raise typer.BadParameter(f"word {place} is empty: is a variable of the shell not set?")


def begins_with_digit(word: str) -> bool:
    """True for what can only be a number. A name of a site begins with a letter."""
    return word[:1] in set("0123456789")
