import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedward.client.scrub.quarantine import quarantine_path
from fedward.common.errors import ConfigError, DataError, EncodingError, FedwardError, MissingColumnError
from tests.client.scrub.samples import NOTE, PHONE, assert_clean, many, read_jsonl, run, write_jsonl

GOOD = '{"text": "无"}\n'
BAD_LINES: list[tuple[str, bytes, str]] = [
    ("malformed JSON", b'{"text": "13800138000"\n', "line 2: malformed JSON"),
    ("no object", b'["13800138000"]\n', "line 2: not a JSON object"),
    ("a key twice", b'{"text": "13800138000", "text": "b"}\n', "line 2: a key occurs twice"),
    ("an infinite number", b'{"text": "a", "n": 1e999}\n', "line 2: a number"),
    ("NaN", b'{"text": "a", "n": NaN}\n', "line 2: a number"),
    ("a NUL", b'{"text": "13800138000\x00"}\n', "line 2: a NUL"),
    ("half a surrogate pair", b'{"text": "13800138000\\ud83d"}\n', "line 2: half of a surrogate pair"),
    ("a name that is an identifier", b'{"13800138000": "a"}\n', "line 2: the name of a field"),
    ("too deep", b'{"a":' * 40 + b"1" + b"}" * 40 + b"\n", "line 2: malformed JSON"),
    ("far too deep", b"[" * 100_000 + b"\n", "line 2: malformed JSON"),
]


@pytest.mark.parametrize(("name", "line", "message"), BAD_LINES, ids=[name for name, _, _ in BAD_LINES])
def test_bad_line_is_refused_with_its_place_and_without_its_content(
    tmp_path: Path, name: str, line: bytes, message: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(GOOD.encode() + line)
    with pytest.raises(DataError) as caught:
        run(source, tmp_path / "b.jsonl")
    assert message in caught.value.message
    assert "13800138000" not in f"{caught.value.message}{caught.value.advice}{caught.value.__context__}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


@pytest.mark.parametrize(("name", "line", "message"), BAD_LINES, ids=[name for name, _, _ in BAD_LINES])
def test_skip_bad_leaves_the_line_out_and_names_it(tmp_path: Path, name: str, line: bytes, message: str) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(GOOD.encode() + line + GOOD.encode())
    summary = run(source, tmp_path / "b.jsonl", skip_bad=True)
    assert (summary.tally.records, summary.tally.refused) == (3, 1)
    assert (tmp_path / "b.jsonl").read_text("utf-8") == GOOD * 2
    (entry,) = read_jsonl(quarantine_path(tmp_path / "b.jsonl"))
    assert (entry["place"], "text" in entry) == ("line 2", False)
    assert "13800138000" not in quarantine_path(tmp_path / "b.jsonl").read_text("utf-8")
    assert quarantine_path(tmp_path / "b.jsonl").stat().st_mode & 0o077 == 0


def test_text_of_a_skipped_record_is_written_only_if_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(GOOD + '{"text": "13800138000"\n', "utf-8")
    run(source, tmp_path / "b.jsonl", skip_bad=True, quarantine_text=True)
    (entry,) = read_jsonl(quarantine_path(tmp_path / "b.jsonl"))
    assert entry["text"] == '{"text": "13800138000"\n'


CSV_FAULTS = [
    ("ragged row", "id,note\n1,a\n2,13800138000,c\n", "line 3: another number of cells"),
    ("open quote", 'id,note\n1,a\n2,"13800138000\n', "line 3: malformed CSV"),
    ("no header", "1,13800138000\n2,x\n", "no header"),
    ("empty name", "id,,note\n1,2,3\n", "no header"),
    ("two equal names", "id,id\n1,2\n", "same name"),
]


@pytest.mark.parametrize(("name", "text", "message"), CSV_FAULTS, ids=[name for name, _, _ in CSV_FAULTS])
def test_bad_csv_is_refused_without_its_content(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text, "utf-8")
    with pytest.raises(DataError) as caught:
        run(tmp_path / "a.csv", tmp_path / "b.csv")
    assert message in caught.value.message
    assert "13800138000" not in caught.value.message
    assert not (tmp_path / "b.csv").exists()


def test_ragged_row_can_be_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,note\n1,a\n2,b,c\n3,d\n", "utf-8")
    run(tmp_path / "a.csv", tmp_path / "b.csv", skip_bad=True)
    assert (tmp_path / "b.csv").read_text("utf-8") == "id,note\n1,a\n3,d\n"


def test_bytes_of_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Größe: müde".encode("latin-1"))
    with pytest.raises(EncodingError) as caught:
        run(tmp_path / "a.txt", tmp_path / "b.txt")
    assert "--encoding" in caught.value.advice


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(DataError, match="empty"):
        run(tmp_path / "a.jsonl", tmp_path / "b.jsonl")


def test_field_that_is_nowhere_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match="notes"):
        run(write_jsonl(tmp_path / "a.jsonl", many(3)), tmp_path / "b.jsonl", field=["notes"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_record_without_its_patient_is_refused(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"who": "A000001", "text": NOTE}, {"text": NOTE}])
    with pytest.raises(DataError, match="line 2: the patient field"):
        run(source, tmp_path / "b.jsonl", patient="who")


