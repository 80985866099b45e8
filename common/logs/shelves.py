"""Where sealed segments lie: a small interface, and a folder of envelopes for parties without a vault.

A segment's name says when it was opened, so its age is known without a key. Not handled here: what is in a segment.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedward.common.atomic import sync_folder
from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import Identity, Recipient
from fedward.common.envelope.stream import open_bytes, seal
from fedward.common.errors import ConfigError, LogError

KIND = "log"
SITE = bytes(16)
"""In place of a run id: what belongs to no run."""
MAX_SEALED_PLAINTEXT = 2 << 20
_NAME = re.compile(r"(\d{12})-([0-9a-f]{8})-(\d{6})", re.ASCII)
_SUFFIX = ".fwe"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class SegmentName:
    """Which segment; in order of time."""

    opened_at_s: int
    """Whole seconds since 1970."""
    boot: str
    number: int
    """Of all segments of its process, from 1."""
    run_id: bytes

    def __str__(self) -> str:
        return f"{self.opened_at_s:012d}-{self.boot}-{self.number:06d}"

    @classmethod
    def parse(cls, text: str, run_id: bytes) -> SegmentName:
        """The inverse of ``str``.

        Raises:
            LogError: another text.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise LogError("this is no name of a log's segment")
        return cls(opened_at_s=int(found[1]), boot=found[2], number=int(found[3]), run_id=run_id)

    @property
    def context(self) -> Context:
        """What its envelope is bound to."""
        return Context(kind=KIND, name=str(self), run_id=self.run_id)


class LogShelf(Protocol):
    """Keeps whole segments, sealed."""

    def put(self, name: SegmentName, data: bytes) -> None:
        """Keep ``data``, durable on return, in place of what was there under this name."""
        ...

    def names(self) -> tuple[SegmentName, ...]:
        """All segments, the oldest first."""
        ...

    def read(self, name: SegmentName) -> bytes:
        """One segment's plaintext, in memory.

        Raises:
            FedwardError: it does not open, or may not be read.
        """
        ...

    def delete(self, name: SegmentName) -> None:
        """Remove one segment; removing it twice is no error."""
        ...


class EnvelopeShelf:
    """Envelopes in a private folder, ``site`` or the run's id in hex above them.

    Args:
        folder: made with mode 0700 if it is not there.
        recipients: who can read; their public keys are enough to write.
        identities: what this reader opens with; none for a writer.
    """

    def __init__(self, folder: Path, recipients: Sequence[Recipient], *, identities: Sequence[Identity] = ()) -> None:
        self._folder = folder
        self._recipients = tuple(recipients)
        self._identities = tuple(identities)
        _require_private(folder)

    def put(self, name: SegmentName, data: bytes) -> None:
        """See ``LogShelf.put``."""
        sealed = io.BytesIO()
        seal(io.BytesIO(data), sealed, self._recipients, context=name.context)
        path = self._path(name)
        _require_private(path.parent)
        _replace(path, sealed.getvalue())

    def names(self) -> tuple[SegmentName, ...]:
        """See ``LogShelf.names``. Other files are passed over."""
        found: list[SegmentName] = []
        for path in self._folder.glob(f"*/*{_SUFFIX}"):
            try:
                found.append(SegmentName.parse(path.name.removesuffix(_SUFFIX), _run_id(path.parent.name)))
            except LogError:
                continue
        return tuple(sorted(found))

    def read(self, name: SegmentName) -> bytes:
        """See ``LogShelf.read``.

        Raises:
            LogError: it is not there.
            EnvelopeError: it does not open.
        """
        try:
            raw = self._path(name).read_bytes()
        except OSError as error:
            raise LogError(f"a segment of the log cannot be read: {error.strerror}") from error
        source, limit = io.BytesIO(raw), MAX_SEALED_PLAINTEXT
        return bytes(open_bytes(source, self._identities, expect=name.context, max_plaintext_bytes=limit))

    def delete(self, name: SegmentName) -> None:
        """See ``LogShelf.delete``."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)

    def _path(self, name: SegmentName) -> Path:
        return self._folder / ("site" if name.run_id == SITE else name.run_id.hex()) / f"{name}{_SUFFIX}"


def _run_id(folder: str) -> bytes:
    if folder == "site":
        return SITE
    if re.fullmatch(r"[0-9a-f]{32}", folder, re.ASCII) is None:
        raise LogError("this is no folder of a log")
    return bytes.fromhex(folder)


def _require_private(folder: Path) -> None:
    """Make ``folder``, 0700 whatever the umask; refuse one that others may enter.

    Raises:
        ConfigError: it is a link, another's or open to others.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = os.lstat(folder)
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise ConfigError("the folder of the log is not this account's alone", hint="Make it 0700, and no link.")


def _replace(path: Path, data: bytes) -> None:
    """A temporary sibling (0600), made durable, takes the place of ``path``."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".fedward.")
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


__all__ = ["EnvelopeShelf", "KIND", "LogShelf", "MAX_SEALED_PLAINTEXT", "SegmentName", "SITE"]
