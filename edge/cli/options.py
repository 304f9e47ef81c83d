"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_STATE: Final = Path("/var/lib/penstock")

State = Annotated[Path, typer.Option("--state", help="the state directory", envvar="PENSTOCK_STATE", readable=False)]
Json = Annotated[bool, typer.Option("--json", help="answer as JSON")]
Unit = Annotated[
    int | None, typer.Option("--unit", help="the Modbus unit, of a link or of --port or --host", min=0, max=255)
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="the profile (name or file) of what --port or --host leads to")
]
