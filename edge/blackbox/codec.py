"""Values of a scan as JSON and back, to the last bit, from the type hints of the blocks themselves.

A new block or a new field of a state needs nothing here; a type that cannot be carried is refused when the codec is
made, not when a file is read. The forms: a number, text, truth and nothing are themselves (``{"float": "inf"}``,
``-inf`` and ``nan`` where JSON has no number); an enum is its value; bytes are hexadecimal; a tuple is a list; a
mapping by anything but names is a list of pairs; a set is a sorted list; a record is a mapping of its fields, with its
name as ``"is"`` where it could be another; a Sample is a list. Nothing read is ever executed.

The scan knows by identity what has not changed. With a memo, an object that stands in two places therefore comes back
as one: each record has a number (``"#"``), and another place of it is ``{"=": number}``.
"""

import dataclasses
import enum
import functools
import math
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Any, Final

from config.errors import PenstockError
from config.sample import Quality, Reason, Sample, Value

PLAIN: Final = (float, int, bool, str)
_COLLECTIONS: Final = (dict, Mapping, frozenset)


class Uncarried(PenstockError):
    """A value or a text that the codec cannot carry."""

    code = "black-box-codec"


@dataclass(slots=True)
class Shared:
    """Objects that were met: their numbers while writing, and the objects by number while reading.

    ``unknown``: fields that were read and that this version does not have.
    """

    numbers: dict[int, int] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)
    objects: dict[int, Any] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Codec:
    """``encode(value, shared)`` gives JSON, ``decode(json, shared)`` the value; ``shared`` may be ``None``.

    ``decode`` raises ``Uncarried`` on what is not of the type. ``holds(value)`` tells a value of its type from those
    of the others in a union, ``reads(json)`` its JSON from theirs. ``name`` is for messages.
    """

    name: str
    encode: Callable[[Any, Shared | None], Any]
    decode: Callable[[Any, Shared | None], Any]
    holds: Callable[[Any], bool]
    reads: Callable[[Any], bool]


def carried(hint: Any) -> Codec:
    """The codec of a type and of all that it is made of. Raises ``Uncarried`` for a type that there is none for."""
    found = codec(hint)
    while _UNRESOLVED:
        _UNRESOLVED.pop()()
    return found


_UNRESOLVED: Final[list[Callable[[], object]]] = []
"""The fields of records that were not looked at yet: a Cause rests on a Cause."""


