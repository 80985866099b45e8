"""Rotation changes slots and no objects; the end of a run leaves nothing that opens, old copies included."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.envelope.header import Context
from fedward.common.envelope.recipients import Identity, SlotKey
from fedward.common.envelope.stream import open_bytes
from fedward.common.errors import AccessRefusedError, ObjectNotFoundError, VaultError, WrongRecipientError
from fedward.common.vault.index import ObjectInfo
from fedward.common.vault.kinds import DURABLE, SITE_DATA, Kind
from fedward.common.vault.roles import Action, Role
from fedward.common.vault.slots import SlotName, opened
from tests.vaults import OTHER_RUN, RUN, entries, files, new_site, open_site, principal, put

DAEMON = principal(Role.DAEMON)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFolder]:
    with new_site(tmp_path / "site") as made:
        yield made


def remaining_keys(site: SiteFolder) -> list[Identity]:
    """Every key that the site still has or can derive."""
    keys: list[Identity] = [key for kind in sorted(DURABLE) for key in site.keystore.keks(kind)]
    keys += [site.keystore.role_key(role, kind) for role in Role for kind in sorted(DURABLE)]
    return keys


@dataclass(frozen=True)
class Copy:
    """What a thief took: a slot and an object under it."""

    slot: bytes
    name: SlotName
    sealed: Path
    info: ObjectInfo

    @classmethod
    def of(cls, site: SiteFolder, object_id: str, to: Path) -> "Copy":
        info = site.vault.info(object_id)
        name = SlotName(run_id=info.run_id, kind=info.kind, epoch=info.epoch)
        folder = site.path / ("data" if info.run_id == SITE_DATA else f"runs/{info.run_id.hex()}")
        sealed = to / object_id
        sealed.write_bytes((folder / "objects" / info.kind / f"{object_id}.fwe").read_bytes())
        return cls((folder / "slots" / name.file).read_bytes(), name, sealed, info)

    def key(self, keys: list[Identity]) -> SlotKey:
        return opened(self.slot, self.name, keys).key

    def plaintext(self, key: SlotKey) -> bytes:
        context = Context(kind=self.info.kind, name=self.info.object_id, run_id=self.info.run_id)
        with self.sealed.open("rb", buffering=0) as file:
            return bytes(open_bytes(file, [key], expect=context))


def objects_on_disk(site: SiteFolder) -> dict[str, bytes]:
    found = [path for path in files(site.path / "runs", ".fwe") if path.name != "index.fwe"]
    return {path.name: path.read_bytes() for path in found}


def test_thief_with_the_keystore_opens_what_he_took(site: SiteFolder, tmp_path: Path) -> None:
    taken = Copy.of(site, put(site, Kind.SCORES, b"scores"), tmp_path)  # the control of the tests below
    assert taken.plaintext(taken.key(remaining_keys(site))) == b"scores"
    assert taken.plaintext(taken.key([site.keystore.role_key(Role.AUDITOR, Kind.SCORES)])) == b"scores"


def test_rotation_rewrites_slots_and_leaves_objects(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"weights")
    before, slots = objects_on_disk(site), [p.read_bytes() for p in files(site.path / "runs", ".slot")]
    epochs = site.vault.rotate()
    assert epochs == dict.fromkeys(DURABLE, (1, 2))
    assert objects_on_disk(site) == before
    assert not set(slots) & {p.read_bytes() for p in files(site.path / "runs", ".slot")}
    assert site.vault.read(object_id, principal=DAEMON) == b"weights"


def test_new_object_after_a_rotation_gets_a_new_data_key(site: SiteFolder) -> None:
    first = put(site, Kind.CHECKPOINT, b"first")
    site.vault.rotate([Kind.CHECKPOINT])
    second = put(site, Kind.CHECKPOINT, b"second")
    assert [site.vault.info(one).epoch for one in (first, second)] == [1, 2]
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(first, principal=DAEMON) == b"first"
        assert again.vault.read(second, principal=DAEMON) == b"second"


def test_rotation_of_one_kind_leaves_the_keys_of_others(site: SiteFolder) -> None:
    before = {kind: site.keystore.keks(kind) for kind in DURABLE}
    site.vault.rotate([Kind.LOG])
    assert {kind for kind in DURABLE if site.keystore.keks(kind) != before[kind]} == {Kind.LOG}


def test_old_copy_of_a_slot_opens_with_nothing_after_a_rotation(site: SiteFolder, tmp_path: Path) -> None:
    taken = Copy.of(site, put(site, Kind.SCORES), tmp_path)
    site.vault.rotate([Kind.SCORES])
    with pytest.raises(WrongRecipientError):
        taken.key(remaining_keys(site))


def test_rotated_role_no_longer_opens_with_what_was_handed_out(site: SiteFolder, tmp_path: Path) -> None:
    object_id = put(site, Kind.SCORES)
    old = site.keystore.role_key(Role.AUDITOR, Kind.SCORES)
    site.vault.rotate_roles([Role.AUDITOR])
    taken = Copy.of(site, object_id, tmp_path)
    with pytest.raises(WrongRecipientError):
        taken.key([old])
    assert site.vault.read(object_id, principal=principal(Role.AUDITOR)) == b"content"


def test_what_was_handed_out_before_a_role_changed_opens_nothing_new(site: SiteFolder, tmp_path: Path) -> None:
    old_key = site.keystore.role_key(Role.AUDITOR, Kind.SCORES)
    old = Copy.of(site, put(site, Kind.SCORES, b"old"), tmp_path)
    site.vault.rotate_roles([Role.AUDITOR])
    new = Copy.of(site, put(site, Kind.SCORES, b"new"), tmp_path)
    assert old.plaintext(old.key([old_key])) == b"old"  # what it had, it has
    with pytest.raises(WrongRecipientError):
        new.plaintext(old.key([old_key]))


def test_rotation_is_an_entry_without_names(site: SiteFolder) -> None:
    site.vault.rotate([Kind.LOG])
    site.vault.rotate_roles([Role.AUDITOR])
    assert entries(site, "vault.rotated") == [
        {"purpose": "kek", "name": "log", "before": 1, "after": 2},
        {"purpose": "role", "name": "auditor", "before": 1, "after": 2},
        {"purpose": "kek", "name": "report", "before": 1, "after": 2},  # and for what the role reads
        {"purpose": "kek", "name": "scores", "before": 1, "after": 2},
        {"purpose": "kek", "name": "sheets", "before": 1, "after": 2},
    ]


def test_slots_that_no_object_uses_go_with_a_rotation(site: SiteFolder) -> None:
    object_id = put(site, Kind.TRAINING, run_id=SITE_DATA)
    site.vault.delete(object_id, principal=principal(Role.STEWARD))
    site.vault.rotate()
    assert [path.name for path in files(site.path / "data", ".slot")] == ["index-1.slot"]


def test_released_adapter_stays_readable_over_rotation_and_resealing(site: SiteFolder) -> None:
    adapter = put(site, Kind.ADAPTER, b"adapter")
    site.vault.release(adapter, principal=principal(Role.STEWARD))
    for change in (site.vault.rotate, site.vault.rotate_roles, lambda: site.vault.reseal(Kind.ADAPTER)):
        change()
        assert site.vault.read(adapter, principal=principal(Role.DEVELOPER)) == b"adapter"


def test_rotation_of_an_ephemeral_kind_is_refused(site: SiteFolder) -> None:
    with pytest.raises(VaultError):
        site.vault.rotate([Kind.SHARD])


def test_resealing_makes_a_copied_data_key_worthless(site: SiteFolder, tmp_path: Path) -> None:
    objects = [put(site, Kind.CHECKPOINT, b"weights" * n, run_id=run) for n, run in ((1, RUN), (9, OTHER_RUN))]
    copies = [Copy.of(site, object_id, tmp_path) for object_id in objects]
    keys = [copy.key(remaining_keys(site)) for copy in copies]
    assert site.vault.reseal(Kind.CHECKPOINT) == 2
    for number, (object_id, key) in enumerate(zip(objects, keys, strict=True)):
        with pytest.raises(WrongRecipientError):
            Copy.of(site, object_id, tmp_path).plaintext(key)
        assert site.vault.read(object_id, principal=DAEMON) == b"weights" * (1, 9)[number]
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(objects[0], principal=DAEMON) == b"weights"


def test_destroyed_run_opens_with_no_remaining_key(site: SiteFolder, tmp_path: Path) -> None:
    kinds = sorted(DURABLE - {Kind.INDEX, Kind.ADAPTER, Kind.REPORT})
    copies = [Copy.of(site, put(site, kind), tmp_path) for kind in kinds]
    site.vault.destroy(RUN)
    still = []
    for copy in copies:
        try:
            copy.key(remaining_keys(site))
            still.append(copy.info.kind)
        except WrongRecipientError:
            pass
    assert still == []


def test_destroying_tells_what_was_lost_and_keeps_what_should_stay(site: SiteFolder) -> None:
    checkpoint, shard = put(site, Kind.CHECKPOINT), put(site, Kind.SHARD)
    adapter, other = put(site, Kind.ADAPTER, b"adapter"), put(site, Kind.CHECKPOINT, b"other", run_id=OTHER_RUN)
    lost = site.vault.destroy(RUN)
    assert {info.object_id for info in lost.objects} == {checkpoint, shard}
    assert [(name.kind, name.epoch) for name in lost.slots] == [(Kind.CHECKPOINT, 1)]
    assert lost.epochs == {Kind.CHECKPOINT: (1, 2), Kind.INDEX: (1, 2)}
    for gone in (checkpoint, shard):
        with pytest.raises(ObjectNotFoundError):
            site.vault.read(gone, principal=DAEMON)
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(adapter, principal=principal(Role.STEWARD)) == b"adapter"
        assert again.vault.read(other, principal=DAEMON) == b"other"
        assert [info.object_id for info in again.vault.find(run_id=RUN)] == [adapter]


def test_run_without_anything_to_keep_leaves_no_file(site: SiteFolder) -> None:
    put(site, Kind.CHECKPOINT)
    put(site, Kind.SHARD)
    put(site, Kind.ADAPTER)
    site.vault.destroy(RUN, keep=())
    assert list((site.path / "runs").iterdir()) == []
    assert site.vault.destroy(RUN, keep=()).objects == ()
    site.close()
    with open_site(site.path) as again:
        assert again.vault.find() == ()


def test_destroying_an_ephemeral_run_rotates_nothing(site: SiteFolder) -> None:
    put(site, Kind.SHARD)
    lost = site.vault.destroy(RUN)
    assert (len(lost.objects), lost.slots, lost.epochs) == (1, (), {})
    assert entries(site, "vault.rotated") == []


def test_every_dying_file_goes_through_the_eraser(site: SiteFolder) -> None:
    put(site, Kind.CHECKPOINT)
    put(site, Kind.SHARD)
    put(site, Kind.ADAPTER)
    before = {path for path in files(site.path / "runs") if "adapter" not in str(path)}
    seen: list[Path] = []
    site.vault.destroy(RUN, erase=seen.append)
    assert set(seen) == before - {site.path / "runs" / RUN.hex() / "index.fwe"}  # replaced: its key is what died


def test_eraser_may_unlink_by_itself(site: SiteFolder) -> None:
    put(site, Kind.CHECKPOINT)
    site.vault.destroy(RUN, erase=Path.unlink)
    assert list((site.path / "runs").iterdir()) == []


def test_data_of_the_site_does_not_end_with_a_run(site: SiteFolder) -> None:
    with pytest.raises(VaultError):
        site.vault.destroy(SITE_DATA)


def test_entries_of_a_destroyed_round_do_not_hide_those_of_a_later_run(site: SiteFolder) -> None:
    site.vault.read(put(site, Kind.SHARD), principal=DAEMON, round_number=1)
    site.vault.destroy(RUN)
    object_id = put(site, Kind.SHARD)
    before = len(entries(site, "access"))
    site.vault.read(object_id, principal=DAEMON, round_number=1)
    assert len(entries(site, "access")) == before + 1


def test_gateway_key_can_be_handed_out_alone(site: SiteFolder, tmp_path: Path) -> None:
    adapter = put(site, Kind.ADAPTER, b"adapter")
    with pytest.raises(AccessRefusedError):
        site.vault.read(adapter, principal=principal(Role.BUSINESS_USER), action=Action.CALL)
    site.vault.release(adapter, principal=principal(Role.STEWARD))
    taken = Copy.of(site, adapter, tmp_path)
    key = taken.key([site.keystore.role_key(Role.BUSINESS_USER, Kind.ADAPTER)])
    assert taken.plaintext(key) == b"adapter"
