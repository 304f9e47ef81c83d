"""The receiving side: what arrives at a broker, in words, and whether it is complete.

`penstock listen` and the tests use it; a platform can be written after it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiomqtt

from edge import sparkplug
from edge.forwarder.session import REBIRTH, RECORD_BOOT, RECORD_SEQUENCE

MAX_QUEUED: Final = 100_000
"""Messages waiting to be decoded; a listener that slow has other troubles."""


@dataclass(frozen=True, slots=True)
class Received:
    """One message in words. ``kind``: NBIRTH, DDATA, receipt, ...; ``boot`` and ``sequence`` where it has them."""

    topic: str
    kind: str
    node: str
    device: str
    time_ms: int | None
    boot: int | None
    sequence: int | None
    historical: bool
    values: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "kind": self.kind,
            "node": self.node,
            "device": self.device,
            "time_ms": self.time_ms,
            "boot": self.boot,
            "sequence": self.sequence,
            "historical": self.historical,
            "values": self.values,
        }


@dataclass(slots=True)
class Decoder:
    """Turns messages into words; learns names from births."""

    _names: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)

    def decode(self, topic: str, payload: bytes) -> Received:
        """A message in words. Raises ``ValueError`` for one that is neither Sparkplug B nor Penstock's JSON."""
        parts = topic.split("/")
        if parts[0] == sparkplug.NAMESPACE and len(parts) >= 4:
            return self._sparkplug(topic, parts, payload)
        if parts[0] == "penstock" and len(parts) == 4:
            return _json(topic, parts, payload)
        raise ValueError(f"{topic} is no topic of Penstock")

    def knows(self, node: str) -> bool:
        """True once a birth of the node has been seen."""
        return any(known == node for known, _ in self._names)

    def _sparkplug(self, topic: str, parts: list[str], payload: bytes) -> Received:
        kind, node, device = parts[2], parts[3], parts[4] if len(parts) > 4 else ""
        parsed = sparkplug.parse(payload)
        values: dict[str, Any] = {}
        identity: dict[str, int] = {}
        historical = False
        for metric in parsed.metrics:
            if metric.name and metric.HasField("alias"):
                self._names[node, metric.alias] = (device, metric.name)
            name = metric.name or self._names.get((node, metric.alias), ("", f"alias {metric.alias}"))[1]
            historical = historical or metric.is_historical
            if name in (RECORD_BOOT, RECORD_SEQUENCE):
                if not metric.is_null:
                    identity[name] = metric.long_value
                continue
            values[name] = _shown(metric)
        born = kind.endswith("BIRTH")
        return Received(
            topic,
            kind,
            node,
            device,
            parsed.timestamp or None,
            None if born else identity.get(RECORD_BOOT),
            None if born else identity.get(RECORD_SEQUENCE),
            historical,
            values,
        )


def _shown(metric: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"value": sparkplug.metric_value(metric), "time_ms": metric.timestamp}
    quality = sparkplug.metric_quality(metric)
    if quality != sparkplug.GOOD:
        shown["quality"] = quality
    return shown


def _json(topic: str, parts: list[str], payload: bytes) -> Received:
    body = json.loads(payload)
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    sequence = None if parts[3] == "checkpoint" else body.get("sequence")
    return Received(
        topic,
        parts[3],
        parts[2],
        str(body.get("subject", "")),
        body.get("time_ms"),
        body.get("boot"),
        sequence,
        False,
        body,
    )


@dataclass(slots=True)
class Completeness:
    """Proves by identity what arrived: each ``(boot, sequence)`` once, none missing, in order."""

    received: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    _seen: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    _last: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, message: Received) -> bool:
        """Books a message; false when it is a duplicate or bears no identity."""
        if message.boot is None or message.sequence is None:
            return False
        seen = self._seen.setdefault((message.node, message.boot), set())
        if message.sequence in seen:
            self.duplicates += 1
            return False
        seen.add(message.sequence)
        self.received += 1
        present = (message.boot, message.sequence)
        if present < self._last.get(message.node, (0, 0)):
            self.out_of_order += 1
        self._last[message.node] = max(present, self._last.get(message.node, (0, 0)))
        return True

    def missing(self) -> dict[str, list[int]]:
        """For each ``node/boot``, the sequences between its first and its last that never came."""
        gaps: dict[str, list[int]] = {}
        for (node, boot), seen in self._seen.items():
            lost = sorted(set(range(min(seen), max(seen) + 1)) - seen)
            if lost:
                gaps[f"{node}/{boot}"] = lost
        return gaps

    def has_all(self, node: str, boot: int, sequence: int) -> bool:
        """True when every record 1 to ``sequence`` of a boot has come."""
        seen = self._seen.get((node, boot), set())
        return len(seen) >= sequence and all(number in seen for number in range(1, sequence + 1))

    def to_json(self) -> dict[str, Any]:
        missing = self.missing()
        return {
            "received": self.received,
            "duplicates": self.duplicates,
            "out_of_order": self.out_of_order,
            "missing": sum(len(lost) for lost in missing.values()),
            "gaps": missing,
        }


@asynccontextmanager
async def listening(
    broker: str, group: str, node: str | None = None, *, keepalive: int = 15
) -> AsyncIterator[AsyncIterator[Received]]:
    """Subscribes and asks every node to be born anew; gives the messages as they come. Raises ``MqttError``."""
    parts = urlsplit(broker)
    host, port = parts.hostname or "127.0.0.1", parts.port or 1883
    name = node or "+"
    async with aiomqtt.Client(host, port, keepalive=keepalive, max_queued_incoming_messages=MAX_QUEUED) as client:
        # The first one matches the node's own topics too (MQTT 3.1.1, 4.7.1.2).
        for filter_ in (f"spBv1.0/{group}/+/{name}/#", f"penstock/{group}/{name}/+"):
            await client.subscribe(filter_, qos=1)
        if node is not None:
            await request_rebirth(client, group, node)

        async def messages() -> AsyncIterator[Received]:
            decoder = Decoder()
            asked: set[str] = set()
            async for message in client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                try:
                    received = decoder.decode(str(message.topic), payload)
                except ValueError:
                    continue
                if received.kind == "DDATA" and not decoder.knows(received.node) and received.node not in asked:
                    asked.add(received.node)
                    await request_rebirth(client, group, received.node)
                yield received

        yield messages()


async def request_rebirth(client: aiomqtt.Client, group: str, node: str) -> None:
    """Asks a node for its births (tck-id-operational-behavior-data-commands-rebirth-name)."""
    payload = sparkplug.Payload(timestamp=0)
    sparkplug.add_metric(payload, sparkplug.DataType.BOOLEAN, True, 0, name=REBIRTH, birth=True)
    await client.publish(sparkplug.topic(group, "NCMD", node), payload.SerializeToString(), qos=0)


async def first(messages: AsyncIterator[Received], kind: str, timeout: float) -> Received:
    """The next message of a kind. Raises ``TimeoutError``."""
    async with asyncio.timeout(timeout):
        async for message in messages:
            if message.kind == kind:
                return message
    raise TimeoutError(f"no {kind} before the connection ended")
