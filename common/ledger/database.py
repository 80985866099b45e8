"""The SQLite file of a ledger: its tables, its connections, its lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from fedward.common.errors import LedgerError, LedgerLockedError

SCHEMA_VERSION = b"fedward.ledger/1"
DAMAGED = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises: the module also decodes what SQLite says of it."""
_BUSY_MS = 5000
_MAX_VALUE_BYTES = 1 << 17
"""Of a value and of a row: a small file can say that it holds gigabytes."""
_TABLES = (
    """CREATE TABLE entry (seq INTEGER PRIMARY KEY CHECK (seq >= 0), kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
    prev BLOB NOT NULL CHECK (length(prev) = 32), key_id BLOB NOT NULL CHECK (length(key_id) = 32),
    body BLOB NOT NULL CHECK (length(body) <= 65536), hash BLOB NOT NULL UNIQUE, signature BLOB NOT NULL) STRICT""",
    """CREATE TABLE journal (run_id BLOB, round INTEGER, attempt INTEGER, kind TEXT,
    seq INTEGER NOT NULL REFERENCES entry, PRIMARY KEY (run_id, round, attempt, kind)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
)
_TRIGGERS = tuple(
    f"CREATE TRIGGER {table}_{action.lower()} BEFORE {action} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END"
    for table in ("entry", "journal")
    for action in ("UPDATE", "DELETE")
)
STATEMENTS = (*_TABLES, *_TRIGGERS)
SIDE_TABLE = """CREATE TABLE beside (name TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL,
    UNIQUE (name, part)) STRICT"""
"""Of ``beside``; only in ledgers whose writer keeps something there."""


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode: Python's implicit transactions would split what belongs together."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}{_if_untouched(path)}",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_MS / 1000,
            check_same_thread=False,
        )
        _set_limits(connection)
        if mode == "rw":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
            _set_writing(connection)
    except DAMAGED as error:
        raise LedgerError(f"{path.name} cannot be opened as a ledger", hint="Check the path.") from error
    return connection


def connect_memory() -> sqlite3.Connection:
    """A writer's connection to an empty database that ends with it: for simulations and tests."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _set_limits(connection)
    _set_writing(connection)
    return connection


def _set_limits(connection: sqlite3.Connection) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _set_writing(connection: sqlite3.Connection) -> None:
    # Else INSERT OR REPLACE walks past the trigger that forbids deleting.
    connection.execute("PRAGMA recursive_triggers = ON")
    # What stands beside the entries is replaced, and must be gone then.
    connection.execute("PRAGMA secure_delete = ON")


def _if_untouched(path: Path) -> str:
    """What lets a copy on a read-only medium be read: SQLite would make its shared memory beside it, and could not."""
    has_log = path.with_name(f"{path.name}-wal").exists()
    return "" if has_log or os.access(path.parent, os.W_OK) else "&immutable=1"


def require_schema(connection: sqlite3.Connection, *, is_writer: bool) -> None:
    """Refuse a file whose tables are not ours to the letter: a view of that name can run for ever, a trigger can write.

    Args:
        connection: to the file; nothing else was asked of it yet.
        is_writer: whether the triggers must all be there; a reader finds by the chain what they would have stopped.

    Raises:
        LedgerError: other tables, views, triggers or indices.
    """
    try:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 32").fetchall()
    except DAMAGED as error:
        raise LedgerError("this is no ledger of this version", hint="Check the path.") from error
    if any(type(name) is not str for _, name, _ in rows):  # a flipped byte makes a blob of it
        raise LedgerError("this is no ledger of this version: its tables are others", hint="Check the path.")
    stated = {sql for kind, name, sql in rows if not (kind == "index" and sql is None and name.startswith("sqlite_"))}
    least = STATEMENTS if is_writer else _TABLES
    if not set(least) <= stated <= {*STATEMENTS, SIDE_TABLE}:
        raise LedgerError("this is no ledger of this version: its tables are others", hint="Check the path.")


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
    if place == path:
        raise LedgerError(f"{path.name}: a ledger's file does not end in .lock", hint="Name it ledger.db.")
    try:
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(f"{place.name}: {error.strerror}", hint="Check the folder.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 20, 0)
        os.close(lock)
        named = holder.decode() if holder.isdigit() else "unknown"
        raise LedgerLockedError(f"process {named} writes to this ledger") from None
    try:
        os.fchmod(lock, 0o600)  # who may read it may lock it
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except OSError as error:
        os.close(lock)
        raise LedgerError(f"{place.name}: {error.strerror}", hint="Is the disk full?") from error
    return lock


__all__ = [
    "connect",
    "connect_memory",
    "create_file",
    "DAMAGED",
    "require_schema",
    "SCHEMA_VERSION",
    "SIDE_TABLE",
    "STATEMENTS",
    "take_lock",
]
