"""Without a server: a status as quality, two tellings of one value, ages, gaps in bounded events, types to write."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import NotEnoughData
from asyncua.ua.status_codes import get_name_and_doc
from asyncua.ua.uaerrors import BadTooManyOperations

from config.errors import LinkError
from config.profile import OpcUaSignal
from config.sample import Quality, Reason, Sample, Value, opcua_status, quality_of
from config.signals import Signal, signal_table
from config.site import Site
from drivers.opcua.errors import MalformedAnswer, decoding, explained, status_name
from drivers.opcua.gaps import EVENT_EVERY_S, MAX_NAMES, Gaps
from drivers.opcua.items import Item, Items
from drivers.opcua.reading import decoder, reason_of
from drivers.opcua.subscription import queue_size
from drivers.opcua.write import equal, to_type
from drivers.port import LinkEvent, LinkStatus

NOW = 1000.0


def signals(**fields: dict[str, object]) -> list[Signal]:
    """The signals of one OPC UA device ``D``."""
    profile = {
        "protocol": "opcua",
        "signals": {name: {"namespace": "urn:x", "node": f"s={name}"} | field for name, field in fields.items()},
    }
    site = Site.model_validate(
        {
            "site": {"id": "bench"},
            "links": {"plc": {"type": "opcua", "url": "opc.tcp://127.0.0.1:4840"}},
            "devices": {"D": {"link": "plc", "poll": "1 s", "profile": profile}},
        }
    )
    inline = site.devices["D"].profile
    assert not isinstance(inline, str)
    return list(signal_table(site, {"D": inline}).field)


def data(value: Any, status: int = 0, at: float | None = None) -> ua.DataValue:
    """What a server sends; ``at`` is its own time in seconds UTC."""
    stamp: Any = datetime.fromtimestamp(at, UTC).replace(tzinfo=None) if at is not None else None
    return ua.DataValue(ua.Variant(value), ua.StatusCode(ua.UInt32(status)), SourceTimestamp=stamp)


class Shown:
    """A sink that keeps the samples of the only item."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def __call__(self, indices: Sequence[int], samples: Sequence[Sample]) -> None:
        self.samples += samples

    @property
    def values(self) -> list[Value]:
        return [sample.value for sample in self.samples]


def monitored() -> tuple[Items, Item, Shown]:
    """One item of a subscription whose messages take at most 2 s, which has told 1.0."""
    shown = Shown()
    items = Items(signals(level={}), shown)
    [item] = items.all
    item.forget(monitored=True, grace=2.0)
    items.tell([(item, data(1.0, at=1.0))], NOW)
    return items, item, shown


# -- status -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0x00000000, Reason.OK),
        (0x00000480, Reason.OK),  # the overflow bit says something of the queue, not of the value
        (0x00960000, Reason.MANUAL),  # GoodLocalOverride: somebody put a value in the place of the measured one
        (0x00004000, Reason.UNIT_CHANGED),  # SemanticsChanged
        (0x40000000, Reason.SERVER_UNCERTAIN),
        (0x40900000, Reason.STALE),  # UncertainLastUsableValue
        (0x408F0000, Reason.STALE),  # UncertainNoCommunicationLastUsableValue
        (0x40910000, Reason.MANUAL),  # UncertainSubstituteValue
        (0x42090000, Reason.MANUAL),  # UncertainSimulatedValue
        (0x40940000, Reason.OVER_RANGE),  # UncertainEngineeringUnitsExceeded
        (0x40950480, Reason.SERVER_UNCERTAIN),
        (0x80310000, Reason.NO_COMMUNICATION),
        (0x808A0000, Reason.NO_COMMUNICATION),  # BadNotConnected
        (0x800A0000, Reason.NO_COMMUNICATION),  # BadTimeout
        (0x80320000, Reason.NOT_YET_READ),  # BadWaitingForInitialData
        (0x808D0000, Reason.OUT_OF_SERVICE),
        (0x808B0000, Reason.DEVICE_FAULT),
        (0x808C0000, Reason.DEVICE_FAULT),  # BadSensorFailure
        (0x80340000, Reason.DEVICE_REFUSED),  # BadNodeIdUnknown
        (0x801F0000, Reason.DEVICE_REFUSED),  # BadUserAccessDenied
        (0x803A0000, Reason.WRITE_ONLY),  # BadNotReadable
        (0x80890000, Reason.DEVICE_FAULT),  # BadConfigurationError: bad all the same
        (0xC0000000, Reason.DEVICE_FAULT),  # a severity that does not exist yet is bad
    ],
)
def test_the_severity_of_a_status_is_the_quality_and_its_code_the_reason(status: int, reason: Reason) -> None:
    assert reason_of(status) is reason
    [signal] = signals(level={})
    sample = decoder(signal)(data(5.0, status), NOW)
    assert sample.reason is reason
    assert sample.raw == b"%08X" % status
    assert sample.quality >= Quality(min(status >> 30, 2))
    assert sample.value == (None if sample.quality is Quality.BAD else 5.0)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("bool", True, True),
        ("bool", 1, True),
        ("bool", 2, None),
        ("bool", "false", None),
        ("text", "ok", "ok"),
        ("text", ua.LocalizedText("清"), "清"),
        ("text", b"ab", None),
        # asyncua gives bytes that are no UTF-8 as lone surrogates, which nothing further on can write down.
        ("text", "清水池".encode("gbk").decode("utf-8", "surrogateescape"), None),
        ("text", ua.LocalizedText("\udcc7"), None),
        ("text", "\x1b[31mfilling", None),
        ("text", "清水池\u3000一号", "清水池\u3000一号"),
        ("text", "", ""),
        ("number", 3, 3.0),
        ("number", True, None),
        ("number", "3", None),
        ("number", [1.0, 2.0], None),
    ],
)
def test_a_value_of_another_type_is_none(kind: str, value: Any, expected: Value) -> None:
    [signal] = signals(level={"type": kind})
    assert decoder(signal)(data(value), NOW).value == expected


