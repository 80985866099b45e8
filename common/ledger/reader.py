"""A ledger as it is read: by its owner, or by anyone whom he gave the file. Nothing in the file is believed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from fedward.common.errors import LedgerError, LedgerInvalidError
from fedward.common.ledger.chain import ID_BYTES, Entry, Head
from fedward.common.ledger.database import SCHEMA_VERSION, connect

JOURNAL = "journal."
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
            meta = dict(self._connection.execute("SELECT key, value FROM meta LIMIT 8"))
            self.ledger_id = bytes(meta["ledger_id"])
            self.site_id = bytes(meta["site_id"]).decode()
            is_ours = bytes(meta["schema"]) == SCHEMA_VERSION and len(self.ledger_id) == ID_BYTES
        except (sqlite3.Error, KeyError, TypeError, ValueError):
            is_ours = False
        if not is_ours:
            self.close()
            raise LedgerError(f"{path.name} is no ledger of this version", hint="Check the path.")

    def entries(self, *, since: int = 0) -> Iterator[Entry]:
        """All entries from ``since`` on, in the order of their numbers.

        Raises:
            LedgerInvalidError: a row that no ledger writes.
        """
        query = f"SELECT {_COLUMNS} FROM entry WHERE seq >= ? ORDER BY seq"  # noqa: S608 - a constant
        try:
            rows = self._connection.execute(query, (since,))
            for row in rows:
                yield _entry(row)
        except sqlite3.Error as error:
            raise LedgerInvalidError("the ledger's file is damaged") from error

    def head(self) -> Head:
        """The last entry.

        Raises:
            LedgerInvalidError: there is none, or the file is damaged.
        """
        try:
            row = self._connection.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.Error as error:
            raise LedgerInvalidError("the ledger's file is damaged") from error
        if row is None or type(row[0]) is not int or type(row[1]) is not bytes:
            raise LedgerInvalidError("the ledger has no entry")
        return Head(ledger_id=self.ledger_id, seq=row[0], hash=row[1])

    def journal(self) -> dict[tuple[bytes, int, int, str], int]:
        """The index of journal entries, as it is stored.

        Raises:
            LedgerInvalidError: the file is damaged.
        """
        try:
            rows = self._connection.execute("SELECT run_id, round, attempt, kind, seq FROM journal").fetchall()
        except sqlite3.Error as error:
            raise LedgerInvalidError("the ledger's file is damaged") from error
        return {(bytes(run), number, attempt, kind): seq for run, number, attempt, kind, seq in rows}

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def journal_place(entry: Entry) -> tuple[bytes, int, int, str]:
    """Where a journal entry stands: run, round, attempt and kind, each position once.

    Raises:
        LedgerError: its body does not say.
    """
    fields = entry.fields
    run, number, attempt = fields.get("run"), fields.get("round"), fields.get("attempt")
    try:
        run_id = bytes.fromhex(run) if isinstance(run, str) else b""
    except ValueError:
        run_id = b""
    if len(run_id) != ID_BYTES or type(number) is not int or type(attempt) is not int:
        raise LedgerError("a journal entry names run, round and attempt")
    return run_id, number, attempt, entry.kind.removeprefix(JOURNAL)


def _entry(row: Sequence[Any]) -> Entry:
    seq, kind, at_ms, prev, key_id, body, own_hash, signature = row
    kinds = [type(value) for value in row]
    if kinds != [int, str, int, bytes, bytes, bytes, bytes, bytes]:
        raise LedgerInvalidError("a row of the ledger has a value of another type")
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


__all__ = ["JOURNAL", "journal_place", "LedgerReader"]
