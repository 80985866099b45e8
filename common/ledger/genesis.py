"""The first entry of a ledger, and the row that an entry is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fedward.common.errors import LedgerError
from fedward.common.identity import Identity
from fedward.common.ledger.body import NONCE_BYTES
from fedward.common.ledger.chain import ID_BYTES, Entry, Head, before_genesis, genesis_draft, link
from fedward.common.ledger.database import SCHEMA_VERSION, STATEMENTS, connect

Clock = Callable[[], int]
"""Milliseconds since 1970."""
RandomBytes = Callable[[int], bytes]
_INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


def write_file(path: Path, identity: Identity, site_id: str, clock: Clock, random_bytes: RandomBytes) -> None:
    """All tables and the first entry, durable when this returns."""
    with closing(connect(path, mode="rw")) as connection:
        write_genesis(connection, identity, site_id, clock, random_bytes)
        # Only the file itself takes its place; closing would keep silent about a log that could not be moved into it.
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise LedgerError(f"{path.name} is read while it is made", hint="Try again.")


def write_genesis(
    connection: sqlite3.Connection, identity: Identity, site_id: str, clock: Clock, random_bytes: RandomBytes
) -> Head:
    """All tables and the first entry, in one transaction."""
    ledger_id = random_bytes(ID_BYTES)
    draft = genesis_draft(ledger_id, site_id, identity.public_key)
    genesis = link(before_genesis(ledger_id), draft, identity=identity, at_ms=clock(), nonce=random_bytes(NONCE_BYTES))
    meta = {"schema": SCHEMA_VERSION, "ledger_id": ledger_id, "site_id": site_id.encode()}
    connection.execute("BEGIN IMMEDIATE")
    for statement in STATEMENTS:
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
    insert(connection, genesis)
    connection.execute("COMMIT")
    return Head(ledger_id=ledger_id, seq=0, hash=genesis.hash)


def insert(connection: sqlite3.Connection, entry: Entry) -> None:
    """Within a transaction: the entry's row."""
    row = (entry.seq, entry.kind, entry.at_ms, entry.prev, entry.key_id, entry.body, entry.hash, entry.signature)
    connection.execute(_INSERT, row)


__all__ = ["Clock", "insert", "RandomBytes", "write_file", "write_genesis"]
