"""The ledger: orders, receipts, commands, trips, resets. Hash-chained, on disk before it counts, never dropped.

Each entry's hash covers its content and the hash before it, so that an edit, a deletion or a change of order in
the middle shows at the first entry behind it.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.json_text import encoded, held
from edge.store.database import open_database

FILE_NAME: Final = "ledger.db"
GENESIS: Final = bytes(32)
"""The hash before the first entry."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entry(
    id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL,
    subject TEXT NOT NULL, body TEXT NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS entry_kind ON entry(kind, id);
"""


class NewEntry(NamedTuple):
    """An entry to be written. ``body`` is JSON."""

    kind: str
    subject: str
    body: dict[str, Any]
    time_ms: int


class Entry(NamedTuple):
    """A written entry; ``body`` as its JSON text."""

    id: int
    boot: int
    time_ms: int
    kind: str
    subject: str
    body: str

    def to_json(self) -> dict[str, Any]:
        """As one JSON object, with the body parsed."""
        return {
            "ledger_id": self.id,
            "boot": self.boot,
            "time_ms": self.time_ms,
            "kind": self.kind,
            "subject": self.subject,
            **json.loads(self.body),
        }


class Ledger:
    """A connection to the ledger. Raises ``StoreError`` (``CorruptStore``) when it cannot be opened."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._db = open_database(path, _SCHEMA, "FULL", read_only=read_only)

    def append(self, boot: int, entries: Sequence[NewEntry]) -> None:
        """Writes entries in one transaction: on disk when this returns."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            row = self._db.execute("SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1").fetchone()
            last_id, previous = row if row is not None else (0, GENESIS)
            for entry in entries:
                last_id += 1
                body, subject = encoded(entry.body, sort_keys=True).decode(), held(entry.subject)
                digest = entry_hash(previous, Entry(last_id, boot, entry.time_ms, entry.kind, subject, body))
                self._db.execute(
                    "INSERT INTO entry VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                    (last_id, boot, entry.time_ms, entry.kind, subject, body, previous, digest),
                )
                previous = digest
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def read(self, after_id: int, limit: int) -> list[Entry]:
        """The next entries after an id."""
        rows = self._db.execute(
            "SELECT id, boot, time_ms, kind, subject, body FROM entry WHERE id > ? ORDER BY id LIMIT ?",
            (after_id, limit),
        )
        return [Entry(*row) for row in rows]

    def latest(self, kind: str, limit: int) -> list[dict[str, Any]]:
        """The newest entries of a kind, newest first, as JSON."""
        rows = self._db.execute(
            "SELECT id, boot, time_ms, kind, subject, body FROM entry WHERE kind = ? ORDER BY id DESC LIMIT ?",
            (kind, limit),
        )
        return [Entry(*row).to_json() for row in rows]

    def latest_events(self, prefix: str, limit: int) -> list[dict[str, Any]]:
        """The newest events whose name begins so, newest first, as JSON."""
        rows = self._db.execute(
            "SELECT id, boot, time_ms, kind, subject, body FROM entry"
            " WHERE kind = 'event' AND json_extract(body, '$.name') LIKE ? ORDER BY id DESC LIMIT ?",
            (f"{prefix}%", limit),
        )
        return [Entry(*row).to_json() for row in rows]

    def has_receipt(self, order_id: str) -> bool:
        """True when an order has its receipt."""
        row = self._db.execute(
            "SELECT 1 FROM entry WHERE kind = 'receipt' AND json_extract(body, '$.order_id') = ? LIMIT 1",
            (order_id,),
        ).fetchone()
        return row is not None

    def newest(self, kind: str, subject: str, name: str) -> dict[str, Any] | None:
        """The newest entry of a kind and name about a subject, as JSON."""
        row = self._db.execute(
            "SELECT id, boot, time_ms, kind, subject, body FROM entry WHERE kind = ? AND subject = ?"
            " AND json_extract(body, '$.name') = ? ORDER BY id DESC LIMIT 1",
            (kind, subject, name),
        ).fetchone()
        return Entry(*row).to_json() if row is not None else None

    def fills_within(self, subject: str, begins_utc: float, ends_utc: float, limit: int) -> list[dict[str, Any]]:
        """The receipts of fills that gave water between two moments (seconds UTC), newest first, as JSON."""
        rows = self._db.execute(
            "SELECT id, boot, time_ms, kind, subject, body FROM entry WHERE kind = 'receipt' AND subject = ?"
            " AND json_extract(body, '$.name') = 'receipt' AND json_extract(body, '$.settled_utc') >= ?"
            " AND COALESCE(json_extract(body, '$.started_utc'), json_extract(body, '$.accepted_utc')) <= ?"
            " ORDER BY id DESC LIMIT ?",
            (subject, begins_utc, ends_utc, limit),
        )
        return [Entry(*row).to_json() for row in rows]

    def last_id(self) -> int:
        """The id of the newest entry, 0 when there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(id), 0) FROM entry").fetchone()[0])

    def latest_boot(self) -> int:
        """The highest boot number of any entry, 0 when there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(boot), 0) FROM entry").fetchone()[0])

    def verify(self) -> int | None:
        """The id of the first entry that is not as it was written, or ``None``."""
        previous, expected_id = GENESIS, 1
        query = "SELECT id, boot, time_ms, kind, subject, body, previous, hash FROM entry ORDER BY id"
        for *content, stored_previous, stored in self._db.execute(query):
            entry = Entry(*content)
            if entry.id != expected_id or stored_previous != previous or entry_hash(previous, entry) != stored:
                return entry.id
            previous, expected_id = stored, expected_id + 1
        return None

    def close(self) -> None:
        self._db.close()


def entry_hash(previous: bytes, entry: Entry) -> bytes:
    """SHA-256 over the hash before and the canonical JSON of the entry."""
    content = json.dumps(list(entry), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(previous + content.encode()).digest()
