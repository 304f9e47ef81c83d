"""5,000 items that change once a second, from a subscription: our driver, and a bare asyncua client.

The server is the simulator in a process of its own. Each value it shows is a number of one rising count, so that what
was lost on the way is known to the value. The CPU time is that of this process, which holds the client alone.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from asyncua import ua
from asyncua.client.client import Client

from config.load import LoadedSite, load_site
from config.sample import Sample
from drivers.links import open_links
from drivers.port import LinkEvent
from tests.bench.figures import figure, line

ITEMS = 5000
MEASURED_S = 25.0
PERIOD_S = 1.0
PUBLISHING_S = 0.5
READY_S = 60.0
SETTLED_S = 3.0
URI = "urn:bench"


async def run() -> None:
    """Measures both against the same server and prints them."""
    print(f"{ITEMS} OPC UA items changing each {PERIOD_S:g} s, subscribed, {MEASURED_S:g} s each", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        async with _simulator(folder) as ask:
            loaded = load_site(folder / "site-out.yaml")
            ours = await _ours(loaded, folder, ask)
            bare = await _bare(loaded, ask)
    figure("ours: values produced", ours["produced"], "")
    figure("ours: values received", ours["received"], "")
    figure("ours: values lost", ours["lost"], "")
    figure("ours: gaps recorded", ours["gaps"], "")
    figure("ours: verifying reads of up to 500 items", ours["reads"], "")
    figure("bare: values received", bare["received"], "")
    figure("bare: values lost", bare["lost"], "")
    line("CPU of the client", ours["cpu"], bare["cpu"], "s/s")
    if ours["lost"] or ours["gaps"]:
        sys.exit("the subscription lost values")


async def _measured(count: "_Count", ask: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, float]:
    """Lets the subscription settle, then counts for ``MEASURED_S``."""
    await asyncio.sleep(SETTLED_S)
    count.values.clear()
    cpu, began = time.process_time(), time.monotonic()
    produced = (await ask("churn", link="plc"))["produced"]
    await asyncio.sleep(MEASURED_S)
    spent, took = time.process_time() - cpu, time.monotonic() - began
    produced = (await ask("churn", link="plc"))["produced"] - produced
    values = count.values
    lost = max(values) - min(values) + 1 - len(values)
    return {"cpu": spent / took, "produced": produced, "received": len(values), "lost": lost}


class _Count:
    """Every value that arrived, once."""

    def __init__(self) -> None:
        self.values: set[float] = set()

    def __call__(self, indices: Sequence[int], samples: Sequence[Sample]) -> None:
        add = self.values.add
        for sample in samples:
            if isinstance(sample.value, float):
                add(sample.value)


async def _ours(loaded: LoadedSite, folder: Path, ask: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, float]:
    count = _Count()
    events: list[LinkEvent] = []
    [link] = open_links(loaded, count, events.append, folder / "pki")
    task = asyncio.create_task(link.run())
    try:
        status = link.status()
        async with asyncio.timeout(READY_S):
            while not status.connected:  # noqa: ASYNC110 - a counter of the driver, which sets no event
                await asyncio.sleep(0.1)
        result = await _measured(count, ask)
        result["gaps"] = status.gaps
        result["reads"] = status.devices["PLC"].polls - ITEMS / 500
        return result
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _bare(loaded: LoadedSite, ask: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, float]:
    """What a script would have: a handler that does nothing but note that the value came."""
    url = loaded.site.links["plc"].url  # type: ignore[union-attr]
    count = _Count()

    class Handler:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            count.values.add(value)

    async with Client(url, timeout=10) as client:
        index = await client.get_namespace_index(URI)
        nodes = [client.get_node(ua.NodeId(ua.String(f"V{n}"), ua.Int16(index))) for n in range(ITEMS)]
        subscription = await client.create_subscription(PUBLISHING_S * 1000, Handler())
        for start in range(0, ITEMS, 500):
            await subscription.subscribe_data_change(
                nodes[start : start + 500], queuesize=5, sampling_interval=ua.Double(PERIOD_S * 1000)
            )
        return await _measured(count, ask)


@asynccontextmanager
async def _simulator(folder: Path) -> AsyncIterator[Callable[..., Awaitable[dict[str, Any]]]]:
    """The simulator with its items changing; yields the way to ask it something."""
    signals = {f"v{n}": {"namespace": URI, "node": f"s=V{n}"} for n in range(ITEMS)}
    link = {"type": "opcua", "url": "opc.tcp://127.0.0.1:4840", "publishing": f"{PUBLISHING_S:g} s", "timeout": "10 s"}
    text = {
        "site": {"id": "bench"},
        "links": {"plc": link},
        "devices": {"PLC": {"link": "plc", "poll": "1 s", "profile": {"protocol": "opcua", "signals": signals}}},
    }
    (folder / "site.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    control = folder / "control.sock"
    command = [sys.executable, "-m", "hil_sim", "serve", str(folder / "site.yaml")]
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--site-out", str(folder / "site-out.yaml"), "--control", str(control)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None

    async def ask(op: str, **fields: object) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(str(control))
        writer.write(json.dumps({"op": op, **fields}).encode() + b"\n")
        async with asyncio.timeout(READY_S):
            reply: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        assert reply["ok"], reply
        return reply

    try:
        async with asyncio.timeout(READY_S):
            assert await process.stdout.readline()
        await ask("churn", link="plc", period_s=PERIOD_S)
        yield ask
    finally:
        process.terminate()
        await process.wait()
