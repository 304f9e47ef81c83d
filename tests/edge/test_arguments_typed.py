"""Whatever is typed, a tool answers in words and with an exit code: never with a traceback."""

from pathlib import Path

import pytest

from edge.cli import exit_codes
from edge.cli.scan_bus import parse_units
from tests.edge.typed import penstock

ODD = (
    *("", "-1", "-5 L", "--", "²", "水[/b]\x1b[31m", "\udcff", "0x", "nan", "1e999"),
    *("9" * 5000, "X." + "y" * 5000),
)
"""Empty, negative, huge, not ASCII, not even Unicode."""

POINTED = ("--host", "127.0.0.1", "--tcp-port", "1", "--unit", "1")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("read", "{}"),
    ("read", "{}", "holding", "0"),
    ("read", "holding", "{}"),
    ("read", "holding", "0", "{}", *POINTED),
    ("read", *POINTED, "--profile", "{}"),
    ("read", "--port", "{}", "--unit", "1", "holding", "0"),
    ("read", "--host", "{}", "--tcp-port", "1", "--unit", "1", "holding", "0", "--timeout", "50 ms"),
    ("read", "--host", "127.0.0.1", "--tcp-port", "{}", "--unit", "1", "holding", "0"),
    ("read", "--host", "127.0.0.1", "--tcp-port", "1", "--unit", "{}", "holding", "0"),
    ("read", *POINTED, "holding", "0", "--timeout", "{}"),
    ("read", "--port", "/dev/none", "--unit", "1", "holding", "0", "--baud", "{}"),
    ("read", "--port", "/dev/none", "--unit", "1", "holding", "0", "--parity", "{}"),
    ("read", "--port", "/dev/none", "--unit", "1", "holding", "0", "--stopbits", "{}"),
    ("read", "X", "--site", "{}"),
    ("read", "X", "--state", "{}"),
    ("read", "--find", "{}"),
    ("decode", "{}"),
    ("decode", "41 C8 00 00", "--expect", "{}"),
    ("decode", "41 C8 00 00", "--expect", "25.0", "--tolerance", "{}"),
    ("decode", "41 C8 00 00", "--address", "{}"),
    ("decode", "41 C8 00 00", "--table", "{}"),
    ("decode", "41 C8 00 00", "--name", "{}"),
    ("decode", *POINTED, "holding", "0", "2", "--watch", "--count", "{}"),
    ("decode", *POINTED, "holding", "0", "2", "--watch", "--every", "{}"),
    ("scan-bus", "{}"),
    ("scan-bus", "--host", "127.0.0.1", "--tcp-port", "1", "--units", "{}"),
    ("scan-bus", "--port", "/dev/none", "--baud", "{}"),
    ("identify", "{}"),
    ("identify", *POINTED, "--profile", "{}"),
    ("write", "{}", "1"),
    ("write", "X.y", "{}"),
    ("write", "X", "holding", "{}", "1"),
    ("write", "X", "holding", "0", "{}"),
    ("write", "X", "{}", "0", "1"),
    ("write", *POINTED, "--profile", "{}", "x", "1"),
    ("action", "{}"),
    ("action", "X", "{}"),
    ("order", "FILL-1", "{}"),
    ("order", "{}", "8 m3"),
    ("setpoint", "INDUSTRY", "{}"),
    ("receipts", "--limit", "{}"),
    ("why", "{}"),
    ("cancel", "{}"),
    ("status", "--state", "{}"),
    ("validate", "{}"),
    ("controller", "{}"),
    ("profile", "show", "{}"),
    ("profile", "lint", "{}"),
    ("opcua", "browse", "{}"),
    ("opcua", "trust", "add", "{}"),
    ("opcua", "trust", "remove", "{}"),
    ("opcua", "trust", "show", "{}"),
)
KNOWN = {exit_codes.DONE, exit_codes.WRONG, exit_codes.USAGE, exit_codes.REFUSED, exit_codes.UNREACHABLE}


NEEDS_NO_STATE = {"decode", "validate", "profile"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_an_odd_argument_is_answered_in_words(command: tuple[str, ...], tmp_path: Path) -> None:
    state = [] if "--state" in command or command[0] in NEEDS_NO_STATE else ["--state", tmp_path / "none"]
    for place, odd in enumerate(ODD, COMMANDS.index(command)):
        words = [word.replace("{}", odd) for word in command]
        as_json = ["--json"] if place % 2 and command[0] != "controller" else []
        # Any exception of the command comes out of this call.
        done = await penstock(*words, *state, *as_json)
        assert done.code in KNOWN, (odd[:20], done)
        if done.code != exit_codes.DONE:
            assert (done.err + done.out).strip(), odd[:20]
        assert not set(done.out + done.err) & {"\x1b", "\x9b"}, odd[:20]


@pytest.mark.parametrize("broker", ["", "broker", "mqtt://", "mqtt://h:x", "mqtt://h:99999", "http://h", "mqtt://[::1"])
async def test_a_broker_is_a_url(broker: str) -> None:
    done = await penstock("listen", broker)
    assert done.code == exit_codes.USAGE
    assert "mqtt://host:port" in done.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("order", "FILL-1", "-5 L"), exit_codes.USAGE, "the volume of an order is above 0"),
        (("order", "FILL-1", "0 m3"), exit_codes.USAGE, "the volume of an order is above 0"),
        (("setpoint", "INDUSTRY", "-5 m3/h"), exit_codes.USAGE, "a set-point is 0 (stops) or above"),
        (("write", "X.sp", "-5"), exit_codes.UNREACHABLE, "no controller runs"),
        (("write", "X.sp", "-5.5 degC", "--yes"), exit_codes.UNREACHABLE, "no controller runs"),
        (("write", "X.sp", "-.5"), exit_codes.UNREACHABLE, "no controller runs"),
        (("write", "X.sp", "--jes"), exit_codes.USAGE, "No such option"),
        (("read", "X", "holding", "-1"), exit_codes.WRONG, "Modbus addresses are 0 to 65535"),
        (("decode", "FF F0", "--expect", "-1.6"), exit_codes.DONE, ""),
        (("decode", "X", "holding", "0", "2", "--watch", "--count", "-1"), exit_codes.USAGE, "--count"),
        (("decode", "X", "holding", "0", "2", "--watch", "--every", "nan"), exit_codes.USAGE, "--every"),
        (("read", "", "holding", "0"), exit_codes.USAGE, "word 1 is empty"),
        (("write", "X.y", " "), exit_codes.USAGE, "word 2 is empty"),
        (("read", "--port", "p", "--unit", "1", "holding", "0", "--baud", ","), exit_codes.USAGE, "--baud: one of"),
    ],
)
async def test_a_number_below_zero_is_a_word_and_what_is_wrong_is_said(
    words: tuple[str, ...], code: int, told: str, tmp_path: Path
) -> None:
    where = [] if words[:2] == ("decode", "FF F0") else ["--state", tmp_path / "none"]
    done = await penstock(*words, *where)
    assert done.code == code, done
    assert told in " ".join(done.err.split())


@pytest.mark.parametrize("units", ["²", "1-²", "１", "-1", "1-", "9" * 50])
def test_units_are_plain_numbers(units: str) -> None:
    import typer

    with pytest.raises(typer.BadParameter):
        parse_units(units)
