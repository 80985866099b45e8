"""The end of a run: keys first, then what is in the clear, then the certificate.

Order, and it is the argument: the intention is durable; slots are overwritten, the KEKs of their kinds replaced, every
other slot wrapped anew, the old KEKs dropped and the keystore's old copies overwritten (``vault.destroy``); the root,
if that is wanted; scratch, caches, files in the clear, unfinished parts; the certificate, signed, in the ledger. A
crash anywhere is finished by ``settle`` at the next start, with one certificate.

The guarantee is crypto-erasure. What cannot be removed ends the shredding with an error and leaves its intention open:
there is no certificate for half of it.

Not handled here: who may order it, whether a run is live (its caller knows), copies elsewhere, and what the daemon's
memory holds.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fedward.common.envelope.header import HEADER_BYTES
from fedward.common.envelope.recipients import ID_BYTES
from fedward.common.envelope.stream import inspect
from fedward.common.errors import HeadMovedError, ShreddingError
from fedward.common.shredding import residue
from fedward.common.shredding.certificate import Certificate, SignedCertificate, sorted_rows
from fedward.common.shredding.certificate_rows import (
    KekRow,
    KeptRow,
    KeyClass,
    KeyRow,
    MediaRow,
    ObjectsRow,
    PathClass,
    Reason,
    RootKind,
    assurance_of,
    instant,
    is_hex,
)
from fedward.common.shredding.intentions import Intention, Inventory, Shreddings, done_draft, read_intention
from fedward.common.shredding.media import Claim, Medium, medium_of
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.overwritten import Overwritten
from fedward.common.shredding.scratch import Machine, disk_scratch, leave, leftovers
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.index import ObjectInfo
from fedward.common.vault.kinds import KEPT, SITE_DATA, Kind

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_OBJECT = ".fwe"
_SLOT = ".slot"
_INDEX = "index.fwe"
_FILE_ID = slice(16, 16 + ID_BYTES)
"""Where the header of an envelope names it; a slot's name is its data key's."""


class Shredder:
    """Shreds the runs of one party.

    Args:
        party: its open folder; nobody else has it.
        machine: where scratch may be, and what media say; tests make one up.
        claim: what a person knows of the disk; it lowers the verdicts.
        overwriter: tests count its steps.
        replace_root: replaces the keystore's root and destroys the old one; None: the root lives on.
        end_state: lets go of what the party's process keeps of a run beside the vault; None: it keeps nothing.
    """

    def __init__(
        self,
        party: PartyFolder,
        *,
        machine: Machine | None = None,
        claim: Claim | None = None,
        overwriter: Overwriter | None = None,
        replace_root: Callable[[], None] | None = None,
        end_state: Callable[[bytes], None] | None = None,
    ) -> None:
        self._end_state = end_state
        self._party = party
        self._machine = machine or Machine()
        self._claim = claim
        self._overwriter = overwriter or Overwriter()
        self._replace_root = replace_root
        self._runs = party.path / "runs"

    def known_runs(self) -> frozenset[bytes]:
        """Runs of which there is something: a folder, objects, or a scratch in memory."""
        in_vault = {info.run_id for info in self._party.vault.find()} - {SITE_DATA}
        scratches = {run_id for run_id, _ in leftovers(self._party.path, machine=self._machine)}
        return frozenset({*residue.runs_in(self._runs), *in_vault, *scratches})

    def shred(
        self,
        run_id: bytes,
        *,
        reason: Reason = Reason.REQUESTED,
        keep: Collection[Kind] = (),
        num_cleared: int = 0,
        was_on_disk: bool = False,
    ) -> SignedCertificate:
        """Shred a run; the certificate is in the ledger on return.

        Args:
            run_id: 16 bytes; not the site's own data.
            reason: goes into the certificate.
            keep: kinds that outlive it; at a run's regular end ``KEPT``.
            num_cleared: files that a ``Scratch`` of this run removed before.
            was_on_disk: whether that scratch was on a disk.

        Raises:
            ShreddingError: nothing of this run is here; or something cannot be removed: the intention stays open.
            LedgerError, VaultError: the ledger or the vault refuses; the same.
        """
        finished = [one for one in self._open() if one.inventory.run_id == run_id]
        certificates = [self._carry_out(intention) for intention in finished]
        if certificates and run_id not in self.known_runs():
            return certificates[-1]  # a crash had left it half shredded; one certificate is enough
        if run_id == SITE_DATA or run_id not in self.known_runs():
            hint = "`fedward ledger show` lists what was shredded."
            raise ShreddingError("nothing of this run is here", hint=hint)
        inventory = self._inventory(run_id, reason, frozenset(keep), num_cleared)
        if was_on_disk:
            inventory = replace(inventory, plaintext_medium="disk")
        return self._carry_out(self._intend(inventory))

    def finish_open(self) -> tuple[SignedCertificate, ...]:
        """Finish what a crash left open, in order."""
        return tuple(self._carry_out(intention) for intention in self._open())

    def _open(self) -> tuple[Intention, ...]:
        return tuple(Shreddings(self._party.trail.entries()).open.values())

    def settle(self, live: Collection[bytes]) -> tuple[SignedCertificate, ...]:
        """What a start does before it is ready: open intentions, runs that are neither live nor done, stray files.

        Args:
            live: runs that will go on. Unfinished parts in their folders go too, for their process is dead.
        """
        certificates = list(self.finish_open())
        shreddings = Shreddings(self._party.trail.entries())
        for run_id in sorted(self.known_runs()):
            is_over = shreddings.last_of(run_id) is not None and not self._is_back(run_id)
            if run_id not in live and not is_over:
                certificates.append(self.shred(run_id, reason=Reason.RUN_ABORTED, keep=KEPT))
            elif residue.of_run(self._folder(run_id)):
                certificates.append(self._shred_strays(run_id))
        if residue.of_runs(self._runs):
            certificates.append(self._shred_strays(SITE_DATA))
        return tuple(certificates)

    def _is_back(self, run_id: bytes) -> bool:
        """Whether a run that is done has a scratch again, or a folder without an object: put back from a backup."""
        is_empty = not self._party.vault.find(run_id=run_id) and self._folder(run_id).is_dir()
        return is_empty or bool(self._scratches(run_id))

    def _shred_strays(self, run_id: bytes) -> SignedCertificate:
        """What lies in a run's folder, or beside all of them, and is nobody's; keys and objects stay."""
        inventory = Inventory(
            run_id=run_id,
            reason=Reason.STRAY,
            keep=frozenset(Kind),
            objects=(),
            data_keys=(),
            keks={},
            num_caches=0,
            num_plain=sum(one.num_plain for one in self._residue(run_id)),
            plaintext_medium="memory",
        )
        return self._carry_out(self._intend(inventory))

    def _inventory(self, run_id: bytes, reason: Reason, keep: frozenset[Kind], num_cleared: int) -> Inventory:
        dying = [info for info in self._party.vault.find(run_id=run_id) if info.kind not in keep]
        keys = sorted_rows([*self._slots(run_id, keep), *map(self._ephemeral_key, filter(_is_ephemeral, dying))])
        kinds = {Kind(row.kind) for row in keys if row.key_class is KeyClass.DURABLE}
        scratches = self._scratches(run_id)
        return Inventory(
            run_id=run_id,
            reason=reason,
            keep=keep,
            objects=sorted_rows(_object_rows(dying)),
            data_keys=keys,
            keks={kind: self._party.keystore.kek_epoch(kind) for kind in sorted({Kind.INDEX, *kinds})},
            num_caches=num_cleared + sum(map(residue.num_files, scratches)),
            num_plain=sum(one.num_plain for one in self._residue(run_id)),
            plaintext_medium="disk" if disk_scratch(self._party.path, run_id) in scratches else "memory",
        )

    def _slots(self, run_id: bytes, keep: Collection[Kind]) -> Iterator[KeyRow]:
        """The data keys that stand, wrapped, in slots and will die; the index's always does."""
        place = ("runs", run_id.hex(), "slots")
        for name in self._party.folder.files(place):
            kind = name.rpartition("-")[0]
            if name.endswith(_SLOT) and kind in set(Kind) - set(keep):
                raw = self._party.folder.read((*place, name), max_bytes=HEADER_BYTES)
                key_id = raw[_FILE_ID].ljust(ID_BYTES, b"\0")
                yield KeyRow(id=key_id.hex(), kind=str(kind), key_class=KeyClass.DURABLE)

    def _ephemeral_key(self, info: ObjectInfo) -> KeyRow:
        """The data key of an object whose slot is in memory alone: the envelope names it."""
        place = ("runs", info.run_id.hex(), "objects", info.kind, info.object_id + _OBJECT)
        with self._party.folder.reading(place) as file:
            header, _ = inspect(file)
        return KeyRow(id=header.stanzas[0].body[:ID_BYTES].hex(), kind=str(info.kind), key_class=KeyClass.EPHEMERAL)

    def _intend(self, inventory: Inventory) -> Intention:
        return read_intention(self._party.trail.append([inventory.draft()]).entries[0])

    def _carry_out(self, intention: Intention) -> SignedCertificate:
        """All steps of an intention; each may have been done before."""
        inventory = intention.inventory
        work = _Work()
        if inventory.reason is not Reason.STRAY:
            with self._erasing_copies():
                if self._end_state is not None:
                    self._end_state(inventory.run_id)
                self._destroy_keys(inventory)
                work.root_replaced = self._change_root()
            self._shred_scratch(inventory.run_id, work)
        self._shred_residue(inventory, work)
        return self._certify(intention, work)

    @contextmanager
    def _erasing_copies(self) -> Iterator[None]:
        """While keys change, what a new keystore or slot takes the place of is overwritten."""
        folder = self._party.folder
        before, folder.on_replaced = folder.on_replaced, self._overwriter.overwrite_open
        try:
            yield
        finally:
            folder.on_replaced = before

    def _destroy_keys(self, inventory: Inventory) -> None:
        vault, keystore = self._party.vault, self._party.keystore
        vault.destroy(inventory.run_id, keep=inventory.keep, erase=self._erase)
        # The vault replaces the KEKs of what it still finds; a crash may have taken a slot before its KEK.
        late = [kind for kind, epoch in inventory.keks.items() if keystore.kek_epoch(kind) <= epoch]
        if late:
            vault.rotate(late)

    def _erase(self, path: Path) -> None:
        """Overwrite keys and the index; an object without its key is noise already and is just unlinked."""
        if path.name == _INDEX or path.suffix == _SLOT:
            # Half a slot would keep the vault from opening after a crash; half an index that is gone does not.
            is_slot = path.suffix == _SLOT
            self._overwriter.shred_file(path.parent, path.name, rename_first=is_slot).require_complete()

    def _change_root(self) -> bool:
        if self._replace_root is None:
            return False
        self._replace_root()
        return True

    def _scratches(self, run_id: bytes) -> tuple[Path, ...]:
        in_memory = [found for run, found in leftovers(self._party.path, machine=self._machine) if run == run_id]
        on_disk = disk_scratch(self._party.path, run_id)
        return (*in_memory, *([on_disk] if on_disk.is_dir() else []))

    def _shred_scratch(self, run_id: bytes, work: _Work) -> None:
        for folder in self._scratches(run_id):
            medium = self._medium(folder)
            done = self._overwriter.shred_folder(folder).require_complete()
            leave(folder)
            work.media.append(_media_row(PathClass.SCRATCH, medium, done))
            work.num_caches += done.num_files

    def _residue(self, run_id: bytes) -> tuple[residue.Residue, ...]:
        return residue.of_runs(self._runs) if run_id == SITE_DATA else residue.of_run(self._folder(run_id))

    def _shred_residue(self, inventory: Inventory, work: _Work) -> None:
        """Files in the clear, unfinished parts, foreign things; and the folder where nothing is kept."""
        found, done = self._residue(inventory.run_id), Overwritten()
        medium = self._medium(self._runs)
        for one in found:
            done += self._overwriter.shred_entry(one.folder, one.name)
        if inventory.reason is not Reason.STRAY and not self._party.vault.find(run_id=inventory.run_id):
            done += self._overwriter.shred_folder(self._folder(inventory.run_id))
        done.require_complete()
        work.num_plain = sum(one.num_plain for one in found)
        if found:
            work.media.append(_media_row(PathClass.PLAINTEXT, medium, done))

    def _certify(self, intention: Intention, work: _Work) -> SignedCertificate:
        """Sign for the head of now, and close the intention upon it."""
        ledger = self._party.ledger
        while True:
            head = ledger.head
            certificate = self._certificate(intention, work, head.hash)
            signed = SignedCertificate.sign(certificate, self._party.identity)
            try:
                ledger.append([done_draft(intention, signed)], expected_head=head)
            except HeadMovedError:
                if ledger.head == head:  # not a thread of ours
                    raise
                continue
            return signed

    def _certificate(self, intention: Intention, work: _Work, head: bytes) -> Certificate:
        inventory, root = intention.inventory, _root_of(self._party.keystore.unlock_kinds)
        num_plain = max(inventory.num_plain, work.num_plain)
        return Certificate(
            site_id=self._party.party_id,
            run_id=inventory.run_id.hex(),
            reason=inventory.reason,
            objects=inventory.objects,
            data_keys=inventory.data_keys,
            keks=sorted_rows(self._kek_rows(inventory)),
            root=root,
            root_replaced=work.root_replaced,
            assurance=assurance_of(
                has_durable=any(key.key_class is KeyClass.DURABLE for key in inventory.data_keys),
                root=root,
                root_replaced=work.root_replaced,
                was_clear=num_plain > 0 or inventory.plaintext_medium == "disk",
            ),
            media=sorted_rows([*work.media, *self._media_of_keys(inventory)]),
            plaintext_medium=inventory.plaintext_medium,
            caches_cleared=max(inventory.num_caches, work.num_caches),
            plaintext_found=num_plain,
            kept=sorted_rows(self._kept_rows(inventory.run_id)),
            started_at=_instant(intention.at_ms),
            ended_at=_instant(self._party.clock()),
            boot_id=_boot_id(),
            head_before=head.hex(),
        )

    def _kek_rows(self, inventory: Inventory) -> Iterator[KekRow]:
        for kind, before in inventory.keks.items():
            yield KekRow(kind=str(kind), before=before, after=self._party.keystore.kek_epoch(kind))

    def _media_of_keys(self, inventory: Inventory) -> Iterator[MediaRow]:
        if inventory.keks:
            yield _media_row(PathClass.KEYSTORE, self._medium(self._party.path / "keys"), Overwritten())
            yield _media_row(PathClass.SLOTS, self._medium(self._runs), Overwritten())
        if inventory.objects:  # unlinked, for without their keys they are noise
            medium = self._medium(self._runs)
            yield MediaRow(path_class=PathClass.OBJECTS, medium=medium.label, verdict=medium.verdict, passes=0)

    def _kept_rows(self, run_id: bytes) -> Iterator[KeptRow]:
        if run_id != SITE_DATA:
            counts = Counter(info.kind for info in self._party.vault.find(run_id=run_id))
            yield from (KeptRow(kind=str(kind), count=count) for kind, count in counts.items())

    def _medium(self, path: Path) -> Medium:
        return medium_of(path, claim=self._claim, system=self._machine.system)

    def _folder(self, run_id: bytes) -> Path:
        return self._runs / run_id.hex()


