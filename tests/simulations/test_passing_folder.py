"""Files in the clear for as long as one process lives: in memory, shredded at its end, and by the next after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fedward.common.shredding.overwrite import Overwriter
from fedward.common.shredding.overwritten import Overwritten, Refusal, Refused
from fedward.common.shredding.scratch import Machine
from fedward.simulations.passing_folder import PREFIX, passing_folder

ROOM = 1 << 20


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without a tmpfs, whose temporary folder is the test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Machine(environment={}, shared_memory=tmp_path / "none")


def test_a_folder_and_all_in_it_is_gone_at_the_end(on_disk: Machine, tmp_path: Path) -> None:
    with passing_folder(ROOM, machine=on_disk) as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "inner").mkdir()
        (folder / "inner" / "note.txt").write_text("a note", "utf-8")
    assert list(tmp_path.iterdir()) == []


def test_it_is_in_memory_where_there_is_room(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    with passing_folder(0) as folder:
        is_tmpfs = os.access(shared, os.W_OK) and os.statvfs(shared).f_blocks > 0
        assert (folder.parent == shared) or not is_tmpfs


def test_memory_without_room_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with passing_folder(1 << 62) as folder:
        assert folder.parent == tmp_path


def test_what_a_killed_process_left_is_shredded_by_the_next(on_disk: Machine, tmp_path: Path) -> None:
    code = (
        "import os, tempfile\n"
        "from fedward.common.shredding.scratch import Machine\n"
        "from pathlib import Path\n"
        "from fedward.simulations.passing_folder import passing_folder\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        f"machine = Machine(environment={{}}, shared_memory=Path({str(tmp_path / 'none')!r}))\n"
        "with passing_folder(1, machine=machine) as f:\n"
        "    (f / 'note.txt').write_text('a note')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert (left / "note.txt").is_file()
    with passing_folder(ROOM, machine=on_disk) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_the_folder_of_a_process_that_lives_stays(on_disk: Machine, tmp_path: Path) -> None:
    with passing_folder(ROOM, machine=on_disk) as first:
        (first / "note.txt").write_text("a note", "utf-8")
        with passing_folder(ROOM, machine=on_disk):
            pass
        assert (first / "note.txt").read_text("utf-8") == "a note"


def test_what_is_not_ours_stays(on_disk: Machine, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (target / "mine.txt").write_text("kept", "utf-8")
    (tmp_path / f"{PREFIX}abcdefgh").symlink_to(target)
    shared = tmp_path / f"{PREFIX}bcdefghi"
    shared.mkdir()
    shared.chmod(0o755)  # others may read it: none of ours
    other = tmp_path / f"{PREFIX}of-mine"
    other.mkdir(mode=0o700)
    before = sorted(tmp_path.iterdir())
    with passing_folder(ROOM, machine=on_disk):
        pass
    assert sorted(tmp_path.iterdir()) == before
    assert (target / "mine.txt").read_text("utf-8") == "kept"


def test_a_folder_with_another_beginning_of_its_name_stays(on_disk: Machine, tmp_path: Path) -> None:
    kept = tmp_path / f"{PREFIX}abcdefgh"
    kept.mkdir(mode=0o700)
    gone = tmp_path / "other-abcdefgh"
    gone.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with passing_folder(ROOM, prefix="other-", elsewhere=tmp_path, machine=on_disk) as folder:
        assert sorted(tmp_path.iterdir()) == sorted([kept, elsewhere, folder])


def test_what_is_written_while_it_goes_is_shredded_too(
    on_disk: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, rounds = Overwriter.shred_folder, list[int]()

    def late(self: Overwriter, folder: Path, *, keep: bool = False) -> Overwritten:
        rounds.append(1)
        if len(rounds) > 1:
            return original(self, folder, keep=keep)
        (folder / "late.log").write_text("late", "utf-8")
        return Overwritten(refused=(Refused(reason=Refusal.DENIED, path="."),))

    monkeypatch.setattr(Overwriter, "shred_folder", late)
    with passing_folder(ROOM, machine=on_disk):
        pass
    assert (list(tmp_path.iterdir()), len(rounds)) == ([], 2)
