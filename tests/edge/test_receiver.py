"""A receiver proves by identity what it has, and what it has not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import sparkplug
from edge.forwarder.receiver import Completeness, Decoder, Received
from edge.forwarder.session import Session
from edge.sparkplug import DataType, Metric
from edge.store.spool import Record


def _message(boot: int, sequence: int) -> Received:
    return Received("t", "DDATA", "n", "d", 0, boot, sequence, False, {})


@given(st.integers(1, 40), st.data())
def test_it_counts_each_record_once_and_names_each_that_is_missing(count: int, data: st.DataObject) -> None:
    arrived = data.draw(st.lists(st.integers(1, count), max_size=80))
    completeness = Completeness()
    fresh = [completeness.take(_message(1, sequence)) for sequence in arrived]
    distinct = set(arrived)
    assert fresh.count(True) == completeness.received == len(distinct)
    assert completeness.duplicates == len(arrived) - len(distinct)
    if distinct:
        missing = set(range(min(distinct), max(distinct) + 1)) - distinct
        assert set(completeness.missing().get("n/1", [])) == missing
    assert completeness.has_all("n", 1, count) == (distinct == set(range(1, count + 1)))


def test_a_later_boot_is_in_order_and_an_earlier_one_is_not() -> None:
    completeness = Completeness()
    for boot, sequence in ((1, 1), (1, 2), (2, 1), (1, 3)):
        completeness.take(_message(boot, sequence))
    assert completeness.out_of_order == 1


def test_a_message_without_identity_is_not_counted() -> None:
    completeness = Completeness()
    assert not completeness.take(Received("t", "NBIRTH", "n", "", 0, None, None, False, {}))
    assert completeness.to_json() == {"received": 0, "duplicates": 0, "out_of_order": 0, "missing": 0, "gaps": {}}


def test_names_are_learned_from_births_and_identity_is_read_from_data() -> None:
    metrics = {
        1: Metric("D", "flow", DataType.DOUBLE, "m3/h"),
        2: Metric("D", "Record/Boot", DataType.UINT64, ""),
        3: Metric("D", "Record/Sequence", DataType.UINT64, ""),
    }
    session = Session("g", "n", 0, metrics)
    decoder = Decoder()
    births = [decoder.decode(message.topic, message.payload) for message in session.births({}, 1000)]
    assert decoder.knows("n")
    assert all(birth.sequence is None for birth in births)
    payload = sparkplug.encode_metrics([sparkplug.MetricValue(1, DataType.DOUBLE, 2.5, 500, sparkplug.BAD)])
    aliases = {(metric.device, metric.name): alias for alias, metric in metrics.items()}
    data = session.data(Record(9, 4, 17, "data", "D", 500, payload), aliases, 2000)
    received = decoder.decode(data.topic, data.payload)
    assert (received.kind, received.node, received.device) == ("DDATA", "n", "D")
    assert (received.boot, received.sequence, received.historical) == (4, 17, True)
    assert received.values == {"flow": {"value": 2.5, "time_ms": 500, "quality": sparkplug.BAD}}


def test_a_checkpoint_is_no_record_and_a_receipt_is() -> None:
    body = json.dumps({"boot": 1, "sequence": 5, "time_ms": 1}).encode()
    decoder = Decoder()
    assert decoder.decode("penstock/g/n/checkpoint", body).sequence is None
    assert decoder.decode("penstock/g/n/receipt", body).sequence == 5


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("else/where", b"{}"),
        ("penstock/g/n/event", b"[]"),
        ("penstock/g/n/event", b"{"),
        ("spBv1.0/g/DDATA/n/d", b"\xff"),
    ],
)
def test_what_is_not_ours_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(ValueError):
        Decoder().decode(topic, payload)
