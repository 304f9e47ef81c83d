"""Opening a SQLite file the way every file of the store is opened: WAL, bounded waits, set aside when corrupt."""

import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

from config.errors import StoreError

BUSY_TIMEOUT_S: Final = 5.0
"""Controller and forwarder both write the spool; neither holds it longer than one small commit."""


def open_database(
    path: Path, schema: str, synchronous: Literal["FULL", "NORMAL"], *, read_only: bool = False
) -> sqlite3.Connection:
    """Opens or makes a file. Raises ``StoreError`` when it cannot be opened; ``CorruptStore`` when it is corrupt."""
    try:
        mode = "ro" if read_only else "rwc"
        connection = sqlite3.connect(
            f"file:{path}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.executescript(schema)
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise CorruptStore(f"{path} is corrupt")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise StoreError(f"{path} cannot be opened: {error}") from error
        raise CorruptStore(f"{path} is corrupt: {error}") from error
    return connection


class CorruptStore(StoreError):
    """A file that is no longer a sound database."""

    code = "store-corrupt"


def set_aside(path: Path) -> Path:
    """Renames a corrupt file and its journal, so that a new one can be begun and the old one examined."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.rename(aside.with_name(aside.name + suffix))
    return aside
