"""New keys for what the vault holds, and the end of a run.

A change of keys is: the keystore gets the next epoch; every slot that hangs on it is wrapped anew; an entry; the
keystore drops the old epoch. A crash in between leaves both epochs, every slot opens under one of them, and ``resume``
goes through it again at the next start.

``destroy`` is crypto-erasure: slots and ephemeral keys go, *and* the KEKs of all kinds concerned are changed, so that a
copy of an old slot opens with no key that remains: the vault's stanza needs the old KEK, and a role's key is derived
from it. Objects are unlinked after their keys. Overwriting is the caller's ``erase``; it is a courtesy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from fedward.common.envelope.header import Context
from fedward.common.envelope.pieces import Pieces
from fedward.common.envelope.stream import open_stream
from fedward.common.errors import ObjectReplacedError, VaultError
from fedward.common.vault import audit
from fedward.common.vault.areas import Area, Staged, Storage
from fedward.common.vault.files import Place
from fedward.common.vault.index import ObjectInfo, index_id
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.keystore import Name
from fedward.common.vault.kinds import DURABLE, SITE_DATA, Kind
from fedward.common.vault.loose import rewrap_loose
from fedward.common.vault.roles import Role, readers
from fedward.common.vault.slots import Slot, SlotName

Erase = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Destroyed:
    """What lost its keys with a run."""

    run_id: bytes
    objects: tuple[ObjectInfo, ...]
    """All that cannot be opened any more, ephemeral ones included."""
    slots: tuple[SlotName, ...]
    epochs: Mapping[Kind, tuple[int, int]]
    """KEK epochs before and after, of every kind concerned."""


class Rekeying:
    """Changes of keys over all areas; its caller sees to it that nobody else writes.

    Args:
        storage: of the vault.
        clock: milliseconds since 1970.
    """

    def __init__(self, storage: Storage, clock: Callable[[], int]) -> None:
        self._storage = storage
        self._keystore = storage.keystore
        self._clock = clock

    def resume(self) -> None:
        """Finish what a crash left."""
        pending = [name for name in self._keystore.pending if name[0] in (Purpose.KEK, Purpose.ROLE)]
        # With a slot that does not open, both epochs stay: a copy of it may come back, and the others must be opened.
        if pending and not self._rewrap(DURABLE):
            self._finish(pending)

    def rotate(self, kinds: Collection[Kind]) -> Mapping[Kind, tuple[int, int]]:
        """New KEKs for ``kinds``.

        Raises:
            VaultError: an ephemeral kind.
            ObjectReplacedError: a slot does not open; nothing has changed.
        """
        names = _kek_names(kinds)
        self._require_slots(kinds)
        epochs = self._begin(names)
        self._rewrap(kinds)
        self._finish(names)
        return epochs

    def rotate_roles(self, roles: Collection[Role]) -> None:
        """New secrets for ``roles``, and new KEKs for what they read.

        Without those, new objects would get the data keys of before, and who kept an old slot with the key that was
        handed out to him would read on.

        Raises:
            ObjectReplacedError: a slot does not open; nothing has changed.
        """
        kinds = [kind for kind in sorted(DURABLE) if set(readers(kind, is_released=True)) & set(roles)]
        names: list[Name] = [*((Purpose.ROLE, role) for role in sorted(roles)), *_kek_names(kinds)]
        self._require_slots(DURABLE)
        self._keystore.begin(names, at_ms=self._clock())
        self._rewrap(DURABLE)
        self._finish(names)

    def _begin(self, names: Collection[Name]) -> Mapping[Kind, tuple[int, int]]:
        self._keystore.begin(names, at_ms=self._clock())
        records = [self._keystore.records(*name) for name in names]
        return {Kind(found[0].name): (found[-1].epoch, found[0].epoch) for found in records}

    def _require_slots(self, kinds: Collection[Kind]) -> None:
        """Refuse before anything is changed what a change could not go through with.

        Raises:
            ObjectReplacedError: a slot was damaged, or an older one was put back.
        """
        for area in self._storage.areas:
            for name in area.slot_names(kinds):
                if self._is_used(area, name) and not area.has_sound_slot(name):
                    hint = f"Take {'/'.join(area.slot_place(name))} from a backup, or delete the objects of its kind."
                    raise ObjectReplacedError("a slot is not the one that was written last", hint=hint)

    def _rewrap(self, kinds: Collection[Kind]) -> list[SlotName]:
        """Wrap every slot of ``kinds`` anew; those that no object uses go. Returns those that no key of ours opens."""
        damaged = []
        for area in self._storage.areas:
            for name in list(area.slot_names(kinds)):
                if not self._is_used(area, name):
                    self._storage.folder.unlink(area.slot_place(name))
                elif area.has_sound_slot(name):
                    area.rewrap(name)
                else:
                    damaged.append(name)
        for kind in kinds:
            rewrap_loose(self._storage.folder, self._keystore, kind)
        return damaged

    def _is_used(self, area: Area, name: SlotName) -> bool:
        if name.kind is Kind.INDEX:
            return name.epoch == area.index_epoch
        return any((info.kind, info.epoch) == (name.kind, name.epoch) for info in area.objects.values())

    def _finish(self, names: Collection[Name]) -> None:
        drafts = []
        for purpose, name in names:
            records = self._keystore.records(purpose, name)
            drafts.append(audit.rotated(purpose, name, records[-1].epoch, records[0].epoch))
        self._storage.append(drafts)
        self._keystore.finish(names)

    def reseal(self, kind: Kind) -> int:
        """New data keys for all objects of ``kind``; their old slots go, and the KEK of before."""
        self.rotate([kind])
        num_objects = 0
        for area in self._storage.areas:
            old = [info for info in area.objects.values() if info.kind is kind]
            if not old:
                continue
            fresh = area.slot_for_writing(kind, is_released=any(info.is_released for info in old))
            self._reseal_area(area, old, fresh)
            num_objects += len(old)
        self.rotate([kind, Kind.INDEX])  # also drops the slots that no object uses now
        return num_objects

    def _reseal_area(self, area: Area, old: Sequence[ObjectInfo], fresh: Slot) -> None:
        """All of ``old`` under the key of ``fresh``, or, on an error, none."""
        with ExitStack() as undoing:
            objects, staged = dict(area.objects), []
            for info in old:
                one = self._resealed(area, info, fresh)
                undoing.callback(area.drop, one)
                staged.append(one)
                objects[info.object_id] = replace(
                    info, epoch=fresh.name.epoch, num_bytes=one.num_bytes, digest=one.digest
                )
            index = area.stage_index(objects)
            undoing.pop_all()  # from here on the commit sees to it
        self._storage.commit(area, [*staged, index], [])
        area.objects = objects

    def _resealed(self, area: Area, info: ObjectInfo, fresh: Slot) -> Staged:
        name = SlotName(run_id=area.run_id, kind=info.kind, epoch=info.epoch)
        slot = area.slot(name, self._keystore.keks(info.kind))
        expect = Context(kind=info.kind, name=info.object_id, run_id=area.run_id)
        with self._storage.folder.reading(area.place(info)) as file:
            reader = open_stream(file, [slot.key], expect=expect)
            return area.stage(info.object_id, info.kind, fresh, Pieces(iter(reader)))

    def destroy(self, run_id: bytes, keep: Collection[Kind], erase: Erase | None) -> Destroyed:
        """End a run; may be called again after a crash.

        The keys die first: new KEKs, every other slot wrapped anew, the run's slots erased, the index sealed anew
        without what goes, the old KEKs dropped. Then the files.

        Raises:
            VaultError: the site's own area.
        """
        if run_id == SITE_DATA:
            raise VaultError("the site's own data does not end with a run", hint="Delete its objects.")
        area = self._storage.area(run_id)
        gone = [info for info in area.objects.values() if info.kind not in keep]
        dying = [name for name in area.slot_names() if name.kind not in {*keep, Kind.INDEX}]
        lost = (*gone, *area.passing.values())
        area.keys.clear()
        area.passing.clear()
        epochs = self._kill_keys(area, gone, dying, erase) if gone or dying else {}
        self._erase_files(area, erase)
        return Destroyed(run_id=run_id, objects=lost, slots=tuple(dying), epochs=epochs)

    def _kill_keys(
        self, area: Area, gone: Collection[ObjectInfo], dying: Collection[SlotName], erase: Erase | None
    ) -> Mapping[Kind, tuple[int, int]]:
        """Slots, index and KEKs of what goes; returns the epochs."""
        kinds = {Kind.INDEX, *(info.kind for info in gone), *(name.kind for name in dying)}
        names = _kek_names(kinds)
        epochs = self._begin(names)
        for name in dying:
            self._erase(area.slot_place(name), erase)
        self._shrink_index(area, gone, erase)
        self._rewrap(kinds)  # a damaged slot of another run must not keep these keys alive
        self._finish(names)
        return epochs

    def _shrink_index(self, area: Area, gone: Collection[ObjectInfo], erase: Erase | None) -> None:
        """An index without ``gone``, under a new key; none where nothing is left. The old key's slot is erased."""
        removed = [audit.removed(info.object_id, info.kind, area.run_id) for info in gone]
        gone_ids = {info.object_id for info in gone}
        objects = {info.object_id: info for info in area.objects.values() if info.object_id not in gone_ids}
        if objects:
            self._storage.commit(area, [area.stage_index(objects)], removed)
        elif index_id(area.run_id) in self._storage.record.digests:
            self._storage.append([*removed, audit.removed(index_id(area.run_id), Kind.INDEX, area.run_id)])
            area.index_epoch = 0
        area.objects = objects
        for name in list(area.slot_names([Kind.INDEX])):
            if not self._is_used(area, name):
                self._erase(area.slot_place(name), erase)

    def _erase_files(self, area: Area, erase: Erase | None) -> None:
        valid = {area.place(info) for info in area.objects.values()}
        for kind in self._storage.folder.folders((*area.base, "objects")):
            for name in self._storage.folder.files((*area.base, "objects", kind)):
                place = (*area.base, "objects", kind, name)
                if place not in valid:
                    self._erase(place, erase)
        if not area.objects:
            for place in [area.slot_place(name) for name in area.slot_names()]:
                self._erase(place, erase)
            self._erase((*area.base, "index.fwe"), erase)
            self._storage.forget(area.run_id)
        if area.base[-1] in self._storage.folder.folders(area.base[:-1]):
            self._storage.folder.remove_empty(area.base)

    def _erase(self, place: Place, erase: Erase | None) -> None:
        if place[-1] not in self._storage.folder.files(place[:-1]):
            return
        if erase is not None:
            erase(self._storage.folder.path(place))
        self._storage.folder.unlink(place)


def _kek_names(kinds: Collection[Kind]) -> list[Name]:
    return [(Purpose.KEK, kind) for kind in sorted(kinds)]


__all__ = ["Destroyed", "Erase", "Rekeying"]
