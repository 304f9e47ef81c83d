"""Looks through a server's address space for a person who writes a profile: what is there, and how to name it.

Only reads. Objects and variables are followed along hierarchical references, each node once, within the limits below.
"""

import asyncio
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError

from config.errors import LinkError
from config.units import unit
from drivers.opcua import reading
from drivers.opcua.connection import Connection
from drivers.opcua.errors import decoding, status_name
from drivers.opcua.write import WRITE_BIT

MAX_NODES: Final = 5000
"""Nodes shown at most: a person looks at a part of a large server, chosen by its node."""
MAX_DEPTH: Final = 20
NODES_PER_BROWSE: Final = 50
_OBJECTS: Final = ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder))
_HAS_PROPERTY: Final = ua.NodeId(ua.Int32(ObjectIds.HasProperty))
_BUILT_IN: Final = 25
"""Data types up to this number are the built-in ones (OPC 10000-6, 5.1.2)."""
_KINDS: Final = {
    "Boolean": "bool",
    "String": "text",
    "LocalizedText": "text",
    **dict.fromkeys(
        ("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"), "number"
    ),
}
_ATTRIBUTES: Final = (
    AttributeIds.DataType,
    AttributeIds.ValueRank,
    AttributeIds.UserAccessLevel,
    AttributeIds.Value,
)
_READ_BIT: Final = 0x01


@dataclass(slots=True)
class Found:
    """One node. ``namespace`` and ``node`` as a profile gives them; the rest of a variable only."""

    name: str
    namespace: str
    node: str
    variable: bool
    data_type: str = ""
    kind: str = ""
    array: bool = False
    readable: bool = False
    writable: bool = False
    value: Any = None
    status: str = ""
    unit: str = ""
    range: tuple[float, float] | None = None
    children: list["Found"] = field(default_factory=list)

    def walk(self) -> Iterator["Found"]:
        """This node and all below, as they are shown."""
        yield self
        for child in self.children:
            yield from child.walk()

    def to_json(self) -> dict[str, Any]:
        """As JSON, for ``penstock opcua browse --json``."""
        shown: dict[str, Any] = {"name": self.name, "namespace": self.namespace, "node": self.node}
        if self.variable:
            shown |= {
                "data_type": self.data_type,
                "array": self.array,
                "readable": self.readable,
                "writable": self.writable,
                "value": _as_json(self.value),
                "status": self.status,
                "unit": self.unit,
                "range": list(self.range) if self.range is not None else None,
            }
        return shown | {"children": [child.to_json() for child in self.children]}


@dataclass(slots=True)
class _Place:
    """A node that was found, where it is, and what else is read of it."""

    found: Found
    node_id: ua.NodeId
    properties: dict[str, ua.NodeId] = field(default_factory=dict)


