import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedward.common.atomic import replace_directory, write_atomically
from fedward.common.errors import ConfigError


class Crash(BaseException):
    """Not an Exception, like a signal."""


def crash(*_: object, **__: object) -> None:
    raise Crash


def test_file_and_its_folder_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "folder" / "file", b"data")
    assert (tmp_path / "new" / "folder" / "file").read_bytes() == b"data"
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["file"]


def test_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_crash_in_the_middle_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os if step == "fsync" else Path, step, crash)
    with pytest.raises(Crash):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_file_is_on_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, move = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("fsync")
        sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append("replace")
        return move(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomically(tmp_path / "file", b"data")
    assert steps == ["fsync", "replace", "fsync"]


def test_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    with replace_directory(tmp_path / "out") as fresh:
        (fresh / "inner").mkdir()
        (fresh / "inner" / "file").write_bytes(b"data")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "inner" / "file").read_bytes() == b"data"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with replace_directory(tmp_path / "out") as fresh:
            (fresh / name).touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_crash_while_filling_leaves_the_old_folder_and_no_other(tmp_path: Path) -> None:
    with replace_directory(tmp_path / "out") as fresh:
        (fresh / "old").touch()

    def fill() -> None:
        with replace_directory(tmp_path / "out") as fresh:
            (fresh / "new").touch()
            crash()

    with pytest.raises(Crash):
        fill()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_failure_of_the_last_move_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replace_directory(tmp_path / "out") as fresh:
        (fresh / "old").touch()
    move = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.name != "out" and target.name == "out" and (self / "new").exists():
            raise OSError("no space")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="no space"), replace_directory(tmp_path / "out") as fresh:
        (fresh / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_failure_of_the_first_move_leaves_the_old_folder_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replace_directory(tmp_path / "out") as fresh:
        (fresh / "old").touch()
    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(Crash), replace_directory(tmp_path / "out") as fresh:
        (fresh / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def dangling_link(target: Path) -> None:
    target.symlink_to("nowhere")


def link_to_a_folder(target: Path) -> None:
    (target.parent / "real").mkdir()
    (target.parent / "real" / "kept").touch()
    target.symlink_to("real")


def link_to_a_file(target: Path) -> None:
    (target.parent / "real").touch()
    target.symlink_to("real")


def file(target: Path) -> None:
    target.write_bytes(b"kept")


def pipe(target: Path) -> None:
    os.mkfifo(target)


NO_FOLDERS = [dangling_link, link_to_a_folder, link_to_a_file, file, pipe]


def contents(folder: Path) -> list[tuple[str, bool]]:
    return sorted((str(path.relative_to(folder)), path.is_symlink()) for path in folder.rglob("*"))


@pytest.mark.parametrize("make", NO_FOLDERS)
def test_what_is_no_folder_is_refused_before_anything_is_written(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"out is .* not replaced"), replace_directory(tmp_path / "out"):
        pytest.fail("the caller was asked to write")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", NO_FOLDERS)
def test_what_is_no_folder_and_came_meanwhile_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    with pytest.raises(ConfigError, match="not replaced"), replace_directory(tmp_path / "out"):
        make(tmp_path / "out")
    (tmp_path / "expected").mkdir()
    make(tmp_path / "expected" / "out")
    expected = contents(tmp_path / "expected")
    assert [entry for entry in contents(tmp_path) if not entry[0].startswith("expected")] == expected


def test_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="device or a pipe"):
        write_atomically(pipe, b"data")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
