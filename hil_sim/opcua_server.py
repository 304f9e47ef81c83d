"""An OPC UA server for one link: the nodes of its devices' profiles, fed five times a second.

It stands for a plant PLC, on the loopback only. What the site file asks of the link is what it offers: a policy and
mode and nothing else, the user of that name and nobody else.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from config.link import OpcUaLink
from config.profile import OpcUaSignal
from config.sample import Value
from config.signals import Signal
from hil_sim.faults import Faults
from hil_sim.opcua_security import secure
from hil_sim.station import Point

REFRESH_S: Final = 0.2
STOP_TIMEOUT_S: Final = 5.0
FOREIGN_OFFSET: Final = 1000.0
"""By so much the numbers of a foreign namespace differ from ours: what a client with an old index would read."""
_VARIANT: Final = {
    "bool": ua.VariantType.Boolean,
    "number": ua.VariantType.Double,
    "text": ua.VariantType.String,
}
_EMPTY: Final[dict[ua.VariantType, Any]] = {
    ua.VariantType.Boolean: False,
    ua.VariantType.Double: 0.0,
    ua.VariantType.String: "",
}


@dataclass(frozen=True, slots=True)
class OpcUaOptions:
    """How OPC UA links are served, beside what the site file says of them.

    ``fixed_ports``: on the port of the link's url instead of a free one. ``pki``: where the server's certificate is
    kept, and the certificates of clients that it trusts (``trusted``); without it every client is trusted.
    """

    fixed_ports: bool = False
    pki: Path | None = None


class _Node:
    """A signal and its node."""

    def __init__(self, signal: Signal, point: Point) -> None:
        assert isinstance(signal.definition, OpcUaSignal)
        self.device = signal.device
        self.signal = signal
        self.definition: OpcUaSignal = signal.definition
        self.point = point
        self.node_id = ua.NodeId()
        self.last: tuple[Value, bool] | None = None

    def variant(self, value: Value) -> ua.Variant:
        """The value as it stands on the server, in the unit that the profile declares."""
        kind = _VARIANT[self.definition.type]
        if value is None:
            return ua.Variant(None, ua.VariantType.Null)
        if self.definition.type != "number":
            return ua.Variant(value, kind)
        declared = (float(value) - self.signal.bias) / self.signal.factor
        if self.definition.rollover is not None:
            declared %= self.definition.rollover
        return ua.Variant((declared - self.definition.offset) / self.definition.scale, kind)

    def canonical(self, value: Any) -> Value:
        """The way back, for a client's write."""
        if self.definition.type != "number":
            plain: Value = value
            return plain
        declared = float(value) * self.definition.scale + self.definition.offset
        return declared * self.signal.factor + self.signal.bias


