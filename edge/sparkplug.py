"""Sparkplug B 3.0 on the wire: topics, datatypes, and the payload as protobuf.

The descriptor is built here from the specification's schema (Sparkplug 3.0.0, section 6.4.1; the fields that
Penstock uses), so that neither a compiler nor generated code is needed.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from config.sample import Value
from edge.json_text import held

NAMESPACE: Final = "spBv1.0"
GOOD, STALE, BAD = 192, 500, 0
"""Values of the Quality property (tck-id-payloads-propertyset-quality-value-value)."""


class DataType(IntEnum):
    """The Sparkplug datatypes in use (Sparkplug 3.0.0, 6.4.16)."""

    INT32 = 3
    INT64 = 4
    UINT64 = 8
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


class Metric(NamedTuple):
    """One metric that is born: ``device`` is "" for the node; ``unit`` "" where there is none."""

    device: str
    name: str
    datatype: DataType
    unit: str


class MetricValue(NamedTuple):
    """One value to send: ``time_ms`` UTC, ``quality`` 192, 500 or 0; ``value`` ``None`` is sent as null."""

    alias: int
    datatype: DataType
    value: Value
    time_ms: int
    quality: int


def _field(name: str, number: int, kind: int, label: int = 1, type_name: str = "", oneof: int | None = None) -> Any:
    field = descriptor_pb2.FieldDescriptorProto(name=name, number=number, type=kind, label=label)  # type: ignore[arg-type]
    if type_name:
        field.type_name = type_name
    if oneof is not None:
        field.oneof_index = oneof
    return field


def _payload_class() -> Any:
    """Builds ``Payload`` with ``Metric``, ``PropertySet`` and ``PropertyValue``."""
    double, float32, uint64, boolean, text, message, data, uint32 = 1, 2, 4, 8, 9, 11, 12, 13
    repeated = 3
    root = ".penstock.sparkplug.Payload"
    payload = descriptor_pb2.DescriptorProto(name="Payload")
    value = descriptor_pb2.DescriptorProto(name="PropertyValue")
    value.oneof_decl.add(name="value")
    value.field.extend(
        [
            _field("type", 1, uint32),
            _field("is_null", 2, boolean),
            _field("int_value", 3, uint32, oneof=0),
            _field("string_value", 8, text, oneof=0),
        ]
    )
    properties = descriptor_pb2.DescriptorProto(name="PropertySet")
    properties.field.extend(
        [_field("keys", 1, text, repeated), _field("values", 2, message, repeated, f"{root}.PropertyValue")]
    )
    metric = descriptor_pb2.DescriptorProto(name="Metric")
    metric.oneof_decl.add(name="value")
    metric.field.extend(
        [
            _field("name", 1, text),
            _field("alias", 2, uint64),
            _field("timestamp", 3, uint64),
            _field("datatype", 4, uint32),
            _field("is_historical", 5, boolean),
            _field("is_transient", 6, boolean),
            _field("is_null", 7, boolean),
            _field("properties", 9, message, 1, f"{root}.PropertySet"),
            _field("int_value", 10, uint32, oneof=0),
            _field("long_value", 11, uint64, oneof=0),
            _field("float_value", 12, float32, oneof=0),
            _field("double_value", 13, double, oneof=0),
            _field("boolean_value", 14, boolean, oneof=0),
            _field("string_value", 15, text, oneof=0),
            _field("bytes_value", 16, data, oneof=0),
        ]
    )
    payload.nested_type.extend([value, properties, metric])
    payload.field.extend(
        [
            _field("timestamp", 1, uint64),
            _field("metrics", 2, message, repeated, f"{root}.Metric"),
            _field("seq", 3, uint64),
            _field("uuid", 4, text),
            _field("body", 5, data),
        ]
    )
    file = descriptor_pb2.FileDescriptorProto(
        name="penstock/sparkplug.proto", package="penstock.sparkplug", syntax="proto2"
    )
    file.message_type.append(payload)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("penstock.sparkplug.Payload"))


Payload: Final[Any] = _payload_class()

_VALUE_FIELD: Final = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.UINT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}


def topic(group: str, kind: str, node: str, device: str = "") -> str:
    """``spBv1.0/<group>/<kind>/<node>[/<device>]``."""
    return f"{NAMESPACE}/{group}/{kind}/{node}" + (f"/{device}" if device else "")


def add_metric(
    payload: Any,
    datatype: DataType,
    value: Value,
    time_ms: int,
    *,
    name: str = "",
    alias: int | None = None,
    quality: int | None = None,
    unit: str = "",
    birth: bool = False,
) -> None:
    """Adds one metric to a payload. ``birth``: with name, datatype and unit, as births demand."""
    metric = payload.metrics.add()
    if name:
        metric.name = name
    if alias is not None:
        metric.alias = alias
    metric.timestamp = time_ms
    if birth:
        metric.datatype = int(datatype)
    if value is None:
        metric.is_null = True
    else:
        setattr(metric, _VALUE_FIELD[datatype], _coerced(datatype, value))
    if quality is not None:
        _add_property(metric, "Quality", DataType.INT32, quality)
    if birth and unit:
        _add_property(metric, "engUnit", DataType.STRING, unit)


def _add_property(metric: Any, key: str, datatype: DataType, value: int | str) -> None:
    metric.properties.keys.append(key)
    entry = metric.properties.values.add()
    entry.type = int(datatype)
    if isinstance(value, str):
        entry.string_value = value
    else:
        entry.int_value = value


def _coerced(datatype: DataType, value: Value) -> Value:
    match datatype:
        case DataType.BOOLEAN:
            return bool(value)
        case DataType.STRING:
            return held(str(value))
        case DataType.DOUBLE:
            return float(value)  # type: ignore[arg-type]
        case _:
            return int(value)  # type: ignore[arg-type]


def encode_metrics(values: Iterable[MetricValue]) -> bytes:
    """The metrics of one record: a payload without timestamp and seq, which are added when it is sent."""
    payload = Payload()
    for one in values:
        # Good is what a receiver assumes; the property is sent when it is not.
        quality = None if one.quality == GOOD else one.quality
        add_metric(payload, one.datatype, one.value, one.time_ms, alias=one.alias, quality=quality)
    data: bytes = payload.SerializeToString()
    return data


def parse(data: bytes) -> Any:
    """A payload. Raises ``ValueError`` for bytes that are none."""
    try:
        payload: Message = Payload.FromString(data)
    except DecodeError as error:
        raise ValueError("not a Sparkplug B payload") from error
    return payload


def metric_value(metric: Any) -> Value:
    """The value of a decoded metric, ``None`` when it is null."""
    if metric.is_null or metric.WhichOneof("value") is None:
        return None
    value: Value = getattr(metric, metric.WhichOneof("value"))
    if metric.datatype == DataType.INT32 and isinstance(value, int) and value >= 1 << 31:
        return value - (1 << 32)
    return value


def metric_quality(metric: Any) -> int:
    """The Quality property of a decoded metric; good when it has none."""
    for key, value in zip(metric.properties.keys, metric.properties.values, strict=False):
        if key == "Quality":
            return int(value.int_value)
    return GOOD
