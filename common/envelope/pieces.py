"""An iterator of views as a source: what one envelope gives goes into another, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator


class Pieces:
    """Reads from views that each live until the next is asked for."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of ``buffer``; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


__all__ = ["Pieces"]
