"""Store to platform: connects, is born, sends what waits in order, and lets go of it once it is acknowledged.

Sparkplug data is QoS 0, which no broker acknowledges. So each group of messages is closed by a *checkpoint*, a
QoS 1 message on the same connection: MQTT keeps the order of a connection, so that the broker's acknowledgement of
the checkpoint says that it took everything before it. Acknowledged records still stay in the store for the
``resend_window``: when the connection breaks within it, they are sent again, marked historical, because a broker
that fails may lose what it took. Receivers drop what they already have by its identity (site, boot, sequence).
Events, receipts and commands are sent as JSON with QoS 1 besides.
"""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import ssl
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiomqtt
import structlog

from config.errors import LinkError, StoreError
from config.load import LoadedSite
from config.site import Uplink
from edge import rpc, sparkplug
from edge.forwarder.commands import Call, Commands
from edge.forwarder.session import REBIRTH, Message, Present, Session, identity_metrics
from edge.json_text import encoded
from edge.single_instance import single_instance
from edge.store import spool as spool_file
from edge.store.spool import Record, Spool

BATCH: Final = 50
"""Records between two checkpoints; more in flight make the client slower, not faster."""
POLL_S: Final = 0.1
"""How often the store is looked at for new records."""
PUBLISH_TIMEOUT_S: Final = 10.0
"""A message not taken, or not acknowledged, within this ends the connection: it is half-open."""
CONNECT_TIMEOUT_S: Final = 5.0
FAREWELL_S: Final = 1.0
"""How long an orderly end tries to announce itself."""
MAX_QUEUED_COMMANDS: Final = 64
"""Commands waiting to be answered; more are dropped by the client, and time out at their sender."""
COMMAND_INTERVAL_S: Final = 0.05
"""At most twenty commands a second are looked at."""
STATUS_S: Final = 1.0
STATUS_FILE: Final = "forwarder.json"

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class UplinkStatus:
    """What ``penstock status`` shows of the uplink."""

    broker: str
    connected: bool = False
    connects: int = 0
    since_utc: float | None = None
    sent: int = 0
    acknowledged: int = 0
    waiting: int = 0
    commands: int = 0
    last_error: str = ""
    pid: int = 0
    updated_utc: float = 0.0


async def run_forwarder(loaded: LoadedSite, state_dir: Path) -> None:
    """Runs until cancelled; without an uplink it has nothing to do but to be there."""
    uplink = loaded.site.uplink
    if uplink is None:
        log.warning("this site has no uplink: nothing is forwarded")
        await asyncio.Event().wait()
        return

    async def call(request: dict[str, Any]) -> dict[str, Any]:
        return await rpc.call(state_dir, request)

    with single_instance(state_dir, "forwarder"):
        forwarder = Forwarder(loaded, uplink, state_dir, call)
        try:
            await forwarder.run()
        finally:
            forwarder.close()


