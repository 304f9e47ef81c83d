"""A session with an OPC UA server: every node is read each poll period, so that a value is known to be fresh.

A subscription tells of changes only and falls silent without an error when a server comes back with its
namespaces in another order (shared field notes, section 3). Reading confirms every value each period; nodes are
configured by namespace URI and resolved anew at every connect; after any failure a new client is built, because
one that has failed may hang.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Final

import structlog
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua.uaerrors import UaError

from config.errors import LinkError
from config.load import LoadedSite
from config.profile import OpcUaSignal
from config.sample import Quality, Reason, Sample, Value, bad, quality_of
from config.signals import Signal
from config.site import OpcUaLink
from drivers.port import DeviceStatus, LinkStatus, Notify, Sink, WriteResult

SESSION_TIMEOUT_MS: Final = 60_000
"""The server may forget a dead session after this; small PLCs allow few of them."""
FIRST_RECONNECT_S: Final = 0.2
_INTEGERS: Final = frozenset(
    (
        ua.VariantType.SByte,
        ua.VariantType.Byte,
        ua.VariantType.Int16,
        ua.VariantType.UInt16,
        ua.VariantType.Int32,
        ua.VariantType.UInt32,
        ua.VariantType.Int64,
        ua.VariantType.UInt64,
    )
)
MAX_NODES_PER_READ: Final = 500
"""Small servers refuse longer reads (OPC UA Part 5, MaxNodesPerRead)."""

for _noisy in ("asyncua", "asyncua.client.client", "asyncua.client.ua_client"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Group:
    """Signals that are read together, and when next."""

    signals: list[Signal]
    period: float
    due: float


class OpcUaSession:
    """The driver of one OPC UA link."""

    def __init__(self, name: str, link: OpcUaLink, loaded: LoadedSite, sink: Sink, notify: Notify, pki: Path) -> None:
        self._name = name
        self._link = link
        self._sink = sink
        self._notify = notify
        self._pki = pki
        self._signals = [signal for signal in loaded.signals.field if signal.link == name]
        self._by_index = {signal.index: signal for signal in self._signals}
        devices = dict.fromkeys(signal.device for signal in self._signals)
        self._status = LinkStatus(devices={device: DeviceStatus() for device in devices})
        self._nodes: dict[int, Node] = {}
        self._client: Client | None = None
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._name

    def status(self) -> LinkStatus:
        return self._status

    async def run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        delay = FIRST_RECONNECT_S
        try:
            while True:
                try:
                    await self._connect()
                    delay = FIRST_RECONNECT_S
                    await self._poll()
                except (LinkError, OSError, TimeoutError, UaError, asyncio.IncompleteReadError) as error:
                    self._failed(str(error) or type(error).__name__)
                await self._close()
                if task.cancelling():
                    # The library may answer a cancellation with an error or a result of its own.
                    raise asyncio.CancelledError
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                delay = min(delay * 2, self._link.retry)
        finally:
            await self._close()

    def write(self, signal: int, value: Value) -> asyncio.Future[WriteResult]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[WriteResult] = loop.create_future()
        if signal not in self._nodes:
            done.set_result(WriteResult(False, None, f"link {self._name} is down: {self._status.last_error}"))
            return done
        task = loop.create_task(self._write(self._by_index[signal], value, done), name=f"write {signal}")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return done

    async def _connect(self) -> None:
        client = Client(self._link.url, timeout=self._link.timeout)
        client.session_timeout = SESSION_TIMEOUT_MS
        client.secure_channel_timeout = SESSION_TIMEOUT_MS
        self._client = client
        async with asyncio.timeout(self._link.timeout * 2):
            await client.connect()
            namespaces = await client.get_namespace_array()
        missing = sorted({uri for s in self._signals if (uri := _definition(s).namespace) not in namespaces})
        if missing:
            raise LinkError(f"the server has no namespace {', '.join(missing)}")
        self._nodes = {
            signal.index: client.get_node(
                f"ns={namespaces.index(_definition(signal).namespace)};{_definition(signal).node}"
            )
            for signal in self._signals
        }
        self._status.connected = True
        self._status.connects += 1
        self._status.last_error = ""
        log.info("link up", link=self._name)

    async def _poll(self) -> None:
        """Reads every node each period until something fails. Signals of one period are read together."""
        loop = asyncio.get_running_loop()
        groups: list[_Group] = []
        for period in sorted({signal.poll for signal in self._signals}):
            same = [signal for signal in self._signals if signal.poll == period]
            for start in range(0, len(same), MAX_NODES_PER_READ):
                groups.append(_Group(same[start : start + MAX_NODES_PER_READ], period, loop.time()))
        while True:
            group = min(groups, key=lambda one: one.due)
            await asyncio.sleep(max(group.due - loop.time(), 0.0))
            group.due = max(group.due + group.period, loop.time())
            await self._read(group.signals)

    async def _read(self, signals: list[Signal]) -> None:
        loop = asyncio.get_running_loop()
        assert self._client is not None
        sent = time.perf_counter()
        async with asyncio.timeout(self._link.timeout):
            values = await self._client.read_attributes([self._nodes[signal.index] for signal in signals])
        received = loop.time()
        self._book(signals, time.perf_counter() - sent)
        self._sink(
            [signal.index for signal in signals],
            [_sample(signal, value, received) for signal, value in zip(signals, values, strict=True)],
        )

    def _book(self, signals: Sequence[Signal], took: float) -> None:
        for tag in {signal.device for signal in signals}:
            status = self._status.devices[tag]
            status.polls += 1
            status.replies += 1
            status.online = True
            status.round_trips.append(took)

    async def _write(self, signal: Signal, value: Value, done: asyncio.Future[WriteResult]) -> None:
        result = WriteResult(False, None, "link closed")
        try:
            node, definition = self._nodes[signal.index], _definition(signal)
            async with asyncio.timeout(self._link.timeout):
                present = await node.read_data_value()
                if present.Value is None:
                    raise LinkError("the node has no value, so its type is not known")
                kind = present.Value.VariantType
                variant = ua.Variant(_raw(definition, signal, value, kind in _INTEGERS), kind)
                await node.write_value(ua.DataValue(variant))
                read = _sample(signal, await node.read_data_value(), asyncio.get_running_loop().time())
            self._sink([signal.index], [read])
            step = abs(definition.scale * signal.factor) if kind in _INTEGERS else 0.0
            ok = read.good and _equal(read.value, value, step)
            result = WriteResult(ok, read.value, "" if ok else f"wrote {value!r}, read back {read.value!r}")
        except (LinkError, OSError, TimeoutError, UaError, KeyError) as error:
            result = WriteResult(False, None, str(error) or type(error).__name__)
        finally:
            if not done.done():
                done.set_result(result)

    def _failed(self, text: str) -> None:
        if text != self._status.last_error:
            log.warning("link down", link=self._name, error=text)
        self._status.last_error = text
        self._status.connected = False
        self._nodes = {}
        received = asyncio.get_running_loop().time()
        for status in self._status.devices.values():
            status.online = False
            status.timeouts += 1
            status.last_error = text
        self._sink(
            [signal.index for signal in self._signals], [bad(Reason.NO_COMMUNICATION, received)] * len(self._signals)
        )

    async def _close(self) -> None:
        client, self._client = self._client, None
        self._nodes = {}
        if client is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await client.disconnect()
        except (OSError, TimeoutError, UaError, RuntimeError) as error:
            log.debug("session not closed in order", link=self._name, error=str(error))


def _definition(signal: Signal) -> OpcUaSignal:
    assert isinstance(signal.definition, OpcUaSignal)
    return signal.definition


def _sample(signal: Signal, data: ua.DataValue, received: float) -> Sample:
    """A DataValue as a sample. The status' top two bits are its severity (OPC 10000-4, 7.39)."""
    definition = _definition(signal)
    status = data.StatusCode.value if data.StatusCode is not None else 0
    value = data.Value.Value if data.Value is not None else None
    source = data.SourceTimestamp.replace(tzinfo=UTC).timestamp() if data.SourceTimestamp is not None else None
    raw = f"{status:08X}".encode()
    if status >> 30 >= Quality.BAD:
        return Sample(None, Quality.BAD, Reason.DEVICE_FAULT, received, source, raw)
    reason = Reason.OK if status >> 30 == 0 else Reason.SERVER_UNCERTAIN
    if value is None:
        return bad(Reason.NOT_A_NUMBER, received, raw)
    if definition.type == "bool":
        return Sample(bool(value), quality_of(reason), reason, received, source, raw)
    if definition.type == "text":
        return Sample(str(value), quality_of(reason), reason, received, source, raw)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Sample(None, Quality.BAD, Reason.NOT_A_NUMBER, received, source, raw)
    number = value * definition.scale + definition.offset
    if definition.range is not None and not definition.range[0] <= number <= definition.range[1]:
        return Sample(None, Quality.BAD, Reason.OUT_OF_RANGE, received, source, raw)
    shown = number * signal.factor + signal.bias
    if not math.isfinite(shown):
        return Sample(None, Quality.BAD, Reason.NOT_A_NUMBER, received, source, raw)
    return Sample(shown, quality_of(reason), reason, received, source, raw)


def _raw(definition: OpcUaSignal, signal: Signal, value: Value, whole: bool) -> Value:
    if definition.type != "number":
        return value
    number = math.nan if isinstance(value, str | bool) or value is None else value
    raw = ((number - signal.bias) / signal.factor - definition.offset) / definition.scale
    if not math.isfinite(raw):
        raise LinkError(f"{value!r} is not a number that can be written")
    return round(raw) if whole else raw


def _equal(read: Value, written: Value, step: float) -> bool:
    if isinstance(read, int | float) and isinstance(written, int | float):
        return math.isclose(read, written, rel_tol=1e-6, abs_tol=max(step / 2, 1e-9) * (1 + 1e-6))
    return read == written
