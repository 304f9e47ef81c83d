"""Reading and writing by hand: beside a running controller, and where none runs; against simulated instruments."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import sys
import tty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from config.errors import LinkError
from config.load import load_site
from edge import rpc
from edge.cli import exit_codes
from edge.controller.process import run_controller
from edge.single_instance import single_instance
from edge.store.ledger import Ledger
from hil_sim.simulator import Simulator
from tests.edge.sites import BY_HAND
from tests.edge.typed import Done, penstock
from tests.hil_sim.sites import simulated

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0


class Field:
    """Simulated instruments, the site file that leads to them, and a state directory."""

    def __init__(self, simulator: Simulator, site: Path, state: Path) -> None:
        self.simulator, self.site, self.state = simulator, site, state

    async def type(self, *arguments: object) -> Done:
        """A command with this site's state directory."""
        return await penstock(*arguments, "--state", self.state)

    async def json(self, *arguments: object) -> tuple[int, Any]:
        done = await self.type(*arguments, "--json")
        return done.code, done.answer

    def ledger(self) -> list[dict[str, Any]]:
        """What was done by hand, the newest first; the chain is whole."""
        ledger = Ledger(self.state / "ledger.db", read_only=True)
        try:
            assert ledger.verify() is None
            return [entry for entry in ledger.latest("command", 200) if entry["name"] == "by-hand"]
        finally:
            ledger.close()

    def port(self) -> str:
        return str(yaml.safe_load(self.site.read_text("utf-8"))["links"]["field"]["port"])

    def tcp_port(self) -> int:
        return int(yaml.safe_load(self.site.read_text("utf-8"))["links"]["io"]["port"])


@contextlib.asynccontextmanager
async def field_at(folder: Path) -> AsyncIterator[Field]:
    source = folder / "source.yaml"
    source.write_text(yaml.safe_dump(BY_HAND), "utf-8")
    async with simulated(load_site(source)) as simulator:
        site = folder / "site.yaml"
        simulator.write_site(site)
        yield Field(simulator, site, folder / "state")


@contextlib.asynccontextmanager
async def controlled(field: Field) -> AsyncIterator[None]:
    """A controller that runs and whose devices answer."""
    task = asyncio.create_task(run_controller(load_site(field.site), field.state))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if task.done():
                    task.result()
                with contextlib.suppress(LinkError):
                    links = (await rpc.call(field.state, {"op": "status"}))["links"]
                    devices = [device for link in links.values() for device in link["devices"].values()]
                    if all(device["online"] for device in devices):
                        break
                await asyncio.sleep(0.02)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    async with field_at(tmp_path_factory.mktemp("running")) as field, controlled(field):
        yield field


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    async with field_at(tmp_path_factory.mktemp("alone")) as field:
        yield field


pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- beside a controller ---------------------------------------------------------------------------------------------


async def test_a_device_is_read_through_the_controller_that_runs(running: Field) -> None:
    code, answer = await running.json("read", "AIT-1")
    assert code == exit_codes.DONE
    assert (answer["link"], answer["unit"]) == ("field", 2)
    turbidity = next(signal for signal in answer["signals"] if signal["name"] == "AIT-1.turbidity")
    assert (turbidity["quality"], turbidity["unit"]) == ("good", "NTU")
    assert len(bytes.fromhex(turbidity["raw"])) == 4
    code, answer = await running.json("read", "AIT-1.wipe_interval")
    assert [signal["name"] for signal in answer["signals"]] == ["AIT-1.wipe_interval"]
    assert answer["requests"] == 1


async def test_registers_and_bits_are_read_as_they_stand(running: Field) -> None:
    code, answer = await running.json("read", "AIT-1", "holding", "0x2600", "5")
    assert (code, answer["outcome"], answer["count"]) == (exit_codes.DONE, "reply", 5)
    assert len(bytes.fromhex(answer["data"])) == 10
    code, answer = await running.json("read", "RIO-1", "discrete", "0", "3")
    assert (code, answer["table"]) == (exit_codes.DONE, "discrete")
    code, answer = await running.json("read", "AIT-1", "49729", "5")
    assert (answer["table"], answer["address"]) == ("holding", 0x2600)
    around = await running.type("read", "AIT-1", "holding", "0x2601", "5", "--around")
    assert around.code == exit_codes.WRONG
    assert around.out.count("exception 02") == 2
    assert "(address -1)" in around.out