def test_a_server_without_a_clock_gives_no_time() -> None:
    """Its time stamp is 0, the year 1601, which has no place in a record that counts from 1970."""
    [signal] = signals(level={})
    assert decoder(signal)(data(5.0, at=1.0), NOW).source_time == 1.0
    assert decoder(signal)(data(5.0, at=-11_644_473_600.0), NOW).source_time is None


def test_what_is_no_answer_is_told_apart_from_a_refusal() -> None:
    for raised, expected in (
        (struct.error("unpack requires a buffer of 4 bytes"), MalformedAnswer),
        (IndexError("list index out of range"), MalformedAnswer),
        (NotEnoughData("request for 4, we have 0"), MalformedAnswer),
        (BadTooManyOperations(), BadTooManyOperations),  # type: ignore[no-untyped-call]
        (TimeoutError(), TimeoutError),
        (ConnectionResetError(), ConnectionResetError),
    ):
        with pytest.raises(expected), decoding():
            raise raised


def test_a_servers_words_are_shown_with_what_cannot_be_printed_escaped() -> None:
    assert explained(LinkError("no \udcc7\x1b[31m 清水池")) == "no \\udcc7\\x1b[31m 清水池"


@pytest.mark.parametrize("reason", Reason)
def test_the_status_of_each_reason_is_one_that_opc_ua_names(reason: Reason) -> None:
    name = get_name_and_doc(opcua_status(reason))[0]
    assert name.startswith(
        {Quality.GOOD: "Good", Quality.UNCERTAIN: "Uncertain", Quality.BAD: "Bad"}[quality_of(reason)]
    )
    if reason is Reason.MANUAL:
        assert name == "UncertainSubstituteValue"


def test_a_status_is_named_with_all_its_bits() -> None:
    assert status_name(0x80310000) == "BadNoCommunication (0x80310000)"
    assert status_name(0x00000480) == "Good (0x00000480)"


# -- told and read ----------------------------------------------------------------------------------------------


def test_a_read_that_finds_what_was_told_confirms_it() -> None:
    items, item, shown = monitored()
    assert items.read([item], [data(1.0, at=1.0)], NOW + 5, NOW + 5.1) == []
    assert item.confirmed == NOW + 5.1
    assert shown.samples[-1].received == NOW + 5.1


def test_a_read_that_finds_another_value_wins_and_is_a_gap_when_a_second_look_finds_it_too() -> None:
    items, item, shown = monitored()
    assert items.read([item], [data(2.0, at=2.0)], NOW + 5, NOW + 5) == []
    assert shown.values == [1.0, 2.0]
    assert not item.due(NOW + 6)
    assert item.due(NOW + 7)
    assert items.read([item], [data(2.0, at=2.0)], NOW + 7, NOW + 7) == [item]
    # What is known now is not a gap again.
    assert items.read([item], [data(2.0, at=2.0)], NOW + 9, NOW + 9) == []
    assert item.doubt_until is None


def test_a_change_that_was_on_its_way_is_no_gap() -> None:
    items, item, shown = monitored()
    items.read([item], [data(2.0, at=2.0)], NOW + 5, NOW + 5)
    items.tell([(item, data(2.0, at=2.0))], NOW + 6)
    assert items.read([item], [data(2.0, at=2.0)], NOW + 9, NOW + 9) == []
    assert shown.values == [1.0, 2.0, 2.0, 2.0]


def test_a_change_back_before_the_server_looked_is_no_gap() -> None:
    items, item, _ = monitored()
    items.read([item], [data(2.0, at=2.0)], NOW + 5, NOW + 5)
    assert items.read([item], [data(1.0, at=3.0)], NOW + 8, NOW + 8) == []
    assert item.doubt_until is None