class OpcUaServer:
    """One endpoint. A device marked silent gives status BadNoCommunication: the PLC has lost its field bus.

    ``refuse(True)`` closes the port and drops the sessions. ``pki`` holds the server's certificate and the clients' it
    trusts. ``port`` 0 takes a free one; it stays the same from then on. ``produced`` counts what ``churn`` changed.
    """

    def __init__(
        self,
        name: str,
        link: OpcUaLink,
        signals: Iterable[Signal],
        points: Mapping[str, Point],
        pki: Path | None = None,
        port: int = 0,
    ) -> None:
        self.link = name
        self.host = "127.0.0.1"
        self.port = port
        self.silent: set[str] = set()
        self.faults = Faults("link of OPC UA")
        self.produced = 0
        self._settings = link
        self._pki = pki
        self._nodes = [_Node(signal, points[signal.name]) for signal in signals]
        self._server = Server()
        self._listening = False
        self._publishing = False
        self._churn_s: float | None = None
        self._churned = 0
        self._churned_at = 0.0

    async def start(self, foreign: int = 0) -> None:
        """Builds the address space and opens the port. ``foreign`` namespaces stand before those of the profiles."""
        server = self._server
        await server.init()
        server.set_endpoint(f"opc.tcp://{self.host}:{self.port}/")
        server.set_server_name("Penstock simulated PLC")
        await secure(server, self._settings, self._pki)
        # Folders get numbers from asyncua; in a namespace of their own they meet no identifier of a profile.
        own = await server.register_namespace("urn:penstock:simulator")
        for number in range(foreign):
            await self._add_foreign(await server.register_namespace(f"urn:penstock:simulator:foreign:{number}"))
        folders: dict[str, Any] = {}
        for node in self._nodes:
            index = await server.register_namespace(node.definition.namespace)
            if node.device not in folders:
                folders[node.device] = await server.nodes.objects.add_object(own, node.device)
            node.node_id = ua.NodeId.from_string(f"ns={index};{node.definition.node}")
            node.last = None
            name = ua.QualifiedName(node.signal.field, index)
            kind = _VARIANT[node.definition.type]
            variable = await folders[node.device].add_variable(node.node_id, name, _EMPTY[kind], varianttype=kind)
            if node.point.set is not None:
                await variable.set_writable()
                server.set_attribute_value_setter(node.node_id, self._setter(node))
        await self.refresh()
        await server.start()
        assert server.bserver is not None
        self.port = server.bserver.port
        self._listening = True

    async def _add_foreign(self, index: int) -> None:
        """The identifiers of the profiles with other values, as a stale namespace index would find them."""
        folder = await self._server.nodes.objects.add_object(index, "foreign")
        for node in self._nodes:
            kind = _VARIANT[node.definition.type]
            variant = node.variant(node.point.get())
            value = variant.Value + FOREIGN_OFFSET if isinstance(variant.Value, float) else _EMPTY[kind]
            place = ua.NodeId.from_string(f"ns={index};{node.definition.node}")
            await folder.add_variable(place, ua.QualifiedName(node.signal.field, index), value, varianttype=kind)

    async def restart(self, foreign: int = 0) -> None:
        """Goes down and comes back on the same port with a new address space, as a PLC after a download does."""
        await self.stop()
        self._server = Server()
        await self.start(foreign)

    def churn(self, period_s: float | None) -> None:
        """Gives each number a new value once a period, spread evenly over it; ``None`` ends that."""
        self._churn_s = period_s
        self._churned_at = time.monotonic()

    async def stop(self) -> None:
        """Closes the port and ends the sessions."""
        if self._server.bserver is None:
            return
        if self._server.bserver._server is not None:
            # asyncua closes its listener last: who comes back meanwhile would go on with a server that is gone.
            self._server.bserver._server.close()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._server.stop(), STOP_TIMEOUT_S)

    async def refuse(self, on: bool) -> None:
        """Behaves as a PLC that is gone, or is back on the same port."""
        sockets = self._server.bserver
        if sockets is None or on is (not self._listening):
            return
        if on:
            await sockets.stop()
        else:
            await sockets.start()
        self._listening = not on

    @property
    def endpoint(self) -> dict[str, object]:
        """What the site file says of this link."""
        return {"url": f"opc.tcp://{self.host}:{self.port}/"}

    @property
    def counts(self) -> dict[str, int]:
        """Nothing is counted here."""
        return {}

    def fault(self, name: str, on: bool, settings: Mapping[str, float], functions: tuple[int, ...] = ()) -> None:
        """Refused: the faults are those of Modbus; ``silence`` and ``refuse`` are what an OPC UA link can have."""
        self.faults.switch(name, on, settings, functions)

    def tick(self, now_s: float) -> None:
        """Nothing to do: what has changed is published in ``refresh``."""

    async def refresh(self) -> None:
        """Publishes what has changed since the last time."""
        now: Any = datetime.now(UTC)  # asyncua's own DateTime is a datetime, but only at run time
        if self._churn_s is not None:
            await self._churn(now, self._churn_s)
            return
        for node in self._nodes:
            silent = node.device in self.silent
            state = (node.point.get(), silent)
            if state == node.last:
                continue
            node.last = state
            if silent:
                status = StatusCodes.BadNoCommunication
            else:
                status = StatusCodes.BadSensorFailure if state[0] is None else StatusCodes.Good
            code = ua.StatusCode(ua.UInt32(status))
            data = ua.DataValue(node.variant(state[0]), code, SourceTimestamp=now, ServerTimestamp=now)
            self._publishing = node.point.set is not None
            try:
                await self._server.write_attribute_value(node.node_id, data)
            finally:
                self._publishing = False

    async def _churn(self, now: Any, period_s: float) -> None:
        numbers = [node for node in self._nodes if node.definition.type == "number"]
        if not numbers:
            return
        # At most one period's worth: a server that is too slow falls behind and does not try to catch up for ever.
        elapsed = time.monotonic() - self._churned_at
        due = min(int(len(numbers) * elapsed / period_s), len(numbers))
        self._churned_at += elapsed if due == len(numbers) else due * period_s / len(numbers)
        for _ in range(due):
            node = numbers[self._churned % len(numbers)]
            self._churned += 1
            variant = ua.Variant(float(self._churned), ua.VariantType.Double)
            node.last = None
            await self._server.write_attribute_value(
                node.node_id, ua.DataValue(variant, SourceTimestamp=now, ServerTimestamp=now)
            )
            self.produced += 1

    def _setter(self, node: _Node) -> Any:
        def store(stored: Any, attribute: AttributeIds, data: ua.DataValue) -> None:
            if self._publishing:
                # Our own: nothing is awaited between refresh and here, so no client can come between.
                self._publishing = False
            elif data.Value is not None:
                assert node.point.set is not None
                with suppress(ValueError):
                    # A refused value is not taken over; the next refresh shows the one that holds.
                    node.point.set(node.canonical(data.Value.Value))
                node.last = None
            stored.attributes[attribute].value = data

        return store
