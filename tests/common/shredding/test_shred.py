"""The end of a run: what dies, what stays, what is certified."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedward.common.envelope.header import HEADER_BYTES, open_copies
from fedward.common.errors import ShreddingError, WrongRecipientError
from fedward.common.shredding.certificate import Certificate
from fedward.common.shredding.certificate_rows import Assurance, KeyClass, PathClass, Reason, RootKind
from fedward.common.shredding.intentions import SHRED_DONE, SHRED_INTENDED, Shreddings
from fedward.common.shredding.media import Claim, Verdict
from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.scratch import Machine, disk_scratch, place_scratch
from fedward.common.shredding.shred import Shredder
from fedward.common.vault.folder import PartyFolder
from fedward.common.vault.kinds import KEPT, SITE_DATA, Kind
from fedward.common.vault.roles import Role
from tests import shreddable
from tests.shreddable import OTHER, RECORD, RUN


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shreddable.create(tmp_path_factory.mktemp("made") / "alpha")


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return shreddable.copy_of(made, tmp_path / "alpha")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return shreddable.machine_in(tmp_path)


@pytest.fixture
def party(site: Path) -> Iterator[PartyFolder]:
    with shreddable.opened(site) as party:
        yield party


@pytest.fixture
def shredder(party: PartyFolder, machine: Machine) -> Shredder:
    return Shredder(party, machine=machine)


def certified(shredder: Shredder, party: PartyFolder, run_id: bytes = RUN) -> Certificate:
    """The certificate of a shredding of ``run_id`` at its user's request."""
    return shredder.shred(run_id).opened(party.identity.public_key, run_id=run_id)


def kinds_in(party: PartyFolder) -> list[str]:
    return [entry.kind for entry in party.trail.entries()]


def test_nothing_of_the_run_stays_and_the_other_run_does(shredder: Shredder, party: PartyFolder, site: Path) -> None:
    shredder.shred(RUN)
    assert not (site / "runs" / RUN.hex()).exists()
    kept = party.vault.find(run_id=OTHER)
    daemon = party.principal(Role.DAEMON)
    assert [info.kind for info in kept] == [Kind.CHECKPOINT, Kind.ADAPTER, Kind.REPORT, Kind.SCORES]
    assert party.vault.read(kept[0].object_id, principal=daemon) == RECORD * 10


def test_regular_end_keeps_adapter_and_report(shredder: Shredder, party: PartyFolder) -> None:
    certificate = shredder.shred(RUN, reason=Reason.RUN_ENDED, keep=KEPT).opened(party.identity.public_key)
    assert [(row.kind, row.count) for row in certificate.kept] == [("adapter", 1), ("report", 1)]
    assert {info.kind for info in party.vault.find(run_id=RUN)} == {Kind.ADAPTER, Kind.REPORT}
    steward = party.principal(Role.STEWARD)
    for info in party.vault.find(run_id=RUN):
        assert party.vault.read(info.object_id, principal=steward) == RECORD * 10


def test_intention_is_durable_before_the_first_byte_dies(party: PartyFolder, machine: Machine) -> None:
    seen: list[list[str]] = []
    overwriter = Overwriter(step=lambda _: seen.append(kinds_in(party)))
    Shredder(party, machine=machine, overwriter=overwriter).shred(RUN)
    assert SHRED_INTENDED in seen[0]
    assert kinds_in(party)[-1] == SHRED_DONE


def test_certificate_tells_what_died(shredder: Shredder, party: PartyFolder) -> None:
    infos = [info for info in party.vault.find(run_id=RUN) if info.kind is Kind.CHECKPOINT]
    certificate = certified(shredder, party)
    row = next(row for row in certificate.objects if row.kind == "checkpoint")
    assert (row.count, row.bytes) == (1, infos[0].num_bytes)
    assert row.digest == hashlib.sha256(infos[0].digest).hexdigest()
    assert {key.kind for key in certificate.data_keys} == {"adapter", "checkpoint", "index", "report", "scores"}
    assert (certificate.reason, certificate.root, certificate.assurance) == (
        Reason.REQUESTED,
        RootKind.KEY_FILE,
        Assurance.ERASED_LOGICAL,
    )


