"""Device profiles: what ships is complete, and a map that cannot work is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from config.encoding import REGISTERS, Encoding
from config.load import DEVICES, load_profile, profile_names
from config.modbus_signal import ModbusSignal, Verified
from config.profile import ModbusProfile, OpcUaProfile, Profile

_PROFILE: TypeAdapter[ModbusProfile | OpcUaProfile] = TypeAdapter(Profile)


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_loads_and_tells_its_source(name: str) -> None:
    profile = load_profile(DEVICES / f"{name}.yaml")
    assert profile.title
    assert profile.vendor
    assert profile.source
    assert profile.verified in Verified


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_register_map_can_be_read_within_its_own_limits(name: str) -> None:
    profile = load_profile(DEVICES / f"{name}.yaml")
    assert isinstance(profile, ModbusProfile)
    for signal in profile.signals.values():
        assert REGISTERS[signal.type] <= profile.limits.registers
        assert signal.address - profile.base + REGISTERS[signal.type] <= 0x10000


def test_every_file_in_the_directory_is_a_profile_by_name() -> None:
    assert profile_names() == sorted(path.stem for path in Path(DEVICES).iterdir() if path.suffix == ".yaml")
    assert profile_names()


def test_every_encoding_has_its_length() -> None:
    assert set(REGISTERS) == set(Encoding)


def profile(**signals: dict[str, Any]) -> ModbusProfile | OpcUaProfile:
    return _PROFILE.validate_python({"protocol": "modbus", "signals": signals})


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ({"table": "coil", "address": 0}, "type: bool, because a coil is one bit"),
        ({"table": "holding", "address": 0, "type": "bool"}, "a bit"),
        ({"table": "holding", "address": 0, "bit": 3}, "no bit"),
        ({"table": "coil", "address": 0, "type": "bool", "bit": 1}, "no bit"),
        ({"table": "holding", "address": 0, "type": "bool", "bit": 16}, "less than or equal to 15"),
        ({"table": "input", "address": 0, "writable": True}, "table: coil or holding"),
        ({"table": "discrete", "address": 0, "type": "bool", "writable": True}, "table: coil or holding"),
        ({"table": "holding", "address": 0, "bits": [0, 3], "writable": True}, "a plain number, a switch"),
        ({"table": "holding", "address": 0, "fraction": {"address": 2}, "writable": True}, "a plain number, a switch"),
        ({"table": "holding", "address": 0, "range": [5, 5]}, "low below high"),
        ({"table": "holding", "address": 0, "unit": "furlong"}, "a known unit"),
        ({"table": "holding", "address": -1}, "greater than or equal to 0"),
        ({"table": "holding", "address": 0, "type": "float16"}, "'uint16'"),
        ({"table": "holding", "address": 0, "time_from": "other"}, "'other' is none"),
        ({"table": "holding", "address": 0, "time_from": "value"}, "time_from naming a signal of a type of time"),
        ({"table": "holding", "address": 0, "quality_from": {"signal": "flag", "codes": {0: "ok"}}}, "'flag' is none"),
        ({"table": "holding", "address": 0, "offest": 1}, "Extra inputs"),
    ],
)
def test_a_map_that_cannot_work_is_refused(signal: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        profile(value=signal)


def test_on_and_off_of_a_switch_may_stand_without_quotes() -> None:
    text = "{table: holding, address: 0, switch: {on: 2, off: [1, 0]}}"
    signal = profile(value=yaml.safe_load(text)).signals["value"]
    assert isinstance(signal, ModbusSignal)
    assert signal.switch is not None
    assert (signal.switch.on, signal.switch.off) == ((2,), (1, 0))


def test_a_switch_of_numbers_is_no_switch() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        profile(value={"table": "holding", "address": 0, "switch": {1: 2, 0: 1}})


def test_an_address_below_the_base_is_refused() -> None:
    with pytest.raises(ValidationError, match="an address of at least 1"):
        _PROFILE.validate_python(
            {"protocol": "modbus", "base": 1, "signals": {"value": {"table": "holding", "address": 0}}}
        )


def test_a_profile_is_immutable_and_has_the_defaults_of_the_common_case() -> None:
    read = profile(value={"table": "holding", "address": 7})
    signal = read.signals["value"]
    assert isinstance(signal, ModbusSignal)
    assert (signal.type, signal.scale, signal.offset, signal.writable) == (Encoding.UINT16, 1.0, 0.0, False)
    assert read.verified is Verified.UNVERIFIED
    with pytest.raises(ValidationError):
        signal.address = 8  # type: ignore[misc]


READ = "bound to a signal that can be read ('s' only takes orders)"
ORDER = {
    "table": "holding",
    "address": 1,
    "writable": True,
    "command": {"kind": "latched", "confirm": {"signal": "f", "within": "1 s"}},
}


@pytest.mark.parametrize(
    ("signals", "told"),
    [
        ({"v": {"table": "input", "address": 0, "scale": 0}}, "a finite number other than 0"),
        ({"v": {"table": "input", "address": 65535, "type": "float32"}}, "at most 65535"),
        ({"v": {"table": "input", "address": 65536}}, "at most 65535"),
        (
            {"v": {"table": "input", "address": 0, "fraction": {"address": 2, "type": "bcd-time"}}},
            "a part of a type of number",
        ),
        (
            {
                "v": {"table": "input", "address": 0, "quality_from": {"signal": "s", "codes": {0: "ok"}}},
                "s": {"table": "holding", "address": 1},
            },
            "the same table",
        ),
        (
            {
                "v": {"table": "input", "address": 0, "quality_from": {"signal": "s", "codes": {0: "ok"}}},
                "s": {"table": "input", "address": 1, "type": "bcd-time"},
            },
            "a type of number",
        ),
        (
            {
                "v": {"table": "input", "address": 0, "quality_from": {"signal": "s", "codes": {0: "ok"}}},
                "s": {"table": "input", "address": 300},
            },
            "within one read of 125 (301 registers)",
        ),
        *[
            (
                {"v": {"table": "holding", "address": 0, **uses}, "s": ORDER, "f": {"table": "holding", "address": 2}},
                READ,
            )
            for uses in (
                {"quality_from": {"signal": "s", "codes": {0: "ok"}}},
                {"unit_from": {"signal": "s", "codes": {0: "1"}}},
                {"exponent_from": {"signal": "s"}},
                {"writable": True, "command": {"confirm": {"signal": "s", "within": "1 s"}}},
                {"writable": True, "command": {"require": {"s": 1}}},
            )
        ],
    ],
)
def test_a_map_that_cannot_be_read_is_refused(signals: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ModbusProfile.model_validate({"protocol": "modbus", "signals": signals})
    assert told in str(refused.value)
