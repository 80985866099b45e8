"""Other recipients for a sealed file, without touching its payload.

The new header goes over the second copy first, then over the first, each made durable: a crash at any moment leaves a
copy that opens, with the old recipients or the new ones. It takes a key away from the *file*; who copied the header or
the file key before still opens that copy. A new file key needs a new file: seal it again.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedward.common.envelope.header import HEADER_BYTES, Context, open_copies, require_context
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
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror}", hint="Name a file of your own, not a link.") from error
    try:
        opened = open_copies(os.pread(descriptor, 2 * HEADER_BYTES, 0), identities)
        header = opened.header
        if expect is not None:
            require_context(header, expect)
        if header.generation == _MAX_GENERATION:
            raise ConfigError("this envelope was re-wrapped too often", hint="Seal it again.")
        stanzas = tuple(recipient.wrap(opened.file_key, header.file_id, random_bytes) for recipient in recipients)
        fresh = replace(header, generation=header.generation + 1, stanzas=stanzas, mac=b"")
        raw = fresh.to_bytes(opened.file_key)
        for at in (HEADER_BYTES, 0):
            _write_at(descriptor, raw, at)
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


__all__ = ["rewrap"]
