"""What an intruder or a fault puts in the place of keys, slots and indexes, alone or together; the ledger holds."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedward.client.site_folder import SiteFolder
from fedward.common.errors import (
    KeystoreLockedError,
    LedgerError,
    LedgerInvalidError,
    ObjectNotFoundError,
    ObjectReplacedError,
    VaultError,
    VaultPermissionError,
)
from fedward.common.ledger.store import Ledger
from fedward.common.vault.areas import Area
from fedward.common.vault.files import PrivateFolder
from fedward.common.vault.key_records import Purpose
from fedward.common.vault.kinds import SITE_DATA, Kind
from fedward.common.vault.roles import Role
from fedward.common.vault.unlocks import KeyUnlock
from tests.vaults import OTHER_RUN, RUN, UNLOCK, entries, files, new_site, open_site, principal, put

DAEMON = principal(Role.DAEMON)
STEWARD = principal(Role.STEWARD)
STORE = "keys/keystore.fwe"
AREA = f"runs/{RUN.hex()}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteFolder]:
    with new_site(tmp_path / "site") as made:
        yield made


def slot_file(site: SiteFolder, kind: Kind, epoch: int = 1, *, area: str = AREA) -> Path:
    return site.path / area / "slots" / f"{kind}-{epoch}.slot"


# ------------------------------------------------------------------------------------------------ keystores


def test_keystore_of_before_a_change_of_keys_is_not_taken(site: SiteFolder) -> None:
    old = (site.path / STORE).read_bytes()
    put(site, Kind.ADAPTER)
    site.vault.rotate([Kind.CHECKPOINT])  # no slot hangs on it, so that nothing else would tell
    site.close()
    (site.path / STORE).write_bytes(old)
    with pytest.raises(ObjectReplacedError, match="keystore"):
        open_site(site.path)


def test_keystore_and_slots_of_before_a_change_of_roles_are_not_taken(site: SiteFolder, tmp_path: Path) -> None:
    put(site, Kind.SCORES)
    shutil.copytree(site.path / "keys", tmp_path / "keys")
    shutil.copytree(site.path / AREA / "slots", tmp_path / "slots")
    site.vault.rotate_roles([Role.AUDITOR])
    site.close()
    shutil.copytree(tmp_path / "keys", site.path / "keys", dirs_exist_ok=True)
    shutil.copytree(tmp_path / "slots", site.path / AREA / "slots", dirs_exist_ok=True)
    with pytest.raises(ObjectReplacedError):
        open_site(site.path)


def test_keys_that_another_process_changed_before_the_lock_was_ours_are_taken(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.close()
    opened = Ledger.open

    def after_another(*arguments: Any, **named: Any) -> Ledger:  # noqa: ANN401 - stands for any function
        """It has the lock while this one reads the keystore, and derives a key from a passphrase, say."""
        monkeypatch.setattr(Ledger, "open", opened)
        with open_site(site.path) as other:
            put(other, Kind.ADAPTER, b"adapter")
            other.vault.rotate([Kind.ADAPTER])
        return opened(*arguments, **named)

    monkeypatch.setattr(Ledger, "open", after_another)
    with open_site(site.path) as late:
        assert late.keystore.kek_epoch(Kind.ADAPTER) == 2
        late.vault.rotate([Kind.LOG])  # saves all keys that it knows
    with open_site(site.path) as again:
        (adapter,) = again.vault.find(Kind.ADAPTER)
        assert again.vault.read(adapter.object_id, principal=STEWARD) == b"adapter"


def test_root_that_another_process_replaced_before_the_lock_was_ours_stays(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.close()
    opened, fresh = Ledger.open, KeyUnlock.of_secret(bytes([8]) * 32, "key-file")

    def after_another(*arguments: Any, **named: Any) -> Ledger:  # noqa: ANN401 - stands for any function
        monkeypatch.setattr(Ledger, "open", opened)
        with open_site(site.path) as other:
            other.keystore.replace_root([fresh])
        return opened(*arguments, **named)

    monkeypatch.setattr(Ledger, "open", after_another)
    with pytest.raises(KeystoreLockedError):
        open_site(site.path)
    open_site(site.path, unlocks=[fresh]).close()  # the lock is free, and the keystore is the other's


def test_change_of_the_root_that_a_crash_cut_short_is_finished_behind_the_lock(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = KeyUnlock.of_secret(bytes([8]) * 32, "key-file")
    with monkeypatch.context() as patched:
        patched.setattr("fedward.common.vault.keystore.Keystore._write_root", _crash)
        with pytest.raises(KeyboardInterrupt):
            site.keystore.replace_root([fresh])
    site.close()
    both = (site.path / STORE).stat().st_size, (site.path / STORE).read_bytes()
    open_site(site.path).close()
    assert (site.path / STORE).read_bytes() != both[1]
    with pytest.raises(KeystoreLockedError):
        open_site(site.path, unlocks=[fresh])
    open_site(site.path, unlocks=[UNLOCK]).close()


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------ slots


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    path.write_bytes(raw)


def test_slot_of_before_a_rotation_is_no_matter_of_roles(site: SiteFolder) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    old = slot_file(site, Kind.CHECKPOINT).read_bytes()
    site.vault.rotate([Kind.CHECKPOINT])
    slot_file(site, Kind.CHECKPOINT).write_bytes(old)
    with pytest.raises(ObjectReplacedError, match="slot"):
        site.vault.read(object_id, principal=DAEMON)
    last = entries(site, "access")[-1]
    assert (last["allowed"], last["reason"], last["object_id"]) == (False, "damaged", object_id)


@pytest.mark.parametrize(
    "change",
    [
        lambda site: site.vault.rotate(),
        lambda site: site.vault.rotate_roles(),
        lambda site: site.vault.reseal(Kind.CHECKPOINT),
    ],
    ids=["rotate", "roles", "reseal"],
)
def test_damaged_slot_stops_a_change_before_it_begins(site: SiteFolder, change: Callable[[SiteFolder], object]) -> None:
    lost, other = put(site, Kind.CHECKPOINT), put(site, Kind.CHECKPOINT, b"other", run_id=OTHER_RUN)
    damage(slot_file(site, Kind.CHECKPOINT))
    with pytest.raises(ObjectReplacedError) as caught:
        change(site)
    assert "checkpoint-1.slot" in caught.value.advice
    assert site.keystore.pending == ()
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(other, principal=DAEMON) == b"other"
        with pytest.raises(ObjectReplacedError):
            again.vault.read(lost, principal=DAEMON)


def test_damaged_slot_behind_a_crash_does_not_stop_the_start(site: SiteFolder) -> None:
    lost, other = put(site, Kind.CHECKPOINT, b"lost"), put(site, Kind.CHECKPOINT, b"other", run_id=OTHER_RUN)
    backup = slot_file(site, Kind.CHECKPOINT).read_bytes()
    site.keystore.begin([(Purpose.KEK, Kind.CHECKPOINT)], at_ms=9)
    damage(slot_file(site, Kind.CHECKPOINT))
    site.close()
    with open_site(site.path) as again:
        assert again.vault.read(other, principal=DAEMON) == b"other"
    slot_file(site, Kind.CHECKPOINT).write_bytes(backup)  # both keys were kept for this
    with open_site(site.path) as again:
        assert again.keystore.pending == ()
        assert again.vault.read(lost, principal=DAEMON) == b"lost"


@pytest.mark.parametrize("spoil", [damage, lengthen])
def test_damaged_slot_of_one_run_does_not_keep_the_keys_of_another_alive(
    site: SiteFolder, spoil: Callable[[Path], None]
) -> None:
    put(site, Kind.CHECKPOINT)
    put(site, Kind.CHECKPOINT, run_id=OTHER_RUN)
    old = site.keystore.keks(Kind.CHECKPOINT)
    spoil(slot_file(site, Kind.CHECKPOINT, area=f"runs/{OTHER_RUN.hex()}"))
    site.vault.destroy(RUN)
    assert not set(old) & set(site.keystore.keks(Kind.CHECKPOINT))


def test_sound_slot_of_a_loose_mode_is_not_lost_with_the_end_of_another_run(site: SiteFolder) -> None:
    put(site, Kind.CHECKPOINT)
    other = put(site, Kind.CHECKPOINT, b"other", run_id=OTHER_RUN)
    slot = slot_file(site, Kind.CHECKPOINT, area=f"runs/{OTHER_RUN.hex()}")
    slot.chmod(0o644)
    with pytest.raises(VaultPermissionError):
        site.vault.destroy(RUN)
    slot.chmod(0o600)
    site.vault.destroy(RUN)
    assert site.vault.read(other, principal=DAEMON) == b"other"


@pytest.mark.parametrize("what", ["object", "slot"])
def test_reading_what_is_missing_is_an_entry(site: SiteFolder, what: str) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    path = site.path / AREA / "objects" / "checkpoint" / f"{object_id}.fwe"
    (path if what == "object" else slot_file(site, Kind.CHECKPOINT)).unlink()
    with pytest.raises(ObjectNotFoundError):
        site.vault.read(object_id, principal=DAEMON)
    assert entries(site, "access")[-1]["reason"] == "missing"


# ------------------------------------------------------------------------------------------------ indexes and objects


def test_index_that_is_swapped_behind_the_check_is_not_read(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = put(site, Kind.TRAINING, run_id=SITE_DATA)
    path = site.path / "data" / "index.fwe"
    old = path.read_bytes()
    site.vault.delete(gone, principal=STEWARD)
    site.close()
    slots = Area.slots

    def swapping(self: Area, *kinds: Kind) -> Any:  # noqa: ANN401 - as what it stands for
        path.write_bytes(old)
        return slots(self, *kinds)

    monkeypatch.setattr(Area, "slots", swapping)
    with open_site(site.path) as again:
        assert again.vault.find(Kind.TRAINING) == ()


@pytest.mark.parametrize("place", ["index", "object"])
def test_folder_in_the_place_of_a_file_is_refused_in_words(site: SiteFolder, place: str) -> None:
    object_id = put(site, Kind.CHECKPOINT)
    path = site.path / AREA
    path = path / "index.fwe" if place == "index" else path / "objects" / "checkpoint" / f"{object_id}.fwe"
    path.unlink()
    path.mkdir(mode=0o700)
    if place == "object":
        with pytest.raises(VaultError):
            site.vault.read(object_id, principal=DAEMON)
    site.close()
    if place == "index":
        with pytest.raises(VaultError):
            open_site(site.path)


# ------------------------------------------------------------------------------------------------ faults of the disk


def test_area_whose_file_could_not_take_its_place_is_not_passed_over_by_a_rotation(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_id = put(site, Kind.CHECKPOINT, b"weights")
    with monkeypatch.context() as patched:
        patched.setattr(Area, "settle", _fails)
        with pytest.raises(VaultError):
            put(site, Kind.CHECKPOINT, b"more", name="more")
    site.vault.rotate()
    assert site.vault.read(object_id, principal=DAEMON) == b"weights"
    (more,) = site.vault.find(name="more")  # the ledger has it
    assert site.vault.read(more.object_id, principal=DAEMON) == b"more"


def _fails(*_: object) -> None:
    raise VaultError("Input/output error")


def test_what_may_be_valid_is_not_staged_over(site: SiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(site, Kind.CHECKPOINT, b"first")
    append = site.trail.append

    def unclear(drafts: Any) -> None:  # noqa: ANN401 - as what it stands for
        append(drafts)
        site.ledger.close()  # as the ledger does when a COMMIT fails and it cannot tell
        raise LedgerInvalidError("whether the last entries were written is unclear")

    monkeypatch.setattr(site.trail, "append", unclear)
    with pytest.raises(LedgerInvalidError):
        put(site, Kind.CHECKPOINT, b"second", name="second")
    monkeypatch.undo()
    for act in (
        lambda: put(site, Kind.CHECKPOINT, b"third"),
        lambda: site.vault.rotate(),
        lambda: site.vault.destroy(RUN),
    ):
        with pytest.raises(VaultError, match="unclear"):
            act()
    with open_site(site.path) as again:
        assert again.vault.read(first, principal=DAEMON) == b"first"
        assert [info.name for info in again.vault.find(Kind.CHECKPOINT)] == ["one", "second"]


@pytest.mark.parametrize("act", ["write", "unlink", "make_folder"])
def test_disk_that_does_not_keep_a_folder_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    folder = PrivateFolder.create(tmp_path / "site")
    folder.write(("a",), b"x")
    acts: dict[str, Callable[[], None]] = {
        "write": lambda: folder.write(("runs", "a"), b"x"),
        "unlink": lambda: folder.unlink(("a",)),
        "make_folder": lambda: folder.make_folder(("runs", "b")),
    }

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(VaultError, match="Input/output"):
        acts[act]()
    assert files(tmp_path, ".fresh") == []


def test_identity_that_the_ledger_does_not_know_signs_nothing(
    site: SiteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site.identity.public_key

    def full(*_: object) -> None:
        raise LedgerError("the ledger cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "rotate", full)
        with pytest.raises(LedgerError):
            site.rotate_identity()
    assert site.identity.public_key == before
    assert site.rotate_identity().public_key == site.identity.public_key != before