@dataclass(kw_only=True, slots=True)
class _Work:
    """What this attempt did; an attempt before it may have done the rest."""

    root_replaced: bool = False
    num_caches: int = 0
    num_plain: int = 0
    media: list[MediaRow] = field(default_factory=list)


def _is_ephemeral(info: ObjectInfo) -> bool:
    return info.kind.is_ephemeral


def _object_rows(objects: Collection[ObjectInfo]) -> Iterator[ObjectsRow]:
    for kind in {info.kind for info in objects}:
        of_kind = [info for info in objects if info.kind is kind]
        digest = hashlib.sha256(b"".join(sorted(info.digest for info in of_kind))).hexdigest()
        num_bytes = sum(info.num_bytes for info in of_kind)
        yield ObjectsRow(kind=str(kind), count=len(of_kind), bytes=num_bytes, digest=digest)


def _media_row(path_class: PathClass, medium: Medium, done: Overwritten) -> MediaRow:
    passes = 0 if done.num_unwritten else 1
    return MediaRow(path_class=path_class, medium=medium.label, verdict=medium.verdict, passes=passes)


def _root_of(unlock_kinds: Sequence[str]) -> RootKind:
    """Of several unlocks the one that lives on decides."""
    roots = [RootKind(kind) for kind in unlock_kinds]
    return next((root for root in roots if not root.dies_when_replaced), roots[0])


def _instant(at_ms: int) -> str:
    return instant(datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC))


def _boot_id() -> str:
    """Of this boot of the host; zeros where there is none."""
    try:
        text = BOOT_ID.read_text("ascii").strip().replace("-", "")
    except (OSError, ValueError):
        return "00" * ID_BYTES
    return text if is_hex(text, ID_BYTES) else "00" * ID_BYTES


__all__ = ["BOOT_ID", "Shredder"]
