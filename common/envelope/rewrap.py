"""Other recipients for a sealed file, without touching its payload.

The new header goes over one copy and then over the other, each made durable. The newest good copy is written over last:
a crash at any moment leaves a copy that opens, with the old recipients or the new ones, also where an earlier crash or
a damaged disk had left only one. It takes a key away from the *file*; who copied the header or
the file key before still opens that copy. A new file key needs a new file: seal it again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from fedward.common.envelope.header import HEADER_BYTES, Context, OpenedHeader, open_copies, require_context
from fedward.common.envelope.recipients import Identity, RandomBytes, Recipient
from fedward.common.errors import ConfigError

_MAX_GENERATION = 2**32 - 1


def rewrap(
    path: Path,
    identities: Sequence[Identity],
    recipients: Sequence[Recipient],
    *,
    expect: Context | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> None:
    """Make ``recipients`` the only ones of the envelope at ``path``.

    Args:
        path: a regular file of this account; links are not followed.
        identities: one of them opens it now.
        recipients: all that shall open it from now on.
        expect: refuse another envelope than this.
        random_bytes: of the operating system.

    Raises:
        ConfigError: the path is a link or cannot be written, or no recipient is given.
        EnvelopeError: it is no envelope, not for these keys, or changed.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror}", hint="Name a file of your own, not a link.") from error
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError(f"{path.name} is no regular file", hint="Name a file of your own, not a link.")
        copies = os.pread(descriptor, 2 * HEADER_BYTES, 0)
        opened = open_copies(copies, identities)
        if expect is not None:
            require_context(opened.header, expect)
        raw = _rewrapped(opened, recipients, random_bytes)
        is_first_newest = copies[:HEADER_BYTES] == opened.header.to_bytes(opened.file_key)
        for at in (HEADER_BYTES, 0) if is_first_newest else (0, HEADER_BYTES):
            _write_at(descriptor, raw, at)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rewrapped(opened: OpenedHeader, recipients: Sequence[Recipient], random_bytes: RandomBytes) -> bytes:
    """The header of the next generation.

    Raises:
        ConfigError: recipients that cannot be, or the generations are used up.
    """
    header = opened.header
    if header.generation == _MAX_GENERATION:
        raise ConfigError("this envelope was re-wrapped too often", hint="Seal it again.")
    stanzas = tuple(recipient.wrap(opened.file_key, header.file_id, random_bytes) for recipient in recipients)
    fresh = replace(header, generation=header.generation + 1, stanzas=stanzas, mac=b"")
    return fresh.to_bytes(opened.file_key)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


__all__ = ["rewrap"]
