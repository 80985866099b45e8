"""Looking whether a run is gone: folders re-read, every surviving ciphertext tried with every key that remains.

What the certificate says is not believed but compared. A ciphertext that somebody kept (a backup, given as a folder)
has to refuse every key: the KEKs and the roles' keys of now, the data keys of every slot that is left, and the keys in
old copies of the keystore that lie in the same folder, if the root of now or a key file in that folder still opens
them. That last case is the one that the assurance ``erased-logical`` speaks of, and it is found here where it is given
to be found.

Changes nothing. Not handled here: blocks below the file system, and copies that nobody shows.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fedward.common.envelope.recipients import Identity
from fedward.common.errors import CertificateError, EnvelopeError
from fedward.common.ledger.chain import GENESIS, KEY_ROTATED, Entry, key_id_of
from fedward.common.shredding import residue
from fedward.common.shredding.certificate import Certificate, SignedCertificate
from fedward.common.shredding.intentions import SHRED_DONE, Done, Shreddings, read_done
from fedward.common.shredding.scratch import Machine, disk_scratch, leftovers
from fedward.common.shredding.trial import Trial, try_folder, wrapping_keys
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.keystore import Keystore
from fedward.common.vault.kinds import DURABLE, SITE_DATA, Kind
from fedward.common.vault.slots import SLOT_BYTES, SlotName, opened


class Finding(StrEnum):
    """Why a run is not shown to be gone."""

    NOT_SHREDDED = "not-shredded"
    UNFINISHED = "unfinished"
    """An intention is open: the next start, or shredding again, finishes it."""
    SIGNATURE = "signature"
    """The certificate is not this site's, altered, or of another run."""
    CHAIN = "chain"
    """It does not stand in the ledger behind the head that it names."""
    OBJECTS = "objects"
    SLOTS = "slots"
    SCRATCH = "scratch"
    RESIDUE = "residue"
    KEKS = "keks"
    """A key-encryption key that should have gone is still there."""
    OPENS = "opens"
    """A surviving ciphertext opens with a key that remains."""
    OPENS_BY_OLD_KEYSTORE = "opens-by-old-keystore"
    """It opens with the keys of an old keystore that the root of now opens."""
    UNREADABLE = "unreadable"
    """A surviving ciphertext is damaged: it cannot be tried."""
    NOTHING_TRIED = "nothing-tried"
    """The folder that was given holds no ciphertext of this run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Whether a run is gone, as far as it can be seen."""

    run_id: bytes
    findings: tuple[Finding, ...]
    certificate: Certificate | None
    num_keys: int
    """Keys that every ciphertext was tried with."""
    trial: Trial | None
    """None where no folder was given."""

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify_run(
    party: PartyFolder, run_id: bytes, *, ciphertext: Path | None = None, machine: Machine | None = None
) -> Verification:
    """Look whether ``run_id`` is gone from an open party's folder; its ledger was judged when it was opened.

    Args:
        party: whose keys are tried.
        run_id: of the run.
        ciphertext: a folder with what survived elsewhere, a backup for example; nothing in it is changed.
        machine: where scratch may be.
    """
    entries = list(party.trail.entries())
    shreddings = Shreddings(entries)
    done = shreddings.last_of(run_id)
    findings: list[Finding] = []
    if any(intention.inventory.run_id == run_id for intention in shreddings.open.values()):
        findings.append(Finding.UNFINISHED)
    certificate = None
    if done is None:
        findings.append(Finding.NOT_SHREDDED)
    else:
        certificate, of_certificate = _judged(done, keys_of(entries), party.party_id)
        findings += of_certificate
    kept = frozenset() if certificate is None else frozenset(row.kind for row in certificate.kept)
    findings += _in_folders(party, run_id, kept, machine or Machine())
    if certificate is not None and not _keks_are_gone(party.keystore, certificate):
        findings.append(Finding.KEKS)
    keys = remaining_keys(party)
    trial = None
    if ciphertext is not None:
        dead = _dead_keys(shreddings, run_id)
        trial = try_folder(ciphertext, run_id, kept=kept, keys=keys, keystore=party.keystore, dead=dead)
    findings += [] if trial is None else _of_trial(trial)
    return Verification(
        run_id=run_id, findings=tuple(findings), certificate=certificate, num_keys=len(keys), trial=trial
    )


def keys_of(entries: Iterable[Entry]) -> Mapping[bytes, bytes]:
    """The public keys that sign a judged chain, by their ids."""
    keys: dict[bytes, bytes] = {}
    for entry in entries:
        if entry.kind in (GENESIS, KEY_ROTATED) and entry.body is not None:
            key = bytes.fromhex(str(entry.fields["identity" if entry.kind == GENESIS else "new"]))
            keys[key_id_of(key)] = key
    return keys


