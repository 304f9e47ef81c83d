"""Loads a site file: YAML to checked, immutable models, with every problem named by file and line at once."""

import copy
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from config.check import check_site
from config.check.references import Finding
from config.errors import ConfigError, Problem
from config.profile import ModbusProfile, OpcUaProfile, Profile
from config.signals import SignalTable, signal_table
from config.site import Site

DEVICES: Final = Path(__file__).parent / "devices"
MAX_FILE_BYTES: Final = 32 * 1024 * 1024
"""A larger site file is refused: 10,000 inline signals take about 1.5 MB."""
MAX_PRUNINGS: Final = 4
"""How often what is wrong is left out to look at the rest: once for itself, and for what that leaves incomplete."""

_SECTIONS_OF_ENTRIES: Final = frozenset(
    name for name, field in Site.model_fields.items() if typing.get_origin(field.annotation) is dict
)
"""The sections of a site file that hold entries by tag: one that is wrong is left out alone."""
_PROFILE: Final[TypeAdapter[ModbusProfile | OpcUaProfile]] = TypeAdapter(Profile)
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class LoadedSite:
    """A site that may run: the model, each device's profile, the signal table, and on which line each alarm stands.

    ``text`` and ``profile_texts`` (by name) are the files as they were read, for whoever is to load the same again.
    """

    path: Path
    site: Site
    profiles: dict[str, ModbusProfile | OpcUaProfile]
    signals: SignalTable
    alarm_lines: Mapping[str, int] = field(default_factory=dict)
    text: str = ""
    profile_texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _ReadProfile:
    """A profile and the text it was read from."""

    profile: ModbusProfile | OpcUaProfile
    text: str


class _Document:
    """A YAML file as plain data, and the line on which each part of it stands."""

    def __init__(self, path: Path) -> None:
        self.file = str(path)
        self.problems: list[Problem] = []
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ConfigError([Problem(self.file, 0, "", "a larger file", f"at most {MAX_FILE_BYTES} bytes")])
            self.text = path.read_bytes().decode("utf-8")
            loader = _LOADER(self.text)
        except OSError as error:
            raise ConfigError([Problem(self.file, 0, "", error.strerror or str(error), "a readable file")]) from error
        except UnicodeDecodeError as error:
            raise ConfigError([Problem(self.file, 0, "", "bytes that are not UTF-8", "UTF-8 text")]) from error
        try:
            self._root = loader.get_single_node()
            if self._root is not None:
                self._refuse_repeats(self._root, ())
            self.data: Any = loader.construct_document(self._root) if self._root is not None else None
        except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
            mark = getattr(error, "problem_mark", None)
            text = str(getattr(error, "problem", None) or error).splitlines()[0].removeprefix("found ")
            line = mark.line + 1 if mark else 0
            raise ConfigError([Problem(self.file, line, "", text, "well-formed YAML")]) from error
        except (RecursionError, ValueError) as error:
            raise ConfigError([Problem(self.file, 0, "", str(error), "well-formed YAML")]) from error
        finally:
            loader.dispose()

    def _refuse_repeats(self, root: yaml.Node, path: Path_) -> None:
        waiting: list[tuple[yaml.Node, Path_]] = [(root, path)]
        seen_nodes: set[int] = set()
        while waiting:
            node, path = waiting.pop()
            if id(node) in seen_nodes:
                continue
            seen_nodes.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                waiting.extend((item, (*path, i)) for i, item in enumerate(node.value))
            elif isinstance(node, yaml.MappingNode):
                lines: dict[str, int] = {}
                for key, value in node.value:
                    name = str(key.value)
                    line = key.start_mark.line + 1
                    if name in lines:
                        where = ".".join(map(str, (*path, name)))
                        found = f"'{name}' a second time (first on line {lines[name]})"
                        self.problems.append(Problem(self.file, line, where, found, "each key once"))
                    lines[name] = line
                    waiting.append((value, (*path, name)))

    def line(self, path: Path_) -> int:
        """The line of the deepest part of ``path`` that exists, counting from 1."""
        node, line = self._root, 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                hit = next(((k, v) for k, v in node.value if str(k.value) == str(step)), None)
                if hit is None:
                    break
                line, node = hit[0].start_mark.line + 1, hit[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return line

    def value(self, path: Path_) -> Any:
        """What stands at ``path``, or ``None``."""
        data = self.data
        for step in path:
            try:
                data = data[step]
            except (KeyError, IndexError, TypeError):
                return None
        return data

    def problem(self, path: Path_, found: str, expected: str) -> Problem:
        return Problem(self.file, self.line(path), ".".join(map(str, path)), found, expected)


def load_site(path: Path) -> LoadedSite:
    """Reads and checks a site file. Raises ``ConfigError`` with every problem of the file and its profiles."""
    document = _Document(path)
    problems = list(document.problems)
    site, schema_problems, dropped = _read_site(document)
    problems += schema_problems
    if site is None:
        raise ConfigError(problems)
    texts: dict[str, str] = {}
    profiles, profile_problems, unread = _profiles(site, document, texts)
    problems += profile_problems
    findings = check_site(site, profiles, frozenset(dropped) | unread)
    reported = {problem.path for problem in problems}
    found = [_from_finding(document, finding) for finding in findings]
    problems += [problem for problem in found if problem.path not in reported]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: (problem.file, problem.line)))
    lines = {name: document.line(("alarms", name)) for name in site.alarms}
    return LoadedSite(path, site, profiles, signal_table(site, profiles), lines, document.text, texts)