async def test_a_link_may_be_asked_for_a_unit_that_the_site_has_not(running: Field) -> None:
    done = await running.type("read", "field", "--unit", "9", "holding", "0")
    assert done.code == exit_codes.UNREACHABLE
    assert "no reply" in done.out


async def test_a_write_that_moves_nothing_is_done_read_back_and_recorded(running: Field) -> None:
    before = len(running.ledger())
    code, answer = await running.json("write", "RIO-1.lamp", "on", "--yes")
    assert (code, answer["outcome"], answer["readback"]) == (exit_codes.DONE, "done", True)
    done, asked, *_ = running.ledger()
    assert len(running.ledger()) == before + 2
    assert (asked["outcome"], done["outcome"]) == ("asked", "done")
    assert asked["id"] == done["id"]
    for entry in (asked, done):
        assert (entry["device"], entry["signal"], entry["register"]) == ("RIO-1", "RIO-1.lamp", "coil 2 bool")
        assert (entry["old"], entry["new"]) == (False, True)
        assert entry["user"]
        assert entry["through"] == "controller"
    code, answer = await running.json("read", "RIO-1.lamp")
    assert answer["signals"][0]["value"] is True


async def test_a_value_is_written_with_its_unit(running: Field) -> None:
    code, answer = await running.json("write", "AIT-1.wipe_interval", "2 h", "--yes")
    assert (code, answer["new"], answer["readback"]) == (exit_codes.DONE, 7200.0, 7200.0)
    for value in ("30", "30 NTU", "often"):
        done = await running.type("write", "AIT-1.wipe_interval", value, "--yes")
        assert done.code == exit_codes.WRONG
        assert "a time with its unit" in done.err


@pytest.mark.parametrize(
    ("words", "valve"),
    [
        (("RIO-1.xv", "on"), "XV-1"),
        (("RIO-1.pump", "on"), "P-1"),
        (("RIO-1", "coil", "0", "1"), "XV-1"),
        (("RIO-1", "coil", "2", "1"), "XV-1"),
        (("RIO-1", "holding", "100", "7"), "XV-1"),
        (("XV-2.open_command", "on"), "XV-2M"),
        (("XV-2.position_command", "50 %"), "XV-2M"),
        (("XV-2.stop_command", "on"), "XV-2M"),
        (("XV-2", "holding", "5", "2"), "XV-2M"),
    ],
)
async def test_there_is_no_second_way_to_move_a_valve(running: Field, words: tuple[str, ...], valve: str) -> None:
    done = await running.type("write", *words, "--yes")
    assert done.code == exit_codes.REFUSED
    assert f"can move {valve}" in done.err
    assert f"{valve}: off, demanded by" in done.err
    assert "no second way" in done.err
    newest = running.ledger()[0]
    assert newest["outcome"] == "refused"
    moved = await running.json("read", "RIO-1")
    assert [s["value"] for s in moved[1]["signals"] if s["name"] in ("RIO-1.xv", "RIO-1.pump")] == [False, False]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("AIT-1.turbidity", "3 NTU"), exit_codes.REFUSED, "read-only; writable of AIT-1: wipe_interval"),
        (("AIT-1", "holding", "0x2600", "1"), exit_codes.REFUSED, "not in its profile's list"),
        (("AIT-1.wiper", "on"), exit_codes.WRONG, "there is no signal 'AIT-1.wiper'"),
        (("AIT-9.wiper", "on"), exit_codes.WRONG, "there is no device or link 'AIT-9'"),
        (("RIO-1.lamp", "bright"), exit_codes.WRONG, "'on' or 'off', not 'bright'"),
        (("AIT-1", "input", "0", "1"), exit_codes.WRONG, "input cannot be written"),
        (("AIT-1", "holding", "0x3200", "70000"), exit_codes.WRONG, "holds 0 to 65535"),
        (("field", "holding", "0", "1", "--unit", "2"), exit_codes.USAGE, "is a link: name the device"),
    ],
)
async def test_what_may_not_be_written_says_why(running: Field, words: tuple[str, ...], code: int, told: str) -> None:
    done = await running.type("write", *words, "--yes")
    assert (done.code, told in done.err) == (code, True), done.err


