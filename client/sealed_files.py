"""Envelopes on disk: sealed or opened into a temporary sibling, made durable, renamed; on an error nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from fedward.common.atomic import sync_folder
from fedward.common.envelope.header import MAGIC, Compression, Context, Header
from fedward.common.envelope.recipients import Identity, Recipient
from fedward.common.envelope.stream import inspect, open_stream, seal
from fedward.common.errors import ConfigError, EnvelopeError


@contextmanager
def reading(path: Path) -> Iterator[FileIO]:
    """``path`` for reading, unbuffered: the envelope reads a megabyte at a time.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Check the path.") from error
    with file:
        yield file


@contextmanager
def replacing(path: Path) -> Iterator[FileIO]:
    """A temporary sibling (0600) that takes the place of ``path`` when all went well.

    Raises:
        ConfigError: the folder is missing or cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Name a place in a folder of yours.") from error
    try:
        with open(descriptor, "wb", buffering=0) as file:
            yield file
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def seal_file(
    source: Path, target: Path, recipients: Sequence[Recipient], *, context: Context, compression: Compression
) -> None:
    """Seal ``source`` into ``target``.

    Raises:
        ConfigError: a path that cannot be, or no recipient.
    """
    _require_different(source, target)
    with reading(source) as plain, replacing(target) as sealed:
        seal(plain, sealed, recipients, context=context, compression=compression)


def open_file(
    source: Path, target: Path, identities: Sequence[Identity], *, expect: Context, max_plaintext_bytes: int
) -> bool:
    """Open ``source`` into ``target``; returns whether both copies of the header were good.

    Raises:
        ConfigError: a path that cannot be.
        EnvelopeError: it does not open; ``target`` is as it was.
    """
    _require_different(source, target)
    with reading(source) as sealed:
        reader = open_stream(sealed, identities, expect=expect, max_plaintext_bytes=max_plaintext_bytes)
        with replacing(target) as plain:
            for piece in reader:
                _write_all(plain, piece)
    return reader.is_header_whole


def reseal_file(
    path: Path, identities: Sequence[Identity], recipients: Sequence[Recipient], *, max_plaintext_bytes: int
) -> None:
    """A new file key for the envelope at ``path``: all of it is sealed again, chunk by chunk, in memory.

    Raises:
        ConfigError: a path that cannot be.
        EnvelopeError: it does not open; the file is as it was.
    """
    header, context = stated(path)
    with reading(path) as old:
        reader = open_stream(old, identities, expect=context, max_plaintext_bytes=max_plaintext_bytes)
        with replacing(path) as fresh:
            seal(_Pieces(iter(reader)), fresh, recipients, context=context, compression=header.compression)


class _Pieces:
    """An iterator of views as a source."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """What a sealed file says of itself; nothing of it is proven without a key."""

    path: Path
    header: Header | None
    context: Context | None
    fault: str = ""


def stated(path: Path) -> tuple[Header, Context]:
    """Header and context of one file, unproven.

    Raises:
        ConfigError: it cannot be read.
        EnvelopeError: it is no envelope.
    """
    with reading(path) as file:
        return inspect(file)


def listed(folder: Path) -> tuple[Listed, ...]:
    """All envelopes at or below ``folder``, by their magic, in order of path."""
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    found: list[Listed] = []
    for path in paths:
        with reading(path) as file:
            if file.read(len(MAGIC)) != MAGIC:
                continue
        try:
            header, context = stated(path)
        except EnvelopeError as error:
            found.append(Listed(path=path, header=None, context=None, fault=error.message))
        else:
            found.append(Listed(path=path, header=header, context=context))
    return tuple(found)


def _require_different(source: Path, target: Path) -> None:
    if target.is_symlink() or target.is_dir():
        raise ConfigError(f"{target}: a link or a folder is not replaced", hint="Name a file.")
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError("input and output are one file", hint="Name another output.")


def _write_all(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) or 0 :]


__all__ = ["Listed", "listed", "open_file", "reading", "replacing", "reseal_file", "seal_file", "stated"]
