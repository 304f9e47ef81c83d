"""What the scan must remember over a restart, and how often the controller has been started."""

from pathlib import Path
from typing import Final

from edge.store.database import open_database

FILE_NAME: Final = "state.db"
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, value BLOB NOT NULL);"


class StateFile:
    """A connection to the state file. Raises ``StoreError`` (``CorruptStore``) when it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._db = open_database(path, _SCHEMA, "FULL")

    def load(self, key: str) -> bytes | None:
        """What was last saved under a key."""
        row = self._db.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return row[0] if row is not None else None

    def save(self, key: str, value: bytes) -> None:
        """Saves: on disk when this returns."""
        self._db.execute(
            "INSERT INTO kv VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (key, value)
        )

    def next_boot(self, at_least: int) -> int:
        """The number of this start: one more than the last, and not below ``at_least``."""
        last = self.load("boot")
        boot = max(int(last) + 1 if last is not None else 1, at_least)
        self.save("boot", str(boot).encode())
        return boot

    def close(self) -> None:
        self._db.close()