async def test_a_listed_register_is_written_raw_and_read_back(running: Field) -> None:
    code, answer = await running.json("write", "AIT-1", "holding", "0x3200", "0x1E00", "--yes")
    assert (code, answer["outcome"], answer["new"]) == (exit_codes.DONE, "done", [0x1E00])
    code, answer = await running.json("read", "AIT-1.wipe_interval")
    assert answer["signals"][0]["value"] == 1800.0


async def test_nothing_is_written_without_a_word_from_a_person(running: Field) -> None:
    done = await running.type("write", "RIO-1.lamp", "off")
    assert done.code == exit_codes.REFUSED
    assert "no terminal" in done.err
    _, answer = await running.json("read", "RIO-1.lamp")
    assert answer["signals"][0]["value"] is True


async def test_an_action_of_the_profile_is_carried_out_and_recorded(running: Field) -> None:
    code, answer = await running.json("action", "AIT-1")
    assert set(answer["actions"]) == {"start", "stop", "wipe"}
    code, answer = await running.json("action", "AIT-1", "wipe", "--yes")
    assert (code, answer["outcome"]) == (exit_codes.DONE, "done")
    assert running.ledger()[0]["register"] == "action wipe: 10 31 00 00 00 00"
    done = await running.type("action", "AIT-1", "dance", "--yes")
    assert done.code == exit_codes.WRONG
    assert "its actions: start, stop, wipe" in done.err
    assert (await running.type("action", "RIO-1")).out.strip() == "the profile of RIO-1 lists no action"


async def test_the_port_of_a_running_controller_is_lent_and_not_taken(running: Field) -> None:
    done = await running.type("read", "--port", running.port(), "--unit", "2", "holding", "0x2600", "5")
    assert done.code == exit_codes.DONE, done.err
    assert "asked between its polls" in done.err
    for host in ("127.0.0.1", "127.1", "localhost"):
        done = await running.type("read", "--host", host, "--tcp-port", running.tcp_port(), "--unit", "1", "coil", "0")
        assert "asked between its polls" in done.err
    done = await running.type("read", "--port", running.port(), "--unit", "2", "--profile", "yosemitech-y511")
    assert done.code == exit_codes.UNREACHABLE
    assert "name the device as its site does" in done.err
    # Somebody who does not say where the controller keeps its state does not get the port either.
    done = await penstock(
        "read", "--port", running.port(), "--unit", "2", "holding", "0", "--state", "/nonexistent/state"
    )
    assert done.code == exit_codes.UNREACHABLE
    assert "in use by another program" in done.err


async def test_a_bus_that_the_controller_has_not_is_searched_beside_it(running: Field, silent_line: str) -> None:
    where = ("--port", silent_line, "--baud", "9600", "--parity", "N", "--units", "1-2", "--timeout", "20 ms")
    code, answer = await running.json("scan-bus", *where)
    assert code == exit_codes.WRONG
    assert any("A and B" in hint for hint in answer["hints"])
    done = await running.type(
        "write", "--port", silent_line, "--unit", "1", "--profile", "yosemitech-y511", "x", "1", "--yes"
    )
    assert done.code == exit_codes.UNREACHABLE
    assert "keeps the ledger there" in done.err


async def test_a_bus_that_is_polled_is_searched_between_the_polls(running: Field) -> None:
    code, answer = await running.json("scan-bus", "field", "--units", "2-3")
    assert code == exit_codes.DONE
    assert [unit["unit"] for unit in answer["units"]] == [2]
    done = await running.type("scan-bus", "field", "--baud", "9600")
    assert done.code == exit_codes.WRONG
    assert "stop it to try other settings" in done.err


async def test_what_answers_is_identified(running: Field) -> None:
    for signal_name, value in (("temperature", 17.6), ("turbidity", 2.4), ("calibration_k", 1.0)):
        await running.simulator.request({"op": "set", "name": f"AIT-1.{signal_name}", "value": value})
    code, answer = await running.json("identify", "AIT-1", "--profile", "yosemitech-y511", "--profile", "mag-0x00")
    assert code == exit_codes.DONE
    assert answer["profiles"][0]["name"] == "yosemitech-y511"
    assert answer["profiles"][0]["points"] > answer["profiles"][1]["points"]


