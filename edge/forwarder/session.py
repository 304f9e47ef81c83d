"""A Sparkplug B session: births, data, deaths and their sequence numbers (Sparkplug 3.0.0, chapters 5 and 6).

Builds messages and remembers what is born; sends nothing itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from edge import sparkplug
from edge.sparkplug import DataType, Metric
from edge.store.spool import Record

REBIRTH: Final = "Node Control/Rebirth"
BDSEQ: Final = "bdSeq"
RECORD_BOOT: Final = "Record/Boot"
RECORD_SEQUENCE: Final = "Record/Sequence"


class Message(NamedTuple):
    """What is to be published. Sparkplug data goes with QoS 0, never retained (tck-id-payloads-ddata-qos)."""

    topic: str
    payload: bytes
    qos: int


class Present(NamedTuple):
    """The present value of a metric, for births."""

    value: Any
    quality: int


def identity_metrics(devices: Iterable[str]) -> list[Metric]:
    """The two metrics by which a receiver identifies every record, for each Sparkplug device."""
    return [Metric(device, name, DataType.UINT64, "") for device in devices for name in (RECORD_BOOT, RECORD_SEQUENCE)]


@dataclass(slots=True)
class Session:
    """One connection's worth of Sparkplug state."""

    group: str
    node: str
    bdseq: int
    metrics: dict[int, Metric]
    born_ms: int = 0
    dead: set[str] = field(default_factory=set)
    _seq: int = 255

    @property
    def devices(self) -> list[str]:
        """Every Sparkplug device, without the node itself."""
        return list(dict.fromkeys(metric.device for metric in self.metrics.values() if metric.device))

    def death_certificate(self, time_ms: int) -> Message:
        """The NDEATH: the will of the connection and the farewell (tck-id-payloads-ndeath-will-message-qos)."""
        payload = sparkplug.Payload(timestamp=time_ms)
        sparkplug.add_metric(payload, DataType.INT64, self.bdseq, time_ms, name=BDSEQ, birth=True)
        return Message(self._topic("NDEATH"), payload.SerializeToString(), 1)

    def births(self, present: dict[tuple[str, str], Present], time_ms: int) -> list[Message]:
        """NBIRTH, then a DBIRTH of every device, with every metric there is."""
        self.born_ms = time_ms
        self._seq = 255
        payload = sparkplug.Payload(timestamp=time_ms, seq=self._next_seq())
        sparkplug.add_metric(payload, DataType.INT64, self.bdseq, time_ms, name=BDSEQ, birth=True)
        sparkplug.add_metric(payload, DataType.BOOLEAN, False, time_ms, name=REBIRTH, birth=True)
        self._add_born(payload, "", present, time_ms)
        messages = [Message(self._topic("NBIRTH"), payload.SerializeToString(), 0)]
        messages += [self.device_birth(device, present, time_ms) for device in self.devices]
        return messages

    def device_birth(self, device: str, present: dict[tuple[str, str], Present], time_ms: int) -> Message:
        """The DBIRTH of one device."""
        self.dead.discard(device)
        payload = sparkplug.Payload(timestamp=time_ms, seq=self._next_seq())
        self._add_born(payload, device, present, time_ms)
        return Message(self._topic("DBIRTH", device), payload.SerializeToString(), 0)

    def device_death(self, device: str, time_ms: int) -> Message:
        """The DDEATH of one device."""
        self.dead.add(device)
        payload = sparkplug.Payload(timestamp=time_ms, seq=self._next_seq())
        return Message(self._topic("DDEATH", device), payload.SerializeToString(), 0)

    def data(self, record: Record, aliases: dict[tuple[str, str], int], time_ms: int) -> Message:
        """The DDATA (NDATA for the node) of a record. What is older than the births is marked historical."""
        payload = sparkplug.parse(record.payload)
        identity = ((RECORD_BOOT, record.boot), (RECORD_SEQUENCE, record.sequence))
        for name, value in identity:
            alias = aliases[record.device, name]
            sparkplug.add_metric(payload, DataType.UINT64, value, record.time_ms, alias=alias)
        if record.time_ms < self.born_ms:
            for metric in payload.metrics:
                metric.is_historical = True
        payload.timestamp = time_ms
        payload.seq = self._next_seq()
        kind = "DDATA" if record.device else "NDATA"
        return Message(self._topic(kind, record.device), payload.SerializeToString(), 0)

    def _add_born(self, payload: Any, device: str, present: dict[tuple[str, str], Present], time_ms: int) -> None:
        for alias, metric in self.metrics.items():
            if metric.device != device:
                continue
            known = present.get((device, metric.name), Present(None, sparkplug.STALE))
            sparkplug.add_metric(
                payload,
                metric.datatype,
                known.value,
                time_ms,
                name=metric.name,
                alias=alias,
                quality=known.quality,
                unit=metric.unit,
                birth=True,
            )

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % 256
        return self._seq

    def _topic(self, kind: str, device: str = "") -> str:
        return sparkplug.topic(self.group, kind, self.node, device)
