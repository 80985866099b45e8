"""The SQLite file of a ledger: its tables, its connections, its lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from fedward.common.errors import LedgerError, LedgerLockedError

SCHEMA_VERSION = b"fedward.ledger/1"
_BUSY_MS = 5000
STATEMENTS = (
    """CREATE TABLE entry (seq INTEGER PRIMARY KEY CHECK (seq >= 0), kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
    prev BLOB NOT NULL CHECK (length(prev) = 32), key_id BLOB NOT NULL CHECK (length(key_id) = 32),
    body BLOB NOT NULL CHECK (length(body) <= 65536), hash BLOB NOT NULL UNIQUE, signature BLOB NOT NULL) STRICT""",
    """CREATE TABLE journal (run_id BLOB, round INTEGER, attempt INTEGER, kind TEXT,
    seq INTEGER NOT NULL REFERENCES entry, PRIMARY KEY (run_id, round, attempt, kind)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    *(
        f"CREATE TRIGGER {table}_{action.lower()} BEFORE {action} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'append-only'); END"
        for table in ("entry", "journal")
        for action in ("UPDATE", "DELETE")
    ),
)


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode: Python's implicit transactions would split what belongs together."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_MS / 1000,
            check_same_thread=False,
        )
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if mode == "rw":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
            # Else INSERT OR REPLACE walks past the trigger that forbids deleting.
            connection.execute("PRAGMA recursive_triggers = ON")
    except sqlite3.Error as error:
        raise LedgerError(f"{path.name} cannot be opened as a ledger", hint="Check the path.") from error
    return connection


def create_file(path: Path) -> None:
    """An empty file of mode 0600, whatever the umask.

    Raises:
        LedgerError: something is there already, or it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"{path.name}: {error.strerror}", hint="A ledger is never replaced.") from error
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)


def take_lock(path: Path) -> int:
    """The writer's lock, held until its descriptor is closed.

    Raises:
        LedgerLockedError: another process holds it; names its pid.
    """
    place = path.with_suffix(".lock")
    try:
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"{place.name}: {error.strerror}", hint="Check the folder.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise LedgerLockedError(f"process {holder} writes to this ledger") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


__all__ = ["connect", "create_file", "SCHEMA_VERSION", "STATEMENTS", "take_lock"]