async def test_status_tells_how_links_and_devices_do(running: Field) -> None:
    _, answer = await running.json("status", "--links")
    assert 0 < answer["links"]["field"]["bus_load"] < 50
    for options in ((), ("--links",)):
        shown = (await running.type("status", *options)).out
        assert "p50/p99 ms" in shown
        assert "AIT-1" in shown


async def test_another_site_is_not_taken_for_the_one_that_runs(running: Field, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**BY_HAND, "site": {"id": "elsewhere"}}), "utf-8")
    done = await running.type("read", "AIT-1", "--site", other)
    assert done.code == exit_codes.UNREACHABLE
    assert "runs site by-hand-01, not elsewhere" in done.err


# -- where no controller runs ----------------------------------------------------------------------------------------


async def test_a_site_is_read_without_a_controller(alone: Field) -> None:
    code, answer = await alone.json("read", "AIT-1", "--site", alone.site)
    assert code == exit_codes.DONE
    assert all(signal["quality"] == "good" for signal in answer["signals"])
    assert not (alone.state / "ledger.db").exists()


async def test_without_a_site_or_a_controller_it_says_what_is_missing(alone: Field) -> None:
    done = await alone.type("read", "AIT-1")
    assert done.code == exit_codes.UNREACHABLE
    assert "no site file is given: say --site FILE" in done.err
    done = await alone.type("read", "holding", "0")
    assert done.code == exit_codes.WRONG
    assert "--port or --host" in done.err


async def test_whatever_answers_is_read_by_a_profile(alone: Field) -> None:
    code, answer = await alone.json(
        *("read", "--port", alone.port(), "--baud", "19200", "--unit", "2", "--profile", "yosemitech-y511")
    )
    assert code == exit_codes.DONE
    assert answer["signals"][1]["name"] == "unit-2.turbidity"
    code, answer = await alone.json(
        *("read", "turbidity", "--port", alone.port(), "--baud", "19200", "--unit", "2"),
        *("--profile", "yosemitech-y511"),
    )
    assert [signal["name"] for signal in answer["signals"]] == ["unit-2.turbidity"]


async def test_serial_frames_over_tcp_are_read_where_that_is_said(alone: Field) -> None:
    port = yaml.safe_load(alone.site.read_text("utf-8"))["links"]["converter"]["port"]
    where = ("--host", "127.0.0.1", "--tcp-port", port, "--unit", "3", "holding", "0x2600", "5", "--timeout", "200 ms")
    code, answer = await alone.json("read", *where, "--rtu")
    assert (code, answer["outcome"]) == (exit_codes.DONE, "reply")
    code, answer = await alone.json("read", *where)
    assert (code, answer["outcome"]) == (exit_codes.UNREACHABLE, "timeout")


