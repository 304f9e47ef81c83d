"""The writer's thread: nothing put into it is lost while the disk takes it late, and nothing is written twice."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from config.errors import StoreError
from edge.store import writer as writer_module
from edge.store.ledger import Ledger, NewEntry
from edge.store.spool import Spool
from edge.store.writer import StoreWriter

FLUSH_S = 10.0


@contextmanager
def _writing(directory: Path) -> Iterator[StoreWriter]:
    store = StoreWriter(directory)
    store.start()
    try:
        yield store
    finally:
        store.stop()


def _spooled(directory: Path) -> list[tuple[int, int, str]]:
    spool = Spool(directory / "spool.db")
    try:
        return [(record.boot, record.sequence, record.kind) for record in spool.read(0, 10_000)]
    finally:
        spool.close()


def _number(store: StoreWriter, number: int) -> None:
    store.put_data("D", bytes([number]), number)


async def test_data_entries_and_state_are_on_disk_after_a_flush(tmp_path: Path) -> None:
    with _writing(tmp_path) as store:
        _number(store, 1)
        store.put_entry("receipt", "FILL-1", {"order_id": "o-1"}, 5)
        store.put_online("D", False, 6)
        store.save_state({"trips": {}})
        assert await store.flush(FLUSH_S)
        assert _spooled(tmp_path) == [(1, 1, "data"), (1, 2, "offline"), (1, 3, "receipt")]
    with _writing(tmp_path) as store:
        assert store.boot == 2
        assert store.load_state() == {"trips": {}}


async def test_what_waits_is_written_by_stop(tmp_path: Path) -> None:
    with _writing(tmp_path) as store:
        for number in range(200):
            _number(store, number)
        store.put_entry("event", "x", {"name": "last"}, 1)
    assert [sequence for _, sequence, _ in _spooled(tmp_path)] == list(range(1, 202))


async def test_an_entry_that_reached_the_ledger_alone_is_spooled_once_at_the_next_start(tmp_path: Path) -> None:
    with _writing(tmp_path) as store:
        store.put_entry("event", "x", {"name": "first"}, 1)
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append(1, [NewEntry("receipt", "FILL-1", {"order_id": "o-1"}, 2)])
    ledger.close()
    for _ in range(2):
        with _writing(tmp_path) as store:
            assert await store.flush(FLUSH_S)
    assert [kind for _, _, kind in _spooled(tmp_path)] == ["event", "receipt"]


async def test_a_disk_that_refuses_delays_but_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY_S", 0.02)
    with _writing(tmp_path) as store:
        raw = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
        raw.execute("ALTER TABLE record RENAME TO away")
        for number in range(20):
            _number(store, number)
        store.put_entry("receipt", "FILL-1", {"order_id": "o-1"}, 5)
        assert not await store.flush(0.3)
        assert "record" in str(store.status().fault)
        assert store.status().waiting > 0
        raw.execute("ALTER TABLE away RENAME TO record")
        raw.close()
        await _until(lambda: store.status().fault is None)
        assert await store.flush(FLUSH_S)
    assert [kind for _, _, kind in _spooled(tmp_path)] == ["data"] * 20 + ["receipt"]
    ledger = Ledger(tmp_path / "ledger.db")
    assert [entry["order_id"] for entry in ledger.latest("receipt", 10)] == ["o-1"]
    assert ledger.verify() is None
    ledger.close()


async def test_a_text_that_no_file_can_hold_is_written_as_its_escape(tmp_path: Path) -> None:
    with _writing(tmp_path) as store:
        store.put_entry("event", "\ud800", {"text": "pump\udce6"}, 5)
        store.save_state({"text": "\ud800"})
        assert await store.flush(FLUSH_S)
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        assert ledger.latest("event", 1)[0]["text"] == "pump\udce6"
        assert ledger.verify() is None
    with _writing(tmp_path) as store:
        assert store.load_state() == {"text": "\ud800"}


async def test_a_writer_that_stumbles_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(ledger: Ledger, boot: int, entries: Sequence[NewEntry]) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(writer_module, "RETRY_S", 0.01)
    with _writing(tmp_path) as store:
        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "append", stumble)
            store.put_entry("receipt", "FILL-1", {"order_id": "o-1"}, 5)
            await _until(lambda: store.status().fault == "ValueError: a fault of ours")
        await _until(lambda: store.status().fault is None)
        assert await store.flush(FLUSH_S)
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        assert ledger.has_receipt("o-1")


async def test_telemetry_beyond_the_bound_is_dropped_oldest_first_and_the_loss_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING", 10)
    store = StoreWriter(tmp_path)
    for number in range(25):
        _number(store, number)
    store.put_entry("receipt", "FILL-1", {"order_id": "o-1"}, 5)
    store.start()
    assert await store.flush(FLUSH_S)
    store.stop()
    spool = Spool(tmp_path / "spool.db")
    records = spool.read(0, 100)
    spool.close()
    assert [record.payload[0] for record in records if record.kind == "data"] == list(range(15, 25))
    assert [record.kind for record in records if record.kind != "data"] == ["event", "receipt"]
    ledger = Ledger(tmp_path / "ledger.db")
    [event] = ledger.latest("event", 10)
    assert (event["name"], event["count"]) == ("telemetry-dropped", 15)
    ledger.close()


@pytest.mark.parametrize("name", ["spool.db", "ledger.db", "state.db"])
async def test_a_corrupt_file_is_set_aside_and_spares_the_others(tmp_path: Path, name: str) -> None:
    with _writing(tmp_path) as store:
        _number(store, 1)
        store.put_entry("event", "x", {"name": "kept"}, 1)
        store.save_state({"kept": True})
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"{name}{suffix}").unlink(missing_ok=True)
    (tmp_path / name).write_bytes(b"\x00garbage" * 2000)
    with _writing(tmp_path) as store:
        assert [path.name.split(".corrupt-")[0] for path in store.set_aside] == [name]
        assert store.boot == 2
        _number(store, 2)
        assert await store.flush(FLUSH_S)
        if name == "state.db":
            with pytest.raises(StoreError, match="corrupt"):
                store.load_state()
        else:
            assert store.load_state() == {"kept": True}
    assert (2, 1, "data") in _spooled(tmp_path)
    assert store.set_aside[0].read_bytes().startswith(b"\x00garbage")


async def test_entries_of_a_ledger_begun_anew_are_forwarded(tmp_path: Path) -> None:
    with _writing(tmp_path) as store:
        for number in range(5):
            store.put_entry("event", "x", {"number": number}, 1)
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    with _writing(tmp_path) as store:
        store.put_entry("receipt", "FILL-1", {"order_id": "o-1"}, 2)
        assert await store.flush(FLUSH_S)
    assert _spooled(tmp_path)[-1] == (2, 1, "receipt")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(FLUSH_S):
        while not condition():  # noqa: ASYNC110 - it lies behind a thread
            await asyncio.sleep(0.01)
