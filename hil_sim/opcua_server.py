"""An OPC UA server for one link: the nodes of its devices' profiles, fed five times a second.

No security and no users: it stands for a plant PLC inside a cabinet network, on the loopback only.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from config.profile import OpcUaSignal
from config.sample import Value
from config.signals import Signal
from hil_sim.faults import Faults
from hil_sim.station import Point

REFRESH_S: Final = 0.2
STOP_TIMEOUT_S: Final = 5.0
_VARIANT: Final = {
    "bool": ua.VariantType.Boolean,
    "number": ua.VariantType.Double,
    "text": ua.VariantType.String,
}


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

    ``refuse(True)`` closes the port and drops the sessions.
    """

    def __init__(
        self, link: str, signals: Iterable[Signal], points: Mapping[str, Point], host: str = "127.0.0.1"
    ) -> None:
        self.link = link
        self.host = host
        self.port = 0
        self.silent: set[str] = set()
        self.faults = Faults("link of OPC UA")
        self._nodes = [_Node(signal, points[signal.name]) for signal in signals]
        self._server = Server()
        self._listening = False
        self._publishing = False

    async def start(self) -> None:
        """Builds the address space and opens a free port."""
        server = self._server
        await server.init()
        server.set_endpoint(f"opc.tcp://{self.host}:{self.port}/")
        server.set_server_name("Penstock simulated PLC")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        # Folders get numbers from asyncua; in a namespace of their own they meet no identifier of a profile.
        own = await server.register_namespace("urn:penstock:simulator")
        folders: dict[str, Any] = {}
        for node in self._nodes:
            index = await server.register_namespace(node.definition.namespace)
            if node.device not in folders:
                folders[node.device] = await server.nodes.objects.add_object(own, node.device)
            node.node_id = ua.NodeId.from_string(f"ns={index};{node.definition.node}")
            name = ua.QualifiedName(node.signal.field, index)
            kind = _VARIANT[node.definition.type]
            empty = {"bool": False, "number": 0.0, "text": ""}[node.definition.type]
            variable = await folders[node.device].add_variable(node.node_id, name, empty, varianttype=kind)
            if node.point.set is not None:
                await variable.set_writable()
                server.set_attribute_value_setter(node.node_id, self._setter(node))
        await self.refresh()
        await server.start()
        assert server.bserver is not None
        self.port = server.bserver.port
        self._listening = True

    async def stop(self) -> None:
        """Closes the port and ends the sessions."""
        if self._server.bserver is None:
            return
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
