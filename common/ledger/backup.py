"""A ledger's backup: one moment of the database as bytes, and those bytes put back as a file.

SQLite's own backup reads the write-ahead log too; a copy of the file alone loses the last entries, and that is a
rollback. What is put back says so in ``ledger.restored``, and then meets the witnesses like any other chain: what was
appended since the backup is missing, and they hold its heads. Not handled here: sealing.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from fedward.common.atomic import sync_folder
from fedward.common.errors import LedgerError
from fedward.common.ledger.chain import Draft, Head
from fedward.common.ledger.database import DAMAGED, connect, create_file
from fedward.common.ledger.head_entries import BACKUP, RESTORED

CONTEXT_KIND = "ledger"
CONTEXT_NAME = "backup"


def image_of(path: Path) -> bytes:
    """The database as it is at one moment, all of its log in it. In memory: nothing is written anywhere.

    Raises:
        LedgerError: it cannot be read.
    """
    try:
        with closing(connect(path, mode="ro")) as source, closing(sqlite3.connect(":memory:")) as memory:
            source.backup(memory)
            return memory.serialize()
    except DAMAGED as error:
        raise LedgerError(f"{path.name} cannot be copied", hint="Judge it first.") from error


def put_back(path: Path, image: bytes) -> None:
    """Write the bytes of a backup as a new file, 0600; the caller judges it.

    Raises:
        LedgerError: something is at ``path``, or it cannot be written.
    """
    for suffix in ("-wal", "-shm"):
        if path.with_name(path.name + suffix).exists():
            raise LedgerError(f"{path.name}{suffix} of another ledger is there", hint="Move it away, and keep it.")
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        create_file(fresh)
        with fresh.open("r+b", buffering=0) as file:
            rest = memoryview(image)
            while rest:
                rest = rest[file.write(rest) or 0 :]
            os.fsync(file.fileno())
        os.link(fresh, path)  # a rename would replace what is there
    except OSError as error:
        raise LedgerError(f"{path.name}: {error.strerror}", hint="A ledger is never replaced.") from error
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def backup_draft(head: Head, sha256: bytes) -> Draft:
    """The entry of a backup that is durable.

    Args:
        head: the last entry in it.
        sha256: of the sealed file.
    """
    return Draft(kind=BACKUP, fields={"head": head.hash.hex(), "sha256": sha256.hex()})


def restored_draft(head: Head) -> Draft:
    """The entry of a ledger that came from a backup with that head."""
    return Draft(kind=RESTORED, fields={"head": head.hash.hex()})


__all__ = ["backup_draft", "CONTEXT_KIND", "CONTEXT_NAME", "image_of", "put_back", "restored_draft"]
