"""The folders of a vault: one area for each run and one for the site, with slots, objects and a sealed index.

Every file that counts appears in three steps: it is written whole beside its place (``….next``), the ledger gets the
digest of it (that is the moment at which it is valid), it is renamed. A crash before the second step leaves the old
state, one behind it is finished at the next start: what stands in a ``….next`` and in the ledger takes its place,
everything else goes. So no step leaves an index without its object, or an object that the ledger does not know.

Not handled here: who may do what (``store``), change of keys (``rekeying``), several processes (the ledger's lock).
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fedward.common.envelope.header import HEADER_BYTES, Context
from fedward.common.envelope.payload import END_BYTES
from fedward.common.envelope.recipients import ID_BYTES, Identity, Recipient
from fedward.common.envelope.stream import Source, inspect, open_bytes, seal
from fedward.common.errors import (
    EnvelopeError,
    LedgerError,
    LedgerInvalidError,
    ObjectNotFoundError,
    ObjectReplacedError,
    VaultError,
    VaultPermissionError,
)
from fedward.common.ledger.chain import Draft
from fedward.common.vault import audit
from fedward.common.vault.audit import AuditTrail, Record
from fedward.common.vault.files import Place, PrivateFolder
from fedward.common.vault.index import (
    MAX_INDEX_BYTES,
    ObjectInfo,
    area_of,
    decoded,
    encoded,
    index_id,
    is_object_id,
)
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import RUN_ID_BYTES, SITE_DATA, Kind
from fedward.common.vault.roles import readers
from fedward.common.vault.slots import SLOT_BYTES, Slot, SlotName, new_slot, next_generation, opened, wrapped

_NEXT = ".next"
_SUFFIX = ".fwe"
_MAX_SEALED_INDEX = MAX_INDEX_BYTES + (1 << 20)
"""Headers and tags included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A file that is written whole beside its place."""

    place: Place
    """Where it will be."""
    object_id: str
    kind: Kind
    digest: bytes
    num_bytes: int
    epoch: int
    """Of its data key."""


class Area:
    """The objects of one run, or of the site.

    Args:
        folder: the vault's root.
        keystore: open.
        run_id: 16 bytes; zero for the site's own area.
    """

    def __init__(self, folder: PrivateFolder, keystore: Keystore, run_id: bytes) -> None:
        self.run_id = run_id
        self.base = area_of(run_id)
        self.objects: dict[str, ObjectInfo] = {}
        """Of the index, in order of arrival."""
        self.passing: dict[str, ObjectInfo] = {}
        """Of ephemeral kinds: in no index."""
        self.keys: dict[Kind, Slot] = {}
        """Data keys of ephemeral kinds; nowhere else."""
        self.index_epoch = 0
        """Of the valid index's data key; 0: there is none. A newer slot may be there that no index has used yet."""
        self._folder = folder
        self._keystore = keystore

    def load(self, record: Record) -> None:
        """Finish or undo what a crash left, and read the index.

        Raises:
            ObjectReplacedError: the index is not the one that the ledger names.
        """
        for place, object_id in list(self._leftovers()):
            digest = self._digest_of(place)
            if digest is not None and digest == record.digests.get(object_id):
                self._folder.rename(place, place[-1].removesuffix(_NEXT))
            else:
                self._folder.unlink(place)
        self._read_index(record)
        for place, object_id in list(self._object_files()):
            if object_id not in self.objects and object_id not in record.digests:
                self._folder.unlink(place)

    def _leftovers(self) -> Iterator[tuple[Place, str]]:
        index = f"index{_SUFFIX}{_NEXT}"
        if index in self._folder.files(self.base):
            yield (*self.base, index), index_id(self.run_id)
        yield from self._object_files(_SUFFIX + _NEXT)
        for name in self._folder.files((*self.base, "slots")):
            if not name.endswith(".slot"):
                yield (*self.base, "slots", name), ""

    def _object_files(self, suffix: str = _SUFFIX) -> Iterator[tuple[Place, str]]:
        for kind in self._folder.folders((*self.base, "objects")):
            for name in self._folder.files((*self.base, "objects", kind)):
                object_id = name.removesuffix(suffix)
                if object_id != name and is_object_id(object_id):
                    yield (*self.base, "objects", kind, name), object_id

    def _read_index(self, record: Record) -> None:
        place, own_id = (*self.base, f"index{_SUFFIX}"), index_id(self.run_id)
        try:
            # Read once: what is judged is what is opened, whatever takes its place meanwhile.
            sealed = self._folder.read(place, max_bytes=_MAX_SEALED_INDEX)
            digest = _digest(sealed[:HEADER_BYTES], sealed[-END_BYTES:])
        except FileNotFoundError:
            digest = None
        if digest is not None and own_id in record.gone:  # a crash behind the entry that removed it
            self._folder.unlink(place)
            digest = None
        if digest != record.digests.get(own_id):
            raise ObjectReplacedError("the index of a run, or of the site's data, is not the one that was sealed last")
        if digest is None:
            return
        slot_id = inspect(io.BytesIO(sealed))[0].stanzas[0].body[:ID_BYTES]
        slot = next((one for one in self.slots(Kind.INDEX) if one.key.slot_id == slot_id), None)
        if slot is None:
            raise ObjectReplacedError("the key of an index is gone")
        context = Context(kind=Kind.INDEX, name="index", run_id=self.run_id)
        plain = open_bytes(io.BytesIO(sealed), [slot.key], expect=context, max_plaintext_bytes=MAX_INDEX_BYTES)
        self.objects, self.index_epoch = decoded(plain, self.run_id), slot.name.epoch
        plain[:] = bytes(len(plain))

    def slots(self, *kinds: Kind) -> Iterator[Slot]:
        """The slots of ``kinds`` that are on disk, opened by the vault's own keys."""
        for name in self.slot_names(kinds):
            yield self.slot(name, self._keystore.keks(name.kind))

    def slot_names(self, kinds: Collection[Kind] | None = None) -> Iterator[SlotName]:
        """The slots that are on disk; of ``kinds``, or all."""
        for file in self._folder.files((*self.base, "slots")):
            kind, _, epoch = file.removesuffix(".slot").rpartition("-")
            if kind in list(Kind) and epoch.isdecimal() and (kinds is None or kind in kinds):
                name = SlotName(run_id=self.run_id, kind=Kind(kind), epoch=int(epoch))
                if name.file == file:  # not another spelling of a number
                    yield name

    def slot_place(self, name: SlotName) -> Place:
        """Where a slot is."""
        return (*self.base, "slots", name.file)

    def slot(self, name: SlotName, identities: Sequence[Identity]) -> Slot:
        """A slot, opened by one of ``identities``: the vault's keys, or a role's alone.

        Raises:
            ObjectNotFoundError: it was destroyed.
            EnvelopeError: ``WrongRecipientError`` where none opens it.
        """
        try:
            raw = self._folder.read(self.slot_place(name), max_bytes=SLOT_BYTES)
        except FileNotFoundError:
            raise ObjectNotFoundError("the key of this object was destroyed") from None
        return opened(raw, name, identities)

    def has_sound_slot(self, name: SlotName) -> bool:
        """Whether a slot on disk opens by the vault's own keys: it is no older one, and not damaged.

        Raises:
            VaultPermissionError: its mode or its folder is to be put right first; it may be sound.
        """
        try:
            self.slot(name, self._keystore.keks(name.kind))
        except VaultPermissionError:
            raise
        except (EnvelopeError, VaultError):  # too long, for example
            return False
        return True

    def slot_for_writing(self, kind: Kind, *, is_released: bool = False) -> Slot:
        """The data key that new objects of ``kind`` get; made, and durable, if there is none of this epoch."""
        if kind.is_ephemeral:
            name = SlotName(run_id=self.run_id, kind=kind, epoch=0)
            return self.keys.setdefault(kind, new_slot(name))
        name = SlotName(run_id=self.run_id, kind=kind, epoch=self._keystore.kek_epoch(kind))
        try:
            return self.slot(name, self._keystore.keks(kind))
        except ObjectNotFoundError:
            slot = new_slot(name)
            self._write_slot(slot, is_released=is_released)
            return slot

    def _write_slot(self, slot: Slot, *, is_released: bool) -> None:
        """Wrap a data key under the newest KEK and for the roles that may read; durable on return."""
        kind = slot.name.kind
        roles = readers(kind, is_released=is_released)
        recipients: list[Recipient] = [
            self._keystore.keks(kind)[0],
            *(self._keystore.role_key(role, kind).recipient for role in roles),
        ]
        self._folder.write(self.slot_place(slot.name), wrapped(slot, recipients))

    def rewrap(self, name: SlotName, *, is_released: bool = False) -> None:
        """Write a slot anew, for the keys of now and the roles that its objects let in, or their release will."""
        of_slot = [info for info in self.objects.values() if (info.kind, info.epoch) == (name.kind, name.epoch)]
        is_released = is_released or any(info.is_released for info in of_slot)
        slot = self.slot(name, self._keystore.keks(name.kind))
        self._write_slot(next_generation(slot), is_released=is_released)

    def place(self, info: ObjectInfo) -> Place:
        """Where an object is."""
        return (*self.base, "objects", info.kind, info.object_id + _SUFFIX)

    def stage(self, object_id: str, kind: Kind, slot: Slot, source: Source) -> Staged:
        """Seal ``source`` beside the place of an object; durable on return.

        Raises:
            VaultError: the disk is full; nothing is left.
        """
        place = (*self.base, "objects", kind, object_id + _SUFFIX)
        return self._stage(place, object_id, Context(kind=kind, name=object_id, run_id=self.run_id), slot, source)

    def stage_index(self, objects: dict[str, ObjectInfo]) -> Staged:
        """Seal an index of ``objects`` beside its place; durable on return."""
        slot = self.slot_for_writing(Kind.INDEX)
        context = Context(kind=Kind.INDEX, name="index", run_id=self.run_id)
        source = io.BytesIO(encoded(objects.values()))
        return self._stage((*self.base, f"index{_SUFFIX}"), index_id(self.run_id), context, slot, source)

    def _stage(self, place: Place, object_id: str, context: Context, slot: Slot, source: Source) -> Staged:
        beside = (*place[:-1], place[-1] + _NEXT)
        with self._folder.writing(beside) as sink:
            seal(source, sink, [slot.key], context=context)
            num_bytes = sink.num_bytes
            marks = sink.peek(HEADER_BYTES, 0), sink.peek(END_BYTES, num_bytes - END_BYTES)
        return Staged(
            place=place,
            object_id=object_id,
            kind=slot.name.kind,
            digest=_digest(*marks),
            num_bytes=num_bytes,
            epoch=slot.name.epoch,
        )

    def settle(self, staged: Staged) -> None:
        """Let a staged file take its place."""
        self._folder.rename((*staged.place[:-1], staged.place[-1] + _NEXT), staged.place[-1])

    def drop(self, staged: Staged) -> None:
        """Remove a staged file that does not count."""
        self._folder.unlink((*staged.place[:-1], staged.place[-1] + _NEXT))

    @contextmanager
    def dropping(self, staged: Staged) -> Iterator[None]:
        """On an error in the block, ``staged`` is removed."""
        try:
            yield
        except BaseException:
            self.drop(staged)
            raise

    def _digest_of(self, place: Place) -> bytes | None:
        """Of a sealed file; None where there is none."""
        try:
            with self._folder.reading(place) as file:
                return file_digest(file.fileno())
        except FileNotFoundError:
            return None


