"""What goes out as a name: of columns, of fields, of files; and what stands beside an output."""

import datetime
import os
from pathlib import Path

import pytest

from fedward.client.scrub.check import check_output
from fedward.client.scrub.inputs import MARK_SUFFIX, open_input
from fedward.client.scrub.settings import MAX_RECORD_BYTES, Fields
from fedward.common.desensitize.policy import DesensitizePolicy
from fedward.common.desensitize.tally import MAX_COLUMNS, OTHER_COLUMNS, Tally
from fedward.common.errors import ConfigError, DataError, DesensitizationError
from tests.client.scrub.samples import DESCRIPTOR, NOTE, PHONE, POLICY, read_jsonl, run, write_jsonl

FAST = DesensitizePolicy()


@pytest.mark.parametrize("rows", ["", "a,b\n"], ids=["no row", "a row"])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_header_that_is_an_identifier_is_refused(tmp_path: Path, rows: str, skip_bad: bool) -> None:
    (tmp_path / "in.csv").write_text(f"text,电话{PHONE}\n{rows}", "utf-8")
    with pytest.raises(DataError, match="name of a column") as refused:
        run(tmp_path / "in.csv", tmp_path / "out.csv", skip_bad=skip_bad)
    assert PHONE not in f"{refused.value} {refused.value.hint}"
    assert not (tmp_path / "out.csv").exists()


def test_a_column_of_a_table_that_holds_no_identifier_is_named_by_none(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": ["a"], PHONE: [True]}), tmp_path / "in.parquet")
    with pytest.raises(DataError, match="name of a column"):
        run(tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_a_file_in_a_folder_that_is_named_by_an_identifier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(NOTE, "utf-8")
    (tmp_path / "in" / f"张三_{PHONE}.txt").write_text(NOTE, "utf-8")
    with pytest.raises(DataError, match="file 2 of 2") as refused:
        run(tmp_path / "in", tmp_path / "out")
    assert PHONE not in f"{refused.value} {refused.value.hint}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "record",
    [
        {"text": "患者张三，男，45岁", "results": {"张三": "胃癌"}},
        {"text": "复查", "name": "张三", "results": {"张三的诊断": "胃癌"}},
    ],
    ids=["a name of the text", "a name of a column"],
)
def test_a_field_named_by_a_person_of_the_record_leaks(tmp_path: Path, record: dict[str, object]) -> None:
    write_jsonl(tmp_path / "in.jsonl", [record])
    with pytest.raises(DesensitizationError, match="field name PERSON"):
        run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", policy=FAST)
    assert not (tmp_path / "out.jsonl").exists()


def test_field_names_that_are_words_do_not_leak(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"text": "Mr Mark Hope came.", "mark": "b", "hope": 1, "Patient": "c"}])
    run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", policy=FAST)
    assert list(read_jsonl(tmp_path / "out.jsonl")[0]) == ["text", "mark", "hope", "Patient"]


@pytest.mark.parametrize("suffix", [MARK_SUFFIX, ".quarantine.jsonl"])
def test_an_input_is_never_removed_as_what_stands_beside_the_output(tmp_path: Path, suffix: str) -> None:
    source = write_jsonl(tmp_path / f"out.jsonl{suffix}", [{"text": NOTE}])
    with pytest.raises(ConfigError, match="mark or list"):
        run(source, tmp_path / "out.jsonl", kind="jsonl")
    assert source.exists()


def interrupted(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends behind its last chunk."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fedward.client.scrub.run.write_output", end)
        with pytest.raises(KeyboardInterrupt):
            run(source, target)


def test_another_input_of_the_same_size_and_time_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": NOTE}])
    stat = source.stat()
    interrupted(source, tmp_path / "out.jsonl", monkeypatch)
    source.write_text(source.read_text("utf-8").replace("142/91", "133/88"), "utf-8")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert source.stat().st_size == stat.st_size
    done = run(source, tmp_path / "out.jsonl")
    assert (done.started_anew, done.resumed_chunks) == (True, 0)
    assert "133/88" in (tmp_path / "out.jsonl").read_text("utf-8")


def test_the_same_input_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": NOTE}])
    interrupted(source, tmp_path / "out.jsonl", monkeypatch)
    assert run(source, tmp_path / "out.jsonl").resumed_chunks == 1


def test_a_birth_date_tells_no_age_above_89_at_the_day_of_the_key(tmp_path: Path) -> None:
    texts = ("1925年3月7日出生", "1965年3月7日出生")
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": text} for text in texts])
    run(source, tmp_path / "out.jsonl", record_date=datetime.date.fromisoformat(DESCRIPTOR.created))
    old, young = read_jsonl(tmp_path / "out.jsonl")
    assert old["text"] == "[日期1]出生"
    assert young["text"].startswith("196")


def test_check_knows_files_apart_in_a_list_of_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [{"text": NOTE}, {"text": f"{NOTE} {name}"}])
    with (tmp_path / "in" / "a.jsonl").open("a", encoding="utf-8") as file:
        file.write("no JSON\n")
    write_jsonl(tmp_path / "in" / "b.jsonl", [{"text": NOTE}] * 4)
    run(tmp_path / "in", tmp_path / "out", skip_bad=True)
    found = [
        open_input(path, kind=None, encoding=None, fields=Fields(), again=True, limit=MAX_RECORD_BYTES)
        for path in (tmp_path / "in", tmp_path / "out")
    ]
    checked = check_output(found[0], found[1], POLICY, tmp_path / "out.quarantine.jsonl")
    assert (checked.records, checked.leaking) == (6, 0)


@pytest.mark.parametrize("name", ["手机号\x1f", "\x1f手机号\x1fa", "手机号\n", '手机号"<b>'])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": "a", name: PHONE}])
    summary = run(source, tmp_path / "out.jsonl")
    assert summary.tally.columns[name, "surrogate"] == 1
    assert list(read_jsonl(tmp_path / "out.jsonl")[0]) == ["text", name]


def test_a_field_named_by_half_a_character_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a", "\\ud800": "b"}\n{"text": "c"}\n', "utf-8")
    with pytest.raises(DataError, match="surrogate pair"):
        run(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl", skip_bad=True).quarantined == 1


def test_names_without_end_do_not_fill_the_memory() -> None:
    tally = Tally()
    for start in range(0, 3 * MAX_COLUMNS, 1000):
        part = Tally()
        part.columns.update({(f"phone{number}", "surrogate"): 1 for number in range(start, start + 1000)})
        tally.add(part)
    assert len(tally.columns) <= MAX_COLUMNS + 1
    assert sum(tally.columns.values()) == 3 * MAX_COLUMNS
    assert tally.columns[OTHER_COLUMNS, "surrogate"] >= 2 * MAX_COLUMNS - 1
