"""What a person types, in this process: the command runs in a thread, as it would in a terminal without a keyboard."""

import asyncio
import contextlib
import io
import json
import sys
from typing import Any, NamedTuple

import structlog

from edge.cli.main import main

DEADLINE_S = 60.0

# What runs beside the command in this process must not log into what the command prints.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


class Done(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """What it printed with ``--json``."""
        return json.loads(self.out)


def _run(arguments: list[str]) -> Done:
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["penstock", *arguments]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


async def penstock(*arguments: object) -> Done:
    """Runs ``penstock`` with these arguments, while this loop goes on with what it talks to."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(_run, [str(argument) for argument in arguments])
