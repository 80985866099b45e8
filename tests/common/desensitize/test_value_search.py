from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.common.desensitize import value_search
from fedward.common.desensitize.value_search import ValueFound, scan_for_values
from fedward.common.errors import DataError

NAME, PHONE = "王小芳", "13800138000"
FORMS = {
    "utf-8": f"x {NAME} y".encode(),
    "utf-16-le": f"x {NAME} y".encode("utf-16-le"),
    "utf-16-be": f"x {NAME} y".encode("utf-16-be"),
    "gb18030": f"x {NAME} y".encode("gb18030"),
    "escaped": json.dumps(f"x {NAME} y").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_each_form(form: str) -> None:
    assert [found.form for found in scan_for_values([FORMS[form]], [NAME])] == [form]


IDS = [17, 40_001, 300, 5]
TOKEN_FORMS = {
    "int16": struct.pack("<6H", 9, *IDS, 8),
    "int32": struct.pack("<6I", 9, *IDS, 8),
    "int64": struct.pack("<6Q", 9, *IDS, 8),
    "numbers": json.dumps([9, *IDS, 8]).encode(),
}


@pytest.mark.parametrize("form", TOKEN_FORMS)
def test_a_value_is_found_as_token_ids(form: str) -> None:
    found = [place.form for place in scan_for_values([TOKEN_FORMS[form]], [NAME], tokens={0: IDS})]
    assert form in found


def test_token_ids_too_large_for_a_width_and_too_few_ids_are_no_form() -> None:
    data = struct.pack("<4I", 70_000, 1, 2, 3) + struct.pack("<3I", 1, 2, 3)
    assert [place.form for place in scan_for_values([data], [NAME], tokens={0: [70_000, 1, 2, 3]})] == ["int32"]
    assert list(scan_for_values([data], [NAME], tokens={0: [1, 2, 3]})) == []


@given(st.binary(max_size=7), st.binary(max_size=7), st.sampled_from([NAME, PHONE, "jo@example.com?~"]))
def test_a_value_is_found_in_base64_at_every_alignment(before: bytes, after: bytes, value: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        data = b"{" + encode(before + value.encode() + after) + b"}"
        assert any(found.form == "base64" for found in scan_for_values([data], [value]))


def test_a_value_across_two_chunks_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_search, "_CHUNK_BYTES", 16)
    path = tmp_path / "run.log"
    for lead in range(40):
        path.write_bytes(b"." * lead + PHONE.encode() + b"." * 30)
        assert list(scan_for_values([path], [PHONE])) == [ValueFound(path, lead, 0, "utf-8")]


def test_folders_are_searched_to_the_bottom_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/cache.arrow").write_bytes(b"\0" + PHONE.encode() + b"\0")
    (tmp_path / "link").symlink_to(tmp_path / "a/b/cache.arrow")
    assert [found.path for found in scan_for_values([tmp_path], [PHONE])] == [tmp_path / "a/b/cache.arrow"]


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "clean.log").write_text("nothing 13800138001", "utf-8")
    assert list(scan_for_values([tmp_path, tmp_path / "absent"], [NAME, PHONE])) == []


def test_very_short_values_are_not_searched_for() -> None:
    assert list(scan_for_values([b"abc abc"], ["abc"])) == []


def test_many_values_give_the_places_that_few_give() -> None:
    values = [f"138{n:08d}" for n in range(0, 300_000, 1000)]
    data = f"{values[7]} and {values[299]} and 13899999999".encode()
    assert [(found.offset, found.value_index) for found in scan_for_values([data], values)] == [(0, 7), (16, 299)]


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=80), cuts=st.lists(st.tuples(st.integers(0, 80), st.integers(3, 12)), max_size=8))
def test_both_ways_of_searching_find_the_same_places(data: bytes, cuts: list[tuple[int, int]]) -> None:
    found = [data[start : start + size] for start, size in cuts]
    forms = {form: (number, "x") for number, form in enumerate(found) if len(form) >= 3} | {b"never there": (99, "x")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_search, "_FEW", 0)
        by_windows = sorted(value_search.places_in_stream(io.BytesIO(data), forms))
    assert by_windows == sorted(value_search.places_in_stream(io.BytesIO(data), forms))
    assert {form for form, _ in by_windows} == set(forms) - {b"never there"}


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.log"
    path.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="cannot be searched"):
        list(scan_for_values([path], [PHONE]))


def test_a_finding_names_no_value() -> None:
    (found,) = scan_for_values([PHONE.encode()], [PHONE])
    assert PHONE not in repr(found)


def test_all_is_sorted() -> None:
    assert value_search.__all__ == sorted(set(value_search.__all__) & set(dir(value_search)), key=str.casefold)
