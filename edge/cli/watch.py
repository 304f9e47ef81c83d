"""A live view of a station in the terminal."""

import asyncio
from pathlib import Path
from typing import Any, Final

from rich.live import Live
from rich.text import Text

from config.errors import LinkError
from edge import rpc
from edge.cli.client import forwarder_status
from edge.cli.printed import print_json
from edge.cli.screen import console
from edge.cli.show import status_view

REFRESH_S: Final = 0.5


async def watch_station(state: Path, *, as_json: bool) -> None:
    """Shows the station until interrupted; a controller that goes away is shown as such, not an end."""
    if as_json:
        while True:
            print_json(await _status(state), one_line=True)
            await asyncio.sleep(1.0)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                live.update(status_view(await _status(state)), refresh=True)
            except LinkError as error:
                live.update(Text(error.message, "bold red"), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _status(state: Path) -> dict[str, Any]:
    return await rpc.call(state, {"op": "status"}) | {"forwarder": forwarder_status(state)}
