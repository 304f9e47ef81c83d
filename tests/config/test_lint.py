"""What the linter remarks on, and what it lets pass."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from config.lint import LEVELS, Remark, lint
from config.load import DEVICES, load_profile, profile_names
from config.profile import ModbusProfile, OpcUaProfile, Profile

_PROFILE: TypeAdapter[ModbusProfile | OpcUaProfile] = TypeAdapter(Profile)

FLAG = {"table": "holding", "address": 9, "description": "0 ok, 1 fault"}


def remarks(signals: dict[str, Any], **head: Any) -> list[Remark]:
    whole = {"protocol": "modbus", "title": "t", "vendor": "v", "source": "manual p. 1", "signals": signals, **head}
    return lint(_PROFILE.validate_python(whole))


def said(signals: dict[str, Any], **head: Any) -> set[tuple[str, str, str]]:
    return {(remark.level, remark.code, remark.signal) for remark in remarks(signals, **head)}


def measured(**more: Any) -> dict[str, Any]:
    return {"table": "holding", "address": 0, "unit": "mg/L", "range": [0, 10], "description": "d"} | more


@pytest.mark.parametrize("name", profile_names())
def test_no_shipped_profile_has_an_error_or_a_warning(name: str) -> None:
    found = lint(load_profile(DEVICES / f"{name}.yaml"))
    assert [remark for remark in found if remark.level != "info"] == []


@pytest.mark.parametrize(
    ("signals", "head", "level", "code", "signal"),
    [
        ({"v": measured()}, {"source": ""}, "warning", "no-source", ""),
        ({"v": measured()}, {"source": "", "verified": "manual"}, "error", "verified-without-source", ""),
        ({"v": measured(verified="transcript")}, {"source": ""}, "error", "verified-without-source", "v"),
        ({"v": measured()}, {"title": ""}, "warning", "no-title", ""),
        ({"v": measured()}, {"vendor": ""}, "info", "no-vendor", ""),
        ({"v": measured()}, {}, "info", "unverified", ""),
        ({"v": measured(range=None)}, {}, "warning", "no-range", "v"),
        ({"v": {"table": "holding", "address": 0}}, {}, "warning", "no-unit", "v"),
        ({"total": measured(unit="m3", range=None)}, {}, "info", "no-rollover", "total"),
        ({"total": measured(unit="m3", type="float32", range=None)}, {}, "info", "float-total", "total"),
        ({"b": {"table": "coil", "address": 0, "type": "bool"}}, {}, "info", "undescribed", "b"),
        (
            {"v": measured(quality_from={"signal": "f", "codes": {1: "device-fault"}}), "f": FLAG},
            {},
            "error",
            "never-good",
            "v",
        ),
        (
            {"v": measured(quality_from={"signal": "f", "bits": {1: "ok", 2: "device-fault"}}), "f": FLAG},
            {},
            "error",
            "always-good",
            "v",
        ),
        ({"v": measured(quality_from={"signal": "f", "codes": {0: "ok"}}), "f": FLAG}, {}, "info", "only-ok", "v"),
        (
            {"v": measured(unit_from={"signal": "f", "codes": {0: "g/L"}}), "f": FLAG},
            {},
            "warning",
            "unit-not-listed",
            "v",
        ),
        (
            {"v": {"table": "holding", "address": 0, "enum": {0: "stopped", 1: "stopped"}}},
            {},
            "warning",
            "enum-repeated",
            "v",
        ),
        ({"v": measured(type="float32"), "w": measured(address=1)}, {}, "warning", "overlap", "w"),
        (
            {"v": measured(fraction={"address": 4}), "w": measured(address=5)},
            {},
            "warning",
            "overlap",
            "w",
        ),
        ({"v": measured()}, {"limits": {"gap": 3}}, "warning", "gap-unverified", ""),
        (
            {"v": measured(quality_from={"signal": "f", "codes": {0: "ok", 1: "device-fault"}}), "f": FLAG},
            {"limits": {"gap": 7}},
            "warning",
            "bound-across-gap",
            "v",
        ),
        ({"total": measured(unit="m3", fraction={"address": 4})}, {}, "warning", "bound-across-gap", "total"),
        ({"v": measured()}, {}, "info", "no-identify", ""),
        ({"v": measured()}, {}, "info", "no-serial", ""),
        ({"v": measured(address=40001)}, {}, "warning", "manual-number", "v"),
        ({"v": measured(table="input", address=30011)}, {}, "warning", "manual-number", "v"),
        ({"v": measured(type="float32")}, {}, "info", "no-order", "v"),
        (
            {"run": {"table": "coil", "address": 0, "type": "bool", "writable": True, "command": {}}},
            {},
            "warning",
            "unconfirmed",
            "run",
        ),
        (
            {
                "run": {
                    "table": "coil",
                    "address": 0,
                    "type": "bool",
                    "writable": True,
                    "command": {"require": {"remote": True}, "confirm": {"signal": "remote", "within": "1 s"}},
                },
                "remote": {"table": "coil", "address": 1, "type": "bool"},
            },
            {},
            "warning",
            "no-safe",
            "run",
        ),
        ({"demand": measured(unit="%", writable=True)}, {}, "info", "unconfirmed", "demand"),
    ],
)
def test_a_doubt_is_named(signals: dict[str, Any], head: dict[str, Any], level: str, code: str, signal: str) -> None:
    assert (level, code, signal) in said(signals, **head)


@pytest.mark.parametrize(
    ("signals", "head", "code"),
    [
        ({"v": measured(range=None, poll="1 h")}, {}, "no-range"),
        ({"v": measured(unit="s", range=None)}, {}, "no-range"),
        ({"v": {"table": "holding", "address": 0, "enum": {0: "stopped", 1: "running"}}}, {}, "no-unit"),
        ({"v": {"table": "holding", "address": 0, "description": "0 ok"}}, {}, "no-unit"),
        ({"total": measured(unit="m3", range=None, rollover=1e9)}, {}, "no-rollover"),
        ({"volume": measured(unit="m3", range=None)}, {}, "no-rollover"),
        ({"v": measured(), "bit": {"table": "holding", "address": 0, "type": "bool", "bit": 3}}, {}, "overlap"),
        ({"v": measured(), "low": {"table": "holding", "address": 0, "bits": [0, 3]}}, {}, "overlap"),
        ({"v": measured(), "w": measured(table="input")}, {}, "overlap"),
        ({"v": measured()}, {"limits": {"gap": 3}, "verified": "manual"}, "gap-unverified"),
        ({"v": measured(verified="manual")}, {"verified": "manual"}, "verified-without-source"),
        (
            {"v": measured(quality_from={"signal": "f", "codes": {0: "ok", 1: "device-fault"}}), "f": FLAG},
            {"limits": {"gap": 8}, "verified": "manual"},
            "bound-across-gap",
        ),
        (
            {"total": measured(unit="m3", fraction={"address": 2}), "between": {"table": "holding", "address": 1}},
            {},
            "bound-across-gap",
        ),
    ],
)
def test_what_is_in_order_is_let_pass(signals: dict[str, Any], head: dict[str, Any], code: str) -> None:
    assert code not in {remark.code for remark in remarks(signals, **head)}


def test_the_worst_comes_first() -> None:
    signals = {"b": {"table": "coil", "address": 0, "type": "bool"}, "v": measured(range=None)}
    levels = [remark.level for remark in remarks(signals, verified="manual", source="")]
    assert levels == sorted(levels, key=LEVELS.index)
    assert set(levels) == set(LEVELS)


def test_an_opcua_profile_is_checked_too() -> None:
    profile = _PROFILE.validate_python(
        {
            "protocol": "opcua",
            "signals": {"level": {"namespace": "urn:plant", "node": "s=LT-1", "unit": "m", "verified": "manual"}},
        }
    )
    assert {(remark.code, remark.signal) for remark in lint(profile)} >= {
        ("verified-without-source", "level"),
        ("no-range", "level"),
        ("no-title", ""),
    }


def test_numbers_of_a_manual_are_told_by_what_to_take_off_them() -> None:
    [one] = [one for one in remarks({"v": measured(address=40011)}) if one.code == "manual-number"]
    assert "then it is holding 10 on the wire; take 40001 off" in one.text
    [one] = [one for one in remarks({"v": measured(address=40011)}, base=1) if one.code == "manual-number"]
    assert "take 40000 off" in one.text


def test_high_addresses_beside_low_ones_and_an_order_that_is_said_are_let_pass() -> None:
    codes = {code for _, code, _ in said({"v": measured(address=40001), "w": measured(address=10)})}
    assert "manual-number" not in codes
    assert "no-order" not in {code for _, code, _ in said({"v": measured(type="float32", order="ABCD")})}
