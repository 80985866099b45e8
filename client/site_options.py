"""Options of the commands that open a site's folder, and the opening. Heavy imports wait for the call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fedward.client.passphrases import asked_passphrase
from fedward.common.errors import ConfigError

if TYPE_CHECKING:
    from enum import StrEnum

    from fedward.client.site_folder import SiteFolder
    from fedward.common.vault.unlocks import Unlock

Site = Annotated[Path, typer.Option("--site", help="The site's folder.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="The site's key file. Default: the service's credential, or DIR.key.")
]
Ask = Annotated[bool, typer.Option("--passphrase", "-p", help="Ask for the site's passphrase.")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="The passphrase in a file of mode 0600, without its line end.")
]
Keyring = Annotated[bool, typer.Option("--keyring", help="Take the secret from the operating system's keyring.")]
RoleName = Annotated[str, typer.Option("--role", help="The role to act in; it must be granted to your account.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object as the last line.")]

_Choice = TypeVar("_Choice", bound="StrEnum")


def clock() -> int:
    """Milliseconds since 1970."""
    import datetime

    now = datetime.datetime.now(tz=datetime.UTC)  # noqa: TID251 - the edge, where the clock comes from
    return int(now.timestamp() * 1000)


def default_key_file(site: Path) -> Path:
    """Beside the folder, not in it: who copies the folder has not copied the key."""
    site = site.absolute()
    return site.with_name(f"{site.name}.key")


def opened(site: Path, key_file: Path | None, ask: bool, passphrase_file: Path | None, keyring: bool) -> SiteFolder:
    """The site's folder, open for this process alone; a context manager.

    Raises:
        ConfigError: two unlocks, or none.
        VaultError, LedgerError: as ``SiteFolder.open``.
    """
    from fedward.client.site_folder import SiteFolder

    os.umask(0o077)
    unlock = chosen_unlock(site, key_file, ask, passphrase_file, keyring)
    return SiteFolder.open(site, unlocks=[unlock], clock=clock)


def chosen_unlock(site: Path, key_file: Path | None, ask: bool, passphrase_file: Path | None, keyring: bool) -> Unlock:
    """The one unlock that the options name.

    Raises:
        ConfigError: two, or one that cannot be read.
    """
    from fedward.common.vault import unlocks

    if sum((key_file is not None, ask, passphrase_file is not None, keyring)) > 1:
        raise ConfigError("one unlock at a time", hint="Leave all but one of the unlocking options out.")
    passphrase = asked_passphrase(ask, passphrase_file)
    if passphrase is not None:
        return unlocks.PassphraseUnlock(key=passphrase)
    if keyring:
        from fedward.common.ledger.reader import LedgerReader
        from fedward.common.vault.folder import LEDGER

        with LedgerReader(site.joinpath(*LEDGER)) as reader:
            return unlocks.keyring_unlock(reader.site_id)
    if key_file is None and (given := unlocks.read_credential(os.environ)) is not None:
        return given
    return unlocks.read_key_file(key_file or default_key_file(site))


def chosen(names: type[_Choice], text: str, option: str) -> _Choice:
    """The member of ``names`` that ``text`` spells.

    Raises:
        ConfigError: none; names them all.
    """
    try:
        return names(text)
    except ValueError:
        hint = f"One of {', '.join(sorted(names))}."
        raise ConfigError(f"{option}: unknown {names.__name__.lower()} {text!r}", hint=hint) from None


__all__ = [
    "Ask",
    "chosen",
    "chosen_unlock",
    "clock",
    "default_key_file",
    "Json",
    "KeyFile",
    "Keyring",
    "opened",
    "PassphraseFile",
    "RoleName",
    "Site",
]
