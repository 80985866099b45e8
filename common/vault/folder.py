"""The folder of one party, a site or the coordinator: keystore, ledger and vault, made and opened together.

::

    keys/root.slot, keys/keystore.fwe      the root key under its unlocks; all other keys under the root key
    ledger/ledger.db, ledger/ledger.lock   the ledger
    state/anchor                           how far the ledger had come
    data/ slots, objects/<kind>, index.fwe   of no run
    runs/<run_id>/ the same                  of a run

All of it is 0700 and 0600. A folder appears whole: it is made beside its place and renamed. Not handled here: what a
site has beyond that (``client.site_folder``).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from fedward.common.atomic import sync_folder
from fedward.common.errors import LedgerError, LedgerInvalidError, VaultError
from fedward.common.identity import Identity
from fedward.common.ledger.anchor import AnchorFile
from fedward.common.ledger.reader import LedgerReader
from fedward.common.ledger.store import Ledger
from fedward.common.ledger.trail import LedgerTrail
from fedward.common.vault import audit
from fedward.common.vault.files import PrivateFolder
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.roles import Principal, Role
from fedward.common.vault.store import Vault
from fedward.common.vault.unlocks import Unlock

LEDGER: Final = ("ledger", "ledger.db")
ANCHOR: Final = ("state", "anchor")
FOLDERS: Final = ("keys", "ledger", "state", "data", "runs")
_SELF = "self"
_OWN_ROLES = (Role.STEWARD, Role.OPERATOR, Role.DAEMON)

Clock = Callable[[], int]
"""Milliseconds since 1970."""


def own_subject() -> str:
    """This process's account, as a subject of roles."""
    return f"uid:{os.geteuid()}"


