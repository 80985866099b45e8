import csv
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.client import _row_readers
from fedward.client.intake import DataSource, Record, load_records, split_patients
from fedward.common.errors import (
    ConfigError,
    DataError,
    EmptyDataError,
    EncodingError,
    FedwardError,
    MissingColumnError,
)

SECRET = "Zebedee Quillfeather"
PUBLIC_DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
ROWS = [
    {"pid": "a", "title": "t1", "text": "一号 note", "label": "x"},
    {"pid": "b", "title": "", "text": 'two,\n"quoted"', "label": "y"},
    {"pid": "a", "title": "t3", "text": "three", "label": "x"},
]
WANTED = [("a", "t1\n一号 note", "x"), ("b", 'two,\n"quoted"', "y"), ("a", "t3\nthree", "x")]


def source_of(path: Path, **changes: Any) -> DataSource:  # noqa: ANN401
    values: dict[str, Any] = {"text_columns": ("text",), "patient_column": "pid"} | changes
    return DataSource(path=path, **values)


def write(folder: Path, content: str | bytes, name: str = "notes.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_rows(folder: Path, rows: list[dict[str, Any]], name: str = "notes.jsonl") -> Path:
    return write(folder, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), name)


def write_csv(folder: Path, delimiter: str, name: str = "notes.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["pid", "title", "text", "label"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def write_parquet(folder: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), folder / "notes.parquet")
    return folder / "notes.parquet"


def write_saved(folder: Path) -> Path:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def write_saved_splits(folder: Path) -> Path:
    import datasets

    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict(train=rows, test=rows.select([0])).save_to_disk(str(folder / "splits"))
    return folder / "splits"


def write_repository(folder: Path) -> Path:
    (folder / "repository").mkdir()
    write_rows(folder / "repository", ROWS, "train.jsonl")
    return folder / "repository"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "json lines": lambda folder: write_rows(folder, ROWS),
    ".json": lambda folder: write_rows(folder, ROWS, "notes.json"),
    "csv with comma": lambda folder: write_csv(folder, ","),
    "csv with semicolon": lambda folder: write_csv(folder, ";"),
    "csv with tab": lambda folder: write_csv(folder, "\t", "notes.tsv"),
    "parquet": write_parquet,
    "saved data set": write_saved,
    "saved splits": write_saved_splits,
    "repository": write_repository,
}


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS.keys())
def test_every_format_gives_the_same_records(writer: Callable[[Path], Path], tmp_path: Path) -> None:
    source = source_of(writer(tmp_path), text_columns=("title", "text"), label_column="label")
    assert [(r.patient_id, r.text, r.label) for r in load_records(source)] == WANTED


def test_loading_a_repository_writes_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    load_records(source_of(write_repository(tmp_path)))
    # It leaves an empty lock file; loading without streaming would leave an Arrow copy of the records.
    assert [file.stat().st_size for file in cache.rglob("*") if file.is_file()] == [0]


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS.keys())
def test_every_format_names_the_missing_column(writer: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(MissingColumnError, match=r"no column note; there are pid, title, text, label"):
        load_records(source_of(writer(tmp_path), text_columns=("note",)))


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS.keys())
def test_where_selects_rows(writer: Callable[[Path], Path], tmp_path: Path) -> None:
    records = load_records(source_of(writer(tmp_path), where={"label": "y"}))
    assert [record.patient_id for record in records] == ["b"]


@dataclass(frozen=True)
class Refusal:
    name: str
    content: str | bytes
    error: type[FedwardError]
    says: str
    file: str = "notes.jsonl"
    changes: dict[str, Any] = field(default_factory=dict)


