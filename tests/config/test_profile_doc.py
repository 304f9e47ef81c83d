"""The reference of the profile file is complete, in both languages, and its examples are profiles."""

import re
import textwrap
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from config.encoding import Encoding, Order, Table
from config.profile import ModbusProfile, OpcUaProfile, Profile
from config.sample import Reason

DOCS = Path(__file__).parents[2] / "docs"
REFERENCES = ("profile-file.md", "profile-file.zh-CN.md")
YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_PROFILE: TypeAdapter[ModbusProfile | OpcUaProfile] = TypeAdapter(Profile)


def models(kind: Any) -> set[type[BaseModel]]:
    """The model of a profile and all models within it."""
    found: set[type[BaseModel]] = set()
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and issubclass(one, BaseModel):
            if one not in found:
                found.add(one)
                waiting += [field.annotation for field in one.model_fields.values()]
        else:
            waiting += typing.get_args(one)
    return found


def keys(data: Any) -> set[str]:
    """Every key in plain data, however deep. YAML takes the bare words on and off for true and false."""
    if isinstance(data, dict):
        own = {{True: "on", False: "off"}.get(key, key) if isinstance(key, bool) else key for key in data}
        return {str(key) for key in own}.union(*(keys(value) for value in data.values()))
    return set().union(*(keys(item) for item in data)) if isinstance(data, list) else set()


def examples(reference: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(textwrap.dedent(block)) for block in YAML.findall((DOCS / reference).read_text("utf-8"))]


FIELDS = sorted({name for model in models(ModbusProfile) | models(OpcUaProfile) for name in model.model_fields})


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_key_is_described_and_has_an_example(reference: str) -> None:
    text = (DOCS / reference).read_text("utf-8")
    shown = set().union(*(keys(example) for example in examples(reference)))
    assert [name for name in FIELDS if f"`{name}`" not in text and f"`{name}:" not in text] == []
    assert [name for name in FIELDS if name not in shown] == []


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("words", [Encoding, Order, Table, Reason], ids=lambda words: words.__name__)
def test_every_word_that_may_stand_there_is_named(reference: str, words: Any) -> None:
    text = (DOCS / reference).read_text("utf-8")
    assert [str(word) for word in words if f"`{word}`" not in text] == []


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_example_is_a_profile_or_a_part_of_one(reference: str) -> None:
    whole = {"protocol": "modbus", "signals": {"value": {"table": "holding", "address": 1}}}
    found = examples(reference)
    assert len(found) > 8
    for example in found:
        _PROFILE.validate_python(whole | example)


def test_both_languages_show_the_same_examples() -> None:
    english, chinese = (examples(reference) for reference in REFERENCES)
    assert [keys(example) for example in english] == [keys(example) for example in chinese]
