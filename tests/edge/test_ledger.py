"""Nobody alters the ledger unseen."""

import sqlite3
from pathlib import Path

import pytest

from edge.store.ledger import Ledger, NewEntry


def _entry(number: int, kind: str = "event") -> NewEntry:
    return NewEntry(kind, "FILL-1", {"number": number, "order_id": f"o-{number}"}, 1000 + number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.append(1, [_entry(number) for number in range(1, 4)])
    ledger.append(2, [_entry(number, "receipt") for number in range(4, 7)])
    ledger.close()
    return path


def test_an_untouched_ledger_verifies_and_reads_back(path: Path) -> None:
    ledger = Ledger(path)
    assert ledger.verify() is None
    assert [entry.id for entry in ledger.read(0, 10)] == [1, 2, 3, 4, 5, 6]
    assert [entry["number"] for entry in ledger.latest("receipt", 2)] == [6, 5]
    assert ledger.latest_boot() == 2
    ledger.close()


@pytest.mark.parametrize(
    ("tampering", "first_wrong"),
    [
        ("UPDATE entry SET body = replace(body, '3', '9') WHERE id = 3", 3),
        ("UPDATE entry SET time_ms = time_ms + 1 WHERE id = 2", 2),
        ("UPDATE entry SET kind = 'event' WHERE id = 4", 4),
        ("DELETE FROM entry WHERE id = 2", 3),
        ("DELETE FROM entry WHERE id = 1", 2),
        ("UPDATE entry SET id = CASE id WHEN 2 THEN 30 ELSE id END", 3),
        ("UPDATE entry SET hash = x'00' WHERE id = 5", 5),
    ],
)
def test_every_tampering_shows(path: Path, tampering: str, first_wrong: int) -> None:
    with sqlite3.connect(path) as raw:
        raw.execute(tampering)
    ledger = Ledger(path)
    assert ledger.verify() == first_wrong
    ledger.close()


def test_an_order_has_a_receipt_or_not(path: Path) -> None:
    ledger = Ledger(path, read_only=True)
    assert ledger.has_receipt("o-5")
    assert not ledger.has_receipt("o-2")
    assert not ledger.has_receipt("o-7")
    ledger.close()


def test_entries_of_one_append_are_written_together_or_not_at_all(path: Path) -> None:
    ledger = Ledger(path)
    with pytest.raises(TypeError):
        ledger.append(3, [_entry(7), NewEntry("event", "x", {"not json": object()}, 0)])
    assert [entry.id for entry in ledger.read(0, 10)] == [1, 2, 3, 4, 5, 6]
    assert ledger.verify() is None
    ledger.close()


def test_a_reader_cannot_write(path: Path) -> None:
    ledger = Ledger(path, read_only=True)
    with pytest.raises(sqlite3.OperationalError):
        ledger.append(3, [_entry(7)])
    ledger.close()


def _fill(order: str, started: float | None, settled: float, subject: str = "FILL-1") -> NewEntry:
    body = {"name": "receipt", "order_id": order, "accepted_utc": 5.0, "started_utc": started, "settled_utc": settled}
    return NewEntry("receipt", subject, body, int(settled * 1000))


def test_the_fills_that_gave_water_between_two_moments_are_found(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    fills = [
        _fill("before", 10.0, 90.0),
        _fill("over the begin", 80.0, 110.0),
        _fill("within", 120.0, 150.0),
        _fill("over the end", 190.0, 230.0),
        _fill("after", 210.0, 250.0),
        _fill("elsewhere", 120.0, 150.0, "FILL-2"),
    ]
    ledger.append(1, [*fills, NewEntry("receipt", "FILL-1", {"name": "served", "settled_utc": 140.0}, 140_000)])
    found = [entry["order_id"] for entry in ledger.fills_within("FILL-1", 100.0, 200.0, 10)]
    assert found == ["over the end", "within", "over the begin"]
    assert len(ledger.fills_within("FILL-1", 0.0, 300.0, 2)) == 2
    ledger.close()


def test_the_newest_entry_of_a_name_about_a_subject_is_found(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    entries = [("trip", "FILL-1", 1), ("trip", "FILL-1", 2), ("reset", "FILL-1", 3), ("trip", "FILL-2", 4)]
    ledger.append(1, [NewEntry("event", subject, {"name": name, "n": n}, n) for name, subject, n in entries])
    newest = ledger.newest("event", "FILL-1", "trip")
    assert newest is not None
    assert newest["n"] == 2
    assert ledger.newest("event", "FILL-3", "trip") is None
    ledger.close()