GOOD = '{"pid": "p", "text": "fine"}\n'
REFUSALS = [
    Refusal("empty file", b"", EmptyDataError, "the file is empty"),
    Refusal("only blank lines", "\n \n", EmptyDataError, "no record is left"),
    Refusal("only empty texts", '{"pid": 1, "text": " "}\n', EmptyDataError, "no record is left"),
    Refusal("malformed JSON", GOOD + f'{{"text": "{SECRET}"', DataError, "line 2: malformed JSON"),
    Refusal("deep JSON", "[" * 100_000, DataError, "line 1: malformed JSON"),
    Refusal("array", f'["{SECRET}"]', DataError, "line 1: not a JSON object"),
    Refusal("duplicate key", f'{{"pid": 1, "pid": 2, "text": "{SECRET}"}}', DataError, "line 1: a key occurs twice"),
    Refusal("null patient", f'\n{{"pid": null, "text": "{SECRET}"}}', DataError, "line 2: column 'pid' is empty"),
    Refusal("blank patient", f'{{"pid": " ", "text": "{SECRET}"}}', DataError, "line 1: column 'pid' is empty"),
    Refusal("NaN patient", f'{{"pid": NaN, "text": "{SECRET}"}}', DataError, "line 1: column 'pid' is neither"),
    Refusal("list patient", f'{{"pid": ["{SECRET}"], "text": "t"}}', DataError, "line 1: column 'pid' is neither"),
    Refusal("boolean patient", '{"pid": true, "text": "t"}', DataError, "line 1: column 'pid' is neither"),
    Refusal("rounded patient", '{"pid": 9007199254740993.0, "text": "t"}', DataError, "column 'pid' is neither"),
    Refusal("no patient key", GOOD + f'{{"text": "{SECRET}"}}', MissingColumnError, "no column pid; there are text"),
    Refusal("no key at all", '{"a": 1, "b": 2}', MissingColumnError, "no column pid; there are a, b"),
    Refusal("number as text", GOOD + '{"pid": 1, "text": 4711}', DataError, "line 2: column 'text' is not a string"),
    Refusal("half a character", '{"pid": 1, "text": "\\ud800"}', DataError, "line 1: column 'text' holds half"),
    Refusal("latin-1", GOOD.encode() + b'{"text": "caf\xe9"}', EncodingError, "line 2: byte 42 is not utf-8"),
    Refusal("offset after a mark", b"\xef\xbb\xbf\xff", EncodingError, "line 1: byte 3 is not utf-8"),
    Refusal("cut CSV", f'pid,text\n1,"{SECRET}', DataError, "line 2: malformed CSV", "notes.csv"),
    Refusal("long CSV row", f"pid,text\n1,ok\n1,{SECRET},3\n", DataError, "line 3: 3 cells", "notes.csv"),
    Refusal("same name twice", "pid,text,pid\n1,t,2\n", DataError, "two columns have the same name", "notes.csv"),
    Refusal("no header", f"{SECRET},17\n", MissingColumnError, "2 others, not shown", "notes.csv"),
    Refusal("not Parquet", SECRET * 9, DataError, "not a readable Parquet file", "notes.parquet"),
    Refusal("unknown suffix", SECRET, DataError, "unknown suffix", "notes.docx"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_bad_file_is_refused_with_its_place_and_without_content(case: Refusal, tmp_path: Path) -> None:
    source = source_of(write(tmp_path, case.content, case.file), **case.changes)
    with pytest.raises(case.error) as caught:
        load_records(source)
    assert case.says in caught.value.message
    assert caught.value.message.startswith(case.file)
    everything = "".join(traceback.format_exception(caught.value)) + caught.value.advice + repr(source)
    assert SECRET not in everything
    assert caught.value.__context__ is None  # no json or codec error, which would hold the line


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_records(source_of(tmp_path / "none.jsonl"))


def test_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder, a csv file is expected"):
        load_records(source_of(tmp_path, format="csv"))


def test_hub_is_not_asked_when_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="HF_HUB_OFFLINE forbids the hub"):
        load_records(source_of(Path("someone/something"), format="huggingface"))


def test_folder_without_a_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a readable data set"):
        load_records(source_of(tmp_path))


def test_gb18030_declared_as_utf8_gives_the_hint_and_then_works(tmp_path: Path) -> None:
    path = write(tmp_path, '{"pid": 1, "text": "高血压患者"}\n'.encode("gb18030"))
    with pytest.raises(EncodingError) as caught:
        load_records(source_of(path))
    assert 'encoding = "gb18030"' in caught.value.advice
    assert load_records(source_of(path, encoding="gb18030"))[0].text == "高血压患者"


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.csv"])
def test_byte_order_mark_and_windows_line_ends_are_accepted(name: str, tmp_path: Path) -> None:
    content = {"notes.jsonl": '{"pid": 1, "text": "t"}\r\n', "notes.csv": "pid,text\r\n1,t\r\n"}[name]
    path = write(tmp_path, content.encode("utf-8-sig"), name)
    assert [(r.patient_id, r.text) for r in load_records(source_of(path))] == [("1", "t")]


@pytest.mark.parametrize(("cell", "patient"), [("7", "7"), ("7.0", "7"), ('" 7 "', "7"), ("2.5", "2.5")])
def test_numbers_and_spaces_do_not_make_another_patient(cell: str, patient: str, tmp_path: Path) -> None:
    path = write(tmp_path, f'{{"pid": {cell}, "text": "t"}}')
    assert load_records(source_of(path))[0].patient_id == patient


def test_rows_without_text_are_skipped_and_optional_keys_may_be_left_out(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path, [{"pid": 1, "text": None}, {"pid": 2, "text": "t"}, {"pid": 3, "text": "u", "label": 4}]
    )
    records = load_records(source_of(path, label_column="label"))
    assert [(r.patient_id, r.label) for r in records] == [("2", None), ("3", "4")]


def kept(tmp_path: Path, patients: Sequence[int], share: float | None) -> list[str]:
    """Ids of the patients that are read, each of two records."""
    rows = [{"pid": patient, "text": f"t{turn}"} for patient in patients for turn in range(2)]
    return [record.patient_id for record in load_records(source_of(write_rows(tmp_path, rows), patient_share=share))]


def test_a_share_keeps_whole_patients_and_about_so_many(tmp_path: Path) -> None:
    ids = kept(tmp_path, range(2000), 0.3)
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == pytest.approx(600, abs=5 * (2000 * 0.3 * 0.7) ** 0.5)


def test_another_patient_in_any_place_changes_nothing_for_the_others(tmp_path: Path) -> None:
    before = kept(tmp_path, range(40), 0.5)
    for newcomer in range(40, 50):
        for patients in ([newcomer, *range(40)], [*range(40), newcomer]):
            assert [i for i in kept(tmp_path, patients, 0.5) if i != str(newcomer)] == before


def test_a_larger_share_keeps_whom_a_smaller_one_keeps(tmp_path: Path) -> None:
    shares = [set(kept(tmp_path, range(100), share)) for share in (0.2, 0.6, 1.0, None)]
    assert shares[0] < shares[1] < shares[2] == shares[3]
    assert len(shares[3]) == 100


def test_the_share_does_not_depend_on_the_split(tmp_path: Path) -> None:
    rows = [{"pid": i, "text": "t"} for i in range(2000)]
    records = load_records(source_of(write_rows(tmp_path, rows), patient_share=0.5))
    heldout = split_patients(records, heldout_share=0.5, split_seed=0).heldout
    assert len(heldout) == pytest.approx(0.5 * len(records), abs=100)


def test_a_share_that_leaves_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyDataError, match="patient share"):
        kept(tmp_path, range(3), 1e-18)


