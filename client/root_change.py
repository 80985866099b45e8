"""Replacing what opens a keystore, as part of a shredding: the old secret is destroyed behind the change.

A crash in between leaves two secrets of which one opens the keystore: the new key file stands beside the old one, with
``.next`` behind its name, and ``unlocks_beside`` offers both to whoever opens the folder. The next change finishes it.

Not handled here: a systemd credential (the service's unit holds it), and a keystore with two unlocks, which would lose
one of them.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fedward.client.passphrases import asked_passphrase
from fedward.common.atomic import sync_folder
from fedward.common.errors import ConfigError
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.unlocks import (
    KeyUnlock,
    PassphraseUnlock,
    Unlock,
    create_key_file,
    keyring_unlock,
    read_key_file,
)

_SERVICE = "fedward"
_NEXT = ".next"


def require_one_unlock(party: PartyFolder) -> None:
    """Refuse where a change of the root would drop an unlock that nobody named.

    Raises:
        ConfigError: there are two.
    """
    if len(party.keystore.unlock_kinds) != 1:
        hint = "Shred without --rotate-root; the certificate then says that the root lives on."
        raise ConfigError("this keystore has two unlocks, and --rotate-root would drop one", hint=hint)


def unlocks_beside(key_file: Path, unlock: Unlock) -> list[Unlock]:
    """``unlock``, and the key file that an interrupted change left beside it."""
    beside = key_file.with_name(key_file.name + _NEXT)
    with suppress(ConfigError):
        return [unlock, read_key_file(beside)]
    return [unlock]


def replace_key_file(party: PartyFolder, key_file: Path, *, overwriter: Overwriter | None = None) -> None:
    """A new key file in the place of the old one, which is overwritten.

    Raises:
        ConfigError: it cannot be written beside the old one.
    """
    overwriter = overwriter or Overwriter()
    beside = key_file.with_name(key_file.name + _NEXT)
    party.keystore.replace_root([_fresh_key_file(party, beside, overwriter)])
    old = os.open(key_file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        beside.replace(key_file)
        sync_folder(key_file.parent)
        overwriter.overwrite_open(old)
    finally:
        os.close(old)


def _fresh_key_file(party: PartyFolder, beside: Path, overwriter: Overwriter) -> KeyUnlock:
    """The unlock in a new file; one that a crash left may be the root of now and is taken."""
    try:
        return read_key_file(beside)
    except ConfigError:  # none, or half of one
        overwriter.shred_file(beside.parent, beside.name)
    return create_key_file(beside)


def replace_keyring_secret(party: PartyFolder, *, keyring: Any = None) -> None:  # noqa: ANN401 - an untyped extra
    """A new secret in the operating system's keyring; the old one is no longer anywhere.

    Args:
        party: its keystore opens by the keyring.
        keyring: the module of that name, for tests.

    Raises:
        ConfigError: no keyring that is trusted, or no secret in it.
    """
    account, beside = party.party_id, party.party_id + _NEXT
    keyring_unlock(account, keyring=keyring)  # it is there, and the backend is trusted
    module = importlib.import_module("keyring") if keyring is None else keyring
    is_new = module.get_password(_SERVICE, beside) is None
    fresh = keyring_unlock(beside, is_new=is_new, keyring=keyring)
    party.keystore.replace_root([fresh])
    module.set_password(_SERVICE, account, module.get_password(_SERVICE, beside))
    module.delete_password(_SERVICE, beside)


def replace_passphrase(party: PartyFolder) -> None:
    """A new passphrase, typed twice. The old one lives on in its owner's head and opens only old copies."""
    typed = asked_passphrase(True, None, is_new=True)
    if typed is None:
        raise ConfigError("no passphrase was given", hint="Type the new one twice.")
    party.keystore.replace_root([PassphraseUnlock(key=typed)])


def root_change(party: PartyFolder, key_file: Path | None) -> Callable[[], None]:
    """What replaces the root of an open party, by the kind of its one unlock.

    Args:
        party: open.
        key_file: where its key file is; None where it came as a credential.

    Raises:
        ConfigError: two unlocks, or a credential.
    """
    require_one_unlock(party)
    (kind,) = party.keystore.unlock_kinds
    if kind == "passphrase":
        return lambda: replace_passphrase(party)
    if kind == "keyring":
        return lambda: replace_keyring_secret(party)
    if key_file is None:
        hint = "Change the credential of the unit by hand, or name the key file with --key-file."
        raise ConfigError("a credential of the service cannot be replaced from here", hint=hint)
    return lambda: replace_key_file(party, key_file)


__all__ = [
    "replace_key_file",
    "replace_keyring_secret",
    "replace_passphrase",
    "require_one_unlock",
    "root_change",
    "unlocks_beside",
]
