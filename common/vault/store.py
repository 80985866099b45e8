"""The vault: everything that a site or coordinator keeps, sealed, each access in the ledger.

Order of an access, and it is the argument: the table of roles; the grant; the role's key on the slot; the file's digest
against the ledger; an ``access`` entry, durable; only then plaintext. A refusal is an entry too. Without a ledger there
is no access. Plaintext goes to memory (``memory``), never to a temporary file.

Several threads may use one vault; one process has it, by the ledger's lock. Not handled here: the layout on disk
(``areas``), a change of keys and the end of a run (``rekeying``), overwriting (shredding).
"""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import ID_BYTES, SlotKey
from fedward.common.envelope.stream import DEFAULT_MAX_BYTES, EnvelopeReader, Source, open_stream
from fedward.common.errors import (
    AccessRefusedError,
    EnvelopeError,
    ObjectNotFoundError,
    ObjectReplacedError,
    VaultError,
    WrongRecipientError,
)
from fedward.common.ledger.chain import Draft
from fedward.common.vault import audit
from fedward.common.vault.areas import Area, Staged, Storage, file_digest
from fedward.common.vault.audit import AuditTrail
from fedward.common.vault.files import PrivateFolder
from fedward.common.vault.gate import Gate
from fedward.common.vault.index import ObjectInfo
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import DURABLE, KEPT, SITE_DATA, Kind
from fedward.common.vault.memory import MemoryFile, memory_path, wipe
from fedward.common.vault.rekeying import Destroyed, Rekeying
from fedward.common.vault.roles import OPENING, Action, Principal, Role, is_allowed
from fedward.common.vault.slots import SlotName


