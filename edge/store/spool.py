"""The spool: records that wait for delivery, in the order in which they happened.

The controller appends; the forwarder reads and, once the broker has acknowledged, deletes. One row is one
message. Every record has the identity ``(site, boot, sequence)``; ``sequence`` counts from 1 in each boot without
a gap, so that a receiver can prove that it has everything. An alias is given to a metric once and never reused,
so that a row stays readable however the site file changes.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from edge.sparkplug import DataType, Metric
from edge.store.database import open_database

FILE_NAME: Final = "spool.db"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS metric(
    alias INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, datatype INTEGER NOT NULL,
    unit TEXT NOT NULL, UNIQUE(device, name));
CREATE TABLE IF NOT EXISTS record(
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL,
    device TEXT NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class Record(NamedTuple):
    """One row. ``kind``: data, online, offline, event, receipt or command; ``device`` "" is the node."""

    id: int
    boot: int
    sequence: int
    kind: str
    device: str
    time_ms: int
    payload: bytes


class NewRecord(NamedTuple):
    """A record that has no identity yet."""

    kind: str
    device: str
    time_ms: int
    payload: bytes


class Depth(NamedTuple):
    """How much waits: rows, the time of the oldest (``None`` when empty), the newest id."""

    rows: int
    oldest_ms: int | None
    newest_id: int


class Spool:
    """A connection to the spool. Raises ``StoreError`` (``CorruptStore``) when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, _SCHEMA, "NORMAL")
        self._sequence: dict[int, int] = {}

    def register(self, metrics: Sequence[Metric]) -> dict[tuple[str, str], int]:
        """Gives every metric its alias, keeping those it has; returns them all."""
        with _transaction(self._db):
            self._db.executemany(
                "INSERT INTO metric(device, name, datatype, unit) VALUES(?, ?, ?, ?) "
                "ON CONFLICT(device, name) DO UPDATE SET datatype = excluded.datatype, unit = excluded.unit",
                [(metric.device, metric.name, int(metric.datatype), metric.unit) for metric in metrics],
            )
        return {(metric.device, metric.name): alias for alias, metric in self.metrics().items()}

    def metrics(self) -> dict[int, Metric]:
        """Every metric that ever was, by alias."""
        rows = self._db.execute("SELECT alias, device, name, datatype, unit FROM metric ORDER BY alias")
        return {alias: Metric(device, name, DataType(kind), unit) for alias, device, name, kind, unit in rows}

    def newest_alias(self) -> int:
        """The highest alias given, 0 when there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(alias), 0) FROM metric").fetchone()[0])

    def append(self, boot: int, rows: Sequence[NewRecord], ledger_through: int | None = None) -> None:
        """Appends rows in one transaction and numbers them; notes how far the ledger has been copied."""
        with _transaction(self._db):
            sequence = self._last_sequence(boot)
            for row in rows:
                sequence += 1
                self._db.execute(
                    "INSERT INTO record(boot, sequence, kind, device, time_ms, payload) VALUES(?, ?, ?, ?, ?, ?)",
                    (boot, sequence, row.kind, row.device, row.time_ms, row.payload),
                )
            self._set_meta(f"sequence-{boot}", sequence)
            if ledger_through is not None:
                self._set_meta("ledger-through", ledger_through)
        self._sequence[boot] = sequence

    def ledger_through(self) -> int:
        """The last ledger entry that has been copied here."""
        return self._meta("ledger-through") or 0

    def restart_ledger_copy(self) -> None:
        """Copies the ledger from its first entry on: it was begun anew."""
        self._set_meta("ledger-through", 0)

    def read(self, after_id: int, limit: int) -> list[Record]:
        """The next records after an id, oldest first."""
        rows = self._db.execute(
            "SELECT id, boot, sequence, kind, device, time_ms, payload FROM record WHERE id > ? ORDER BY id LIMIT ?",
            (after_id, limit),
        )
        return [Record(*row) for row in rows]

    def delete_through(self, last_id: int) -> int:
        """Deletes every record up to an id, and says how many there were."""
        with _transaction(self._db):
            return self._db.execute("DELETE FROM record WHERE id <= ?", (last_id,)).rowcount

    def latest_boot(self) -> int:
        """The highest boot number of any waiting record, 0 when there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(boot), 0) FROM record").fetchone()[0])

    def depth(self) -> Depth:
        """How much waits."""
        count, oldest, newest = self._db.execute("SELECT COUNT(*), MIN(time_ms), MAX(id) FROM record").fetchone()
        return Depth(count, oldest, newest or 0)

    def next_bdseq(self) -> int:
        """The birth-death sequence number of this connection: 0 to 255, one more than the last."""
        with _transaction(self._db):
            last = self._meta("bdseq")
            bdseq = 0 if last is None else (last + 1) % 256
            self._set_meta("bdseq", bdseq)
        return bdseq

    def close(self) -> None:
        self._db.close()

    def last_sequence(self, boot: int) -> int:
        """The number of the newest record of a boot, delivered or not."""
        return self._meta(f"sequence-{boot}") or 0

    def latest_numbered_boot(self) -> int:
        """The newest boot that has written anything."""
        rows = self._db.execute("SELECT key FROM meta WHERE key LIKE 'sequence-%'")
        return max((int(key.removeprefix("sequence-")) for (key,) in rows), default=0)

    def _last_sequence(self, boot: int) -> int:
        known = self._sequence.get(boot)
        return known if known is not None else self.last_sequence(boot)

    def _meta(self, key: str) -> int | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row is not None else None

    def _set_meta(self, key: str, value: int) -> None:
        self._db.execute(
            "INSERT INTO meta VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            (key, value),
        )


class _transaction:  # noqa: N801 - reads as a statement
    """``BEGIN IMMEDIATE`` to ``COMMIT``, or ``ROLLBACK`` when anything fails in between."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                self._db.execute("ROLLBACK")
                raise
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")