async def test_who_may_not_ask_the_controller_is_told_so_and_does_not_go_around_it(
    alone: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.state.mkdir(exist_ok=True)
    with monkeypatch.context() as patched:
        patched.setattr("os.access", lambda path, mode: not str(path).startswith(str(alone.state)))
        done = await alone.type("read", "AIT-1", "--site", alone.site)
    assert done.code == exit_codes.UNREACHABLE
    assert "is not open to you" in done.err


async def test_a_write_is_recorded_under_the_controllers_lock(alone: Field) -> None:
    code, answer = await alone.json("write", "AIT-1.wipe_interval", "45 min", "--yes", "--site", alone.site)
    assert (code, answer["outcome"], answer["readback"]) == (exit_codes.DONE, "done", 2700.0)
    done, asked, *_ = alone.ledger()
    assert (asked["outcome"], done["outcome"], done["through"]) == ("asked", "done", "tool")
    with single_instance(alone.state, "controller"):
        refused = await alone.type("write", "RIO-1.lamp", "on", "--yes", "--site", alone.site)
    assert refused.code == exit_codes.UNREACHABLE
    assert "in use by a controller that does not answer yet, or a tool that writes" in refused.err


async def test_a_tool_that_watches_keeps_a_controller_out_and_no_other_tool(alone: Field) -> None:
    alone.state.mkdir(exist_ok=True)
    screen, terminal = pty.openpty()
    os.set_blocking(screen, False)
    watching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", "decode", "AIT-1", "holding", "0x2600", "5", "--watch", "--every", "0.05"),
        *("--site", str(alone.site), "--state", str(alone.state)),
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            while b"readings" not in await _next_of(screen):
                assert watching.returncode is None
        # The port is one process' alone; the rest of the station is not.
        busy = await alone.type("read", "AIT-1", "holding", "0x2600", "--site", alone.site)
        assert (busy.code, "in use by another program" in busy.err) == (exit_codes.UNREACHABLE, True)
        with pytest.raises(LinkError, match="a tool has a port open"), single_instance(alone.state, "controller"):
            pass
        written = await alone.type("write", "RIO-1.lamp", "on", "--yes", "--site", alone.site)
        assert (written.code, written.err) == (exit_codes.DONE, "")
        with single_instance(alone.state, "by-hand"):
            refused = await alone.type("write", "RIO-1.lamp", "off", "--yes", "--site", alone.site)
        assert (refused.code, "a tool that writes" in refused.err) == (exit_codes.UNREACHABLE, True)
    finally:
        watching.send_signal(signal.SIGINT)
        out, _ = await watching.communicate()
        os.close(screen)
        os.close(terminal)
    assert watching.returncode == exit_codes.DONE
    # What was seen by then is shown, be it one reading or many.
    assert "holding 9728, 5 registers" in out.decode()


async def _next_of(screen: int) -> bytes:
    """What a terminal shows next."""
    loop, shown = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(screen, shown.set)
    try:
        await shown.wait()
    finally:
        loop.remove_reader(screen)
    return os.read(screen, 4096)


async def test_a_valve_may_be_tried_while_no_controller_runs_and_that_is_said(alone: Field) -> None:
    done = await alone.type("write", "RIO-1.xv", "on", "--yes", "--site", alone.site)
    assert done.code == exit_codes.DONE
    assert "this can move XV-1, and no controller runs" in done.err
    assert alone.ledger()[0]["warning"].startswith("this can move XV-1")
    await alone.type("write", "RIO-1.xv", "off", "--yes", "--site", alone.site)


async def test_a_controller_goes_on_where_a_tool_has_written_into_its_ledger(alone: Field) -> None:
    before = alone.ledger()[0]["boot"]
    async with controlled(alone):
        status = await rpc.call(alone.state, {"op": "status"})
        assert status["boot"] > before
    assert alone.ledger()


async def test_nothing_is_written_where_it_cannot_be_recorded(alone: Field, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = ("--site", alone.site, "--state", tmp_path / "file" / "state")
    done = await penstock("write", "AIT-1.wipe_interval", "30 min", "--yes", *where)
    assert done.code == exit_codes.WRONG
    assert "nothing was sent; say --state DIR" in done.err
    done = await penstock("read", "AIT-1.wipe_interval", "--json", *where)
    assert done.code == exit_codes.DONE
    assert done.answer["signals"][0]["value"] == 2700.0


async def test_without_a_profile_nothing_is_written(alone: Field) -> None:
    done = await alone.type("write", "--port", alone.port(), "--unit", "2", "holding", "0", "1", "--yes")
    assert done.code == exit_codes.USAGE
    assert "without one nothing is" in done.err
    code, answer = await alone.json(
        *("write", "--port", alone.port(), "--baud", "19200", "--unit", "2", "--profile", "yosemitech-y511"),
        *("wipe_interval", "20 min", "--yes"),
    )
    assert (code, answer["readback"]) == (exit_codes.DONE, 1200.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("read", "--port", "/dev/ttyS1", "--host", "h", "holding", "0"), "one of them"),
        (("read", "--host", "h", "--baud", "9600", "holding", "0"), "go with --port"),
        (("read", "--port", "p", "--rtu", "holding", "0"), "go with --host"),
        (("read", "--port", "p", "--baud", "9601", "--unit", "1", "holding", "0"), "one of 1200, 2400"),
        (("read", "--port", "p", "--parity", "X", "--unit", "1", "holding", "0"), "one of N, E, O"),
        (("read", "--host", "h", "--unit", "1", "--timeout", "3 bar", "holding", "0"), "is not a time"),
        (("read", "--host", "h", "--unit", "1"), "which registers?"),
        (("read", "X", "12"), "is no place"),
        (("read", "X", "holding", "0", "1", "2"), "is too much"),
        (("read", "X", "--around"), "--around goes with a place"),
        (("decode", "41 C8 00"), "3 bytes are no whole registers"),
        (("decode", "41 C8 00 00", "--expect", "wide"), "--expect 'wide' is not a number"),
        (("decode", "41 C8 00 00", "--expect", "1", "--tolerance", "much"), "--tolerance"),
        (("decode", "41 C8", "--watch"), "--watch reads again"),
        (("decode", "X", "coil", "0", "8"), "is on or off"),
        (("scan-bus", "--host", "h", "--units", "5-1"), "the lower number first"),
        (("scan-bus", "--host", "h", "--units", "all"), "a span such as 1-32"),
        (("write", "X.y"), "which value?"),
        (("write", "X", "holding"), "NAME TABLE ADDRESS VALUES"),
        (("action", "X", "wipe", "twice"), "is too much"),
    ],
)
async def test_a_command_line_that_makes_no_sense_is_told_so(arguments: tuple[str, ...], told: str) -> None:
    done = await penstock(*arguments, *([] if arguments[0] == "decode" else ["--state", "/nonexistent/state"]))
    assert done.code == exit_codes.USAGE, done.err
    assert told in " ".join(done.err.replace("│", " ").split())