class Browser:
    """Browses over an open connection whose namespaces have been read."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._client = connection.client.uaclient
        self._timeout = timeout
        self._seen: set[ua.NodeId] = set()
        self._standard = True
        self._types: dict[ua.NodeId, str] = {}
        self.truncated = False

    async def browse(self, start: str = "", depth: int = MAX_DEPTH) -> Found:
        """The tree below a node (by default the Objects folder, without what all have). Raises ``LinkError``."""
        origin = self.node_id(start) if start else _OBJECTS
        self._standard = bool(start)
        with decoding():
            root = await self._root(origin)
            self._seen.add(origin)
            places, level = [root], [root]
            for _ in range(min(depth, MAX_DEPTH)):
                level = await self._below(level, MAX_NODES - len(places))
                places += level
                if not level:
                    break
            await self._describe([place for place in places if place.found.variable])
            return root.found

    def node_id(self, text: str) -> ua.NodeId:
        """A node as it is shown (``nsu=URI;s=...``) or as other tools write it (``ns=2;...``). Raises ``LinkError``."""
        match = re.fullmatch(r"(?:nsu=(?P<uri>.+?);)?(?P<rest>(?:ns=\d+;)?[isgb]=.+)", text)
        try:
            if match is None:
                raise ValueError
            if match["uri"] is None:
                return ua.NodeId.from_string(match["rest"])
            return ua.NodeId.from_string(f"ns={self._connection.namespaces.index(match['uri'])};{match['rest']}")
        except (ValueError, UaError) as error:
            raise LinkError(
                f"'{text}' is no node of this server: give it as shown, such as 'nsu=urn:x;s=Level'"
            ) from error

    def _named(self, node_id: ua.NodeId, name: str, variable: bool) -> Found:
        index = int(node_id.NamespaceIndex)
        namespaces = self._connection.namespaces
        namespace = namespaces[index] if index < len(namespaces) else f"namespace {index}"
        plain = ua.NodeId(node_id.Identifier, ua.Int16(0), node_id.NodeIdType).to_string()
        return Found(name, namespace, plain, variable)

    async def _root(self, origin: ua.NodeId) -> _Place:
        name, node_class = await self._connection.read(
            [(origin, AttributeIds.BrowseName), (origin, AttributeIds.NodeClass)],
        )
        if name.Value is None or name.Value.Value is None:
            raise LinkError(f"the server has no node {origin.to_string()}: {status_name(reading.status_of(name))}")
        variable = node_class.Value is not None and node_class.Value.Value == ua.NodeClass.Variable
        return _Place(self._named(origin, str(name.Value.Value.Name), variable), origin)

    async def _below(self, level: Sequence[_Place], room: int) -> list[_Place]:
        found: list[_Place] = []
        for start in range(0, len(level), NODES_PER_BROWSE):
            batch = level[start : start + NODES_PER_BROWSE]
            for place, references in zip(batch, await self._references(batch), strict=True):
                for reference in references:
                    node_id = reference.NodeId
                    child = ua.NodeId(node_id.Identifier, node_id.NamespaceIndex, node_id.NodeIdType)
                    if reference.ReferenceTypeId == _HAS_PROPERTY:
                        place.properties[str(reference.BrowseName.Name)] = child
                        continue
                    if child in self._seen or (child.NamespaceIndex == 0 and not self._standard):
                        continue
                    if len(found) >= room:
                        self.truncated = True
                        return found
                    self._seen.add(child)
                    variable = reference.NodeClass == ua.NodeClass.Variable
                    named = self._named(child, str(reference.BrowseName.Name), variable)
                    place.found.children.append(named)
                    found.append(_Place(named, child))
        return found

    async def _references(self, places: Sequence[_Place]) -> list[list[ua.ReferenceDescription]]:
        descriptions = [
            ua.BrowseDescription(
                NodeId=place.node_id,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences)),
                IncludeSubtypes=True,
                NodeClassMask=ua.UInt32(ua.NodeClass.Object | ua.NodeClass.Variable),
                ResultMask=ua.UInt32(ua.BrowseResultMask.All),
            )
            for place in places
        ]
        async with asyncio.timeout(self._timeout):
            results = await self._client.browse(ua.BrowseParameters(NodesToBrowse=descriptions))
        references = [list(result.References or []) for result in results]
        for result, sofar in zip(results, references, strict=True):
            point = result.ContinuationPoint
            while point and len(sofar) < MAX_NODES:
                async with asyncio.timeout(self._timeout):
                    [more] = await self._client.browse_next(ua.BrowseNextParameters(ContinuationPoints=[point]))
                sofar.extend(more.References or [])
                point = more.ContinuationPoint
        return references

    async def _describe(self, places: Sequence[_Place]) -> None:
        """Type, access, value, unit and range of the variables."""
        wanted = [(place.node_id, attribute) for place in places for attribute in _ATTRIBUTES]
        values = await self._connection.read(wanted)
        for place, start in zip(places, range(0, len(values), len(_ATTRIBUTES)), strict=True):
            data_type, rank, access, value = values[start : start + len(_ATTRIBUTES)]
            found = place.found
            found.data_type = await self._type_name(_plain(data_type))
            found.kind = _KINDS.get(found.data_type, "")
            shape = _plain(rank)
            found.array = isinstance(shape, int) and shape >= 0
            level = _plain(access)
            found.readable = isinstance(level, int) and bool(level & _READ_BIT)
            found.writable = isinstance(level, int) and bool(level & WRITE_BIT)
            found.value = _plain(value)
            found.status = status_name(reading.status_of(value))
        await self._measure([place for place in places if place.properties])

    async def _measure(self, places: Sequence[_Place]) -> None:
        asked = [
            (place, name) for place in places for name in ("EngineeringUnits", "EURange") if name in place.properties
        ]
        values = await self._connection.read([(place.properties[name], AttributeIds.Value) for place, name in asked])
        for (place, _), data in zip(asked, values, strict=True):
            value = _plain(data)
            if isinstance(value, ua.EUInformation):
                place.found.unit = str(value.DisplayName.Text or "")
            elif isinstance(value, ua.Range) and -math.inf < value.Low < value.High < math.inf:
                place.found.range = (float(value.Low), float(value.High))

    async def _type_name(self, node_id: Any) -> str:
        if not isinstance(node_id, ua.NodeId):
            return "?"
        if node_id not in self._types:
            number = node_id.Identifier
            if node_id.NamespaceIndex == 0 and isinstance(number, int) and number <= _BUILT_IN:
                self._types[node_id] = ua.VariantType(number).name if number < _BUILT_IN - 1 else "BaseDataType"
            else:
                [name] = await self._connection.read([(node_id, AttributeIds.BrowseName)])
                plain = _plain(name)
                self._types[node_id] = str(plain.Name) if plain is not None else node_id.to_string()
        return self._types[node_id]


def profile_of(root: Found, source: str) -> dict[str, Any]:
    """A profile of every single value that a signal can hold, ready to be checked by whoever knows the plant."""
    signals: dict[str, dict[str, Any]] = {}
    for parent, found in _with_parents(root, None):
        if not found.variable or found.array or not found.kind or not found.readable:
            continue
        signal: dict[str, Any] = {"namespace": found.namespace, "node": found.node}
        if found.kind != "number":
            signal["type"] = found.kind
        known = _known_unit(found.unit) if found.kind == "number" else ""
        if known:
            signal["unit"] = known
        if found.range is not None and found.kind == "number":
            signal["range"] = list(found.range)
        notes = [f"in {found.unit}"] if found.unit and not known else []
        # That the server would take a write is no reason to allow one.
        notes += ["the server lets it be written"] if found.writable else []
        if notes:
            signal["description"] = ", ".join(notes)
        signals[_field_name(found, parent, signals)] = signal
    return {"protocol": "opcua", "title": root.name, "source": source, "verified": "unverified", "signals": signals}


def _with_parents(found: Found, parent: Found | None) -> Iterator[tuple[Found | None, Found]]:
    yield parent, found
    for child in found.children:
        yield from _with_parents(child, found)


def _field_name(found: Found, parent: Found | None, taken: dict[str, Any]) -> str:
    name = _snake(found.name)
    if name in taken and parent is not None:
        name = f"{_snake(parent.name)}_{name}"
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _snake(name: str) -> str:
    """``LT101.Level-PV`` as ``lt101_level_pv``; what has no letter of our alphabet is a ``signal``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return plain if re.match(r"[a-z]", plain) else f"signal_{plain}".rstrip("_")


def _known_unit(symbol: str) -> str:
    try:
        return unit(symbol).symbol
    except ValueError:
        return ""


def _as_json(value: Any) -> bool | int | float | str | None:
    """A value as JSON can have it: no number where there is none, and an array as people write it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _plain(data: ua.DataValue) -> Any:
    return data.Value.Value if data.Value is not None else None