@functools.cache
def codec(hint: Any) -> Codec:
    """The codec of a type, whose parts are made when they are needed."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return codec(arguments[0])
    if origin in (typing.Union, UnionType):
        return _union(hint, arguments)
    if origin is typing.Literal:
        return _union(hint, tuple(dict.fromkeys(type(one) for one in arguments)))
    if origin is tuple:
        return _tuple(hint, arguments)
    if origin in _COLLECTIONS or hint in _COLLECTIONS:
        return _collection(hint, origin, arguments)
    if hint is Any:
        return Codec("any JSON", lambda value, _: plain(value), lambda data, _: data, lambda _: True, lambda _: True)
    if hint is Sample:
        return _SAMPLE
    if hint in PLAIN or hint in (None, NoneType):
        return _plain(NoneType if hint is None else hint)
    if isinstance(hint, type) and hint is bytes:
        return _BYTES
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint)
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or _is_named_tuple(hint)):
        return _record(hint)
    raise Uncarried(f"the black box cannot carry {hint}: teach it in edge/blackbox/codec.py")


def plain(value: Any) -> Any:
    """A value that is already as JSON has it (the body of an event), its numbers that JSON lacks put into words."""
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    raise Uncarried(f"an event holds {value!r}, which is not JSON")


def _number(data: Any, _: Shared | None) -> Any:
    if isinstance(data, dict) and list(data) == ["float"] and data["float"] in ("inf", "-inf", "nan"):
        return float(data["float"])
    if isinstance(data, dict | list):
        raise Uncarried(f"{_shown(data)} is no number, text or truth")
    return data


def _plain(kind: type) -> Codec:
    if kind is float:
        # What is declared to be a float may be an int, and stays one.
        return Codec(
            "float",
            lambda value, _: _value(value),
            _number,
            lambda value: type(value) in (float, int),
            lambda data: type(data) in (float, int) or (type(data) is dict and "float" in data),
        )

    def itself(value: Any) -> bool:
        return type(value) is kind

    return Codec(kind.__name__, lambda value, _: _value(value), _number, itself, itself)


def _from_hex(data: Any, _: Shared | None) -> bytes:
    try:
        return bytes.fromhex(data)
    except (TypeError, ValueError) as error:
        raise Uncarried(f"{_shown(data)} is no bytes") from error


_BYTES: Final = Codec(
    "bytes",
    lambda value, _: value.hex(),
    _from_hex,
    lambda value: type(value) is bytes,
    lambda data: type(data) is str,
)


def _enum(kind: type[enum.Enum]) -> Codec:
    members: dict[Any, enum.Enum] = {member.value: member for member in kind}
    form = type(next(iter(kind)).value)

    def decode(data: Any, _: Shared | None) -> Any:
        try:
            return members[data]
        except (KeyError, TypeError) as error:
            raise Uncarried(f"{_shown(data)} is no {kind.__name__}") from error

    return Codec(
        kind.__name__,
        lambda value, _: value.value,
        decode,
        lambda value: type(value) is kind,
        lambda data: type(data) is form and data in members,
    )


_VALUES: Final = (float, int, bool, str, NoneType)
_QUALITIES: Final = {int(one): one for one in Quality}
_REASONS: Final = {str(one): one for one in Reason}


def _encode_sample(sample: Sample, shared: Shared | None) -> list[Any] | dict[str, int]:
    if shared is not None and (number := shared.numbers.get(id(sample))) is not None:
        return {"=": number}
    value, quality, reason, received, source_time, raw = sample
    data: list[Any] = [_value(value), quality.value, reason.value, _value(received), _value(source_time), raw.hex()]
    if shared is not None:
        data.append(_met(sample, shared))
    return data


def _value(value: Value) -> Any:
    return {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _decode_sample(data: Any, shared: Shared | None) -> Sample:
    if isinstance(data, dict):
        sample = _again(data, shared)
        if type(sample) is not Sample:
            raise Uncarried(f"{_shown(data)} is no Sample")
        return sample
    try:
        value, quality, reason, received, source_time, raw, *more = data
        value, received, source_time = (_number(one, None) for one in (value, received, source_time))
        sample = Sample(value, _QUALITIES[quality], _REASONS[reason], received, source_time, bytes.fromhex(raw))
    except (KeyError, TypeError, ValueError) as error:
        raise Uncarried(f"{_shown(data)} is no Sample") from error
    if type(value) not in _VALUES or type(received) not in (float, int):
        raise Uncarried(f"{_shown(data)} is no Sample")
    if source_time is not None and type(source_time) not in (float, int):
        raise Uncarried(f"{_shown(data)} is no Sample")
    if shared is not None and more:
        shared.objects[more[0]] = sample
    return sample


_SAMPLE: Final = Codec(
    "Sample",
    _encode_sample,
    _decode_sample,
    lambda value: type(value) is Sample,
    lambda data: type(data) in (list, dict),
)


def _met(value: Any, shared: Shared) -> int:
    """Numbers an object; it is kept, so that no other gets its identity."""
    shared.kept.append(value)
    number = shared.numbers[id(value)] = len(shared.kept)
    return number


def _again(data: dict[str, Any], shared: Shared | None) -> Any:
    try:
        return (shared or Shared()).objects[data["="]]
    except (KeyError, TypeError) as error:
        raise Uncarried(f"{_shown(data)} stands for nothing that was read before") from error


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _record(kind: type) -> Codec:
    if dataclasses.is_dataclass(kind):
        places = {one.name: one for one in dataclasses.fields(kind) if one.init}
        names = tuple(places)
        optional = {
            name
            for name, one in places.items()
            if one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
        }
    else:
        names = kind._fields  # type: ignore[attr-defined]
        optional = set(kind._field_defaults)  # type: ignore[attr-defined]
    missing = set(names) - optional
    title = kind.__name__

    @functools.cache
    def fields() -> tuple[tuple[str, Codec], ...]:
        hints = typing.get_type_hints(kind)
        return tuple((name, codec(hints[name])) for name in names)

    _UNRESOLVED.append(fields)

    def encode(value: Any, shared: Shared | None) -> dict[str, Any]:
        if shared is not None and (number := shared.numbers.get(id(value))) is not None:
            return {"=": number}
        data = {name: one.encode(getattr(value, name), shared) for name, one in fields()}
        if shared is not None:
            data["#"] = _met(value, shared)
        return data

    def decode(data: Any, shared: Shared | None) -> Any:
        if not isinstance(data, dict):
            raise Uncarried(f"{_shown(data)} is no {title}")
        if "=" in data:
            value = _again(data, shared)
            if type(value) is not kind:
                raise Uncarried(f"{_shown(data)} is no {title}")
            return value
        if lacks := sorted(missing - data.keys()):
            raise Uncarried(f"{title} has no {', '.join(lacks)}: it was written by another version")
        found = {name: one.decode(data[name], shared) for name, one in fields() if name in data}
        if shared is not None:
            shared.unknown.update(f"{title}.{name}" for name in data if name not in names and name not in ("#", "is"))
        value = kind(**found)
        if shared is not None and "#" in data:
            shared.objects[data["#"]] = value
        return value

    return Codec(title, encode, decode, lambda value: type(value) is kind, lambda data: type(data) is dict)


def _tuple(hint: Any, arguments: tuple[Any, ...]) -> Codec:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        one = codec(arguments[0])

        def decode(data: Any, shared: Shared | None) -> Any:
            if not isinstance(data, list):
                raise Uncarried(f"{_shown(data)} is no list of {one.name}")
            return tuple([one.decode(item, shared) for item in data])

        return Codec(
            f"tuple of {one.name}",
            lambda value, shared: [one.encode(item, shared) for item in value],
            decode,
            lambda value: type(value) is tuple,
            lambda data: type(data) is list,
        )
    each = tuple(codec(argument) for argument in arguments)

    def decode_each(data: Any, shared: Shared | None) -> Any:
        if not isinstance(data, list) or len(data) != len(each):
            raise Uncarried(f"{_shown(data)} is no list of {len(each)}")
        return tuple([one.decode(item, shared) for one, item in zip(each, data, strict=True)])

    return Codec(
        str(hint),
        lambda value, shared: [one.encode(item, shared) for one, item in zip(each, value, strict=True)],
        decode_each,
        lambda value: type(value) is tuple,
        lambda data: type(data) is list,
    )


def _collection(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Codec:
    if not arguments:
        raise Uncarried(f"the black box cannot carry {hint} without the type of what is in it")
    inner = codec(arguments[0])
    if origin is frozenset:

        def decode_set(data: Any, shared: Shared | None) -> Any:
            if not isinstance(data, list):
                raise Uncarried(f"{_shown(data)} is no set")
            return frozenset([inner.decode(one, shared) for one in data])

        return Codec(
            f"set of {inner.name}",
            lambda value, shared: sorted((inner.encode(one, shared) for one in value), key=repr),
            decode_set,
            lambda value: type(value) is frozenset,
            lambda data: type(data) is list,
        )
    item = codec(arguments[1])
    if arguments[0] is str:
        return _named(item)

    def decode_pairs(data: Any, shared: Shared | None) -> Any:
        if not isinstance(data, list):
            raise Uncarried(f"{_shown(data)} is no list of pairs")
        try:
            return {inner.decode(key, shared): item.decode(value, shared) for key, value in data}
        except (TypeError, ValueError) as error:
            raise Uncarried(f"{_shown(data)} is no list of pairs") from error

    return Codec(
        f"mapping of {inner.name}",
        lambda value, shared: [[inner.encode(k, shared), item.encode(v, shared)] for k, v in value.items()],
        decode_pairs,
        lambda value: type(value) is dict,
        lambda data: type(data) is list,
    )


def _named(item: Codec) -> Codec:
    """A mapping by name, as JSON has it."""

    def decode(data: Any, shared: Shared | None) -> Any:
        if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
            raise Uncarried(f"{_shown(data)} is no mapping of {item.name}")
        return {name: item.decode(value, shared) for name, value in data.items()}

    return Codec(
        f"mapping of {item.name} by name",
        lambda value, shared: {name: item.encode(one, shared) for name, one in value.items()},
        decode,
        lambda value: type(value) is dict,
        lambda data: type(data) is dict,
    )


def _union(hint: Any, arguments: tuple[Any, ...]) -> Codec:
    members = tuple(codec(argument) for argument in arguments)
    records = {one.name: one for one, kind in zip(members, arguments, strict=True) if _is_record(kind)}
    others = tuple(one for one in members if one.name not in records)
    several = len(records) > 1
    _check_told_apart(hint, arguments, len(records))

    def encode(value: Any, shared: Shared | None) -> Any:
        for one in members:
            if one.holds(value):
                data = one.encode(value, shared)
                if several and one.name in records and "=" not in data:
                    data["is"] = one.name
                return data
        raise Uncarried(f"{value!r} is none of {hint}")

    def decode(data: Any, shared: Shared | None) -> Any:
        for one in others:
            if one.reads(data):
                return one.decode(data, shared)
        if isinstance(data, dict) and "=" in data and several:
            return _again(data, shared)
        if isinstance(data, dict) and records:
            name = data.get("is") if several else next(iter(records))
            if name in records:
                return records[name].decode(data, shared)
        raise Uncarried(f"{_shown(data)} is none of {hint}")

    return Codec(
        str(hint),
        encode,
        decode,
        lambda value: any(one.holds(value) for one in members),
        lambda data: any(one.reads(data) for one in members),
    )


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and kind is not Sample and (dataclasses.is_dataclass(kind) or _is_named_tuple(kind))


def _check_told_apart(hint: Any, arguments: tuple[Any, ...], records: int) -> None:
    """What is read must say by its form alone which member it is; records say it by name."""
    forms: list[str] = []
    for kind in arguments:
        bare = typing.get_origin(kind) or kind
        if isinstance(bare, type) and issubclass(bare, enum.Enum):
            forms.append(type(next(iter(bare)).value).__name__)
        elif bare is bytes:
            forms.append("str")
        elif bare in (dict, Mapping) and typing.get_args(kind)[:1] == (str,):
            forms += ["mapping", *(["mapping"] if records else [])]
        elif bare is Sample or bare is tuple or bare in _COLLECTIONS:
            forms.append("list")
        elif bare in PLAIN:
            forms.append(bare.__name__)
    if len(forms) != len(set(forms)) or records != sum(map(_is_record, arguments)) or (Sample in arguments and records):
        raise Uncarried(f"the black box cannot tell the members of {hint} apart: teach it in edge/blackbox/codec.py")


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 80 else text[:77] + "..."
