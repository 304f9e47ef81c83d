"""A live view of a station in the terminal."""

import asyncio
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from config.errors import LinkError
from edge import rpc
from edge.cli.client import forwarder_status
from edge.cli.printed import print_json
from edge.cli.screen import console
from edge.cli.show import status_view
from edge.cli.values import values_view

REFRESH_S: Final = 0.5
MOST_SIGNALS: Final = 500
"""Of a station with more no values are asked for: no screen holds them, and the answer would take too long."""


async def watch_station(state: Path, *, as_json: bool) -> None:
    """Shows the station until interrupted; a controller that goes away is shown as such, not an end."""
    if as_json:
        while True:
            print_json(await _status(state), one_line=True)
            await asyncio.sleep(1.0)
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            try:
                live.update(await _view(state), refresh=True)
            except LinkError as error:
                live.update(Text(error.message, "bold red"), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _view(state: Path) -> RenderableType:
    answer = await _status(state)
    status = status_view(answer)
    if answer["signals"] > MOST_SIGNALS:
        return Group(status, Text(f"{answer['signals']} signals: penstock read DEVICE shows those of one"))
    return Group(status, values_view(await rpc.call(state, {"op": "image"})))


async def _status(state: Path) -> dict[str, Any]:
    return await rpc.call(state, {"op": "status"}) | {"forwarder": forwarder_status(state)}
