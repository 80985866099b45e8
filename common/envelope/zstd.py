"""Compression before sealing (zstd, RFC 8878), bounded on the way back.

Level 3, windows of at most 8 MiB, no content checksum (the chunks are authenticated). Off by default: adapters hardly
shrink, and a sealed length that depends on the content tells something of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from fedward.common.errors import ChunkCorruptError, ConfigError

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd

MAX_WINDOW_LOG2 = 23
_LEVEL = 3
_PIECE_BYTES = 1 << 20


class _Source(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill some of ``buffer``; 0 at the end."""


def read_some(source: _Source, buffer: memoryview) -> int:
    """Fill some of ``buffer``; 0 at the end and only there.

    Raises:
        ConfigError: a non-blocking source that has nothing yet: taken for the end, it would cut the plaintext short.
    """
    count = source.readinto(buffer)
    if count is None:
        raise ConfigError("the input has nothing to read yet", hint="Name a file, or a blocking pipe.")
    return count


class Compressing:
    """A source that gives ``source`` compressed, as one frame."""

    def __init__(self, source: _Source) -> None:
        options: dict[int, int] = {
            zstd.CompressionParameter.compression_level: _LEVEL,
            zstd.CompressionParameter.window_log: 21,
            zstd.CompressionParameter.checksum_flag: 0,
        }
        self._compressor = zstd.ZstdCompressor(options=options)
        self._source = source
        self._plain = bytearray(_PIECE_BYTES)
        self._ready = memoryview(b"")
        self._is_done = False

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill some of ``buffer``; 0 at the end."""
        while not self._ready and not self._is_done:
            self._ready = memoryview(self._next_piece())
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def _next_piece(self) -> bytes:
        count = read_some(self._source, memoryview(self._plain))
        if count:
            return self._compressor.compress(memoryview(self._plain)[:count])
        self._is_done = True
        self._plain[:] = bytes(len(self._plain))
        return self._compressor.flush()


def decompressed(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
    """The content of one frame, at most 1 MiB at a time, however much a piece would give.

    Raises:
        ChunkCorruptError: not one whole frame, or a window above 8 MiB. Only who sealed it can have done that.
    """
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG2})
    try:
        for piece in pieces:
            yield from _drained(decompressor, piece)
    except (zstd.ZstdError, EOFError):
        raise ChunkCorruptError("the content is not one zstd frame with a window of at most 8 MiB") from None
    if not decompressor.eof:
        raise ChunkCorruptError("the compressed content ends too early")


def _drained(decompressor: zstd.ZstdDecompressor, piece: memoryview) -> Iterator[memoryview]:
    if decompressor.eof:
        if piece:
            raise EOFError
        return
    data = decompressor.decompress(piece, max_length=_PIECE_BYTES)
    while data or not (decompressor.needs_input or decompressor.eof):
        yield memoryview(data)
        if decompressor.eof or decompressor.needs_input:
            break
        data = decompressor.decompress(b"", max_length=_PIECE_BYTES)
    if decompressor.unused_data:
        raise EOFError


__all__ = ["Compressing", "decompressed", "MAX_WINDOW_LOG2", "read_some"]