def test_every_kek_concerned_is_another_afterwards(shredder: Shredder, party: PartyFolder) -> None:
    before = {kind: party.keystore.kek_epoch(kind) for kind in (Kind.CHECKPOINT, Kind.INDEX, Kind.TRAINING)}
    rows = {row.kind: (row.before, row.after) for row in certified(shredder, party).keks}
    for kind in (Kind.CHECKPOINT, Kind.INDEX):
        assert rows[kind] == (before[kind], party.keystore.kek_epoch(kind))
        assert before[kind] < party.keystore.kek_epoch(kind)
    assert party.keystore.kek_epoch(Kind.TRAINING) == before[Kind.TRAINING]


def test_certificate_stands_behind_the_head_that_it_names(shredder: Shredder, party: PartyFolder) -> None:
    certificate = certified(shredder, party)
    *_, entry = party.trail.entries()
    assert (entry.kind, entry.prev.hex()) == (SHRED_DONE, certificate.head_before)


def test_certificate_names_no_object_and_no_path(shredder: Shredder, party: PartyFolder, site: Path) -> None:
    ids = [info.object_id for info in party.vault.find(run_id=RUN)]
    document = shredder.shred(RUN).document.decode()
    assert not any(word in document for word in (*ids, "a checkpoint", str(site), site.name + "/"))


def test_ephemeral_keys_die_and_are_certified_by_class(shredder: Shredder, party: PartyFolder) -> None:
    party.vault.put(Kind.SHARD, "shard", RECORD, run_id=RUN, principal=party.principal(Role.DAEMON))
    classes = {key.kind: key.key_class for key in certified(shredder, party).data_keys}
    assert (classes["shard"], classes["checkpoint"]) == (KeyClass.EPHEMERAL, KeyClass.DURABLE)
    assert party.vault.find(run_id=RUN) == ()


def test_scratch_in_memory_goes_and_is_counted(shredder: Shredder, party: PartyFolder, machine: Machine) -> None:
    folder = place_scratch(party.path, RUN, machine=machine).folder
    (folder / "cache").write_bytes(RECORD)
    certificate = shredder.shred(RUN, num_cleared=2).opened(party.identity.public_key)
    assert not folder.exists()
    assert (certificate.caches_cleared, certificate.plaintext_medium) == (3, "memory")
    assert (PathClass.SCRATCH, Verdict.MEMORY) in [(row.path_class, row.verdict) for row in certificate.media]


def test_scratch_on_disk_goes_and_lowers_what_is_certified(shredder: Shredder, party: PartyFolder) -> None:
    folder = disk_scratch(party.path, RUN)
    folder.mkdir(mode=0o700)
    (folder / "cache").write_bytes(RECORD)
    certificate = certified(shredder, party)
    assert (certificate.plaintext_medium, certificate.assurance) == ("disk", Assurance.ERASED_LOGICAL)


def test_files_in_the_clear_and_unfinished_parts_go(shredder: Shredder, party: PartyFolder) -> None:
    folder = party.path / "runs" / RUN.hex()
    (folder / "records.csv").write_bytes(RECORD)
    (folder / ".fedward.x1").write_bytes(RECORD)
    (folder / "objects/checkpoint/notes.txt").write_bytes(RECORD)
    (folder / "own").mkdir()
    (folder / "own/deep.txt").write_bytes(RECORD)
    certificate = certified(shredder, party)
    assert certificate.plaintext_found == 4
    assert not folder.exists()


def test_files_in_the_clear_go_also_where_objects_are_kept(shredder: Shredder, party: PartyFolder) -> None:
    folder = party.path / "runs" / RUN.hex()
    (folder / "objects/adapter/merged.txt").write_bytes(RECORD)
    shredder.shred(RUN, keep=KEPT)
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert all(path.read_bytes().startswith(b"FEDWENV1") for path in left)


def test_claim_of_a_person_lowers_the_verdict(party: PartyFolder, machine: Machine) -> None:
    likely = {row.verdict for row in certified(Shredder(party, machine=machine), party).media if row.passes}
    lowered = {
        row.verdict for row in certified(Shredder(party, machine=machine, claim=Claim.FLASH), party, OTHER).media
    }
    assert (likely, lowered) == ({Verdict.LIKELY}, {Verdict.UNKNOWN})


