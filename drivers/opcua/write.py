"""Writes: a value in the type of its node, checked before it is sent, its status kept, read back after.

Type and access of every writable node are read at connect, so that a write in need costs one round trip and its
read-back. A node that may not be written is asked once more before the write is refused.
"""

import asyncio
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from config.errors import LinkError
from config.sample import Value
from config.signals import Signal
from drivers.opcua import reading
from drivers.opcua.connection import Connection
from drivers.opcua.errors import decoding, explained, status_name
from drivers.opcua.items import Item, Items
from drivers.port import WriteResult

READ_BACK_AFTER_S: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Waits before each look at what was written: a PLC shows it after its next cycle."""
WRITE_BIT: Final = 0x02
"""CurrentWrite in AccessLevel and UserAccessLevel (OPC 10000-3, 8.57)."""
FLOAT_ROUNDING: Final = 1e-6
"""By how much a value may change on its way through a Float of seven digits."""
DOUBLE_ROUNDING: Final = 1e-15
_INTEGERS: Final = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}
_FLOATS: Final = (ua.VariantType.Float, ua.VariantType.Double)
_ATTRIBUTES: Final = (
    AttributeIds.DataType,
    AttributeIds.ValueRank,
    AttributeIds.AccessLevel,
    AttributeIds.UserAccessLevel,
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a writable node takes. ``kind`` is ``None`` where its data type names no single type of value."""

    kind: ua.VariantType | None
    array: bool
    writable: bool


