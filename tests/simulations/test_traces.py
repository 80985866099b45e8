from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest

from fedward.common.errors import RunError
from fedward.simulations import traces
from fedward.simulations.hospitals import generate_hospitals
from fedward.simulations.hospitals.marks import MARKS_PER_SITE, marks, with_marks
from fedward.simulations.traces import default_folders, search, token_ids

MARK, OTHER = "霜雾露潮汐藤蕨萤鲸鹭", "bosten gilmur pasnel dorlin"
IDS = {0: [5, 6, 7, 8], 1: [70_001, 2, 3, 4]}


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (f"x {MARK}".encode(), "utf-8"),
        (OTHER.encode("utf-16-le"), "utf-16-le"),
        (base64.b64encode(f"{{{OTHER}}}".encode()), "base64"),
        (struct.pack("<4q", *IDS[1]), "int64"),
    ],
)
def test_a_mark_left_in_a_file_is_found(tmp_path: Path, data: bytes, form: str) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_bytes(data)
    found = search([tmp_path], [MARK, OTHER], tokens=IDS, since_ns=0)
    assert found.places == ((tmp_path / "deep/er/file", form),)
    assert not found.is_clean


def test_a_clean_folder_is_clean_and_counted(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"12345")
    found = search([tmp_path, tmp_path], [MARK, OTHER], tokens=IDS, since_ns=0)
    assert (found.files, found.num_bytes, found.controls_found) == (1, 5, 2)
    assert found.is_clean


def test_files_from_before_the_run_and_the_kept_data_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for path in (tmp_path / "kept/train.jsonl", tmp_path / "old"):
        path.write_text(MARK, "utf-8")
    later = max(path.stat().st_ctime_ns for path in (tmp_path / "old", tmp_path / "kept/train.jsonl")) + 1
    assert search([tmp_path], [MARK], tokens={}, since_ns=0, but=tmp_path / "kept").places == (
        (tmp_path / "old", "utf-8"),
    )
    assert search([tmp_path], [MARK], tokens={}, since_ns=later).files == 0


def test_what_is_beyond_the_bounds_is_not_called_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MAX_FILES", 1)
    for name in "ab":
        (tmp_path / name).write_bytes(b"x")
    found = search([tmp_path], [MARK], tokens={}, since_ns=0)
    assert (found.files, found.left_out, found.is_clean) == (1, 1, False)


def test_a_search_that_finds_nothing_at_all_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "scan_for_values", lambda *_, **__: iter(()))
    with pytest.raises(RunError, match="planted"):
        search([tmp_path], [MARK], tokens={}, since_ns=0)


def test_default_folders_hold_output_temporary_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert {tmp_path, tmp_path / "hf", tmp_path / "cache"} <= set(default_folders(tmp_path))


def test_token_ids_are_those_of_the_base_without_the_ends(tmp_path: Path) -> None:
    from fedward.simulations.base import embedded_base_dir

    ids = token_ids(embedded_base_dir() / "tokenizer.json", [OTHER])
    assert len(ids[0]) >= 4
    assert token_ids(tmp_path / "absent.json", [OTHER]) == {}


def test_marks_stand_in_the_first_notes_of_different_patients_and_nowhere_else() -> None:
    for hospital in generate_hospitals(seed=3, num_sites=2, patients_per_site=5, heldout_patients_per_site=2):
        phrases = marks(3, hospital, run="r")
        marked = with_marks(hospital, phrases)
        holders = [note.patient_id for note in marked.notes if any(phrase in note.text for phrase in phrases)]
        assert len(set(phrases)) == len(set(holders)) == len(holders) == MARKS_PER_SITE
        assert marked.heldout == hospital.heldout
        assert not any(phrase in note.text for phrase in phrases for note in hospital.notes)
        assert phrases == marks(3, hospital, run="r") != marks(3, hospital, run="s")