def test_a_status_that_was_not_told_is_a_gap_too() -> None:
    items, item, _ = monitored()
    items.read([item], [data(1.0, 0x808C0000)], NOW + 5, NOW + 5)
    assert items.read([item], [data(1.0, 0x808C0000)], NOW + 8, NOW + 8) == [item]


def test_a_first_value_that_never_comes_is_a_gap() -> None:
    items, item, _ = monitored()
    item.forget(monitored=True, grace=2.0)
    assert items.read([item], [data(1.0)], NOW + 5, NOW + 5) == []
    assert items.read([item], [data(1.0)], NOW + 8, NOW + 8) == [item]


def test_what_was_told_while_a_read_was_under_way_is_newer() -> None:
    items, item, shown = monitored()
    items.tell([(item, data(3.0, at=3.0))], NOW + 5.05)
    assert items.read([item], [data(1.0, at=1.0)], NOW + 5, NOW + 5.1) == []
    assert shown.values == [1.0, 3.0]


def test_a_message_that_was_under_way_while_a_read_was_answered_is_older() -> None:
    items, item, shown = monitored()
    items.read([item], [data(3.0, at=3.0)], NOW + 5, NOW + 5)
    items.tell([(item, data(2.0, at=2.0))], NOW + 5.1)
    assert shown.values == [1.0, 3.0]
    # Later than a message can take, the server's clock was put back: what it tells now counts.
    items.tell([(item, data(4.0, at=2.5))], NOW + 7.5)
    assert shown.values == [1.0, 3.0, 4.0]


def test_two_tellings_of_not_a_number_are_the_same() -> None:
    items, item, _ = monitored()
    items.tell([(item, data(float("nan")))], NOW + 1)
    items.read([item], [data(float("nan"))], NOW + 5, NOW + 5)
    assert item.doubt_until is None


def test_an_item_is_read_when_it_was_silent_for_two_fifths_of_its_time() -> None:
    _, item, _ = monitored()
    assert item.signal.stale_after == 3.0
    assert not item.due(NOW + 1.1)
    assert item.due(NOW + 1.3)
    item.forget(monitored=False, grace=0.0)
    item.read_at = NOW
    assert not item.due(NOW + 0.9)
    assert item.due(NOW + 1.0)


def test_the_value_that_the_server_has_had_for_longest_is_shown_by_its_own_two_times_and_still_good() -> None:
    """Most servers date a value when it last changed: an old time is no fault, and their clock may be wrong."""
    shown = Shown()
    items = Items(signals(level={}, flow={}, name={"type": "text"}), shown)
    level, flow, name = items.all
    assert items.oldest_source() is None
    now: Any = datetime.fromtimestamp(17_200, UTC).replace(tzinfo=None)
    hours_ago, soon = data(2.0, at=10_000.0), data(1.0, at=17_199.0)
    for one in (hours_ago, soon):
        one.ServerTimestamp = now
    items.read([level], [hours_ago], NOW, NOW)
    items.tell([(flow, soon), (name, data("x", at=1.0))], NOW)
    assert items.oldest_source() == {"signal": "D.level", "age_s": 7200.0}
    assert shown.samples[0].good
    assert shown.samples[0].source_time == 10_000.0
    items.lose(NOW + 1)
    assert items.oldest_source() is None


def test_what_is_not_confirmed_in_time_is_stale_once_and_good_again_when_it_is() -> None:
    items, item, shown = monitored()
    assert items.age(NOW + 2.9) == 0
    assert items.age(NOW + 3.1) == 1
    assert items.age(NOW + 3.2) == 1
    assert [sample.reason for sample in shown.samples] == [Reason.OK, Reason.STALE]
    items.read([item], [data(1.0)], NOW + 4, NOW + 4)
    assert items.age(NOW + 4) == 0
    assert shown.samples[-1].good


def test_only_what_was_not_read_since_is_lost() -> None:
    shown = Shown()
    items = Items(signals(level={}, flow={}), shown)
    level, flow = items.all
    items.tell([(level, data(1.0)), (flow, data(2.0))], NOW)
    items.read([flow], [data(2.0)], NOW + 2, NOW + 2)
    items.lose(NOW + 3, since=NOW + 1)
    assert (level.shown.reason, flow.shown.reason) == (Reason.NO_COMMUNICATION, Reason.OK)
    items.lose(NOW + 4)
    assert flow.shown.reason is Reason.NO_COMMUNICATION


@pytest.mark.parametrize(
    ("sampling", "publishing", "size"),
    [(1.0, 1.0, 5), (10.0, 1.0, 4), (0.5, 10.0, 21), (0.1, 1.0, 50), (0.001, 1.0, 100)],
)
def test_a_queue_holds_more_than_fits_between_two_messages_and_what_a_short_cut_takes(
    sampling: float, publishing: float, size: int
) -> None:
    assert queue_size(sampling, publishing) == size


