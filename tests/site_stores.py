"""Stores of a site upon a ledger on disk, and their end: of two in one process only the last is open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fedward.client.ledger_store import LedgerStore, wall_clock_ms
from fedward.common.envelope.recipients import SlotKey
from fedward.common.identity import Identity
from fedward.common.ledger.store import Ledger
from tests.ledgers import IDENTITY

KEY = SlotKey(slot_id=b"s" * 16, key=b"k" * 32)
_OPEN: dict[Path, LedgerStore] = {}


def site_store(path: Path, *, identity: Identity = IDENTITY, site_id: str = "alpha") -> LedgerStore:
    """The store of the ledger at ``path``, which is made if there is none.

    One that this process has open there ends, as with its process: a lock knows processes, tests restart in one.
    """
    if path in _OPEN:
        _OPEN.pop(path).close()
    _OPEN[path] = unlocked_store(path, identity=identity, site_id=site_id)
    return _OPEN[path]


def unlocked_store(path: Path, *, identity: Identity = IDENTITY, site_id: str = "alpha") -> LedgerStore:
    """The same, beside whatever else is open there: another process."""
    if path.exists():
        ledger = Ledger.open(path, identity=identity, clock=wall_clock_ms)
    else:
        ledger = Ledger.create(path, identity=identity, site_id=site_id, clock=wall_clock_ms)
    models = path.with_name(f"{path.name}-models")
    models.mkdir(mode=0o700, exist_ok=True)
    try:
        return LedgerStore(ledger, key=KEY, folder=models)
    except BaseException:
        ledger.close()
        raise


def sealed_state(path: Path) -> bytes:
    """The bytes that stand beside the entries, as they stand there."""
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT bytes FROM beside WHERE name = 'site-state' ORDER BY part")
        return b"".join(part for (part,) in rows)


def files_of(folder: Path) -> bytes:
    """All bytes of all files below ``folder``."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


__all__ = ["files_of", "KEY", "sealed_state", "site_store", "unlocked_store"]
