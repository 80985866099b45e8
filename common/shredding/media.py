"""What an overwrite is worth on the medium that holds a path.

The file system is read from ``/proc/self/mountinfo`` by device number, the disk from ``queue/rotational`` of the block
devices below it; ``os.statvfs`` knows neither. All of it is hearsay: a table that does not parse, a mount that is not
found, a virtual disk (which says whatever its host lets it say; virtio says "rotational" by default) is ``unknown``.
A caller may lower a verdict and never raise one.

Two rows of the design page name apfs and f2fs twice or leave rotation open; the lower verdict is taken. A device-mapper
volume is what lies below it, unless it is thin or has a snapshot.

Not handled here: swap, what a controller or a backup keeps, ``chattr +j`` on single files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from fedward.common.errors import ConfigError, ShreddingError

MAX_TABLE_BYTES: Final = 4 << 20
_MAX_DEVICES = 64
_MAX_ATTRIBUTE_BYTES = 4096


class Verdict(StrEnum):
    """What one overwrite achieves, the best first."""

    MEMORY = "memory"
    """Nothing was on a disk, swap aside."""
    LIKELY = "likely"
    UNKNOWN = "unknown"
    COPIES_IN_JOURNAL = "copies-in-journal"
    NONE = "none"
    """Copy on write: new blocks are written, the old ones stay."""

    def lowered_to(self, other: Verdict) -> Verdict:
        """The lower of the two."""
        order = tuple(Verdict)
        return max(self, other, key=order.index)


class Claim(StrEnum):
    """What a person may know of a medium that the system does not say; each can only lower the verdict."""

    FLASH = "flash"
    JOURNAL = "journal"
    SNAPSHOTS = "snapshots"

    @property
    def verdict(self) -> Verdict:
        """The best that can be on such a medium."""
        return {
            Claim.FLASH: Verdict.UNKNOWN,
            Claim.JOURNAL: Verdict.COPIES_IN_JOURNAL,
            Claim.SNAPSHOTS: Verdict.NONE,
        }[self]


class Storage(StrEnum):
    """What holds the blocks."""

    MEMORY = "memory"
    ROTATIONAL = "rotational"
    FLASH = "flash"
    VIRTUAL = "virtual"
    """A loop, network or hypervisor's disk: what it says of itself is no evidence."""
    SNAPSHOTS = "snapshots"
    """A device-mapper volume that is thin or has a snapshot."""
    UNKNOWN = "unknown"


