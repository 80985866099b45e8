"""Where sealed segments lie: a small interface, and a folder of envelopes.

A segment's name says when it was opened, so its age is known without a key. Not handled here: what is in a segment, and
the vault (``vault_shelf``).
"""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedward.common.atomic import sync_folder
from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import Identity, Recipient
from fedward.common.envelope.stream import open_bytes, seal
from fedward.common.errors import ConfigError, LogError

KIND = "log"
MAX_SEALED_PLAINTEXT = 2 << 20
_NAME = re.compile(r"(\d{12})-([0-9a-f]{8})-(\d{6,10})", re.ASCII)
_SUFFIX = ".fwe"
_FRESH = ".fedward."


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class SegmentName:
    """Which segment; in order of time."""

    opened_at_s: int
    """Whole seconds since 1970."""
    boot: str
    """Eight hex digits: of the process that wrote it."""
    number: int
    """Of all segments of its process, from 1."""

    def __str__(self) -> str:
        return f"{self.opened_at_s:012d}-{self.boot}-{self.number:06d}"

    @classmethod
    def parse(cls, text: str) -> SegmentName:
        """The inverse of ``str``.

        Raises:
            LogError: another text.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise LogError("this is no name of a log's segment")
        return cls(opened_at_s=int(found[1]), boot=found[2], number=int(found[3]))

    @property
    def context(self) -> Context:
        """What its envelope is bound to."""
        return Context(kind=KIND, name=str(self))


class LogShelf(Protocol):
    """Keeps whole segments, sealed."""

    def put(self, name: SegmentName, data: bytes, *, is_last: bool) -> None:
        """Keep ``data``, durable on return, in place of what was there under this name.

        Args:
            name: of the segment.
            data: all of it.
            is_last: the segment is full.
        """
        ...


class EnvelopeShelf:
    """Envelopes in a private folder.

    Args:
        folder: made with mode 0700 if it is not there.
        recipients: gives who can read; asked with every segment. Public keys are enough to write.
    """

    def __init__(self, folder: Path, recipients: Callable[[], Sequence[Recipient]]) -> None:
        self._folder = folder
        self._recipients = recipients
        _require_private(folder)

    def put(self, name: SegmentName, data: bytes, *, is_last: bool = True) -> None:
        """See ``LogShelf.put``."""
        sealed = io.BytesIO()
        seal(io.BytesIO(data), sealed, self._recipients(), context=name.context)
        _replace(self._path(name), sealed.getvalue())

    def names(self) -> tuple[SegmentName, ...]:
        """All segments, the oldest first; other files are passed over."""
        found: list[SegmentName] = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            try:
                found.append(SegmentName.parse(path.name.removesuffix(_SUFFIX)))
            except LogError:
                continue
        return tuple(sorted(found))

    def read(self, name: SegmentName, identities: Sequence[Identity]) -> bytes:
        """One segment, in memory.

        Raises:
            LogError: it is not there.
            EnvelopeError: it does not open.
        """
        limit = MAX_SEALED_PLAINTEXT
        try:
            raw = _content(self._path(name), 2 * limit)
        except OSError as error:
            raise LogError(f"a segment of the log cannot be read: {error.strerror}") from error
        return bytes(open_bytes(io.BytesIO(raw), identities, expect=name.context, max_plaintext_bytes=limit))

    def delete(self, name: SegmentName) -> None:
        """Remove one segment; one that is not there is no error."""
        self._path(name).unlink(missing_ok=True)
        sync_folder(self._folder)

    def tidy(self) -> None:
        """Remove what a crash left half written: nobody would find it when it is old. While nobody else writes."""
        for path in self._folder.glob(f"{_FRESH}*"):
            path.unlink(missing_ok=True)

    def _path(self, name: SegmentName) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def _require_private(folder: Path) -> None:
    """Make ``folder``, 0700 whatever the umask; refuse one that others may enter.

    Raises:
        ConfigError: it is a link, another's or open to others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = os.lstat(folder)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise ConfigError("the folder of the log is not this account's alone", hint="Make it 0700, and no link.")


def _content(path: Path, max_bytes: int) -> bytes:
    """Of a regular file; no link is followed, and no pipe is waited for.

    Raises:
        OSError: it cannot be opened.
        LogError: something else, or too long.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size > max_bytes:
            raise LogError("a segment of the log is no file, or too long")
        return file.read(max_bytes)


def _replace(path: Path, data: bytes) -> None:
    """A temporary sibling (0600), made durable, takes the place of ``path``."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_FRESH)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


__all__ = ["EnvelopeShelf", "KIND", "LogShelf", "MAX_SEALED_PLAINTEXT", "SegmentName"]
