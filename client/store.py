"""Where a site keeps what must outlive its process: the journal of used positions, and its own state with the accounts.

Both go in one transaction, so a vector that may have left was charged, whatever crashes. Secrets of a round are in
neither; the run's transport key is part of the state, and ``scrub`` leaves nothing of it behind in the files. What a
disk itself keeps of blocks that were written over is not handled here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fedward.common.errors import RunError
from fedward.common.secagg.journal import JournalEntry, MemoryJournal, SqliteJournal

StateWriter = Callable[[], bytes]
"""Makes the bytes of the state, for a store that wants them."""


class SiteStore(Protocol):
    """One site's."""

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter) -> None:
        """Write entries and state, or nothing; on return they are durable.

        Raises:
            ProtocolError: an entry stands at one of the places already.
            RunError: another process has written a state since: this one's would undo what that one charged.
        """
        ...

    def scrub(self) -> None:
        """Leave nothing on disk of states that were replaced."""
        ...

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """The journal of a run."""
        ...

    def load(self) -> bytes:
        """The last state; empty if there is none."""
        ...


class MemoryStore:
    """For simulations and tests in one process: it ends with the process, so only the journal is kept."""

    def __init__(self) -> None:
        self._journal = MemoryJournal()

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter) -> None:
        """See ``SiteStore.commit``."""
        self._journal.append(entries)

    def scrub(self) -> None:
        """See ``SiteStore.scrub``."""

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """See ``SiteStore.entries``."""
        return self._journal.entries(run_id)

    def load(self) -> bytes:
        """See ``SiteStore.load``."""
        return b""


_SCHEMA = "CREATE TABLE IF NOT EXISTS site_state (one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB NOT NULL) STRICT"
_REPLACE = "INSERT INTO site_state (one, state) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET state = excluded.state"


class SqliteStore:
    """On disk, synced before ``commit`` returns. One process at a time: the second to write is refused.

    Args:
        path: of the database file; readable by the site's account alone.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._journal = SqliteJournal(path)
        with self._journal.transaction() as connection:
            connection.execute(_SCHEMA)
            connection.execute("PRAGMA secure_delete = ON")
        self._seen = b""
        """Hash of the state that this process has read or written last."""
        self.load()
        self.scrub()  # what a process that was killed could not

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter) -> None:
        """See ``SiteStore.commit``."""
        with self._journal.transaction() as connection:
            if hashlib.sha256(self._read(connection)).digest() != self._seen:
                raise RunError("another process writes to this site's store", hint="Run one process for each site.")
            self._journal.write(entries)
            raw = state()
            connection.execute(_REPLACE, (raw,))
        self._seen = hashlib.sha256(raw).digest()

    def scrub(self) -> None:
        """See ``SiteStore.scrub``."""
        self._journal.scrub()

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """See ``SiteStore.entries``."""
        return self._journal.entries(run_id)

    def load(self) -> bytes:
        """See ``SiteStore.load``."""
        with self._journal.transaction() as connection:
            raw = self._read(connection)
        self._seen = hashlib.sha256(raw).digest()
        return raw

    @staticmethod
    def _read(connection: sqlite3.Connection) -> bytes:
        row = connection.execute("SELECT state FROM site_state").fetchone()
        return b"" if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


__all__ = ["MemoryStore", "SiteStore", "SqliteStore", "StateWriter"]
