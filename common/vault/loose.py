"""Sealed files outside the areas that the keys of roles open directly: the segment of the log that grows.

They hang on the same keys as the slots of their kind, so a change of these keys wraps them anew as well. Their payload
stays as it is. Not handled here: who writes them (``common.logs.vault_shelf``).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from fedward.common.envelope.rewrap import rewrap
from fedward.common.errors import ConfigError, EnvelopeError, VaultError
from fedward.common.vault.files import Place, PrivateFolder
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import Kind
from fedward.common.vault.roles import readers

GROWING_LOG: Final = ("state", "log")
_LOOSE: Final[Mapping[Kind, Place]] = MappingProxyType({Kind.LOG: GROWING_LOG})


def rewrap_loose(folder: PrivateFolder, keystore: Keystore, kind: Kind) -> None:
    """Let the newest keys of the roles that read ``kind`` open its loose files; one that no key opens stays as it is.

    Raises:
        VaultError: the disk does not take it.
    """
    place = _LOOSE.get(kind)
    if place is None:
        return
    known = [key for role in readers(kind) for key in keystore.role_keys(role, kind)]
    newest = [keystore.role_key(role, kind).recipient for role in readers(kind)]
    for name in folder.files(place):
        if not name.endswith(".fwe"):
            continue
        try:
            with suppress(ConfigError, EnvelopeError):
                rewrap(folder.path((*place, name)), known, newest)
        except OSError as error:
            raise VaultError(f"{name}: {error.strerror}", hint="Check the folder and the disk.") from error


__all__ = ["GROWING_LOG", "rewrap_loose"]
