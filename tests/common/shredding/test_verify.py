"""Looking whether a run is gone: every kind of thing that was left, put back or made up is found by its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedward.common.errors import CertificateError, LedgerError, ShreddingError
from fedward.common.identity import Identity
from fedward.common.ledger.chain import Draft
from fedward.common.ledger.export import from_line, to_line
from fedward.common.shredding.certificate import Certificate, SignedCertificate
from fedward.common.shredding.certificate_rows import Reason
from fedward.common.shredding.intentions import Shreddings, done_draft
from fedward.common.shredding.scratch import Machine, disk_scratch, place_scratch
from fedward.common.shredding.shred import Shredder
from fedward.common.shredding.verify import Finding, find_in_chain, verify_run
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.kinds import KEPT, Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock
from tests import shreddable
from tests.shreddable import OTHER, RECORD, RUN


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site before the shredding: what a backup holds."""
    return shreddable.create(tmp_path_factory.mktemp("made") / "alpha")


@pytest.fixture(scope="module")
def gone(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same behind it."""
    folder = tmp_path_factory.mktemp("gone")
    site = shreddable.copy_of(made, folder / "alpha")
    with shreddable.opened(site) as party:
        Shredder(party, machine=shreddable.machine_in(folder)).shred(RUN)
    return site


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return shreddable.machine_in(tmp_path)


@pytest.fixture
def party(gone: Path, tmp_path: Path) -> Iterator[PartyFolder]:
    with shreddable.opened(shreddable.copy_of(gone, tmp_path / "alpha")) as party:
        yield party


def findings(party: PartyFolder, machine: Machine, *, ciphertext: Path | None = None) -> set[Finding]:
    return set(verify_run(party, RUN, ciphertext=ciphertext, machine=machine).findings)


def run_folder(party: PartyFolder) -> Path:
    folder = party.path / "runs" / RUN.hex()
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def backup_of_run(made: Path, tmp_path: Path) -> Path:
    return shreddable.copy_of(made / "runs", tmp_path / "backup")


def test_run_that_was_shredded_is_shown_to_be_gone(party: PartyFolder, machine: Machine) -> None:
    found = verify_run(party, RUN, machine=machine)
    assert (found.is_good, found.findings, found.trial) == (True, (), None)
    assert found.certificate is not None


def test_every_ciphertext_of_a_backup_refuses_every_key(
    party: PartyFolder, machine: Machine, made: Path, tmp_path: Path
) -> None:
    found = verify_run(party, RUN, ciphertext=backup_of_run(made, tmp_path), machine=machine)
    assert found.trial is not None
    assert (found.findings, found.trial.num_refused) == ((), 4 + 1 + 5)  # objects, index, slots
    assert found.trial.num_other == 10  # of the other run
    assert found.num_keys > 60


def test_run_that_is_still_there_opens(made: Path, tmp_path: Path, machine: Machine) -> None:
    site = shreddable.copy_of(made, tmp_path / "alpha")
    with shreddable.opened(site) as party:
        found = verify_run(party, RUN, ciphertext=backup_of_run(made, tmp_path), machine=machine)
    assert {Finding.NOT_SHREDDED, Finding.OBJECTS, Finding.SLOTS, Finding.OPENS} <= set(found.findings)
    assert found.trial is not None
    assert len(found.trial.opened) == 10


def test_backup_with_an_old_keystore_is_opened_through_the_root_that_lives_on(
    party: PartyFolder, machine: Machine, made: Path, tmp_path: Path
) -> None:
    backup = backup_of_run(made, tmp_path)
    shutil.copy(made / "keys/keystore.fwe", backup / "keystore.fwe")
    found = verify_run(party, RUN, ciphertext=backup, machine=machine)
    assert found.findings == (Finding.OPENS_BY_OLD_KEYSTORE,)
    assert found.trial is not None
    assert len(found.trial.opened_by_old) == 10


def test_old_keystore_is_worthless_once_the_root_was_replaced(
    party: PartyFolder, machine: Machine, made: Path, tmp_path: Path
) -> None:
    party.keystore.replace_root([shreddable.UNLOCK])
    backup = backup_of_run(made, tmp_path)
    shutil.copy(made / "keys/keystore.fwe", backup / "keystore.fwe")
    assert findings(party, machine, ciphertext=backup) == set()


def test_kept_kinds_may_open(made: Path, tmp_path: Path, machine: Machine) -> None:
    with shreddable.opened(shreddable.copy_of(made, tmp_path / "alpha")) as party:
        Shredder(party, machine=machine).shred(RUN, keep=KEPT)
        found = verify_run(party, RUN, ciphertext=backup_of_run(made, tmp_path), machine=machine)
    assert found.findings == ()
    assert found.trial is not None
    assert (found.trial.num_kept, found.trial.num_refused) == (4, 6)


def put_slot_back(party: PartyFolder, made: Path) -> None:
    shutil.copytree(made / "runs" / RUN.hex() / "slots", run_folder(party) / "slots")


def put_object_back(party: PartyFolder, made: Path) -> None:
    shutil.copytree(made / "runs" / RUN.hex() / "objects", run_folder(party) / "objects")


def leave_scratch_on_disk(party: PartyFolder, _: Path) -> None:
    run_folder(party)
    disk_scratch(party.path, RUN).mkdir(mode=0o700)


def leave_text(party: PartyFolder, _: Path) -> None:
    (run_folder(party) / "notes.txt").write_bytes(RECORD)


def intend_again(party: PartyFolder, _: Path) -> None:
    run_folder(party)
    shredder = Shredder(party)
    shredder._intend(shredder._inventory(RUN, Reason.REQUESTED, frozenset(), 0))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put_slot_back, Finding.SLOTS),
        (put_object_back, Finding.OBJECTS),
        (leave_scratch_on_disk, Finding.SCRATCH),
        (leave_text, Finding.RESIDUE),
        (intend_again, Finding.UNFINISHED),
    ],
)
def test_what_was_left_or_put_back_is_named(
    change: Callable[[PartyFolder, Path], None],
    expected: Finding,
    party: PartyFolder,
    machine: Machine,
    made: Path,
) -> None:
    change(party, made)
    assert findings(party, machine) == {expected}


def test_scratch_in_memory_is_named(party: PartyFolder, machine: Machine) -> None:
    place_scratch(party.path, RUN, machine=machine)
    assert findings(party, machine) == {Finding.SCRATCH}


def test_key_that_should_have_gone_is_named(party: PartyFolder, machine: Machine) -> None:
    name = (Purpose.KEK, str(Kind.CHECKPOINT))
    party.keystore.begin([name], at_ms=0)
    newest, *_ = party.keystore.records(*name)
    party.keystore.withdraw(name)
    done = Shreddings(party.trail.entries()).last_of(RUN)
    assert done is not None
    certificate = done.signed.opened(party.identity.public_key)
    rows = tuple(replace(row, before=newest.epoch, after=newest.epoch + 1) for row in certificate.keks)
    close_again(party, replace(certificate, keks=rows))
    assert findings(party, machine) == {Finding.KEKS}


def close_again(
    party: PartyFolder, certificate: Certificate, *, identity: Identity | None = None, in_place: bool = True
) -> None:
    """Another shredding of the run, closed with a certificate that somebody made up."""
    intend_again(party, party.path)
    run_folder(party).rmdir()
    (intention,) = Shreddings(party.trail.entries()).open.values()
    head = party.ledger.head.hash.hex() if in_place else "00" * 32
    signed = SignedCertificate.sign(replace(certificate, head_before=head), identity or party.identity)
    party.trail.append([done_draft(intention, signed)])


def the_certificate(party: PartyFolder) -> Certificate:
    done = Shreddings(party.trail.entries()).last_of(RUN)
    assert done is not None
    return done.signed.opened(party.identity.public_key)


def test_certificate_of_a_stranger_is_named(party: PartyFolder, machine: Machine) -> None:
    close_again(party, the_certificate(party), identity=Identity.generate())
    assert findings(party, machine) == {Finding.SIGNATURE}


def test_certificate_of_another_run_is_named(party: PartyFolder, machine: Machine) -> None:
    close_again(party, replace(the_certificate(party), run_id=OTHER.hex()))
    assert findings(party, machine) == {Finding.SIGNATURE}


def test_certificate_of_another_site_is_named(party: PartyFolder, machine: Machine) -> None:
    close_again(party, replace(the_certificate(party), site_id="beta"))
    assert findings(party, machine) == {Finding.SIGNATURE}


def test_certificate_in_another_place_of_the_chain_is_named(party: PartyFolder, machine: Machine) -> None:
    close_again(party, the_certificate(party), in_place=False)
    assert findings(party, machine) == {Finding.CHAIN}


def test_closing_of_what_was_not_intended_is_no_ledger_of_ours(party: PartyFolder) -> None:
    done = Shreddings(party.trail.entries()).last_of(RUN)
    assert done is not None
    party.trail.append([Draft(kind="shred.done", fields={**done.signed.to_fields(), "run": RUN.hex(), "intended": 1})])
    with pytest.raises(LedgerError, match="not intended"):
        Shreddings(party.trail.entries())


@pytest.mark.parametrize("kind", ["shred.intended", "shred.done"])
def test_entry_without_its_fields_is_named(kind: str, party: PartyFolder) -> None:
    party.trail.append([Draft(kind=kind, fields={"run": "x"})])
    with pytest.raises(LedgerError, match="without its fields"):
        Shreddings(party.trail.entries())


def test_damaged_ciphertext_cannot_be_tried_and_is_named(
    party: PartyFolder, machine: Machine, made: Path, tmp_path: Path
) -> None:
    backup = backup_of_run(made, tmp_path)
    path = next(backup.rglob("*.slot"))
    path.write_bytes(path.read_bytes()[:4000])
    assert findings(party, machine, ciphertext=backup) == {Finding.UNREADABLE}


def test_folder_without_a_ciphertext_of_the_run_shows_nothing(
    party: PartyFolder, machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "empty/pipe")
    (tmp_path / "empty/link").symlink_to(party.path)
    assert findings(party, machine, ciphertext=tmp_path / "empty") == {Finding.NOTHING_TRIED}


def test_folder_that_is_not_there_is_an_error(party: PartyFolder, machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(ShreddingError, match="no such folder"):
        findings(party, machine, ciphertext=tmp_path / "nowhere")


def test_looking_changes_nothing(party: PartyFolder, machine: Machine, made: Path, tmp_path: Path) -> None:
    backup = backup_of_run(made, tmp_path)
    before = [(path, path.stat().st_mtime_ns) for root in (backup, party.path) for path in sorted(root.rglob("*"))]
    head = party.ledger.head
    findings(party, machine, ciphertext=backup)
    after = [(path, path.stat().st_mtime_ns) for root in (backup, party.path) for path in sorted(root.rglob("*"))]
    assert (before, head) == (after, party.ledger.head)


@pytest.mark.parametrize("is_redacted", [False, True])
def test_certificate_is_found_in_an_export(is_redacted: bool, party: PartyFolder) -> None:
    done = Shreddings(party.trail.entries()).last_of(RUN)
    assert done is not None
    export = [from_line(to_line(entry, is_redacted=is_redacted)) for entry in party.trail.entries()]
    certificate, is_there = find_in_chain(done.signed, export, party.identity.public_key, run_id=RUN)
    assert (certificate.run_id, is_there) == (RUN.hex(), True)


def test_certificate_is_not_found_in_another_chain(party: PartyFolder, made: Path, tmp_path: Path) -> None:
    done = Shreddings(party.trail.entries()).last_of(RUN)
    assert done is not None
    with shreddable.opened(shreddable.copy_of(made, tmp_path / "other")) as other:
        _, is_there = find_in_chain(done.signed, other.trail.entries(), party.identity.public_key)
    assert not is_there


def test_certificate_alone_is_held_to_the_run_and_the_key(party: PartyFolder) -> None:
    done = Shreddings(party.trail.entries()).last_of(RUN)
    assert done is not None
    for key, run_id in ((party.identity.public_key, OTHER), (bytes(32), RUN)):
        with pytest.raises(CertificateError):
            find_in_chain(done.signed, party.trail.entries(), key, run_id=run_id)


def test_certificate_of_before_a_change_of_identity_still_holds(party: PartyFolder, machine: Machine) -> None:
    party.rotate_identity()
    assert findings(party, machine) == set()


def test_other_run_is_not_shown_to_be_gone(party: PartyFolder, machine: Machine) -> None:
    found = verify_run(party, OTHER, machine=machine)
    assert {Finding.NOT_SHREDDED, Finding.OBJECTS, Finding.SLOTS} == set(found.findings)
    daemon = party.principal(Role.DAEMON)
    for info in party.vault.find(kind=Kind.CHECKPOINT, run_id=OTHER):
        assert party.vault.read(info.object_id, principal=daemon) == RECORD * 10


def test_index_of_what_is_kept_may_open_and_the_one_before_may_not(
    made: Path, tmp_path: Path, machine: Machine
) -> None:
    site = shreddable.copy_of(made, tmp_path / "alpha")
    with shreddable.opened(site) as party:
        Shredder(party, machine=machine).shred(RUN, keep=KEPT)
        backup = shreddable.copy_of(site / "runs", tmp_path / "later")
        found = verify_run(party, RUN, ciphertext=backup, machine=machine)
        assert found.trial is not None
        assert (found.trial.num_kept, found.trial.opened) == (2 + 2 + 2, [])  # objects, slots, the index and its slot
        assert found.findings == (Finding.NOTHING_TRIED,)
        old = tmp_path / "old"
        shutil.copytree(made / "runs" / RUN.hex() / "slots", old)
        shutil.copy(made / "keys/keystore.fwe", old / "keystore.fwe")
        assert findings(party, machine, ciphertext=old) == {Finding.OPENS_BY_OLD_KEYSTORE}


def test_backup_with_its_own_key_file_opens_also_behind_a_change_of_the_root(
    party: PartyFolder, machine: Machine, made: Path, tmp_path: Path
) -> None:
    party.keystore.replace_root([KeyUnlock.of_secret(bytes(32), "key-file")])
    backup = shreddable.copy_of(made, tmp_path / "backup")
    assert findings(party, machine, ciphertext=backup) == set()
    (backup / "alpha.key").write_bytes(shreddable.SECRET)
    assert findings(party, machine, ciphertext=backup) == {Finding.OPENS_BY_OLD_KEYSTORE}
