"""What opens a keystore: a passphrase, a key file, or the secret of the operating system's keyring.

A key file is 32 random bytes of mode 0600, or a systemd credential in ``$CREDENTIALS_DIRECTORY``; it costs one HKDF,
never Argon2. Secrets come by no argument and no environment variable (the directory's name is no secret).
"""

from __future__ import annotations

import importlib
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from fedward.common.atomic import sync_folder
from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES, Passphrase, SlotKey
from fedward.common.errors import ConfigError, VaultPermissionError
from fedward.common.secagg.transcript import digest

CREDENTIAL: Final = "fedward.unlock"
"""Name of the credential that a unit gives."""
_SERVICE = "fedward"
_TRUSTED_BACKENDS = frozenset({"SecretService", "libsecret", "kwallet", "macOS", "Windows"})
"""Modules of ``keyring.backends``. An allow-list: null, fail, plaintext files and unknown ones are refused."""


class Unlock(Protocol):
    """A way to the keystore's root key."""

    @property
    def kind(self) -> str:
        """``passphrase``, ``key-file`` or ``keyring``."""

    @property
    def key(self) -> Passphrase | SlotKey:
        """Recipient and identity in one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PassphraseUnlock:
    """Typed by a person; Argon2id with 256 MiB unless its cost says otherwise."""

    key: Passphrase = field(repr=False)
    kind: str = "passphrase"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyUnlock:
    """32 random bytes, from a file or a keyring."""

    key: SlotKey = field(repr=False)
    kind: str

    @classmethod
    def of_secret(cls, secret: bytes, kind: str) -> KeyUnlock:
        """From the 32 bytes; they name their slot by a digest."""
        slot_id = digest("fedward/keystore/v1/unlock", secret)[:ID_BYTES]
        return cls(key=SlotKey(slot_id=slot_id, key=secret), kind=kind)


def create_key_file(path: Path) -> KeyUnlock:
    """Write a new key file, 0600; an existing one is never replaced.

    Raises:
        ConfigError: it exists, or cannot be written.
    """
    secret = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(secret)
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path.name}: {error.strerror}", hint="Name a key file that does not exist yet.") from error
    return KeyUnlock.of_secret(secret, "key-file")


def read_key_file(path: Path) -> KeyUnlock:
    """The unlock in a key file.

    Raises:
        ConfigError: missing, or not 32 bytes.
        VaultPermissionError: a link, another's, or readable by others.
    """
    return KeyUnlock.of_secret(_read_secret(path, owners=(os.geteuid(),), others=0o077), "key-file")


def read_credential(environ: Mapping[str, str]) -> KeyUnlock | None:
    """The unlock that systemd gave to this unit; None where there is none.

    Raises:
        ConfigError: it is not 32 bytes.
        VaultPermissionError: as ``read_key_file``; root may own it, and a group may be its access list's mask.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not (path := Path(folder) / CREDENTIAL).exists():
        return None
    return KeyUnlock.of_secret(_read_secret(path, owners=(0, os.geteuid()), others=0o027), "key-file")


def _read_secret(path: Path, *, owners: tuple[int, ...], others: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ConfigError(f"{path.name}: {error.strerror}", hint="Name the site's key file.") from error
    except OSError as error:
        raise VaultPermissionError(f"{path.name} is a link or cannot be read: {error.strerror}") from error
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid not in owners or state.st_mode & others:
            raise VaultPermissionError(
                f"{path.name}: others may read this key file", hint="`chmod 600` it, and replace the keystore's root."
            )
        raw = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) != KEY_BYTES:
        raise ConfigError(f"{path.name}: a key file has {KEY_BYTES} bytes", hint="Name the site's key file.")
    return raw


def keyring_unlock(account: str, *, is_new: bool = False, keyring: Any = None) -> KeyUnlock:  # noqa: ANN401 - untyped
    """The unlock in the operating system's keyring.

    Args:
        account: of the secret; the ledger's id.
        is_new: make the secret; an existing one is never replaced.
        keyring: the module of that name, for tests.

    Raises:
        ConfigError: the extra is not installed, the backend keeps secrets in the clear or nowhere, or no such secret.
    """
    module = _imported_keyring() if keyring is None else keyring
    _require_trusted(module.get_keyring())
    stored = module.get_password(_SERVICE, account)
    if is_new:
        if stored is not None:
            raise ConfigError("the keyring has a secret of this site already", hint="Open the site with it.")
        module.set_password(_SERVICE, account, secrets.token_hex(KEY_BYTES))
        stored = module.get_password(_SERVICE, account)
    try:
        secret = bytes.fromhex(stored or "")
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise ConfigError("the keyring holds no secret of this site", hint="Unlock it with its key file or passphrase.")
    return KeyUnlock.of_secret(secret, "keyring")


def _imported_keyring() -> Any:  # noqa: ANN401 - an untyped extra
    try:
        return importlib.import_module("keyring")
    except ImportError:
        raise ConfigError("keyring is not installed", hint="`pip install 'fedward[keyring]'`.") from None


def _require_trusted(backend: object) -> None:
    """Refuse a backend that is not one of the operating systems' own.

    Raises:
        ConfigError: null, fail, a plaintext file, or one that is not known; also as part of a chain.
    """
    parts = getattr(backend, "backends", None) if type(backend).__module__ == "keyring.backends.chainer" else None
    for part in list(parts or (backend,)):
        package, _, name = type(part).__module__.rpartition(".")
        if package != "keyring.backends" or name not in _TRUSTED_BACKENDS:
            raise ConfigError(
                f"the keyring's backend {type(part).__module__} is not trusted with a key",
                hint="Use a key file or a passphrase; null, fail and plaintext backends keep no secret.",
            )


__all__ = [
    "create_key_file",
    "CREDENTIAL",
    "keyring_unlock",
    "KeyUnlock",
    "PassphraseUnlock",
    "read_credential",
    "read_key_file",
    "Unlock",
]
