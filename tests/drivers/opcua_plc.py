"""A small PLC on asyncua's own server, and what can go wrong with it; and the site that reads it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.common.utils import ServiceError
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from config.load import LoadedSite
from tests.drivers.sites import site_of

URI = "urn:test:plant"
STAMP = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
OVERFLOW = 0x480

NODES: dict[str, tuple[str, Any, ua.VariantType]] = {
    "level": ("s=LT-1.Level", 250.0, ua.VariantType.Double),
    "running": ("s=P-1.Running", True, ua.VariantType.Boolean),
    "name": ("s=Name", "清水池", ua.VariantType.String),
    "demand": ("i=2001", 0, ua.VariantType.Int16),
    "setpoint": ("i=2002", 0.0, ua.VariantType.Float),
    "run": ("i=2003", False, ua.VariantType.Boolean),
}


class Plc:
    """A server with one device's nodes; ``foreign`` namespaces stand before the device's own."""

    def __init__(self, port: int, foreign: int = 0, uri: str = URI) -> None:
        self.port, self._foreign, self._uri = port, foreign, uri
        self.server = Server()
        self.nodes: dict[str, Any] = {}
        self._held: set[ua.NodeId] = set()
        self.most_nodes_per_read = 0
        """0: as many as are asked for. More are refused, and not announced."""

    async def start(self) -> None:
        await self.server.init()
        # Its clock takes a second to stop.
        self.server.disable_clock(True)
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await self.build()
        await self.server.start()

    async def build(self) -> None:
        for number in range(self._foreign):
            other = await self.server.register_namespace(f"urn:test:other:{number}")
            # The same identifiers with other values: what a stale index would read.
            await self._add(other, 100.0 + number)
        self.nodes = await self._add(await self.server.register_namespace(self._uri))
        self.server.subscribe_server_callback(CallbackType.PreRead, self._before_read)

    async def _add(self, index: int, level: float | None = None) -> dict[str, Any]:
        nodes: dict[str, Any] = {}
        for name, (identifier, value, kind) in NODES.items():
            shown = level if level is not None and name == "level" else value
            node = ua.NodeId.from_string(f"ns={index};{identifier}")
            nodes[name] = await self.server.nodes.objects.add_variable(
                node, ua.QualifiedName(name, index), shown, varianttype=kind
            )
            await nodes[name].set_writable()
        return nodes

    async def stop(self) -> None:
        if self.server.bserver is not None:
            if self.server.bserver._server is not None:
                # asyncua closes its listener last: a client that came back meanwhile would keep this server alive.
                self.server.bserver._server.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.server.stop(), 5)

    async def show(self, name: str, value: Any, status: int = StatusCodes.Good, *, stamped: bool = False) -> None:
        """Publishes a value with a status; the kind stays that of the node unless there is no value."""
        variant = ua.Variant(None, ua.VariantType.Null) if value is None else ua.Variant(value, NODES[name][2])
        stamp: Any = STAMP if stamped else None
        data = ua.DataValue(variant, ua.StatusCode(ua.UInt32(status)), SourceTimestamp=stamp)
        if value is None:
            # This server writes no null to a node with a type; others show one until their first value.
            self.server.set_attribute_value_callback(self.nodes[name].nodeid, lambda node, attribute: data)
            return
        await self.server.write_attribute_value(self.nodes[name].nodeid, data)

    async def restore(self) -> None:
        """Everything as it was at the start; what the last test disturbed is forgotten."""
        self.hold_reads()
        self.most_nodes_per_read = 0
        service = self.server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))
        for name, (_, value, kind) in NODES.items():
            stored = self.server.iserver.aspace[self.nodes[name].nodeid].attributes[AttributeIds.Value]
            stored.value_callback = stored.value_setter = None
            stored.value = ua.DataValue(ua.Variant(value, kind))
            await self.nodes[name].set_writable()

    async def add(self, identifier: str, value: Any, kind: ua.VariantType) -> Any:
        """Adds a node to the running server."""
        index = self.nodes["level"].nodeid.NamespaceIndex
        place = ua.NodeId.from_string(f"ns={index};{identifier}")
        return await self.server.nodes.objects.add_variable(
            place, ua.QualifiedName(identifier, index), value, varianttype=kind
        )

    async def set_clock(self, now: datetime) -> None:
        """Puts the server's clock to a time, where it stands."""
        node = ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_CurrentTime))
        data: Any = ua.DataValue(ua.Variant(now.replace(tzinfo=None), ua.VariantType.DateTime))
        await self.server.write_attribute_value(node, data)

    async def value(self, name: str) -> Any:
        """What stands on the server."""
        data = self.server.iserver.aspace.read_attribute_value(self.nodes[name].nodeid, AttributeIds.Value)
        assert data.Value is not None
        return data.Value.Value

    def ignore_writes(self, name: str) -> None:
        """Writes of this node are answered with Good and change nothing."""
        self.server.set_attribute_value_setter(self.nodes[name].nodeid, lambda *_: None)

    # -- what can go wrong -------------------------------------------------------------------------------------

    @property
    def subscriptions(self) -> list[InternalSubscription]:
        """The subscriptions of all clients."""
        return list(self.server.iserver.subscription_service.subscriptions.values())

    async def lose(self, name: str, value: Any, *, kept: bool = False) -> None:
        """Publishes a value in a message that does not arrive; ``kept``: it can be sent again."""
        [subscription] = self.subscriptions
        await self.show(name, value)
        lost = subscription._pop_publish_result()
        assert lost.NotificationMessage.NotificationData
        if not kept:
            del subscription._not_acknowledged_results[lost.NotificationMessage.SequenceNumber]

    def cut(self) -> None:
        """Breaks every connection."""
        for transport in list(self.server.iserver.asyncio_transports):
            transport.abort()

    def fall_silent(self) -> None:
        """Stops the messages and keep-alives of every subscription, and nothing else."""
        for subscription in self.subscriptions:
            assert subscription._task is not None
            subscription._task.cancel()

    def forget_items(self) -> None:
        """Stops telling of changes; keep-alives go on as if there were none."""
        for subscription in self.subscriptions:
            subscription.monitored_item_srv.delete_all_monitored_items()

    def hold_reads(self, *names: str) -> None:
        """Reads of these nodes are not answered from now on."""
        self._held = {self.nodes[name].nodeid for name in names}

    async def _before_read(self, event: Any, _: Any) -> None:
        if 0 < self.most_nodes_per_read < len(event.request_params.NodesToRead):
            raise ServiceError(StatusCodes.BadTooManyOperations)
        while any(item.NodeId in self._held for item in event.request_params.NodesToRead):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@asynccontextmanager
