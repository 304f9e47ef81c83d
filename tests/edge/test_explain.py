"""What ``penstock why`` says of signals, devices and links: what is wrong, since when, and what to do."""

import asyncio
import contextlib
import io
import os
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from rich.console import Console

from config.errors import LinkError
from config.load import load_site
from drivers.modbus.unjudged import number_in
from edge import rpc, sparkplug
from edge.cli import exit_codes
from edge.cli.values import values_view
from edge.controller.process import run_controller
from edge.forwarder.session import Session
from edge.store.spool import Spool
from tests.drivers.fault_devices import FaultServer, fault_server
from tests.drivers.opcua_plc import URI, plc
from tests.drivers.sites import free_port, tcp_link
from tests.edge.typed import penstock

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
DEADLINE_S = 20.0
METER = {
    "protocol": "modbus",
    "limits": {"response_delay": "0 s", "gap": 0},
    "signals": {
        "flow": {"table": "holding", "address": 0, "type": "float32", "unit": "m3/h", "range": [0, 200]},
        "spoilt": {"table": "holding", "address": 10, "type": "float32", "unit": "m3/h", "range": [0, 200]},
        "nan": {"table": "holding", "address": 20, "type": "float32", "unit": "m3/h"},
        "mode": {"table": "holding", "address": 30, "enum": {1: "auto", 2: "hand"}},
        "total": {
            "table": "holding",
            "address": 40,
            "type": "uint32",
            "unit": "m3",
            "range": [0, 20_000],
            "fraction": {"address": 42, "type": "uint16", "scale": 0.001},
        },
        "gone": {"table": "holding", "address": 900},
    },
}
SERVER = {
    "protocol": "opcua",
    "signals": {
        "level": {"namespace": URI, "node": "s=LT-1.Level"},
        "misspelt": {"namespace": URI, "node": "s=LT-1.Levle"},
    },
}


def put(server: FaultServer, address: int, data: bytes) -> None:
    for i, word in enumerate(struct.unpack(f">{len(data) // 2}H", data)):
        server.devices.registers[1, address + i] = word


