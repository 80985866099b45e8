"""What an overwrite is worth, on made-up machines: only ext4 on a virtual disk and tmpfs are here for real."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fedward.common.errors import ConfigError
from fedward.common.shredding.media import (
    NOWHERE,
    Claim,
    Medium,
    Storage,
    System,
    Verdict,
    medium_of,
    parse_claim,
)
from tests.common.shredding.machines import Machine

SPINNING = {"rotational": "1"}
FLASH = {"rotational": "0"}
SILENT: dict[str, Any] = {"rotational": None}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def there(machine: Machine, *, claim: Claim | None = None) -> Medium:
    """The verdict of the root folder of ``machine``."""
    machine.holds("/", "8:1")
    return medium_of(Path("/"), claim=claim, system=machine.system)


@dataclass(frozen=True)
class Case:
    fs_type: str
    disk: dict[str, Any]
    verdict: Verdict
    label: str
    options: str = "rw"
    name: str = field(default="")


CASES = [
    Case("ext4", SPINNING, Verdict.LIKELY, "ext4/rotational"),
    Case("ext3", SPINNING, Verdict.LIKELY, "ext3/rotational"),
    Case("ext2", SPINNING, Verdict.LIKELY, "ext2/rotational"),
    Case("xfs", SPINNING, Verdict.LIKELY, "xfs/rotational"),
    Case("ext4", SPINNING, Verdict.COPIES_IN_JOURNAL, "ext4/rotational", "rw,data=journal"),
    Case("ext4", FLASH, Verdict.COPIES_IN_JOURNAL, "ext4/flash", "rw,data=journal"),
    Case("ext4", SPINNING, Verdict.LIKELY, "ext4/rotational", "rw,data=ordered"),
    Case("ext4", FLASH, Verdict.UNKNOWN, "ext4/flash"),
    Case("xfs", FLASH, Verdict.UNKNOWN, "xfs/flash"),
    Case("ext4", SILENT, Verdict.UNKNOWN, "ext4/unknown"),
    Case("f2fs", FLASH, Verdict.UNKNOWN, "f2fs/flash"),
    Case("f2fs", SPINNING, Verdict.UNKNOWN, "f2fs/rotational"),
    Case("ntfs3", SPINNING, Verdict.UNKNOWN, "ntfs3/rotational"),
    Case("btrfs", SPINNING, Verdict.NONE, "btrfs/rotational"),
    Case("zfs", SPINNING, Verdict.NONE, "zfs/rotational"),
    Case("bcachefs", FLASH, Verdict.NONE, "bcachefs/flash"),
    Case("apfs", FLASH, Verdict.NONE, "apfs/flash"),
    Case("overlay", SPINNING, Verdict.NONE, "overlay/rotational"),
    Case("tmpfs", SPINNING, Verdict.MEMORY, "tmpfs/memory"),
    Case("ramfs", SPINNING, Verdict.MEMORY, "ramfs/memory"),
    Case("nfs4", SPINNING, Verdict.UNKNOWN, "nfs4/rotational"),
    Case("cifs", SILENT, Verdict.UNKNOWN, "cifs/unknown"),
    Case("fuse.sshfs", SILENT, Verdict.UNKNOWN, "other/unknown"),
    Case("a-new-file-system", SPINNING, Verdict.UNKNOWN, "other/rotational"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.label} {case.options}")
def test_verdict_is_that_of_the_table(case: Case, machine: Machine) -> None:
    machine.disk("8:1", "sda", partition="sda1", **case.disk)
    machine.mount("8:1", "/", case.fs_type, case.options)
    medium = there(machine)
    assert (medium.verdict, medium.label) == (case.verdict, case.label)


@pytest.mark.parametrize("claim", Claim)
@pytest.mark.parametrize("fs_type", ["tmpfs", "ext4", "nfs4", "btrfs"])
def test_claim_never_raises_a_verdict(claim: Claim, fs_type: str, machine: Machine) -> None:
    machine.disk("8:1", "sda", partition="sda1")
    machine.mount("8:1", "/", fs_type)
    order = list(Verdict)
    before, after = there(machine).verdict, there(machine, claim=claim).verdict
    assert order.index(after) == max(order.index(before), order.index(claim.verdict))


def test_claim_of_flash_lowers_a_rotational_disk(machine: Machine) -> None:
    machine.disk("8:1", "sda", partition="sda1")
    machine.mount("8:1", "/", "ext4")
    assert there(machine, claim=Claim.FLASH).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("word", ["memory", "rotational", "likely", "", "FLASH"])
def test_word_that_would_raise_a_verdict_is_no_claim(word: str) -> None:
    with pytest.raises(ConfigError, match="lowers"):
        parse_claim(word)


def test_other_system_than_linux_is_unknown(machine: Machine) -> None:
    assert medium_of(Path("/"), system=System(is_linux=False)) == NOWHERE


@pytest.mark.parametrize(
    ("bus", "attributes"),
    [
        ("pci0000:00/virtio1", {}),
        ("vbd-51712", {}),
        ("virtual", {}),
        ("pci0000:00/ata1", {"device/vendor": "VMware", "device/model": "Virtual disk"}),
        ("pci0000:00/ata1", {"device/vendor": "ATA", "device/model": "QEMU HARDDISK"}),
    ],
)
def test_virtual_disk_that_says_it_spins_is_not_believed(
    bus: str, attributes: dict[str, str], machine: Machine
) -> None:
    machine.disk("8:1", "vda", partition="vda1", bus=bus, attributes=attributes)
    machine.mount("8:1", "/", "ext4")
    assert (there(machine).storage, there(machine).verdict) == (Storage.VIRTUAL, Verdict.UNKNOWN)


def test_volume_is_what_lies_below_it(machine: Machine) -> None:
    machine.disk("8:16", "sdb")
    machine.disk("8:1", "dm-0", bus="virtual", slaves=["sdb"], attributes={"dm/uuid": "CRYPT-LUKS2-ab-home"})
    machine.mount("8:1", "/", "ext4")
    assert there(machine).verdict is Verdict.LIKELY


def test_array_with_one_flash_disk_is_flash(machine: Machine) -> None:
    machine.disk("8:16", "sdb")
    machine.disk("8:32", "nvme0n1", rotational="0")
    machine.disk("8:1", "md0", bus="virtual", slaves=["sdb", "nvme0n1"])
    machine.mount("8:1", "/", "ext4")
    assert there(machine).storage is Storage.FLASH


@pytest.mark.parametrize("part", ["-real", "-cow", "-tpool"])
def test_volume_with_a_snapshot_or_a_thin_pool_is_worth_nothing(part: str, machine: Machine) -> None:
    machine.disk("8:16", "sdb")
    machine.disk("253:1", "dm-1", bus="virtual", slaves=["sdb"], attributes={"dm/uuid": f"LVM-abc{part}"})
    machine.disk("8:1", "dm-0", bus="virtual", slaves=["dm-1"], attributes={"dm/uuid": "LVM-abc"})
    machine.mount("8:1", "/", "ext4")
    assert there(machine).verdict is Verdict.NONE


def test_devices_that_lie_below_each_other_end(machine: Machine) -> None:
    folder = machine.disk("8:1", "dm-0", bus="virtual", slaves=[])
    (folder / "slaves/dm-0").symlink_to(folder)
    machine.mount("8:1", "/", "ext4")
    assert there(machine).storage is Storage.ROTATIONAL


def test_journaled_data_that_only_the_superblock_asks_for_is_seen(machine: Machine) -> None:
    machine.disk("8:1", "sda", partition="sda1")
    machine.mount("8:1", "/", "ext4")
    options = machine.root / "proc-fs/ext4/sda1/options"
    options.parent.mkdir(parents=True)
    options.write_text("rw\ndata=journal\ncommit=5\n")
    assert there(machine).verdict is Verdict.COPIES_IN_JOURNAL


def test_subvolume_of_btrfs_is_found_without_its_number(machine: Machine) -> None:
    machine.mount("0:31", "/", "btrfs")
    machine.holds("/", "0:44")
    assert medium_of(Path("/"), system=machine.system).verdict is Verdict.NONE


def test_path_of_a_device_that_no_mount_has_is_unknown(machine: Machine) -> None:
    machine.disk("8:1", "sda")
    machine.mount("8:1", "/", "ext4")
    machine.holds("/", "9:9")
    assert medium_of(Path("/"), system=machine.system) == NOWHERE


@pytest.mark.parametrize("table", [b"", b"garbage\n", b"1 2 3\n", b"\xff" * 100 + b"\n"])
def test_table_that_is_not_understood_is_unknown(table: bytes) -> None:
    assert medium_of(Path("/"), system=System(mountinfo=lambda: table, is_linux=True)) == NOWHERE


def test_table_that_cannot_be_read_is_unknown() -> None:
    def gone() -> bytes:
        raise OSError

    assert medium_of(Path("/"), system=System(mountinfo=gone, is_linux=True)) == NOWHERE


def test_path_that_is_not_there_is_judged_by_the_folder_above(tmp_path: Path, machine: Machine) -> None:
    machine.disk("8:2", "sdb", rotational="0")
    machine.disk("8:1", "sda")
    machine.mount("8:1", "/", "ext4")
    machine.mount("8:2", str(tmp_path), "xfs")
    machine.holds(tmp_path, "8:2")
    assert medium_of(tmp_path / "a/b", system=machine.system).label == "xfs/flash"


def test_link_is_judged_by_where_it_leads(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    machine.disk("8:2", "sdb", rotational="0")
    machine.mount("8:2", str(tmp_path / "there"), "xfs")
    machine.holds(tmp_path / "there", "8:2")
    assert medium_of(tmp_path / "link", system=machine.system).label == "xfs/flash"


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="no Linux")
def test_this_machine_gives_a_verdict_of_its_own(tmp_path: Path) -> None:
    words = ["stat", "-f", "-c", "%T", str(tmp_path)]
    name = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    medium = medium_of(tmp_path)
    assert ("tmpfs" in name) == (medium.verdict is Verdict.MEMORY)