# -- searching -------------------------------------------------------------------------------------------------------


async def test_a_serial_line_is_searched_at_other_speeds_too(alone: Field) -> None:
    server = alone.simulator.servers["field"]
    server.fault("wrong-speed", True, {"baudrate": 19200})
    try:
        code, answer = await alone.json(
            *("scan-bus", "--port", alone.port(), "--units", "1-3", "--baud", "9600,19200", "--parity", "N"),
            *("--timeout", "80 ms"),
        )
    finally:
        server.fault("wrong-speed", False, {})
    assert code == exit_codes.DONE
    [unit] = answer["units"]
    assert (unit["unit"], unit["setting"], unit["round_trip_s"] > 0) == (2, "19200 8N1", True)


async def test_a_server_is_searched_for_units_behind_it(alone: Field) -> None:
    code, answer = await alone.json("scan-bus", "--host", "127.0.0.1", "--tcp-port", alone.tcp_port(), "--units", "1-6")
    assert code == exit_codes.DONE
    assert [unit["unit"] for unit in answer["units"]] == [1, 5]
    assert any("the gateway is alive" in hint for hint in answer["hints"])


@pytest.mark.parametrize(
    ("fault", "settings", "told"),
    [
        ("garbled", {}, "another speed or parity"),
        ("echo", {}, "local_echo: true"),
        ("wrong-unit", {"unit": 77}, "frames of unit 77"),
        ("late", {"delay_s": 0.1}, ""),
    ],
)
async def test_what_is_wrong_with_a_line_is_said(
    alone: Field, fault: str, settings: dict[str, float], told: str
) -> None:
    server = alone.simulator.servers["field"]
    server.fault(fault, True, settings)
    try:
        _, answer = await alone.json(
            *(
                "scan-bus",
                "--port",
                alone.port(),
                "--baud",
                "19200",
                "--parity",
                "N",
                "--units",
                "2-3",
                "--timeout",
                "60 ms",
            )
        )
    finally:
        server.fault(fault, False, {})
    if told:
        assert any(told in hint for hint in answer["hints"]), answer
    else:
        assert [unit["says"] for unit in answer["units"]] == ["answers late: raise --timeout"]


async def test_a_server_that_does_not_look_at_the_unit_is_seen_through(tmp_path: Path) -> None:
    from tests.drivers.fault_devices import fault_server

    async with fault_server() as server:
        done = await penstock(
            *("scan-bus", "--host", "127.0.0.1", "--tcp-port", server.port, "--json", "--state", tmp_path / "none")
        )
    assert done.code == exit_codes.DONE
    assert done.answer["requests"] == 5
    assert any("answers as every unit" in hint for hint in done.answer["hints"])


