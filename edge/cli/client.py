"""What commands ask of a running station beyond one question."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

from config.errors import LinkError
from edge import rpc
from edge.forwarder.forwarder import STATUS_FILE

POLL_S: Final = 0.2
FORWARDER_FRESH_S: Final = 5.0
"""A status file older than this is that of a forwarder that no longer runs."""


async def wait_for_receipt(state: Path, order_id: str, timeout: float) -> dict[str, Any]:
    """The receipt of an order, once there is one. Raises ``LinkError`` when it does not come in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        answer = await rpc.call(state, {"op": "receipts", "limit": 50})
        for receipt in answer["receipts"]:
            if receipt.get("order_id") == order_id:
                found: dict[str, Any] = receipt
                return found
        await asyncio.sleep(POLL_S)
    raise LinkError(f"no receipt for order {order_id} within {timeout:.0f} s")


def forwarder_status(state: Path) -> dict[str, Any] | None:
    """What the forwarder last said of itself, with ``running``; ``None`` when it never ran here."""
    try:
        status: dict[str, Any] = json.loads((state / STATUS_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    status["running"] = time.time() - status["updated_utc"] < FORWARDER_FRESH_S
    return status
