"""Where a site keeps what must outlive its process: its journal, its state with the accounts, its copy of the model.

All go in one transaction, so a vector that may have left was charged, whatever crashes, and the model is the one that
the accepted round was for. Secrets of a round are in none; the run's transport key is part of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

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
        """
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
_REPLACE = "INSERT INTO site_state (one, state) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET state = excluded.state"
# A table of its own: the state is written with every reply, the model, which may have 40 MB, once a round.
_MODEL_SCHEMA = _SCHEMA.replace("state", "model")
_REPLACE_MODEL = _REPLACE.replace("state", "model")


class SqliteStore:
    """On disk, synced before ``commit`` returns. One process at a time.

    Args:
        path: of the database file; readable by the site's account alone.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._journal = SqliteJournal(path)
        with self._journal.transaction() as connection:
            connection.execute(_SCHEMA)
            connection.execute(_MODEL_SCHEMA)

    def commit(self, entries: Sequence[JournalEntry], state: StateWriter, *, model: StateWriter | None = None) -> None:
        """See ``SiteStore.commit``."""
        with self._journal.transaction() as connection:
            self._journal.write(entries)
            connection.execute(_REPLACE, (state(),))
            if model is not None:
                connection.execute(_REPLACE_MODEL, (model(),))

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """See ``SiteStore.entries``."""
        return self._journal.entries(run_id)

    def load(self) -> bytes:
        """See ``SiteStore.load``."""
        return self._only("SELECT state FROM site_state")

    def load_model(self) -> bytes:
        """See ``SiteStore.load_model``."""
        return self._only("SELECT model FROM site_model")

    def _only(self, query: str) -> bytes:
        with self._journal.transaction() as connection:
            row = connection.execute(query).fetchone()
        return b"" if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


__all__ = ["MemoryStore", "SiteStore", "SqliteStore", "StateWriter"]
