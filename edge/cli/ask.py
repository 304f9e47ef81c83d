"""Asking the controller: its answer, or its refusal as a message and an exit code."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import typer

from edge.cli import exit_codes
from edge.cli.printed import print_json, remark


def ask(state: Path, request: dict[str, Any], timeout: float = 5.0) -> dict[str, Any]:
    """The controller's answer within ``timeout`` seconds; prints a refusal and exits."""
    from edge import rpc

    answer = asyncio.run(rpc.call(state, request, timeout))
    if answer.get("ok"):
        return answer
    if "--json" in sys.argv:
        print_json(answer)
    else:
        remark(f"refused: {answer.get('error')}")
    sys.exit(exit_codes.REFUSED if answer.get("code") == "refused" else exit_codes.WRONG)


def quantity(text: str, kind: str) -> float:
    """A quantity of a kind from the command line, in its canonical unit. Ends the command when it is none."""
    from config.units import quantity as read

    try:
        return read(text, kind)
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not {error}") from error
