"""Key files of people: an X25519 key as a line of text with a check, in a file that only its owner reads."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from fedward.common.atomic import sync_folder
from fedward.common.envelope.recipients import X25519Identity, X25519Recipient
from fedward.common.errors import ConfigError

_PUBLIC = "fedward-x25519:"
_SECRET = "FEDWARD-SECRET-X25519:"  # noqa: S105 - a prefix
_MAX_FILE_BYTES = 4096
_MAX_PUBLIC_CHARS = 1 << 20


def _spelled(prefix: str, key: bytes) -> str:
    return f"{prefix}{key.hex()}-{_check(prefix, key)}"


def _check(prefix: str, key: bytes) -> str:
    return hashlib.sha256(prefix.encode() + key).hexdigest()[:8]


def _read(prefix: str, text: str, what: str) -> bytes:
    """The key in a line of text.

    Raises:
        ConfigError: another prefix, length or check. The text is not quoted: it may be the secret.
    """
    body, _, check = text.strip().removeprefix(prefix).partition("-")
    try:
        key = bytes.fromhex(body)
    except ValueError:
        key = b""
    if not text.strip().startswith(prefix) or len(key) != 32 or check != _check(prefix, key):
        raise ConfigError(f"this is no {what}", hint=f"It begins with {prefix} and was copied whole.")
    return key


def public_text(recipient: X25519Recipient) -> str:
    """What is given to others."""
    return _spelled(_PUBLIC, recipient.public_key)


def parse_public(text: str) -> X25519Recipient:
    """The recipient in a public line.

    Raises:
        ConfigError: not such a line.
    """
    return X25519Recipient(public_key=_read(_PUBLIC, text, "public key"))


def read_public(entry: str) -> list[X25519Recipient]:
    """The recipient that ``entry`` spells, or those in the file that it names: one a line, # for remarks.

    Raises:
        ConfigError: neither a public key nor a readable file of them; names the file's line.
    """
    if entry.strip().startswith(_PUBLIC):
        return [parse_public(entry)]
    try:
        with open(entry, encoding="utf-8-sig") as file:
            text = file.read(_MAX_PUBLIC_CHARS + 1)
    except (OSError, ValueError):  # no such file, a folder, another encoding: the text is not quoted, as above
        text = ""
    if not text or len(text) > _MAX_PUBLIC_CHARS:
        hint = f"It begins with {_PUBLIC}, or is a text file of such lines."
        raise ConfigError("--to: neither a public key nor a file of them", hint=hint)
    found: list[X25519Recipient] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found.append(X25519Recipient(public_key=_read(_PUBLIC, line, f"public key, in line {number} of {entry}")))
    return found


def write_key_file(path: Path, identity: X25519Identity) -> None:
    """Create ``path`` with mode 0600; an existing file is never replaced.

    Raises:
        ConfigError: it exists, or cannot be written.
    """
    line = _spelled(_SECRET, identity.to_bytes()) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Name a file that does not exist yet.") from error
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(line.encode())
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)  # what is sealed for a key that a crash took is lost


def read_private(path: Path) -> bytes:
    """A small file that only its owner may read.

    Raises:
        ConfigError: missing, a link, too long, another's, or readable by others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="Check the path; links are not followed.") from error
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(f"{path} is no regular file", hint="Name a file of mode 0600.")
        if state.st_uid != os.geteuid() or state.st_mode & 0o077:
            raise ConfigError(f"{path}: others may read this file", hint="`chmod 600` it, and make a new secret.")
        raw = os.read(descriptor, _MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path}: too long for a key file")
    return raw


def read_key_file(path: Path) -> X25519Identity:
    """The identity in a key file.

    Raises:
        ConfigError: not such a file, or one that others may read.
    """
    text = read_private(path).decode("utf-8", "replace")
    return X25519Identity.from_bytes(_read(_SECRET, text, "key file"))


__all__ = ["parse_public", "public_text", "read_key_file", "read_private", "read_public", "write_key_file"]
