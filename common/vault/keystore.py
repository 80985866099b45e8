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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedward.common.envelope.header import Compression, Context, Header, OpenedHeader
from fedward.common.envelope.recipients import ID_BYTES, KEY_BYTES, SlotKey, StanzaType, X25519Identity
from fedward.common.envelope.stream import inspect, open_bytes, seal
from fedward.common.errors import (
    ConfigError,
    ContextMismatchError,
    EnvelopeError,
    KeystoreLockedError,
    ObjectReplacedError,
    VaultError,
    VaultPermissionError,
)
from fedward.common.identity import Identity
from fedward.common.secagg.transcript import transcript
from fedward.common.vault.files import Place, PrivateFolder
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
_MAX_SEALED = 2 * _MAX_BYTES
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
        self._next_root: SlotKey | None = None
        """While the root changes: whether ``root.slot`` has it already cannot be told after every error."""
        self._keys = keys
        self.ledger_id = ledger_id
        self.unlock_kinds = unlocks
        """How it can be opened: ``passphrase``, ``key-file``, ``keyring``; one for each unlock."""

    @classmethod
    def create(
        cls, folder: PrivateFolder, *, ledger_id: bytes, unlocks: Sequence[Unlock], identity: Identity, at_ms: int
    ) -> Keystore:
        """A new keystore with all its keys: a KEK for each durable kind, a secret for each role, scrub and state key.

        Raises:
            VaultError: there is one already.
            ConfigError: no unlock, or too many.
        """
        if {"root.slot", "keystore.fwe"} & set(folder.files((FOLDER,))):
            raise VaultError("there is a keystore already", hint="A keystore is never replaced by a new one.")
        root = _fresh_root(ledger_id, unlocks)
        names = [*((Purpose.KEK, kind) for kind in sorted(DURABLE)), *((Purpose.ROLE, role) for role in Role)]
        keys = [_fresh(name, 1, at_ms) for name in (*names, (Purpose.SCRUB, _SELF), (Purpose.STATE, _SELF))]
        keys.insert(0, replace(_fresh((Purpose.IDENTITY, _SELF), 1, at_ms), secret=identity.to_bytes()))
        store = cls(folder, ledger_id, root, tuple(unlock.kind for unlock in unlocks), keys)
        store._save(keys)
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
            raw, sealed = _content(folder, _ROOT, SLOT_BYTES), _content(folder, _STORE, _MAX_SEALED)
            root = open_header(raw, _root_context(ledger_id), [unlock.key for unlock in unlocks])
            kinds, keys = _opened(sealed, root, ledger_id)
        except ContextMismatchError:
            raise
        except EnvelopeError:
            raise KeystoreLockedError(_LOCKED) from None
        return cls(folder, ledger_id, root, kinds, keys)

    def reload(self) -> None:
        """Read the keys again, now that no other process changes them: by ``open``, or since, one may have.

        To be called behind the ledger's lock and before any change: to save keys of before would be the end of those
        that came meanwhile. It also finishes a change of the root that a crash cut short.

        Raises:
            KeystoreLockedError: another root has taken the place of this one.
        """
        try:
            sealed = _content(self._folder, _STORE, _MAX_SEALED)
            self.unlock_kinds, self._keys = _opened(sealed, self._root, self.ledger_id)
            is_changing = len(inspect(io.BytesIO(sealed))[0].stanzas) > 1
        except EnvelopeError:
            raise KeystoreLockedError(_LOCKED) from None
        if is_changing:
            self._save(self._keys)

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

    @property
    def state_keys(self) -> tuple[SlotKey, ...]:
        """What seals the state of a run beside the ledger, the newest first; replaced when a run is shredded."""
        return tuple(_slot_key(record) for record in self.records(Purpose.STATE, _SELF))

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
        return self.role_keys(role, kind)[0]

    def role_keys(self, role: Role, kind: Kind) -> tuple[X25519Identity, ...]:
        """The newest first; more than one while a change of either key is pending, and slots may have either."""
        return tuple(
            X25519Identity.from_bytes(
                HKDF(
                    SHA256(), KEY_BYTES, kek.secret, transcript("fedward/vault/v1/role", role, kind, kek.epoch)
                ).derive(record.secret)
            )
            for kek in self.records(Purpose.KEK, kind)
            for record in self.records(Purpose.ROLE, role)
        )

    def records(self, purpose: Purpose, name: str) -> tuple[KeyRecord, ...]:
        """All epochs of a key, the newest first; at least one.

        Raises:
            VaultError: there is no such key.
        """
        found = [record for record in self._keys if (record.purpose, record.name) == (purpose, name)]
        if not found:
            raise VaultError(f"the keystore has no key for {purpose} {name}")
        return tuple(sorted(found, key=lambda record: record.epoch, reverse=True))

    def opened_copy(self, sealed: bytes, *, root: SlotKey | None = None) -> Keystore:
        """The keys in another copy of this keystore's file, from a backup: what the root of now still opens.

        It saves nothing: it is for looking.

        Args:
            sealed: the copy.
            root: another root key that somebody has; None: the one of now.

        Raises:
            EnvelopeError: ``WrongRecipientError`` where the root was replaced since.
        """
        expect = _store_context(self.ledger_id)
        plain = open_bytes(io.BytesIO(sealed), [root or self._root_key], expect=expect, max_plaintext_bytes=_MAX_BYTES)
        try:
            kinds, keys = decoded(plain)
        finally:
            plain[:] = bytes(len(plain))
        return Keystore(self._folder, self.ledger_id, self._root, kinds, keys)

    @property
    def names(self) -> tuple[Name, ...]:
        """Every key by purpose and name, once."""
        return tuple(sorted({(record.purpose, record.name) for record in self._keys}))

    @property
    def pending(self) -> tuple[Name, ...]:
        """Keys whose change was begun and not finished."""
        return tuple(name for name in self.names if len(self.records(*name)) > 1)

    def require_epochs(self, epochs: Mapping[tuple[str, str], int]) -> None:
        """Refuse an older keystore that was put back: it lacks keys, and has some that a change of keys was to end.

        Args:
            epochs: that each key has at least, by purpose and name; as the ledger has it.

        Raises:
            ObjectReplacedError: it is older.
        """
        newest = {(str(purpose), name): self.records(purpose, name)[0].epoch for purpose, name in self.names}
        if any(newest.get(name, 0) < epoch for name, epoch in epochs.items()):
            raise ObjectReplacedError(
                "the keystore is older than the last change of keys", hint="Take the newest keystore.fwe from a backup."
            )

    def begin(self, names: Collection[Name], *, at_ms: int) -> None:
        """Add the next epoch of each of ``names``; durable on return. One whose change is pending stays as it is.

        Raises:
            VaultError: it cannot be written; then nothing has changed here either, so nothing is wrapped under a key
                that is not on disk.
        """
        found = [self.records(*name) for name in names]
        fresh = [
            _fresh((records[0].purpose, records[0].name), records[0].epoch + 1, at_ms)
            for records in found
            if len(records) == 1
        ]
        self._save([*self._keys, *fresh])

    def finish(self, names: Collection[Name]) -> None:
        """Drop all but the newest epoch of each of ``names``; durable on return."""
        self._save([record for record in self._keys if not self._is_old(record, names)])

    def withdraw(self, name: Name) -> None:
        """Drop the newest epoch of a change that did not take place; durable on return."""
        newest, *older = self.records(*name)
        if older:
            self._save([record for record in self._keys if record != newest])

    def add_unlock(self, unlock: Unlock) -> None:
        """Let ``unlock`` open it too.

        Raises:
            ConfigError: it does already, or there are too many.
        """
        old = self._root.header
        is_known = isinstance(unlock.key, SlotKey) and any(
            known.type is StanzaType.SLOT and known.body[:ID_BYTES] == unlock.key.slot_id for known in old.stanzas
        )
        if is_known:
            raise ConfigError("this key opens the keystore already", hint="Give another key file.")
        stanza = unlock.key.wrap(self._root.file_key, old.file_id, secrets.token_bytes)
        header = replace(old, generation=old.generation + 1, stanzas=(*old.stanzas, stanza), mac=b"")
        header.to_bytes(self._root.file_key)  # refuses too many before anything is written
        self._save(self._keys, unlock_kinds=(*self.unlock_kinds, unlock.kind))
        self._write_root(replace(self._root, header=header))

    def replace_root(self, unlocks: Sequence[Unlock]) -> None:
        """A new root key that ``unlocks`` alone open. The secrets of the old ones should be destroyed too.

        Crash-safe: for a moment the keystore opens under both roots.

        Raises:
            ConfigError: no unlock, or too many.
        """
        fresh = _fresh_root(self.ledger_id, unlocks)
        kinds = tuple(unlock.kind for unlock in unlocks)
        self._next_root = _key_of(fresh)
        self._save(self._keys, unlock_kinds=kinds)
        self._write_root(fresh)
        self._next_root = None
        self._save(self._keys)

    def _is_old(self, record: KeyRecord, names: Collection[Name]) -> bool:
        name = (record.purpose, record.name)
        return name in names and record.epoch < self.records(*name)[0].epoch

    @property
    def _root_key(self) -> SlotKey:
        return _key_of(self._root)

    def _save(self, keys: list[KeyRecord], *, unlock_kinds: tuple[str, ...] | None = None) -> None:
        """Write ``keys``, then hold them: what is not on disk is not used."""
        kinds = self.unlock_kinds if unlock_kinds is None else unlock_kinds
        roots = [self._root_key, *([] if self._next_root is None else [self._next_root])]
        plain = bytearray(encoded(kinds, keys))
        sealed = io.BytesIO()
        try:
            seal(io.BytesIO(plain), sealed, roots, context=_store_context(self.ledger_id))
        finally:
            plain[:] = bytes(len(plain))
        self._folder.write(_STORE, sealed.getvalue())
        self._keys, self.unlock_kinds = keys, kinds

    def _write_root(self, root: OpenedHeader) -> None:
        self._folder.write(_ROOT, root.header.to_bytes(root.file_key))
        self._root = root


