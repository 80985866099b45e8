"""The append-only record that makes a position good for one use only, also after a crash.

The machines give entries back as values; the caller makes them durable, and only then lets the reply go. An entry is
unique on (run, round, attempt, kind), so a second bundle, vector or set of survivors for one position cannot be
written, whatever was forgotten in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from fedward.common.errors import ProtocolError
from fedward.common.messages.envelope import Vector


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
    """At the coordinator, the sum is closed: survivors' hash; detail and bulk: all that opening it needs."""
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
    bulk: Vector = field(default=b"", repr=False)
    """Many bytes beside the detail. May be a view of what will change, so an entry is written down before anything else
    is done. A journal keeps the newest of a run, for an attempt that is over needs it no more."""

    def kept(self) -> JournalEntry:
        """The same with a bulk of its own, that nobody changes."""
        return replace(self, bulk=bytes(self.bulk))

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


def conflict(entry: JournalEntry) -> ProtocolError:
    """What is raised for an entry whose place is taken."""
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
                raise conflict(entry)
            added[entry.place] = entry.kept()
        for entry in added.values():
            if entry.bulk:
                self._forget_bulk(entry.run_id)
            self._entries[entry.place] = entry

    def _forget_bulk(self, run_id: bytes) -> None:
        for place, entry in self._entries.items():
            if entry.run_id == run_id and entry.bulk:
                self._entries[place] = replace(entry, bulk=b"")

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
_BULK_SCHEMA = """
CREATE TABLE IF NOT EXISTS secagg_journal_bulk (
    sequence INTEGER NOT NULL REFERENCES secagg_journal,
    number INTEGER NOT NULL,
    part BLOB NOT NULL,
    PRIMARY KEY (sequence, number)
) STRICT
"""
_PART_BYTES = 1 << 20
"""SQLite holds a value more than once while it writes it; a sum has hundreds of megabytes."""
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
        self._connection.execute(_BULK_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is written inside is durable together, or not at all: the entry and the ledger's charge."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            # A commit that fails may have ended the transaction or not; left open, it would refuse all that follow.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

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
                sequence = self._connection.execute(_INSERT, row).lastrowid
            except sqlite3.IntegrityError as error:
                raise conflict(entry) from error
            if len(entry.bulk):
                self._write_bulk(sequence, entry)

    def _write_bulk(self, sequence: int | None, entry: JournalEntry) -> None:
        self._connection.execute(
            "DELETE FROM secagg_journal_bulk WHERE sequence IN (SELECT sequence FROM secagg_journal WHERE run_id = ?)",
            (entry.run_id,),
        )
        view = memoryview(entry.bulk)
        self._connection.executemany(
            "INSERT INTO secagg_journal_bulk (sequence, number, part) VALUES (?, ?, ?)",
            (
                (sequence, number, view[start : start + _PART_BYTES])
                for number, start in enumerate(range(0, len(view), _PART_BYTES))
            ),
        )

    def _bulk(self, sequence: int) -> Vector:
        size = "SELECT coalesce(sum(length(part)), 0) FROM secagg_journal_bulk WHERE sequence = ?"
        bulk, start = bytearray(self._connection.execute(size, (sequence,)).fetchone()[0]), 0
        parts = "SELECT part FROM secagg_journal_bulk WHERE sequence = ? ORDER BY number"
        for (part,) in self._connection.execute(parts, (sequence,)):
            bulk[start : start + len(part)] = part
            start += len(part)
        return memoryview(bulk).toreadonly()

    def entries(self, run_id: bytes) -> tuple[JournalEntry, ...]:
        """See ``Journal.entries``."""
        rows = self._connection.execute(
            "SELECT sequence, round, attempt, kind, digest, detail"
            " FROM secagg_journal WHERE run_id = ? ORDER BY sequence",
            (run_id,),
        )
        return tuple(
            JournalEntry(
                run_id=run_id,
                round_number=number,
                attempt=attempt,
                kind=EntryKind(kind),
                digest=digest,
                detail=detail,
                bulk=self._bulk(sequence),
            )
            for sequence, number, attempt, kind, digest, detail in rows
        )

    def scrub(self) -> None:
        """Empty the write-ahead log: values that were replaced since stand in it, secrets among them."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


__all__ = ["conflict", "EntryKind", "Journal", "JournalEntry", "MemoryJournal", "SqliteJournal"]
