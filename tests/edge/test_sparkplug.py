"""The payload on the wire, against bytes worked out by hand from the specification's schema."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.sample import Value
from edge import sparkplug
from edge.sparkplug import BAD, GOOD, DataType, MetricValue

_VALUES = st.one_of(
    st.tuples(st.just(DataType.DOUBLE), st.floats(allow_nan=False)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(st.just(DataType.STRING), st.text(max_size=50)),
    st.tuples(st.just(DataType.UINT64), st.integers(0, 2**64 - 1)),
    st.tuples(st.sampled_from(list(DataType)), st.none()),
)


def test_a_payload_has_the_bytes_of_the_specification() -> None:
    payload = sparkplug.Payload(timestamp=1, seq=2)
    sparkplug.add_metric(payload, DataType.DOUBLE, 1.5, 3, name="a", alias=7, birth=True)
    metric = bytes([0x0A, 1]) + b"a" + bytes([0x10, 7, 0x18, 3, 0x20, 10, 0x69]) + struct.pack("<d", 1.5)
    expected = bytes([0x08, 1, 0x12, len(metric)]) + metric + bytes([0x18, 2])
    assert payload.SerializeToString() == expected


def test_births_carry_datatype_quality_and_unit() -> None:
    payload = sparkplug.Payload()
    sparkplug.add_metric(
        payload, DataType.DOUBLE, None, 5, name="turbidity", alias=1, quality=BAD, unit="NTU", birth=True
    )
    [metric] = sparkplug.parse(payload.SerializeToString()).metrics
    assert metric.datatype == DataType.DOUBLE
    assert metric.is_null
    assert sparkplug.metric_quality(metric) == BAD
    assert list(metric.properties.keys) == ["Quality", "engUnit"]
    assert metric.properties.values[1].string_value == "NTU"


@given(st.lists(st.tuples(_VALUES, st.sampled_from([GOOD, BAD, sparkplug.STALE])), max_size=20))
def test_every_value_comes_back_as_it_was_sent(values: list[tuple[tuple[DataType, Value], int]]) -> None:
    sent = [MetricValue(i, kind, value, 1000 + i, quality) for i, ((kind, value), quality) in enumerate(values)]
    metrics = sparkplug.parse(sparkplug.encode_metrics(sent)).metrics
    assert [(m.alias, sparkplug.metric_value(m), m.timestamp, sparkplug.metric_quality(m)) for m in metrics] == [
        (one.alias, one.value, one.time_ms, one.quality) for one in sent
    ]


def test_a_negative_int32_comes_back_negative() -> None:
    payload = sparkplug.Payload()
    metric = payload.metrics.add(datatype=int(DataType.INT32), int_value=(1 << 32) - 5)
    assert sparkplug.metric_value(metric) == -5


@pytest.mark.parametrize("data", [b"\xff", b"not a payload", b"\x12\x7f"])
def test_bytes_that_are_no_payload_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a Sparkplug B payload"):
        sparkplug.parse(data)


def test_topics_are_those_of_the_specification() -> None:
    assert sparkplug.topic("g", "NBIRTH", "n") == "spBv1.0/g/NBIRTH/n"
    assert sparkplug.topic("g", "DDATA", "n", "d") == "spBv1.0/g/DDATA/n/d"
