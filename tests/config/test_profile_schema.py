"""The JSON schema for editors: it accepts what the loader accepts, and knows every key."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from config.load import DEVICES, profile_names
from config.profile import ModbusProfile, OpcUaProfile, Profile

_PROFILE: TypeAdapter[ModbusProfile | OpcUaProfile] = TypeAdapter(Profile)
SCHEMA: dict[str, Any] = _PROFILE.json_schema()
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
KNOWN = {"title", "description", "default", "discriminator", "$defs"}
CHECKED = {
    "$ref",
    "anyOf",
    "oneOf",
    "type",
    "const",
    "enum",
    "properties",
    "required",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "minProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minLength",
    "pattern",
}


def fits(value: object, schema: dict[str, Any]) -> bool:
    """Whether a value is of a schema. Every keyword that the schema uses is checked or known to say nothing."""
    assert set(schema) <= KNOWN | CHECKED, set(schema) - KNOWN - CHECKED
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(value, one) for one in schema["oneOf"]) != 1:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema:
        wanted = TYPES[schema["type"]]
        if not isinstance(value, wanted) or (isinstance(value, bool) and schema["type"] != "boolean"):
            return False
    match value:
        case dict():
            return _object_fits(value, schema)
        case list():
            return _list_fits(value, schema)
        case str():
            return len(value) >= schema.get("minLength", 0) and bool(re.search(schema.get("pattern", ""), value))
        case int() | float():
            return schema.get("minimum", value) <= value <= schema.get("maximum", value) and not value <= schema.get(
                "exclusiveMinimum", value - 1
            )
    return True


def _object_fits(value: dict[str, Any], schema: dict[str, Any]) -> bool:
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    if not set(schema.get("required", ())) <= set(value) or len(value) < schema.get("minProperties", 0):
        return False
    for key, item in value.items():
        if not fits(str(key), schema.get("propertyNames", {})):
            return False
        named = next(
            (one for form, one in schema.get("patternProperties", {}).items() if re.search(form, str(key))), rest
        )
        wanted = properties.get(key, named)
        if wanted is False or (isinstance(wanted, dict) and not fits(item, wanted)):
            return False
    return True


def _list_fits(value: list[Any], schema: dict[str, Any]) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    fixed = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    return all(fits(item, fixed[i] if i < len(fixed) else rest) for i, item in enumerate(value))


class _Editor(yaml.SafeLoader):
    """Reads as editors do, by YAML 1.2: on and off are words."""


_Editor.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Editor.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def as_editor(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), _Editor)


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_is_of_the_schema(name: str) -> None:
    assert fits(as_editor(DEVICES / f"{name}.yaml"), SCHEMA)


@pytest.mark.parametrize(
    "broken",
    [
        {"scale": "a lot"},
        {"poll": 5},
        {"adress": 1},
        {"type": "float16"},
        {"bit": 16},
        {"quality_from": {"codes": {0: "ok"}}},
        {"switch": {"on": 1}},
        {"command": {"kind": "sometimes"}},
        {"range": [0]},
    ],
)
def test_a_mistake_is_seen_by_the_editor(broken: dict[str, Any]) -> None:
    signal = {"table": "holding", "address": 1}
    assert fits({"protocol": "modbus", "signals": {"v": signal}}, SCHEMA)
    assert not fits({"protocol": "modbus", "signals": {"v": signal | broken}}, SCHEMA)


def test_quantities_are_written_with_their_unit() -> None:
    signal = {"table": "holding", "address": 1, "poll": "1 h", "quality_from": [{"signal": "flag"}]}
    assert fits({"protocol": "modbus", "limits": {"response_delay": "0.2 s"}, "signals": {"v": signal}}, SCHEMA)