# -- gaps -------------------------------------------------------------------------------------------------------


def test_every_gap_is_counted_and_each_cause_told_at_once_and_then_each_ten_seconds() -> None:
    status, events = LinkStatus(), list[LinkEvent]()
    gaps = Gaps("plc", status, events.append)
    for number in range(100):
        gaps.record("overflow", NOW + number * 0.01, lost=1)
    gaps.record("silence", NOW + 1)
    assert status.gaps == 101
    assert [event.body["cause"] for event in events] == ["overflow", "silence"]
    gaps.flush(NOW + EVENT_EVERY_S - 0.1)
    assert len(events) == 2
    gaps.flush(NOW + EVENT_EVERY_S)
    assert events[2].body == {"cause": "overflow", "gaps": 99, "lost": 99}
    gaps.flush(NOW + 5 * EVENT_EVERY_S)
    assert len(events) == 3


def test_an_event_names_few_signals_and_counts_the_rest() -> None:
    many = signals(**{f"s{number}": {} for number in range(MAX_NAMES + 5)})
    events: list[LinkEvent] = []
    Gaps("plc", LinkStatus(), events.append).record("verify", NOW, many)
    assert len(events[0].body["signals"]) == MAX_NAMES
    assert events[0].body["more_signals"] == 5


# -- types to write ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "kind", "raw"),
    [
        ({}, 1.5, ua.VariantType.Double, 1.5),
        ({}, 1.4, ua.VariantType.Int32, 1),
        ({"scale": 0.1}, 45.5, ua.VariantType.UInt16, 455),
        ({"unit": "L/s"}, 36.0, ua.VariantType.Float, 10.0),
        ({}, 255, ua.VariantType.Byte, 255),
        ({"type": "bool"}, True, ua.VariantType.Boolean, True),
        ({"type": "bool"}, True, ua.VariantType.Byte, 1),
        ({"type": "text"}, "auto", ua.VariantType.String, "auto"),
    ],
)
def test_a_value_is_converted_to_the_type_of_the_node(
    field: dict[str, object], value: Value, kind: ua.VariantType, raw: Value
) -> None:
    [signal] = signals(level=field)
    converted = to_type(signal, value, kind)
    assert converted == raw
    assert type(converted) is type(raw)


@pytest.mark.parametrize(
    ("read", "written", "step", "same"),
    [
        (45.5, 45.54, 0.1, True),
        (45.5, 45.56, 0.1, False),
        (0.1 * 3, 0.3, 0.1, True),
        # An order number or a counter that is one off is another one, however large.
        (20_261_123, 20_261_124, 1.0, False),
        (20_261_123, 20_261_123, 1.0, True),
        (4_294_967_295 * 0.01, 42_949_672.95, 0.01, True),
        (4_294_967_294 * 0.01, 42_949_672.95, 0.01, False),
        # A Float holds seven digits.
        (3.5999999046, 3.6, 0.0, True),
        (3.6001, 3.6, 0.0, False),
        (0.0, 0.0, 0.0, True),
        (True, 1, 1.0, False),
        ("auto", "auto", 0.0, True),
    ],
)
def test_what_was_read_back_is_what_was_written_as_far_as_the_node_can_show_it(
    read: Value, written: Value, step: float, same: bool
) -> None:
    assert equal(read, written, step) is same


@pytest.mark.parametrize(
    ("field", "value", "kind", "said"),
    [
        ({}, 256, ua.VariantType.Byte, "a Byte takes 0 to 255"),
        ({}, -1, ua.VariantType.UInt64, "a UInt64 takes 0 to"),
        ({}, 1e39, ua.VariantType.Float, "more than a Float takes"),
        ({}, 1.0, ua.VariantType.Boolean, "takes no number"),
        ({}, 1.0, ua.VariantType.String, "takes no number"),
        ({}, True, ua.VariantType.Double, "not a number"),
        ({"range": [0, 100]}, 101.0, ua.VariantType.Double, "outside the profile's range of 0 to 100"),
        ({"type": "bool"}, 1.0, ua.VariantType.Boolean, "neither on nor off"),
        ({"type": "bool"}, True, ua.VariantType.Double, "neither on nor off"),
        ({"type": "text"}, 1.0, ua.VariantType.String, "cannot be written"),
        ({"type": "text"}, "x", ua.VariantType.Int16, "cannot be written"),
    ],
)
def test_a_value_that_the_node_cannot_take_is_refused(
    field: dict[str, object], value: Value, kind: ua.VariantType, said: str
) -> None:
    [signal] = signals(level=field)
    assert isinstance(signal.definition, OpcUaSignal)
    with pytest.raises(LinkError, match=said):
        to_type(signal, value, kind)
