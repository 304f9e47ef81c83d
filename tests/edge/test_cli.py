"""What a technician types: every command, its JSON, its exit code."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from edge.cli import exit_codes
from edge.cli.station import Station, example_site, running
from tests.edge.sites import site_data

ROOT = Path(__file__).parents[2]
BAD_SITE = ROOT / "docs" / "examples" / "bad-site.yaml"
TIMEOUT_S = 120.0


def _penstock(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_validate_says_what_a_good_site_is() -> None:
    for name in ("fill-station", "plant-outlet", "voted-take-off"):
        done = _penstock("validate", example_site(name))
        assert done.returncode == exit_codes.DONE, done.stderr
        assert "valid" in done.stdout
        assert "unverified" in done.stdout
    summary = json.loads(_penstock("validate", example_site("fill-station"), "--json").stdout)
    assert summary["ok"]
    assert summary["dispensers"]["FILL-1"]["guards"]["turbidity"]["high"] == 8


def test_validate_names_every_problem_by_file_and_line() -> None:
    done = _penstock("validate", BAD_SITE)
    assert done.returncode == exit_codes.WRONG
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 7
    assert all(re.match(r"  .*bad-site\.yaml:\d+: .*: found .*; expected ", line) for line in lines[1:])
    problems = json.loads(_penstock("validate", BAD_SITE, "--json").stdout)["problems"]
    assert [problem["path"] for problem in problems] == [
        "devices.AIT-1.unit",
        "valves.XV-1.travel",
        "valves.XV-1.travle",
        "dispensers.FILL-1.guards.turbidity.high",
        "dispensers.FILL-1.guards.cod",
        "dispensers.FILL-1.guards.ammonia.signal",
    ]


def test_validate_warns_of_a_serial_line_that_cannot_keep_up_and_is_content(tmp_path: Path) -> None:
    data = yaml.safe_load(example_site("fill-station").read_text("utf-8"))
    data["links"]["field"]["baudrate"] = 1200
    slow = tmp_path / "slow.yaml"
    slow.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8")
    done = _penstock("validate", slow)
    assert done.returncode == exit_codes.DONE
    [warning] = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert "link field: its polls take about 2" in warning
    assert "it cannot keep up. FIT-101 costs most" in warning
    assert "raise the baudrate" in warning
    assert len(json.loads(_penstock("validate", slow, "--json").stdout)["warnings"]) == 1
    assert json.loads(_penstock("validate", example_site("fill-station"), "--json").stdout)["warnings"] == []


@pytest.mark.parametrize("process", ["controller", "forwarder", "run"])
def test_no_process_starts_with_a_bad_site(process: str, tmp_path: Path) -> None:
    done = _penstock(process, BAD_SITE, "--state", tmp_path / "state")
    assert done.returncode == exit_codes.WRONG
    assert "6 problems" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("validate", "none.yaml"), exit_codes.WRONG, "No such file"),
        (("status",), exit_codes.UNREACHABLE, "is it running?"),
        (("order", "FILL-1", "8"), exit_codes.USAGE, "a volume with its unit"),
        (("order", "FILL-1", "8 m3/h"), exit_codes.USAGE, "unit of flow"),
        (("setpoint", "INDUSTRY", "120"), exit_codes.USAGE, "a flow with its unit"),
        (("open", "XV-101"), exit_codes.USAGE, "No such command"),
        (("listen", "mqtt://127.0.0.1:1"), exit_codes.UNREACHABLE, "cannot be reached"),
    ],
)
def test_what_cannot_be_done_says_why_and_exits_so(
    arguments: tuple[str, ...], code: int, told: str, tmp_path: Path
) -> None:
    done = _penstock(*arguments, *(["--state", tmp_path] if arguments[0] in ("status",) else []), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in done.stderr


def test_a_state_directory_that_cannot_be_made_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site_data(1)), "utf-8")
    done = _penstock("controller", tmp_path / "site.yaml", "--state", tmp_path / "file" / "state")
    assert done.returncode == exit_codes.WRONG
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Station]:
    async with running(Station(example_site("plant-outlet"), tmp_path_factory.mktemp("outlet"))) as station:
        yield station


async def _ask(station: Station, *arguments: object) -> tuple[int, dict[str, Any]]:
    done = await asyncio.to_thread(_penstock, *arguments, "--state", station.state, "--json")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_outlet_is_run_from_the_command_line(station: Station) -> None:
    async def holding() -> bool:
        return bool((await station.dispenser("INDUSTRY"))["phase"] == "holding")

    await station.until("the set-point is reached by the ramp", holding, 90.0)

    async def settled() -> bool:
        dispensers = (await station.ask("status"))["dispensers"].values()
        return all(abs((one["flow_m3h"] or 0) - one["setpoint"]) <= 0.05 * one["setpoint"] for one in dispensers)

    await station.until("both flows are within 5 % of their set-points", settled, 90.0)
    code, status = await _ask(station, "status")
    assert code == exit_codes.DONE
    assert set(status["dispensers"]) == {"INDUSTRY", "RIVER"}
    assert status["forwarder"]["connected"]
    text = await asyncio.to_thread(_penstock, "status", "--state", station.state)
    assert "INDUSTRY" in text.stdout
    assert "AIT-201" in text.stdout

    refused = await station.ask("setpoint", dispenser="INDUSTRY", pressure_bar=3.0)
    assert refused["refusal"]["code"] == "setpoint-not-allowed"
    refused = await station.ask("start", dispenser="INDUSTRY")
    assert refused["refusal"]["code"] == "wrong-mode"
    refused = await station.ask("quota", dispenser="INDUSTRY", span="daily", volume_m3=4000.0)
    assert refused["refusal"]["code"] == "reason-missing"
    assert (await station.ask("orders"))["orders"] == []
    code, answer = await _ask(station, "quota", "INDUSTRY", "--daily", "4000 m3", "--reason", "dry week")
    assert code == exit_codes.DONE
    assert answer["quota"]["daily"]["limit_m3"] == 4000.0
    assert 0.0 < answer["quota"]["daily"]["used_m3"] == answer["quota"]["yearly"]["used_m3"]

    code, answer = await _ask(station, "setpoint", "INDUSTRY", "80 m3/h")
    assert (code, answer["accepted"]) == (exit_codes.DONE, True)
    code, answer = await _ask(station, "setpoint", "INDUSTRY", "900 m3/h")
    assert (code, answer["refusal"]["code"]) == (exit_codes.REFUSED, "setpoint-not-allowed")
    code, answer = await _ask(station, "order", "RIVER", "1 m3")
    assert (code, answer["refusal"]["code"]) == (exit_codes.REFUSED, "wrong-mode")
    code, answer = await _ask(station, "cancel", "RIVER")
    assert code == exit_codes.REFUSED
    code, answer = await _ask(station, "reset", "RIVER")
    assert (code, answer["refusal"]["code"]) == (exit_codes.REFUSED, "not-tripped")
    code, answer = await _ask(station, "meter-replaced", "RIVER", "--reads", "12.3 m3", "--reason", "worn")
    assert (code, answer["refusal"]["code"]) == (exit_codes.REFUSED, "supply-goes-on")
    code, answer = await _ask(station, "why", "FV-201")
    assert (code, answer["causes"][0]["code"]) == (exit_codes.DONE, "regulating")
    told = await asyncio.to_thread(_penstock, "why", "FV-201", "--lang", "zh", "--state", station.state)
    assert "，由调节要求\n因为 " in told.stdout
    code, answer = await _ask(station, "why", "INDUSTRY.turbidity")
    assert (code, answer["state"], answer["state_zh"]) == (exit_codes.DONE, "fit", "合格")
    assert list(answer["wire"]) == ["AIT-201.turbidity"]
    code, answer = await _ask(station, "why", "FV-999")
    assert (code, answer["code"]) == (exit_codes.WRONG, "unknown-name")
    code, answer = await _ask(station, "receipts")
    assert code == exit_codes.DONE


@pytest.mark.asyncio(loop_scope="module")
async def test_loops_are_shown_and_asked_from_the_command_line(station: Station) -> None:
    async def doses() -> bool:
        [one] = (await station.ask("loops"))["loops"]
        return bool(one["output"] > 10.0 and one["pv"] > 0.0)

    await station.until("chlorine is dosed and measured", doses, 60.0)
    shown = await asyncio.to_thread(_penstock, "loops", "--state", station.state)
    assert re.search(r"AIC-301 +[\d.]+ mg/L +1 mg/L +[\d.]+ % +auto +SC-301", shown.stdout)
    code, one = await _ask(station, "loop", "AIC-301")
    assert (code, one["setpoint_range"]) == (exit_codes.DONE, [0.3, 2.0])
    code, answer = await _ask(station, "loop", "AIC-301", "setpoint", "3", "mg/L")
    assert (code, answer["refusal"]["code"]) == (exit_codes.REFUSED, "loop-value-not-allowed")
    code, answer = await _ask(station, "loop", "AIC-301", "output", "40 %")
    assert (code, answer["refusal"]["code"]) == (exit_codes.REFUSED, "loop-not-manual")
    for words in (["manual"], ["output", "30", "%"]):
        code, answer = await _ask(station, "loop", "AIC-301", *words)
        assert (code, answer["accepted"]) == (exit_codes.DONE, True)
    code, answer = await _ask(station, "why", "SC-301")
    assert answer["state"].startswith("30.0 %")
    assert answer["causes"][0]["code"] == "loop-by-hand"
    done = await asyncio.to_thread(_penstock, "loop", "AIC-301", "auto", "--state", station.state)
    assert done.stdout == "AIC-301: auto accepted\n"
    code, answer = await _ask(station, "why", "AIC-301")
    assert answer["state"].startswith("auto; AIT-205.chlorine")
    done = await asyncio.to_thread(_penstock, "loop", "AIC-301", "faster", "--state", station.state)
    assert done.returncode == exit_codes.USAGE
    done = await asyncio.to_thread(_penstock, "loop", "AIC-999", "auto", "--state", station.state)
    assert "there is: AIC-301" in done.stderr
    done = await asyncio.to_thread(_penstock, "tune", "AIC-301", "--show", "--state", station.state)
    assert (done.returncode, done.stderr) == (exit_codes.WRONG, "AIC-301 has not been tuned\n")
    done = await asyncio.to_thread(_penstock, "tune", "AIC-301", "--amplitude", "50 %", "--state", station.state)
    assert done.returncode == exit_codes.REFUSED


@pytest.mark.asyncio(loop_scope="module")
async def test_a_breach_of_one_use_leaves_the_other_running(station: Station) -> None:
    await station.simulate("upset", parameter="turbidity", value=14.0)

    async def tripped() -> bool:
        return bool((await station.dispenser("INDUSTRY"))["tripped"])

    await station.until("INDUSTRY trips", tripped)
    assert not (await station.dispenser("RIVER"))["tripped"]
    await station.simulate("calm", parameter="turbidity")

    async def closed() -> bool:
        return bool((await station.ask("status"))["valves"]["FV-201"]["position"] == "closed")

    await station.until("its valve is closed", closed, 60.0)
    _, answer = await _ask(station, "receipts")
    assert answer["receipts"][0]["name"] == "served"
    assert answer["receipts"][0]["served_m3"] > 0


@pytest.mark.asyncio(loop_scope="module")
async def test_the_division_of_water_is_shown_and_kept(station: Station) -> None:
    code, answer = await _ask(station, "allocation")
    assert code == exit_codes.DONE
    assert [one["off_take"] for one in answer["off_takes"]] == ["INDUSTRY", "RIVER"]
    assert answer["off_takes"][1]["standing"] == "full"
    await station.simulate("level", value=0.87)

    async def nothing() -> bool:
        return bool((await station.ask("allocation"))["off_takes"][1]["standing"] == "out")

    await station.until("the river is shut out", nothing)
    shown = await asyncio.to_thread(_penstock, "allocation", "--state", station.state)
    assert "available 0 m3/h: PLC-200.level is at or below 0.9 m" in shown.stdout
    assert re.search(r"RIVER +2 +20 m3/h +60 m3/h +0 m3/h +out +RIVER gets nothing", shown.stdout)
    code, answer = await _ask(station, "why", "FV-202")
    assert [cause["code"] for cause in answer["causes"]] == ["nothing-allocated", "allocation-out", "level-empty"]


@pytest.mark.asyncio(loop_scope="module")
async def test_listen_decodes_births_and_data_and_counts(station: Station) -> None:
    assert station.broker is not None
    done = await asyncio.to_thread(
        _penstock, "listen", f"mqtt://127.0.0.1:{station.broker.port}", "--node", "plant-01", "--count", "20", "--json"
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == exit_codes.DONE
    assert len(lines) == 21
    assert {line["kind"] for line in lines[:-1]} >= {"NBIRTH", "DBIRTH"}
    assert lines[-1]["completeness"]["missing"] == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_watch_shows_the_station_live(station: Station) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "watch", "--json", "--state", str(station.state), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        first, second = [json.loads(await process.stdout.readline()) for _ in range(2)]
    process.terminate()
    await process.wait()
    assert second["utc"] > first["utc"]
    assert second["scan"]["scans"] > first["scan"]["scans"]