_MEMORY = frozenset({"tmpfs", "ramfs"})
_COPY_ON_WRITE = frozenset({"apfs", "bcachefs", "btrfs", "overlay", "zfs"})
_EXT = frozenset({"ext2", "ext3", "ext4"})
_IN_PLACE = _EXT | {"xfs"}
_OTHER = frozenset({"cifs", "exfat", "f2fs", "fuse", "fuseblk", "nfs", "nfs4", "ntfs", "ntfs3", "smb3", "vfat"})
FILE_SYSTEMS: Final = _MEMORY | _COPY_ON_WRITE | _IN_PLACE | _OTHER
"""Named in a certificate; every other one is ``other`` there."""
_ANONYMOUS = frozenset({"btrfs", "overlay"})
"""Their files may carry a device number of their own (a subvolume, a lower layer), which is in no table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A line of mountinfo (proc(5)); paths unescaped, as bytes."""

    device: tuple[int, int]
    point: bytes = field(repr=False)
    fs_type: str
    options: frozenset[str] = field(repr=False)
    """Of the mount and of the file system together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Medium:
    """Where a path lies. Holds no path: it goes into certificates."""

    fs_type: str
    """One of ``FILE_SYSTEMS``, or ``other``."""
    storage: Storage
    verdict: Verdict

    @property
    def label(self) -> str:
        """As a certificate names it: ``ext4/flash``."""
        return f"{self.fs_type}/{self.storage}"

    def claimed(self, claim: Claim | None) -> Medium:
        """The same with what a person claims; it never gets better."""
        return self if claim is None else replace(self, verdict=self.verdict.lowered_to(claim.verdict))


NOWHERE: Final = Medium(fs_type="other", storage=Storage.UNKNOWN, verdict=Verdict.UNKNOWN)


def parse_claim(text: str) -> Claim:
    """The claim that a person typed.

    Raises:
        ConfigError: another word; ``memory`` and ``rotational`` would raise a verdict.
    """
    try:
        return Claim(text)
    except ValueError:
        hint = f"One of {', '.join(Claim)}: a claim can lower what an overwrite is worth, never raise it."
        raise ConfigError(f"--medium: {text!r} is no medium that lowers the verdict", hint=hint) from None


_LINE = re.compile(
    rb"(?P<id>\d{1,10}) (?P<parent>\d{1,10}) (?P<major>\d{1,7}):(?P<minor>\d{1,8}) (?P<root>[^ ]+) (?P<point>/[^ ]*) "
    rb"(?P<options>[^ ]+) (?:[a-z_]+(?::[^ ]+)? )*- (?P<type>[^ ]{1,64}) (?P<source>[^ ]*) (?P<super>[^ ]+)"
)
_ESCAPE = re.compile(rb"\\([0-7]{3})?")


def parse_mountinfo(raw: bytes) -> tuple[Mount, ...]:
    """The mounts of a table, in its order.

    Raises:
        ShreddingError: too long, or a line of another form: a table that is not understood proves nothing.
    """
    if len(raw) > MAX_TABLE_BYTES:
        raise ShreddingError("the table of mounts is too long")
    if raw and not raw.endswith(b"\n"):
        raise ShreddingError("the table of mounts has no end")
    return tuple(_mount(line) for line in raw.split(b"\n")[:-1])


def _mount(line: bytes) -> Mount:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ShreddingError("a line of the table of mounts is not of its form")
    try:
        fs_type = found["type"].decode("ascii")
        options = f"{found['options'].decode()},{found['super'].decode('utf-8', 'replace')}"
    except UnicodeDecodeError:
        raise ShreddingError("a line of the table of mounts is not text") from None
    return Mount(
        device=(int(found["major"]), int(found["minor"])),
        point=_unescaped(found["point"]),
        fs_type=fs_type,
        options=frozenset(options.split(",")),
    )


def _unescaped(path: bytes) -> bytes:
    r"""Undo the kernel's ``\040``; a bare backslash is never written."""

    def one(match: re.Match[bytes]) -> bytes:
        value = int(match[1], 8) if match[1] else 0
        if not 0 < value < 256:
            raise ShreddingError("a path of the table of mounts has an escape of another form")
        return bytes([value])

    return _ESCAPE.sub(one, path)