async def test_what_was_found_before_the_link_failed_is_shown(tmp_path: Path) -> None:
    from tests.drivers.fault_devices import Replier, Request, fault_server

    async with fault_server() as server:

        def up_to_the_third(request: Request, replier: Replier) -> None:
            if request.unit < 3:
                replier.reply(request, server.devices.answer(request))
            else:
                server.close()

        server.devices.behave(up_to_the_third)
        where = ("--host", "127.0.0.1", "--tcp-port", server.port, "--units", "1-9", "--state", tmp_path / "none")
        done = await penstock("scan-bus", *where)
    assert done.code == exit_codes.UNREACHABLE, done
    assert "2 units found" in done.out
    assert "(broken off)" in done.out
    assert "cannot be reached" in done.err


async def test_a_dead_link_is_unreachable_by_name_and_by_place(alone: Field, tmp_path: Path) -> None:
    dead = tmp_path / "dead.yaml"
    site = yaml.safe_load(alone.site.read_text("utf-8"))
    del site["devices"]["RIO-1"], site["devices"]["XV-2"], site["valves"], site["pumps"]
    site["devices"] = {"GONE": {**site["devices"]["AIT-1"], "unit": 9}, "AIT-1": site["devices"]["AIT-1"]}
    dead.write_text(yaml.safe_dump(site), "utf-8")
    for words in (("GONE",), ("GONE.turbidity",), ("GONE", "holding", "0", "1")):
        done = await alone.type("read", *words, "--site", dead)
        assert (done.code, "no reply" in " ".join(done.out.split())) == (exit_codes.UNREACHABLE, True), done


@pytest.fixture
def silent_line() -> Iterator[str]:
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


async def test_silence_says_how_it_was_asked_and_what_to_try(silent_line: str, tmp_path: Path) -> None:
    where = (
        "--port",
        silent_line,
        "--baud",
        "19200",
        "--unit",
        "7",
        "--timeout",
        "10 ms",
        "--state",
        tmp_path / "none",
    )
    asked = f"unit 7 at {silent_line} 19200 8N1 does not answer"
    for words in (("read", "holding", "0"), ("read", "--find"), ("identify",), ("decode", "holding", "0", "2")):
        done = await penstock(*words, *where)
        assert done.code == exit_codes.UNREACHABLE, words
        told = " ".join((done.out + done.err).split())
        assert asked in told, words
        assert "are speed, parity and unit (in its menu) these?" in told
        assert f"'penstock scan-bus --port {silent_line}' tries others" in told
    (tmp_path / "site.yaml").write_text(
        f"site: {{id: silent}}\nlinks:\n  bus: {{type: modbus-rtu, port: {silent_line}, timeout: 10 ms}}\n"
        "devices:\n  AIT-1: {link: bus, unit: 7, profile: yosemitech-y511}\n",
        "utf-8",
    )
    done = await penstock("read", "AIT-1", "--site", tmp_path / "site.yaml", "--state", tmp_path / "none")
    assert f"unit 7 at {silent_line} 9600 8N1 does not answer" in done.out
    assert "(in the site file and in its menu)" in done.out


@pytest.mark.parametrize(("unit", "told"), [("0", "every unit of a serial line"), ("248", "reserved on a serial line")])
async def test_a_unit_that_no_device_can_be_is_refused_with_the_reason(
    silent_line: str, tmp_path: Path, unit: str, told: str
) -> None:
    where = ("--port", silent_line, "--unit", unit, "--state", tmp_path / "none")
    done = await penstock("read", "holding", "0", *where)
    assert done.code == exit_codes.WRONG
    assert told in done.err


async def test_settings_that_are_not_used_are_said_to_be(running: Field) -> None:
    where = ("--port", running.port(), "--baud", "9600", "--unit", "2")
    done = await running.type("read", *where, "holding", "0x2600", "5")
    assert done.code == exit_codes.DONE
    assert "--baud: not used, because the controller's own settings hold" in done.err
    assert "19200 8N1" in done.err
    done = await running.type("read", "AIT-1", "--baud", "9600")
    assert "--baud: not used, because AIT-1 is asked with the settings of its site" in done.err


