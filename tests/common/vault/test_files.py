"""Files and folders that are ours alone: modes whatever the umask, no links, no leftovers."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fedward.common.errors import VaultError, VaultPermissionError
from fedward.common.vault.files import PrivateFolder

PLACE = ("runs", "r1", "x.fwe")


@pytest.fixture
def folder(tmp_path: Path) -> PrivateFolder:
    return PrivateFolder.create(tmp_path / "site")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
def test_modes_are_ours_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        folder = PrivateFolder.create(tmp_path / "site")
        folder.write(PLACE, b"x")
    finally:
        os.umask(old)
    folders = [path for path in (tmp_path / "site", *(tmp_path / "site").rglob("*")) if path.is_dir()]
    assert {mode(path) for path in folders} == {0o700}
    assert mode(folder.path(PLACE)) == 0o600
    assert folder.read(PLACE, max_bytes=9) == b"x"


def loosen(path: str, bits: int) -> Callable[[Path], None]:
    return lambda root: (root / path).chmod(bits)


def link(path: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        (root / path).rename(root.with_name("elsewhere"))
        (root / path).symlink_to(root.with_name("elsewhere"))

    return act


@pytest.mark.parametrize(
    "spoil",
    [
        loosen("", 0o755),
        loosen("runs", 0o750),
        loosen("runs/r1", 0o701),
        loosen("runs/r1/x.fwe", 0o640),
        loosen("runs/r1/x.fwe", 0o602),
        link("runs"),
        link("runs/r1"),
        link("runs/r1/x.fwe"),
    ],
)
def test_what_lets_others_in_is_refused(folder: PrivateFolder, spoil: Callable[[Path], None]) -> None:
    folder.write(PLACE, b"x")
    spoil(folder.root)
    with pytest.raises(VaultPermissionError):
        folder.read(PLACE, max_bytes=9)


def test_root_that_is_a_link_is_refused(folder: PrivateFolder) -> None:
    other = folder.root.with_name("link")
    other.symlink_to(folder.root)
    with pytest.raises(VaultPermissionError):
        PrivateFolder(other)


def test_foreign_owner_is_refused(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(VaultPermissionError, match="another account"):
        PrivateFolder(folder.root)


def test_pipe_in_the_place_of_a_file_is_refused_without_waiting(folder: PrivateFolder) -> None:
    os.mkfifo(folder.root / "pipe", 0o600)
    with pytest.raises(VaultPermissionError):
        folder.read(("pipe",), max_bytes=9)


def test_nothing_is_written_through_a_link(folder: PrivateFolder, tmp_path: Path) -> None:
    folder.make_folder(("runs", "r1"))
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder.path(PLACE).symlink_to(victim)
    folder.write(PLACE, b"x")
    assert victim.read_bytes() == b"mine"
    assert folder.read(PLACE, max_bytes=9) == b"x"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b"])
def test_name_that_leads_elsewhere_is_refused(folder: PrivateFolder, name: str) -> None:
    with pytest.raises(VaultError):
        folder.write(("runs", name), b"x")
    with pytest.raises(VaultError):
        folder.write((name, "x"), b"x")


def test_error_while_writing_leaves_what_was_there(folder: PrivateFolder) -> None:
    folder.write(PLACE, b"old")

    def interrupted() -> None:
        with folder.writing((*PLACE[:-1], "fresh")) as sink:
            sink.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert folder.files(PLACE[:-1]) == ("x.fwe",)
    assert folder.read(PLACE, max_bytes=9) == b"old"


def test_file_that_is_longer_than_allowed_is_refused(folder: PrivateFolder) -> None:
    folder.write(PLACE, b"x" * 10)
    with pytest.raises(VaultError, match="longer"):
        folder.read(PLACE, max_bytes=9)


def test_folder_that_exists_is_not_made_again(folder: PrivateFolder) -> None:
    with pytest.raises(VaultError):
        PrivateFolder.create(folder.root)


def test_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="no such folder"):
        PrivateFolder(tmp_path / "site")


def test_only_empty_folders_are_removed(folder: PrivateFolder) -> None:
    folder.write(PLACE, b"x")
    folder.make_folder(("runs", "r1", "empty", "deep"))
    folder.remove_empty(("runs", "r1"))
    assert (folder.folders(("runs",)), folder.folders(("runs", "r1"))) == (("r1",), ())
    folder.unlink(PLACE)
    folder.unlink(PLACE)  # what is gone is fine
    folder.remove_empty(("runs", "r1"))
    assert folder.folders(("runs",)) == ()