def _content(folder: PrivateFolder, place: Place, max_bytes: int) -> bytes:
    """Of one of the two files.

    Raises:
        KeystoreLockedError: missing, or longer than it can be.
        VaultPermissionError: not ours alone.
    """
    try:
        return folder.read(place, max_bytes=max_bytes)
    except VaultPermissionError:
        raise
    except (VaultError, FileNotFoundError):
        raise KeystoreLockedError(_LOCKED) from None


def _opened(sealed: bytes, root: OpenedHeader, ledger_id: bytes) -> tuple[tuple[str, ...], list[KeyRecord]]:
    """How it can be unlocked, and the keys.

    Raises:
        EnvelopeError: not a keystore under this root.
        VaultError: of another version.
    """
    expect = _store_context(ledger_id)
    plain = open_bytes(io.BytesIO(sealed), [_key_of(root)], expect=expect, max_plaintext_bytes=_MAX_BYTES)
    try:
        return decoded(plain)
    finally:
        plain[:] = bytes(len(plain))


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


def _key_of(root: OpenedHeader) -> SlotKey:
    return SlotKey(slot_id=root.header.file_id, key=root.file_key)


def _fresh(name: Name, epoch: int, at_ms: int) -> KeyRecord:
    """32 random bytes: a KEK, or the secret of an Ed25519 or X25519 key, any of which is that."""
    return KeyRecord(
        id=secrets.token_bytes(ID_BYTES),
        purpose=name[0],
        name=name[1],
        epoch=epoch,
        created_at_ms=at_ms,
        secret=secrets.token_bytes(KEY_BYTES),
    )


def _slot_key(record: KeyRecord) -> SlotKey:
    return SlotKey(slot_id=record.id, key=record.secret)


__all__ = ["FOLDER", "Keystore", "Name"]
