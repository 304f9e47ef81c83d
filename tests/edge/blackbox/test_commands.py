"""``penstock replay`` and ``penstock blackbox``: what they say, and their exit codes."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge import rpc
from edge.cli import exit_codes
from edge.cli.main import app
from edge.controller.process import run_controller
from tests.edge.blackbox.stations import Recorded
from tests.edge.sites import small_site

RUN = CliRunner()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A station that trips on turbid water."""
    path = tmp_path_factory.mktemp("blackbox") / "trip.pbb"
    station = Recorded()
    station.ready()
    station.values["AIT-101.turbidity"] = 18.2
    station.run(1.0)
    station.save(path)
    return path


def test_replay_says_that_all_is_identical_and_ends_with_0(saved: Path) -> None:
    done = RUN.invoke(app, ["replay", str(saved)])
    assert done.exit_code == exit_codes.DONE
    assert "trip of FILL-1 at changzhi-fill-07" in done.output
    assert "the same code" in done.output
    assert "identical: every output, event, answer and state" in done.output
    answer = json.loads(RUN.invoke(app, ["replay", str(saved), "--json"]).output)
    assert (answer["ok"], answer["identical"], answer["differences"]) == (True, True, [])


def test_replay_shows_what_became_of_an_output_and_why(saved: Path) -> None:
    done = RUN.invoke(app, ["replay", str(saved), "--show", "XV-101", "--from", "-2 s", "--to", "0 s"])
    assert done.exit_code == exit_codes.DONE
    assert "AIT-101.turbidity is above its instant limit 15 NTU" in done.output
    assert "18.2 NTU" in done.output
    unknown = RUN.invoke(app, ["replay", str(saved), "--show", "XV-999"])
    assert "no 'XV-999'" in str(unknown.exception)


def test_replay_with_another_site_names_the_difference_and_ends_with_1(saved: Path, tmp_path: Path) -> None:
    text = Recorded().loaded.text
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("instant: 15 NTU", "instant: 30 NTU"), "utf-8")
    done = RUN.invoke(app, ["replay", str(saved), "--site", str(other)])
    assert done.exit_code == exit_codes.WRONG
    assert "with the other site file" in done.output
    assert "DIFFERENT" in done.output
    assert "because AIT-101.turbidity is above its instant limit 15 NTU" in done.output


def test_replay_of_a_file_that_is_cut_off_says_so_and_ends_with_1(saved: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pbb"
    cut.write_bytes(saved.read_bytes()[:-20])
    done = RUN.invoke(app, ["replay", str(cut)])
    assert done.exit_code == exit_codes.WRONG
    assert "NOT WHOLE: cut off" in done.output


async def test_a_running_controller_lists_and_saves(tmp_path: Path) -> None:
    state = tmp_path / "state"
    task = asyncio.create_task(run_controller(small_site(tmp_path), state))
    try:
        async with asyncio.timeout(10.0):
            while not (state / rpc.SOCKET_NAME).exists():  # noqa: ASYNC110 - the socket of another task
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            empty = await asyncio.to_thread(RUN.invoke, app, ["blackbox", "list", "--state", str(state)])
            made = await asyncio.to_thread(
                RUN.invoke, app, ["blackbox", "save", "--reason", "odd noise", "--state", str(state), "--json"]
            )
            listed = await asyncio.to_thread(RUN.invoke, app, ["blackbox", "list", "--state", str(state)])
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert "no file yet" in empty.output
    answer = json.loads(made.output)
    assert answer["ok"]
    assert answer["file"] in listed.output
    done = RUN.invoke(app, ["replay", answer["file"]])
    assert done.exit_code == exit_codes.DONE
    assert "odd noise" in done.output