def mount_of(path: bytes, device: tuple[int, int], mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that holds ``path``: the longest of its device, and of equal ones the last, which hides the others.

    Args:
        path: absolute, without links.
        device: major and minor of the file's ``st_dev``.
        mounts: the table.

    Returns:
        None if no mount of that device is above the path; a copy-on-write one counts without its device number.
    """
    above = [mount for mount in mounts if _is_above(mount.point, path)]
    same = [mount for mount in above if mount.device == device]
    if same:
        return max(enumerate(same), key=lambda item: (len(item[1].point), item[0]))[1]
    longest = max(enumerate(above), key=lambda item: (len(item[1].point), item[0]))[1] if above else None
    return longest if longest is not None and longest.fs_type in _ANONYMOUS else None


def _is_above(point: bytes, path: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Where the facts are read; tests put a made-up machine in its place."""

    mountinfo: Callable[[], bytes] = lambda: _read_limited(Path("/proc/self/mountinfo"), MAX_TABLE_BYTES)
    sys_root: Path = Path("/sys")
    ext_options: Path = Path("/proc/fs")
    """``<type>/<device>/options``: all options of an ext file system; the table leaves out the superblock's own."""
    device_of: Callable[[Path], tuple[int, int]] = lambda path: _device_of(path)
    is_linux: bool = os.name == "posix" and os.uname().sysname == "Linux"


def _read_limited(path: Path, limit: int) -> bytes:
    """The file, of which at most ``limit`` + 1 bytes are taken."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _device_of(path: Path) -> tuple[int, int]:
    number = path.stat().st_dev
    return os.major(number), os.minor(number)


def medium_of(path: Path, *, claim: Claim | None = None, system: System | None = None) -> Medium:
    """What holds ``path`` (its nearest folder that exists); never raises, ``unknown`` is the answer to all doubt."""
    system = system or System()
    try:
        medium = _medium(path, system) if system.is_linux else NOWHERE
    except (OSError, ShreddingError, ValueError):
        medium = NOWHERE
    return medium.claimed(claim)


def _medium(path: Path, system: System) -> Medium:
    there = path.resolve()
    while not there.exists() and there != there.parent:
        there = there.parent
    mounts = parse_mountinfo(system.mountinfo())
    mount = mount_of(os.fsencode(there), system.device_of(there), mounts)
    if mount is None:
        return NOWHERE
    storage = _storage(mount, system)
    fs_type = mount.fs_type if mount.fs_type in FILE_SYSTEMS else "other"
    verdict = _verdict(mount, storage, is_journaled=_journals_data(mount, system))
    return Medium(fs_type=fs_type, storage=storage, verdict=verdict)


def _verdict(mount: Mount, storage: Storage, *, is_journaled: bool) -> Verdict:
    """The table of the design page, section 4."""
    if mount.fs_type in _MEMORY:
        return Verdict.MEMORY
    if mount.fs_type in _COPY_ON_WRITE or storage is Storage.SNAPSHOTS:
        return Verdict.NONE
    if is_journaled:
        return Verdict.COPIES_IN_JOURNAL
    if mount.fs_type in _IN_PLACE and storage is Storage.ROTATIONAL:
        return Verdict.LIKELY
    return Verdict.UNKNOWN


def _journals_data(mount: Mount, system: System) -> bool:
    if mount.fs_type not in _EXT:
        return False
    if "data=journal" in mount.options:
        return True
    name = _block_folder(mount.device, system).name
    try:
        options = _read_limited(system.ext_options / mount.fs_type / name / "options", _MAX_ATTRIBUTE_BYTES)
    except OSError:
        return False
    return b"data=journal" in options.split(b"\n")


def _block_folder(device: tuple[int, int], system: System) -> Path:
    return (system.sys_root / "dev/block" / f"{device[0]}:{device[1]}").resolve()


def _storage(mount: Mount, system: System) -> Storage:
    if mount.fs_type in _MEMORY:
        return Storage.MEMORY
    if mount.device[0] == 0:  # not on a block device of its own
        return Storage.UNKNOWN
    kinds = set(_kinds(_block_folder(mount.device, system)))
    for kind in (Storage.SNAPSHOTS, Storage.VIRTUAL, Storage.UNKNOWN, Storage.FLASH, Storage.ROTATIONAL):
        if kind in kinds:  # the one that promises least
            return kind
    return Storage.UNKNOWN


def _kinds(folder: Path) -> Iterator[Storage]:
    """What each device below a block device is, down to the disks."""
    waiting, seen = [folder], {folder}
    while waiting:
        device = waiting.pop()
        disk = device.parent if (device / "partition").exists() else device
        slaves = [link.resolve() for link in sorted((disk / "slaves").glob("*"))]
        yield _kind(disk, has_slaves=bool(slaves))
        fresh = [slave for slave in slaves if slave not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
        if len(seen) > _MAX_DEVICES:
            yield Storage.UNKNOWN
            return


_SNAPSHOT_PARTS = ("-real", "-cow", "-tpool", "-tdata", "-vpool")
_VIRTUAL_VENDORS = ("MSFT", "QEMU", "VBOX", "VIRTUAL", "VMWARE", "XEN")


def _kind(disk: Path, *, has_slaves: bool) -> Storage:
    # A thick snapshot's origin lies on "<uuid>-real", a thin volume on "<uuid>-tpool".
    if _attribute(disk / "dm/uuid").endswith(_SNAPSHOT_PARTS):
        return Storage.SNAPSHOTS
    if not has_slaves and _is_virtual(disk):
        return Storage.VIRTUAL
    rotational = _attribute(disk / "queue/rotational")
    return {"0": Storage.FLASH, "1": Storage.ROTATIONAL}.get(rotational, Storage.UNKNOWN)


def _is_virtual(disk: Path) -> bool:
    """A disk that a hypervisor, a file or a network stands behind."""
    if any(part.startswith(("virtio", "vbd-")) or part == "virtual" for part in disk.parts):
        return True
    name = f"{_attribute(disk / 'device/vendor')} {_attribute(disk / 'device/model')}".upper()
    return any(vendor in name for vendor in _VIRTUAL_VENDORS)


def _attribute(path: Path) -> str:
    try:
        return _read_limited(path, _MAX_ATTRIBUTE_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return ""


__all__ = [
    "Claim",
    "FILE_SYSTEMS",
    "Medium",
    "medium_of",
    "Mount",
    "mount_of",
    "NOWHERE",
    "parse_claim",
    "parse_mountinfo",
    "Storage",
    "System",
    "Verdict",
]
