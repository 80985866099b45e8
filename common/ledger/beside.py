"""What a writer keeps beside its entries: named bytes, each replaced as a whole, in the transaction of the entries.

A ledger's entries are for ever and for anyone's eyes. What must outlive a process and is neither (a run's transport
secret, for one) stands in a table of its own: in the same file, so that one COMMIT makes both durable or none; sealed
by the caller, for this file is given to auditors; never part of the chain, of an export, or of what a reader judges.
``secure_delete`` overwrites what was replaced, and ``Ledger.scrub`` empties the log of writes that still holds it.

Not handled here: sealing. Values are cut into parts, for no row of a ledger is longer than SQLite may be made to read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from fedward.common.errors import LedgerError
from fedward.common.ledger.database import SIDE_TABLE

MAX_BESIDE_BYTES: Final = 16 << 20
_PART_BYTES = 1 << 16


def replace(connection: sqlite3.Connection, values: Mapping[str, bytes]) -> None:
    """Within a transaction: ``values`` take the place of those of their names.

    Raises:
        LedgerError: a value that is too long.
    """
    if values:
        connection.execute(SIDE_TABLE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
    for name, value in values.items():
        if len(value) > MAX_BESIDE_BYTES:
            raise LedgerError("what is kept beside the entries is too long", hint="Keep it in a file of its own.")
        connection.execute("DELETE FROM beside WHERE name = ?", (name,))
        starts = range(0, len(value), _PART_BYTES)
        parts = [(name, number, value[start : start + _PART_BYTES]) for number, start in enumerate(starts)]
        connection.executemany("INSERT INTO beside VALUES (?, ?, ?)", parts)


def load(connection: sqlite3.Connection, name: str) -> bytes:
    """The value of a name; empty if there is none."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'beside'").fetchone() is None:
        return b""
    query = "SELECT bytes FROM beside WHERE name = ? ORDER BY part"
    return b"".join(part for (part,) in connection.execute(query, (name,)))


__all__ = ["load", "MAX_BESIDE_BYTES", "replace"]