def test_backup_of_a_slot_opens_with_no_key_that_is_left(
    shredder: Shredder, party: PartyFolder, tmp_path: Path
) -> None:
    backup = shreddable.copy_of(party.path / "runs" / RUN.hex(), tmp_path / "backup")
    shredder.shred(RUN)
    keystore = party.keystore
    keys = [key for kind in Kind if not kind.is_ephemeral for key in keystore.keks(kind)]
    roles = [keystore.role_key(role, kind) for role in Role for kind in Kind if not kind.is_ephemeral]
    slots = sorted(backup.glob("slots/*.slot"))
    assert len(slots) == 5
    for slot in slots:
        raw = slot.read_bytes()
        assert len(raw) == HEADER_BYTES
        with pytest.raises(WrongRecipientError):
            open_copies(raw + raw, [*keys, *roles])


def test_slot_that_is_put_back_opens_nothing(shredder: Shredder, party: PartyFolder, tmp_path: Path) -> None:
    slot = next((party.path / "runs" / RUN.hex() / "slots").glob("checkpoint-*.slot"))
    raw = slot.read_bytes()
    shredder.shred(RUN)
    slot.parent.mkdir(parents=True, mode=0o700)
    slot.parent.parent.chmod(0o700)
    slot.write_bytes(raw)
    with pytest.raises(WrongRecipientError):
        open_copies(raw + raw, party.keystore.keks(Kind.CHECKPOINT))


def test_old_keystore_and_slots_of_other_runs_are_overwritten_where_they_were(
    party: PartyFolder, machine: Machine, tmp_path: Path
) -> None:
    watched = [party.path / "keys/keystore.fwe", party.path / "runs" / OTHER.hex() / "slots/checkpoint-1.slot"]
    for number, path in enumerate(watched):
        os.link(path, tmp_path / f"old-{number}")  # the blocks, as a disk would keep them
    Shredder(party, machine=machine).shred(RUN)
    assert [(tmp_path / f"old-{number}").read_bytes() for number in range(2)] == [b"", b""]


def test_replaced_root_is_certified(party: PartyFolder, machine: Machine) -> None:
    calls: list[bool] = []
    shredder = Shredder(party, machine=machine, replace_root=lambda: calls.append(True))
    certificate = certified(shredder, party)
    assert (calls, certificate.root_replaced, certificate.assurance) == ([True], True, Assurance.ERASED_LOGICAL)


def test_keyring_root_that_was_replaced_makes_it_erased(party: PartyFolder, machine: Machine) -> None:
    party.keystore.unlock_kinds = ("keyring",)
    assert certified(Shredder(party, machine=machine, replace_root=lambda: None), party).assurance is Assurance.ERASED


def test_of_two_unlocks_the_one_that_lives_on_decides(party: PartyFolder, machine: Machine) -> None:
    party.keystore.unlock_kinds = ("keyring", "passphrase")
    certificate = certified(Shredder(party, machine=machine, replace_root=lambda: None), party)
    assert (certificate.root, certificate.assurance) == (RootKind.PASSPHRASE, Assurance.ERASED_LOGICAL)


@pytest.mark.parametrize("run_id", [bytes(16), b"\x44" * 16, SITE_DATA])
def test_run_that_is_not_here_is_refused(run_id: bytes, shredder: Shredder, party: PartyFolder) -> None:
    before = kinds_in(party)
    with pytest.raises(ShreddingError, match="nothing of this run"):
        shredder.shred(run_id)
    assert kinds_in(party) == before


def test_what_cannot_be_removed_leaves_the_intention_open(party: PartyFolder, machine: Machine) -> None:
    (party.path / "runs" / RUN.hex() / "own").mkdir(mode=0o700)
    stranger = Overwriter(owner=os.geteuid() + 1)
    with pytest.raises(ShreddingError, match="could not be removed"):
        Shredder(party, machine=machine, overwriter=stranger).shred(RUN)
    assert len(Shreddings(party.trail.entries()).open) == 1
    (signed,) = Shredder(party, machine=machine).finish_open()
    assert signed.opened(party.identity.public_key).run_id == RUN.hex()


