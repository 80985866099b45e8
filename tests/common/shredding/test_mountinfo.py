"""The table of mounts: what the kernel writes is read back, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import ShreddingError
from fedward.common.shredding.media import MAX_TABLE_BYTES, Mount, mount_of, parse_mountinfo

LINE = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
"""From proc(5)."""
_ESCAPED = b" \t\n\\#"


def escaped(path: bytes) -> bytes:
    """As the kernel writes it (mangle_path)."""
    return b"".join(b"\\%03o" % byte if byte in _ESCAPED else bytes([byte]) for byte in path)


names = st.binary(min_size=1, max_size=20).filter(lambda name: b"/" not in name and b"\0" not in name)
paths = st.lists(names, max_size=5).map(lambda parts: b"/" + b"/".join(parts))
devices = st.tuples(st.integers(0, 4095), st.integers(0, 1 << 20))
optional = st.lists(
    st.sampled_from([b"shared:7", b"master:1", b"propagate_from:2", b"unbindable"]), max_size=3, unique=True
)


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, Mount]:
    """A line as the kernel writes it, and what it says."""
    device, point, root = draw(devices), draw(paths), draw(paths)
    fs_type = draw(st.sampled_from(["ext4", "btrfs", "tmpfs", "fuse.sshfs"]))
    tags = b"".join(tag + b" " for tag in draw(optional))
    line = b"%d %d %d:%d %s %s rw,relatime %s- %s %s rw,data=journal\n" % (
        draw(st.integers(1, 99999)),
        draw(st.integers(1, 99999)),
        *device,
        escaped(root),
        escaped(point),
        tags,
        fs_type.encode(),
        escaped(draw(paths)),
    )
    options = frozenset({"rw", "relatime", "data=journal"})
    return line, Mount(device=device, point=point, fs_type=fs_type, options=options)


@given(st.lists(lines(), max_size=5))
def test_table_is_read_as_it_was_written(table: list[tuple[bytes, Mount]]) -> None:
    assert parse_mountinfo(b"".join(line for line, _ in table)) == tuple(mount for _, mount in table)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_our_error(raw: bytes) -> None:
    try:
        parse_mountinfo(raw)
    except ShreddingError:
        return
    assert not raw or raw.endswith(b"\n")


@given(lines(), st.data())
def test_line_with_a_byte_less_is_another_line_or_refused(line: tuple[bytes, Mount], data: st.DataObject) -> None:
    raw, _ = line
    at = data.draw(st.integers(0, len(raw) - 1))
    try:
        parsed = parse_mountinfo(raw[:at] + raw[at + 1 :])
    except ShreddingError:
        return
    assert len(parsed) == 1


@pytest.mark.parametrize(
    "line",
    [
        LINE.rstrip(b"\n"),
        LINE.replace(b" - ", b" "),
        LINE.replace(b"98:0", b"98"),
        LINE.replace(b"/mnt2", b"mnt2"),
        LINE.replace(b"/mnt2", b"/mnt\\2"),
        LINE.replace(b"/mnt2", b"/mnt\\9992"),
        LINE.replace(b"/mnt2", b"/mnt\\000"),
        LINE.replace(b"/mnt2", b"/mnt\\777"),
        LINE.replace(b"master:1", b"Master"),
        LINE.replace(b"36", b"x"),
        LINE.replace(b"ext3", b"ext\xff"),
        LINE.replace(b" rw,errors=continue", b""),
        LINE.replace(b" ", b"  ", 1),
        LINE + b"\n",
        b" " + LINE,
    ],
)
def test_line_of_another_form_is_refused(line: bytes) -> None:
    with pytest.raises(ShreddingError):
        parse_mountinfo(line)


def test_table_without_end_is_refused() -> None:
    with pytest.raises(ShreddingError, match="too long"):
        parse_mountinfo(LINE * (MAX_TABLE_BYTES // len(LINE) + 1))


def mount(point: str, device: tuple[int, int] = (8, 1), fs_type: str = "ext4") -> Mount:
    return Mount(device=device, point=point.encode(), fs_type=fs_type, options=frozenset({"rw"}))


def test_longest_mount_of_the_device_holds_the_path() -> None:
    mounts = (mount("/"), mount("/data"), mount("/data/site", (8, 2)), mount("/dat"))
    assert mount_of(b"/data/site/x", (8, 1), mounts) == mounts[1]
    assert mount_of(b"/data/site/x", (8, 2), mounts) == mounts[2]
    assert mount_of(b"/database", (8, 1), mounts) == mounts[0]


def test_mount_upon_a_mount_hides_the_one_below() -> None:
    mounts = (mount("/shm", (0, 5), "tmpfs"), mount("/shm", (0, 5), "ramfs"))
    assert mount_of(b"/shm", (0, 5), mounts) == mounts[1]


def test_folder_that_is_bound_in_from_the_same_disk_is_of_its_own_mount() -> None:
    mounts = (mount("/"), mount("/run/x/scratch"))
    assert mount_of(b"/run/x/scratch/a", (8, 1), mounts) == mounts[1]


def test_foreign_number_counts_for_copy_on_write_alone() -> None:
    assert mount_of(b"/a", (0, 99), (mount("/", (0, 31), "btrfs"),)) is not None
    assert mount_of(b"/a", (0, 99), (mount("/", (0, 31), "tmpfs"),)) is None


@given(st.lists(st.tuples(paths, devices), max_size=6), paths, devices)
def test_mount_that_is_found_is_above_the_path_and_of_its_device(
    table: list[tuple[bytes, tuple[int, int]]], path: bytes, device: tuple[int, int]
) -> None:
    mounts = tuple(Mount(device=d, point=p, fs_type="ext4", options=frozenset()) for p, d in table)
    found = mount_of(path, device, mounts)
    above = [m for m in mounts if m.device == device and (path + b"/").startswith(m.point.rstrip(b"/") + b"/")]
    assert (found is None) == (not above)
    if found is not None:
        assert len(found.point) == max(len(m.point) for m in above)


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="no Linux")
def test_own_table_is_read() -> None:
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())
    state = os.stat("/proc")
    assert mount_of(b"/proc", (os.major(state.st_dev), os.minor(state.st_dev)), mounts) is not None