def find_in_chain(
    signed: SignedCertificate, entries: Iterable[Entry], public_key: bytes, *, run_id: bytes | None = None
) -> tuple[Certificate, bool]:
    """Judge a certificate that came alone against a judged chain, perhaps an export without bodies.

    Returns:
        The certificate; whether the chain has it. Without the body of the entry only its place is compared.

    Raises:
        CertificateError: not signed by ``public_key``, or of another run.
    """
    certificate = signed.opened(public_key, run_id=run_id)
    for entry in entries:
        if entry.kind == SHRED_DONE and entry.prev.hex() == certificate.head_before:
            is_same = entry.body is None or read_done(entry).signed == signed
            return certificate, is_same and entry.key_id == key_id_of(public_key)
    return certificate, False


def _dead_keys(shreddings: Shreddings, run_id: bytes) -> frozenset[str]:
    """The ids of the data keys of a run that its certificates call destroyed."""
    found = set[str]()
    for done in shreddings.done:
        if done.run_id == run_id:
            with suppress(CertificateError):  # one that is none is a finding of its own
                found.update(row.id for row in Certificate.from_bytes(done.signed.document).data_keys)
    return frozenset(found)


def _judged(done: Done, keys: Mapping[bytes, bytes], party_id: str) -> tuple[Certificate | None, tuple[Finding, ...]]:
    """The certificate of an entry, or what is wrong with it."""
    try:
        certificate = done.signed.opened(keys.get(done.entry.key_id, b""), run_id=done.run_id)
    except CertificateError:
        return None, (Finding.SIGNATURE,)
    if certificate.site_id != party_id:
        return None, (Finding.SIGNATURE,)
    is_in_place = certificate.head_before == done.entry.prev.hex()
    return certificate, () if is_in_place else (Finding.CHAIN,)


def _in_folders(party: PartyFolder, run_id: bytes, kept: Collection[str], machine: Machine) -> Iterator[Finding]:
    """What lies in the party's folders and should not."""
    kinds = {str(info.kind) for info in party.vault.find(run_id=run_id)}
    if not kinds.union(party.folder.folders(("runs", run_id.hex(), "objects"))) <= set(kept):
        yield Finding.OBJECTS
    allowed = {*kept, str(Kind.INDEX)} if kept else set()
    slots = party.folder.files(("runs", run_id.hex(), "slots"))
    if any(name.rpartition("-")[0] not in allowed for name in slots):
        yield Finding.SLOTS
    in_memory = any(found == run_id for found, _ in leftovers(party.path, machine=machine))
    if in_memory or os.path.lexists(disk_scratch(party.path, run_id)):
        yield Finding.SCRATCH
    runs = party.path / "runs"
    if residue.of_run(runs / run_id.hex()) if run_id != SITE_DATA else residue.of_runs(runs):
        yield Finding.RESIDUE


def _keks_are_gone(keystore: Keystore, certificate: Certificate) -> bool:
    return all(
        record.epoch > row.before for row in certificate.keks for record in keystore.records(Purpose.KEK, row.kind)
    )


def remaining_keys(party: PartyFolder) -> tuple[Identity, ...]:
    """Every key that the party has: of its keystore, and the data keys of all slots that are left."""
    wrapping = wrapping_keys(party.keystore)
    return (*wrapping, *_data_keys(party))


def _data_keys(party: PartyFolder) -> Iterator[Identity]:
    areas = [("data",), *(("runs", run_id.hex()) for run_id in residue.runs_in(party.path / "runs"))]
    for area in areas:
        run_id = SITE_DATA if area == ("data",) else bytes.fromhex(area[-1])
        for file in party.folder.files((*area, "slots")):
            kind, _, epoch = file.removesuffix(".slot").rpartition("-")
            if kind in set(DURABLE) and epoch.isdigit():
                name = SlotName(run_id=run_id, kind=Kind(kind), epoch=int(epoch))
                raw = party.folder.read((*area, "slots", file), max_bytes=SLOT_BYTES)
                with suppress(EnvelopeError):  # put back from a backup, perhaps
                    yield opened(raw, name, party.keystore.keks(name.kind)).key


def _of_trial(trial: Trial) -> Iterator[Finding]:
    if trial.opened:
        yield Finding.OPENS
    if trial.opened_by_old:
        yield Finding.OPENS_BY_OLD_KEYSTORE
    if trial.unreadable:
        yield Finding.UNREADABLE
    if not (trial.num_refused or trial.opened or trial.opened_by_old or trial.unreadable):
        yield Finding.NOTHING_TRIED


__all__ = ["find_in_chain", "Finding", "keys_of", "remaining_keys", "Verification", "verify_run"]