class Running:
    """A controller with a good meter, a meter that is not there, a line that is not there, and an OPC UA server."""

    def __init__(self, state: Path, loaded: Any) -> None:
        self.state, self.loaded = state, loaded

    async def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        return await rpc.call(self.state, {"op": op, **arguments})

    async def why(self, name: str) -> dict[str, Any]:
        answer = await self.ask("why", name=name)
        assert answer["ok"], answer
        return answer

    async def told(self, name: str) -> str:
        done = await penstock("why", name, "--state", self.state)
        assert done.code == exit_codes.DONE, done.err
        return " ".join(done.out.split())

    async def settled(self) -> None:
        """Every signal has been read or given up."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(LinkError):
                    image = (await self.ask("image"))["signals"]
                    read = [one for name, one in image.items() if ".comm_" not in name and "round_trip" not in name]
                    # The silent meter counts as such after its second unanswered request.
                    if all(one["reason"] != "not-yet-read" for one in read) and image["FIT-9.flow"]["quality"] == "bad":
                        return
                await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    folder = tmp_path_factory.mktemp("explain")
    async with fault_server() as server, plc(free_port()) as opcua:
        put(server, 0, struct.pack(">f", 46.69))
        put(server, 10, struct.pack(">f", 412.345))
        put(server, 20, b"\x7f\xc0\x00\x00")
        put(server, 30, b"\x00\x07")
        put(server, 40, struct.pack(">IH", 10_260, 123))

        def behaviour(request: Any, replier: Any) -> None:
            if request.unit != 1:
                return
            refused = request.address == 900
            replier.reply(request, bytes((0x83, 2)) if refused else server.devices.answer(request))

        server.devices.behave(behaviour)
        quick = {"poll": "100 ms", "profile": METER}
        site = {
            "site": {"id": "explained"},
            "record": {"diagnostics": "0.2 s"},
            "links": {
                "net": tcp_link(server.port),
                "line": {"type": "modbus-rtu", "port": "/dev/ttyNONE", "retry": "0.2 s"},
                "plc": {"type": "opcua", "url": f"opc.tcp://127.0.0.1:{opcua.port}/"},
            },
            "devices": {
                "FIT-1": {"link": "net", "unit": 1, **quick},
                "FIT-9": {"link": "net", "unit": 9, **quick},
                "FIT-2": {"link": "line", "unit": 1, **quick},
                "PLC-1": {"link": "plc", "poll": "200 ms", "profile": SERVER},
            },
            "measurements": {
                "LT-1.level": {
                    "signal": "FIT-1.flow",
                    "scale": {"from": ["0 m3/h", "100 m3/h"], "to": ["0 m", "5 m"]},
                    "range": ["0 m", "2 m"],
                },
                "FIT-100.flow": {
                    "vote": "2oo2",
                    "of": ["FIT-1.flow", "FIT-9.flow"],
                    "trip": "high",
                    "disagreement": "1 m3/h",
                    "disagreement_time": "1 h",
                },
                "FIT-200.flow": {
                    "vote": "1oo2",
                    "of": ["FIT-100.flow", "FIT-9.flow"],
                    "trip": "high",
                    "disagreement": "1 m3/h",
                    "disagreement_time": "1 h",
                },
            },
        }
        path = folder / "site.yaml"
        path.write_text(yaml.safe_dump(site, sort_keys=False), "utf-8")
        loaded = load_site(path)
        task = asyncio.create_task(run_controller(loaded, folder / "state"))
        one = Running(folder / "state", loaded)
        await one.settled()
        try:
            yield one
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_every_signal_of_the_site_has_an_answer(running: Running) -> None:
    for signal in running.loaded.signals.signals:
        wire = (await running.why(signal.name))["wire"][signal.name]
        assert wire["place"], signal.name
        assert bool(wire["link"]) is (signal not in running.loaded.signals.measurements)
    assert "counted by the driver: the port, connection or session is open" in await running.told("net.connected")


async def test_a_measurement_leads_to_what_it_is_calculated_from_down_to_the_wire(running: Running) -> None:
    told = await running.told("FIT-100.flow")
    assert "FIT-100.flow: 46.69 m3/h, good, received" in told
    assert "FIT-100.flow: 2oo2 of FIT-1.flow, FIT-9.flow" in told
    assert "FIT-1.flow 46.69 m3/h (ok) from link net" in told
    assert "bytes 42 3a c2 8f" in told
    assert "FIT-9.flow - (no-communication) from link net" in told
    wire = (await running.why("FIT-200.flow"))["wire"]
    assert list(wire) == ["FIT-200.flow", "FIT-100.flow", "FIT-9.flow", "FIT-1.flow"]
    told = await running.told("FIT-200.flow")
    assert "look at what it is calculated from" in told


async def test_a_reading_that_the_site_does_not_believe_says_why_and_since_when(running: Running) -> None:
    told = await running.told("LT-1.level")
    assert "LT-1.level: 2.3345 m, uncertain (over range)" in told
    assert "LT-1.level reads 2.334 m, more than the 2 m that is possible here" in told
    problem = (await running.why("LT-1.level"))["problem"]
    assert isinstance(problem["since_utc"], float)
    assert (await running.ask("alarms"))["alarms"][0]["id"] in {"LT-1.level.signal-above-range", "FIT-9.offline"}
    answer = await running.ask("why", name="LT-1.flow")
    assert answer["error"] == "LT-1 has no such measurement; it has level"


def _recorded(state: Path, device: str) -> tuple[Session, list[Any]]:
    """A session that would send what the store holds, and what it holds of one device."""
    spool = Spool(state / "spool.db")
    try:
        rows = [record for record in spool.read(0, 10_000) if record.kind == "data" and record.device == device]
        session = Session("changzhi", "explained", 0, spool.metrics())
    finally:
        spool.close()
    return session, [metric for row in rows for metric in sparkplug.parse(row.payload).metrics]


async def test_a_measurement_is_recorded_by_exception_and_sent_as_a_device_of_its_own(running: Running) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not (found := _recorded(running.state, "LT-1"))[1]:  # noqa: ASYNC110 - it lies behind a disk
            await asyncio.sleep(0.05)
    session, sent = found
    assert [metric.double_value for metric in sent] == [pytest.approx(2.3345, abs=1e-4)]
    births = {message.topic: message.payload for message in session.births({}, 1)}
    [level] = sparkplug.parse(births["spBv1.0/changzhi/DBIRTH/explained/LT-1"]).metrics
    assert level.name == "level"
    assert (await running.ask("image"))["signals"]["LT-1.level"]["metric"] == ["LT-1", "level"]


async def test_a_good_value_is_shown_with_the_digits_of_its_display(running: Running) -> None:
    assert "FIT-1.flow: 46.69 m3/h, good, received" in await running.told("FIT-1.flow")
    told = await running.told("FIT-1.total")
    assert "FIT-1.total: 10260.123 m3, good" in told
    assert "holding 40 uint32 ABCD + 42 uint16 x 0.001, bytes 00 00 28 14 00 7b" in told
    assert (await running.why("FIT-1.flow"))["problem"] is None


async def test_a_silent_instrument_says_since_when_what_it_said_last_and_what_to_do(running: Running) -> None:
    told = await running.told("FIT-9.flow")
    assert "FIT-9.flow: no value: bad (no communication)" in told
    assert "since " in told
    assert "last error: no reply within" in told
    assert "check power, network and unit" in told
    problem = (await running.why("FIT-9.flow"))["problem"]
    assert problem["reason"] == "no-communication"
    assert isinstance(problem["since_utc"], float)
    told = await running.told("FIT-2.flow")
    assert "there is no such port" in told
    assert "the link is down" in told


async def test_a_value_outside_its_range_names_both(running: Running) -> None:
    told = await running.told("FIT-1.spoilt")
    assert "no value: bad (out of range)" in told
    assert "it reads 412.345 m3/h, outside its range of 0 to 200 m3/h" in told
    assert "penstock decode FIT-1" in told
    assert "it reads the code 7, which the profile does not list" in await running.told("FIT-1.mode")
    assert "the device says that it has no value, or type and order" in await running.told("FIT-1.nan")


async def test_a_register_that_the_device_has_not_repeats_its_exception(running: Running) -> None:
    told = await running.told("FIT-1.gone")
    assert "last error: exception 02 illegal data address" in told
    assert "compare the profile with the maker's table" in told


async def test_a_device_and_a_link_say_how_they_do(running: Running) -> None:
    told = await running.told("FIT-1")
    assert "FIT-1: online, 2 of 6 signals good" in told
    assert "polls" in told
    assert "FIT-1.spoilt: out of range" in told
    assert "FIT-9: OFFLINE, 0 of 6 signals good" in await running.told("FIT-9")
    told = await running.told("line")
    assert "line: DOWN" in told
    assert "there is no such port" in told
    assert "offline: FIT-9" in await running.told("net")
    answer = await running.why("FIT-1")
    assert {one["name"] for one in answer["bad"]} == {f"FIT-1.{field}" for field in ("spoilt", "nan", "mode", "gone")}


async def test_an_opcua_status_is_named_and_counted(running: Running) -> None:
    told = await running.told("PLC-1.misspelt")
    assert "status 80340000 (BadNodeIdUnknown)" in told
    assert "38 30 33" not in told
    assert "the node is misspelt" in told
    assert "status 00000000 (Good)" in await running.told("PLC-1.level")
    device = (await running.ask("status"))["links"]["plc"]["devices"]["PLC-1"]
    assert device["last_error"] == "1 of 2 signals bad: misspelt 80340000 (BadNodeIdUnknown)"
    assert device["bad_signals"] == ["PLC-1.misspelt"]


async def test_a_read_of_an_opcua_device_says_what_to_do_instead(running: Running, tmp_path: Path) -> None:
    done = await penstock("read", "PLC-1", "--state", running.state)
    assert done.code == exit_codes.REFUSED
    assert "'penstock why PLC-1'" in done.err
    site = running.state.parent / "site.yaml"
    done = await penstock("read", "PLC-1", "--site", site, "--state", tmp_path / "none")
    assert done.code == exit_codes.UNREACHABLE
    assert "penstock opcua browse SITE plc --values" in done.err


async def test_a_watch_shows_the_values_of_every_device(running: Running) -> None:
    screen = Console(width=80, record=True, file=io.StringIO())
    screen.print(values_view(await running.ask("image")))
    told = screen.export_text()
    assert all(len(line.rstrip()) <= 80 for line in told.splitlines())
    for text in (
        "FIT-1\n",
        "flow 46.69 m3/h",
        "total 10260.123 m3",
        "spoilt bad out of range",
        "PLC-1\n",
        "level 250",
        "LT-1\n",
    ):
        assert text in told
    assert "comm_" not in told
    assert "connected" not in told
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge", "watch", "--state", str(running.state)),
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm",
            "FORCE_COLOR": "1",
            "COLUMNS": "80",
            "LINES": "60",
        },
    )
    assert process.stdout is not None
    shown = b""
    async with asyncio.timeout(DEADLINE_S):
        while b"46.69 m3/h" not in shown:
            shown += await process.stdout.read(4096)
    process.terminate()
    await process.wait()


async def test_an_unknown_name_leads_to_those_there_are(running: Running) -> None:
    for name, told in (
        ("FIT-1.flwo", "FIT-1 has no such signal; it has flow, spoilt, nan, mode, total, gone"),
        ("FIT-m42", "ask for FIT-1, FIT-9, FIT-2, PLC-1, net, line, plc, or for a signal such as FIT-1.flow"),
    ):
        done = await penstock("why", name, "--state", running.state)
        assert done.code == exit_codes.WRONG
        assert told in done.err


async def test_the_bytes_of_a_reading_are_read_without_being_judged(running: Running) -> None:
    signals = running.loaded.signals
    assert number_in(signals["FIT-1.total"], struct.pack(">IH", 10_260, 123)) == pytest.approx(10_260.123)
    assert number_in(signals["FIT-1.mode"], b"\x00\x07") == 7
    assert number_in(signals["FIT-1.nan"], b"\x7f\xc0\x00\x00") is None
    assert number_in(signals["FIT-1.flow"], b"") is None
