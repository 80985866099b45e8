"""A folder for files in the clear that live as long as one process: in memory, locked, shredded at its end.

It is on tmpfs where there is one with room, else in the temporary folder, mode 0700. While its process lives it holds a
lock on the folder. A process that was killed leaves the folder, and its lock is free then: the next one shreds it.
Only folders are touched that bear the name, are this account's alone, and that nobody has locked.

Not handled here: what the run itself writes (its scratch), and copies elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedward.common.errors import ShreddingError
from fedward.common.shredding.media import Verdict, medium_of
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.scratch import Machine

PREFIX = "fedward-hospitals-"
_NUM_TRIES = 3
"""A process that was just ended may have written meanwhile."""
_RANDOM = r"[a-z0-9_]{8}"
"""What ``mkdtemp`` puts behind a prefix."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def passing_folder(
    room_bytes: int, *, prefix: str = PREFIX, elsewhere: Path | None = None, machine: Machine | None = None
) -> Iterator[Path]:
    """A new folder; at the end it is shredded with all in it. What killed processes left goes first.

    Args:
        room_bytes: that the files may take; a tmpfs with less is passed over.
        prefix: of its name. Whoever uses it takes the lock, for what is not locked is taken for an orphan.
        elsewhere: where it is if not in memory; None: in the temporary folder.
        machine: where memory may be; tests make one up.

    Raises:
        ShreddingError: something in it could not be removed.
    """
    bases = (*_in_memory(machine or Machine()), elsewhere or Path(tempfile.gettempdir()))
    for base in bases:
        _shred_orphans(base, prefix)
    base = next((one for one in bases[:-1] if shutil.disk_usage(one).free >= room_bytes), bases[-1])
    folder, lock = _new_folder(base, prefix)
    try:
        yield folder
    finally:
        try:
            for _ in range(_NUM_TRIES):
                done = Overwriter().shred_folder(folder)
                if not done.refused:
                    break
            done.require_complete()
        finally:
            os.close(lock)


def _in_memory(machine: Machine) -> Iterator[Path]:
    """Folders in memory that can be written."""
    for base in machine.bases:
        if os.access(base, os.W_OK | os.X_OK) and medium_of(base, system=machine.system).verdict is Verdict.MEMORY:
            yield base


def _new_folder(base: Path, prefix: str) -> tuple[Path, int]:
    """A folder and the lock on it. Another process may take it for an orphan before it is locked: then once more."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        lock = _locked(folder)
        if lock is not None:
            return folder, lock


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder of this account alone; None: it is not that, or not free."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except OSError:
        return None
    try:
        state = os.fstat(descriptor)
        if state.st_uid == os.geteuid() and not stat.S_IMODE(state.st_mode) & 0o077:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(state, folder.lstat()):  # still there, and not another one
                return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _shred_orphans(base: Path, prefix: str) -> None:
    of_ours = re.compile(re.escape(prefix) + _RANDOM)
    with suppress(OSError):
        for folder in sorted(base.iterdir()):
            if of_ours.fullmatch(folder.name) and (lock := _locked(folder)) is not None:
                try:
                    with suppress(ShreddingError):
                        Overwriter().shred_folder(folder)
                finally:
                    os.close(lock)


__all__ = ["passing_folder", "PREFIX"]
