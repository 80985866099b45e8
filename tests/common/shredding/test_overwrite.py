"""Overwriting: nothing outside the folder is touched, whatever lies in it; and a crash at any step is made good."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedward.common.errors import ShreddingError
from fedward.common.shredding import overwrite
from fedward.common.shredding.overwrite import MAX_DEPTH, Overwriter
from fedward.common.shredding.overwritten import Overwritten, Refusal


class Killed(BaseException):
    """The process ends here."""


def kill_at(number: int) -> Callable[[str], None]:
    """Ends the ``number``-th step, counted from 0."""
    left = [number]

    def step(_: str) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    return step


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


def filled(folder: Path) -> Path:
    """A folder as a library leaves it: nested, with a link into itself, an empty file and an odd mode."""
    (folder / "hub/blobs").mkdir(parents=True)
    (folder / "hub/blobs/abc").write_bytes(b"record of a patient" * 300)
    (folder / "hub/snapshot").symlink_to("blobs/abc")
    (folder / "empty").touch()
    (folder / "odd").write_bytes(b"x" * 5000)
    (folder / "odd").chmod(0)
    return folder


def test_file_is_gone_and_counted(folder: Path) -> None:
    (folder / "a").write_bytes(b"x" * 5000)
    done = Overwriter().shred_file(folder, "a")
    assert (done.num_files, done.num_bytes, os.listdir(folder)) == (1, 5000, [])


def test_bytes_are_overwritten_to_the_end_of_their_last_block(folder: Path) -> None:
    path = folder / "a"
    path.write_bytes(b"secret" * 100_000)
    seen: dict[str, bytes] = {}

    def look(step: str) -> None:
        seen[step] = b"".join(found.read_bytes() for found in folder.iterdir())

    Overwriter(step=look).shred_file(folder, "a")
    assert b"secret" in seen["overwrite"]
    assert b"secret" not in seen["truncate"]
    assert len(seen["truncate"]) >= 600_000
    assert len(seen["truncate"]) % path.parent.stat().st_blksize == 0
    assert seen["rename"] == seen["unlink"] == b""


def test_second_name_of_a_file_holds_nothing_and_is_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_bytes(b"secret")
    os.link(folder / "a", tmp_path / "other")
    done = Overwriter().shred_file(folder, "a")
    assert (done.num_shared, (tmp_path / "other").read_bytes()) == (1, b"")


def test_name_does_not_stay_in_the_folder(folder: Path) -> None:
    (folder / "patient-4711.csv").touch()
    names: dict[str, list[str]] = {}

    def look(step: str) -> None:
        names[step] = os.listdir(folder)

    Overwriter(step=look).shred_file(folder, "patient-4711.csv")
    assert names["unlink"] != ["patient-4711.csv"]
    assert len(names["unlink"][0]) == 32


def test_sparse_file_does_not_fill_the_disk(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"x")
    drawn: list[int] = []

    def count(size: int) -> bytes:
        drawn.append(size)
        return os.urandom(size)

    Overwriter(random_bytes=count).shred_file(folder, "sparse")
    assert sum(drawn) < 1 << 20
    assert os.listdir(folder) == []


def test_full_disk_still_truncates_and_removes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_bytes(b"secret")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    done = Overwriter().shred_file(folder, "a")
    assert (done.num_unwritten, os.listdir(folder)) == (1, [])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "/etc/passwd", "a\0"])
def test_path_instead_of_a_name_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(ShreddingError, match="not by a path"):
        Overwriter().shred_file(folder, name)


def test_nothing_there_is_nothing_done(folder: Path) -> None:
    assert Overwriter().shred_file(folder, "a") == Overwriter().shred_folder(folder / "b") == Overwritten()


def test_link_instead_of_a_file_is_refused_and_its_target_untouched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"keep")
    (folder / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(ShreddingError, match="regular file"):
        Overwriter().shred_file(folder, "a")
    assert (tmp_path / "outside").read_bytes() == b"keep"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_special_file_is_refused_by_its_name(make: Callable[[Path], None], folder: Path) -> None:
    make(folder / "a")
    with pytest.raises(ShreddingError, match="regular file"):
        Overwriter().shred_file(folder, "a")


def test_folder_goes_with_all_in_it(folder: Path) -> None:
    done = Overwriter().shred_folder(filled(folder))
    assert not folder.exists()
    assert (done.num_files, done.num_folders, done.num_unnamed, done.refused) == (3, 3, 1, ())


def test_folder_may_be_kept_empty(folder: Path) -> None:
    Overwriter().shred_folder(filled(folder), keep=True)
    assert os.listdir(folder) == []


def test_link_in_a_folder_is_removed_and_never_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_bytes(b"keep")
    (folder / "to-folder").symlink_to(outside)
    (folder / "to-file").symlink_to(outside / "keep")
    (folder / "dangling").symlink_to("nowhere")
    assert Overwriter().shred_folder(folder).num_unnamed == 3
    assert (outside / "keep").read_bytes() == b"keep"


def test_link_instead_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "keep").write_bytes(b"keep")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ShreddingError, match="cannot be opened"):
        Overwriter().shred_folder(tmp_path / "link")
    assert (folder / "keep").read_bytes() == b"keep"


def test_socket_and_pipe_are_removed_unopened(folder: Path) -> None:
    os.mkfifo(folder / "pipe")  # opening it would wait for a writer
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        done = Overwriter().shred_folder(folder)
    assert (done.num_unnamed, folder.exists()) == (2, False)


def test_folder_of_another_owner_is_refused(folder: Path) -> None:
    filled(folder)
    done = Overwriter(owner=os.geteuid() + 1).shred_folder(folder)
    assert [refused.reason for refused in done.refused] == [Refusal.OWNER]
    assert (folder / "hub/blobs/abc").read_bytes().startswith(b"record")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_files_of_others_stay_and_the_rest_goes(folder: Path) -> None:
    (folder / "theirs").write_bytes(b"keep")
    os.chown(folder / "theirs", 12345, 12345)
    (folder / "ours").write_bytes(b"x")
    done = Overwriter().shred_folder(folder)
    assert [(refused.reason, refused.path) for refused in done.refused] == [(Refusal.OWNER, "theirs")]
    assert os.listdir(folder) == ["theirs"]
    assert (folder / "theirs").read_bytes() == b"keep"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")
def test_device_node_stays(folder: Path) -> None:
    try:
        os.mknod(folder / "null", 0o20600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("device nodes are not allowed here")
    assert [refused.reason for refused in Overwriter().shred_folder(folder).refused] == [Refusal.DEVICE]


def test_what_is_mounted_inside_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bound").mkdir()
    (folder / "bound/keep").write_bytes(b"keep")
    (folder / "file").write_bytes(b"keep")
    real = overwrite._mount_id
    inode = {(folder / "bound").stat().st_ino, (folder / "file").stat().st_ino}
    monkeypatch.setattr(overwrite, "_mount_id", lambda fd: (0, b"other") if os.fstat(fd).st_ino in inode else real(fd))
    done = Overwriter().shred_folder(folder)
    assert [refused.reason for refused in done.refused] == [Refusal.MOUNT] * 2
    assert (folder / "bound/keep").read_bytes() == (folder / "file").read_bytes() == b"keep"


def test_folders_deeper_than_any_library_makes_stay(folder: Path) -> None:
    deep = folder
    for _ in range(MAX_DEPTH + 2):
        deep = deep / "d"
        deep.mkdir()
    assert [refused.reason for refused in Overwriter().shred_folder(folder).refused] == [Refusal.DEPTH]


def test_file_that_is_swapped_while_it_is_looked_at_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_bytes(b"x")
    (folder / "b").write_bytes(b"keep")
    state = os.stat(folder / "b")
    monkeypatch.setattr(overwrite, "_state", lambda *_: state)
    done = Overwriter().shred_file(folder, "a")
    assert [refused.reason for refused in done.refused] == [Refusal.CHANGED]


def test_what_stays_is_an_error_that_names_no_file(folder: Path) -> None:
    done = Overwriter(owner=os.geteuid() + 1).shred_folder(filled(folder))
    with pytest.raises(ShreddingError, match=r"1 thing\(s\)") as caught:
        done.require_complete()
    assert "odd" not in str(caught.value) + repr(done)


def test_crash_at_every_step_is_made_good_by_the_next_try(tmp_path: Path) -> None:
    for number in range(200):
        folder = filled(tmp_path / f"run-{number}")
        folder.chmod(0o700)
        try:
            Overwriter(step=kill_at(number)).shred_folder(folder)
        except Killed:
            Overwriter().shred_folder(folder)
            continue
        break
    assert 15 < number < 199
    assert list(tmp_path.iterdir()) == []


CHILD = """
import os, sys, tempfile
from pathlib import Path
from fedward.common.shredding.overwrite import Overwriter
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
root = Path(tempfile.mkdtemp(dir=sys.argv[1]))
(root / "closed").mkdir()
(root / "closed/file").write_bytes(b"record")
(root / "closed/file").chmod(0)
(root / "closed").chmod(0)
done = Overwriter().shred_folder(root)
print(done.num_files, done.num_folders, len(done.refused), root.exists())
"""


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no folder that every account may write")
def test_own_files_go_whatever_their_mode_also_without_privileges() -> None:
    words = [sys.executable, "-c", CHILD, "/dev/shm"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1", "2", "0", "False"]