def load_profile(path: Path) -> ModbusProfile | OpcUaProfile:
    """Reads and checks one profile file. Raises ``ConfigError``."""
    return _read_profile(path).profile


def _read_profile(path: Path) -> _ReadProfile:
    document = _Document(path)
    try:
        profile = _PROFILE.validate_python(document.data)
    except ValidationError as error:
        problems = [_problem(document, Profile, detail) for detail in error.errors()]
        raise ConfigError(document.problems + problems) from error
    if document.problems:
        raise ConfigError(document.problems)
    return _ReadProfile(profile, document.text)


def profile_names() -> list[str]:
    """The profiles that ship with Penstock."""
    return sorted(path.stem for path in DEVICES.glob("*.yaml"))


@lru_cache(maxsize=256)
def _cached_profile(path: Path, changed_ns: int) -> _ReadProfile:
    return _read_profile(path)


def _read_site(document: _Document) -> tuple[Site | None, list[Problem], set[str]]:
    """The site; what is wrong with it; and the tags of entries left out so that the rest can still be checked."""
    problems: list[Problem] = []
    data, dropped = document.data, set[str]()
    for attempt in range(MAX_PRUNINGS):
        try:
            return Site.model_validate(data), problems, dropped
        except ValidationError as error:
            if attempt == 0:
                problems = [_problem(document, Site, detail) for detail in error.errors()]
            data = _pruned(data, error, dropped)
            if data is None:
                break
    return None, problems, dropped


def _pruned(data: Any, error: ValidationError, dropped: set[str]) -> Any:
    """A copy without what was wrong: the key alone where it can be missed, else the smallest entry around it."""
    copied = copy.deepcopy(data)
    for detail in error.errors():
        path, model = _walk(Site, detail["loc"])
        field = model.model_fields.get(str(path[-1])) if model is not None and path else None
        alone = detail["type"] == "extra_forbidden" or (field is not None and not field.is_required())
        victim = path if alone else _entry_around(path)
        if not victim:
            return None
        _drop(copied, victim)
        if len(victim) > 1:
            dropped.add(str(victim[-1] if victim[-2:-1] != ("guards",) else ".".join(map(str, victim))))
    return copied


def _entry_around(path: Path_) -> Path_:
    """The entry that holds a path: a guard of a dispenser; a link, device, valve, pump or dispenser; a section."""
    if len(path) >= 4 and path[0] == "dispensers" and path[2] == "guards":
        return path[:4]
    if len(path) < 2 or path[0] == "site":
        return ()
    return path[:2] if path[0] in _SECTIONS_OF_ENTRIES else path[:1]


def _drop(data: Any, path: Path_) -> None:
    """Removes what stands at ``path``, unless it is gone with what stood around it."""
    for step in path[:-1]:
        data = data.get(step) if isinstance(data, dict) else None
    if isinstance(data, dict):
        data.pop(path[-1], None)


