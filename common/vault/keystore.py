"""The keystore of a site or coordinator: its identity, the KEKs of the vault, the roles' secrets, the scrub key.

Two files. ``root.slot`` is a header that stands alone (see ``slots``): a random root key, wrapped for each unlock.
``keystore.fwe`` is an envelope of kind ``keystore`` under that root key. So new keys are saved without a passphrase at
hand, two unlocks stand side by side, and an unlock that is no file (a passphrase) is not run through Argon2 again. Both
are bound to the ledger's id: a keystore does not open beside another ledger.

A change of a key is two saves: ``begin`` adds the next epoch beside the old, ``finish`` drops the old. Between them the
caller re-wraps what hangs on the key; what a crash left between them is in ``pending``. Not handled here: that, the
overwriting of old files (shredding), and node and TLS keys, which belong to the network.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.common.envelope.header import Compression, Context, Header, OpenedHeader
from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES, SlotKey, X25519Identity
from fedward.common.envelope.stream import inspect, open_bytes, seal
from fedward.common.errors import (
    ConfigError,
    ContextMismatchError,
    EnvelopeError,
    KeystoreLockedError,
    VaultError,
)
from fedward.common.identity import Identity
from fedward.common.secagg.transcript import transcript
from fedward.common.vault.files import PrivateFolder
from fedward.common.vault.key_records import KeyRecord, Purpose, decoded, encoded
from fedward.common.vault.kinds import DURABLE, Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.slots import SLOT_BYTES, open_header
from fedward.common.vault.unlocks import Unlock

FOLDER: Final = "keys"
_ROOT = (FOLDER, "root.slot")
_STORE = (FOLDER, "keystore.fwe")
_SELF = "self"
"""The name of the one identity, and of the one scrub key."""
_MAX_BYTES = 1 << 20
_LOCKED = "the keystore does not open"

Name = tuple[Purpose, str]


class Keystore:
    """An open keystore. Made by ``create`` or ``open``; its repr tells nothing."""

    def __init__(
        self,
        folder: PrivateFolder,
        ledger_id: bytes,
        root: OpenedHeader,
        unlocks: tuple[str, ...],
        keys: list[KeyRecord],
    ) -> None:
        self._folder = folder
        self._root = root
        self._keys = keys
        self.ledger_id = ledger_id
        self.unlock_kinds = unlocks
        """How it can be opened: ``passphrase``, ``key-file``, ``keyring``; one for each unlock."""

    @classmethod
    def create(
        cls, folder: PrivateFolder, *, ledger_id: bytes, unlocks: Sequence[Unlock], identity: Identity, at_ms: int
    ) -> Keystore:
        """A new keystore with all its keys: a KEK for each durable kind, a secret for each role, a scrub key.

        Raises:
            VaultError: there is one already.
            ConfigError: no unlock, or too many.
        """
        if {"root.slot", "keystore.fwe"} & set(folder.files((FOLDER,))):
            raise VaultError("there is a keystore already", hint="A keystore is never replaced by a new one.")
        root = _fresh_root(ledger_id, unlocks)
        store = cls(folder, ledger_id, root, tuple(unlock.kind for unlock in unlocks), [])
        store._add(Purpose.IDENTITY, _SELF, identity.to_bytes(), at_ms)
        for kind in sorted(DURABLE):
            store._add(Purpose.KEK, kind, secrets.token_bytes(KEY_BYTES), at_ms)
        for role in Role:
            store._add(Purpose.ROLE, role, X25519Identity.generate().to_bytes(), at_ms)
        store._add(Purpose.SCRUB, _SELF, secrets.token_bytes(KEY_BYTES), at_ms)
        store._save((store._root_key,))
        store._write_root(root)
        return store

    @classmethod
    def open(cls, folder: PrivateFolder, *, ledger_id: bytes, unlocks: Sequence[Unlock]) -> Keystore:
        """Open with one of ``unlocks``.

        Raises:
            KeystoreLockedError: no unlock fits, or the files are damaged: one error for all of it.
            ContextMismatchError: it belongs to another ledger.
            VaultPermissionError: others may read it.
        """
        try:
            raw = folder.read(_ROOT, max_bytes=SLOT_BYTES)
            with folder.reading(_STORE) as file:
                num_stanzas = len(inspect(file)[0].stanzas)
            root = open_header(raw, _root_context(ledger_id), [unlock.key for unlock in unlocks])
            root_key = SlotKey(slot_id=root.header.file_id, key=root.file_key)
            with folder.reading(_STORE) as file:
                plain = open_bytes(file, [root_key], expect=_store_context(ledger_id), max_plaintext_bytes=_MAX_BYTES)
        except ContextMismatchError:
            raise
        except (EnvelopeError, FileNotFoundError):
            raise KeystoreLockedError(_LOCKED) from None
        try:
            kinds, keys = decoded(plain)
        finally:
            plain[:] = bytes(len(plain))
        store = cls(folder, ledger_id, root, kinds, keys)
        if num_stanzas > 1:  # a crash while the root was replaced
            store._save((root_key,))
        return store

    @property
    def identity(self) -> Identity:
        """The newest signing key."""
        return self.identities[0]

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The newest first; more than one while a change is pending."""
        return tuple(Identity.from_bytes(record.secret) for record in self.records(Purpose.IDENTITY, _SELF))

    @property
    def scrub(self) -> KeyRecord:
        """The desensitisation key."""
        return self.records(Purpose.SCRUB, _SELF)[0]

    def keks(self, kind: Kind) -> tuple[SlotKey, ...]:
        """The keys that wrap the data keys of ``kind``, the newest first.

        Raises:
            VaultError: an ephemeral kind; it has none.
        """
        return tuple(_slot_key(record) for record in self.records(Purpose.KEK, kind))

    def kek_epoch(self, kind: Kind) -> int:
        """Of the newest KEK of ``kind``."""
        return self.records(Purpose.KEK, kind)[0].epoch

    def role_key(self, role: Role, kind: Kind) -> X25519Identity:
        """What opens the slots of ``kind`` for ``role``, until the kind's KEK or the role's secret is rotated.

        It can be handed to a process that shall read this and nothing else.
        """
        secret = self.records(Purpose.ROLE, role)[0].secret
        kek = self.records(Purpose.KEK, kind)[0]
        info = transcript("fedward/vault/v1/role", role, kind, kek.epoch)
        return X25519Identity.from_bytes(HKDF(SHA256(), KEY_BYTES, kek.secret, info).derive(secret))

    def records(self, purpose: Purpose, name: str) -> tuple[KeyRecord, ...]:
        """All epochs of a key, the newest first; at least one.

        Raises:
            VaultError: there is no such key.
        """
        found = [record for record in self._keys if (record.purpose, record.name) == (purpose, name)]
        if not found:
            raise VaultError(f"the keystore has no key for {purpose} {name}")
        return tuple(sorted(found, key=lambda record: record.epoch, reverse=True))

    @property
    def names(self) -> tuple[Name, ...]:
        """Every key by purpose and name, once."""
        return tuple(sorted({(record.purpose, record.name) for record in self._keys}))

    @property
    def pending(self) -> tuple[Name, ...]:
        """Keys whose change was begun and not finished."""
        return tuple(name for name in self.names if len(self.records(*name)) > 1)

    def begin(self, names: Collection[Name], *, at_ms: int) -> None:
        """Add the next epoch of each of ``names``; durable on return. One whose change is pending stays as it is."""
        for purpose, name in names:
            if len(self.records(purpose, name)) == 1:
                self._add(purpose, name, secrets.token_bytes(KEY_BYTES), at_ms)
        self._save((self._root_key,))

    def finish(self, names: Collection[Name]) -> None:
        """Drop all but the newest epoch of each of ``names``; durable on return."""
        self._keys = [record for record in self._keys if not self._is_old(record, names)]
        self._save((self._root_key,))

    def withdraw(self, name: Name) -> None:
        """Drop the newest epoch of a change that did not take place; durable on return."""
        newest, *older = self.records(*name)
        if older:
            self._keys.remove(newest)
            self._save((self._root_key,))

    def add_unlock(self, unlock: Unlock) -> None:
        """Let ``unlock`` open it too.

        Raises:
            ConfigError: it does already, or there are too many.
        """
        stanza = unlock.key.wrap(self._root.file_key, self._root.header.file_id, secrets.token_bytes)
        old = self._root.header
        header = replace(old, generation=old.generation + 1, stanzas=(*old.stanzas, stanza), mac=b"")
        is_known = isinstance(unlock.key, SlotKey) and any(
            stanza.type is known.type and stanza.body[:ID_BYTES] == known.body[:ID_BYTES] for known in old.stanzas
        )
        if is_known:
            raise ConfigError("this key opens the keystore already", hint="Give another key file.")
        header.to_bytes(self._root.file_key)  # refuses too many before anything is written
        self.unlock_kinds = (*self.unlock_kinds, unlock.kind)
        self._save((self._root_key,))
        self._write_root(replace(self._root, header=header))

    def replace_root(self, unlocks: Sequence[Unlock]) -> None:
        """A new root key that ``unlocks`` alone open. The secrets of the old ones should be destroyed too.

        Crash-safe: for a moment the keystore opens under both roots.

        Raises:
            ConfigError: no unlock, or too many.
        """
        fresh = _fresh_root(self.ledger_id, unlocks)
        self.unlock_kinds = tuple(unlock.kind for unlock in unlocks)
        fresh_key = SlotKey(slot_id=fresh.header.file_id, key=fresh.file_key)
        self._save((self._root_key, fresh_key))
        self._write_root(fresh)
        self._save((fresh_key,))

    def _is_old(self, record: KeyRecord, names: Collection[Name]) -> bool:
        name = (record.purpose, record.name)
        return name in names and record.epoch < self.records(*name)[0].epoch

    @property
    def _root_key(self) -> SlotKey:
        return SlotKey(slot_id=self._root.header.file_id, key=self._root.file_key)

    def _add(self, purpose: Purpose, name: str, secret: bytes, at_ms: int) -> None:
        epochs = [record.epoch for record in self._keys if (record.purpose, record.name) == (purpose, name)]
        record = KeyRecord(
            id=secrets.token_bytes(ID_BYTES),
            purpose=purpose,
            name=name,
            epoch=max(epochs, default=0) + 1,
            created_at_ms=at_ms,
            secret=secret,
        )
        self._keys.append(record)

    def _save(self, root_keys: Sequence[SlotKey]) -> None:
        plain = bytearray(encoded(self.unlock_kinds, self._keys))
        sealed = io.BytesIO()
        try:
            seal(io.BytesIO(plain), sealed, root_keys, context=_store_context(self.ledger_id))
        finally:
            plain[:] = bytes(len(plain))
        self._folder.write(_STORE, sealed.getvalue())

    def _write_root(self, root: OpenedHeader) -> None:
        self._folder.write(_ROOT, root.header.to_bytes(root.file_key))
        self._root = root


def _fresh_root(ledger_id: bytes, unlocks: Sequence[Unlock]) -> OpenedHeader:
    file_key, file_id = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(ID_BYTES)
    header = Header(
        generation=0,
        compression=Compression.NONE,
        file_id=file_id,
        context=_root_context(ledger_id).to_bytes(),
        stanzas=tuple(unlock.key.wrap(file_key, file_id, secrets.token_bytes) for unlock in unlocks),
    )
    header.to_bytes(file_key)  # refuses none, or too many
    return OpenedHeader(header=header, file_key=file_key, is_whole=True)


def _root_context(ledger_id: bytes) -> Context:
    return Context(kind="root", name=ledger_id.hex())


def _store_context(ledger_id: bytes) -> Context:
    return Context(kind="keystore", name=ledger_id.hex())


def _slot_key(record: KeyRecord) -> SlotKey:
    return SlotKey(slot_id=record.id, key=record.secret)


__all__ = ["FOLDER", "Keystore", "Name"]
