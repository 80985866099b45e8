"""Plaintext in memory alone: a read-only file over a buffer, and a sealed memfd for libraries that insist on a path.

Nothing here makes a file in any folder. A memfd is memory that the kernel shows as ``/proc/self/fd/N``; its seals
forbid to change, grow or shrink it. Like all memory it can be swapped: shredding says what is done about that. Where
there is no memfd the caller is refused; a temporary file would be plaintext on a disk.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedward.common.errors import VaultError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ZEROS = memoryview(bytes(1 << 16))
_SEALS = ("F_SEAL_SEAL", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE")


def wipe(content: bytearray) -> None:
    """Zero ``content`` where it lies, without as much memory again for the zeros."""
    with memoryview(content) as view:
        for at in range(0, len(view), len(_ZEROS)):
            piece = view[at : at + len(_ZEROS)]
            piece[:] = _ZEROS[: len(piece)]


class MemoryFile(io.BufferedIOBase):
    """A read-only file over bytes in memory, which are zeroed when it is closed.

    Args:
        content: taken over; nobody else keeps it.
    """

    def __init__(self, content: bytearray) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes; all that is left for -1."""
        self._require_open()
        end = len(self._content) if size is None or size < 0 else self._at + size
        piece = bytes(memoryview(self._content)[self._at : end])
        self._at += len(piece)
        return piece

    def read1(self, size: int = -1, /) -> bytes:
        """As ``read``."""
        return self.read(size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill ``buffer``; returns how many bytes."""
        self._require_open()
        with memoryview(buffer).cast("B") as target, memoryview(self._content) as content:
            size = min(len(target), max(0, len(content) - self._at))
            target[:size] = content[self._at : self._at + size]
        self._at += size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; returns the new place."""
        self._require_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The place."""
        self._require_open()
        return self._at

    def close(self) -> None:
        """Zero the content."""
        wipe(self._content)
        super().close()

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("this file is closed")


@contextmanager
def memory_path(pieces: Iterable[memoryview]) -> Iterator[Path]:
    """A path to ``pieces`` in sealed memory, for the life of the block; of this process alone.

    Raises:
        VaultError: this system has no memfd.
    """
    if not hasattr(os, "memfd_create"):
        raise VaultError("this system has no sealed memory", hint="Use Linux, or a library that takes bytes.")
    descriptor = os.memfd_create("fedward", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in pieces:
            rest = piece
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, sum(getattr(fcntl, name) for name in _SEALS))
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


__all__ = ["memory_path", "MemoryFile", "wipe"]