class Vault:
    """The vault of one site or coordinator.

    Args:
        folder: its root, with ``keys`` in it.
        keystore: open, of the same ledger.
        trail: where entries become durable, and what stands there.
        clock: milliseconds since 1970.

    Raises:
        ObjectReplacedError: an index is not the one that the ledger names.
    """

    def __init__(
        self, folder: PrivateFolder, keystore: Keystore, trail: AuditTrail, *, clock: Callable[[], int]
    ) -> None:
        self._storage = Storage(folder, keystore, trail)
        self._turn = threading.RLock()
        self.gate = Gate(self._storage, self._turn)
        """Who may do what; grants are changed through it."""
        self._rekeying = Rekeying(self._storage, clock)
        self._rekeying.resume()

    def put(
        self,
        kind: Kind,
        name: str,
        data: bytes | bytearray | memoryview | Source,
        *,
        run_id: bytes = SITE_DATA,
        principal: Principal,
        round_number: int | None = None,
    ) -> str:
        """Seal ``data`` as a new object; durable on return.

        Args:
            kind: decides on key and readers.
            name: stands in the sealed index alone.
            data: bytes, or a file that is read to its end in constant memory.
            run_id: 16 bytes; default: the site's own data.
            principal: who writes.
            round_number: the daemon's writes of a kind in one round are one entry.

        Returns:
            The object's id.

        Raises:
            AccessRefusedError: the role may not write this kind.
            VaultError: the disk is full; nothing is left.
        """
        self.gate.require(principal, kind, Action.WRITE, run_id=run_id)
        source = io.BytesIO(data) if isinstance(data, bytes | bytearray | memoryview) else data
        info = ObjectInfo(object_id=secrets.token_hex(ID_BYTES), kind=kind, name=name, run_id=run_id)
        with self._turn:  # to the end: a rotation in between would drop a slot that no object uses yet
            area = self._storage.area(run_id)
            slot = area.slot_for_writing(kind)
            staged = area.stage(info.object_id, kind, slot, source)
            info = replace(info, epoch=slot.name.epoch, num_bytes=staged.num_bytes, digest=staged.digest)
            with self.gate.entry(principal, Action.WRITE, info, round_number) as drafts:
                self._shelve(area, staged, info, drafts)
        return info.object_id

    def _shelve(self, area: Area, staged: Staged, info: ObjectInfo, drafts: Sequence[Draft]) -> None:
        """Make a staged object valid. Until the ledger has it, a fault leaves nothing of it."""
        objects = {**area.objects, info.object_id: info}
        with area.dropping(staged):
            if info.kind.is_ephemeral:
                self._storage.append(drafts)
            else:
                index = area.stage_index(objects)
        if info.kind.is_ephemeral:
            area.settle(staged)
            area.passing[info.object_id] = info
        else:
            self._storage.commit(area, [staged, index], drafts)
            area.objects = objects

    def read(
        self,
        object_id: str,
        *,
        principal: Principal,
        action: Action = Action.READ,
        round_number: int | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> bytes:
        """All of an object. The bytes cannot be zeroed; prefer ``open`` where that counts.

        Raises:
            AccessRefusedError: by the table, for want of a grant, or of a key.
            ObjectNotFoundError, ObjectReplacedError: no such object; another file in its place.
            EnvelopeError: the file was damaged.
        """
        with self.open(
            object_id, principal=principal, action=action, round_number=round_number, max_bytes=max_bytes
        ) as file:
            return file.read()

    def open(
        self,
        object_id: str,
        *,
        principal: Principal,
        action: Action = Action.READ,
        round_number: int | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> BinaryIO:
        """An object as a read-only file in memory, zeroed when it is closed.

        Raises:
            VaultError, EnvelopeError: as ``read``.
        """
        with self._reader(object_id, principal, action, round_number, max_bytes) as (reader, num_sealed):
            # As large as the sealed file at once: what grows leaves its beginning behind where nobody zeroes it.
            content, size = bytearray(min(num_sealed, max_bytes)), 0
            try:
                with memoryview(content) as view:
                    for piece in reader:
                        view[size : size + len(piece)] = piece
                        size += len(piece)
            except BaseException:
                wipe(content)
                raise
        del content[size:]
        return cast(BinaryIO, MemoryFile(content))

    @contextmanager
    def as_path(
        self,
        object_id: str,
        *,
        principal: Principal,
        round_number: int | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Iterator[Path]:
        """An object under a path in sealed memory, for a library that takes nothing else; gone with the block.

        Raises:
            VaultError, EnvelopeError: as ``read``.
        """
        with (
            self._reader(object_id, principal, Action.READ, round_number, max_bytes) as (reader, _),
            memory_path(iter(reader)) as path,
        ):
            yield path

    @contextmanager
    def _reader(
        self, object_id: str, principal: Principal, action: Action, round_number: int | None, max_bytes: int
    ) -> Iterator[tuple[EnvelopeReader, int]]:
        """An authenticated header, and the size of its file; the entry of the access is durable."""
        if action not in OPENING:
            raise VaultError(f"{action} does not open anything")
        with ExitStack() as stack:
            with self._turn:
                info = self.info(object_id)
                self.gate.require(principal, info.kind, action, info=info)
                area = self._storage.area(info.run_id)
                key = self._key_of(area, info, principal, action)
                try:
                    file = stack.enter_context(self._storage.folder.reading(area.place(info)))
                except FileNotFoundError:
                    self.gate.refuse(principal, info.kind, action, "missing", info=info)
                    raise ObjectNotFoundError("the file of this object is gone") from None
                reader = self._authenticated(file, key, info, principal, action, max_bytes)
                with self.gate.entry(principal, action, info, round_number) as drafts:
                    self._storage.append(drafts)
            yield reader, info.num_bytes

    def _authenticated(
        self, file: FileIO, key: SlotKey, info: ObjectInfo, principal: Principal, action: Action, max_bytes: int
    ) -> EnvelopeReader:
        """The file is the one that was sealed, and its header opens."""
        if file_digest(file.fileno()) != info.digest:
            self.gate.refuse(principal, info.kind, action, "replaced", info=info)
            raise ObjectReplacedError("this is not the file that was sealed last")
        expect = Context(kind=info.kind, name=info.object_id, run_id=info.run_id)
        try:
            return open_stream(file, [key], expect=expect, max_plaintext_bytes=max_bytes)
        except EnvelopeError:
            self.gate.refuse(principal, info.kind, action, "damaged", info=info)
            raise

    def _key_of(self, area: Area, info: ObjectInfo, principal: Principal, action: Action) -> SlotKey:
        """The data key of an object, by the role's key and no other."""
        if info.kind.is_ephemeral:
            return area.keys[info.kind].key
        role_keys = self._storage.keystore.role_keys(principal.role, info.kind)
        name = SlotName(run_id=info.run_id, kind=info.kind, epoch=info.epoch)
        try:
            return area.slot(name, role_keys).key
        except ObjectNotFoundError:
            self.gate.refuse(principal, info.kind, action, "missing", info=info)
            raise
        except EnvelopeError as error:
            is_sound = isinstance(error, WrongRecipientError) and area.has_sound_slot(name)
            self.gate.refuse(principal, info.kind, action, "key" if is_sound else "damaged", info=info)
        if is_sound:
            raise AccessRefusedError(f"the key of role {principal.role} does not open a {info.kind}")
        raise ObjectReplacedError("the slot of this object's key is not the one that was written last")

    def info(self, object_id: str) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectNotFoundError: there is none of this id.
        """
        for area in self._storage.areas:
            info = area.objects.get(object_id) or area.passing.get(object_id)
            if info is not None:
                return info
        raise ObjectNotFoundError("there is no such object")

    def find(
        self, kind: Kind | None = None, name: str | None = None, run_id: bytes | None = None
    ) -> tuple[ObjectInfo, ...]:
        """Objects in order of arrival, area by area; for the process that has the keystore. No access, so no entry."""
        with self._turn:
            return tuple(
                info
                for area in self._storage.areas
                for info in (*area.objects.values(), *area.passing.values())
                if kind in (None, info.kind) and name in (None, info.name) and run_id in (None, info.run_id)
            )

    def listing(self, kind: Kind, *, principal: Principal, run_id: bytes | None = None) -> tuple[ObjectInfo, ...]:
        """What a role may see of a kind: it may list or open it. An entry each time.

        Raises:
            AccessRefusedError: neither.
        """
        by_opening = next((a for a in (Action.READ, Action.REVIEW, Action.CALL) if _in(principal.role, kind, a)), None)
        action = Action.LIST if _in(principal.role, kind, Action.LIST) or by_opening is None else by_opening
        self.gate.require(principal, kind, action, run_id=run_id or b"", is_released=True)
        with self._turn:
            self._storage.append([audit.access(principal, kind, Action.LIST, run_id=run_id or b"")])
        return tuple(
            info
            for info in self.find(kind, run_id=run_id)
            if is_allowed(principal.role, kind, action, is_released=info.is_released)
        )

    def delete(self, object_id: str, *, principal: Principal) -> None:
        """Remove an object. Its data key stays where others of its run and kind have it: ``reseal`` ends that too.

        Raises:
            AccessRefusedError: the role may not.
        """
        with self._turn:
            info = self.info(object_id)
            self.gate.require(principal, info.kind, Action.DELETE, info=info)
            area = self._storage.area(info.run_id)
            entry = audit.access(principal, info.kind, Action.DELETE, object_id=object_id, run_id=info.run_id)
            if info.kind.is_ephemeral:
                self._storage.append([entry])
                del area.passing[object_id]
            else:
                objects = {one: kept for one, kept in area.objects.items() if one != object_id}
                gone = audit.removed(object_id, info.kind, info.run_id)
                self._storage.commit(area, [area.stage_index(objects)], [entry, gone])
                area.objects = objects
            self._storage.folder.unlink(area.place(info))

    def release(self, object_id: str, *, principal: Principal) -> None:
        """Let developers read an adapter, and the gateway call it; their keys go into its slot.

        A slot is of (run, kind, epoch): their keys open every adapter of that run and epoch, the table this one alone.

        Raises:
            AccessRefusedError: the role may not.
        """
        with self._turn:
            info = self.info(object_id)
            self.gate.require(principal, info.kind, Action.RELEASE, info=info)
            area = self._storage.area(info.run_id)
            objects = {**area.objects, object_id: replace(info, is_released=True)}
            entry = audit.access(principal, info.kind, Action.RELEASE, object_id=object_id, run_id=info.run_id)
            # The key first: a crash then leaves a key that the table does not let anybody use.
            area.rewrap(SlotName(run_id=info.run_id, kind=info.kind, epoch=info.epoch), is_released=True)
            self._storage.commit(area, [area.stage_index(objects)], [entry])
            area.objects = objects

    @contextmanager
    def keys_held(self) -> Iterator[None]:
        """No key changes in the block: for what is sealed beside the vault with the keystore's keys."""
        with self._turn:
            yield

    def rotate(self, kinds: Collection[Kind] = DURABLE) -> Mapping[Kind, tuple[int, int]]:
        """New KEKs for ``kinds``: all slots are wrapped anew, objects stay as they are, new ones get new data keys.

        Returns:
            Epoch before and after, by kind.
        """
        with self._turn:
            return self._rekeying.rotate(kinds)

    def rotate_roles(self, roles: Collection[Role] = tuple(Role)) -> None:
        """New secrets for ``roles``, new KEKs for what they read: what was handed out opens no slot any more."""
        with self._turn:
            self._rekeying.rotate_roles(roles)

    def reseal(self, kind: Kind) -> int:
        """Encrypt all objects of ``kind`` anew under new data keys, for a suspected loss; returns how many."""
        with self._turn:
            return self._rekeying.reseal(kind)

    def destroy(
        self, run_id: bytes, *, keep: Collection[Kind] = KEPT, erase: Callable[[Path], None] | None = None
    ) -> Destroyed:
        """Let every key of a run die but those of the kinds to ``keep``; see ``rekeying``.

        Args:
            run_id: of the run; the site's own area is refused.
            keep: kinds that outlive the run.
            erase: overwrites a file before it is unlinked (shredding's); None: it is unlinked.
        """
        with self._turn:
            self.gate.forget(run_id)
            return self._rekeying.destroy(run_id, keep, erase)


def _in(role: Role, kind: Kind, action: Action) -> bool:
    return is_allowed(role, kind, action, is_released=True)


__all__ = ["Vault"]
