"""Envelopes on disk: sealed or opened into a temporary sibling, made durable, renamed; on an error nothing is left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from stat import S_ISREG

from fedward.common.atomic import sync_folder
from fedward.common.envelope.header import Compression, Context, Header
from fedward.common.envelope.pieces import Pieces
from fedward.common.envelope.recipients import Identity, Recipient
from fedward.common.envelope.stream import EnvelopeReader, inspect, open_unknown, seal
from fedward.common.errors import ConfigError, EnvelopeError, NotAnEnvelopeError


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
        ConfigError: the folder is missing or cannot be written, or what is at ``path`` is no regular file: a link would
            be lost, and a device too.
    """
    _require_replaceable(path)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".fedward.")
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
    require_different(source, target)
    with reading(source) as plain, replacing(target) as sealed:
        seal(plain, sealed, recipients, context=context, compression=compression)


def open_file(
    source: Path,
    target: Path,
    identities: Sequence[Identity],
    *,
    max_plaintext_bytes: int,
    require: Callable[[Context], None] = lambda _: None,
) -> EnvelopeReader:
    """Open ``source`` into ``target``; returns what the authenticated header says.

    Args:
        source: a file, or a pipe: it is read once.
        target: the plaintext.
        identities: one of them opens it.
        max_plaintext_bytes: no more than this.
        require: raises for a context that is not wanted, before anything is written.

    Raises:
        ConfigError: a path that cannot be.
        EnvelopeError: it does not open; ``target`` is as it was.
    """
    require_different(source, target)
    with reading(source) as sealed:
        reader = open_unknown(sealed, identities, max_plaintext_bytes=max_plaintext_bytes)
        require(reader.context)
        with replacing(target) as plain:
            for piece in reader:
                write_all(plain, piece)
    return reader


def reseal_file(
    path: Path, identities: Sequence[Identity], recipients: Sequence[Recipient], *, max_plaintext_bytes: int
) -> None:
    """A new file key for the envelope at ``path``: all of it is sealed again, chunk by chunk, in memory.

    Raises:
        ConfigError: a path that cannot be, or a file with a second name: that would keep the old key.
        EnvelopeError: it does not open; the file is as it was.
    """
    _require_replaceable(path)
    with reading(path) as old:
        if os.fstat(old.fileno()).st_nlink > 1:
            raise ConfigError(f"{path} has another name (a hard link), which would keep the old key", hint="Copy it.")
        reader = open_unknown(old, identities, max_plaintext_bytes=max_plaintext_bytes)
        with replacing(path) as fresh:
            seal(Pieces(iter(reader)), fresh, recipients, context=reader.context, compression=reader.compression)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """What a sealed file says of itself; nothing of it is proven without a key."""

    path: Path
    header: Header | None
    context: Context | None
    num_bytes: int = 0
    fault: str = ""


def listed(folder: Path) -> tuple[Listed, ...]:
    """All envelopes at or below ``folder`` by their magic, and what cannot be read, in order of path."""
    paths = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    return tuple(found for path in paths if (found := _listed(path)) is not None)


def _listed(path: Path) -> Listed | None:
    """One file; None for what is no envelope, or no file."""
    try:
        # Not to wait for a writer where somebody put a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return Listed(path=path, header=None, context=None, fault=error.strerror or "cannot be read")
    state = os.fstat(descriptor)
    if not S_ISREG(state.st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb", buffering=0) as file:
        try:
            header, context = inspect(file)
        except NotAnEnvelopeError:
            return None
        except (EnvelopeError, OSError) as error:
            fault = error.message if isinstance(error, EnvelopeError) else "cannot be read"
            return Listed(path=path, header=None, context=None, fault=fault)
    return Listed(path=path, header=header, context=context, num_bytes=state.st_size)


def _require_replaceable(path: Path) -> None:
    """Only a regular file, or nothing, is there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Name a place in a folder of yours.") from error
    if not S_ISREG(mode):
        raise ConfigError(f"{path}: only a file is replaced, no link, folder or device", hint="Name a file.")


def require_different(source: Path, target: Path) -> None:
    """Refuse to replace what is read.

    Raises:
        ConfigError: one file under one or two names.
    """
    _require_replaceable(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError("input and output are one file", hint="Name another output.")


def write_all(file: FileIO, data: memoryview | bytes) -> None:
    """Write all of ``data``: an unbuffered file may take a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


__all__ = [
    "Listed",
    "listed",
    "open_file",
    "reading",
    "replacing",
    "require_different",
    "reseal_file",
    "seal_file",
    "write_all",
]