def test_too_many_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.client.intake.MAX_RECORDS", 2)
    with pytest.raises(DataError, match="more than 2 records"):
        load_records(source_of(write(tmp_path, GOOD * 3)))


def test_line_limit_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_row_readers, "MAX_LINE_BYTES", len(GOOD))
    path = write(tmp_path, GOOD)
    assert load_records(source_of(path))
    path.write_text(" " + GOOD)
    with pytest.raises(DataError, match="line 1: longer than"):
        load_records(source_of(path))


@pytest.mark.parametrize("name", ["notes.jsonl", "notes.csv"])
def test_text_limit_is_exact(name: str, tmp_path: Path) -> None:
    def content(num_chars: int) -> str:
        text = "x" * num_chars
        return f"pid,text\n1,{text}\n" if name.endswith("csv") else f'{{"pid": 1, "text": "{text}"}}'

    assert len(load_records(source_of(write(tmp_path, content(2**20), name)))[0].text) == 2**20
    with pytest.raises(DataError, match=r"line 2: malformed CSV|more than 1,048,576 characters"):
        load_records(source_of(write(tmp_path, content(2**20 + 1), name)))


def test_limit_of_the_csv_module_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    load_records(source_of(write_csv(tmp_path, ","), patient_share=0.5))
    assert csv.field_size_limit() == before


def test_without_patient_column_every_record_is_a_unit_whatever_the_order(tmp_path: Path) -> None:
    rows = [{"text": "same"}, {"text": "other"}, {"text": "same"}]
    ids = [r.patient_id for r in load_records(source_of(write_rows(tmp_path, rows), patient_column=None))]
    assert len(set(ids)) == 3
    turned = load_records(source_of(write_rows(tmp_path, rows[::-1]), patient_column=None))
    assert {r.patient_id for r in turned} == set(ids)


