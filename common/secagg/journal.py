"""The append-only record that makes a position good for one use only, also after a crash.

The machines give entries back as values; the caller makes them durable, and only then lets the reply go. An entry is
unique on (run, round, attempt, kind), so a second bundle, vector or set of survivors for one position cannot be
written, whatever was forgotten in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from fedward.common.errors import ProtocolError


class EntryKind(StrEnum):
    """What was done at a position."""

    PREKEY = "prekey"
    """A bundle was made: its digest."""
    ACCEPTED = "accepted"
    """A cohort was accepted: its digest."""
    SENT = "sent"
    """A masked vector may have left: cohort digest; detail: the vector's hash."""
    CONFIRMED = "confirmed"
    """Survivors were confirmed: their hash."""
    RELEASED = "released"
    """Shares may have left: the survivors' hash."""
    FROZEN = "frozen"
    """At the coordinator, the sum is closed: survivors' hash; detail: all that opening it needs."""
    GRAPH = "graph"
    """A contribution to the mask graph was shown, once a run, at (0, 0): hash of the list of commitments it was for."""


_CODES = {
    EntryKind.PREKEY: "PREKEY_EXISTS",
    EntryKind.ACCEPTED: "REPLAY_CONFLICT",
    EntryKind.SENT: "REPLAY_CONFLICT",
    EntryKind.CONFIRMED: "SURVIVORS_CHANGED",
    EntryKind.RELEASED: "SURVIVORS_CHANGED",
    EntryKind.FROZEN: "SURVIVORS_CHANGED",
    EntryKind.GRAPH: "GRAPH_MISMATCH",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """One line."""

    run_id: bytes
    round_number: int
    attempt: int
    kind: EntryKind
    digest: bytes
    detail: bytes = field(default=b"", repr=False)

    @property
    def place(self) -> tuple[bytes, int, int, EntryKind]:
        """What is unique."""
        return self.run_id, self.round_number, self.attempt, self.kind


class Journal(Protocol):
    """Where entries are kept. Each party has one of its own: a coordinator and a site use the same kinds."""

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """Write all of them or none; on return they are durable.

        Raises:
            ProtocolError: there is an entry at one of the places: the code of what was tried a second time.
        """
        ...

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """All of a run, in the order they were written."""
        ...


def _conflict(entry: JournalEntry) -> ProtocolError:
    return ProtocolError(_CODES[entry.kind], f"{entry.kind.value} was written for this position before")


class MemoryJournal:
    """For simulations and tests: as unique, and as short-lived as its process."""

    def __init__(self) -> None:
        self._entries: dict[tuple[bytes, int, int, EntryKind], JournalEntry] = {}

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """See ``Journal.append``."""
        added: dict[tuple[bytes, int, int, EntryKind], JournalEntry] = {}
        for entry in entries:
            if entry.place in self._entries or entry.place in added:
                raise _conflict(entry)
            added[entry.place] = entry
        self._entries.update(added)

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """See ``Journal.entries``."""
        return tuple(entry for entry in self._entries.values() if entry.run_id == run_id)


_SCHEMA = """
CREATE TABLE IF NOT EXISTS secagg_journal (
    sequence INTEGER PRIMARY KEY,
    run_id BLOB NOT NULL,
    round INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    detail BLOB NOT NULL,
    UNIQUE (run_id, round, attempt, kind)
) STRICT
"""
_INSERT = "INSERT INTO secagg_journal (run_id, round, attempt, kind, digest, detail) VALUES (?, ?, ?, ?, ?, ?)"


class SqliteJournal:
    """On disk, synced before ``append`` returns. One process at a time.

    Args:
        path: of the database; other tables may stand beside this one.
    """

    def __init__(self, path: Path) -> None:
        # Autocommit, so that transactions are the ones written here and no other.
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is written inside is durable together, or not at all: the entry and the ledger's charge."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def append(self, entries: Sequence[JournalEntry]) -> None:
        """See ``Journal.append``."""
        with self.transaction():
            self.write(entries)

    def write(self, entries: Sequence[JournalEntry]) -> None:
        """``append`` inside a ``transaction`` of the caller's.

        Raises:
            ProtocolError: as in ``Journal.append``.
        """
        for entry in entries:
            row = (entry.run_id, entry.round_number, entry.attempt, entry.kind.value, entry.digest, entry.detail)
            try:
                self._connection.execute(_INSERT, row)
            except sqlite3.IntegrityError as error:
                raise _conflict(entry) from error

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """See ``Journal.entries``."""
        rows = self._connection.execute(
            "SELECT round, attempt, kind, digest, detail FROM secagg_journal WHERE run_id = ? ORDER BY sequence",
            (run_id,),
        )
        return tuple(
            JournalEntry(
                run_id=run_id, round_number=number, attempt=attempt, kind=EntryKind(kind), digest=digest, detail=detail
            )
            for number, attempt, kind, digest, detail in rows
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


__all__ = ["EntryKind", "Journal", "JournalEntry", "MemoryJournal", "SqliteJournal"]
