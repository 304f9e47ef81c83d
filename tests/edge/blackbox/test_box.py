"""A running controller saves the minutes around a trip, whatever its disk does, and what it saved replays."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.errors import PenstockError
from config.load import LoadedSite, load_site
from config.sample import Quality, Reason, Sample
from control.compiler import compile_site
from control.state import initial_state
from edge.blackbox.box import FOLDER, save_file
from edge.blackbox.file import header
from edge.blackbox.replay import replay
from edge.controller.controller import Controller
from edge.controller.process import run_controller
from edge.controller.recorder import metric_definitions
from edge.store.writer import StoreWriter
from tests.edge.blackbox.stations import Recorded
from tests.edge.sites import site_data

DEADLINE_S = 10.0


def _site(folder: Path, **blackbox: Any) -> LoadedSite:
    data = site_data(1)
    data["dispensers"]["FILL-1"]["guards"]["turbidity"]["instant"] = "15 NTU"
    data["blackbox"] = blackbox
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    return load_site(path)


class _Running:
    """A controller without a field, fed by hand."""

    def __init__(self, loaded: LoadedSite, state: Path, record: Path | None) -> None:
        program = compile_site(loaded)
        self.store = StoreWriter(state)
        self.store.start()
        aliases = self.store.register(metric_definitions(loaded, program))
        self.controller = Controller(
            loaded, program, initial_state(program), self.store, aliases, state / "pki", record
        )
        self.told: list[dict[str, Any]] = []
        real = self.store.put_entry

        def put_entry(kind: str, subject: str, body: dict[str, Any], time_ms: int) -> None:
            if subject == "blackbox":
                self.told.append(body)
            real(kind, subject, body, time_ms)

        self.store.put_entry = put_entry  # type: ignore[method-assign]

    def turbidity(self, ntu: float) -> None:
        signal = self.controller.loaded.signals["D-1.turbidity"]
        now = self.controller.now()
        self.controller.take([signal.index], [Sample(ntu, Quality.GOOD, Reason.OK, now.mono, None, b"\x41\x92")])

    async def told_of(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(DEADLINE_S):
            while len(found := [b for b in self.told if b["name"] == name]) < count:  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.02)
        return found


@contextlib.asynccontextmanager
async def _running(loaded: LoadedSite, state: Path, record: Path | None = None) -> AsyncIterator[_Running]:
    running = _Running(loaded, state, record)
    task = asyncio.create_task(running.controller.run())
    try:
        await asyncio.sleep(0.35)
        yield running
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task
        running.store.stop()


async def test_a_trip_saves_what_was_before_it_at_once_and_all_of_it_when_its_time_is_over(tmp_path: Path) -> None:
    loaded = _site(tmp_path, before="5 s", after="0.6 s")
    async with _running(loaded, tmp_path / "state") as running:
        running.turbidity(2.0)
        running.turbidity(50.0)
        first, second = await running.told_of("black-box-saved", 2)
    assert (first["whole"], second["whole"]) == (False, True)
    assert first["file"] == second["file"]
    assert second["file"].endswith("-FILL-1.pbb")
    assert second["scans"] >= first["scans"] + 5
    path = tmp_path / "state" / FOLDER / second["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == second["sha256"]
    report = replay(path)
    assert report.identical
    assert report.damaged is None
    assert report.scans == second["scans"]
    assert report.head["why"]["trip"] == "FILL-1"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


async def test_a_stop_before_the_time_is_over_saves_what_there_is(tmp_path: Path) -> None:
    async with _running(_site(tmp_path), tmp_path / "state") as running:
        running.turbidity(50.0)
        await running.told_of("black-box-saved")
    assert [body["whole"] for body in running.told] == [False, True]
    [path] = (tmp_path / "state" / FOLDER).iterdir()
    assert replay(path).identical


async def test_a_scan_that_fails_leaves_its_input_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("by hand")

    async with _running(_site(tmp_path), tmp_path / "state") as running:
        with monkeypatch.context() as patched:
            patched.setattr("control.scan.protect", broken)
            running.turbidity(2.0)
        await running.told_of("black-box-saved")
    [path] = (tmp_path / "state" / FOLDER).iterdir()
    assert path.name.endswith("-failed.pbb")
    report = replay(path)
    assert (report.differences[0].was, report.differences[0].now) == ("ZeroDivisionError: by hand", "ends well")


async def test_a_disk_that_does_not_take_it_is_an_event_and_the_scan_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with _running(_site(tmp_path, after="0.2 s"), state) as running:
        (state / FOLDER).write_text("a file where the folder should be")
        running.turbidity(50.0)
        told = await running.told_of("black-box-not-saved", 2)
        scans = running.controller.timing.scans
        await asyncio.sleep(0.3)
        assert running.controller.timing.scans > scans
        assert await running.controller.black_box.save({"asked_by": "x"}, running.controller.now()) is None
    assert "exists" in told[0]["error"].lower()


async def test_a_person_may_have_it_saved(tmp_path: Path) -> None:
    async with _running(_site(tmp_path), tmp_path / "state") as running:
        box, now = running.controller.black_box, running.controller.now()
        saved = await box.save({"asked_by": "local:li", "reason": "odd noise"}, now)
        assert saved is not None
        assert box.files() == [saved.path]
        assert box.status(now)["held_samples"] > 0
    report = replay(saved.path)
    assert report.identical
    assert report.head["why"]["reason"] == "odd noise"


async def test_a_recording_has_every_scan_from_start_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.blackbox.ring.SEGMENT_S", 0.3)
    path = tmp_path / "all.pbb"
    async with _running(_site(tmp_path), tmp_path / "state", path) as running:
        for ntu in (2.0, 3.0, 50.0):
            running.turbidity(ntu)
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        recording = running.controller.black_box.recording
        assert recording is not None
        cut = tmp_path / "cut.pbb"
        cut.write_bytes(path.read_bytes())
    assert recording.status()["over"] is False
    report = replay(path)
    assert report.identical
    assert report.damaged is None
    assert report.scans == running.controller.timing.scans
    early = replay(cut)
    assert early.identical
    assert early.damaged is not None
    assert 0 < early.scans < report.scans


async def test_a_recording_does_not_replace_a_file(tmp_path: Path) -> None:
    path = tmp_path / "all.pbb"
    path.write_text("mine")
    with pytest.raises(PenstockError, match="exists already"):
        await run_controller(_site(tmp_path), tmp_path / "state", path)
    assert path.read_text() == "mine"


async def test_a_recording_on_a_full_disk_ends_and_the_controller_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.blackbox.ring.SEGMENT_S", 0.2)
    monkeypatch.setattr("edge.blackbox.file.Writer.flush", full)
    async with _running(_site(tmp_path), tmp_path / "state", tmp_path / "all.pbb") as running:
        recording = running.controller.black_box.recording
        assert recording is not None
        async with asyncio.timeout(DEADLINE_S):
            while not recording.status()["over"]:  # noqa: ASYNC110 - a thread writes it
                await asyncio.sleep(0.02)
        scans = running.controller.timing.scans
        await asyncio.sleep(0.3)
        assert running.controller.timing.scans > scans


def test_the_oldest_files_go_beyond_those_to_keep(tmp_path: Path) -> None:
    station = Recorded()
    station.run(1.0)
    head = {**header(station.loaded), "why": {}}
    (tmp_path / "20260101T000000Z-X.pbb.tmp").write_text("left by a crash")
    for day in range(1, 6):
        save_file(tmp_path / f"2026010{day}T000000Z-X.pbb", head, station.ring.spans(), keep=3)
    assert [one.name[:8] for one in sorted(tmp_path.iterdir())] == ["20260103", "20260104", "20260105"]