class PartyFolder:
    """An open folder: one process has it, by the ledger's lock. Made by ``create`` or ``open``; a context manager."""

    def __init__(self, folder: PrivateFolder, ledger: Ledger, keystore: Keystore, clock: Clock) -> None:
        self.folder = folder
        self.ledger = ledger
        self.keystore = keystore
        self.trail = LedgerTrail(ledger)
        self.vault = Vault(folder, keystore, self.trail, clock=clock)
        self.clock = clock
        with LedgerReader(folder.path(LEDGER)) as reader:
            self.party_id = reader.site_id

    @classmethod
    def create(
        cls,
        path: Path,
        party_id: str,
        *,
        unlocks: Sequence[Unlock],
        clock: Clock,
        identity: Identity | None = None,
        grants: Iterable[tuple[str, Role]] | None = None,
    ) -> Self:
        """Make the folder at ``path`` with keys, a ledger and an empty vault, and open it.

        Args:
            path: nothing may be there, or an empty folder.
            party_id: of the site.
            unlocks: each opens the keystore. A key file costs no key derivation.
            clock: milliseconds since 1970.
            identity: to sign with; default: a new one.
            grants: subjects and roles; default: steward, operator and daemon for this process's account.

        Raises:
            VaultError: something is there.
            IdentityError: not a site id.
        """
        if path.exists() and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
            raise VaultError(f"{path.name} is there already", hint="Name a folder that does not exist yet.")
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder = PrivateFolder.create(fresh)
            for name in FOLDERS:
                folder.make_folder((name,))
            _fill(folder, party_id, unlocks, clock, identity or Identity.generate(), grants)
            os.rename(fresh, path)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise VaultError(f"{path.name}: {error.strerror}", hint="Check the folder and the disk.") from error
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        sync_folder(path.parent)
        return cls.open(path, unlocks=unlocks, clock=clock)

    @classmethod
    def open(cls, path: Path, *, unlocks: Sequence[Unlock], clock: Clock) -> Self:
        """Open the folder at ``path``: the ledger is judged, a crash is cleared up.

        Raises:
            VaultError: no such folder, others may enter it, or nothing of ``unlocks`` opens it (KeystoreLockedError).
            LedgerError: the ledger does not hold, or another process has it.
        """
        folder = PrivateFolder(path)
        try:
            with folder.reading(LEDGER):  # modes and links on the way, before SQLite opens it by its path
                pass
        except FileNotFoundError:
            raise VaultError(f"{path.name} is no site's folder", hint="`fedward site init` makes one.") from None
        with LedgerReader(folder.path(LEDGER)) as reader:
            ledger_id = reader.ledger_id
        keystore = Keystore.open(folder, ledger_id=ledger_id, unlocks=unlocks)
        ledger = open_ledger(folder.path(LEDGER), keystore, clock, AnchorFile(folder.path(ANCHOR)))
        try:
            return cls(folder, ledger, keystore, clock)
        except BaseException:
            ledger.close()
            raise

    @property
    def path(self) -> Path:
        """Of the folder."""
        return self.folder.root

    @property
    def identity(self) -> Identity:
        """What signs."""
        return self.keystore.identity

    def principal(self, role: Role) -> Principal:
        """This process's account in ``role``."""
        return Principal(subject=own_subject(), role=role)

    def rotate_identity(self) -> Identity:
        """A new signing key; the old one signs the change in the ledger, the new one too. Then a new roster is due.

        Crash-safe: the keystore holds both keys until the ledger has the change, and the next start sees which.
        """
        name = (Purpose.IDENTITY, _SELF)
        self.keystore.begin([name], at_ms=self.clock())
        fresh = self.keystore.identity
        try:
            self.ledger.rotate(fresh)
        except LedgerInvalidError:  # unclear: the next start tells
            raise
        except LedgerError:
            self.keystore.withdraw(name)  # nothing is signed with a key that the ledger does not know
            raise
        self.keystore.finish([name])
        return fresh

    def close(self) -> None:
        """Let go of the ledger."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _fill(
    folder: PrivateFolder,
    party_id: str,
    unlocks: Sequence[Unlock],
    clock: Clock,
    identity: Identity,
    grants: Iterable[tuple[str, Role]] | None,
) -> None:
    first = [(own_subject(), role) for role in _OWN_ROLES] if grants is None else list(grants)
    anchor = AnchorFile(folder.path(ANCHOR))
    with Ledger.create(folder.path(LEDGER), identity=identity, site_id=party_id, clock=clock, anchor=anchor) as ledger:
        Keystore.create(folder, ledger_id=ledger.head.ledger_id, unlocks=unlocks, identity=identity, at_ms=clock())
        drafts = [audit.granted(subject, role, "genesis") for subject, role in first]
        if drafts:
            ledger.append(drafts, expected_head=ledger.head)


def open_ledger(path: Path, keystore: Keystore, clock: Clock, anchor: AnchorFile | None) -> Ledger:
    """The ledger, by the key that signs it now; a change of identity that a crash cut short is finished or undone.

    Raises:
        LedgerRolledBackError: the anchor does not lie on it.
        LedgerError: it does not hold, or another process has it.
    """
    signer, *older = keystore.identities
    try:
        ledger = Ledger.open(path, identity=signer, clock=clock, anchor=anchor)
    except LedgerInvalidError:
        if not older:
            raise
        signer = older[0]
        ledger = Ledger.open(path, identity=signer, clock=clock, anchor=anchor)
    try:
        _settle_keys(keystore, signer)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _settle_keys(keystore: Keystore, signer: Identity) -> None:
    """The lock is ours: take the keys as they are now, with the identity that signs the ledger and no other."""
    name = (Purpose.IDENTITY, _SELF)
    keystore.reload()
    newest, *older = keystore.identities
    if older and newest.public_key == signer.public_key:
        keystore.finish([name])
    elif older:
        keystore.withdraw(name)


__all__ = ["ANCHOR", "Clock", "FOLDERS", "LEDGER", "open_ledger", "own_subject", "PartyFolder"]
