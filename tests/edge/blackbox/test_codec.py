"""What the codec carries comes back the same to the last bit, and the same object where it was one."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.sample import Quality, Reason, Sample, Value
from control.state import ScanState
from edge.blackbox.codec import Shared, Uncarried, carried
from edge.blackbox.difference import first_difference, text
from edge.blackbox.file import IMAGE, STATE
from tests.edge.blackbox.stations import Recorded, tripped

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64), st.floats(), st.text(max_size=8), st.just(-0.0)
)
SAMPLES = st.builds(
    Sample,
    VALUES,
    st.sampled_from(Quality),
    st.sampled_from(Reason),
    st.floats(allow_nan=False),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.binary(max_size=16),
)


def _through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def _states(station: Recorded) -> list[ScanState]:
    return [span.state for span in station.ring.spans()] + [station.state]


@settings(max_examples=50, deadline=None)
@given(SAMPLES)
def test_a_sample_comes_back_to_the_last_bit(sample: Sample) -> None:
    codec = carried(Sample)
    back = codec.decode(_through_json(codec.encode(sample, None)), None)
    # repr tells 1 from 1.0 and True, 0.0 from -0.0, and one nan is as good as another.
    assert repr(back) == repr(sample)
    assert [type(one) for one in back] == [type(one) for one in sample]


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_a_value_comes_back_as_what_it_was(value: Value) -> None:
    codec = carried(Value)
    back = codec.decode(_through_json(codec.encode(value, None)), None)
    assert (repr(back), type(back)) == (repr(value), type(value))


def test_every_state_of_a_station_that_fills_trips_alarms_and_restarts_comes_back() -> None:
    station = tripped()
    states = _states(station)
    station.restart()
    station.run(12.0)
    states += _states(station)
    assert any(state.trips[0].latched for state in states)
    assert any(state.alarms.standing for state in states)
    for state in states:
        back = STATE.decode(_through_json(STATE.encode(state, None)), None)
        assert back == state
        assert first_difference(STATE.encode(state, None), STATE.encode(back, None)) is None


def test_what_was_one_object_is_one_object_again() -> None:
    station = tripped()
    sample = station.image[0]
    image = (sample, sample, *station.image[2:])
    written = Shared()
    data = _through_json([IMAGE.encode(image, written), STATE.encode(station.state, written)])
    read = Shared()
    image_back, state_back = IMAGE.decode(data[0], read), STATE.decode(data[1], read)
    assert image_back[0] is image_back[1]
    assert state_back == station.state
    one, other = ({id(output.cause) for output in state.outputs} for state in (station.state, state_back))
    assert len(one) == len(other)


class _Colour(StrEnum):
    RED = "red"


class _Pair(NamedTuple):
    left: float
    right: "_Pair | None" = None


@dataclass(frozen=True, slots=True)
class _Round:
    radius: float
    colour: _Colour = _Colour.RED


@dataclass(frozen=True, slots=True)
class _Square:
    side: float


@dataclass(frozen=True, slots=True)
class _Everything:
    shape: _Round | _Square
    pairs: tuple[_Pair, ...]
    two: tuple[int, str]
    names: frozenset[str]
    by_place: Mapping[int, _Round]
    raw: bytes | None
    value: Value


@pytest.mark.parametrize(
    "value",
    [
        _Everything(_Round(1.5), (), (1, "a"), frozenset(), {}, None, None),
        _Everything(
            _Square(math.inf),
            (_Pair(-0.0, _Pair(5e-324)),),
            (2**70, "晋"),
            frozenset("cab"),
            {7: _Round(0.1)},
            b"\0",
            True,
        ),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_record_of_any_shape_comes_back(value: _Everything, shared: bool) -> None:
    codec = carried(_Everything)
    data = _through_json(codec.encode(value, Shared() if shared else None))
    back = codec.decode(data, Shared() if shared else None)
    assert repr(back) == repr(value) or back == value
    assert type(back.shape) is type(value.shape)


def test_a_field_that_is_new_has_its_default_and_one_that_is_gone_is_named() -> None:
    shared = Shared()
    assert carried(_Round).decode({"radius": 2.0, "weight": 3}, shared) == _Round(2.0)
    assert shared.unknown == {"_Round.weight"}
    with pytest.raises(Uncarried, match="_Round has no radius"):
        carried(_Round).decode({"colour": "red"}, None)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (_Round, {"radius": [1]}),
        (_Round, {"radius": 1.0, "colour": "blue"}),
        (_Round, [1.0]),
        (_Round, {"=": 7}),
        (_Round | _Square, {"is": "_Triangle", "side": 1.0}),
        (_Round | _Square, {"side": 1.0}),
        (Sample, [1.0, 0, "ok", "yesterday", None, ""]),
        (Sample, [1.0, 0, "ok", 1.0, None, "xyz"]),
        (Sample, [1.0, 9, "ok", 1.0, None, ""]),
        (Sample, [[1.0], 0, "ok", 1.0, None, ""]),
        (Sample, [1.0]),
        (tuple[int, str], [1]),
        (tuple[_Round, ...], {"radius": 1.0}),
        (dict[str, int], [["a", 1]]),
        (dict[int, int], [[1]]),
        (dict[int, int], {}),
        (bytes, 7),
        (float | None, {"float": "__import__"}),
    ],
)
def test_what_is_not_of_the_type_is_refused(kind: Any, data: Any) -> None:
    with pytest.raises(Uncarried):
        carried(kind).decode(data, Shared())


@pytest.mark.parametrize(
    "kind", [object, list, set[int], complex, str | bytes, str | _Colour, tuple[int, ...] | frozenset[int]]
)
def test_a_type_that_cannot_be_carried_or_told_apart_is_refused_when_the_codec_is_made(kind: Any) -> None:
    with pytest.raises(Uncarried, match="teach it"):
        carried(kind)


def test_what_looks_alike_and_is_not_the_same_is_a_difference() -> None:
    for one, other in ((1, 1.0), (1, True), (0.0, -0.0), (None, 0)):
        found = first_difference({"a": [one]}, {"a": [other]})
        assert found is not None
        assert found.where == ".a[0]"
        assert text(one) != text(other)
    assert first_difference([1], [1, 2]) is not None
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) is not None
    assert first_difference({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) is None
