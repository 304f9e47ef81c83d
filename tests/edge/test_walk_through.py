"""The walk-through of docs/drivers.md, typed as it stands there, against the instrument to practise on."""

import asyncio
import contextlib
import os
import re
import shlex
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from config.load import load_profile, load_site
from config.profile import ModbusProfile
from drivers.modbus.displayed import displayed, matches
from drivers.modbus.interpret import interpretations
from edge.cli import exit_codes
from edge.controller.process import run_controller
from edge.rpc import SOCKET_NAME
from hil_sim.modbus_rtu import ModbusRtuServer
from hil_sim.mystery import Mystery
from hil_sim.serial_line import SerialLine
from tests.drivers.sites import free_port
from tests.edge.typed import Done, penstock
from tests.hil_sim.sites import until

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("drivers.md", "drivers.zh-CN.md")
SECTION = {"drivers.md": "## An instrument that has no profile", "drivers.zh-CN.md": "## 没有设备配置文件的仪表"}
SHOWN_PORT = "/dev/pts/0"
SHOWN_STATE = "/tmp/practice"
SEED = 21
STEP_S = 0.05


def section(document: str) -> str:
    return (ROOT / "docs" / document).read_text("utf-8").split(SECTION[document])[1]


def commands(document: str) -> list[str]:
    return re.findall(r"^\$ penstock (.*)$", section(document), re.MULTILINE)


