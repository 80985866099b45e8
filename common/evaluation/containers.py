"""What is packed inside a file: one layer of gzip, zlib, zip, bzip2, xz, zstd, Parquet or Arrow at a time.

Invariants: everything is read in chunks of bounded size and counted against a budget, so that a bomb ends as "too
much", never as a full memory; nothing is written to disk; no name from inside a container leaves this module. Not
handled here: what is searched for (``artifacts``), encrypted archives (refused), tar (its files lie open).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from fedward.common.errors import DataError

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd as zstd
else:
    from compression import zstd as zstd

HEAD_BYTES = 8
MAX_MEMBERS = 10_000
_CHUNK_BYTES = 1 << 20
_MAGICS = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow_stream"),
)
UNSURE = frozenset({"zlib", "arrow_stream"})
"""Kinds whose first bytes other files have too: one that cannot be unpacked is taken for another kind of file."""


class Budget:
    """Bytes that may still be unpacked."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, count: int) -> None:
        """Raise DataError where more is unpacked than allowed."""
        self.left -= count
        if self.left < 0:
            raise DataError("unpacks to more than is searched", hint="Unpack the file and search it again.")


class Counted(io.RawIOBase):
    """A stream that counts what is read of it."""

    def __init__(self, stream: Any, budget: Budget) -> None:  # noqa: ANN401 - every reader here has read1
        super().__init__()
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Read at most a chunk."""
        # What can be had at once: a whole chunk would be lost where its end is damaged.
        data = self._stream.read1(min(len(buffer), _CHUNK_BYTES))
        self._budget.take(len(data))
        buffer[: len(data)] = data
        return len(data)


def kind_of(head: bytes) -> str | None:
    """The kind of container that the first bytes announce."""
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    is_zlib = len(head) > 1 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and (head[0] << 8 | head[1]) % 31 == 0
    return "zlib" if is_zlib else None


def members(kind: str, open_again: Callable[[], BinaryIO], budget: Budget) -> Iterator[io.BufferedReader]:
    """What a container holds, one stream after the other; each is to be read before the next is asked for.

    Raises:
        DataError: damaged, encrypted, more members or bytes than are searched, or its reader is not installed.
    """
    try:
        with open_again() as stream:
            for member in _READERS[kind](stream):
                yield io.BufferedReader(Counted(member, budget), _CHUNK_BYTES)
    except ImportError:
        raise DataError(f"{kind}: its reader is not installed", hint="Search it where the extra site is.") from None
    except MemoryError:
        raise DataError(f"{kind}: needs more memory than there is") from None


DAMAGE = (
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
    zstd.ZstdError,
)
"""What readers raise for damaged and unknown contents; Arrow's errors are among them."""


class _Inflated(io.RawIOBase):
    """A zlib stream, decompressed as it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream, self._machine = stream, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        while not self._machine.eof:
            packed = self._machine.unconsumed_tail or self._stream.read(1 << 16)
            if not packed:
                raise EOFError("the zlib stream ends early")
            data = self._machine.decompress(packed, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0


def _zlib(stream: BinaryIO) -> Iterator[BinaryIO]:
    yield cast("BinaryIO", io.BufferedReader(_Inflated(stream)))


def _gzip(stream: BinaryIO) -> Iterator[BinaryIO]:
    yield cast("BinaryIO", gzip.GzipFile(fileobj=stream))


def _bzip2(stream: BinaryIO) -> Iterator[BinaryIO]:
    yield cast("BinaryIO", bz2.BZ2File(stream))


def _xz(stream: BinaryIO) -> Iterator[BinaryIO]:
    yield cast("BinaryIO", lzma.LZMAFile(stream))  # noqa: SIM115 - whoever opened the stream closes it


def _zstd(stream: BinaryIO) -> Iterator[BinaryIO]:
    yield cast("BinaryIO", zstd.ZstdFile(stream))


def _zip(stream: BinaryIO) -> Iterator[BinaryIO]:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_MEMBERS:
            raise DataError(f"zip: more than {MAX_MEMBERS} members")
        for entry in entries:
            if entry.flag_bits & 1:
                raise DataError("zip: a member is encrypted")
            with archive.open(entry) as member:
                yield cast("BinaryIO", member)


def _parquet(stream: BinaryIO) -> Iterator[BinaryIO]:
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(stream).iter_batches():
        yield from _buffers(batch)


def _arrow(stream: BinaryIO) -> Iterator[BinaryIO]:
    import pyarrow.ipc

    reader = pyarrow.ipc.open_file(stream)
    for number in range(reader.num_record_batches):
        yield from _buffers(reader.get_batch(number))


def _arrow_stream(stream: BinaryIO) -> Iterator[BinaryIO]:
    import pyarrow.ipc

    for batch in pyarrow.ipc.open_stream(stream):
        yield from _buffers(batch)


def _buffers(batch: Any) -> Iterator[BinaryIO]:  # noqa: ANN401 - Arrow has no types
    for column in batch.columns:
        arrays = [column]
        if hasattr(column, "dictionary"):
            arrays.append(column.dictionary)
        for array in arrays:
            for buffer in array.buffers():
                if buffer is not None:
                    yield io.BytesIO(memoryview(buffer))


_READERS: dict[str, Callable[[BinaryIO], Iterator[BinaryIO]]] = {
    "gzip": _gzip,
    "zlib": _zlib,
    "zip": _zip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
    "parquet": _parquet,
    "arrow": _arrow,
    "arrow_stream": _arrow_stream,
}
KINDS = tuple(_READERS)

__all__ = ["Budget", "Counted", "DAMAGE", "HEAD_BYTES", "kind_of", "KINDS", "MAX_MEMBERS", "members", "UNSURE", "zstd"]