def test_shredding_again_finishes_what_is_open_and_makes_no_second_certificate(
    party: PartyFolder, machine: Machine
) -> None:
    (party.path / "runs" / RUN.hex() / "own").mkdir(mode=0o700)
    with pytest.raises(ShreddingError, match="could not be removed"):
        Shredder(party, machine=machine, overwriter=Overwriter(owner=os.geteuid() + 1)).shred(RUN)
    certificate = certified(Shredder(party, machine=machine), party)
    assert {row.kind for row in certificate.objects} == {"adapter", "checkpoint", "report", "scores"}
    assert Shreddings(party.trail.entries()).open == {}
    assert kinds_in(party).count(SHRED_DONE) == 1


def test_start_shreds_what_is_neither_live_nor_done(shredder: Shredder, party: PartyFolder) -> None:
    (signed,) = shredder.settle({OTHER})
    certificate = signed.opened(party.identity.public_key)
    assert (certificate.run_id, certificate.reason) == (RUN.hex(), Reason.RUN_ABORTED)
    assert {info.kind for info in party.vault.find(run_id=RUN)} == {Kind.ADAPTER, Kind.REPORT}
    assert len(party.vault.find(run_id=OTHER)) == 4


def test_second_start_has_nothing_to_do(shredder: Shredder) -> None:
    shredder.settle({OTHER})
    assert shredder.settle({OTHER}) == ()


def test_start_shreds_the_scratch_of_a_killed_process(shredder: Shredder, party: PartyFolder, machine: Machine) -> None:
    shredder.settle({OTHER})
    folders = [place_scratch(party.path, run, machine=machine).folder for run in (RUN, OTHER, b"\x55" * 16)]
    for folder in folders:
        (folder / "cache").write_bytes(RECORD)
    shredder.settle({OTHER})
    assert [folder.exists() for folder in folders] == [False, True, False]


def test_start_shreds_strays_and_unfinished_parts_also_of_live_runs(shredder: Shredder, party: PartyFolder) -> None:
    shredder.settle({OTHER})
    runs = party.path / "runs"
    (runs / "stray.csv").write_bytes(RECORD)
    (runs / ".fedward.abc").write_bytes(RECORD)
    (runs / "not-a-run").mkdir()
    (runs / OTHER.hex() / ".fedward.def").write_bytes(RECORD)
    live, beside = shredder.settle({OTHER})
    assert live.opened(party.identity.public_key).plaintext_found == 1
    certificate = beside.opened(party.identity.public_key)
    assert (certificate.run_id, certificate.reason, certificate.plaintext_found) == ("00" * 16, Reason.STRAY, 2)
    assert {path.name for path in runs.iterdir()} == {RUN.hex(), OTHER.hex()}
    assert len(party.vault.find(run_id=OTHER)) == 4


def test_run_can_be_shredded_again_when_what_was_kept_shall_go(shredder: Shredder, party: PartyFolder) -> None:
    shredder.shred(RUN, keep=KEPT)
    certificate = certified(shredder, party)
    assert {row.kind for row in certificate.objects} == {"adapter", "report"}
    assert len(Shreddings(party.trail.entries()).done) == 2


def test_inventory_comes_back_from_the_ledger_as_it_was(shredder: Shredder, party: PartyFolder) -> None:
    inventory = shredder._inventory(RUN, Reason.REQUESTED, frozenset(KEPT), 7)
    assert dataclasses.asdict(shredder._intend(inventory).inventory) == dataclasses.asdict(inventory)


def test_slots_that_were_put_back_go_at_the_next_start(party: PartyFolder, machine: Machine, tmp_path: Path) -> None:
    slots = party.path / "runs" / RUN.hex() / "slots"
    backup = shreddable.copy_of(slots, tmp_path / "backup")
    shredder = Shredder(party, machine=machine)
    shredder.shred(RUN)
    slots.parent.mkdir(mode=0o700)
    shreddable.copy_of(backup, slots)
    (signed,) = shredder.settle({OTHER})
    assert signed.opened(party.identity.public_key).run_id == RUN.hex()
    assert not slots.parent.exists()
    assert party.vault.rotate()
