"""``fedward site init|rotate|grant|revoke``: a site's folder, keys and roles. Heavy imports wait for the call."""

from __future__ import annotations

import json
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedward.client.passphrases import asked_passphrase
from fedward.client.printable import printable
from fedward.client.site_options import (
    Ask,
    Json,
    KeyFile,
    Keyring,
    PassphraseFile,
    RoleName,
    Site,
    chosen,
    clock,
    default_key_file,
    opened,
)
from fedward.common.errors import ConfigError

Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="uid:1000 for a local account, or gateway:NAME.")]
Granted = Annotated[str, typer.Argument(metavar="ROLE", help="steward, operator, auditor, developer, business_user.")]


class What(StrEnum):
    """What `site rotate` changes."""

    KEK = "kek"
    ROLE = "role"
    IDENTITY = "identity"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new folder, mode 0700.")],
    name: Annotated[str, typer.Option("--name", help="The site's id: 1 to 64 visible ASCII characters.")],
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="The new key file, 0600. Default: DIR.key, beside the folder.")
    ] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", "-p", help="Ask for a passphrase instead of making a key file.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Keep the secret in the system's keyring instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a site's folder: keys, an empty ledger and vault. Your account is its steward, operator and daemon.

    Keep the key file apart from the folder: the two together open everything.
    """
    from fedward.client.site_folder import SiteFolder
    from fedward.common.vault import unlocks

    os.umask(0o077)
    if sum((key_file is not None, passphrase, passphrase_file is not None, keyring)) > 1:
        raise ConfigError("one unlock to begin with", hint="Leave all but one of the unlocking options out.")
    typed = asked_passphrase(passphrase, passphrase_file, is_new=True)
    key_path = None if typed or keyring else key_file or default_key_file(folder)
    unlock: unlocks.Unlock
    if typed is not None:
        unlock = unlocks.PassphraseUnlock(key=typed)
    elif key_path is None:
        unlock = unlocks.keyring_unlock(name, is_new=True)
    else:
        unlock = unlocks.create_key_file(key_path)
    has_keys = (folder / "keys").exists()
    try:
        with SiteFolder.create(folder, name, unlocks=[unlock], clock=clock) as site:
            identity, ledger_id = site.identity.public_key.hex(), site.keystore.ledger_id.hex()
    except BaseException:
        if key_path is not None and (has_keys or not (folder / "keys").exists()):
            key_path.unlink(missing_ok=True)  # it opens nothing
        raise
    facts = {"site": name, "folder": str(folder), "unlock": unlock.kind, "identity": identity, "ledger_id": ledger_id}
    where = f"; keep {key_path} apart from it" if key_path else ""
    _say(as_json, f"site {name} in {folder}{where}\nidentity {identity}", **facts, key_file=key_path and str(key_path))


def rotate(
    what: Annotated[str, typer.Argument(metavar="kek|role|identity", help="What to change.")],
    site: Site,
    name: Annotated[list[str] | None, typer.Option(help="A kind, for kek; a role, for role. Default: all.")] = None,
    role: RoleName = "operator",
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Change keys now. After a new identity the consortium needs a new roster, and then a new run."""
    from fedward.common.vault.kinds import DURABLE, Kind
    from fedward.common.vault.roles import Action, Office, Role

    wanted = chosen(What, what, "kek|role|identity")
    kinds = [chosen(Kind, one, "--name") for one in name or sorted(DURABLE)] if wanted is What.KEK else []
    roles = [chosen(Role, one, "--name") for one in name or sorted(Role)] if wanted is What.ROLE else []
    if wanted is What.IDENTITY and name:
        raise ConfigError("--name: there is one identity", hint="Leave it out.")
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        folder.vault.gate.check(Office.KEYS, Action.ROTATE, principal=folder.principal(chosen(Role, role, "--role")))
        if wanted is What.KEK:
            folder.vault.rotate(kinds)
        elif wanted is What.ROLE:
            folder.vault.rotate_roles(roles)
        else:
            folder.rotate_identity()
        identity = folder.identity.public_key.hex()
    changed = [str(one) for one in (*kinds, *roles)] or ["identity"]
    _say(as_json, f"rotated: {', '.join(changed)}\nidentity {identity}", rotated=changed, identity=identity)


def grant(
    subject: Subject,
    granted: Granted,
    site: Site,
    role: RoleName = "steward",
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Give a role to an account; the steward's."""
    from fedward.common.vault.roles import Role

    _require_subject(subject)
    given = chosen(Role, granted, "ROLE")
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        folder.vault.gate.grant(subject, given, principal=folder.principal(chosen(Role, role, "--role")))
    _say(as_json, f"{subject} is now {given}", granted=str(given), subject=subject)


def revoke(
    subject: Subject,
    revoked: Granted,
    site: Site,
    role: RoleName = "steward",
    key_file: KeyFile = None,
    passphrase: Ask = False,
    passphrase_file: PassphraseFile = None,
    keyring: Keyring = False,
    as_json: Json = False,
) -> None:
    """Take a role from an account; the steward's. The last steward stays."""
    from fedward.common.vault.roles import Role

    taken = chosen(Role, revoked, "ROLE")
    with opened(site, key_file, passphrase, passphrase_file, keyring) as folder:
        folder.vault.gate.revoke(subject, taken, principal=folder.principal(chosen(Role, role, "--role")))
    _say(as_json, f"{subject} is no longer {taken}", revoked=str(taken), subject=subject)


def _require_subject(text: str) -> None:
    kind, _, name = text.partition(":")
    is_uid = kind == "uid" and re.fullmatch("0|[1-9][0-9]{0,9}", name) is not None  # as the system spells it
    if not (is_uid or (kind == "gateway" and name != "")) or not text.isprintable() or len(text) > 256:
        raise ConfigError("SUBJECT: expected uid:NUMBER or gateway:NAME", hint="`id -u` tells your own number.")


def _say(as_json: bool, sentence: str, **facts: object) -> None:
    typer.echo(json.dumps(facts) if as_json else printable(sentence, keep="\n"))


__all__ = ["grant", "init", "revoke", "rotate", "What"]