class Writer:
    """Writes to the nodes of one link. ``statuses`` holds the last status of each signal's write."""

    def __init__(self, items: Items, timeout: float) -> None:
        self._items = items
        self._timeout = timeout
        self._targets: dict[int, Target] = {}
        self.statuses: dict[str, str] = {}

    async def prepare(self, connection: Connection) -> None:
        """Reads type and access of the writable nodes. Raises what asyncua raises."""
        writable = [item for item in self._items.all if item.signal.writable]
        targets = await self._read_targets(connection, writable)
        self._targets = {item.signal.index: target for item, target in zip(writable, targets, strict=True)}

    async def write(self, connection: Connection, item: Item, value: Value) -> WriteResult:
        """Writes and reads back. Never raises: what went wrong stands in the result."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._write(connection, item, value)
        except (LinkError, OSError, TimeoutError, UaError) as error:
            text = explained(error)
            self.statuses.setdefault(item.signal.name, text)
            return WriteResult(False, None, text)

    async def _write(self, connection: Connection, item: Item, value: Value) -> WriteResult:
        signal = item.signal
        self.statuses.pop(signal.name, None)
        target = self._targets.get(signal.index)
        if target is None or not target.writable:
            [target] = await self._read_targets(connection, [item])
            self._targets[signal.index] = target
        if not target.writable:
            raise LinkError(
                f"the server does not let this user write {reading.definition_of(signal).node}: it is read-only, or the"
                " user lacks the right"
            )
        if target.array:
            raise LinkError(f"{reading.definition_of(signal).node} is an array; only single values can be written")
        kind = target.kind if target.kind is not None else await self._kind_of_value(connection, item)
        variant = ua.Variant(to_type(signal, value, kind), kind)
        # Many servers refuse a status or a time beside the value (BadWriteNotSupported).
        data = ua.DataValue(variant, None)
        with decoding():
            [status] = await connection.client.uaclient.write_attributes([item.node_id], [data], AttributeIds.Value)
        name = status_name(status.value)
        self.statuses[signal.name] = name
        if not status.is_good():
            return WriteResult(False, None, f"the server answered {name}")
        return await self._read_back(connection, item, value, kind, "" if status.value == 0 else f" ({name})")

    async def _read_back(
        self, connection: Connection, item: Item, value: Value, kind: ua.VariantType, note: str
    ) -> WriteResult:
        loop = asyncio.get_running_loop()
        step = _step(item.signal, kind)
        shown: Value = None
        for wait in READ_BACK_AFTER_S:
            await asyncio.sleep(wait)
            [data] = await connection.read_items([item])
            sample = self._items.show(item, data, loop.time())
            shown = sample.value
            if sample.good and equal(shown, value, step):
                return WriteResult(True, shown, note.strip())
        return WriteResult(False, shown, f"wrote {value!r}{note}, read back {shown!r} ({sample.reason})")

    async def _kind_of_value(self, connection: Connection, item: Item) -> ua.VariantType:
        [present] = await connection.read_items([item])
        if present.Value is None or present.Value.Value is None:
            raise LinkError("the node has no value and its data type names no single type, so none can be written")
        kind = present.Value.VariantType
        assert isinstance(kind, ua.VariantType)
        return kind

    async def _read_targets(self, connection: Connection, items: Sequence[Item]) -> list[Target]:
        values = await connection.read([(item.node_id, attribute) for item in items for attribute in _ATTRIBUTES])
        targets: list[Target] = []
        for start in range(0, len(values), len(_ATTRIBUTES)):
            data_type, rank, access, user_access = (
                value.Value.Value if value.Value is not None else None
                for value in values[start : start + len(_ATTRIBUTES)]
            )
            levels = [level for level in (access, user_access) if isinstance(level, int)]
            targets.append(
                Target(
                    await self._kind(connection.client, data_type) if isinstance(data_type, ua.NodeId) else None,
                    isinstance(rank, int) and rank >= 0,
                    # A server that tells no level leaves it to the write itself.
                    all(level & WRITE_BIT for level in levels),
                )
            )
        return targets

    async def _kind(self, client: Client, data_type: ua.NodeId) -> ua.VariantType | None:
        """The type of value that a data type stands for, looked up among its supertypes where it is no built-in one."""
        with decoding():
            try:
                async with asyncio.timeout(self._timeout):
                    kind = await data_type_to_variant_type(Node(client.uaclient.session, data_type))
            except (UaStatusCodeError, ValueError):
                # A type of the server's own that leads to no built-in one: the value in place tells more.
                return None
        return kind if kind is not ua.VariantType.Variant else None


def to_type(signal: Signal, value: Value, kind: ua.VariantType) -> Value:
    """A value as the node's type wants it. Raises ``LinkError`` for one that the node or the profile cannot take."""
    definition = reading.definition_of(signal)
    if definition.type == "bool":
        if not isinstance(value, bool):
            raise LinkError(f"{value!r} is neither on nor off")
        if kind is ua.VariantType.Boolean:
            return value
        if kind in _INTEGERS:
            return int(value)
        raise LinkError(f"the node is a {kind.name}, which is neither on nor off")
    if definition.type == "text":
        if not isinstance(value, str) or kind is not ua.VariantType.String:
            raise LinkError(f"{value!r} cannot be written to a node of type {kind.name}")
        return value
    if isinstance(value, str | bool) or value is None or not math.isfinite(value):
        raise LinkError(f"{value!r} is not a number that can be written")
    declared = (value - signal.bias) / signal.factor
    _check_range(declared, definition.range, definition.unit)
    raw = (declared - definition.offset) / definition.scale
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        if not low <= round(raw) <= high:
            raise LinkError(f"{value!r} is {raw:g} on the wire, and a {kind.name} takes {low} to {high}")
        return round(raw)
    if kind not in _FLOATS:
        raise LinkError(f"the node is a {kind.name}, which takes no number")
    if kind is ua.VariantType.Float:
        try:
            struct.pack("<f", raw)
        except OverflowError as error:
            raise LinkError(f"{value!r} is {raw:g} on the wire, more than a Float takes") from error
    return raw


def equal(read: Value, written: Value, step: float) -> bool:
    """True when what was read is what was written, as far as ``step`` can tell; 0 for a node that holds floats."""
    if isinstance(read, bool) or isinstance(written, bool):
        return read is written
    if isinstance(read, int | float) and isinstance(written, int | float):
        if step:
            # Half a step, and what the arithmetic of a Double leaves over.
            return abs(read - written) <= step / 2 * (1 + 1e-6) + abs(written) * DOUBLE_ROUNDING
        return math.isclose(read, written, rel_tol=FLOAT_ROUNDING, abs_tol=1e-9)
    return read == written


def _check_range(declared: float, limits: tuple[float, float] | None, unit: str) -> None:
    if limits is None:
        return
    slack = 1e-9 * max(abs(limits[0]), abs(limits[1]))
    if not limits[0] - slack <= declared <= limits[1] + slack:
        raise LinkError(f"{declared:g} {unit} is outside the profile's range of {limits[0]:g} to {limits[1]:g}")


def _step(signal: Signal, kind: ua.VariantType) -> float:
    """The smallest difference that the node can show, in the signal's unit."""
    definition = reading.definition_of(signal)
    return abs(definition.scale * signal.factor) if kind in _INTEGERS and definition.type == "number" else 0.0