class Storage:
    """All areas, and the ledger that says which files are valid.

    Args:
        folder: the vault's root.
        keystore: open, of the same ledger.
        trail: where entries become durable.
    """

    def __init__(self, folder: PrivateFolder, keystore: Keystore, trail: AuditTrail) -> None:
        self.folder = folder
        self.keystore = keystore
        self.record = Record(trail.entries())
        keystore.require_epochs(self.record.epochs)
        self._trail = trail
        self._areas: dict[bytes, Area] = {}
        self._lapsed: set[bytes] = set()
        """Areas whose files are not where they should be: loaded again before they are used."""
        self._is_unclear = False
        for run_id in sorted({SITE_DATA, *self._run_folders(), *self.record.runs}):
            self.area(run_id)

    def _run_folders(self) -> Iterator[bytes]:
        for name in self.folder.folders(("runs",)):
            if is_object_id(name):
                yield bytes.fromhex(name)

    @property
    def areas(self) -> tuple[Area, ...]:
        """In order of their runs; the site's first.

        Raises:
            VaultError: as ``area``: one that is passed over by a change of keys would be lost.
        """
        return tuple(self.area(run_id) for run_id in sorted({*self._areas, *self._lapsed}))

    def area(self, run_id: bytes) -> Area:
        """The area of a run; loaded once, empty where nothing is yet.

        Raises:
            ObjectNotFoundError: no run id.
            ObjectReplacedError: its index is not the one that the ledger names.
            VaultError: the ledger's end is unclear.
        """
        if self._is_unclear:  # what is staged may be valid, and must not be staged over
            raise VaultError("whether the last change took place is unclear", hint="Start again.")
        if len(run_id) != RUN_ID_BYTES:
            raise ObjectNotFoundError(f"a run id has {RUN_ID_BYTES} bytes")
        if run_id not in self._areas:
            area = Area(self.folder, self.keystore, run_id)
            try:
                area.load(self.record)
            except EnvelopeError as error:
                raise ObjectReplacedError(f"an index does not open: {error.message}") from error
            self._areas[run_id] = area
            self._lapsed.discard(run_id)
        return self._areas[run_id]

    def forget(self, run_id: bytes) -> None:
        """Let go of an area: it is loaded again when it is asked for."""
        self._areas.pop(run_id, None)

    def append(self, drafts: Sequence[Draft]) -> None:
        """Append entries and take them in; durable on return."""
        if drafts:
            for entry in self._trail.append(drafts).entries:
                self.record.take(entry)

    def commit(self, area: Area, staged: Sequence[Staged], drafts: Sequence[Draft]) -> None:
        """Make staged files valid, with the entries that go with them, all or none.

        Raises:
            LedgerError: nothing was appended; the staged files are gone.
        """
        seals = [audit.sealed(one.object_id, one.kind, area.run_id, one.digest) for one in staged]
        try:
            self.append([*drafts, *seals])
        except LedgerInvalidError:  # unclear: the next start tells
            self._is_unclear = True
            raise
        except LedgerError:
            for one in staged:
                area.drop(one)
            raise
        try:
            for one in staged:
                area.settle(one)
                if one.kind is Kind.INDEX:
                    area.index_epoch = one.epoch
        except BaseException:
            self.forget(area.run_id)  # the ledger has them: loading the area again lets them take their places
            self._lapsed.add(area.run_id)
            raise


def file_digest(descriptor: int) -> bytes:
    """SHA-256(header copy A ‖ end record): what the ledger knows a sealed file by."""
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, HEADER_BYTES, 0)
    return _digest(head, os.pread(descriptor, END_BYTES, max(0, size - END_BYTES)))


def _digest(head: bytes, end: bytes) -> bytes:
    return hashlib.sha256(head + end).digest()


__all__ = ["Area", "file_digest", "Staged", "Storage"]
