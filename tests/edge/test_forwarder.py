"""From the store to a broker: in order, once, and kept until the broker has given its word."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from config.errors import LinkError
from config.load import LoadedSite
from edge import sparkplug
from edge.cli.relay import Relay
from edge.forwarder import forwarder as forwarder_module
from edge.forwarder.forwarder import STATUS_FILE, Forwarder
from edge.forwarder.receiver import Completeness, Received, listening
from edge.sparkplug import DataType, Metric, MetricValue
from edge.store.spool import NewRecord, Spool
from tests.edge.brokers import MOSQUITTO, WithholdingBroker, embedded, free_port, mosquitto
from tests.edge.envelopes import order, signed
from tests.edge.sites import small_site

DEADLINE_S = 15.0
FLOW = Metric("D-1", "flow", DataType.DOUBLE, "m3/h")


class _Store:
    """The spool as the controller fills it."""

    def __init__(self, state: Path) -> None:
        state.mkdir(exist_ok=True)
        self.spool = Spool(state / "spool.db")
        self.alias = self.spool.register([FLOW])["D-1", "flow"]
        self.written = 0

    def write(self, count: int, *, time_ms: int = 1) -> None:
        rows = []
        for _ in range(count):
            self.written += 1
            value = MetricValue(self.alias, DataType.DOUBLE, float(self.written), time_ms, sparkplug.GOOD)
            rows.append(NewRecord("data", "D-1", time_ms, sparkplug.encode_metrics([value])))
        self.spool.append(1, rows)

    def waiting(self) -> int:
        return self.spool.depth().rows


async def _no_controller(request: dict[str, Any]) -> dict[str, Any]:
    raise LinkError("no controller")


@contextlib.asynccontextmanager
async def _forwarding(
    loaded: LoadedSite, state: Path, call: Callable[[dict[str, Any]], Any] = _no_controller
) -> AsyncIterator[Forwarder]:
    assert loaded.site.uplink is not None
    forwarder = Forwarder(loaded, loaded.site.uplink, state, call)
    task = asyncio.create_task(forwarder.run())
    try:
        yield forwarder
    finally:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=DEADLINE_S)
        forwarder.close()
        assert done, "the forwarder does not end"
        if not task.cancelled():
            task.result()


@contextlib.asynccontextmanager
async def _relayed(port: int) -> AsyncIterator[Relay]:
    """A way to the broker, closed at first: it is opened when the platform already listens there."""
    relay = Relay("127.0.0.1", port)
    await relay.restore()
    await relay.cut()
    try:
        yield relay
    finally:
        await relay.cut()


class _Platform:
    """What a receiver at the broker has."""

    def __init__(self) -> None:
        self.completeness = Completeness()
        self.messages: list[Received] = []

    @contextlib.asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        async with listening(f"mqtt://127.0.0.1:{port}", "changzhi") as messages:
            task = asyncio.create_task(self._take(messages))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _take(self, messages: AsyncIterator[Received]) -> None:
        async for message in messages:
            self.completeness.take(message)
            self.messages.append(message)

    def kinds(self) -> list[str]:
        return [message.kind for message in self.messages]

    def has_all(self, count: int) -> bool:
        return self.completeness.has_all("small-01", 1, count)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - it lies behind a broker
            await asyncio.sleep(0.01)


async def test_a_row_leaves_the_store_only_after_the_brokers_acknowledgement(tmp_path: Path) -> None:
    store = _Store(tmp_path)
    store.write(120)
    broker = WithholdingBroker()
    async with broker.serving() as port, _forwarding(small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}"), tmp_path):
        await _until(lambda: ("penstock/changzhi/small-01/checkpoint", 1) in broker.published)
        assert store.waiting() == 120
        data = [topic for topic, _ in broker.published if "DDATA" in topic]
        assert len(data) == forwarder_module.BATCH
        broker.acknowledge()
        await _until(lambda: store.waiting() == 0)
    assert len([topic for topic, _ in broker.published if "DDATA" in topic]) == 120


async def test_an_acknowledged_row_stays_for_the_resend_window(tmp_path: Path) -> None:
    store = _Store(tmp_path)
    store.write(10)
    broker = WithholdingBroker()
    broker.acknowledge()
    async with broker.serving() as port:
        loaded = small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}", resend_window="1 h")
        async with _forwarding(loaded, tmp_path):
            await _until(lambda: ("penstock/changzhi/small-01/checkpoint", 1) in broker.published)
            store.write(10)
            await _until(lambda: len([topic for topic, _ in broker.published if "DDATA" in topic]) == 20)
            assert store.waiting() == 20


async def test_everything_arrives_in_order_with_births_first(tmp_path: Path) -> None:
    store, platform, port = _Store(tmp_path), _Platform(), free_port()
    store.write(130)
    store.spool.append(1, [NewRecord("receipt", "FILL-1", 5, json.dumps({"order_id": "o-1"}).encode())])
    async with (
        embedded(port),
        platform.listening(port),
        _forwarding(small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}"), tmp_path),
    ):
        await _until(lambda: platform.has_all(131))
        store.write(1)
        await _until(lambda: platform.has_all(132) and store.waiting() == 0)
    kinds = platform.kinds()
    assert kinds[0] == "NBIRTH"
    assert kinds.count("DBIRTH") == kinds.count("NBIRTH")
    assert kinds.index("DBIRTH") < kinds.index("DDATA")
    assert platform.completeness.to_json() == {
        "received": 132, "duplicates": 0, "out_of_order": 0, "missing": 0, "gaps": {},
    }  # fmt: skip
    values = [message.values["flow"]["value"] for message in platform.messages if message.kind == "DDATA"]
    assert values == [float(n) for n in range(1, 132)]
    [receipt] = [message for message in platform.messages if message.kind == "receipt"]
    assert (receipt.values["order_id"], receipt.sequence) == ("o-1", 131)


async def test_a_metric_registered_while_connected_is_born_before_it_is_sent(tmp_path: Path) -> None:
    store, platform, port = _Store(tmp_path), _Platform(), free_port()
    store.write(1)
    async with (
        embedded(port),
        platform.listening(port),
        _forwarding(small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}"), tmp_path),
    ):
        await _until(lambda: platform.has_all(1))
        alias = store.spool.register([Metric("D-2", "level", DataType.DOUBLE, "m")])["D-2", "level"]
        value = MetricValue(alias, DataType.DOUBLE, 2.5, 1, sparkplug.GOOD)
        store.spool.append(1, [NewRecord("data", "D-2", 1, sparkplug.encode_metrics([value]))])
        await _until(lambda: platform.has_all(2))
    [data] = [message for message in platform.messages if message.device == "D-2" and message.kind == "DDATA"]
    assert data.values["level"]["value"] == 2.5


async def test_a_broker_that_goes_and_comes_back_gets_everything(tmp_path: Path) -> None:
    store, platform, port = _Store(tmp_path), _Platform(), free_port()
    async with _relayed(port) as relay:
        loaded = small_site(tmp_path, broker=f"mqtt://127.0.0.1:{relay.port}", resend_window="1 h")
        async with _forwarding(loaded, tmp_path):
            async with embedded(port), platform.listening(port):
                await relay.restore()
                store.write(60)
                await _until(lambda: platform.has_all(60))
                await relay.cut()
            store.write(60)
            async with embedded(port), platform.listening(port):
                await relay.restore()
                store.write(60)
                await _until(lambda: platform.has_all(180))
    assert platform.completeness.missing() == {}
    assert any(message.historical for message in platform.messages)


async def test_a_forwarder_that_is_ended_in_the_middle_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    store, platform, port = _Store(tmp_path), _Platform(), free_port()
    loaded = small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}")
    async with embedded(port), platform.listening(port):
        store.write(500)
        async with _forwarding(loaded, tmp_path):
            await _until(lambda: platform.completeness.received >= 60)
        async with _forwarding(loaded, tmp_path):
            await _until(lambda: platform.has_all(500))
    assert platform.completeness.missing() == {}


async def test_an_orderly_end_and_a_dropped_connection_both_announce_the_death(tmp_path: Path) -> None:
    _Store(tmp_path)
    platform, port = _Platform(), free_port()
    loaded = small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}")
    async with embedded(port), platform.listening(port):
        async with _forwarding(loaded, tmp_path):
            await _until(lambda: "NBIRTH" in platform.kinds())
        await _until(lambda: "NDEATH" in platform.kinds())
    birth = next(message for message in platform.messages if message.kind == "NBIRTH")
    death = next(message for message in platform.messages if message.kind == "NDEATH")
    assert death.values["bdSeq"]["value"] == birth.values["bdSeq"]["value"]


async def test_commands_are_answered_by_the_way_they_came_and_rebirth_is_obeyed(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    async def controller(request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "image":
            raise LinkError("no image")
        asked.append(request)
        return {"ok": True}

    _Store(tmp_path)
    platform, port = _Platform(), free_port()
    loaded = small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}")
    expires = 4_000_000_000_000

    def answers() -> list[tuple[str, str]]:
        return [(m.values["outcome"], m.values["code"]) for m in platform.messages if m.kind == "answer"]

    async with embedded(port), platform.listening(port), _forwarding(loaded, tmp_path, controller):
        await _until(lambda: "NBIRTH" in platform.kinds())
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.publish("penstock/changzhi/small-01/request", b"open the valve!", qos=1)
            await _until(lambda: answers() == [("refused", "malformed")])
            soon = signed(order("c-1", int(time.time() * 1000) + 60_000))
            await client.publish("penstock/changzhi/small-01/request", soon, qos=1)
            await _until(lambda: answers()[1:] == [("accepted", "ok")])
            far = signed(order("c-2", expires))
            await client.publish("penstock/changzhi/small-01/request", far, qos=1)
            await _until(lambda: answers()[2:] == [("refused", "malformed")])
            payload = sparkplug.Payload(timestamp=1)
            sparkplug.add_metric(payload, DataType.DOUBLE, 50.0, 1, name="setpoint", birth=True)
            await client.publish("spBv1.0/changzhi/DCMD/small-01/D-1", payload.SerializeToString())
            await _until(lambda: answers()[3:] == [("refused", "unsigned")])
            await client.publish("spBv1.0/changzhi/NCMD/small-01", b"\xff")
            await _until(lambda: answers()[4:] == [("refused", "malformed")])
            births = platform.kinds().count("NBIRTH")
            rebirth = sparkplug.Payload(timestamp=1)
            sparkplug.add_metric(rebirth, DataType.BOOLEAN, True, 1, name="Node Control/Rebirth", birth=True)
            await client.publish("spBv1.0/changzhi/NCMD/small-01", rebirth.SerializeToString())
            await _until(lambda: platform.kinds().count("NBIRTH") > births)
    assert [request["op"] for request in asked] == ["refused", "order", "refused", "refused", "refused"]


async def test_its_status_says_how_the_uplink_does(tmp_path: Path) -> None:
    store, port = _Store(tmp_path), free_port()
    store.write(7)

    def status() -> dict[str, Any]:
        with contextlib.suppress(OSError):
            found: dict[str, Any] = json.loads((tmp_path / STATUS_FILE).read_text("utf-8"))
            return found
        return {}

    async with _forwarding(small_site(tmp_path, broker=f"mqtt://127.0.0.1:{port}"), tmp_path):
        await _until(lambda: bool(status().get("last_error")))
        assert (status()["connected"], status()["waiting"]) == (False, 7)
        async with embedded(port):
            await _until(lambda: status().get("connected", False) and status()["waiting"] == 0)


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
async def test_mosquitto_gets_everything_over_a_restart(tmp_path: Path) -> None:
    store, platform, port = _Store(tmp_path), _Platform(), free_port()
    async with _relayed(port) as relay:
        loaded = small_site(tmp_path, broker=f"mqtt://127.0.0.1:{relay.port}", resend_window="1 h")
        async with _forwarding(loaded, tmp_path):
            async with mosquitto(port, tmp_path), platform.listening(port):
                await relay.restore()
                store.write(100)
                await _until(lambda: platform.has_all(100))
                await relay.cut()
            store.write(100)
            async with mosquitto(port, tmp_path), platform.listening(port):
                await relay.restore()
                await _until(lambda: platform.has_all(200))
    assert platform.completeness.missing() == {}
