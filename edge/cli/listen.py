"""Decodes what arrives at a broker, a line each, and says at the end whether it is complete."""

import asyncio
import signal
from datetime import datetime
from urllib.parse import urlsplit

import aiomqtt
import typer

from config.errors import LinkError
from edge.cli import exit_codes
from edge.cli.printed import print_json
from edge.cli.screen import console
from edge.forwarder.receiver import Completeness, Received, listening


def check_broker(url: str) -> None:
    """Refuses what is no address of a broker."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "mqtt" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise typer.BadParameter(f"'{url}' is no address of a broker: mqtt://host:port")


async def listen_to(broker: str, group: str, node: str | None, count: int, *, as_json: bool) -> int:
    """Prints messages until interrupted or ``count`` is reached. Raises ``LinkError`` without a broker."""
    completeness = Completeness()
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with listening(broker, group, node) as messages:
            seen = 0
            async for message in messages:
                fresh = completeness.take(message)
                if as_json:
                    print_json(message.to_json(), one_line=True)
                else:
                    console.print(line(message, fresh=fresh or message.sequence is None), soft_wrap=True)
                seen += 1
                if count and seen >= count:
                    break
    except aiomqtt.MqttError as error:
        raise LinkError(f"the broker {broker} cannot be reached: {error}") from error
    except asyncio.CancelledError:
        task.uncancel()
    result = completeness.to_json()
    if as_json:
        print_json({"completeness": result}, one_line=True)
    else:
        console.print(f"{result['received']} records, {result['duplicates']} duplicates, {result['missing']} missing")
    return exit_codes.WRONG if result["missing"] else exit_codes.DONE


def line(message: Received, *, fresh: bool) -> str:
    """One message in one line."""
    when = (
        datetime.fromtimestamp(message.time_ms / 1000).astimezone().strftime("%H:%M:%S.%f")[:-3]
        if message.time_ms
        else ""
    )
    identity = f" #{message.boot}.{message.sequence}" if message.sequence is not None else ""
    marks = (" historical" if message.historical else "") + ("" if fresh else " duplicate")
    where = f"{message.node}/{message.device}" if message.device else message.node
    if message.topic.startswith("spBv1.0/"):
        shown = ", ".join(f"{name}={_value(entry)}" for name, entry in message.values.items())
        if message.kind.endswith("BIRTH"):
            shown = f"{len(message.values)} metrics"
    else:
        shown = " ".join(
            f"{key}={message.values[key]}"
            for key in ("name", "order_id", "delivered_m3", "alarm", "outcome", "text")
            if key in message.values
        )
    return f"{when} {message.kind:<10} {where}{identity}{marks}  {shown}"


def _value(entry: dict[str, object]) -> str:
    value = entry["value"]
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if "quality" not in entry else f"{text} (quality {entry['quality']})"