def examples(document: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", section(document), re.DOTALL)


class Bench:
    """The practice instrument on its terminal, and a technician's folder."""

    def __init__(self, instrument: Mystery, port: str, folder: Path) -> None:
        self.instrument, self.port, self.folder = instrument, port, folder
        self.state = folder / "state"

    @property
    def display(self) -> tuple[str, str]:
        """Flow and total, as the display shows them now."""
        found = re.search(r"flow +([\d.]+) m3/h +total +([\d.]+) m3", self.instrument.display)
        assert found is not None
        return found[1], found[2]

    async def type(self, command: str) -> Done:
        """A command of the document, with this bench's port, folder and display in place of those shown there."""
        flow, total = self.display
        words = [
            re.sub(r"^[\d.]+ m3/h$", f"{flow} m3/h", re.sub(r"^[\d.]+ m3$", f"{total} m3", word))
            for word in shlex.split(command.replace(SHOWN_PORT, self.port).replace(SHOWN_STATE, str(self.state)))
        ]
        words = [str(self.folder / word) if word in ("site.yaml", "em-north.yaml") else word for word in words]
        # Silence costs a terminal nothing; on a line one waits longer.
        patience = "50 ms" if words[0] == "scan-bus" else "120 ms"
        quick = ["--timeout", patience] if "--port" in words else []
        where = (
            [] if "--state" in words or words[0] in ("profile", "validate") else ["--state", str(self.folder / "none")]
        )
        return await penstock(*words, *quick, *where)


def at_once(line: SerialLine, now_s: float, chars: int, thinking_s: float, rest_s: float = 0.0) -> float:
    """When a reply is complete on a line that costs no time."""
    return now_s


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    # The time of the characters on the line is waited out by the simulator's own tests.
    monkeypatch.setattr(SerialLine, "due_s", at_once)
    instrument = Mystery(SEED, False)
    server = instrument.server
    assert isinstance(server, ModbusRtuServer)
    await server.start()

    async def live() -> None:
        while True:
            await asyncio.sleep(STEP_S)
            instrument.step(STEP_S)

    living = asyncio.create_task(live())
    try:
        yield Bench(instrument, server.path, tmp_path)
    finally:
        living.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await living
        await server.stop()


async def test_a_technician_finds_an_instrument_and_sees_good_values(bench: Bench) -> None:
    document = DOCUMENTS[0]
    typed = iter(commands(document))
    profile, site = examples(document)

    scan = await bench.type(next(typed))
    assert scan.code == exit_codes.DONE, scan.err
    assert re.search(r"^ 7 +38400 8N1 ", scan.out, re.MULTILINE)
    # Its last line is the next one of the document.
    assert scan.out.splitlines()[-1] == f"next: penstock {commands(document)[1].replace(SHOWN_PORT, bench.port)}"
    identify = await bench.type(next(typed))
    assert "no known profile fits" in identify.out
    find = await bench.type(next(typed))
    assert identify.out.splitlines()[-1] == f"next: penstock {commands(document)[2].replace(SHOWN_PORT, bench.port)}"
    assert "input 4112 to 4114, 3 registers" in find.out
    assert "input 4118 to 4119, 2 registers" in find.out
    lines = [(await bench.type(next(typed))).out.splitlines()[-1].strip() for _ in range(2)]
    # What the tool gives is what the document's profile has, but for the range, which a person knows.
    written = yaml.safe_load(profile)["signals"]
    assert [yaml.safe_load(line) for line in lines] == [
        {name: {key: value for key, value in written[name].items() if key != "range"}} for name in ("flow", "total")
    ]

    assert len(profile.splitlines()) <= 10
    (bench.folder / "em-north.yaml").write_text(profile, "utf-8")
    (bench.folder / "site.yaml").write_text(site.replace(SHOWN_PORT, bench.port), "utf-8")
    lint = await bench.type(next(typed))
    assert "0 errors, 0 warnings" in lint.out
    validate = await bench.type(next(typed))
    assert validate.out.startswith("valid: site practice")
    await good_values(bench, next(typed))

    running = asyncio.create_task(run_controller(load_site(bench.folder / "site.yaml"), bench.state))
    try:
        await until((bench.state / SOCKET_NAME).exists, 10.0)
        await good_values(bench, next(typed))
        why = next(typed)
        async with asyncio.timeout(10):
            while "good" not in (told := (await bench.type(why)).out):
                continue
        assert "input 4118 float32 DCBA" in told
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert next(typed, None) is None


async def good_values(bench: Bench, command: str) -> None:
    """The reading agrees with the display, which may move between the two."""
    async with asyncio.timeout(10):
        while True:
            before = bench.display
            done = await bench.type(f"{command} --json")
            if before == bench.display and done.code == exit_codes.DONE:
                break
    values = {signal["name"]: signal for signal in done.answer["signals"]}
    assert [signal["quality"] for signal in values.values()] == ["good", "good"]
    assert f"{values['FIT-1.flow']['value']:.2f}" == before[0]
    assert f"{values['FIT-1.total']['value']:.3f}" == before[1]


def test_both_languages_show_the_same_commands_and_the_same_files() -> None:
    english, chinese = DOCUMENTS
    assert commands(english) == commands(chinese)
    assert examples(english) == examples(chinese)
    assert len(commands(english)) == 10


@pytest.mark.parametrize("seed", range(12))
def test_every_practice_instrument_can_be_read_by_its_display(seed: int) -> None:
    instrument = Mystery(seed, True)
    instrument.step(10.0)
    [unit] = instrument.server.bus.units.values()
    profile: ModbusProfile = instrument.profile
    flow, total = re.findall(r"[\d.]+(?= m3)", instrument.display)
    for name, shown in (("flow", f"{flow} m3/h"), ("total", f"{total} m3")):
        signal = profile.signals[name]
        first, last = min(signal.ends()), max(signal.ends())
        function = {"holding": 3, "input": 4}[signal.table]
        pdu = bytes((function,)) + first.to_bytes(2, "big") + (last - first + 1).to_bytes(2, "big")
        data = unit.respond(pdu, 0.0).pdu[2:]
        best = matches(interpretations(data, time.time()), displayed(shown))[0]
        assert (first + best.reading.offset, best.reading.type, best.reading.order) == (
            signal.address,
            signal.type,
            signal.order,
        )
        assert (best.fraction is not None) is (signal.fraction is not None)


def test_the_profile_of_the_document_is_one(tmp_path: Path) -> None:
    path = tmp_path / "em-north.yaml"
    path.write_text(examples(DOCUMENTS[0])[0], "utf-8")
    assert load_profile(path).signals.keys() == {"flow", "total"}


# -- the same for a PLC ----------------------------------------------------------------------------------------------

OPCUA = {"opcua.md": "## From nodes to good values", "opcua.zh-CN.md": "## 从节点到好值"}


def opcua_section(document: str) -> str:
    return (ROOT / "docs" / document).read_text("utf-8").split(OPCUA[document])[1].split("\n## ")[0]


async def test_a_technician_sees_good_values_of_a_practice_plc(tmp_path: Path) -> None:
    section, chinese = (opcua_section(document) for document in OPCUA)
    typed = re.findall(r"^\$ penstock (.*)$", section, re.MULTILINE)
    profile, site = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    serve, controller = re.findall(r"^    (penstock.*)$", section, re.MULTILINE)
    for text in (*typed, profile, site, serve, controller):
        assert text in chinese
    port, state = str(free_port()), tmp_path / "state"
    (tmp_path / "plc-north.yaml").write_text(profile, "utf-8")
    (tmp_path / "practice.yaml").write_text(site.replace("48400", port), "utf-8")

    def here(line: str) -> list[str]:
        files = line.replace("/tmp/practice-ua", str(state)).replace("/tmp/served.yaml", str(tmp_path / "served.yaml"))
        return [str(tmp_path / word) if word == "practice.yaml" else word for word in shlex.split(files)][1:]

    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hil_sim", *here(serve)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert server.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b'"ready": true' in await server.stdout.readline()
        assert here(controller)[0] == "controller"
        running = asyncio.create_task(run_controller(load_site(Path(here(controller)[1])), state))
        try:
            await until((state / SOCKET_NAME).exists, 10.0)
            validate, signal, device = typed
            assert (await penstock(*here(f"penstock {validate}"))).out.startswith("valid: site practice-ua")
            async with asyncio.timeout(10):
                while "2 of 2 signals good" not in (await penstock(*here(f"penstock {device}"))).out:
                    continue
            told = " ".join((await penstock(*here(f"penstock {signal}"))).out.split())
            assert "node s=LT-101.PV of urn:plant:plc, status 00000000 (Good)" in told
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    finally:
        server.terminate()
        await server.wait()
