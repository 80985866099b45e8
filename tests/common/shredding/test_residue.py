"""What lies in a run's folder and should not: told apart from what the vault puts there, by place and by content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedward.common.shredding import residue

SEALED = b"FEDWENV1" + bytes(100)
OURS = (
    "index.fwe",
    "index.fwe.next",
    "slots/checkpoint-1.slot",
    "slots/index-12.slot.fresh",
    f"objects/checkpoint/{'ab' * 16}.fwe",
    f"objects/dataset_cache/{'ab' * 16}.fwe.next",
    "logs/log-3.fwe",
)
FOREIGN = (
    "records.csv",
    ".fedward.x1",
    "index.fwe.old",
    "slots/checkpoint.slot",
    "slots/deeper/checkpoint-1.slot",
    f"objects/{'ab' * 16}.fwe",
    "objects/checkpoint/name.fwe",
    f"objects/checkpoint/deeper/{'ab' * 16}.fwe",
    "own/index.fwe",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ("22" * 16)
    folder.mkdir()
    return folder


def put(folder: Path, place: str, content: bytes) -> None:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(content)


@pytest.mark.parametrize("place", OURS)
def test_sealed_file_in_its_place_is_the_vaults(place: str, folder: Path) -> None:
    put(folder, place, SEALED)
    assert residue.of_run(folder) == ()


@pytest.mark.parametrize("place", OURS)
def test_text_in_the_place_of_a_sealed_file_is_residue(place: str, folder: Path) -> None:
    put(folder, place, b"Frau Mustermann")
    assert [one.num_plain for one in residue.of_run(folder)] == [1]


@pytest.mark.parametrize("place", FOREIGN)
def test_sealed_file_in_another_place_is_residue_but_not_plain(place: str, folder: Path) -> None:
    put(folder, place, SEALED)
    assert [one.num_plain for one in residue.of_run(folder)] == [0]


def test_link_is_residue_and_never_followed(folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "outside/deep.txt", b"x")
    (folder / "slots").symlink_to(tmp_path / "outside")
    (folder / "index.fwe").symlink_to(tmp_path / "outside/deep.txt")
    assert [(one.name, one.num_plain) for one in residue.of_run(folder)] == [("index.fwe", 0), ("slots", 0)]


def test_pipe_is_residue_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "index.fwe")
    assert [one.name for one in residue.of_run(folder)] == ["index.fwe"]


def test_scratch_is_not_residue(folder: Path) -> None:
    put(folder, "scratch/tmp/x", b"record")
    assert residue.of_run(folder) == ()


def test_empty_file_is_not_counted_as_plain(folder: Path) -> None:
    put(folder, "lock", b"")
    assert [one.num_plain for one in residue.of_run(folder)] == [0]


def test_names_are_in_no_repr(folder: Path) -> None:
    put(folder, "patient-4711.csv", b"x")
    assert "4711" not in repr(residue.of_run(folder))


def test_beside_the_runs_all_but_their_folders_is_residue(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for place in ("22" * 16 + "/index.fwe", "AB" * 16 + "/x", "short/x", "file"):
        put(runs, place, b"x")
    (runs / ("44" * 16)).symlink_to(runs / ("22" * 16))
    assert [one.name for one in residue.of_runs(runs)] == ["44" * 16, "AB" * 16, "file", "short"]
    assert residue.runs_in(runs) == (bytes.fromhex("22" * 16),)


def test_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert residue.of_run(tmp_path / "x") == residue.of_runs(tmp_path / "x") == ()
    assert residue.runs_in(tmp_path / "x") == ()
