"""Where a site keeps what must outlive its process: its journal, its state with the accounts, its copy of the model.

All go in one transaction, so a vector that may have left was charged, whatever crashes, and the model is the one that
the accepted round was for. Secrets of a round are in none; the run's transport key is part of the state, and ``scrub``
leaves nothing of it behind in the files. What a disk itself keeps of blocks that were written over is not handled here.
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

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter, *, model: StateWriter | None = None) -> None:
        """Write entries, state and model, or nothing; on return they are durable.

        Args:
            entries: appended.
            state: replaces the last one.
            model: replaces the last one; None: that stays.

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

    def load_model(self) -> bytes:
        """The last model; empty if there is none."""
        ...


class MemoryStore:
    """For simulations and tests in one process: it ends with the process, so only the journal is kept."""

    def __init__(self) -> None:
        self._journal = MemoryJournal()

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter, *, model: StateWriter | None = None) -> None:
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

    def load_model(self) -> bytes:
        """See ``SiteStore.load_model``."""
        return b""


_SCHEMA = "CREATE TABLE IF NOT EXISTS site_state (one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB NOT NULL) STRICT"
_READ = "SELECT state FROM site_state"
_READ_MODEL = "SELECT model FROM site_model"
_REPLACE = "INSERT INTO site_state (one, state) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET state = excluded.state"
# A table of its own: the state is written with every reply, the model, which may have 40 MB, once a round.
_MODEL_SCHEMA = _SCHEMA.replace("state", "model")
_REPLACE_MODEL = _REPLACE.replace("state", "model")


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
            connection.execute(_MODEL_SCHEMA)
            connection.execute("PRAGMA secure_delete = ON")
        self._seen = b""
        """Hash of the state that this process has read or written last."""
        self.load()
        self.scrub()  # what a process that was killed could not

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter, *, model: StateWriter | None = None) -> None:
        """See ``SiteStore.commit``."""
        with self._journal.transaction() as connection:
            if hashlib.sha256(_only(connection, _READ)).digest() != self._seen:
                raise RunError("another process writes to this site's store", hint="Run one process for each site.")
            self._journal.write(entries)
            raw = state()
            connection.execute(_REPLACE, (raw,))
            if model is not None:
                connection.execute(_REPLACE_MODEL, (model(),))
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
            raw = _only(connection, _READ)
        self._seen = hashlib.sha256(raw).digest()
        return raw

    def load_model(self) -> bytes:
        """See ``SiteStore.load_model``."""
        with self._journal.transaction() as connection:
            return _only(connection, _READ_MODEL)

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


def _only(connection: sqlite3.Connection, query: str) -> bytes:
    row = connection.execute(query).fetchone()
    return b"" if row is None else bytes(row[0])


__all__ = ["MemoryStore", "SiteStore", "SqliteStore", "StateWriter"]