Place = Callable[[Path, Path], Path]
BAD_TARGETS: list[tuple[str, Place]] = [
    ("the input itself", lambda folder, source: source),
    ("in no folder", lambda folder, source: folder / "missing" / "b.jsonl"),
    ("a folder", lambda folder, source: folder),
]


@pytest.mark.parametrize(("name", "place"), BAD_TARGETS, ids=[name for name, _ in BAD_TARGETS])
def test_impossible_output_is_refused_before_data_is_read(tmp_path: Path, name: str, place: Place) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("not JSON", "utf-8")
    with pytest.raises(ConfigError):
        run(source, place(tmp_path, source))


def test_link_to_the_input_is_refused_as_output(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", many(1))
    os.symlink(source, tmp_path / "b.jsonl")
    with pytest.raises(ConfigError):
        run(source, tmp_path / "b.jsonl")


def test_desensitised_file_is_refused_unless_asked_for(tmp_path: Path) -> None:
    run(write_jsonl(tmp_path / "a.jsonl", many(3)), tmp_path / "b.jsonl")
    with pytest.raises(DataError, match="already desensitised"):
        run(tmp_path / "b.jsonl", tmp_path / "c.jsonl")
    assert run(tmp_path / "b.jsonl", tmp_path / "c.jsonl", again=True).tally.records == 3


def test_desensitised_table_is_known_by_its_own_metadata(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": [NOTE]}), tmp_path / "a.parquet")
    run(tmp_path / "a.parquet", tmp_path / "b.parquet")
    moved = tmp_path / "moved.parquet"
    (tmp_path / "b.parquet").rename(moved)
    with pytest.raises(DataError, match="already desensitised"):
        run(moved, tmp_path / "c.parquet")


def test_column_of_bytes_is_refused_unless_the_policy_names_it(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"blob": [b"\xff\xd8"], "text": [NOTE]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 1: a column of bytes"):
        run(tmp_path / "a.parquet", tmp_path / "b.parquet")


def test_broken_parquet_is_refused_without_the_librarys_words(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + PHONE.encode() + b"PAR1")
    with pytest.raises(DataError) as caught:
        run(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert PHONE not in caught.value.message


def test_long_record_is_refused_and_split_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("records", "chunks", "run"):
        monkeypatch.setattr(f"fedward.client.scrub.{module}.MAX_RECORD_BYTES", 4096)
    record: dict[str, Any] = {"text": "\n\n".join([NOTE] * 60)}
    source = write_jsonl(tmp_path / "a.jsonl", [record])
    with pytest.raises(DataError, match="longer than the limit"):
        run(source, tmp_path / "b.jsonl")
    run(source, tmp_path / "b.jsonl", split=True)
    (written,) = read_jsonl(tmp_path / "b.jsonl")
    assert_clean(json.dumps(written, ensure_ascii=False))
    assert written["text"].count("\n\n") == 59


@pytest.mark.parametrize("workers", [0, 65])
def test_number_of_workers_is_bounded(tmp_path: Path, workers: int) -> None:
    with pytest.raises(FedwardError):
        run(write_jsonl(tmp_path / "a.jsonl", many(1)), tmp_path / "b.jsonl", workers=workers)


def test_skipped_record_among_good_ones_leaves_the_others_as_they_would_be(tmp_path: Path) -> None:
    """A record that is given up half way must not shift what belongs to the next one."""
    good: list[dict[str, Any]] = [{"text": f"第{i}条：{NOTE}", "title": "无"} for i in range(4)]
    bad = {"text": NOTE, "title": "\ud83d"}
    source = tmp_path / "a.jsonl"
    lines = [json.dumps(record) for record in (good[0], bad, good[1], bad, *good[2:])]
    source.write_text("\n".join(lines) + "\n", "utf-8")
    run(source, tmp_path / "b.jsonl", skip_bad=True)
    written = read_jsonl(tmp_path / "b.jsonl")
    assert [record["text"].split("：")[0] for record in written] == [f"第{i}条" for i in range(4)]
    assert_clean(json.dumps(written, ensure_ascii=False))


def test_a_device_or_a_pipe_is_never_replaced_by_an_output(tmp_path: Path) -> None:
    source, pipe = write_jsonl(tmp_path / "in.jsonl", [{"text": NOTE}]), tmp_path / "out.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="device or a pipe"):
        run(source, pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize("encoding", ["hz", "iso2022_jp_2", "iso2022_kr"])
def test_chinese_that_looks_like_ascii_is_refused(tmp_path: Path, encoding: str) -> None:
    text = "金東植" if encoding == "iso2022_kr" else "患者張三" if encoding == "iso2022_jp_2" else "患者姓名张三"
    (tmp_path / "in.txt").write_bytes(f"{'a' * (1 << 20)}\n{text}\n".encode(encoding))
    with pytest.raises(EncodingError, match="look like ASCII"):
        run(tmp_path / "in.txt", tmp_path / "out.txt")


def test_braces_and_colours_of_a_terminal_are_no_encoding(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("~{} f~{x} \x1b[31mred\x1b[0m ~{ab cd~}\n", "utf-8")
    run(tmp_path / "in.txt", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == (tmp_path / "in.txt").read_bytes()


def test_an_array_over_lines_is_refused_with_the_way_to_make_lines_of_it(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('[\n {"text": "a"}\n]\n', "utf-8")
    with pytest.raises(DataError, match="line 1") as refused:
        run(tmp_path / "in.json", tmp_path / "out.json")
    assert "jq -c" in refused.value.advice