class Forwarder:
    """The process' state across connections."""

    def __init__(self, loaded: LoadedSite, uplink: Uplink, state_dir: Path, call: Call) -> None:
        self._site_id = loaded.site.site.id
        self._uplink = uplink
        self._state_dir = state_dir
        self._call = call
        self._spool = Spool(state_dir / spool_file.FILE_NAME)
        self._commands = Commands(loaded.site, state_dir, call)
        self._status = UplinkStatus(uplink.broker, pid=os.getpid())
        self._acknowledged: deque[tuple[int, float]] = deque()
        self._rebirth = asyncio.Event()
        self._base = f"penstock/{uplink.group}/{uplink.node}"

    async def run(self) -> None:
        """Connects, and again after every failure."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report())
            while True:
                try:
                    await self._one_connection()
                except* (
                    aiomqtt.MqttError,
                    OSError,
                    TimeoutError,
                    LinkError,
                    sqlite3.Error,
                    StoreError,
                ) as errors:
                    self._failed(errors)
                await asyncio.sleep(self._uplink.retry * random.uniform(0.5, 1.0))

    async def _one_connection(self) -> None:
        """A connection in a task of its own, because one that fails while it is ended replaces the cancellation."""
        connection = asyncio.get_running_loop().create_task(self._connection(), name="connection")
        try:
            await asyncio.wait({connection})
        finally:
            while not connection.done():
                connection.cancel()
                await asyncio.wait({connection}, timeout=FAREWELL_S)
        connection.result()

    def close(self) -> None:
        self._commands.close()
        self._spool.close()

    def _failed(self, errors: BaseExceptionGroup[BaseException]) -> None:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = str(error) or type(error).__name__
        if text != self._status.last_error or self._status.connected:
            log.warning("uplink down", broker=self._uplink.broker, error=text)
        self._status.connected, self._status.last_error = False, text

    async def _connection(self) -> None:
        self._register_identity()
        uplink = self._uplink
        session = Session(uplink.group, uplink.node, self._spool.next_bdseq(), self._spool.metrics())
        will = session.death_certificate(_now_ms())
        self._acknowledged.clear()
        async with (
            aiomqtt.Client(
                **_address(uplink),
                username=uplink.username,
                password=_password(uplink),
                identifier=f"penstock-{self._site_id}",
                protocol=aiomqtt.ProtocolVersion.V311,
                clean_session=True,
                will=aiomqtt.Will(will.topic, will.payload, qos=1),
                keepalive=round(uplink.keepalive),
                timeout=CONNECT_TIMEOUT_S,
                max_queued_incoming_messages=MAX_QUEUED_COMMANDS,
            ) as client,
        ):
            for filter_ in self._subscriptions():
                await client.subscribe(filter_, qos=1)
            self._status.connected, self._status.since_utc = True, time.time()
            self._status.connects += 1
            log.info("uplink up", broker=uplink.broker, bdseq=session.bdseq)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._receive(client))
                    group.create_task(self._deliver(client, session))
            except asyncio.CancelledError:
                # An orderly end says so before it goes; the broker sends no will after a DISCONNECT.
                with contextlib.suppress(aiomqtt.MqttError, OSError, TimeoutError):
                    async with asyncio.timeout(FAREWELL_S):
                        await self._publish(client, session.death_certificate(_now_ms()))
                raise
            finally:
                self._status.connected = False

    def _register_identity(self) -> None:
        devices = dict.fromkeys(metric.device for metric in self._spool.metrics().values())
        self._spool.register(identity_metrics(devices))

    def _subscriptions(self) -> list[str]:
        group, node = self._uplink.group, self._uplink.node
        return [
            sparkplug.topic(group, "NCMD", node),
            sparkplug.topic(group, "DCMD", node, "#"),
            f"{self._base}/request",
        ]

    # -- out ----------------------------------------------------------------------------------------------------

    async def _deliver(self, client: aiomqtt.Client, session: Session) -> None:
        await self._be_born(client, session)
        last_id = 0
        while True:
            records = self._spool.read(last_id, BATCH)
            # A metric is registered before its first record is written, and must be born before it is sent.
            if self._rebirth.is_set() or self._spool.newest_alias() != max(session.metrics, default=0):
                await self._be_born(client, session)
            if records:
                await self._send(client, session, records)
                last_id = records[-1].id
                self._acknowledged.append((last_id, time.monotonic()))
            self._let_go()
            if len(records) < BATCH:
                await asyncio.sleep(POLL_S)

    async def _be_born(self, client: aiomqtt.Client, session: Session) -> None:
        self._rebirth.clear()
        self._register_identity()
        session.metrics = self._spool.metrics()
        present, offline = await self._present(session)
        for message in session.births(present, _now_ms()):
            await self._publish(client, message)
        for device in offline:
            await self._publish(client, session.device_death(device, _now_ms()))

    async def _present(self, session: Session) -> tuple[dict[tuple[str, str], Present], list[str]]:
        """The values for the births, by the controller's image; none when it cannot be reached."""
        try:
            image = await self._call({"op": "image"})
        except LinkError:
            return {}, []
        quality = {"good": sparkplug.GOOD, "uncertain": sparkplug.STALE, "bad": sparkplug.BAD}
        present: dict[tuple[str, str], Present] = {}
        for signal in image["signals"].values():
            device, name = signal["metric"]
            present[device, name] = Present(signal["value"], quality[signal["quality"]])
        for tag, facts in image["dispensers"].items():
            for name, value in facts.items():
                present[tag, name] = Present(value, sparkplug.GOOD)
        offline = [tag for tag, device in image["devices"].items() if not device["online"] and tag in session.devices]
        return present, offline

    async def _send(self, client: aiomqtt.Client, session: Session, records: list[Record]) -> None:
        aliases = {(metric.device, metric.name): alias for alias, metric in session.metrics.items()}
        for record in records:
            for message in await self._messages(session, record, aliases):
                await self._publish(client, message)
            self._status.sent += 1
        await self._publish(client, self._checkpoint(records[-1]))
        self._status.acknowledged += len(records)

    async def _messages(self, session: Session, record: Record, aliases: dict[tuple[str, str], int]) -> list[Message]:
        """What a record is sent as."""
        live = record.time_ms >= session.born_ms
        match record.kind:
            case "data":
                if record.device not in session.dead:
                    return [session.data(record, aliases, _now_ms())]
                # A record of a device that is reported dead: alive for as long as it takes to say it.
                birth = session.device_birth(record.device, {}, _now_ms())
                data = session.data(record, aliases, _now_ms())
                return [birth, data, session.device_death(record.device, _now_ms())]
            case "online":
                if not live or record.device not in session.dead:
                    return [self._json(record, {"name": "online"})]
                present, _ = await self._present(session)
                return [
                    session.device_birth(record.device, present, _now_ms()),
                    self._json(record, {"name": "online"}),
                ]
            case "offline":
                death = [session.device_death(record.device, _now_ms())] if live else []
                return [*death, self._json(record, {"name": "offline"})]
            case _:
                return [self._json(record, json.loads(record.payload))]

    def _json(self, record: Record, body: dict[str, Any]) -> Message:
        kind = "event" if record.kind in ("online", "offline") else record.kind
        identity = {
            "site": self._site_id,
            "boot": record.boot,
            "sequence": record.sequence,
            "time_ms": record.time_ms,
            "subject": record.device,
        }
        payload = encoded({**body, **identity})
        return Message(f"{self._base}/{kind}", payload, 1)

    def _checkpoint(self, last: Record) -> Message:
        body = {"site": self._site_id, "boot": last.boot, "sequence": last.sequence, "time_ms": _now_ms()}
        return Message(f"{self._base}/checkpoint", json.dumps(body).encode(), 1)

    def _let_go(self) -> None:
        """Deletes what was acknowledged longer ago than the resend window."""
        settled: int | None = None
        horizon = time.monotonic() - self._uplink.resend_window
        while self._acknowledged and self._acknowledged[0][1] <= horizon:
            settled = self._acknowledged.popleft()[0]
        if settled is not None:
            self._spool.delete_through(settled)

    async def _publish(self, client: aiomqtt.Client, message: Message) -> None:
        await client.publish(message.topic, message.payload, qos=message.qos, timeout=PUBLISH_TIMEOUT_S)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # ``asyncio.wait_for`` of Python 3.11, with which the client awaits, loses a cancellation that comes in
            # the same loop step as the result.
            raise asyncio.CancelledError

    # -- in -----------------------------------------------------------------------------------------------------

    async def _receive(self, client: aiomqtt.Client) -> None:
        request_topic = f"{self._base}/request"
        async for message in client.messages:
            self._status.commands += 1
            payload = message.payload if isinstance(message.payload, bytes) else b""
            if str(message.topic) == request_topic:
                answer = await self._commands.answer(payload, _now_ms())
            else:
                refusal = await self._sparkplug_command(str(message.topic), payload)
                if refusal is None:
                    continue
                answer = refusal
            log.info("command from the platform", **answer)
            text = encoded({**answer, "site": self._site_id, "time_ms": _now_ms()})
            await self._publish(client, Message(f"{self._base}/answer", text, 1))
            await asyncio.sleep(COMMAND_INTERVAL_S)

    async def _sparkplug_command(self, topic: str, payload: bytes) -> dict[str, Any] | None:
        """Rebirth is obeyed; anything else would move water without a signature and is refused."""
        try:
            metrics = sparkplug.parse(payload).metrics
        except ValueError as error:
            return await self._commands.refuse("malformed", str(error), topic)
        if any(metric.name == REBIRTH and metric.boolean_value for metric in metrics):
            self._rebirth.set()
            return None
        names = ", ".join(metric.name or f"alias {metric.alias}" for metric in metrics) or "nothing"
        text = f"{names[:100]} cannot be written by Sparkplug: send a signed command to {self._base}/request"
        return await self._commands.refuse("unsigned", text, topic)

    # -- status -------------------------------------------------------------------------------------------------

    async def _report(self) -> None:
        path = self._state_dir / STATUS_FILE
        while True:
            try:
                self._status.waiting = self._spool.depth().rows
                self._status.updated_utc = time.time()
                fresh = path.with_suffix(".new")
                fresh.write_text(json.dumps(asdict(self._status)), "utf-8")
                fresh.replace(path)
            except (OSError, sqlite3.Error) as error:
                log.warning("the uplink status cannot be written", error=str(error))
            await asyncio.sleep(STATUS_S)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _address(uplink: Uplink) -> dict[str, Any]:
    """Host, port and TLS for the client. Raises ``LinkError`` when a TLS file cannot be used."""
    parts = urlsplit(uplink.broker)
    secure = parts.scheme == "mqtts"
    address: dict[str, Any] = {"hostname": parts.hostname, "port": parts.port or (8883 if secure else 1883)}
    if secure:
        try:
            context = ssl.create_default_context(cafile=str(uplink.ca_file) if uplink.ca_file else None)
            if uplink.cert_file is not None and uplink.key_file is not None:
                context.load_cert_chain(uplink.cert_file, uplink.key_file)
        except OSError as error:
            raise LinkError(f"a TLS file of the uplink cannot be used: {error}") from error
        address["tls_context"] = context
    return address


def _password(uplink: Uplink) -> str | None:
    if uplink.password_file is None:
        return None
    try:
        return uplink.password_file.read_text("utf-8").strip()
    except OSError as error:
        raise LinkError(f"the uplink's password_file cannot be read: {error}") from error
