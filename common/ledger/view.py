"""A ledger as its own writer reads it, on the connection that writes: judged when it was opened, its own since."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fedward.common.errors import LedgerError, LedgerInvalidError
from fedward.common.ledger import beside as side
from fedward.common.ledger.chain import Entry, Head
from fedward.common.ledger.database import DAMAGED
from fedward.common.ledger.reader import Place, read_entries, read_journal


class WriterView:
    """What a writer's ledger tells. Works on a file and in memory alike.

    Args:
        connection: to the database, for writing.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._head: Head | None = None
        self._turn = threading.Lock()  # threads share one connection, and so one transaction

    @property
    def head(self) -> Head:
        """The last entry that is durable."""
        if self._head is None:
            raise LedgerError("this ledger is closed")
        return self._head

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """The connection, in one's turn.

        Raises:
            LedgerError: this ledger is closed.
            LedgerInvalidError: the file is damaged.
        """
        with self._turn:
            _ = self.head
            try:
                yield
            except DAMAGED as error:
                raise LedgerInvalidError("the ledger's file is damaged") from error

    def entries(self, *, since: int = 0, limit: int = -1) -> tuple[Entry, ...]:
        """Entries from ``since`` on, at most ``limit``; below 0: all.

        Raises:
            LedgerInvalidError: the file is damaged.
        """
        with self._reading():
            return tuple(read_entries(self._connection, since=since, limit=limit))

    def journal(self, run_id: bytes) -> tuple[Entry, ...]:
        """The journal's entries of a run, in order."""
        with self._reading():
            return tuple(read_journal(self._connection, run_id))

    def has_place(self, place: Place) -> bool:
        """Whether a position of the journal is taken."""
        query = "SELECT 1 FROM journal WHERE (run_id, round, attempt, kind) = (?, ?, ?, ?)"
        with self._reading():
            return self._connection.execute(query, place).fetchone() is not None

    def holds(self, entry_hash: bytes) -> bool:
        """Whether an entry of this hash is on the chain."""
        with self._reading():
            row = self._connection.execute("SELECT seq FROM entry WHERE hash = ?", (entry_hash,)).fetchone()
            # The index answered, and only the rows were judged: a lost head could have been put into it.
            found = None if row is None else next(read_entries(self._connection, since=row[0], limit=1), None)
        return found is not None and found.hash == entry_hash

    def beside(self, name: str) -> bytes:
        """The sealed value of that name; empty if there is none."""
        with self._reading():
            return side.load(self._connection, name)

    def scrub(self) -> None:
        """Empty the log of writes: values that were replaced since stand in it."""
        with self._reading():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


__all__ = ["WriterView"]