async def test_a_search_ends_with_what_to_type_next(alone: Field) -> None:
    where = ("--port", alone.port(), "--baud", "19200", "--parity", "N", "--units", "2", "--timeout", "100 ms")
    done = await alone.type("scan-bus", *where)
    assert (
        done.out.splitlines()[-1] == f"next: penstock identify --port {alone.port()} --baud 19200 --parity N --unit 2"
    )
    server = ("--host", "127.0.0.1", "--tcp-port", alone.tcp_port())
    done = await alone.type("scan-bus", *server, "--units", "1", "--timeout", "200 ms")
    port = f"--tcp-port {alone.tcp_port()}"
    assert done.out.splitlines()[-1] == f"next: penstock identify --host 127.0.0.1 {port} --unit 1"


@pytest.mark.parametrize(("words", "told"), [(("read", "--find"), "holding "), (("identify",), "broken off; so far")])
async def test_a_tool_that_is_broken_off_shows_what_it_knows(
    alone: Field, words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    keyboard, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", *words, "--port", alone.port(), "--baud", "19200", "--unit", "2"),
        *("--state", str(tmp_path / "none")),
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(terminal)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(keyboard, "rb", 0))
    shown = b""
    async with asyncio.timeout(DEADLINE_S):
        # Its progress tells when something has been asked, and found.
        while not re.search(rb"holding: [1-9]\d* of .* [1-9]\d* registers found|[1-9]\d* requests", shown):
            shown += await reader.read(200)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert process.returncode == 130
    assert told in out.decode()
    assert "broken off" in out.decode()


async def test_a_port_that_cannot_do_every_setting_is_searched_with_those_that_it_can(
    silent_line: str, tmp_path: Path
) -> None:
    where = ("--port", silent_line, "--units", "1", "--timeout", "20 ms", "--state", tmp_path / "none")
    done = await penstock("scan-bus", *where, "--baud", "9600,38400", "--parity", "N,E,O", "--json")
    assert done.code == exit_codes.WRONG, done.err
    told = "not tried, because the port cannot be set so: 8E1 at 9600, 38400; 8O1 at 9600, 38400"
    assert told in done.answer["hints"]
    assert done.answer["requests"] > 0
    done = await penstock("scan-bus", *where, "--baud", "38400", "--parity", "E")
    assert done.code == exit_codes.UNREACHABLE
    assert "this port cannot do 38400 8E1" in done.err


async def test_a_search_that_is_broken_off_shows_what_was_found(silent_line: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", "scan-bus", "--port", silent_line, "--state", str(tmp_path / "none")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        announced = (await process.stderr.readline()).decode()
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert "requests if nobody answers, at most" in announced
    assert process.returncode == 130
    assert "0 units found" in out.decode()
    assert "(broken off)" in out.decode()


# -- with a keyboard -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "written"), [("n", False), ("y", True)])
async def test_a_person_is_shown_what_will_be_written_and_asked(alone: Field, answer: str, written: bool) -> None:
    await alone.type("write", "RIO-1.lamp", "off", "--yes", "--site", alone.site)
    keyboard, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", "write", "RIO-1.lamp", "on"),
        *("--site", str(alone.site), "--state", str(alone.state)),
        stdin=terminal,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    shown = b""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while b"[y/N]" not in shown:
                shown += await process.stderr.read(200)
            os.write(keyboard, answer.encode() + b"\n")
            out, _ = await process.communicate()
    finally:
        os.close(keyboard)
        os.close(terminal)
    told = shown.decode()
    assert "RIO-1, unit 1 at 127.0.0.1" in told
    assert "RIO-1.lamp (coil 2 bool)" in told
    assert "off -> on" in told
    assert process.returncode == (exit_codes.DONE if written else exit_codes.REFUSED)
    assert ("recorded" in out.decode()) is written
    _, read = await alone.json("read", "RIO-1.lamp", "--site", alone.site)
    assert read["signals"][0]["value"] is written


async def test_help_names_every_tool() -> None:
    shown = (await penstock("--help")).out
    for command in ("scan-bus", "read", "decode", "identify", "write", "action"):
        assert command in shown