def _profiles(
    site: Site, document: _Document, texts: dict[str, str]
) -> tuple[dict[str, ModbusProfile | OpcUaProfile], list[Problem], frozenset[str]]:
    """The profile of each device, what is wrong with them, and the tags of those left out; ``texts`` is filled."""
    profiles: dict[str, ModbusProfile | OpcUaProfile] = {}
    problems: dict[str, list[Problem]] = {}
    unread: set[str] = set()
    beside = Path(document.file).parent
    for tag, device in site.devices.items():
        if not isinstance(device.profile, str):
            profiles[tag] = device.profile
            continue
        name = device.profile
        path = next((p for p in (beside / f"{name}.yaml", DEVICES / f"{name}.yaml") if p.is_file()), None)
        if path is None or "/" in name:
            close = difflib.get_close_matches(name, profile_names(), 1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            where: Path_ = ("devices", tag, "profile")
            expected = f"{name}.yaml beside the site file, or one of: {', '.join(profile_names())}{hint}"
            problems.setdefault(tag, []).append(document.problem(where, f"'{name}'", expected))
            unread.add(tag)
            continue
        try:
            read = _cached_profile(path, path.stat().st_mtime_ns)
            profiles[tag], texts[name] = read.profile, read.text
        except ConfigError as error:
            problems[str(path)] = error.problems
            unread.add(tag)
    return profiles, [problem for group in problems.values() for problem in group], frozenset(unread)


def _from_finding(document: _Document, finding: Finding) -> Problem:
    return document.problem(finding.path, finding.found, finding.expected)


def _problem(document: _Document, root: Any, detail: ErrorDetails) -> Problem:
    """One pydantic error in our words, at the line where it stands."""
    path, model = _walk(root, detail["loc"])
    found = _shown(document.value(path))
    kind = detail["type"]
    if kind == "extra_forbidden":
        names = [f.alias or name for name, f in model.model_fields.items()] if model else []
        close = difflib.get_close_matches(str(path[-1]), names, 1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return document.problem(path, f"unknown key '{path[-1]}'", f"one of: {', '.join(names)}{hint}")
    if kind == "missing":
        return document.problem(path, "nothing", f"a value for '{path[-1]}'")
    if kind == "value_error":
        return document.problem(path, found, str(detail.get("ctx", {}).get("error", detail["msg"])))
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        context = detail.get("ctx", {})
        field = str(context.get("discriminator", "")).strip("'")
        tag = context.get("tag")
        at = (*path, field) if tag is not None else path
        expected = f"{field}: {context['expected_tags']}" if "expected_tags" in context else f"a '{field}'"
        return document.problem(at, f"'{tag}'" if tag is not None else f"no '{field}'", expected)
    if kind == "string_pattern_mismatch":
        return document.problem(path, found, f"text of the form {detail['ctx']['pattern']}")
    return document.problem(path, found, detail["msg"].removeprefix("Input should be "))


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _walk(root: Any, loc: tuple[int | str, ...]) -> tuple[Path_, type[BaseModel] | None]:
    """The way to an error as it stands in the file (without pydantic's union tags), and the model around it."""
    path: list[str | int] = []
    kind, model = root, None
    for step in loc:
        kind = _bare(kind)
        if typing.get_origin(kind) in (typing.Union, *_UNION_TYPES):
            member = _member(kind, str(step))
            if member is not None:
                kind = member
                continue
            kind = next((m for m in typing.get_args(kind) if isinstance(_bare(m), type)), kind)
            kind = _bare(kind)
        if step == "[key]":
            break
        path.append(step)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
            field = kind.model_fields.get(str(step))
            kind = _annotation(field) if field else None
        else:
            arguments = typing.get_args(kind)
            kind = arguments[-1] if typing.get_origin(kind) is dict else (arguments[0] if arguments else None)
            model = None
    return tuple(path), model


_UNION_TYPES: Final = (type(int | str),)


def _annotation(field: Any) -> Any:
    return field.annotation


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) in (typing.Union, *_UNION_TYPES):
        members = [m for m in typing.get_args(kind) if m is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return kind


def _member(union: Any, tag: str) -> Any:
    """The member of a union that pydantic calls ``tag`` in an error's location."""
    for member in typing.get_args(union):
        bare = _bare(member)
        if typing.get_origin(bare) in (typing.Union, *_UNION_TYPES):
            nested = _member(bare, tag)
            if nested is not None:
                return nested
            if tag.startswith("tagged-union"):
                return bare
        if isinstance(bare, type):
            if bare.__name__ == tag:
                return bare
            if issubclass(bare, BaseModel):
                for field in bare.model_fields.values():
                    if typing.get_origin(field.annotation) is typing.Literal and tag in typing.get_args(
                        field.annotation
                    ):
                        return bare
    return None
