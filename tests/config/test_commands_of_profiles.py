"""What a profile says of commands is checked when it is loaded: values that a signal can have, places that exist."""

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from config.profile import ModbusProfile

SIGNALS: dict[str, dict[str, object]] = {
    "run": {"table": "holding", "address": 5, "switch": {"on": 1, "off": 0}, "writable": True},
    "speed": {"table": "holding", "address": 6, "writable": True},
    "remote": {"table": "holding", "address": 7, "type": "bool", "bit": 0},
    "state": {"table": "holding", "address": 8, "enum": {0: "off", 1: "ready"}},
    "serial_number": {"table": "holding", "address": 9, "type": "string", "length": 2},
}


def profile(
    command: Mapping[str, object] | None = None, of: str = "run", more: Mapping[str, object] | None = None
) -> ModbusProfile:
    signals = SIGNALS | {of: SIGNALS[of] | ({"command": command} if command else {})}
    return ModbusProfile.model_validate({"protocol": "modbus", "signals": signals, **(more or {})})


@pytest.mark.parametrize(
    ("of", "command", "said"),
    [
        ("run", {"safe": 0}, "run: safe: true or false for 'run'"),
        ("speed", {"safe": False}, "speed: safe: a number for 'speed'"),
        ("run", {"require": {"speed": True}}, "run: require: a number for 'speed', which is a number"),
        ("run", {"require": {"remote": 1}}, "run: require: true or false for 'remote'"),
        ("run", {"require": {"state": False}}, "put it in quotes"),
        ("run", {"require": {"state": "redy"}}, "a word that 'state' can read: off, ready"),
        ("run", {"kind": "handshake", "ack": "speed"}, "run: ack naming a signal that is on or off"),
        ("run", {"confirm": {"signal": "speed", "within": "1 s"}}, "'speed' is a number, 'run' a bool"),
        ("speed", {"confirm": {"signal": "remote", "within": "1 s"}}, "'remote' is a bool, 'speed' a number"),
    ],
)
def test_a_command_needs_and_is_confirmed_by_what_its_signals_can_read(
    of: str, command: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError) as error:
        profile(command, of)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"on_connect": {"speed": "fast"}}, "on_connect: a number for 'speed'"),
        ({"on_connect": {"run": 1}}, "on_connect: true or false for 'run'"),
        ({"identify": {"serial_number": 12}}, "identify: a text for 'serial_number'"),
        ({"base": 1, "writing": {"unlock": {"address": 0, "value": 1}}}, "writing.unlock: an address of 1 to 65536"),
        ({"writing": {"unlock": {"address": 65536, "value": 1}}}, "writing.unlock: an address of 0 to 65535"),
        (
            {"base": 1, "writing": {"allow": [{"table": "holding", "first": 0, "last": 3}]}},
            "writing.allow: an address of 1 to 65536",
        ),
    ],
)
def test_what_is_written_at_the_start_and_by_the_way_must_be_possible(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        profile(more=more)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("kind", "codes"),
    [("int16", {"on": 65535, "off": 0}), ("int16", {"on": 1, "off": [0, 40000]}), ("bcd16", {"on": 12345, "off": 0})],
)
def test_the_codes_of_a_switch_must_fit_its_register(kind: str, codes: dict[str, object]) -> None:
    run = {"table": "holding", "address": 5, "type": kind, "switch": codes, "writable": True}
    with pytest.raises(ValidationError, match=f"switch: numbers that {kind} can hold"):
        ModbusProfile.model_validate({"protocol": "modbus", "signals": {"run": run}})


def test_what_fits_is_taken() -> None:
    profile(
        {"safe": False, "require": {"remote": True, "state": "ready", "speed": 0}},
        more={
            "on_connect": {"speed": 3, "run": False},
            "identify": {"serial_number": "AB"},
            "writing": {"unlock": {"address": 65535, "value": 1}},
        },
    )