async def plc(port: int, **settings: Any) -> AsyncIterator[Plc]:
    """A PLC that runs while the block does."""
    server = Plc(port, **settings)
    await server.start()
    try:
        yield server
    finally:
        server.hold_reads()
        await server.stop()


def plc_site(
    folder: Path,
    port: int,
    mode: str = "subscribe",
    signals: Mapping[str, Mapping[str, object]] | None = None,
    extra: Mapping[str, Mapping[str, object]] | None = None,
    **link: object,
) -> LoadedSite:
    """A site whose one link leads to the PLC.

    ``signals``: settings of single signals, ``link`` of the link; ``extra``: further signals of the profile.
    """
    fields: dict[str, dict[str, object]] = {
        name: {"namespace": URI, "node": identifier} for name, (identifier, _, _) in NODES.items()
    }
    fields["level"] |= {"unit": "cm", "range": [0, 500]}
    fields["demand"] |= {"unit": "%", "scale": 0.1, "writable": True}
    fields["setpoint"] |= {"unit": "L/s", "writable": True, "range": [0, 100]}
    fields["running"] |= {"type": "bool"}
    fields["run"] |= {"type": "bool", "writable": True}
    fields["name"] |= {"type": "text"}
    profile = {"protocol": "opcua", "signals": fields | dict(extra or {})}
    settings = {"type": "opcua", "url": f"opc.tcp://127.0.0.1:{port}/", "timeout": "1 s", "retry": "0.3 s"}
    device = {"link": "plc", "poll": "50 ms", "profile": profile, "signals": dict(signals or {})}
    return site_of(folder, {"plc": settings | {"mode": mode} | link}, {"PLC": device})
