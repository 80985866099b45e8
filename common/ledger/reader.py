"""A ledger as it is read: by its owner, or by anyone whom he gave the file. Nothing in the file is believed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from fedward.common.errors import LedgerError, LedgerInvalidError
from fedward.common.ledger.chain import ID_BYTES, Entry, Head, position_of
from fedward.common.ledger.database import DAMAGED, SCHEMA_VERSION, connect, require_schema

JOURNAL = "journal."
Place = tuple[bytes, int, int, str]
"""Of a journal entry: run, round, attempt and kind."""
_COLUMNS = "seq, kind, at_ms, prev, key_id, body, hash, signature"


class LedgerReader:
    """A ledger opened read-only, by its owner or anyone whom he gave the file.

    Args:
        path: of the SQLite file.

    Raises:
        LedgerError: no such file, or no ledger of this version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path, mode="ro")
        try:
            require_schema(self._connection, is_writer=False)
            meta = self._meta()
        except LedgerError:
            self.close()
            raise
        self.ledger_id = meta["ledger_id"]
        self.site_id = meta["site_id"].decode("utf-8", "replace")

    def _meta(self) -> dict[str, bytes]:
        try:
            meta = dict(self._connection.execute("SELECT key, value FROM meta LIMIT 8"))
        except DAMAGED:
            meta = {}
        is_ours = meta.keys() == {"schema", "ledger_id", "site_id"} and {type(v) for v in meta.values()} == {bytes}
        if not is_ours or meta["schema"] != SCHEMA_VERSION or len(meta["ledger_id"]) != ID_BYTES:
            raise LedgerError(f"{self._path.name} is no ledger of this version", hint="Check the path.")
        return meta

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read within is of one moment, whatever a writer appends meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def entries(self, *, since: int = 0) -> Iterator[Entry]:
        """All entries from ``since`` on, in the order of their numbers.

        Raises:
            LedgerInvalidError: a row that no ledger writes.
        """
        return read_entries(self._connection, since=since)

    def head(self) -> Head:
        """The last entry.

        Raises:
            LedgerInvalidError: there is none, or the file is damaged.
        """
        try:
            row = self._connection.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        except DAMAGED as error:
            raise LedgerInvalidError("the ledger's file is damaged") from error
        if row is None or type(row[0]) is not int or type(row[1]) is not bytes:
            raise LedgerInvalidError("the ledger has no entry")
        return Head(ledger_id=self.ledger_id, seq=row[0], hash=row[1])

    def has_journal(self, places: Mapping[Place, int]) -> bool:
        """Whether the stored index of journal entries is ``places``.

        Raises:
            LedgerInvalidError: the file is damaged.
        """
        num_rows = 0
        try:
            for *place, seq in self._connection.execute("SELECT run_id, round, attempt, kind, seq FROM journal"):
                num_rows += 1
                if num_rows > len(places) or places.get(tuple(place)) != seq:
                    return False
        except DAMAGED as error:
            raise LedgerInvalidError("the ledger's file is damaged") from error
        return num_rows == len(places)

    def is_whole(self) -> bool:
        """Whether pages and indices are what SQLite writes: entries are read past a page that is cut off or altered."""
        try:
            found: list[tuple[object, ...]] = self._connection.execute("PRAGMA integrity_check(1)").fetchall()
        except DAMAGED:
            return False
        return found == [("ok",)]

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def read_entries(connection: sqlite3.Connection, *, since: int = 0, limit: int = -1) -> Iterator[Entry]:
    """Entries from ``since`` on, in the order of their numbers.

    Args:
        connection: to a ledger.
        since: the first number.
        limit: the most; below 0: all.

    Raises:
        LedgerInvalidError: a row that no ledger writes.
    """
    query = f"SELECT {_COLUMNS} FROM entry WHERE seq >= ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
    yield from _read(connection, query, (since, limit))


def read_journal(connection: sqlite3.Connection, run_id: bytes) -> Iterator[Entry]:
    """The journal's entries of a run, in the order of their numbers; found by the index.

    Raises:
        LedgerInvalidError: as ``read_entries``.
    """
    of_run = "SELECT seq FROM journal WHERE run_id = ?"
    query = f"SELECT {_COLUMNS} FROM entry WHERE seq IN ({of_run}) ORDER BY seq"  # noqa: S608 - constants
    yield from _read(connection, query, (run_id,))


def _read(connection: sqlite3.Connection, query: str, arguments: tuple[object, ...]) -> Iterator[Entry]:
    try:
        for row in connection.execute(query, arguments):
            yield _entry(row)
    except DAMAGED as error:
        raise LedgerInvalidError("the ledger's file is damaged") from error


def journal_place(entry: Entry) -> Place:
    """Where a journal entry stands: run, round, attempt and kind, each position once.

    Raises:
        LedgerError: its body does not say.
    """
    position = position_of(entry.fields)
    if position is None:
        raise LedgerError("a journal entry names run, round and attempt")
    return *position, entry.kind.removeprefix(JOURNAL)


def _entry(row: Sequence[Any]) -> Entry:
    seq, kind, at_ms, prev, key_id, body, own_hash, signature = row
    kinds = [type(value) for value in row]
    if kinds != [int, str, int, bytes, bytes, bytes, bytes, bytes]:
        raise LedgerInvalidError("a row of the ledger has a value of another type")
    try:
        return Entry(
            seq=seq,
            kind=kind,
            at_ms=at_ms,
            prev=prev,
            key_id=key_id,
            body=body,
            body_sha256=hashlib.sha256(body).digest(),
            hash=own_hash,
            signature=signature,
        )
    except LedgerError as error:
        raise LedgerInvalidError(f"a row of the ledger: {error.message}") from error


__all__ = ["JOURNAL", "journal_place", "LedgerReader", "Place", "read_entries", "read_journal"]