def test_repr_shows_nothing_of_a_record() -> None:
    assert repr(Record(patient_id=SECRET, text=SECRET, label=SECRET)) == "Record()"
    assert SECRET not in repr(split_patients([record_of(SECRET)], heldout_share=0.5, split_seed=0))


@pytest.mark.parametrize(
    "changes",
    [
        {"text_columns": ()},
        {"text_columns": "text"},
        {"text_columns": ("a", "a")},
        {"patient_column": ""},
        {"where": {"a": 1}},
        {"format": "xml"},
        {"encoding": "utf-16"},
        {"encoding": "hex"},
        {"encoding": "no such"},
        {"patient_share": 0.0},
        {"patient_share": float("nan")},
        {"patient_share": 1.5},
    ],
    ids=str,
)
def test_impossible_source_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        source_of(Path("x"), **changes)


def test_where_is_detached_from_the_caller() -> None:
    where = {"label": "x"}
    source = source_of(Path("x"), where=where)
    where["label"] = "y"
    assert source.where == {"label": "x"}


# Split


def record_of(patient_id: str, text: str = "t") -> Record:
    return Record(patient_id=patient_id, text=text, label=None)


def ids_of(groups: tuple[tuple[Record, ...], ...]) -> set[str]:
    return {record.patient_id for group in groups for record in group}


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcdefghijkl"), min_size=1),
    st.floats(0, 1, exclude_max=True),
    st.integers(),
    st.randoms(use_true_random=False),
)
def test_split_is_by_whole_patients_and_independent_of_order(
    patient_ids: list[str],
    share: float,
    seed: int,
    random: Any,  # noqa: ANN401
) -> None:
    records = [record_of(patient_id, str(number)) for number, patient_id in enumerate(patient_ids)]
    split = split_patients(records, heldout_share=share, split_seed=seed)
    assert not ids_of(split.train) & ids_of(split.heldout)
    assert ids_of(split.train) | ids_of(split.heldout) == set(patient_ids)
    assert sum(len(group) for group in split.train + split.heldout) == len(records)
    assert bool(split.heldout) == (share > 0 and len(set(patient_ids)) > 1)
    assert split.train
    random.shuffle(records)
    assert ids_of(split_patients(records, heldout_share=share, split_seed=seed).heldout) == ids_of(split.heldout)


def test_adding_a_patient_moves_no_other() -> None:
    records = [record_of(str(number)) for number in range(50)]
    before = ids_of(split_patients(records, heldout_share=0.2, split_seed=1).heldout)
    for newcomer in "abcdefghij":
        after = ids_of(split_patients([*records, record_of(newcomer)], heldout_share=0.2, split_seed=1).heldout)
        assert after - {newcomer} == before


def test_share_is_met_and_the_seed_matters() -> None:
    records = [record_of(str(number)) for number in range(10_000)]
    splits = [split_patients(records, heldout_share=0.1, split_seed=seed) for seed in (1, 2)]
    assert [abs(len(split.heldout) - 1000) < 120 for split in splits] == [True, True]  # four standard deviations
    assert ids_of(splits[0].heldout) != ids_of(splits[1].heldout)


def test_split_has_a_known_answer() -> None:
    records = [record_of(patient_id) for patient_id in "abcdefgh"]
    split = split_patients(records, heldout_share=0.4, split_seed=7)
    # SHA-256("fedward/heldout/v1\0" "7\0" + id), computed with sha256sum
    assert [group[0].patient_id for group in split.heldout] == list("cfhgb")


@pytest.mark.parametrize("share", [1, -0.1, float("nan")])
def test_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ConfigError):
        split_patients([record_of("a")], heldout_share=share, split_seed=0)


def test_seed_must_be_an_integer() -> None:
    with pytest.raises(ConfigError):
        split_patients([record_of("a")], heldout_share=0.1, split_seed=True)


def test_no_patient_is_refused() -> None:
    with pytest.raises(EmptyDataError):
        split_patients([], heldout_share=0.1, split_seed=0)


@pytest.mark.skipif(not PUBLIC_DATA.is_dir(), reason="needs the public texts beside the repository")
@pytest.mark.parametrize(
    ("file", "site"), [("medquad/data.jsonl", "cancergov"), ("zh_medical_dialogue/data.jsonl", "cardiology")]
)
def test_public_texts_load(file: str, site: str) -> None:
    source = source_of(PUBLIC_DATA / file, text_columns=("question", "text"), patient_column="id", where={"site": site})
    records = load_records(source)
    assert len(records) > 100
    assert all("\n" in record.text for record in records)
