"""Births, data and deaths with their sequence numbers, by the MUSTs of Sparkplug 3.0.0."""

from typing import Any

from edge import sparkplug
from edge.forwarder.session import BDSEQ, REBIRTH, RECORD_SEQUENCE, Message, Present, Session
from edge.sparkplug import DataType, Metric, MetricValue
from edge.store.spool import Record

METRICS = {
    1: Metric("FIT-1", "flow", DataType.DOUBLE, "m3/h"),
    2: Metric("AIT-1", "turbidity", DataType.DOUBLE, "NTU"),
    3: Metric("", "Store/Waiting", DataType.DOUBLE, "1"),
    4: Metric("FIT-1", "Record/Boot", DataType.UINT64, ""),
    5: Metric("FIT-1", "Record/Sequence", DataType.UINT64, ""),
}
ALIASES = {(metric.device, metric.name): alias for alias, metric in METRICS.items()}


def _session() -> Session:
    return Session("g", "n", 7, dict(METRICS))


def _record(time_ms: int, sequence: int = 1) -> Record:
    payload = sparkplug.encode_metrics([MetricValue(1, DataType.DOUBLE, 12.5, time_ms, sparkplug.GOOD)])
    return Record(sequence, 1, sequence, "data", "FIT-1", time_ms, payload)


def _parse(message: Message) -> Any:
    return sparkplug.parse(message.payload)


def test_the_node_is_born_first_with_seq_nil_and_the_bdseq_of_its_will() -> None:
    session = _session()
    [will] = _parse(session.death_certificate(1)).metrics
    births = session.births({("FIT-1", "flow"): Present(3.0, sparkplug.GOOD)}, 1000)
    assert [message.topic for message in births] == [
        "spBv1.0/g/NBIRTH/n",
        "spBv1.0/g/DBIRTH/n/FIT-1",
        "spBv1.0/g/DBIRTH/n/AIT-1",
    ]
    assert [_parse(message).seq for message in births] == [0, 1, 2]
    node = {metric.name: sparkplug.metric_value(metric) for metric in _parse(births[0]).metrics}
    assert will.name == BDSEQ
    assert node[BDSEQ] == sparkplug.metric_value(will) == 7
    assert node[REBIRTH] is False


def test_a_birth_has_every_metric_with_name_alias_and_datatype_known_or_not() -> None:
    session = _session()
    births = session.births({("FIT-1", "flow"): Present(3.0, sparkplug.GOOD)}, 1000)
    metrics = {m.name: m for message in births for m in _parse(message).metrics}
    for alias, metric in METRICS.items():
        assert (metrics[metric.name].alias, metrics[metric.name].datatype) == (alias, metric.datatype)
    assert sparkplug.metric_value(metrics["flow"]) == 3.0
    assert metrics["turbidity"].is_null
    assert sparkplug.metric_quality(metrics["turbidity"]) == sparkplug.STALE


def test_births_and_data_go_with_qos_0_and_the_death_with_qos_1() -> None:
    session = _session()
    messages = [*session.births({}, 0), session.data(_record(1), ALIASES, 1), session.device_death("FIT-1", 1)]
    assert {message.qos for message in messages} == {0}
    assert session.death_certificate(0).qos == 1


def test_data_goes_by_alias_and_bears_its_identity() -> None:
    session = _session()
    session.births({}, 1000)
    payload = _parse(session.data(_record(2000, sequence=42), ALIASES, 3000))
    assert all(not metric.name and metric.HasField("alias") for metric in payload.metrics)
    values = {METRICS[m.alias].name: sparkplug.metric_value(m) for m in payload.metrics}
    assert values["flow"] == 12.5
    assert values[RECORD_SEQUENCE] == 42
    assert payload.timestamp == 3000


def test_what_is_older_than_the_births_is_historical() -> None:
    session = _session()
    session.births({}, 1000)
    old, new = _parse(session.data(_record(999), ALIASES, 2000)), _parse(session.data(_record(1000), ALIASES, 2000))
    assert all(metric.is_historical for metric in old.metrics)
    assert not any(metric.is_historical for metric in new.metrics)


def test_seq_counts_to_255_and_begins_again_and_a_rebirth_begins_at_nil() -> None:
    session = _session()
    count = len(session.births({}, 0))
    seqs = [_parse(session.data(_record(1), ALIASES, 1)).seq for _ in range(600)]
    assert seqs == [(count + i) % 256 for i in range(600)]
    assert _parse(session.births({}, 0)[0]).seq == 0


def test_a_dead_device_is_remembered_until_it_is_born_again() -> None:
    session = _session()
    session.births({}, 0)
    session.device_death("FIT-1", 1)
    assert session.dead == {"FIT-1"}
    session.device_birth("FIT-1", {}, 2)
    assert session.dead == set()
